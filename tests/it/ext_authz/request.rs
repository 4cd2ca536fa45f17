use super::*;

#[tokio::test]
async fn both_forms_of_headers_decide_alike() {
    let world = world(&[]);
    let token = bearer(&world.token("alice", json!({})));
    let with = |more: &[(&str, &str)]| {
        let own = ("authorization", token.as_str());
        let all: Vec<_> = std::iter::once(own).chain(more.iter().copied()).collect();
        http("GET", "/tags/o", &all)
    };
    type Raw<'a> = &'a [(&'a str, &'a [u8])];
    let cases: [(&str, Raw<'_>, i32); 5] = [
        ("a,b", &[("x-tag", b"a"), ("X-Tag", b"b")], 200),
        ("a", &[("x-tag", b"a")], 403),
        ("b,a", &[("x-tag", b"b"), ("x-tag", b"a")], 403),
        ("a!b", &[("x-tag", b"a\xffb")], 403),
        ("a\nb", &[("x-tag", b"a\nb")], 400),
    ];
    for (merged, parts, status) in cases {
        let one = world.ask(with(&[("x-tag", merged)])).await;
        let other = world.ask(raw(with(&[]), parts)).await;
        assert_eq!(one.status, status, "{one:?}");
        assert_eq!(
            (one.status, one.code),
            (other.status, other.code),
            "{other:?}"
        );
    }
    let twice = raw(with(&[]), &[("authorization", token.as_bytes())]);
    world.ask(twice).await.is(400, 3, "invalid_token");
    let mut both = raw(with(&[("x-tag", "a,b")]), &[]);
    both.headers = with(&[]).headers;
    world.ask(both).await.is(400, 3, "malformed");
}

#[tokio::test]
async fn a_request_that_can_be_read_in_two_ways_is_refused() {
    let world = world(&[]);
    let ok = || http("GET", "/pages/home", &[]);
    assert!(world.ask(ok()).await.allowed);
    for path in [
        "//pages/home",
        "/pages/../pages/home",
        "/pages/%2e%2e/pages/home",
        "/pages/./home",
        "/pages/x%2Fhome",
        "/pages/x%5Chome",
        "/pages\\home",
        "/pages/%252Fhome",
        "/pages/home%00",
        "/pages/%",
        "/pages/%zz",
        "/pages/home;x=1",
        "/pages;/../home",
        "/pages/home#x",
        "*",
        "",
        "http://shop.example/pages/home",
        "pages/home",
    ] {
        let answer = world.ask(http("GET", path, &[])).await;
        answer.is(400, 3, "malformed");
    }
    for path in [
        "/Pages/home",
        "/pages/home/",
        "/pages/hom%C3%A9",
        "/",
        "/pages",
    ] {
        let answer = world.ask(http("GET", path, &[])).await;
        assert!(
            !answer.allowed && answer.status != 400,
            "{path}: {answer:?}"
        );
    }
    assert!(
        world
            .ask(http("GET", "/pages/%68ome?x=/../", &[]))
            .await
            .allowed
    );
    for method in ["get", "GET ", ""] {
        let answer = world.ask(http(method, "/pages/home", &[])).await;
        answer.is(400, 3, "malformed");
    }
    let override_method = [("x-http-method-override", "POST")];
    let answer = world
        .ask(http("GET", "/orders/o-1", &override_method))
        .await;
    answer.is(403, 7, "no_route");

    type Change = fn(&mut HttpRequest);
    let changes: [Change; 9] = [
        |it| it.path = "/pages/alice".to_owned(),
        |it| it.method = "HEAD".to_owned(),
        |it| it.host = "other.example".to_owned(),
        |it| {
            it.headers
                .insert("host".to_owned(), "other.example".to_owned());
        },
        |it| it.query = "x=1".to_owned(),
        |it| it.fragment = "x".to_owned(),
        |it| {
            it.headers
                .insert(":Path".to_owned(), "/pages/home".to_owned());
        },
        |it| {
            it.headers
                .insert("connection".to_owned(), "close, X-Auth-Subject".to_owned());
        },
        |it| {
            it.host = "user@shop.example".to_owned();
            it.headers.insert(":authority".to_owned(), it.host.clone());
        },
    ];
    for (n, change) in changes.into_iter().enumerate() {
        let mut changed = ok();
        change(&mut changed);
        let answer = world.ask(changed).await;
        assert_eq!(
            (answer.status, answer.code),
            (400, 3),
            "change {n}: {answer:?}"
        );
    }
    let mut many = ok();
    for n in 0..10_000 {
        many.headers.insert(format!("x-{n}"), String::new());
    }
    world.ask(many).await.is(413, 8, "too_large");
    let mut dated = ok();
    dated.id = "\u{1b}[31m".to_owned();
    assert!(
        world.ask(dated).await.allowed,
        "an unprintable id is left out"
    );
}

#[tokio::test]
async fn without_an_http_request_nothing_is_allowed() {
    let world = world(&[]);
    for attributes in [None, Some(AttributeContext::default())] {
        let answer = world.check(Request::new(CheckRequest { attributes })).await;
        answer.is(400, 3, "malformed");
    }
}

#[tokio::test]
async fn a_body_of_which_only_a_part_came_is_told() {
    let world = world(&[]);
    for (header, body, size, truncated) in [
        (None, "", -1, false),
        (Some("false"), "abc", 3, false),
        (Some("true"), "abc", 3, true),
        (None, "abc", 30, true),
    ] {
        let headers: Vec<_> = header
            .map(|it| ("x-envoy-auth-partial-body", it))
            .into_iter()
            .collect();
        let mut sent = http("GET", "/pages/home", &headers);
        sent.body = body.to_owned();
        sent.size = size;
        let answer = world.ask(sent).await;
        assert_eq!(
            answer.metadata["body_truncated"].kind,
            Some(Kind::BoolValue(truncated))
        );
    }
}
