//! A seeded disk in memory with power cuts and failures.
//!
//! What a process sees is the cache; what a power cut leaves is the medium.
//! Between syncs, the medium has any subset of the writes since, each of them
//! whole, torn or absent, and of each name the old or the new meaning. A sync
//! that fails writes some of them back and forgets the others, while the cache
//! still shows them and later syncs succeed, as real kernels do. One seed gives
//! one history.

use crate::disk::{Disk, File};
use std::any::Any;
use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, IoSlice};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// A disk in memory. Clones share it.
#[derive(Debug, Clone)]
pub struct SimDisk {
    state: Arc<Mutex<State>>,
}

#[derive(Debug)]
struct State {
    random: u64,
    inodes: Vec<Inode>,
    /// The folder as a process sees it, and as the medium has it.
    names: BTreeMap<String, usize>,
    durable_names: BTreeMap<String, usize>,
    /// Handles and locks of before a power cut are dead.
    power_cycle: u64,
    locked: bool,
    capacity: u64,
    failing_syncs: u32,
    failing_writes: u32,
    failing_reads: u32,
    /// Changes and syncs until the power goes by itself.
    fuse: Option<u64>,
    off: bool,
}

#[derive(Debug, Default, Clone)]
struct Inode {
    cache: Vec<u8>,
    medium: Vec<u8>,
    /// What was done since the last sync, in order.
    unsynced: Vec<Change>,
}

#[derive(Debug, Clone)]
enum Change {
    Write { offset: usize, bytes: Vec<u8> },
    Length(usize),
}

impl Change {
    fn apply(&self, bytes: &mut Vec<u8>) {
        match self {
            Self::Write { offset, bytes: new } => {
                let end = offset + new.len();
                if bytes.len() < end {
                    bytes.resize(end, 0);
                }
                bytes[*offset..end].copy_from_slice(new);
            }
            Self::Length(length) => bytes.resize(*length, 0),
        }
    }
}

impl Inode {
    fn change(&mut self, change: Change) {
        change.apply(&mut self.cache);
        self.unsynced.push(change);
    }

    /// Writes a random part of what is not synced to the medium.
    fn lose_some(&mut self, random: &mut u64) {
        for change in self.unsynced.drain(..) {
            match (draw(random, 3), change) {
                (0, _) => {}
                (1, Change::Write { offset, mut bytes }) => {
                    // Torn: a part from the front, in its place.
                    bytes.truncate(draw(random, bytes.len() as u64 + 1) as usize);
                    Change::Write { offset, bytes }.apply(&mut self.medium);
                }
                (_, change) => change.apply(&mut self.medium),
            }
        }
    }
}

/// A number below `bound` (SplitMix64: Steele, Lea, Flood, 2014).
fn draw(random: &mut u64, bound: u64) -> u64 {
    *random = random.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut z = *random;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    (z ^ (z >> 31)) % bound
}

impl State {
    fn powered(&self) -> io::Result<()> {
        if self.off { Err(io::Error::other("the simulated power is off")) } else { Ok(()) }
    }

    /// Burns the fuse by one change, which is made but not yet synced; the power may go.
    fn changed(&mut self) -> io::Result<()> {
        self.fuse = self.fuse.map(|left| left - 1);
        if self.fuse == Some(0) {
            self.lose_power();
            self.off = true;
        }
        self.powered()
    }

    fn lose_power(&mut self) {
        for inode in &mut self.inodes {
            inode.lose_some(&mut self.random);
            inode.cache = inode.medium.clone();
        }
        let changed: BTreeSet<&String> = self.names.keys().chain(self.durable_names.keys()).collect();
        let mut kept = BTreeMap::new();
        for name in changed {
            let (new, old) = (self.names.get(name), self.durable_names.get(name));
            let survives = if new != old && draw(&mut self.random, 2) == 0 { old } else { new };
            kept.extend(survives.map(|&inode| (name.clone(), inode)));
        }
        self.names.clone_from(&kept);
        self.durable_names = kept;
        self.power_cycle += 1;
        self.locked = false;
        self.fuse = None;
    }

    fn used(&self) -> u64 {
        // A removed file takes space until its last handle is closed; here it does not.
        self.names.values().map(|&inode| self.inodes[inode].cache.len() as u64).sum()
    }

    fn look_up(&self, name: &str) -> io::Result<usize> {
        self.names.get(name).copied().ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn sync(&mut self, inode: usize) -> io::Result<()> {
        self.changed()?;
        if fails(&mut self.failing_syncs) {
            self.inodes[inode].lose_some(&mut self.random);
            return Err(io::Error::other("simulated failure of a sync"));
        }
        let inode = &mut self.inodes[inode];
        for change in inode.unsynced.drain(..) {
            change.apply(&mut inode.medium);
        }
        Ok(())
    }
}

/// Uses up one of the failures that are due.
fn fails(due: &mut u32) -> bool {
    let fails = *due > 0;
    *due = due.saturating_sub(1);
    fails
}

impl SimDisk {
    /// An empty disk whose losses follow from `seed`.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        let state = State {
            random: seed,
            inodes: Vec::new(),
            names: BTreeMap::new(),
            durable_names: BTreeMap::new(),
            power_cycle: 0,
            locked: false,
            capacity: u64::MAX,
            failing_syncs: 0,
            failing_writes: 0,
            failing_reads: 0,
            fuse: None,
            off: false,
        };
        Self { state: Arc::new(Mutex::new(state)) }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Cuts the power and turns it on again: what was not synced is lost, torn
    /// or kept at random, open files fail from now on, locks are gone.
    pub fn cut(&self) {
        let mut state = self.state();
        state.lose_power();
        state.off = false;
    }

    /// Lets the power go within the `changes`-th change or sync from now (at
    /// least the first); everything fails then, until [`SimDisk::cut`] turns it on.
    pub fn cut_within(&self, changes: u64) {
        self.state().fuse = Some(changes.max(1));
    }

    /// Lets the next `count` syncs of files or of the folder fail.
    pub fn fail_syncs(&self, count: u32) {
        self.state().failing_syncs = count;
    }

    /// Lets the next `count` writes fail after a random part of their bytes.
    pub fn fail_writes(&self, count: u32) {
        self.state().failing_writes = count;
    }

    /// Lets the next `count` reads fail.
    pub fn fail_reads(&self, count: u32) {
        self.state().failing_reads = count;
    }

    /// Limits the disk to `bytes`: writes beyond are cut short and fail.
    pub fn limit(&self, bytes: u64) {
        self.state().capacity = bytes;
    }

    /// What a process reads in file `name`.
    ///
    /// # Errors
    /// [`io::ErrorKind::NotFound`].
    pub fn contents(&self, name: &str) -> io::Result<Vec<u8>> {
        let state = self.state();
        Ok(state.inodes[state.look_up(name)?].cache.clone())
    }

    /// Puts `bytes` in place of file `name`, durably.
    pub fn replace(&self, name: &str, bytes: &[u8]) {
        let state = &mut *self.state();
        let inode = Inode { cache: bytes.to_vec(), medium: bytes.to_vec(), unsynced: Vec::new() };
        state.inodes.push(inode);
        let inode = state.inodes.len() - 1;
        state.names.insert(name.into(), inode);
        state.durable_names.insert(name.into(), inode);
    }
}

struct Lock {
    disk: SimDisk,
    power_cycle: u64,
}

impl Drop for Lock {
    fn drop(&mut self) {
        let mut state = self.disk.state();
        if state.power_cycle == self.power_cycle {
            state.locked = false;
        }
    }
}

impl Disk for SimDisk {
    fn place(&self) -> String {
        "simulated disk".into()
    }

    fn lock(&self) -> io::Result<Box<dyn Any + Send + Sync>> {
        let mut state = self.state();
        state.powered()?;
        if std::mem::replace(&mut state.locked, true) {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        Ok(Box::new(Lock { disk: self.clone(), power_cycle: state.power_cycle }))
    }

    fn names(&self) -> io::Result<Vec<String>> {
        let state = self.state();
        state.powered()?;
        Ok(state.names.keys().cloned().collect())
    }

    fn create(&self, name: &str) -> io::Result<Box<dyn File>> {
        {
            let state = &mut *self.state();
            state.powered()?;
            if let Ok(inode) = state.look_up(name) {
                state.inodes[inode].change(Change::Length(0));
            } else {
                state.inodes.push(Inode::default());
                state.names.insert(name.into(), state.inodes.len() - 1);
            }
            state.changed()?;
        }
        self.open(name)
    }

    fn open(&self, name: &str) -> io::Result<Box<dyn File>> {
        let state = self.state();
        state.powered()?;
        let inode = state.look_up(name)?;
        Ok(Box::new(SimFile { disk: self.clone(), inode, power_cycle: state.power_cycle }))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut state = self.state();
        state.powered()?;
        let inode = state.look_up(from)?;
        state.names.remove(from);
        state.names.insert(to.into(), inode);
        state.changed()
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        let mut state = self.state();
        state.powered()?;
        state.look_up(name)?;
        state.names.remove(name);
        state.changed()
    }

    fn sync_folder(&self) -> io::Result<()> {
        let state = &mut *self.state();
        state.changed()?;
        if fails(&mut state.failing_syncs) {
            return Err(io::Error::other("simulated failure of a sync"));
        }
        state.durable_names.clone_from(&state.names);
        Ok(())
    }

    fn unique(&self) -> u64 {
        draw(&mut self.state().random, u64::MAX)
    }
}

struct SimFile {
    disk: SimDisk,
    inode: usize,
    power_cycle: u64,
}

impl SimFile {
    fn state(&self) -> io::Result<MutexGuard<'_, State>> {
        let state = self.disk.state();
        state.powered()?;
        if state.power_cycle == self.power_cycle {
            Ok(state)
        } else {
            Err(io::Error::other("the power was cut since this file was opened"))
        }
    }
}

impl File for SimFile {
    fn len(&self) -> io::Result<u64> {
        Ok(self.state()?.inodes[self.inode].cache.len() as u64)
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        let state = &mut *self.state()?;
        if fails(&mut state.failing_reads) {
            return Err(io::Error::other("simulated failure of a read"));
        }
        let bytes = usize::try_from(offset).ok().and_then(|at| state.inodes[self.inode].cache.get(at..));
        let bytes = bytes.and_then(|bytes| bytes.get(..buffer.len())).ok_or(io::ErrorKind::UnexpectedEof)?;
        buffer.copy_from_slice(bytes);
        Ok(())
    }

    fn write_at(&mut self, parts: &mut [IoSlice<'_>], offset: u64) -> io::Result<()> {
        let state = &mut *self.state()?;
        let mut bytes: Vec<u8> = parts.iter().flat_map(|part| part.iter().copied()).collect();
        let whole = bytes.len();
        let offset = usize::try_from(offset).map_err(|_| io::ErrorKind::FileTooLarge)?;
        let mut error = None;
        if fails(&mut state.failing_writes) {
            bytes.truncate(draw(&mut state.random, whole as u64 + 1) as usize);
            error = Some(io::Error::other("simulated failure of a write"));
        }
        let grown = (offset + bytes.len()).saturating_sub(state.inodes[self.inode].cache.len());
        let free = usize::try_from(state.capacity.saturating_sub(state.used())).unwrap_or(usize::MAX);
        if grown > free {
            bytes.truncate(bytes.len().saturating_sub(grown - free));
            error = Some(io::ErrorKind::StorageFull.into());
        }
        state.inodes[self.inode].change(Change::Write { offset, bytes });
        state.changed()?;
        error.map_or(Ok(()), Err)
    }

    fn set_len(&mut self, length: u64) -> io::Result<()> {
        let length = usize::try_from(length).map_err(|_| io::ErrorKind::FileTooLarge)?;
        let mut state = self.state()?;
        state.inodes[self.inode].change(Change::Length(length));
        state.changed()
    }

    fn sync(&mut self) -> io::Result<()> {
        self.state()?.sync(self.inode)
    }

    fn settle(&mut self) -> io::Result<()> {
        let state = &mut *self.state()?;
        state.sync(self.inode)?;
        let inode = &mut state.inodes[self.inode];
        inode.cache = inode.medium.clone();
        Ok(())
    }
}
