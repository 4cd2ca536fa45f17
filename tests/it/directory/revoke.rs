//! A revocation is in effect on the next request that is asked.

use std::{env, sync::Arc};

use doorward::{
    ledger::record::{LedgerRecord, Revocation, Revoked},
    model::{AccessToken, Refusal, RejectionCode, SignedDuration, Subject},
    store::{Store, StoreOptions, StoreTasks},
};
use serde_json::json;

use crate::kit::{self, Ask, Issuer, Served, now};

const FILES: &[(&str, &str)] = &[
    (
        "schema.cedarschema",
        "entity User; entity Doc; action read appliesTo { principal: [User], resource: [Doc] };",
    ),
    ("all.cedar", "permit (principal, action, resource);"),
    (
        "bundle.toml",
        "[[principal]]\ntype = \"User\"\nid = \"{sub}\"",
    ),
];

/// `REVOKE_TRIES` says how often; each token was accepted, and so remembered, a moment before.
#[test]
fn no_revocation_is_late() {
    let tries: u32 = env::var("REVOKE_TRIES").map_or(1_000, |it| it.parse().unwrap());
    let data = tempfile::tempdir().unwrap();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let (store, tasks) = Store::open(StoreOptions::new(data.path()), |_| ()).unwrap();
    let StoreTasks { writer, checkpoint } = tasks;
    let writer = runtime.spawn_blocking(move || writer.run());
    let checkpoint = checkpoint.map(|task| runtime.spawn_blocking(move || task.run()));
    let store = Arc::new(store);
    let issuer = Issuer::new("corp");
    let pdp = kit::pdp(&[Served::new("b", FILES)], &[&issuer], &[]).unwrap();
    let pdp = pdp.with_store(Arc::clone(&store));
    let doc = || kit::entity("Doc::\"d\"", json!({}));
    for n in 0..tries {
        let claims = json!({ "jti": format!("t{n}"), "sid": format!("s{n}") });
        let Subject::Token(token) = issuer.token(&format!("u{n}"), claims) else {
            unreachable!()
        };
        let again = || Subject::Token(AccessToken::new(token.expose()));
        let ask = || Ask::named(again(), "read", doc());
        ask().of(&pdp).unwrap();
        let what = match n % 3 {
            0 => Revoked::Token(format!("t{n}")),
            1 => Revoked::Session(format!("s{n}")),
            _ => Revoked::Subject {
                subject: format!("u{n}"),
                before: now(),
            },
        };
        let record = LedgerRecord::Revocation(Revocation {
            time: now(),
            by: "test".into(),
            issuer: "https://corp.example/".into(),
            what,
            until: Store::kept_until(now(), SignedDuration::from_hours(24)),
        });
        runtime.block_on(store.write(&record)).unwrap();
        match ask().of(&pdp) {
            Err(Refusal::Unauthenticated(why)) => {
                assert_eq!(why.code, RejectionCode::TokenRevoked);
            }
            late => panic!("try {n}: {late:?}"),
        }
    }
    runtime.block_on(async {
        store.end().await;
        writer.await.unwrap().unwrap();
        if let Some(task) = checkpoint {
            task.await.unwrap();
        }
    });
}
