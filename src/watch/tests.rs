use std::{
    fs,
    sync::atomic::{AtomicU8, Ordering},
};

use super::*;

const FAST: WatchOptions = WatchOptions {
    poll: Duration::from_millis(20),
    settle: Duration::from_millis(5),
    lost: Duration::from_millis(40),
    events: false,
};

fn seen(content: u8, stamp: u8, files: &[&str]) -> Seen {
    Seen {
        content: Digest::new([content; 32]),
        stamp: Digest::new([stamp; 32]),
        present: files.iter().map(|file| Arc::from(*file)).collect(),
    }
}

/// Hands out these looks one after the other, then the last for ever.
fn script(looks: Vec<Seen>) -> impl Fn() -> (Seen, u8) + Clone + Send + 'static {
    let at = Arc::new(AtomicU8::new(0));
    move || {
        let n = at.fetch_add(1, Ordering::SeqCst);
        let look = looks.get(usize::from(n)).or(looks.last()).unwrap().clone();
        (look, n + 1)
    }
}

/// How many looks it takes until content counts, and which.
#[track_caller]
fn check(known: &Seen, looks: Vec<Seen>, expected: (u8, u8)) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let mut watcher = Watcher::new(Path::new("."), FAST);
    let (found, taken) = runtime
        .block_on(watcher.next(known, script(looks)))
        .unwrap();
    assert_eq!((found.content.as_bytes()[0], taken), expected);
}

#[test]
fn content_counts_once_two_looks_at_the_same_files_agree() {
    let known = seen(0, 0, &["a"]);
    check(&known, vec![seen(1, 1, &["a"])], (1, 2));
    check(&known, vec![seen(1, 1, &["a"]), seen(2, 2, &["a"])], (2, 3));
    let rewritten = vec![seen(1, 1, &["a"]), seen(1, 2, &["a"])];
    check(&known, rewritten, (1, 3));
    let back_and_forth = vec![
        seen(1, 1, &["a"]),
        seen(2, 2, &["a"]),
        seen(1, 3, &["a"]),
        seen(2, 4, &["a"]),
    ];
    check(&known, back_and_forth, (2, 5));
}

#[test]
fn what_is_known_already_is_no_change_even_when_it_was_written_anew() {
    let known = seen(0, 0, &["a"]);
    let looks = vec![
        seen(0, 0, &["a"]),
        seen(0, 7, &["a"]),
        // Gone and back.
        seen(1, 1, &[]),
        seen(0, 9, &["a"]),
        seen(2, 2, &["a"]),
    ];
    check(&known, looks, (2, 6));
}

#[test]
fn a_lost_file_must_stay_lost_for_longer() {
    let known = seen(0, 0, &["a", "b"]);
    // One pause to settle, one for the rest: a third look.
    check(&known, vec![seen(1, 1, &["a"])], (1, 3));
    check(
        &known,
        vec![
            seen(1, 1, &["a"]),
            seen(1, 1, &["a"]),
            seen(2, 2, &["a", "b"]),
        ],
        (2, 4),
    );
    check(&known, vec![seen(1, 1, &["a", "b", "c"])], (1, 2));
}

#[test]
fn the_pause_after_a_loss_is_five_seconds_at_most() {
    let options = |lost| WatchOptions { lost, ..FAST };
    for (lost, expected) in [
        (Duration::ZERO, FAST.settle),
        (FAST.lost, FAST.lost),
        (Duration::from_secs(60), LOST),
    ] {
        assert_eq!(
            Watcher::new(Path::new("."), options(lost)).options.lost,
            expected
        );
    }
}

#[tokio::test]
async fn a_directory_that_appears_or_is_replaced_is_told_by_events() {
    let above = tempfile::tempdir().unwrap();
    let root = above.path().join("rules");
    let options = WatchOptions {
        poll: Duration::from_secs(3_600),
        events: true,
        ..FAST
    };
    let look = {
        let root = root.clone();
        move || {
            let text = fs::read_to_string(root.join("a")).unwrap_or_default();
            let n = text.parse().unwrap_or(0);
            (seen(n, n, &[]), ())
        }
    };
    let mut watcher = Watcher::new(&root, options);
    let mut known = seen(0, 0, &[]);
    for n in 1..6_u8 {
        let waiting = async {
            // The gap between the old directory and the new may be seen too.
            while known.content != Digest::new([n; 32]) {
                known = watcher.next(&known, look.clone()).await.unwrap().0;
            }
        };
        let writing = async {
            // Not before the watch is there, so that the event is what tells.
            sleep(Duration::from_millis(30)).await;
            let _first = fs::remove_dir_all(&root);
            fs::create_dir_all(&root).unwrap();
            sleep(Duration::from_millis(10)).await;
            fs::write(root.join("a"), n.to_string()).unwrap();
        };
        tokio::join!(waiting, writing);
        assert_eq!(watcher.state().poll_only(), None);
    }
}
