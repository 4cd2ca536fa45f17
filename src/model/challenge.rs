//! `WWW-Authenticate`: what would help whoever was turned away (RFC 6750 §3, RFC 9470 §3).

use super::Challenge;

impl Challenge {
    /// The value of the header.
    pub fn www_authenticate(&self) -> String {
        match self {
            Self::Scope(scope) => {
                let error = bearer_error("insufficient_scope", "the token lacks a scope");
                format!("{error}, scope={}", quoted(scope))
            }
            Self::StepUp {
                acr_values,
                max_age_seconds,
            } => {
                let more = "a stronger or more recent login is needed";
                let mut text = bearer_error("insufficient_user_authentication", more);
                if let Some(acr_values) = acr_values {
                    text.push_str(&format!(", acr_values={}", quoted(acr_values)));
                }
                if let Some(seconds) = max_age_seconds {
                    text.push_str(&format!(", max_age=\"{seconds}\""));
                }
                text
            }
        }
    }
}

/// The challenge of a credential that failed with `error` (RFC 6750 §3.1).
pub fn bearer_error(error: &str, description: &str) -> String {
    let description = quoted(description);
    format!("Bearer error=\"{error}\", error_description={description}")
}

/// A quoted-string (RFC 9110 §5.6.4) of printable ASCII.
fn quoted(text: &str) -> String {
    let mut quoted = String::from('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            ' '..='~' => quoted.push(c),
            _ => quoted.push('?'),
        }
    }
    quoted.push('"');
    quoted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn annotations_become_challenges() {
        let scope = Challenge::Scope("orders:write".into()).www_authenticate();
        assert!(scope.contains("error=\"insufficient_scope\""), "{scope}");
        assert!(scope.ends_with("scope=\"orders:write\""), "{scope}");
        let step_up = Challenge::StepUp {
            acr_values: Some("urn:a\\\"b\r\n é".into()),
            max_age_seconds: Some(300),
        };
        let step_up = step_up.www_authenticate();
        assert!(
            step_up.ends_with("acr_values=\"urn:a\\\\\\\"b?? ?\", max_age=\"300\""),
            "{step_up}"
        );
    }
}
