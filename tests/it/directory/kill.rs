//! The real program, killed under load: what was acknowledged is there.

use std::{
    collections::BTreeSet,
    env,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use doorward::proto::v1::{ListEntitiesRequest, RevokeRequest, revoke_request::What};
use tokio::task::JoinSet;

use super::*;
use crate::{fit::kit, program::Program};

/// What the server has said is stored, and revoked.
#[derive(Default)]
struct Acknowledged {
    stored: BTreeSet<String>,
    revoked: BTreeSet<String>,
}

pub(super) async fn operator(server: &Program) -> Operator {
    let url = format!("http://{}", server.admin);
    Operator::connect(&url).await.unwrap()
}

/// Writes and revokes until the server is gone.
async fn load(
    operator: Operator,
    name: String,
    told: Arc<Mutex<Acknowledged>>,
    stop: Arc<AtomicBool>,
) {
    for n in 0_u64.. {
        if stop.load(Ordering::Relaxed) {
            return;
        }
        let id = format!("{name}-{n}");
        if n % 4 == 3 {
            let revoke = RevokeRequest {
                issuer: "dev".to_owned(),
                what: Some(What::Jti(id.clone())),
                issued_before: None,
            };
            match operator.revoke(revoke).await {
                Ok(_) => told.lock().unwrap().revoked.insert(id),
                Err(_) => return,
            };
        } else {
            let group = put(entity(&format!("Group::\"{id}\""), &[], &[]));
            match operator.write("", vec![group]).await {
                Ok(_) => told.lock().unwrap().stored.insert(id),
                Err(_) => return,
            };
        }
    }
}

async fn stored(operator: &Operator) -> BTreeSet<String> {
    let mut request = ListEntitiesRequest {
        page_size: 1_000,
        ..ListEntitiesRequest::default()
    };
    let mut found = BTreeSet::new();
    loop {
        let page = operator.list(request.clone()).await.unwrap();
        let names = page.entities.into_iter().filter_map(|it| it.entity?.uid);
        found.extend(names.map(|it| it.id));
        if page.next_page_token.is_empty() {
            return found;
        }
        request.page_token = page.next_page_token;
    }
}

/// `LEDGER_KILLS` says how often.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_killed_has_what_it_acknowledged() {
    let kills: usize = env::var("LEDGER_KILLS").map_or(12, |it| it.parse().unwrap());
    let root = tempfile::tempdir().unwrap();
    write_rules(root.path(), SCHEMA);
    let told = Arc::new(Mutex::new(Acknowledged::default()));
    let mut server = kit::program(root.path(), "", 1024);
    let mut acknowledged = 0;
    for life in 0..kills {
        let stop = Arc::new(AtomicBool::new(false));
        let mut writers = JoinSet::new();
        for n in 0..6 {
            let name = format!("k{life}-{n}");
            let work = load(
                operator(&server).await,
                name,
                Arc::clone(&told),
                Arc::clone(&stop),
            );
            writers.spawn(work);
        }
        let count = || {
            let told = told.lock().unwrap();
            told.stored.len() + told.revoked.len()
        };
        let before = count();
        server.wait_for("writes", || (count() > before + 24).then_some(()));
        // Not at the same moment of a write each time.
        let moment = u64::try_from(life).unwrap() * 37 % 29;
        tokio::time::sleep(Duration::from_millis(moment)).await;
        server.kill();
        stop.store(true, Ordering::Relaxed);
        writers.join_all().await;
        server = kit::program(root.path(), "", 1024);
        let operator = operator(&server).await;
        let there = stored(&operator).await;
        let here = std::mem::take(&mut told.lock().unwrap().stored);
        let lost: Vec<_> = here.difference(&there).collect();
        let before = format!("k{life}-");
        let back: Vec<_> = there.iter().filter(|id| !id.starts_with(&before)).collect();
        assert!(
            lost.is_empty() && back.is_empty(),
            "life {life} lost {lost:?}, and has again {back:?}\n{}",
            server.log()
        );
        acknowledged += here.len();
        // A long run keeps no more than one life's, and what was removed may not come back.
        let gone = there.iter().map(|id| delete(&format!("Group::\"{id}\"")));
        operator.write("", gone.collect()).await.unwrap();
        let last = told.lock().unwrap().revoked.last().cloned();
        if let Some(jti) = last {
            let json = format!("\"{jti}\"");
            let token = kit::mint(
                &root.path().join("data"),
                "alice",
                "",
                doorward::model::SignedDuration::from_mins(5),
                &[("jti", &json)],
            );
            let url = format!("http://{}", server.grpc);
            let client = doorward::client::Client::connect(&url).await.unwrap();
            let answered = client.check(ask(&token, "read", "Doc::\"d\"")).await;
            assert!(
                matches!(answered, Err(ClientError::Refused(_))),
                "life {life}: {answered:?}"
            );
        }
    }
    let revoked = told.lock().unwrap().revoked.len();
    eprintln!(
        "{kills} kills: {acknowledged} entities and {revoked} revocations acknowledged, none lost"
    );
    assert!(acknowledged > kills && revoked > kills / 2);
}
