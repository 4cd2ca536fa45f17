//! A recorded decision is explained by what was known when it was made.

use std::{fs, path::Path, process::Command};

use serde_json::Value as Json;

use super::*;
use crate::fit::kit::recorded;

const AUDIT: &str = "[audit]\nmode = \"required\"\n";

/// `doorward why`, beside the server whose data directory is in `root`.
#[track_caller]
fn why(root: &Path, id: &str, flags: &[&str], code: i32, says: &[&str]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_doorward"))
        .args(["why", id, "--data"])
        .arg(root.join("data"))
        .args(flags)
        .env("NO_COLOR", "1")
        .output()
        .unwrap();
    let text = [output.stdout, output.stderr].concat();
    let text = String::from_utf8(text).unwrap();
    assert_eq!(output.status.code(), Some(code), "{text}");
    for part in says {
        assert!(text.contains(part), "no `{part}` in:\n{text}");
    }
    text
}

/// A server with a document of olga's, and alice among the staff.
async fn staffed(extra: &str) -> Kept {
    let root = tempfile::tempdir().unwrap();
    let kept = Kept::start_in(root, true, &format!("{AUDIT}{extra}")).await;
    kept.write(vec![
        put(entity("Doc::\"d\"", &[("owner", text("olga"))], &[])),
        put(entity("Group::\"staff\"", &[], &[])),
        put(entity("User::\"alice\"", &[], &["Group::\"staff\""])),
    ])
    .await
    .unwrap();
    kept
}

/// The id of the newest record.
fn newest(root: &Path) -> String {
    let record = recorded(root).pop().unwrap();
    record["decision_id"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_decision_is_explained_by_the_directory_as_it_was() {
    let kept = staffed("").await;
    let root = kept.server.root.path();
    let read = ask(&kept.token("alice"), "read", "Doc::\"d\"");
    let allowed = kept.decide(read.clone()).await.unwrap().decision_id;
    kept.put(entity("User::\"alice\"", &[], &[])).await.unwrap();
    let denied = kept.decide(read.clone()).await.unwrap().decision_id;
    let low = entity("User::\"alice\"", &[("level", Kind::Int64(-5))], &[]);
    kept.put(low).await.unwrap();
    let forbidden = kept.decide(read).await.unwrap().decision_id;
    kept.write(vec![delete("User::\"alice\""), delete("Doc::\"d\"")])
        .await
        .unwrap();

    let both = ["--replay", "--explain"];
    why(
        root,
        &allowed,
        &both,
        0,
        &[
            "User::\"alice\" Action::\"read\" Doc::\"d\": allow (permitted)",
            "decided again: the same, by the same policies",
            "ALLOW  a policy permits it and none forbids it",
            "permit `staff-reads`  docs.cedar:2",
            "`principal` is User::\"alice\", in Group::\"staff\"",
        ],
    );
    why(
        root,
        &denied,
        &both,
        0,
        &[
            "decided again: the same",
            "DENY  no policy permits it",
            "nearest permit `owner-reads`",
            "false: `resource.owner` is User::\"olga\"",
            "next permit `staff-reads`",
            "false: `principal` is User::\"alice\", in no Group",
            "it would be allowed if `resource.owner` was `User::\"alice\"`",
            "or if `principal` was in `Group::\"staff\"`",
        ],
    );
    why(
        root,
        &forbidden,
        &both,
        0,
        &[
            "DENY  a policy forbids it",
            "forbid `low`",
            "`principal.level` is -5",
        ],
    );
    let told = why(root, &denied, &["--json", "--replay", "--explain"], 0, &[]);
    let told: Json = serde_json::from_str(&told).unwrap();
    assert_eq!(told["decision_id"], denied.as_str());
    assert_eq!(told["replayed"]["same"], true);
    let explanation = &told["explanation"];
    assert_eq!(explanation["outcome"], "deny");
    assert_eq!(explanation["nearest"][1]["policy_id"], "staff-reads");
    assert_eq!(explanation["decision_id"], denied.as_str());
    assert_eq!(explanation["revision"], told["revision"]);
    assert_eq!(explanation["bundle_digest"], told["bundle_digest"]);
}

#[tokio::test]
async fn a_refusal_says_what_was_refused_and_whose_business_that_is() {
    let kept = staffed("").await;
    let root = kept.server.root.path();
    let unknown = ask(&kept.token("alice"), "shred", "Doc::\"d\"");
    kept.decide(unknown).await.unwrap_err();
    let both = ["--replay", "--explain"];
    why(
        root,
        &newest(root),
        &both,
        0,
        &[
            "refused (unknown_action)",
            "refused again: for the same reason",
            "no policy was asked: the question does not fit the bundle's schema",
        ],
    );
    kept.decide(ask("a.b.c", "read", "Doc::\"d\""))
        .await
        .unwrap_err();
    // Of strangers examples are kept, and written once a second.
    let mut id = newest(root);
    for _ in 0..100 {
        let record = recorded(root).pop().unwrap();
        if record["refusal"] == "unauthenticated" {
            id = record["decision_id"].as_str().unwrap().to_owned();
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    why(
        root,
        &id,
        &["--explain"],
        0,
        &["no policy was asked: the subject's credential was not accepted"],
    );
    let nobody = "01a1fd86-cd60-7a93-b2e1-e92a64df74bd";
    why(root, nobody, &["--explain"], 1, &["is not in the log"]);
}

#[tokio::test]
async fn what_is_not_kept_is_named() {
    let kept = staffed("redact = [\"entity:Doc\", \"token\"]\n").await;
    let root = kept.server.root.path();
    let read = ask(&kept.token("alice"), "read", "Doc::\"d\"");
    let hidden = kept.decide(read).await.unwrap().decision_id;
    let says =
        "pseudonyms stand for facts that it needs, by a rule of `audit.redact`: resource's id";
    let explained = format!("cannot be explained: {says}");
    let replayed = format!("cannot be decided again: {says}");
    let both = ["--replay", "--explain"];
    why(root, &hidden, &both, 1, &[&explained, &replayed]);
    let told = why(root, &hidden, &["--explain", "--json"], 1, &[]);
    let told: Json = serde_json::from_str(&told).unwrap();
    assert_eq!(told["not_explained"], says);
    assert_eq!(told["explanation"], Json::Null);

    // Without the pseudonym of a document, that of a token does not matter.
    let kept = staffed("redact = [\"token\"]\n").await;
    let root = kept.server.root.path();
    let read = ask(&kept.token("alice"), "read", "Doc::\"d\"");
    let id = kept.decide(read).await.unwrap().decision_id;
    why(root, &id, &both, 0, &["pseudonyms", "ALLOW", "the same"]);
    let ledger = root.join("data/ledger");
    fs::rename(&ledger, root.join("elsewhere")).unwrap();
    let says = "its rules look at the directory, which is not at hand as it was then: cannot list";
    why(root, &id, &both, 1, &[says]);
    fs::rename(root.join("elsewhere"), &ledger).unwrap();
    fs::remove_dir_all(root.join("data/bundles")).unwrap();
    why(
        root,
        &id,
        &both,
        1,
        &["the bundle that decided it", "is not kept"],
    );
}
