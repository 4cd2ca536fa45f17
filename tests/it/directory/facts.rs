//! Stored facts decide, from the next question on.

use doorward::proto::v1::{CheckRequest, HttpQuestion, check_request::Question, value::Kind};

use super::*;

const ALLOW: &str = "OUTCOME_ALLOW";
const DENY: &str = "OUTCOME_DENY";

#[tokio::test]
async fn a_group_counts_from_its_write_until_its_removal() {
    let kept = Kept::start().await;
    let token = kept.token("alice");
    let read = || ask(&token, "read", "Doc::\"d\"");
    kept.put(entity("Doc::\"d\"", &[("owner", text("olga"))], &[]))
        .await
        .unwrap();
    assert_eq!(kept.outcome(read()).await, DENY);
    // A group that is not stored is none, since groups are the directory's.
    kept.put(entity("User::\"alice\"", &[], &["Group::\"crew\""]))
        .await
        .unwrap();
    assert_eq!(kept.outcome(read()).await, DENY);
    let staff = entity("Group::\"staff\"", &[], &[]);
    let crew = entity("Group::\"crew\"", &[], &["Group::\"staff\""]);
    let alice = entity("User::\"alice\"", &[], &["Group::\"crew\""]);
    kept.write(vec![put(staff.clone()), put(crew), put(alice.clone())])
        .await
        .unwrap();
    assert_eq!(kept.outcome(read()).await, ALLOW);
    // I13: whoever was in it is not any more, at once, and not in a new one of its name either.
    kept.write(vec![delete("Group::\"staff\"")]).await.unwrap();
    assert_eq!(kept.outcome(read()).await, DENY);
    kept.put(staff).await.unwrap();
    assert_eq!(kept.outcome(read()).await, DENY);
    let crew = entity("Group::\"crew\"", &[], &["Group::\"staff\""]);
    kept.put(crew).await.unwrap();
    assert_eq!(kept.outcome(read()).await, ALLOW);
    kept.put(entity("User::\"alice\"", &[], &[])).await.unwrap();
    assert_eq!(kept.outcome(read()).await, DENY);
}

#[tokio::test]
async fn attributes_of_principals_and_resources_and_what_they_refer_to_are_stored() {
    let kept = Kept::start().await;
    let token = kept.token("alice");
    let doc = |owner| entity("Doc::\"d\"", &[("owner", text(owner))], &[]);
    kept.put(doc("alice")).await.unwrap();
    let (read, link) = (
        || ask(&token, "read", "Doc::\"d\""),
        || ask(&token, "link", "Doc::\"d\""),
    );
    assert_eq!(kept.outcome(read()).await, ALLOW);
    let level = |level| entity("User::\"alice\"", &[("level", Kind::Int64(level))], &[]);
    kept.put(level(-1)).await.unwrap();
    assert_eq!(kept.outcome(read()).await, DENY);
    kept.put(level(1)).await.unwrap();
    assert_eq!(kept.outcome(read()).await, ALLOW);
    // Teams are nobody's entities, so being in one is a fact by itself.
    assert_eq!(kept.outcome(link()).await, DENY);
    kept.put(doc("bob")).await.unwrap();
    kept.put(entity("User::\"bob\"", &[], &["Team::\"red\""]))
        .await
        .unwrap();
    assert_eq!(kept.outcome(link()).await, ALLOW);
    assert_eq!(kept.outcome(read()).await, DENY);
}

#[tokio::test]
async fn what_a_url_says_of_a_stored_resource_is_checked() {
    let kept = Kept::start().await;
    let token = kept.token("alice");
    let get = |path: &str| CheckRequest {
        question: Some(Question::Http(HttpQuestion {
            method: "GET".to_owned(),
            path: path.to_owned(),
            ..HttpQuestion::default()
        })),
        ..ask(&token, "read", "Doc::\"d\"")
    };
    kept.put(entity("Doc::\"d\"", &[("owner", text("alice"))], &[]))
        .await
        .unwrap();
    assert_eq!(kept.outcome(get("/alice/docs/d")).await, ALLOW);
    assert_eq!(kept.outcome(get("/bob/docs/d")).await, "resource_mismatch");
    assert_eq!(
        kept.outcome(get("/alice/docs/e")).await,
        "resource_mismatch"
    );
}

#[tokio::test]
async fn every_answer_has_a_revision_and_a_later_one_can_be_asked_for() {
    let kept = Kept::start().await;
    let token = kept.token("alice");
    let at_least = |revision: &str| CheckRequest {
        at_least_revision: revision.to_owned(),
        ..ask(&token, "read", "Doc::\"d\"")
    };
    let first = kept.decide(at_least("")).await.unwrap().revision;
    assert!(!first.is_empty());
    let written = kept
        .put(entity("Doc::\"d\"", &[("owner", text("alice"))], &[]))
        .await
        .unwrap();
    // I12
    let seen = kept.decide(at_least(&written)).await.unwrap();
    assert_eq!(
        (seen.outcome().as_str_name(), seen.revision.as_str()),
        (ALLOW, &*written)
    );
    assert_eq!(kept.outcome(at_least(&first)).await, ALLOW);
    let mut forged = written.clone();
    forged.replace_range(10..11, if &written[10..11] == "A" { "B" } else { "A" });
    assert_eq!(kept.outcome(at_least(&forged)).await, "malformed");
    assert_eq!(kept.outcome(at_least("1")).await, "malformed");
}

#[tokio::test]
async fn rules_that_stored_entities_do_not_fit_are_refused_and_the_old_ones_stay() {
    let kept = Kept::start().await;
    let token = kept.token("alice");
    kept.put(entity("Doc::\"d\"", &[("owner", text("alice"))], &[]))
        .await
        .unwrap();
    let read = || ask(&token, "read", "Doc::\"d\"");
    let before = kept.decide(read()).await.unwrap();
    let schema = SCHEMA.replace("owner: User,", "owner: User, pages: Long,");
    write_rules(kept.server.root.path(), &schema);
    let told = async {
        loop {
            let ready = crate::fit::kit::get(kept.server.probe, "/readyz").await;
            if ready.contains("stored entities do not fit") {
                return;
            }
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(30), told)
        .await
        .unwrap();
    let after = kept.decide(read()).await.unwrap();
    assert_eq!(after.bundle_digest, before.bundle_digest);
    assert_eq!(after.outcome().as_str_name(), ALLOW);
}
