//! A disk that fails as disks do: what was not synced may be lost or torn, bits flip, it fills up.

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use super::disk::{Disk, DiskFile, Lock};

/// What a disk writes whole or not at all.
const SECTOR: usize = 512;

/// The disk; clones are the same one.
#[derive(Clone, Debug, Default)]
pub(crate) struct FakeDisk(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    nodes: Vec<Node>,
    names: BTreeMap<PathBuf, usize>,
    durable_names: BTreeMap<PathBuf, usize>,
    /// Changes of names since their folder was synced, in their order.
    changes: Vec<(PathBuf, Option<usize>)>,
    locks: BTreeSet<PathBuf>,
    /// Handles of an earlier life are dead.
    life: u64,
    /// Fails the operations that are counted down to zero.
    faults: Vec<(Fault, u64)>,
    /// Bytes that fit, in all files together.
    capacity: Option<usize>,
    syncs: u64,
}

#[derive(Debug, Default)]
struct Node {
    now: Vec<u8>,
    durable: Vec<u8>,
    /// Places written since the last sync, in their order.
    written: Vec<(usize, Vec<u8>)>,
}

/// What may fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    Write,
    Sync,
    Create,
}

impl FakeDisk {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes the operation fail that comes after `after` others of its kind.
    pub(crate) fn fail(&self, fault: Fault, after: u64) {
        self.state().faults.push((fault, after));
    }

    /// Lets no more than so many bytes be written, or any number.
    pub(crate) fn limit(&self, capacity: Option<usize>) {
        self.state().capacity = capacity;
    }

    /// How often a file was synced.
    pub(crate) fn syncs(&self) -> u64 {
        self.state().syncs
    }

    /// Another disk that holds the same, which goes its own way.
    pub(crate) fn fork(&self) -> Self {
        let state = self.state();
        let node = |it: &Node| Node {
            now: it.now.clone(),
            durable: it.durable.clone(),
            written: it.written.clone(),
        };
        Self(Arc::new(Mutex::new(State {
            nodes: state.nodes.iter().map(node).collect(),
            names: state.names.clone(),
            durable_names: state.durable_names.clone(),
            changes: state.changes.clone(),
            ..State::default()
        })))
    }

    /// The power fails: of what was not synced, `chance` says for each sector whether it is there.
    pub(crate) fn crash(&self, chance: &mut dyn FnMut() -> bool) {
        let state = &mut *self.state();
        state.end_life();
        for (path, node) in std::mem::take(&mut state.changes) {
            if !chance() {
                break;
            }
            match node {
                Some(node) => state.durable_names.insert(path, node),
                None => state.durable_names.remove(&path),
            };
        }
        state.names = state.durable_names.clone();
        for node in &mut state.nodes {
            for (at, bytes) in std::mem::take(&mut node.written) {
                for (n, sector) in bytes.chunks(SECTOR).enumerate() {
                    if chance() {
                        put(&mut node.durable, at + n * SECTOR, sector);
                    }
                }
            }
            node.now = node.durable.clone();
        }
    }

    /// The process dies, the machine does not: all that was written is there, and what was not
    /// synced still is not.
    pub(crate) fn kill(&self) {
        self.state().end_life();
    }

    /// Another disk that holds what this one holds durably.
    pub(crate) fn copy(&self) -> Self {
        let state = self.state();
        let (mut nodes, mut names) = (Vec::new(), BTreeMap::new());
        for (path, node) in &state.names {
            let bytes = state.nodes[*node].now.clone();
            names.insert(path.clone(), nodes.len());
            nodes.push(Node {
                durable: bytes.clone(),
                now: bytes,
                written: Vec::new(),
            });
        }
        Self(Arc::new(Mutex::new(State {
            nodes,
            durable_names: names.clone(),
            names,
            ..State::default()
        })))
    }

    /// What a file holds.
    pub(crate) fn bytes(&self, path: &Path) -> Vec<u8> {
        let state = self.state();
        let node = state.names[path];
        state.nodes[node].now.clone()
    }

    /// Changes what a file holds, durably.
    pub(crate) fn edit(&self, path: &Path, edit: impl FnOnce(&mut Vec<u8>)) {
        let state = &mut *self.state();
        let node = &mut state.nodes[state.names[path]];
        edit(&mut node.now);
        node.durable = node.now.clone();
        node.written.clear();
    }

    /// Removes a file, durably.
    pub(crate) fn lose(&self, path: &Path) {
        let state = &mut *self.state();
        state.names.remove(path);
        state.durable_names.remove(path);
    }

    /// Every file, in the order of names.
    pub(crate) fn files(&self) -> Vec<PathBuf> {
        self.state().names.keys().cloned().collect()
    }
}

impl State {
    fn end_life(&mut self) {
        self.life += 1;
        self.locks.clear();
        self.faults.clear();
        self.capacity = None;
    }

    fn hit(&mut self, fault: Fault) -> io::Result<()> {
        let mut is_hit = false;
        for (_, left) in self.faults.iter_mut().filter(|(it, _)| *it == fault) {
            is_hit |= *left == 0;
            *left = left.wrapping_sub(1);
        }
        self.faults.retain(|(_, left)| *left != u64::MAX);
        match is_hit {
            true => Err(io::Error::other("injected")),
            false => Ok(()),
        }
    }

    fn change(&mut self, path: &Path, node: Option<usize>) {
        match node {
            Some(node) => self.names.insert(path.to_owned(), node),
            None => self.names.remove(path),
        };
        self.changes.push((path.to_owned(), node));
    }

    fn node(&self, path: &Path) -> io::Result<usize> {
        let node = self.names.get(path).copied();
        node.ok_or_else(|| io::ErrorKind::NotFound.into())
    }
}

fn put(bytes: &mut Vec<u8>, at: usize, new: &[u8]) {
    if bytes.len() < at + new.len() {
        bytes.resize(at + new.len(), 0);
    }
    bytes[at..at + new.len()].copy_from_slice(new);
}

impl Disk for FakeDisk {
    fn make_dir(&self, _: &Path) -> io::Result<()> {
        Ok(())
    }

    fn names(&self, dir: &Path) -> io::Result<Vec<String>> {
        let state = self.state();
        let inside = state.names.keys().filter(|it| it.parent() == Some(dir));
        let names = inside.filter_map(|it| Some(it.file_name()?.to_string_lossy().into_owned()));
        Ok(names.collect())
    }

    fn create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        let mut state = self.state();
        state.hit(Fault::Create)?;
        if state.names.contains_key(path) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        state.nodes.push(Node::default());
        let node = state.nodes.len() - 1;
        state.change(path, Some(node));
        let life = state.life;
        drop(state);
        let disk = self.clone();
        Ok(Box::new(FakeFile { disk, node, life }))
    }

    fn open(&self, path: &Path, _: bool) -> io::Result<Box<dyn DiskFile>> {
        let state = self.state();
        let (node, life) = (state.node(path)?, state.life);
        drop(state);
        let disk = self.clone();
        Ok(Box::new(FakeFile { disk, node, life }))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut state = self.state();
        let node = state.node(from)?;
        state.change(to, Some(node));
        state.change(from, None);
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let mut state = self.state();
        state.node(path)?;
        state.change(path, None);
        Ok(())
    }

    fn sync_dir(&self, _: &Path) -> io::Result<()> {
        let state = &mut *self.state();
        state.hit(Fault::Sync)?;
        state.durable_names = state.names.clone();
        state.changes.clear();
        Ok(())
    }

    fn lock(&self, path: &Path) -> io::Result<Lock> {
        let mut state = self.state();
        if !state.locks.insert(path.to_owned()) {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let life = state.life;
        drop(state);
        let (disk, path) = (self.clone(), path.to_owned());
        Ok(Lock::new(Held { disk, path, life }))
    }
}

struct Held {
    disk: FakeDisk,
    path: PathBuf,
    life: u64,
}

impl Drop for Held {
    fn drop(&mut self) {
        let mut state = self.disk.state();
        if state.life == self.life {
            state.locks.remove(&self.path);
        }
    }
}

#[derive(Debug)]
struct FakeFile {
    disk: FakeDisk,
    node: usize,
    life: u64,
}

impl FakeFile {
    fn alive(&self) -> io::Result<MutexGuard<'_, State>> {
        let state = self.disk.state();
        match state.life == self.life {
            true => Ok(state),
            false => Err(io::Error::other("a handle of an earlier life")),
        }
    }
}

impl DiskFile for FakeFile {
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        let state = self.alive()?;
        let bytes = &state.nodes[self.node].now;
        let from = usize::try_from(offset).unwrap().min(bytes.len());
        let read = buffer.len().min(bytes.len() - from);
        buffer[..read].copy_from_slice(&bytes[from..from + read]);
        Ok(read)
    }

    fn write_at(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let mut state = self.alive()?;
        let at = usize::try_from(offset).unwrap();
        let hit = state.hit(Fault::Write);
        let used: usize = state
            .names
            .values()
            .map(|n| state.nodes[*n].now.len())
            .sum();
        let grows = (at + bytes.len()).saturating_sub(state.nodes[self.node].now.len());
        let room = state.capacity.map_or(grows, |it| it.saturating_sub(used));
        // A write that fails has often written something.
        let kept = match (&hit, grows <= room) {
            (Ok(()), true) => bytes,
            _ => &bytes[..bytes.len() / 2],
        };
        let node = &mut state.nodes[self.node];
        put(&mut node.now, at, kept);
        node.written.push((at, kept.to_vec()));
        hit?;
        match grows <= room {
            true => Ok(()),
            false => Err(io::ErrorKind::StorageFull.into()),
        }
    }

    fn truncate(&mut self, length: u64) -> io::Result<()> {
        let mut state = self.alive()?;
        let length = usize::try_from(length).unwrap();
        let node = &mut state.nodes[self.node];
        node.now.truncate(length);
        node.durable.truncate(length);
        for (at, bytes) in &mut node.written {
            bytes.truncate(length.saturating_sub(*at));
        }
        Ok(())
    }

    fn sync(&mut self) -> io::Result<()> {
        let mut state = self.alive()?;
        state.hit(Fault::Sync)?;
        state.syncs += 1;
        let node = &mut state.nodes[self.node];
        node.durable = node.now.clone();
        node.written.clear();
        Ok(())
    }

    fn length(&self) -> io::Result<u64> {
        let state = self.alive()?;
        Ok(u64::try_from(state.nodes[self.node].now.len()).unwrap())
    }
}

/// A small generator of numbers, so that a failure can be had again by its seed.
#[derive(Clone, Debug)]
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    /// A number below `bound`.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) % bound
    }

    /// `true` in so many of a hundred.
    pub(crate) fn percent(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }
}

/// Appends a record as the log would: what whoever can write its files can do as well.
pub(crate) fn forge(
    buffer: &mut Vec<u8>,
    chain: &mut super::Chain,
    durable: u64,
    payload: &[u8],
    loose: &[u8],
) {
    super::frame::write(buffer, chain, durable, payload, loose);
}
