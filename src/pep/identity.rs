//! What the service behind a gateway is told of who was let in.

use crate::{
    config::{IdentityFact, IdentityHeaders},
    pdp::Answer,
};

/// Every configured header with its value; empty where there is nothing to tell, so that a client's
/// own never stands in for it.
pub(super) fn headers<'h>(headers: &'h IdentityHeaders, answer: &Answer) -> Vec<(&'h str, String)> {
    let told = headers.iter();
    told.map(|(fact, name)| (name, value(fact, answer)))
        .collect()
}

fn value(fact: IdentityFact, answer: &Answer) -> String {
    let who = answer.principal();
    let claims = answer.claims();
    match fact {
        IdentityFact::Subject => who.map_or_else(String::new, |it| field_value(&it.id, b"")),
        IdentityFact::Type => who.map_or_else(String::new, |it| field_value(&it.type_name, b"")),
        IdentityFact::Issuer => claims.map_or_else(String::new, |it| it.issuer.to_string()),
        IdentityFact::Client => claims
            .and_then(|it| it.client_id.as_deref())
            .map_or_else(String::new, |client| field_value(client, b"")),
        IdentityFact::Scopes => claims.map_or_else(String::new, |it| it.scopes.join(" ")),
        IdentityFact::Obligations => {
            let all = answer.decision().obligations.iter();
            let all: Vec<_> = all.map(|it| field_value(&it.text, b";")).collect();
            all.join(";")
        }
        IdentityFact::DecisionId => answer.decision_id().to_string(),
    }
}

/// Text as a header's value: what is not printable ASCII, and `%` itself, is percent-encoded, so
/// that two texts never look alike and none breaks out of its line (RFC 9110 §5.5).
fn field_value(text: &str, separators: &[u8]) -> String {
    let inner = text.len().saturating_sub(1);
    let mut value = String::with_capacity(text.len());
    for (at, byte) in text.bytes().enumerate() {
        // Spaces at the ends would be stripped on the way.
        let kept = byte.is_ascii_graphic() || (byte == b' ' && at != 0 && at != inner);
        match kept && byte != b'%' && !separators.contains(&byte) {
            true => value.push(char::from(byte)),
            false => value.push_str(&format!("%{byte:02X}")),
        }
    }
    value
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_text_is_one_line_of_printable_characters() {
        for (text, value) in [
            ("alice", "alice"),
            ("corp|alice smith", "corp|alice smith"),
            ("zoë", "zo%C3%AB"),
            ("a\r\nx-auth-type: Admin", "a%0D%0Ax-auth-type: Admin"),
            ("100%", "100%25"),
            (" a ", "%20a%20"),
            (" ", "%20"),
            ("", ""),
        ] {
            assert_eq!(field_value(text, b""), value);
        }
        assert_eq!(field_value("a;b", b";"), "a%3Bb");
    }
}
