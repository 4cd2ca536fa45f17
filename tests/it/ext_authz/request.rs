use envoy_types::pb::google::protobuf::Timestamp;

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

fn set(it: &mut HttpRequest, name: &str, value: &str) {
    it.headers.insert(name.to_owned(), value.to_owned());
}

#[tokio::test]
async fn a_request_that_can_be_read_in_two_ways_is_refused() {
    let world = world(&[]);
    let ok = || http("GET", "/pages/home", &[]);
    assert!(world.ask(ok()).await.allowed);
    for (id, path) in [
        ("E01", "//pages/home"),
        ("E02", "/pages/../pages/home"),
        ("E02", "/pages/%2e%2e/pages/home"),
        ("E02", "/pages/..%2fpages/home"),
        ("E02", "/pages/./home"),
        ("E02", "/pages/home/."),
        ("E03", "/pages/x%2Fhome"),
        ("E03", "/pages/x%5Chome"),
        ("E03", "/pages\\home"),
        ("E03", "/pages/%252Fhome"),
        ("E03", "/pages/home%00"),
        ("E03", "/pages/%"),
        ("E03", "/pages/%zz"),
        ("E03", "/pages/%c0%af"),
        ("E04", "/pages/home;x=1"),
        ("E04", "/pages;/../home"),
        ("E04", "/..;/home"),
        ("E05", "/pages/home#x"),
        ("E05", "/pages#/../home"),
        ("E11", "*"),
        ("E11", ""),
        ("E11", "http://shop.example/pages/home"),
        ("E24", "pages/home"),
    ] {
        let answer = world.ask(http("GET", path, &[])).await;
        assert_eq!((answer.status, answer.code), (400, 3), "{id}: {path}");
        answer.is(400, 3, "malformed");
    }
    for (id, path) in [
        ("E06", "/pages/home%3fx"),
        ("E07", "/Pages/home"),
        ("E07", "/pages/home/"),
        ("E07", "/pages/hom%C3%A9"),
        ("E23", "/"),
        ("E23", "/pages"),
    ] {
        let answer = world.ask(http("GET", path, &[])).await;
        assert!(
            !answer.allowed && answer.status != 400,
            "{id}: {path}: {answer:?}"
        );
    }
    assert!(
        world
            .ask(http("GET", "/pages/%68ome?x=/../", &[]))
            .await
            .allowed
    );
    // E10: methods are what they are, and no header says otherwise.
    for method in ["get", "GET ", ""] {
        let answer = world.ask(http(method, "/pages/home", &[])).await;
        answer.is(400, 3, "malformed");
    }
    for method in ["PROPFIND", "TRACE"] {
        let answer = world.ask(http(method, "/orders/o-1", &[])).await;
        answer.is(403, 7, "no_route");
    }
    let override_method = [("x-http-method-override", "POST")];
    let answer = world
        .ask(http("GET", "/orders/o-1", &override_method))
        .await;
    answer.is(403, 7, "no_route");

    type Change = fn(&mut HttpRequest);
    let changes: [(&str, Change); 10] = [
        ("E09", |it| it.path = "/pages/alice".to_owned()),
        ("E09", |it| it.method = "HEAD".to_owned()),
        ("E09", |it| it.host = "other.example".to_owned()),
        ("E09", |it| set(it, "host", "other.example")),
        ("E09", |it| it.scheme = "https".to_owned()),
        ("E06", |it| it.query = "x=1".to_owned()),
        ("E05", |it| it.fragment = "x".to_owned()),
        ("E12", |it| set(it, ":Path", "/pages/home")),
        ("E15", |it| set(it, "connection", "close, X-Auth-Subject")),
        ("E08", |it| {
            it.host = "user@shop.example".to_owned();
            set(it, ":authority", "user@shop.example");
        }),
    ];
    for (id, change) in changes {
        let mut changed = ok();
        set(&mut changed, ":scheme", "");
        change(&mut changed);
        let answer = world.ask(changed).await;
        assert_eq!((answer.status, answer.code), (400, 3), "{id}: {answer:?}");
    }
    let mut many = ok();
    for n in 0..10_000 {
        many.headers.insert(format!("x-{n}"), String::new());
    }
    // E17
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
    // E27
    let world = world(&[]);
    for attributes in [None, Some(AttributeContext::default())] {
        let answer = world.check(Request::new(CheckRequest { attributes })).await;
        answer.is(400, 3, "malformed");
    }
}

#[tokio::test]
async fn a_body_of_which_only_a_part_came_is_told() {
    // E18
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

#[tokio::test]
async fn what_says_nothing_about_the_request_changes_no_answer() {
    let world = world(&[]);
    let json = ("content-type", "application/json");
    let deep = "[".repeat(1000);
    let upgrade = [("connection", "Upgrade"), ("upgrade", "websocket")];
    type Change<'a> = &'a dyn Fn(&mut CheckRequest);
    let http = |it: &mut CheckRequest, change: &dyn Fn(&mut HttpRequest)| {
        let attributes = it.attributes.as_mut().unwrap();
        change(attributes.request.as_mut().unwrap().http.as_mut().unwrap());
    };
    let body = |it: &mut CheckRequest, body: &str| {
        http(it, &|http| {
            set(http, json.0, json.1);
            http.body = body.to_owned();
            http.raw_body = body.as_bytes().to_vec();
        });
    };
    let dated = |it: &mut CheckRequest, seconds: i64| {
        let request = it.attributes.as_mut().unwrap().request.as_mut().unwrap();
        request.time = Some(Timestamp { seconds, nanos: 0 });
    };
    let rows: [(&str, Change<'_>); 10] = [
        ("E19", &|it| {
            body(it, r#"{"path":"/pages/alice","path":"/pages/home"}"#)
        }),
        ("E19", &|it| body(it, &deep)),
        ("E19", &|it| body(it, "NaN")),
        ("E19", &|it| body(it, &"x".repeat(900 * 1024))),
        ("E25", &|it| {
            http(it, &|http| set(http, "referer", "//evil.example"))
        }),
        ("E26", &|it| {
            http(it, &|http| {
                upgrade.iter().for_each(|(k, v)| set(http, k, v))
            })
        }),
        ("E28", &|it| dated(it, 0)),
        ("E28", &|it| dated(it, 253_402_300_799)),
        ("E29", &|it| {
            let extensions = &mut it.attributes.as_mut().unwrap().context_extensions;
            extensions.insert("path".to_owned(), "/pages/home".to_owned());
        }),
        ("E29", &|it| {
            http(it, &|http| {
                set(http, "x-envoy-original-path", "/pages/home")
            })
        }),
    ];
    for (id, change) in rows {
        for (path, status) in [("/pages/home", 200), ("/pages/alice", 403)] {
            let mut asked = request(super::http("GET", path, &[]));
            change(asked.get_mut());
            let answer = world.check(asked).await;
            assert_eq!(answer.status, status, "{id}: {path}: {answer:?}");
            assert!(!answer.headers.contains_key("location"), "{id}");
        }
    }
}
