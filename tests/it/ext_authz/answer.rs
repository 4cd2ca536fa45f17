use super::*;

#[tokio::test]
async fn an_allow_tells_who_it_is_and_removes_what_the_client_says_of_itself() {
    let world = world(&[]);
    let token = bearer(&world.token("alice", json!({"scope": "a b"})));
    let spoofed = [
        ("authorization", token.as_str()),
        ("x-auth-subject", "root"),
        ("x_auth_subject", "root"),
        ("x-auth-client", "root"),
        ("x-envoy-auth-failure-mode-allowed", "true"),
        ("x-other", "kept"),
    ];
    let answer = world.ask(http("GET", "/pages/alice", &spoofed)).await;
    answer.is(200, 0, "");
    let headers = &answer.headers;
    assert_eq!(headers["x-auth-subject"], "alice");
    assert_eq!(headers["x-auth-type"], "User");
    assert_eq!(headers["x-auth-issuer"], "corp");
    assert_eq!(headers["x-auth-client"], "web");
    assert_eq!(headers["x-auth-scopes"], "a b");
    assert_eq!(headers["x-auth-obligations"], "redact=a,b");
    let mut removed = answer.removed.clone();
    removed.sort();
    assert_eq!(
        removed,
        ["x-envoy-auth-failure-mode-allowed", "x_auth_subject"]
    );
    assert_eq!(
        answer.metadata["decision_id"].kind,
        Some(Kind::StringValue(headers["x-auth-decision-id"].clone()))
    );
    let policies = Kind::ListValue(ListValue {
        values: vec![Value {
            kind: Some(Kind::StringValue("own-page".to_owned())),
        }],
    });
    assert_eq!(answer.metadata["policies"].kind, Some(policies));
    assert!(answer.metadata.contains_key("bundle_digest"));
}

#[tokio::test]
async fn where_there_is_nothing_to_tell_the_header_is_removed() {
    let world = world(&[]);
    let spoofed = [("x-auth-subject", "root"), ("x-auth-scopes", "all")];
    let answer = world.ask(http("GET", "/pages/home", &spoofed)).await;
    answer.is(200, 0, "");
    for name in ["x-auth-subject", "x-auth-type", "x-auth-scopes"] {
        assert!(!answer.headers.contains_key(name));
        assert!(answer.removed.iter().any(|it| it == name), "{name}");
    }
}

#[tokio::test]
async fn a_deny_says_why_and_what_would_help() {
    let world = world(&[]);
    let token = bearer(&world.token("bob", json!({"roles": ["payer"]})));
    let token = [("authorization", token.as_str())];
    let paid = world.ask(http("POST", "/orders/o-1", &token)).await;
    assert!(paid.allowed);

    let big = world.ask(http("POST", "/orders/big", &token)).await;
    big.is(401, 16, "forbidden");
    assert_eq!(big.body["detail"], "Payments need a second factor.");
    assert_eq!(big.body["advice"], "Log in again.");
    let challenge = &big.headers["www-authenticate"];
    assert!(challenge.contains("insufficient_user_authentication"));
    assert!(challenge.ends_with("acr_values=\"mfa\", max_age=\"60\""));

    let small = world.ask(http("POST", "/orders/small", &token)).await;
    small.is(403, 7, "forbidden");
    assert!(small.headers["www-authenticate"].contains("insufficient_scope"));

    let page = world.ask(http("GET", "/pages/alice", &token)).await;
    page.is(403, 7, "nothing_permits");
    assert!(!page.headers.contains_key("www-authenticate"));
}

#[tokio::test]
async fn credentials_are_one_bearer_token_or_refused() {
    let world = world(&[]);
    let good = bearer(&world.token("bob", json!({"roles": ["payer"]})));
    let (signed, _) = good.rsplit_once('.').unwrap();
    let forged = format!("{signed}.AAAA");
    let dots = format!("Bearer {}", ".".repeat(1 << 20));
    let twice = format!("{good},{good}");
    for (value, status, code, said) in [
        (None, 401, 16, "token_missing"),
        (Some("Bearer  x"), 401, 16, "invalid_token"),
        (Some("Basic dTpw"), 401, 16, "invalid_token"),
        (Some("Bearer a.b"), 401, 16, "invalid_token"),
        (Some(dots.as_str()), 401, 16, "invalid_token"),
        (Some(forged.as_str()), 401, 16, "invalid_token"),
        (Some(twice.as_str()), 400, 3, "invalid_token"),
    ] {
        let headers: Vec<_> = value.map(|it| ("authorization", it)).into_iter().collect();
        let answer = world.ask(http("POST", "/orders/o-1", &headers)).await;
        answer.is(status, code, said);
        let challenge = &answer.headers["www-authenticate"];
        let error = challenge.contains("error=");
        let unasked = value.is_none_or(|it| it.starts_with("Basic"));
        assert_eq!(error, !unasked, "{challenge}");
    }
}
