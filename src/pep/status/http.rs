//! The columns of AuthZEN and of forward-auth.

use tonic::Code;

use super::{Denial, rejected, to_denial};
use crate::model::{Refusal, RejectionCode, Violation};

/// How AuthZEN answers a refusal.
#[derive(Debug)]
pub(in crate::pep) enum AuthzenStatus {
    /// The question is asked wrongly: this HTTP status.
    Malformed(Denial),
    /// The question was understood, and cannot be allowed: 200 and `false`.
    False(Denial),
    /// It has nothing to do with the question: this HTTP status.
    Whole(Denial),
}

impl AuthzenStatus {
    /// The status, whichever way it is told.
    pub(in crate::pep) fn into_denial(self) -> Denial {
        match self {
            Self::Malformed(denial) | Self::False(denial) | Self::Whole(denial) => denial,
        }
    }
}

/// The answer of AuthZEN to a refusal.
pub(in crate::pep) fn to_authzen(refusal: &Refusal) -> AuthzenStatus {
    use AuthzenStatus::{False, Malformed, Whole};
    let (how, status): (fn(Denial) -> AuthzenStatus, u16) = match refusal {
        Refusal::Malformed(violations)
            if !violations.is_empty() && violations.iter().all(is_unknown) =>
        {
            (False, 404)
        }

        Refusal::Malformed(_) => (Malformed, 400),
        Refusal::TooLarge { .. } => (Malformed, 413),
        Refusal::ResourceMismatch { .. } => (False, 403),
        Refusal::NoRoute => (False, 404),
        // The subject, which the caller asserts: 401 would be about the caller.
        Refusal::Unauthenticated(rejection) => match rejected(rejection.code).0 {
            Code::Unauthenticated => (False, 403),
            _ => (Whole, 503),
        },
        Refusal::CallerUnknown(rejection) => match rejection.code {
            RejectionCode::KeysUnavailable => (Whole, 503),
            _ => (Whole, 401),
        },
        Refusal::CallerLacksRight { .. } => (Whole, 403),
        Refusal::UnknownBundle => (Whole, 404),
        Refusal::Overloaded | Refusal::RateLimited { .. } => (Whole, 429),
        Refusal::Stale | Refusal::Unavailable { .. } | Refusal::DeadlineExceeded => (Whole, 503),
    };
    how(Denial {
        status,
        ..to_denial(refusal)
    })
}

/// Whether a request names what the schema does not have: AuthZEN answers that with a decision.
fn is_unknown(violation: &Violation) -> bool {
    matches!(
        violation.code,
        "unknown_action" | "unknown_type" | "unknown_id" | "resource_type" | "not_a_principal"
    )
}

/// The answer of forward-auth to a refusal: what cannot be decided is 403, since a gateway may let
/// through what gets a 5xx. Only some gateways pass 429 on.
pub(in crate::pep) fn to_forward_auth(refusal: &Refusal, passes_429: bool) -> Denial {
    let denial = to_denial(refusal);
    let status = match denial.code {
        Code::InvalidArgument => 400,
        Code::Unauthenticated => denial.status,
        Code::ResourceExhausted if denial.status == 429 && passes_429 => 429,
        _ => 403,
    };
    Denial { status, ..denial }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{BundleName, Rejection, Right};

    fn authzen(refusal: &Refusal) -> (&'static str, u16) {
        match to_authzen(refusal) {
            AuthzenStatus::Malformed(denial) => ("malformed", denial.status),
            AuthzenStatus::False(denial) => ("false", denial.status),
            AuthzenStatus::Whole(denial) => ("whole", denial.status),
        }
    }

    #[track_caller]
    fn check(refusal: &Refusal, in_authzen: (&str, u16), in_nginx: u16, elsewhere: u16) {
        assert_eq!(authzen(refusal), in_authzen, "{refusal}");
        assert_eq!(
            to_forward_auth(refusal, false).status,
            in_nginx,
            "{refusal}"
        );
        assert_eq!(
            to_forward_auth(refusal, true).status,
            elsewhere,
            "{refusal}"
        );
    }

    #[test]
    fn every_refusal_has_its_status() {
        let rejected = |code| Refusal::Unauthenticated(Rejection::new(code, ""));
        let violation = |code| Refusal::malformed("action", code, "");
        let right = Refusal::CallerLacksRight {
            right: Right::Vouch,
            bundle: BundleName::new("b"),
        };
        let (detail, path) = (String::new(), String::new());
        let unknown = Rejection::new(RejectionCode::CallerUnknown, "");
        let what = "values";
        check(&violation("missing"), ("malformed", 400), 400, 400);
        check(
            &Refusal::Malformed(Vec::new()),
            ("malformed", 400),
            400,
            400,
        );
        check(&violation("unknown_action"), ("false", 404), 400, 400);
        check(&violation("not_a_principal"), ("false", 404), 400, 400);
        check(
            &Refusal::TooLarge { what, limit: 1 },
            ("malformed", 413),
            403,
            403,
        );
        check(&Refusal::Overloaded, ("whole", 429), 403, 429);
        let retry_after = std::time::Duration::from_secs(1);
        let limited = Refusal::RateLimited { retry_after };
        check(&limited, ("whole", 429), 403, 429);
        check(&Refusal::UnknownBundle, ("whole", 404), 403, 403);
        check(&Refusal::NoRoute, ("false", 404), 403, 403);
        check(&Refusal::CallerUnknown(unknown), ("whole", 401), 403, 403);
        let no_keys = Rejection::new(RejectionCode::KeysUnavailable, "");
        check(&Refusal::CallerUnknown(no_keys), ("whole", 503), 403, 403);
        check(&right, ("whole", 403), 403, 403);
        check(
            &rejected(RejectionCode::TokenMissing),
            ("false", 403),
            401,
            401,
        );
        check(
            &rejected(RejectionCode::TokenRevoked),
            ("false", 403),
            401,
            401,
        );
        check(
            &rejected(RejectionCode::MultipleCredentials),
            ("false", 403),
            400,
            400,
        );
        check(
            &rejected(RejectionCode::KeysUnavailable),
            ("whole", 503),
            403,
            403,
        );
        check(
            &Refusal::ResourceMismatch { path },
            ("false", 403),
            403,
            403,
        );
        check(&Refusal::Stale, ("whole", 503), 403, 403);
        check(&Refusal::Unavailable { detail }, ("whole", 503), 403, 403);
        check(&Refusal::DeadlineExceeded, ("whole", 503), 403, 403);
    }
}
