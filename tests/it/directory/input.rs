//! What may not be stored, and by whom.

use std::collections::BTreeSet;

use doorward::{
    client::{ClientError, Code},
    proto::v1::{Expectation, ListEntitiesRequest, ValueRecord, expectation, value::Kind},
};

use super::*;

impl Kept {
    #[track_caller]
    fn check(&self, written: Result<String, ClientError>, expected: Option<(Code, &str)>) {
        match (written, expected) {
            (Ok(_), None) => {}
            (Err(ClientError::Refused(why)), Some((code, says))) => {
                let faults = format!("{why} {:?}", why.violations);
                assert_eq!(why.code, code, "{faults}");
                assert!(faults.contains(says), "no `{says}` in {faults}");
            }
            (other, expected) => panic!("{other:?} in place of {expected:?}"),
        }
    }
}

#[tokio::test]
async fn what_the_schema_or_the_sources_do_not_allow_is_not_stored() {
    let kept = Kept::start().await;
    let doc = |attributes: &[(&str, Kind)]| {
        let owner = [("owner", text("olga"))];
        let all = [&owner[..], attributes].concat();
        entity("Doc::\"d\"", &all, &[])
    };
    let nested = (0..40).fold(text("x"), |inner, _| {
        let value = Value { kind: Some(inner) };
        let members = [("n".to_owned(), value)].into();
        Kind::Record(ValueRecord { members })
    });
    let invalid = Code::InvalidArgument;
    let cases = [
        // I02
        (
            entity("Group::\"g\"", &[], &["Group::\"g\""]),
            Some((invalid, "its own ancestor")),
        ),
        // I03: a parent that nobody has stored may be named.
        (entity("Group::\"g\"", &[], &["Group::\"absent\""]), None),
        // I05
        (
            doc(&[("note", nested)]),
            Some((Code::Internal, "recursion limit")),
        ),
        (
            doc(&[("tags", text(&"x".repeat(9_000_000)))]),
            Some((Code::OutOfRange, "")),
        ),
        // I06, I09
        (doc(&[("colour", text("red"))]), Some((invalid, "colour"))),
        (doc(&[("tags", text("red"))]), Some((invalid, "tags"))),
        (
            entity("Doc::\"d\"", &[], &[]),
            Some((invalid, "is required")),
        ),
        (
            entity("Doc::\"d\"", &[("owner", Kind::Int64(7))], &[]),
            Some((invalid, "owner")),
        ),
        (
            entity("Doc::\"d\"", &[("owner", text("a"))], &["User::\"u\""]),
            Some((invalid, "never in")),
        ),
        // I07, I08
        (
            entity("Action::\"read\"", &[], &[]),
            Some((invalid, "no entity type `Action`")),
        ),
        (
            entity("__cedar::Long::\"l\"", &[], &[]),
            Some((invalid, "no entity type")),
        ),
        (entity("Team::\"t\"", &[], &[]), Some((invalid, "no fact"))),
        (
            entity("Nobody::\"n\"", &[], &[]),
            Some((invalid, "no entity type `Nobody`")),
        ),
        // I10
        (
            doc(&[("ip", Kind::Ip("999.1.1.1".into()))]),
            Some((invalid, "ip")),
        ),
        (
            doc(&[("price", Kind::Decimal("1.23456".into()))]),
            Some((invalid, "price")),
        ),
        (
            doc(&[("when", Kind::Datetime("2024-13-01".into()))]),
            Some((invalid, "when")),
        ),
        (
            doc(&[
                ("ip", Kind::Ip("10.0.0.1".into())),
                ("price", Kind::Decimal("1.5".into())),
            ]),
            None,
        ),
    ];
    for (entity, expected) in cases {
        kept.check(kept.put(entity).await, expected);
    }
    // I04
    let chain = |n: usize| {
        put(entity(
            &format!("Group::\"c{n}\""),
            &[],
            &[&format!("Group::\"c{}\"", n + 1)],
        ))
    };
    let deep = kept.write((0..100).rev().map(chain).collect()).await;
    kept.check(deep, Some((invalid, "64 levels")));
    // I11: all or nothing, and an error.
    let many = (0..1_001).map(|n| put(entity(&format!("Group::\"m{n}\""), &[], &[])));
    kept.check(
        kept.write(many.collect()).await,
        Some((Code::ResourceExhausted, "")),
    );
    let listed = kept
        .operator
        .list(ListEntitiesRequest::default())
        .await
        .unwrap();
    assert_eq!(listed.entities.len(), 2, "{listed:?}");
}

#[tokio::test]
async fn a_write_may_expect_what_is_there() {
    let kept = Kept::start().await;
    let group = entity("Group::\"g\"", &[], &[]);
    let expecting = |kind| EntityChange {
        expectation: Some(Expectation { kind: Some(kind) }),
        ..put(group.clone())
    };
    let absent = |it| expecting(expectation::Kind::Absent(it));
    let conflict = Some((Code::FailedPrecondition, "does not hold"));
    kept.check(kept.write(vec![absent(false)]).await, conflict);
    kept.check(kept.write(vec![absent(true)]).await, None);
    kept.check(kept.write(vec![absent(true)]).await, conflict);
    let version = || async {
        let uid = uid("Group::\"g\"").into();
        kept.operator.get("", uid).await.unwrap().unwrap().version
    };
    let first = version().await;
    let of = |it: &str| expecting(expectation::Kind::Version(it.to_owned()));
    kept.check(kept.write(vec![of(&first)]).await, None);
    kept.check(kept.write(vec![of(&first)]).await, conflict);
    kept.check(kept.write(vec![of(&version().await)]).await, None);
    let both = vec![delete("Group::\"g\""), absent(false)];
    kept.check(kept.write(both).await, conflict);
    assert!(!version().await.is_empty());
}

#[tokio::test]
async fn lists_go_page_by_page_in_order() {
    let kept = Kept::start().await;
    let groups = (0..25).map(|n| {
        put(entity(
            &format!("Group::\"g{n:02}\""),
            &[],
            &["Group::\"g00\""],
        ))
    });
    // The first may not be in itself.
    let mut groups: Vec<_> = groups.collect();
    groups[0] = put(entity("Group::\"g00\"", &[], &[]));
    groups.push(put(entity("User::\"u\"", &[], &["Group::\"g01\""])));
    kept.write(groups).await.unwrap();
    let list = |request: ListEntitiesRequest| async {
        let mut request = request;
        let mut found = Vec::new();
        loop {
            let page = kept.operator.list(request.clone()).await.unwrap();
            assert!(page.entities.len() <= 10);
            let names = page.entities.into_iter().filter_map(|it| it.entity?.uid);
            found.extend(names.map(|it| it.id));
            if page.next_page_token.is_empty() {
                return found;
            }
            request.page_token = page.next_page_token;
        }
    };
    let of = |type_name: &str, parent: Option<&str>| ListEntitiesRequest {
        r#type: type_name.to_owned(),
        parent: parent.map(|it| uid(it).into()),
        page_size: 10,
        ..ListEntitiesRequest::default()
    };
    let groups: Vec<_> = (0..25).map(|n| format!("g{n:02}")).collect();
    assert_eq!(list(of("Group", None)).await, groups);
    assert_eq!(list(of("", None)).await.len(), 26);
    assert_eq!(list(of("", Some("Group::\"g01\""))).await, ["u"]);
    assert_eq!(list(of("Group", Some("Group::\"g00\""))).await.len(), 24);
}

#[tokio::test]
async fn each_page_goes_on_where_the_last_one_ended_while_entities_come_and_go() {
    let kept = Kept::start().await;
    let name = |n: usize, part: &str| format!("g{n:03}{part}");
    let group = |id: &str| format!("Group::\"{id}\"");
    let mut stored: BTreeSet<String> = (0..200).map(|n| name(n, "")).collect();
    let changes = stored.iter().map(|id| put(entity(&group(id), &[], &[])));
    let mut revision = kept.write(changes.collect()).await.unwrap();
    let mut request = ListEntitiesRequest {
        page_size: 10,
        ..ListEntitiesRequest::default()
    };
    let (mut last, mut pages) = (String::new(), 0);
    loop {
        let page = kept.operator.list(request.clone()).await.unwrap();
        assert_eq!(page.revision, revision);
        let names = page.entities.into_iter().filter_map(|it| it.entity?.uid);
        let found: Vec<_> = names.map(|it| it.id).collect();
        let left = stored.iter().filter(|id| **id > last).take(10);
        assert_eq!(found, left.cloned().collect::<Vec<_>>(), "after {last}");
        pages += 1;
        if page.next_page_token.is_empty() {
            break;
        }
        request.page_token = page.next_page_token;
        last = found.last().unwrap().clone();
        // On either side of the cursor one goes and one comes.
        let at: usize = last[1..4].parse().unwrap();
        let (gone, come) = (
            [name(at - 1, ""), name(at + 3, "")],
            [name(at - 2, "-late"), name(at + 2, "-new")],
        );
        let gone = gone.into_iter().filter(|id| stored.remove(id));
        let mut changes: Vec<_> = gone.map(|id| delete(&group(&id))).collect();
        changes.extend(come.iter().map(|id| put(entity(&group(id), &[], &[]))));
        stored.extend(come);
        revision = kept.write(changes).await.unwrap();
    }
    assert!(pages >= 20, "{pages}");
}

#[tokio::test]
async fn facts_of_the_directory_are_not_the_requests_to_state() {
    let kept = Kept::start().await;
    let token = kept.token("alice");
    // I14
    let mut request = ask(&token, "read", "Doc::\"d\"");
    request.entities = vec![entity("User::\"alice\"", &[("level", Kind::Int64(5))], &[])];
    assert_eq!(kept.outcome(request.clone()).await, "malformed");
    request.entities = vec![entity("Doc::\"d\"", &[("owner", text("alice"))], &[])];
    assert_eq!(kept.outcome(request).await, "malformed");
}

#[tokio::test]
async fn only_callers_with_the_right_keep_the_directory_and_revoke() {
    let callers = [
        caller("keeper", "\"directory\""),
        caller("asker", "\"check\", \"vouch\", \"explain\""),
        caller("revoker", "\"revoke\""),
    ];
    let root = tempfile::tempdir().unwrap();
    let kept = Kept::start_in(root, false, &callers.concat()).await;
    let group = || put(entity("Group::\"g\"", &[], &[]));
    let of = |name: &str| kept.operator.clone().with_secret(name).unwrap();
    kept.check(
        kept.write(vec![group()]).await,
        Some((Code::Unauthenticated, "")),
    );
    for (name, expected) in [
        ("keeper", None),
        ("asker", Some((Code::PermissionDenied, "directory"))),
        ("revoker", Some((Code::PermissionDenied, "directory"))),
        ("stranger", Some((Code::Unauthenticated, ""))),
    ] {
        kept.check(of(name).write("", vec![group()]).await, expected);
        let listed = of(name).list(ListEntitiesRequest::default()).await;
        kept.check(listed.map(|_| String::new()), expected);
    }
    let revoke = doorward::proto::v1::RevokeRequest {
        issuer: "corp".to_owned(),
        what: Some(doorward::proto::v1::revoke_request::What::Jti(
            "t".to_owned(),
        )),
        issued_before: None,
    };
    for (name, expected) in [
        ("revoker", None),
        ("keeper", Some((Code::PermissionDenied, "revoke"))),
        ("asker", Some((Code::PermissionDenied, "revoke"))),
    ] {
        let revoked = of(name).revoke(revoke.clone()).await;
        kept.check(revoked.map(|it| it.revision), expected);
    }
    let metrics = kept.server.metrics().await;
    for counted in ["caller_lacks_right\"} 6", "caller_unknown\"} 3"] {
        let line = format!("doorward_operator_refusals_total{{code=\"{counted}");
        assert!(metrics.contains(&line), "no `{line}` in:\n{metrics}");
    }
}
