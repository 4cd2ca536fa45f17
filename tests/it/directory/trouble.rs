//! The real program on a disk that takes no more: what is refused, what goes on, and who is told.

use std::process::Command;

use doorward::proto::v1::decision_service_client::DecisionServiceClient;
use tonic::transport::Endpoint;

use super::*;
use crate::{fit::kit, program::Program};

/// A server that the system tells of a file that is too large, in place of ending it.
fn serve(root: &Path, extra: &str) -> Program {
    write_rules(root, SCHEMA);
    kit::config(root, true, extra).unwrap();
    let mut command = Command::new("sh");
    command
        .args(["-c", "trap '' XFSZ; exec \"$@\"", "sh"])
        .arg(env!("CARGO_BIN_EXE_doorward"))
        .args(["serve", "--dev", "--config", "doorward.toml"])
        .current_dir(root);
    Program::run(&mut command)
}

/// Lets files of the server grow up to `size`.
fn limit(server: &Program, size: &str) {
    let set = Command::new("prlimit")
        .args(["--pid", &server.id().to_string()])
        .arg(format!("--fsize={size}:"))
        .status();
    assert!(set.unwrap().success());
}

async fn decide(server: &Program, token: &str) -> String {
    let endpoint = Endpoint::from_shared(format!("http://{}", server.grpc)).unwrap();
    let mut client = DecisionServiceClient::new(endpoint.connect().await.unwrap());
    match client.check(ask(token, "read", "Doc::\"d\"")).await {
        Ok(answer) => {
            let decision = answer.into_inner().decision.unwrap();
            decision.outcome().as_str_name().to_owned()
        }
        Err(why) => why.to_string(),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_ledger_without_room_refuses_writes_goes_on_deciding_and_is_told() {
    let root = tempfile::tempdir().unwrap();
    let server = serve(root.path(), "[audit]\nmode = \"off\"\n");
    let operator = kill::operator(&server).await;
    let member = |name: &str| {
        let name = format!("User::\"{name}\"");
        put(entity(&name, &[], &["Group::\"staff\""]))
    };
    let staff = put(entity("Group::\"staff\"", &[], &[]));
    let owner = Kind::Entity(uid("User::\"nobody\"").into());
    let doc = put(entity("Doc::\"d\"", &[("owner", owner)], &[]));
    operator
        .write("", vec![staff, doc, member("alice")])
        .await
        .unwrap();
    let data = root.path().join("data");
    let (alice, bob) = (kit::token(&data, "alice"), kit::token(&data, "bob"));
    let told = || async {
        let ready = kit::get(server.probe, "/readyz").await;
        assert!(ready.contains(" 200 OK"), "{ready}");
        let metrics = kit::get(server.probe, "/metrics").await;
        let failing = metrics.contains("doorward_store_failing{part=\"ledger\"} 1");
        let degraded = ready.contains("\"what\":\"ledger\"");
        assert_eq!(failing, degraded, "{ready}\n{metrics}");
        degraded
    };
    let decided = || async { (decide(&server, &alice).await, decide(&server, &bob).await) };
    let before = decided().await;
    assert_eq!((&*before.0, &*before.1), ("OUTCOME_ALLOW", "OUTCOME_DENY"));
    assert!(!told().await);

    limit(&server, "0");
    let refused = operator.write("", vec![member("bob")]).await.unwrap_err();
    assert!(refused.to_string().contains("cannot write"), "{refused}");
    assert!(told().await);
    assert_eq!(decided().await, before);
    server.wait_for_log("writes and revocations are refused");

    limit(&server, "unlimited");
    operator.write("", vec![member("bob")]).await.unwrap();
    assert!(!told().await);
    assert_eq!(decide(&server, &bob).await, "OUTCOME_ALLOW");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_checkpoint_that_is_not_kept_is_told_and_harms_nobody() {
    let root = tempfile::tempdir().unwrap();
    let server = serve(root.path(), "[audit]\nmode = \"off\"\n");
    let operator = kill::operator(&server).await;
    // The checkpoint has more to write of small changes than the ledger has.
    limit(&server, "524288");
    let mut written = 0;
    loop {
        let ready = kit::get(server.probe, "/readyz").await;
        if ready.contains("\"what\":\"checkpoint\"") {
            assert!(ready.contains(" 200 OK"), "{ready}");
            break;
        }
        for _ in 0..50 {
            let name = format!("Group::\"g{written}\"");
            operator
                .write("", vec![put(entity(&name, &[], &[]))])
                .await
                .unwrap();
            written += 1;
        }
    }
    server.wait_for_log("the next start replays the ledger");
    server.kill();
    let server = serve(root.path(), "");
    let operator = kill::operator(&server).await;
    let last = uid(&format!("Group::\"g{}\"", written - 1));
    assert!(operator.get("", last.into()).await.unwrap().is_some());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_program_names_the_task_whose_death_it_ends_with() {
    let root = tempfile::tempdir().unwrap();
    let mut server = serve(root.path(), "");
    let token = kit::token(&root.path().join("data"), "alice");
    decide(&server, &token).await;
    limit(&server, "0");
    server.signal("-TERM");
    let ended = server.ended(crate::program::PATIENCE).await.unwrap();
    assert_eq!(ended.code(), Some(1), "{}", server.log());
    server.wait_for_log(
        "doorward: the task `decision log` died: the last records could not be written",
    );
}
