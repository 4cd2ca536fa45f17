//! Where the end user's token is: in `Authorization` or in one cookie, never in both.

use axum::http::HeaderMap;

use crate::{
    model::{AccessToken, Refusal, Rejection, RejectionCode, Subject},
    pep::{bearer, http::joined},
};

/// The subject of the client's request.
///
/// # Errors
/// [`Refusal::Unauthenticated`]: `token_malformed`, `multiple_credentials`, `scheme_not_supported`.
pub(super) fn subject(headers: &HeaderMap, cookie: Option<&str>) -> Result<Subject, Refusal> {
    let authorization = joined(headers, "authorization");
    let tokens = cookie.map_or_else(Vec::new, |name| of_cookie(headers, name));
    let refuse = |code, detail| Err(Refusal::Unauthenticated(Rejection::new(code, detail)));
    match (authorization, tokens.as_slice()) {
        (authorization, []) => bearer::subject(authorization.as_deref()),
        (None, [token]) => match !token.is_empty() && token.bytes().all(|b| b.is_ascii_graphic()) {
            true => Ok(Subject::Token(AccessToken::new(token))),
            false => refuse(RejectionCode::TokenMalformed, "the cookie holds no token"),
        },
        (_, [_, ..]) => refuse(
            RejectionCode::MultipleCredentials,
            "a token in `authorization` and in the cookie, or in several cookies",
        ),
    }
}

/// The values of the cookies of that name (RFC 6265 §4.2.1).
fn of_cookie(headers: &HeaderMap, name: &str) -> Vec<String> {
    let lines = headers.get_all("cookie").iter();
    let lines: Vec<_> = lines
        .map(|line| String::from_utf8_lossy(line.as_bytes()))
        .collect();
    let pairs = lines.iter().flat_map(|line| line.split(';'));
    let pairs = pairs.filter_map(|pair| pair.trim().split_once('='));
    pairs
        .filter(|(found, _)| *found == name)
        .map(|(_, value)| value.to_owned())
        .collect()
}
