use super::super::{TokenScope, TokenVerifier};
use super::*;
use crate::model::{AccessToken, Claims};

fn mint() -> Mint {
    Mint {
        sub: "alice".to_owned(),
        scope: "orders:read".to_owned(),
        client_id: "doorward-cli".to_owned(),
        ttl: SignedDuration::from_mins(10),
        claims: Vec::new(),
    }
}

fn now() -> Timestamp {
    "2030-01-01T00:00:00Z".parse().unwrap()
}

fn claims(issuer: &DevIssuer, mint: &Mint) -> Claims {
    let token = AccessToken::new(issuer.mint(mint, now()).unwrap());
    let keys = TokenVerifier::new(&[issuer.issuer_config()]).unwrap().pin();
    let identity = keys.verify(&token, &TokenScope::default(), now()).unwrap();
    Claims::clone(identity.claims())
}

#[test]
fn a_minted_token_passes_as_any_other() {
    let data = tempfile::tempdir().unwrap();
    let issuer = DevIssuer::open(&data.path().join("new")).unwrap();
    let claims = claims(&issuer, &mint());
    assert_eq!(claims.issuer.as_str(), "dev");
    assert_eq!(claims.sub, "alice");
    assert_eq!(claims.scopes, ["orders:read"]);
    assert_eq!(claims.client_id.as_deref(), Some("doorward-cli"));
    assert_eq!(claims.expires_at, now() + SignedDuration::from_mins(10));
}

#[test]
fn further_claims_are_json_and_override() {
    let data = tempfile::tempdir().unwrap();
    let issuer = DevIssuer::open(data.path()).unwrap();
    let with = |name: &str, json: &str| Mint {
        claims: vec![(name.to_owned(), json.to_owned())],
        ..mint()
    };
    let roles = claims(&issuer, &with("roles", r#"["clerk"]"#));
    assert_eq!(roles.get("/roles/0"), Some(&"clerk".into()));
    assert_eq!(claims(&issuer, &with("sub", "\"bob\"")).sub, "bob");
    for bad in ["clerk", "", "{\"a\":1,\"a\":2}", "[1", "1 2"] {
        let fault = issuer.mint(&with("roles", bad), now()).unwrap_err();
        assert!(
            fault.to_string().contains("claim `roles` is not JSON"),
            "{bad}"
        );
    }
    let twice = Mint {
        claims: vec![("a".into(), "1".into()), ("a".into(), "2".into())],
        ..mint()
    };
    assert!(issuer.mint(&twice, now()).is_err());
    for seconds in [i64::MIN, -1, 0, 31 * 24 * 3600, i64::MAX] {
        let mint = Mint {
            ttl: SignedDuration::from_secs(seconds),
            ..mint()
        };
        assert!(matches!(issuer.mint(&mint, now()), Err(DevFault::Ttl)));
    }
}

#[test]
fn the_key_lasts_and_belongs_to_its_owner_alone() {
    let data = tempfile::tempdir().unwrap();
    let first = DevIssuer::open(data.path()).unwrap().jwks();
    assert_eq!(DevIssuer::open(data.path()).unwrap().jwks(), first);
    let key = data.path().join(KEY_FILE);
    let mode = |mode| fs::set_permissions(&key, fs::Permissions::from_mode(mode)).unwrap();
    let is = |key: &Path| fs::metadata(key).unwrap().permissions().mode() & 0o777;
    assert_eq!(is(&key), 0o600);
    assert_eq!(
        fs::read_dir(data.path()).unwrap().count(),
        1,
        "no draft is left"
    );
    for exposed in [0o640, 0o604, 0o660, 0o601] {
        mode(exposed);
        let fault = DevIssuer::open(data.path()).unwrap_err();
        assert!(matches!(fault, DevFault::Exposed(_)), "{exposed:o}");
    }
    mode(0o600);
    fs::write(&key, "not a key").unwrap();
    assert!(matches!(
        DevIssuer::open(data.path()),
        Err(DevFault::NotAKey(_))
    ));
}

#[test]
fn programs_that_start_at_once_share_the_first_key() {
    let data = tempfile::tempdir().unwrap();
    let key = data.path().join(KEY_FILE);
    create_key(data.path(), &key).unwrap();
    let first = fs::read(&key).unwrap();
    create_key(data.path(), &key).unwrap();
    assert_eq!(fs::read(&key).unwrap(), first);
}

#[test]
fn the_set_shows_no_secret() {
    let data = tempfile::tempdir().unwrap();
    let issuer = DevIssuer::open(data.path()).unwrap();
    let set: Json = serde_json::from_str(&issuer.jwks()).unwrap();
    let jwk = set["keys"][0].as_object().unwrap();
    assert!(!jwk.contains_key("d"));
    assert!(!format!("{issuer:?}").contains("signing"));
}
