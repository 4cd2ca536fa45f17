//! Why a credential was not accepted.

use std::fmt;

/// The operator's reason: it goes to log and record; callers see a coarse class.
///
/// It never holds any part of the credential beyond names the configuration already has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejection {
    /// Which check failed.
    pub code: RejectionCode,
    /// What exactly, in words; never quotes the credential.
    pub detail: String,
}

impl Rejection {
    /// A rejection by the check `code`.
    pub fn new(code: RejectionCode, detail: impl Into<String>) -> Self {
        Self {
            code,
            detail: detail.into(),
        }
    }
}

impl fmt::Display for Rejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code, self.detail)
    }
}

macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident = $text:literal,)*) => {
        /// The check that a credential failed.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum RejectionCode { $($(#[$doc])* $name,)* }

        impl RejectionCode {
            /// The code as records and logs have it.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }
        }
    };
}

codes! {
    /// No token was presented (RFC 6750 §3.1: no `error` attribute).
    TokenMissing = "token_missing",
    /// Not three segments of unpadded base64url.
    TokenMalformed = "token_malformed",
    /// More than one credential in one request.
    MultipleCredentials = "multiple_credentials",
    /// An `Authorization` scheme other than `Bearer`.
    SchemeNotSupported = "scheme_not_supported",
    /// An encrypted or compressed token.
    JweNotSupported = "jwe_not_supported",
    /// Larger than the limit.
    TokenTooLarge = "token_too_large",
    /// The JOSE header is not one JSON object of the right types.
    HeaderMalformed = "header_malformed",
    /// The payload is not one JSON object.
    PayloadMalformed = "payload_malformed",
    /// A member name occurs twice (RFC 7515 §4).
    DuplicateMember = "duplicate_member",
    /// The algorithm is not on the issuer's list (RFC 8725 §3.1).
    AlgNotAllowed = "alg_not_allowed",
    /// The algorithm is not the key's own.
    AlgKeyMismatch = "alg_key_mismatch",
    /// The signature does not verify.
    SignatureInvalid = "signature_invalid",
    /// `crit` or `b64` (RFC 7515 §4.1.11, RFC 7797).
    CritNotSupported = "crit_not_supported",
    /// `typ` is not that of an access token here (RFC 8725 §3.11, RFC 9068 §4).
    TypNotAccepted = "typ_not_accepted",
    /// A token within a token (`cty`).
    NestedNotSupported = "nested_not_supported",
    /// No `kid` where one is needed.
    KidMissing = "kid_missing",
    /// No trusted key has this `kid`.
    KidUnknown = "kid_unknown",
    /// More than one key has this `kid`.
    KidAmbiguous = "kid_ambiguous",
    /// `x5t#S256` is not that of the key's certificate.
    KeyMismatch = "key_mismatch",
    /// No trusted issuer has this `iss`.
    IssUnknown = "iss_unknown",
    /// The key belongs to another trusted issuer (RFC 8725 §3.8).
    IssKeyMismatch = "iss_key_mismatch",
    /// The issuer is trusted, but not for this bundle.
    IssuerNotAccepted = "issuer_not_accepted",
    /// `aud` does not contain this service (RFC 9068 §4).
    AudMismatch = "aud_mismatch",
    /// `exp` has passed.
    TokenExpired = "token_expired",
    /// `nbf` has not come.
    TokenNotYetValid = "token_not_yet_valid",
    /// `iat` in the future, or a longer life than allowed.
    TokenLifetime = "token_lifetime",
    /// A claim is missing or of the wrong type.
    ClaimInvalid = "claim_invalid",
    /// A claim uses a member name that is reserved in Cedar's JSON.
    ClaimReservedKey = "claim_reserved_key",
    /// The provider left values out, or there are too many.
    ClaimOverflow = "claim_overflow",
    /// Sender-constrained (`cnf`): its proof is not checked here.
    PopNotSupported = "pop_not_supported",
    /// Revoked.
    TokenRevoked = "token_revoked",
    /// No keys of this issuer are loaded.
    KeysUnavailable = "keys_unavailable",
    /// No rule of the bundle makes a principal of this subject.
    PrincipalUnmapped = "principal_unmapped",
    /// The caller's own credential is missing or unknown.
    CallerUnknown = "caller_unknown",
}

impl fmt::Display for RejectionCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
