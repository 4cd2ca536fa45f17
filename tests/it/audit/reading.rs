//! Looking for records, one record, and records as they come.

use super::*;
use crate::program::doorward;

#[tokio::test]
async fn records_are_found_by_what_was_decided_a_page_at_a_time() {
    let server = Running::start(REQUIRED).await;
    let made = asked(&server, &["alice", "bob", "alice", "bob", "carol"]).await;
    let garbage = server.client().await.check(ask("a.b.c")).await;
    assert!(garbage.is_err());
    let operator = operator(&server).await;
    let denied = [&made[1], &made[3], &made[4]].map(Clone::clone);
    for size in [1, 2, 100] {
        assert_eq!(pages(&operator, filter("deny"), size, false).await, denied);
        let mut back = pages(&operator, filter("deny"), size, true).await;
        back.reverse();
        assert_eq!(back, denied);
    }
    let of_bob = RecordFilter {
        subject: "User::\"bob\"".to_owned(),
        ..filter("")
    };
    assert_eq!(pages(&operator, of_bob, 10, false).await, denied[..2]);
    let nothing = RecordFilter {
        policy: "owner-reads".to_owned(),
        ..filter("deny")
    };
    assert!(pages(&operator, nothing, 10, false).await.is_empty());

    let found = record(&operator, "", &made[1]).await.unwrap();
    assert_eq!(
        [
            &found.outcome,
            &found.cause,
            &found.subject,
            &found.resource
        ],
        ["deny", "nothing_permits", "User::\"bob\"", "Order::\"o-1\""]
    );
    assert!(found.json.contains("\"facts\"") && found.sequence > 0);
    let none = record(&operator, "", "01a1fd86-cd60-7a93-b2e1-e92a64df74bd").await;
    refused(none, Code::NotFound, "unknown_decision");
    // Who read it is recorded as well.
    let reads = RecordFilter {
        bundle: String::new(),
        action: "audit".to_owned(),
        resource: "Bundle::\"default\"".to_owned(),
        ..filter("allow")
    };
    let began = std::time::Instant::now();
    // Nobody waits for these records.
    while pages(&operator, reads.clone(), 100, false).await.len() < 6 {
        assert!(began.elapsed() < crate::program::PATIENCE);
    }
    let bad = record(&operator, "", "x").await;
    refused(bad, Code::InvalidArgument, "");
    let request = QueryRecordsRequest {
        filter: Some(filter("maybe")),
        ..QueryRecordsRequest::default()
    };
    let bad = operator.query_records(request).await;
    refused(bad, Code::InvalidArgument, "");
    let request = QueryRecordsRequest {
        page_token: "x".to_owned(),
        ..QueryRecordsRequest::default()
    };
    let bad = operator.query_records(request).await;
    refused(bad, Code::InvalidArgument, "");
}

#[tokio::test]
async fn a_tail_has_what_comes_and_is_looked_for() {
    let server = Running::start(REQUIRED).await;
    asked(&server, &["bob"]).await;
    let operator = operator(&server).await;
    let mut denies = operator.tail_records(tail(filter("deny"))).await.unwrap();
    let mut allows = operator.tail_records(tail(filter("allow"))).await.unwrap();
    // Both are there once they have what was asked after them.
    let made = asked(&server, &["alice", "bob", "alice", "bob"]).await;
    assert_eq!(
        next(&mut denies, 2).await,
        [made[1].clone(), made[3].clone()]
    );
    assert_eq!(
        next(&mut allows, 2).await,
        [made[0].clone(), made[2].clone()]
    );
}

#[tokio::test]
async fn a_reader_that_is_slow_holds_nobody_up_and_misses_nothing_it_could_have() {
    let server = Running::start(REQUIRED).await;
    let operator = operator(&server).await;
    let mut slow = operator.tail_records(tail(filter("deny"))).await.unwrap();
    let names = ["bob"; 700];
    let made = tokio::time::timeout(crate::program::PATIENCE, asked(&server, &names));
    let made = made.await.unwrap();
    assert_eq!(next(&mut slow, made.len()).await, made);
}

#[tokio::test]
async fn tails_are_bounded_and_end_with_the_server() {
    let mut server = Running::start(REQUIRED).await;
    let operator = operator(&server).await;
    let mut open = Vec::new();
    let full = loop {
        match operator.tail_records(tail(filter(""))).await {
            Ok(tail) => open.push(tail),
            Err(why) => break why,
        }
    };
    assert_eq!(open.len(), 16);
    refused(Err::<(), _>(full), Code::ResourceExhausted, "overloaded");
    drop(open.pop());
    let began = std::time::Instant::now();
    while operator.tail_records(tail(filter(""))).await.is_err() {
        assert!(began.elapsed() < crate::program::PATIENCE);
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    server.stop();
    server.ended().await.unwrap();
    for mut tail in open {
        // What came before its end, and then the end.
        while let Ok(Some(_)) = tail.next().await {}
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_command_line_says_the_same_of_a_server_as_of_its_files() {
    let server = Running::start(REQUIRED).await;
    let made = asked(&server, &["alice", "bob", "alice", "bob"]).await;
    let at = format!("--server=http://{}", server.admin);
    let run = |words: &[&str]| {
        let out = doorward(server.root.path()).args(words).output().unwrap();
        assert!(out.status.success(), "{out:?}");
        String::from_utf8(out.stdout).unwrap()
    };
    let deny = ["audit", "query", "--outcome", "deny"];
    for form in [&["--json"][..], &[], &["--newest"], &["--limit", "1"]] {
        let words = [&deny, form].concat();
        let there = run(&[&words, &[at.as_str()][..]].concat());
        assert_eq!(there, run(&words));
        assert!(there.contains(&made[3]) || form.len() == 2, "{there}");
    }
    let one = ["audit", "query", "--json", "--id", &made[0]];
    assert_eq!(run(&[&one, &[at.as_str()][..]].concat()), run(&one));
    let newest = ["audit", "tail", "--json", "-n", "1", "--outcome", "deny"];
    let there = run(&[&newest, &[at.as_str()][..]].concat());
    assert_eq!(there, run(&newest));
    assert!(there.contains(&made[3]), "{there}");
}

#[tokio::test]
async fn holds_are_kept_by_name() {
    let mut server = Running::start(REQUIRED).await;
    let made = asked(&server, &["alice"]).await;
    server.stop();
    server.ended().await.unwrap();
    let hold = |words: &[&str], code: i32, says: &str| {
        let mut command = doorward(server.root.path());
        let out = command
            .args(["audit", "hold"])
            .args(words)
            .output()
            .unwrap();
        let text = [out.stdout, out.stderr].concat();
        let text = String::from_utf8(text).unwrap();
        assert_eq!(out.status.code(), Some(code), "{words:?}: {text}");
        assert!(text.contains(says), "{words:?}: {text}");
    };
    let id = made[0].as_str();
    hold(&["list"], 0, "");
    hold(
        &["add", "a", "--decision", id, "--reason", "asked for"],
        0,
        "1 segment",
    );
    hold(
        &["add", "b", "--until", "2000-01-01T00:00:00Z"],
        0,
        "0 segments",
    );
    hold(
        &["add", "b", "--since", "2000-01-01T00:00:00Z"],
        1,
        "`b` is held already",
    );
    hold(&["add", "c"], 64, "--since");
    let backwards = [
        "--since",
        "2001-01-01T00:00:00Z",
        "--until",
        "2000-01-01T00:00:00Z",
    ];
    hold(&[&["add", "c"][..], &backwards].concat(), 64, "later");
    let unknown = "01a1fd86-cd60-7a93-b2e1-e92a64df74bd";
    hold(&["add", "d", "--decision", unknown], 1, "is not in the log");
    hold(&["list"], 0, &format!("a  decision {id}  asked for"));
    hold(&["list", "--json"], 0, "\"until\":\"2000-01-01T00:00:00Z\"");
    hold(&["remove", "a"], 0, "let go `a`");
    hold(&["remove", "a"], 1, "nothing is held as `a`");
}
