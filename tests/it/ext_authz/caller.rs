use super::*;

#[tokio::test]
async fn the_proxy_proves_who_it_is_by_its_own_secret() {
    let world = world(&[caller("s3cret", &[Right::Check])]);
    let asked = |secrets: &[&str]| {
        let mut request = request(http("GET", "/pages/home", &[]));
        for secret in secrets {
            let value = MetadataValue::try_from(*secret).unwrap();
            request.metadata_mut().append("x-doorward-caller", value);
        }
        request
    };
    assert!(world.check(asked(&["s3cret"])).await.allowed);
    for wrong in [&[][..], &["other"], &["s3cret", "s3cret"], &[""]] {
        let answer = world.check(asked(wrong)).await;
        answer.is(403, 16, "caller_unknown");
    }
    // The end user's header is no credential of the proxy.
    let mut request = request(http(
        "GET",
        "/pages/home",
        &[("x-doorward-caller", "s3cret")],
    ));
    request
        .metadata_mut()
        .insert("authorization", "Bearer s3cret".parse().unwrap());
    world.check(request).await.is(403, 16, "caller_unknown");
}

#[tokio::test]
async fn claims_that_envoy_verified_count_from_a_gateway_and_within_our_own_checks() {
    let gateway = world(&[caller("s3cret", &[Right::Check, Right::Gateway])]);
    let answer = gateway.check(stated(&[], payload(json!({})))).await;
    answer.is(200, 0, "");
    assert_eq!(answer.headers["x-auth-subject"], "carol");
    let past = now().as_second() - 600;
    for (change, said) in [
        (json!({"exp": past}), "token_expired"),
        (json!({"aud": "other"}), "invalid_token"),
        (json!({"iss": "https://evil.example/"}), "invalid_token"),
        (json!({"cnf": {"jkt": "x"}}), "invalid_token"),
        (json!({"nonce": "n"}), "invalid_token"),
        (json!({"exp": "soon"}), "invalid_token"),
        (json!({"iat": now().as_second() + 600}), "invalid_token"),
    ] {
        let answer = gateway.check(stated(&[], payload(change))).await;
        answer.is(401, 16, said);
    }
    // A token that came along is what counts, good or bad.
    let mut both = stated(&[], payload(json!({})));
    let attributes = both.get_mut().attributes.as_mut().unwrap();
    let http = attributes.request.as_mut().unwrap().http.as_mut().unwrap();
    http.headers
        .insert("authorization".to_owned(), "Bearer a.b.c".to_owned());
    gateway.check(both).await.is(401, 16, "invalid_token");

    let other = world(&[caller("s3cret", &[Right::Check])]);
    let answer = other.check(stated(&[], payload(json!({})))).await;
    answer.is(401, 16, "token_missing");
}

#[tokio::test]
async fn whom_a_certificate_names_counts_from_a_gateway_alone() {
    let asked = |peer: &str| {
        let mut request = request(http("GET", "/doors/d", &[]));
        let attributes = request.get_mut().attributes.as_mut().unwrap();
        attributes.source = Some(attribute_context::Peer {
            principal: peer.to_owned(),
            ..Default::default()
        });
        request
            .metadata_mut()
            .insert("x-doorward-caller", "s3cret".parse().unwrap());
        request
    };
    let gateway = world(&[caller("s3cret", &[Right::Check, Right::Gateway])]);
    gateway
        .check(asked("spiffe://shop/web"))
        .await
        .is(200, 0, "");
    for other in ["spiffe://shop/other", ""] {
        let answer = gateway.check(asked(other)).await;
        answer.is(403, 7, "nothing_permits");
    }
    let other = world(&[caller("s3cret", &[Right::Check])]);
    let answer = other.check(asked("spiffe://shop/web")).await;
    answer.is(403, 7, "nothing_permits");
}

#[tokio::test]
async fn a_route_names_its_bundle_through_a_gateway_alone() {
    let gateway = world(&[caller("s3cret", &[Right::Check, Right::Gateway])]);
    let closed = [("bundle", "closed"), ("color", "red")];
    let answer = gateway.check(stated(&closed, payload(json!({})))).await;
    answer.is(403, 7, "forbidden");
    let answer = gateway
        .check(stated(&[("bundle", "shop")], payload(json!({}))))
        .await;
    answer.is(200, 0, "");
    let unknown = stated(&[("bundle", "nope")], payload(json!({})));
    gateway
        .check(unknown)
        .await
        .is(403, 7, "caller_lacks_right");

    let other = world(&[caller("s3cret", &[Right::Check])]);
    let answer = other.check(stated(&[("bundle", "shop")], None)).await;
    answer.is(403, 7, "caller_lacks_right");
}
