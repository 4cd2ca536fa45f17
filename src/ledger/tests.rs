//! The log on a disk that fails as disks do.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::{Arc, LazyLock},
};

use tokio::{runtime::Runtime, task::JoinHandle};

use super::{
    testing::{Dice, FakeDisk, Fault},
    *,
};

const DIR: &str = "/ledger";

static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| Runtime::new().unwrap());

fn dir() -> &'static Path {
    Path::new(DIR)
}

struct Count(usize);

impl Apply for Count {
    type Outcome = usize;

    fn apply(&mut self, records: &[Entry]) -> Vec<usize> {
        let each = records.iter().map(|_| {
            self.0 += 1;
            self.0
        });
        each.collect()
    }
}

fn open(disk: &FakeDisk, options: LogOptions) -> Result<Opened, LogError> {
    Log::open(Arc::new(disk.clone()), dir(), options)
}

fn small() -> LogOptions {
    LogOptions {
        segment_bytes: 400,
        ..LogOptions::default()
    }
}

/// A log whose writer runs on a thread.
struct Running {
    appender: Appender<usize>,
    writer: JoinHandle<Result<(), String>>,
    recovery: Recovery,
}

impl Running {
    fn start(disk: &FakeDisk, options: LogOptions) -> Self {
        let Opened { log, recovery } = open(disk, options).unwrap();
        let (appender, writer) = log.start(Count(0));
        let writer = RUNTIME.spawn_blocking(move || writer.run());
        Self {
            appender,
            writer,
            recovery,
        }
    }

    fn append(&self, payload: &[u8]) -> Result<Appended<usize>, NotAppended> {
        let receipt = self.appender.try_append(payload.to_vec())?;
        block_on(receipt.durable())
    }

    fn end(self) -> Result<(), String> {
        block_on(self.appender.end());
        block_on(self.writer).unwrap()
    }
}

fn block_on<T>(work: impl Future<Output = T>) -> T {
    RUNTIME.block_on(work)
}

fn payload(n: u64) -> Vec<u8> {
    format!(
        "record {n} {}",
        "x".repeat(usize::try_from(n % 90).unwrap())
    )
    .into_bytes()
}

/// A log of records 1 to `count`, cleanly closed.
fn written(count: u64) -> FakeDisk {
    let disk = FakeDisk::default();
    let log = Running::start(&disk, small());
    for n in 1..=count {
        assert_eq!(log.append(&payload(n)).unwrap().chain.sequence, n);
    }
    log.end().unwrap();
    disk
}

fn read_all(disk: &FakeDisk) -> Result<Vec<Vec<u8>>, LogError> {
    let mut reader = Reader::first(Arc::new(disk.clone()), dir())?;
    let mut found = Vec::new();
    while let Some(entry) = reader.next()? {
        found.push(entry.payload);
    }
    Ok(found)
}

fn segments(disk: &FakeDisk) -> Vec<PathBuf> {
    let is_segment = |it: &PathBuf| it.extension().is_some_and(|it| it == "seg");
    disk.files().into_iter().filter(is_segment).collect()
}

#[test]
fn what_is_appended_is_read_in_order_over_many_segments() {
    let disk = written(50);
    assert!(segments(&disk).len() > 5);
    let expected: Vec<_> = (1..=50).map(payload).collect();
    assert_eq!(read_all(&disk).unwrap(), expected);
    let mut reader = Reader::after(Arc::new(disk.clone()), dir(), 33).unwrap();
    assert_eq!(reader.next().unwrap().unwrap().sequence, 34);
    let recovery = open(&disk, small()).unwrap().recovery;
    assert_eq!((recovery.chain.sequence, recovery.cut), (50, None));
}

#[test]
fn what_waits_is_synced_together_and_applied_before_its_receipt() {
    let disk = FakeDisk::default();
    let Opened { log, .. } = open(&disk, LogOptions::default()).unwrap();
    let (appender, writer) = log.start(Count(0));
    let receipts: Vec<_> = (1..=100)
        .map(|n| appender.try_append(payload(n)).unwrap())
        .collect();
    let before = disk.syncs();
    drop(appender);
    writer.run().unwrap();
    assert_eq!(
        disk.syncs() - before,
        2,
        "one for the group, one for the end"
    );
    for (n, receipt) in receipts.into_iter().enumerate() {
        assert_eq!(block_on(receipt.durable()).unwrap().outcome, n + 1);
    }
}

#[test]
fn one_process_holds_it() {
    let disk = FakeDisk::default();
    let held = open(&disk, small()).unwrap();
    assert!(matches!(open(&disk, small()), Err(LogError::Locked(_))));
    drop(held);
    open(&disk, small()).unwrap();
}

#[test]
fn a_reader_beside_the_writer_sees_what_comes() {
    let disk = FakeDisk::default();
    let log = Running::start(&disk, small());
    let mut reader = Reader::first(Arc::new(disk), dir()).unwrap();
    for n in 1..=40 {
        assert_eq!(reader.next().unwrap(), None);
        log.append(&payload(n)).unwrap();
        assert_eq!(reader.next().unwrap().unwrap().payload, payload(n));
    }
    assert_eq!(reader.unread().unwrap(), 0);
    log.end().unwrap();
}

#[test]
fn half_a_write_at_the_end_is_cut_off_and_told() {
    let disk = written(10);
    let last = segments(&disk).pop().unwrap();
    let whole = disk.bytes(&last).len();
    for torn in 1..60 {
        disk.edit(&last, |bytes| bytes.extend(vec![7; torn]));
        let cut = open(&disk, small()).unwrap().recovery.cut.unwrap();
        assert_eq!(cut.path, last);
        assert_eq!((cut.offset, cut.bytes), (whole as u64, torn as u64));
        assert_eq!(read_all(&disk).unwrap().len(), 10);
    }
}

#[track_caller]
fn refused(disk: &FakeDisk) -> (PathBuf, u64) {
    match open(disk, small()) {
        Err(LogError::Damaged { path, offset, .. }) => (path, offset),
        other => panic!("{other:?}"),
    }
}

#[test]
fn whatever_bit_flips_the_log_is_refused_and_the_file_is_named() {
    let disk = written(12);
    for path in segments(&disk) {
        let whole = disk.bytes(&path);
        for at in 0..whole.len() {
            disk.edit(&path, |bytes| bytes[at] ^= 1 << (at % 8));
            let (named, offset) = refused(&disk);
            assert_eq!(named, path, "byte {at}");
            assert!(offset <= at as u64, "byte {at} is said to be at {offset}");
            disk.edit(&path, |bytes| *bytes = whole.clone());
        }
    }
    open(&disk, small()).unwrap();
}

#[test]
fn a_cut_tail_a_lost_segment_and_swapped_ones_are_refused() {
    for victim in 0..segments(&written(12)).len() {
        let disk = written(12);
        let all = segments(&disk);
        disk.lose(&all[victim]);
        refused(&disk);
    }
    let disk = written(12);
    let last = segments(&disk).pop().unwrap();
    for length in (0..disk.bytes(&last).len()).rev() {
        disk.edit(&last, |bytes| bytes.truncate(length));
        if segments(&disk).len() == segments(&written(12)).len() || length > 0 {
            assert!(
                matches!(open(&disk, small()), Err(LogError::Damaged { .. })),
                "{length}"
            );
        }
        if !disk.files().contains(&last) {
            break;
        }
    }
    let disk = written(12);
    let all = segments(&disk);
    let (one, other) = (disk.bytes(&all[1]), disk.bytes(&all[2]));
    disk.edit(&all[1], |bytes| *bytes = other);
    disk.edit(&all[2], |bytes| *bytes = one);
    refused(&disk);
}

#[test]
fn a_later_format_is_refused_as_such() {
    let disk = written(1);
    let only = segments(&disk).pop().unwrap();
    disk.edit(&only, |bytes| {
        bytes[8] = 9;
        let sum = crc32fast::hash(&bytes[..72]).to_le_bytes();
        bytes[72..76].copy_from_slice(&sum);
    });
    assert!(matches!(
        open(&disk, small()),
        Err(LogError::Format { found: 9, .. })
    ));
}

#[test]
fn a_full_disk_refuses_and_the_log_goes_on_when_there_is_room() {
    let disk = FakeDisk::default();
    let log = Running::start(&disk, LogOptions::default());
    log.append(b"one").unwrap();
    disk.limit(Some(150));
    assert!(matches!(log.append(&[1; 500]), Err(NotAppended::Disk(_))));
    assert!(matches!(log.append(&[1; 500]), Err(NotAppended::Disk(_))));
    disk.limit(None);
    assert_eq!(log.append(b"two").unwrap().chain.sequence, 2);
    log.end().unwrap();
    disk.kill();
    assert_eq!(read_all(&disk).unwrap(), [b"one", b"two"]);
    assert_eq!(open(&disk, small()).unwrap().recovery.cut, None);
}

#[test]
fn after_a_failed_sync_nothing_is_written_until_a_restart() {
    let disk = FakeDisk::default();
    let log = Running::start(&disk, LogOptions::default());
    log.append(b"one").unwrap();
    disk.fail(Fault::Sync, 0);
    assert!(matches!(log.append(b"two"), Err(NotAppended::Stopped(_))));
    assert!(matches!(log.append(b"three"), Err(NotAppended::Stopped(_))));
    assert!(log.end().is_err());
    disk.crash(&mut || false);
    assert_eq!(read_all(&disk).unwrap(), [b"one"]);
    let log = Running::start(&disk, LogOptions::default());
    assert_eq!(log.append(b"two").unwrap().chain.sequence, 2);
}

/// Records that were written and not synced, found whole after the process was killed, and the disk.
fn unsynced(rotated: bool) -> (FakeDisk, Opened) {
    let disk = FakeDisk::default();
    let mut log = open(&disk, LogOptions::default()).unwrap().log;
    let mut write = |payload: &[u8]| {
        let mut group = log.group();
        group.add(payload, b"");
        log.write(&group).unwrap();
        if rotated {
            log.rotate();
        }
    };
    write(b"one");
    write(b"two");
    disk.kill();
    let opened = open(&disk, LogOptions::default()).unwrap();
    assert_eq!(opened.recovery.chain.sequence, 2);
    (disk, opened)
}

#[test]
fn what_a_killed_process_left_unsynced_is_durable_once_it_counts() {
    for rotated in [false, true] {
        let (disk, Opened { mut log, .. }) = unsynced(rotated);
        // The next record says that those before it are durable.
        let mut group = log.group();
        group.add(b"three", b"");
        log.append(&group).unwrap();
        disk.crash(&mut || false);
        assert_eq!(
            read_all(&disk).unwrap(),
            [b"one".as_slice(), b"two", b"three"]
        );
        open(&disk, LogOptions::default()).unwrap();
    }
    let (disk, opened) = unsynced(false);
    drop(opened);
    disk.crash(&mut || false);
    assert_eq!(
        read_all(&disk).unwrap(),
        [b"one", b"two"],
        "nothing was appended since"
    );
}

#[test]
fn a_log_whose_end_cannot_be_synced_is_not_opened() {
    let (disk, opened) = unsynced(false);
    drop(opened);
    disk.kill();
    disk.fail(Fault::Sync, 0);
    assert!(matches!(
        open(&disk, small()),
        Err(LogError::Io { doing: "sync", .. })
    ));
}

#[test]
fn a_segment_that_cannot_begin_leaves_the_old_one_in_use() {
    for fault in [Fault::Create, Fault::Write, Fault::Sync] {
        let disk = FakeDisk::default();
        let log = Running::start(&disk, small());
        for n in 1..=4 {
            log.append(&payload(n)).unwrap();
        }
        // The group's own write and sync succeed; those of the new segment do not.
        disk.fail(
            fault,
            u64::from(fault != Fault::Create) + u64::from(fault == Fault::Write),
        );
        for n in 5..=40 {
            log.append(&payload(n)).unwrap();
        }
        log.end().unwrap();
        disk.kill();
        let expected: Vec<_> = (1..=40).map(payload).collect();
        assert_eq!(read_all(&disk).unwrap(), expected, "{fault:?}");
        open(&disk, small()).unwrap();
    }
}

#[test]
fn a_snapshot_takes_the_place_of_older_segments() {
    let disk = written(30);
    let opened = open(&disk, small()).unwrap();
    let (at, epoch) = (opened.log.chain(), opened.log.epoch());
    drop(opened);
    let shared: Arc<dyn Disk> = Arc::new(disk.clone());
    let mut snapshot = SnapshotWriter::begin(Arc::clone(&shared), dir(), at, epoch).unwrap();
    snapshot.add(b"state").unwrap();
    snapshot.finish().unwrap();
    assert_eq!(segments(&disk).len(), 1);
    let log = Running::start(&disk, small());
    assert_eq!(log.recovery.snapshot, 30);
    log.append(b"after").unwrap();
    log.end().unwrap();
    let mut state = Vec::new();
    let mut each = |chain: Chain, _: Epoch, payload: &[u8]| {
        assert_eq!(chain, at);
        state.push(payload.to_vec());
        Ok(())
    };
    let mut reader = Reader::from_snapshot(shared, dir(), &mut each).unwrap();
    assert_eq!(reader.next().unwrap().unwrap().payload, b"after");
    assert_eq!(state, [b"state"]);
    // Damage is noticed wherever it is.
    let is_snapshot = |it: &PathBuf| it.extension().is_some_and(|it| it == "snap");
    let path = disk.files().into_iter().find(is_snapshot).unwrap();
    for at in 0..disk.bytes(&path).len() {
        disk.edit(&path, |bytes| bytes[at] ^= 4);
        let read = Reader::from_snapshot(Arc::new(disk.clone()), dir(), &mut |_, _, _| Ok(()));
        assert!(
            matches!(read, Err(LogError::Damaged { .. })),
            "byte {at}: {read:?}"
        );
        disk.edit(&path, |bytes| bytes[at] ^= 4);
    }
    disk.lose(&path);
    refused(&disk);
}

#[test]
fn a_new_epoch_is_told_apart_from_the_old() {
    let disk = written(3);
    let old = open(&disk, small()).unwrap().log.epoch();
    let again = LogOptions {
        new_epoch: true,
        ..small()
    };
    let log = Running::start(&disk, again);
    assert_ne!(log.recovery.epoch.id, old.id);
    assert_eq!(log.recovery.epoch.from, 4);
    assert_eq!(log.append(b"four").unwrap().epoch, log.recovery.epoch);
    log.end().unwrap();
    assert_eq!(read_all(&disk).unwrap().len(), 4);
}

/// Whatever is lost in whatever crash, what was acknowledged is there, in order, and no more than
/// what was appended.
#[test]
fn no_crash_loses_what_was_acknowledged() {
    for seed in 1..=100 {
        let mut dice = Dice::new(seed);
        let disk = FakeDisk::default();
        let mut acknowledged: BTreeMap<u64, Vec<u8>> = BTreeMap::new();
        for life in 0..6_u64 {
            let log = Running::start(&disk, small());
            let mut n = log.recovery.chain.sequence;
            let there = read_all(&disk).unwrap();
            for (sequence, payload) in &acknowledged {
                let at = usize::try_from(*sequence - 1).unwrap();
                assert_eq!(there.get(at), Some(payload), "seed {seed}, life {life}");
            }
            for _ in 0..dice.below(12) {
                if dice.percent(15) {
                    let faults = [Fault::Write, Fault::Sync, Fault::Create];
                    disk.fail(
                        faults[usize::try_from(dice.below(3)).unwrap()],
                        dice.below(3),
                    );
                }
                n += 1;
                let payload = format!(
                    "{life} {n} {}",
                    "y".repeat(usize::try_from(dice.below(700)).unwrap())
                );
                match log.append(payload.as_bytes()) {
                    Ok(appended) => {
                        assert_eq!(appended.chain.sequence, n, "seed {seed}");
                        acknowledged.insert(n, payload.into_bytes());
                    }
                    Err(_) => n -= 1,
                }
            }
            // Some are on their way when the power fails.
            let on_their_way: Vec<_> = (0..dice.below(4))
                .map(|_| log.appender.try_append(vec![b'z'; 900]))
                .collect();
            let chance = [0, 50, 90, 100][usize::try_from(dice.below(4)).unwrap()];
            disk.crash(&mut || dice.percent(chance));
            for receipt in on_their_way.into_iter().flatten() {
                if let Ok(appended) = block_on(receipt.durable()) {
                    acknowledged.insert(appended.chain.sequence, vec![b'z'; 900]);
                }
            }
            // Its files are of an earlier life, so how it ends says nothing.
            let _ended = log.end();
        }
    }
}
