//! What operators were refused, as the decision log has it.

use doorward::{
    client::Code,
    proto::v1::{
        Expectation, ListEntitiesRequest, QueryRecordsRequest, RecordFilter, RevokeRequest,
        expectation, revoke_request::What,
    },
};

use super::*;

/// The code and the id of a refusal.
#[track_caller]
fn refused<T: std::fmt::Debug>(answer: Result<T, ClientError>) -> (Code, String) {
    match answer {
        Err(ClientError::Refused(why)) => (why.code, why.decision_id),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn what_an_operator_may_do_and_is_refused_all_the_same_is_recorded_under_its_id() {
    let callers = [
        caller("keeper", "\"directory\""),
        caller("revoker", "\"revoke\""),
        caller("auditor", "\"audit\""),
    ];
    let root = tempfile::tempdir().unwrap();
    let extra = format!("[audit]\nmode = \"required\"\n{}", callers.concat());
    let mut kept = Kept::start_in(root, false, &extra).await;
    let of = |name: &str| kept.operator.clone().with_secret(name).unwrap();
    let (keeper, revoker, auditor) = (of("keeper"), of("revoker"), of("auditor"));
    let group = |parents: &[&str]| put(entity("Group::\"g\"", &[], parents));
    let itself = group(&["Group::\"g\""]);
    let is_there = Some(expectation::Kind::Absent(false));
    let conflict = EntityChange {
        expectation: Some(Expectation { kind: is_there }),
        ..group(&[])
    };
    let many = vec![group(&[]); 1_001];
    let unknown = put(entity("Nobody::\"n\"", &[], &[]));
    let list = |bundle: &str, token: &str, revision: &str| ListEntitiesRequest {
        bundle: bundle.to_owned(),
        page_token: token.to_owned(),
        at_least_revision: revision.to_owned(),
        ..ListEntitiesRequest::default()
    };
    let revoke = RevokeRequest {
        issuer: "nobody".to_owned(),
        what: Some(What::Jti("t".to_owned())),
        issued_before: None,
    };
    let query = QueryRecordsRequest {
        filter: Some(RecordFilter {
            outcome: "perhaps".to_owned(),
            ..RecordFilter::default()
        }),
        ..QueryRecordsRequest::default()
    };
    let (invalid, missing) = (Code::InvalidArgument, Code::NotFound);
    let cases = [
        (
            refused(keeper.write("", vec![unknown]).await),
            invalid,
            ["keeper", "write", "malformed", "unknown_type"],
        ),
        (
            refused(keeper.write("", vec![itself]).await),
            invalid,
            ["keeper", "write", "malformed", "hierarchy"],
        ),
        (
            refused(keeper.write("", vec![conflict]).await),
            Code::FailedPrecondition,
            ["keeper", "write", "conflict", "conflict"],
        ),
        (
            refused(keeper.write("", many).await),
            Code::ResourceExhausted,
            ["keeper", "write", "too_large", "too_large"],
        ),
        (
            refused(keeper.list(list("", "?", "")).await),
            invalid,
            ["keeper", "read", "malformed", "page_token"],
        ),
        (
            refused(keeper.list(list("", "", "x")).await),
            invalid,
            ["keeper", "read", "malformed", "unknown_revision"],
        ),
        (
            refused(keeper.list(list("other", "", "")).await),
            missing,
            ["keeper", "", "unknown_bundle", "unknown_bundle"],
        ),
        (
            refused(revoker.revoke(revoke).await),
            invalid,
            ["revoker", "revoke", "malformed", "unknown_issuer"],
        ),
        (
            refused(auditor.query_records(query).await),
            invalid,
            ["auditor", "audit", "malformed", "outcome"],
        ),
    ];
    // Whoever is not known is not told which bundles there are.
    let (code, _) = refused(of("stranger").list(list("other", "", "")).await);
    assert_eq!(code, Code::Unauthenticated);
    kept.server.stop();
    kept.server.ended().await.unwrap();
    let records = kept.server.records();
    for ((code, id), expected, [caller, action, refusal, reason]) in &cases {
        assert_eq!(code, expected, "{reason}");
        let found: Vec<_> = records
            .iter()
            .filter(|it| it["decision_id"] == **id)
            .collect();
        let [record] = found[..] else {
            panic!("{reason} under `{id}`: {found:?}");
        };
        let action = match *action {
            "" => serde_json::Value::Null,
            action => format!("Action::\"{action}\"").into(),
        };
        for (member, expected) in [
            ("kind", "refusal".into()),
            ("face", "admin".into()),
            ("caller", (*caller).into()),
            ("refusal", (*refusal).into()),
            ("reason", (*reason).into()),
            ("action", action),
        ] {
            assert_eq!(record[member], expected, "{record}");
        }
    }
}
