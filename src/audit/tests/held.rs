//! What a hold refers to stays.

use super::*;

const SECOND: SignedDuration = SignedDuration::from_secs(1);
const MINUTE: SignedDuration = SignedDuration::from_mins(1);

/// Four segments, each of another ten minutes; a decision of each.
async fn four(kept: &Kept) -> Vec<DecisionId> {
    let mut ids = Vec::new();
    for clock in [
        || start(),
        || start() + 10 * MINUTE,
        || start() + 20 * MINUTE,
        || start() + 30 * MINUTE,
    ] as [fn() -> Timestamp; 4]
    {
        let mut log = kept.open_at(&mode(AuditMode::Required), clock);
        if !ids.is_empty() {
            log.writer.rotate_for_test();
        }
        let it = Record {
            time: clock() + SECOND,
            decision_id: DecisionId::new(clock() + SECOND),
            ..record("o-1")
        };
        ids.push(it.decision_id);
        log.recorder.record(it);
        log.writer.run(async {}).await.unwrap();
    }
    seal::seal_ended(&kept.files()).unwrap();
    ids
}

fn hold(since: Option<SignedDuration>, until: Option<SignedDuration>) -> Hold {
    Hold {
        name: "case".to_owned(),
        reason: None,
        decision: None,
        since: since.map(|it| start() + it),
        until: until.map(|it| start() + it),
    }
}

/// Lets everything go that may; how many segments are left.
async fn left(kept: &Kept) -> usize {
    let config = AuditConfig {
        keep_bytes: Some(1),
        ..mode(AuditMode::Required)
    };
    put_away(kept.open_at(&config, || start() + 31 * MINUTE)).await;
    verify(&kept.files(), None, None).unwrap();
    kept.files().segments().unwrap().len()
}

async fn check(hold: Hold, segments: usize) {
    let kept = Kept::new();
    four(&kept).await;
    change_holds(&kept.files(), |all| {
        all.push(hold.clone());
        Ok(())
    })
    .unwrap();
    assert_eq!(left(&kept).await, segments, "{hold:?}");
    change_holds(&kept.files(), |all| {
        all.clear();
        Ok(())
    })
    .unwrap();
    assert_eq!(left(&kept).await, 1, "{hold:?}");
}

#[tokio::test]
async fn what_a_hold_refers_to_and_all_behind_it_stays_until_it_is_let_go() {
    check(hold(None, None), 4).await;
    check(hold(None, Some(SECOND)), 4).await;
    check(hold(Some(11 * MINUTE), Some(12 * MINUTE)), 3).await;
    check(hold(Some(25 * MINUTE), None), 2).await;
    check(hold(Some(40 * MINUTE), None), 1).await;
    check(hold(None, Some(-(10 * MINUTE))), 1).await;
}

#[tokio::test]
async fn a_decision_is_held_and_not_erased() {
    let kept = Kept::new();
    let ids = four(&kept).await;
    let it = Hold {
        decision: Some(ids[2]),
        ..hold(None, None)
    };
    change_holds(&kept.files(), |all| {
        all.push(it);
        Ok(())
    })
    .unwrap();
    assert_eq!(left(&kept).await, 2);
    assert!(find(&kept.files(), ids[1]).unwrap().is_none());
    let alice = EntityRef::new("User", "alice");
    let erased = erase(&kept.files(), &alice).unwrap();
    assert!(erased.facts == 0 && erased.held > 0, "{erased:?}");
    let Some(Told::Record(found)) = find(&kept.files(), ids[2]).unwrap() else {
        panic!("{} is gone", ids[2]);
    };
    assert!(!found.erased);
}

#[tokio::test]
async fn while_the_holds_cannot_be_read_nothing_goes() {
    let kept = Kept::new();
    four(&kept).await;
    fs::write(kept.dir().join("holds.json"), "[{\"name\": \"case").unwrap();
    assert_eq!(left(&kept).await, 4);
    assert!(holds(&kept.files()).is_err());
    assert!(erase(&kept.files(), &EntityRef::new("User", "alice")).is_err());
}
