//! Tokens in the shape of each provider: access tokens map, everything else is refused.

use serde_json::{Value as Json, json};

use super::super::{testing::*, verify::TokenScope};
use super::*;
use crate::model::{AccessToken, RejectionCode as Code};

/// A provider's issuer.
fn of(preset: Preset) -> IssuerConfig {
    IssuerConfig {
        preset: Some(preset),
        profile: Profile::Jwt,
        ..corp()
    }
}

/// What every fixture has: issuer, times and subject.
fn base() -> Json {
    json!({"iss": ISS, "sub": "u-1", "iat": NOW - 10, "exp": NOW + 300})
}

fn token(typ: Option<&str>, claims: &Json) -> AccessToken {
    let header = match typ {
        Some(typ) => json!({"alg": "RS256", "kid": "rsa", "typ": typ}),
        None => json!({"alg": "RS256", "kid": "rsa"}),
    };
    let mut payload = base();
    payload
        .as_object_mut()
        .unwrap()
        .extend(claims.as_object().unwrap().clone());
    AccessToken::new(RSA.token(&header, &payload))
}

#[track_caller]
fn check_access(preset: Preset, typ: Option<&str>, claims: &Json, client: &str, scopes: &[&str]) {
    let identity = trust(&[of(preset)])
        .verify(&token(typ, claims), &TokenScope::default(), now())
        .unwrap();
    assert_eq!(identity.claims().client_id.as_deref(), Some(client));
    assert_eq!(identity.claims().scopes, scopes);
    assert_eq!(identity.claims().sub, "u-1");
}

#[track_caller]
fn check_other(preset: Preset, typ: Option<&str>, claims: &Json, expected: Code) {
    let rejection = trust(&[of(preset)])
        .verify(&token(typ, claims), &TokenScope::default(), now())
        .unwrap_err();
    assert_eq!(rejection.code, expected, "{rejection}");
}

#[test]
fn keycloak() {
    let access = json!({
        "aud": [AUD, "account"], "typ": "Bearer", "azp": "web", "jti": "onrtac:1", "sid": "s",
        "acr": "1", "allowed-origins": ["https://app.example"], "scope": "openid profile email",
        "realm_access": {"roles": ["clerk"]},
        "resource_access": {"account": {"roles": ["view-profile"]}}, "email_verified": true,
    });
    let scopes = ["openid", "profile", "email"];
    check_access(Preset::Keycloak, Some("JWT"), &access, "web", &scopes);
    check_access(Preset::Keycloak, Some("at+jwt"), &access, "web", &scopes);
    let typ = Code::TypNotAccepted;
    let id = json!({
        "aud": AUD, "typ": "ID", "azp": "web", "at_hash": "x", "sid": "s", "acr": "1",
        "email_verified": true,
    });
    check_other(Preset::Keycloak, Some("JWT"), &id, typ);
    check_other(Preset::Keycloak, Some("JWT"), &without(&id, "at_hash"), typ);
    for kind in ["Refresh", "Offline", "Logout", "Serialized-ID", "bearer"] {
        check_other(
            Preset::Keycloak,
            Some("JWT"),
            &with(&access, "typ", json!(kind)),
            typ,
        );
    }
    check_other(Preset::Keycloak, Some("JWT"), &without(&access, "typ"), typ);
    let dpop = with(&access, "cnf", json!({"jkt": "x"}));
    check_other(Preset::Keycloak, Some("JWT"), &dpop, Code::PopNotSupported);
}

#[test]
fn entra() {
    let delegated = json!({
        "aud": AUD, "ver": "2.0", "azp": "11111111-2222", "azpacr": "0", "scp": "Orders.Read Orders.Write",
        "oid": "o-1", "tid": "t-1", "nbf": NOW - 10, "uti": "x", "rh": "y", "aio": "z",
    });
    let scopes = ["Orders.Read", "Orders.Write"];
    check_access(
        Preset::Entra,
        Some("JWT"),
        &delegated,
        "11111111-2222",
        &scopes,
    );
    let first = with(&without(&delegated, "azp"), "appid", json!("app-1"));
    let first = with(&first, "ver", json!("1.0"));
    check_access(Preset::Entra, Some("JWT"), &first, "app-1", &scopes);
    let app = with(
        &without(&delegated, "scp"),
        "roles",
        json!(["Orders.Read.All"]),
    );
    check_access(Preset::Entra, Some("JWT"), &app, "11111111-2222", &[]);
    let id = json!({
        "aud": AUD, "ver": "2.0", "oid": "o-1", "tid": "t-1", "name": "A", "preferred_username": "a@x",
        "roles": ["Admin"], "rh": "y", "uti": "x",
    });
    check_other(Preset::Entra, Some("JWT"), &id, Code::TypNotAccepted);
    let overage = with(&delegated, "_claim_names", json!({"groups": "src1"}));
    check_other(Preset::Entra, Some("JWT"), &overage, Code::ClaimOverflow);
}

#[test]
fn auth0() {
    let access = json!({
        "aud": [AUD, "https://tenant.example/userinfo"], "azp": "web", "scope": "openid read:orders",
        "permissions": ["read:orders"],
    });
    check_access(
        Preset::Auth0,
        Some("JWT"),
        &access,
        "web",
        &["openid", "read:orders"],
    );
    let machine = json!({"aud": AUD, "azp": "web", "gty": "client-credentials"});
    check_access(Preset::Auth0, Some("JWT"), &machine, "web", &[]);
    let rfc_9068 = json!({"aud": AUD, "client_id": "web", "jti": "j", "scope": "a"});
    check_access(Preset::Auth0, Some("at+jwt"), &rfc_9068, "web", &["a"]);
    let id = json!({"aud": AUD, "nickname": "a", "name": "A", "email": "a@x", "sid": "s"});
    check_other(Preset::Auth0, Some("JWT"), &id, Code::TypNotAccepted);
    check_other(
        Preset::Auth0,
        Some("JWT"),
        &with(&id, "nonce", json!("n")),
        Code::TypNotAccepted,
    );
}

#[test]
fn okta() {
    let access = json!({
        "ver": 1, "jti": "AT.0mP4JKAZX1iACIT4vbEDF7LpvDVjxypPMf0D7uX39RE", "aud": AUD,
        "cid": "0oab8eb55Kb9jdMIr5d6", "uid": "00ujmk", "scp": ["openid", "orders:read"],
        "auth_time": NOW - 20,
    });
    let scopes = ["openid", "orders:read"];
    check_access(Preset::Okta, None, &access, "0oab8eb55Kb9jdMIr5d6", &scopes);
    let id = json!({
        "ver": 1, "jti": "ID.4eAWJOCMB3SX8XewDfVR", "aud": AUD, "amr": ["pwd"], "idp": "00o",
        "auth_time": NOW - 20, "at_hash": "x", "name": "A",
    });
    let typ = Code::TypNotAccepted;
    check_other(Preset::Okta, None, &id, typ);
    check_other(Preset::Okta, None, &without(&id, "at_hash"), typ);
    check_other(
        Preset::Okta,
        None,
        &with(&access, "jti", json!("ID.1")),
        typ,
    );
    check_other(
        Preset::Okta,
        Some("application/okta-internal-at+jwt"),
        &access,
        typ,
    );
    check_other(
        Preset::Okta,
        None,
        &with(&access, "scp", json!("a b")),
        Code::ClaimInvalid,
    );
}

#[test]
fn cognito() {
    let access = json!({
        "token_use": "access", "client_id": AUD, "scope": "orders/read", "jti": "j",
        "cognito:groups": ["admins"], "username": "u-1", "version": 2, "auth_time": NOW - 20,
        "origin_jti": "o", "event_id": "e",
    });
    check_access(Preset::Cognito, None, &access, AUD, &["orders/read"]);
    let bound = with(&with(&access, "aud", json!(AUD)), "client_id", json!("app"));
    check_access(Preset::Cognito, None, &bound, "app", &["orders/read"]);
    let foreign = with(&access, "client_id", json!("other"));
    check_other(Preset::Cognito, None, &foreign, Code::AudMismatch);
    let elsewhere = with(&access, "aud", json!("other"));
    check_other(Preset::Cognito, None, &elsewhere, Code::AudMismatch);
    let id = json!({
        "token_use": "id", "aud": AUD, "cognito:username": "u-1", "email": "a@x", "jti": "j",
    });
    check_other(Preset::Cognito, None, &id, Code::TypNotAccepted);
}

#[test]
fn without_a_preset_arrays_of_scopes_are_refused() {
    let plain = IssuerConfig {
        profile: Profile::Jwt,
        ..corp()
    };
    let keys = trust(&[plain]);
    let scopes = |claims: Json| {
        let token = token(None, &with(&claims, "aud", json!(AUD)));
        keys.verify(&token, &TokenScope::default(), now())
            .map(|identity| identity.claims().scopes.clone())
            .map_err(|rejection| rejection.code)
    };
    assert_eq!(
        scopes(json!({"scp": "a b"})),
        Ok(vec!["a".to_owned(), "b".to_owned()])
    );
    assert_eq!(
        scopes(json!({"scope": "a", "scp": "b"})),
        Ok(vec!["a".to_owned()])
    );
    assert_eq!(
        scopes(json!({"scp": ["a"]})),
        Err(Code::ClaimInvalid),
        "B12"
    );
}
