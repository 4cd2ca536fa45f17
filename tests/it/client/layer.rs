use super::*;

#[tokio::test]
async fn an_allowed_request_passes_with_its_verdict_and_was_asked_about_as_it_came() {
    let world = world(ClientOptions::default(), |_, asked| {
        let Some(Question::Http(http)) = &asked.question else {
            panic!("{asked:?}")
        };
        let question = (http.method.as_str(), http.host.as_str(), http.path.as_str());
        assert_eq!(question, ("GET", "shop.example", "/orders/o-1?x=1"));
        assert_eq!(http.headers["x-tag"], "a,b");
        assert_eq!(http.headers.len(), 1);
        assert_eq!(asked.subject, Some(Subject::AccessToken("t".to_owned())));
        assert_eq!(asked.bundle, "shop");
        allow()
    })
    .await;
    let layer = Authorize::http(world.client, &["x-tag", "x-none"]).of_bundle("shop");
    let mut request = read();
    for value in ["a", "b"] {
        request
            .headers_mut()
            .append("x-tag", value.parse().unwrap());
    }
    let answer = through(&layer, request).await;
    assert_eq!((answer.status, answer.reached), (StatusCode::OK, 1));
    assert_eq!(answer.body, "d-1");
}

#[tokio::test]
async fn a_deny_is_told_with_its_reason_and_challenge() {
    let world = world(ClientOptions::default(), |_, _| {
        let step_up = StepUp {
            acr_values: "mfa".to_owned(),
            max_age: None,
        };
        Behaviour::Answer(Box::new(Decision {
            reasons: vec![Reason {
                reason: "Not now.".to_owned(),
                ..Reason::default()
            }],
            challenge: Some(Challenge {
                kind: Some(challenge::Kind::StepUp(step_up)),
            }),
            obligations: vec![Obligation::default()],
            ..decided(Outcome::Deny)
        }))
    })
    .await;
    let answer = through(&Authorize::http(world.client, &[]), read()).await;
    assert_eq!(
        (answer.status, answer.reached),
        (StatusCode::UNAUTHORIZED, 0)
    );
    let challenge = answer.headers["www-authenticate"].to_str().unwrap();
    assert!(challenge.contains("insufficient_user_authentication"));
    assert!(challenge.ends_with("acr_values=\"mfa\""), "{challenge}");
    assert_eq!(answer.headers["content-type"], "application/problem+json");
    assert_eq!(answer.headers["doorward-decision-id"], "d-1");
    assert!(answer.body.contains("Not now."), "{}", answer.body);
}

#[tokio::test]
async fn whatever_is_not_an_answer_is_refused() {
    type Case = (fn() -> Behaviour, u16, &'static str);
    let cases: [Case; 14] = [
        (|| Behaviour::Break, 503, "unavailable"),
        (|| Behaviour::Hang, 503, "unavailable"),
        (
            || Behaviour::Answer(Box::new(decided(Outcome::Unspecified))),
            503,
            "unavailable",
        ),
        (
            || {
                Behaviour::Answer(Box::new(Decision {
                    outcome: 99,
                    ..decided(Outcome::Deny)
                }))
            },
            503,
            "unavailable",
        ),
        (
            || Behaviour::Refuse(Code::Unauthenticated, "invalid_token"),
            401,
            "invalid_token",
        ),
        (
            || Behaviour::Refuse(Code::Unauthenticated, "token_missing"),
            401,
            "token_missing",
        ),
        (
            || Behaviour::Refuse(Code::Unauthenticated, "caller_unknown"),
            503,
            "unavailable",
        ),
        (
            || Behaviour::Refuse(Code::PermissionDenied, "caller_lacks_right"),
            503,
            "unavailable",
        ),
        (
            || Behaviour::Refuse(Code::InvalidArgument, "malformed"),
            400,
            "malformed",
        ),
        (
            || Behaviour::Refuse(Code::NotFound, "no_route"),
            403,
            "no_route",
        ),
        (
            || Behaviour::Refuse(Code::NotFound, "unknown_bundle"),
            503,
            "unavailable",
        ),
        (
            || Behaviour::Refuse(Code::ResourceExhausted, "overloaded"),
            429,
            "overloaded",
        ),
        (
            || Behaviour::Refuse(Code::ResourceExhausted, "rate_limited"),
            429,
            "rate_limited",
        ),
        (|| Behaviour::Refuse(Code::Ok, "ok"), 503, "unavailable"),
    ];
    for (behaviour, status, code) in cases {
        // Only what never comes is waited for in vain.
        let options = match behaviour() {
            Behaviour::Hang => impatient(),
            _ => ClientOptions::default(),
        };
        let world = world(options, move |_, _| behaviour()).await;
        let answer = through(&Authorize::http(world.client, &[]), read()).await;
        refused(&answer, status, code);
        assert_eq!(
            answer.headers.contains_key("www-authenticate"),
            status == 401
        );
    }
    let nobody = Client::lazy("http://127.0.0.1:1", ClientOptions::default()).unwrap();
    let answer = through(&Authorize::http(nobody, &[]), read()).await;
    refused(&answer, 503, "unavailable");
}

#[tokio::test]
async fn what_can_be_read_in_two_ways_is_not_even_asked() {
    let world = world(ClientOptions::default(), |_, _| allow()).await;
    let layer = Authorize::http(world.client, &["x-tag"]);
    let host = ("host", "a.example");
    let bearer = ("authorization", "Bearer t");
    for (uri, headers, status) in [
        ("/", vec![host, bearer, bearer], 400),
        ("/", vec![host, ("authorization", "Bearer a,Bearer b")], 400),
        ("/", vec![host, ("authorization", "Basic dTpw")], 401),
        ("/", vec![host, ("authorization", "Bearer ")], 401),
        ("http://b.example/", vec![host], 400),
        ("b.example:443", vec![host], 400),
        ("/", vec![host, ("x-tag", "\u{e9}")], 400),
    ] {
        let method = if uri.starts_with('b') {
            "CONNECT"
        } else {
            "GET"
        };
        let answer = through(&layer, request(method, uri, &headers)).await;
        assert_eq!(
            (answer.status.as_u16(), answer.reached),
            (status, 0),
            "{uri}"
        );
    }
    assert_eq!(world.asked.load(Ordering::SeqCst), 0);
    let answer = through(&layer, request("GET", "http://a.example/", &[host])).await;
    assert_eq!(answer.reached, 1);
}

#[tokio::test]
async fn a_closure_may_name_action_and_resource_and_what_it_cannot_name_is_refused() {
    let world = world(ClientOptions::default(), |_, asked| match &asked.question {
        Some(Question::Named(named)) if named.action == "ReadOrder" => allow(),
        _ => panic!("another question"),
    })
    .await;
    let layer = Authorize::named(world.client, |parts| {
        let order = parts.uri.path().strip_prefix("/orders/")?;
        Some(NamedQuestion {
            action: "ReadOrder".to_owned(),
            resource: Some(EntityRef::new("Order", order).into()),
        })
    });
    assert_eq!(through(&layer, read()).await.reached, 1);
    let answer = through(&layer, request("GET", "/other", &[])).await;
    refused(&answer, 403, "no_route");
    assert_eq!(world.asked.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_grpc_service_refuses_in_its_own_terms() {
    let world = world(ClientOptions::default(), |_, _| {
        Behaviour::Answer(Box::new(decided(Outcome::Deny)))
    })
    .await;
    let layer: Authorize<String> = Authorize::grpc(world.client);
    let call = request("POST", "/orders.v1.Orders/Get", &[("host", "a.example")]);
    let answer = through(&layer, call).await;
    assert_eq!((answer.status, answer.reached), (StatusCode::OK, 0));
    assert_eq!(answer.headers["grpc-status"], "7");
    assert_eq!(answer.headers["content-type"], "application/grpc");
}

#[tokio::test]
#[expect(
    clippy::disallowed_methods,
    reason = "the server under test is a task of the test"
)]
async fn a_tonic_service_stands_behind_the_layer() {
    let doorward = world(ClientOptions::default(), |nth, asked| {
        let Some(Question::Http(http)) = &asked.question else {
            panic!("another question")
        };
        assert_eq!(http.path, "/doorward.v1.DecisionService/Check");
        match nth {
            0 => allow(),
            _ => Behaviour::Answer(Box::new(decided(Outcome::Deny))),
        }
    })
    .await;
    let reached = Arc::new(AtomicUsize::new(0));
    let service = DecisionServiceServer::new(Scripted {
        script: Arc::new(|_, _| allow()),
        asked: Arc::clone(&reached),
    });
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(
        Server::builder()
            .add_service(Authorize::grpc(doorward.client).layer(service))
            .serve_with_incoming(TcpIncoming::from(listener)),
    );
    let client = Client::lazy(&url, ClientOptions::default()).unwrap();
    assert!(
        client
            .check(CheckRequest::default())
            .await
            .unwrap()
            .is_allowed()
    );
    match client.check(CheckRequest::default()).await {
        Err(ClientError::Refused(refused)) => assert_eq!(refused.code, Code::PermissionDenied),
        other => panic!("{other:?}"),
    }
    assert_eq!(reached.load(Ordering::SeqCst), 1);
}
