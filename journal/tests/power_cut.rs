//! Whatever is done to a journal and whenever the power goes: what was durable
//! is read back, and nothing but what was appended.

#![allow(clippy::unwrap_used)]

use afferent_journal::{Disk, Found, Journal, Location, Options, Recovery, SimDisk};
use afferent_media::Result;
use proptest::prelude::*;
use std::collections::BTreeMap;

#[derive(Debug, Clone)]
enum Action {
    Append { length: usize, parts: usize },
    Sync,
    Seal,
    Release { share: u8 },
    Kill,
    Close,
    Cut,
    CutWithin { changes: u64 },
    FailingSync { count: u32 },
    FailingWrite,
    Full,
}

fn action() -> impl Strategy<Value = Action> {
    prop_oneof![
        12 => (0usize..300, 1usize..20).prop_map(|(length, parts)| Action::Append { length, parts }),
        4 => Just(Action::Sync),
        1 => Just(Action::Seal),
        2 => any::<u8>().prop_map(|share| Action::Release { share }),
        1 => Just(Action::Kill),
        1 => Just(Action::Close),
        1 => Just(Action::Cut),
        2 => (1u64..20).prop_map(|changes| Action::CutWithin { changes }),
        1 => (1u32..4).prop_map(|count| Action::FailingSync { count }),
        1 => Just(Action::FailingWrite),
        1 => Just(Action::Full),
    ]
}

fn options() -> Options {
    Options { segment_bytes: 1000, max_record: 1 << 16, open_files: 2, ..Options::default() }
}

/// A journal, and what must hold of it.
struct Model {
    disk: SimDisk,
    journal: Option<Journal>,
    id: Option<u64>,
    /// What appends under each index tried to write, in order. Where one failed,
    /// a power cut may bring it back as long as the index is not durable.
    tried: BTreeMap<u64, Vec<Vec<u8>>>,
    durable: u64,
    released: u64,
    stamp: u64,
}

impl Model {
    fn new(seed: u64) -> Self {
        let disk = SimDisk::new(seed);
        Self { disk, journal: None, id: None, tried: BTreeMap::new(), durable: 0, released: 0, stamp: 0 }
    }

    fn append(&mut self, length: usize, parts: usize) -> Result<Location> {
        self.stamp += 1;
        // Bytes that no other append has.
        let bytes: Vec<u8> =
            self.stamp.to_le_bytes().into_iter().chain((0..length).map(|i| (self.stamp as usize + i) as u8)).collect();
        let journal = self.journal.as_mut().unwrap();
        let index = journal.next_index();
        self.tried.entry(index).or_default().push(bytes.clone());
        let parts: Vec<&[u8]> = bytes.chunks(bytes.len() / parts + 1).collect();
        let outcome = journal.append(&parts);
        assert_eq!(journal.next_index(), index + u64::from(outcome.is_ok()));
        outcome.inspect(|location| assert_eq!((location.index, location.length as usize), (index, bytes.len())))
    }

    /// Does one thing; an error is one that the disk made.
    fn act(&mut self, action: &Action) -> Result<()> {
        if self.journal.is_none() {
            self.open()?;
        }
        let disk = self.disk.clone();
        match *action {
            Action::Append { length, parts } => self.append(length, parts).map(drop),
            Action::Sync => {
                let journal = self.journal.as_mut().unwrap();
                let durable = journal.sync()?;
                assert_eq!(durable, journal.next_index());
                Ok(())
            }
            Action::Seal => self.journal.as_mut().unwrap().seal(),
            Action::Release { share } => {
                let journal = self.journal.as_mut().unwrap();
                let below = journal.durable() * u64::from(share) / 255;
                self.released = self.released.max(below);
                let before = journal.bytes();
                let freed = journal.release(below)?;
                assert_eq!(journal.bytes(), before - freed);
                Ok(())
            }
            Action::Kill => {
                self.stop();
                self.open().map(drop)
            }
            Action::Close => {
                let journal = self.journal.take().unwrap();
                let next = journal.next_index();
                self.durable = journal.durable();
                journal.close()?;
                self.durable = next;
                let recovery = self.open()?;
                assert!(recovery.torn_bytes == 0 && recovery.next == next, "{recovery}");
                Ok(())
            }
            Action::Cut => {
                self.cut();
                self.open().map(drop)
            }
            Action::CutWithin { changes } => {
                disk.cut_within(changes);
                Ok(())
            }
            Action::FailingSync { count } => {
                disk.fail_syncs(count);
                Ok(())
            }
            Action::FailingWrite => {
                disk.fail_writes(1);
                Ok(())
            }
            Action::Full => {
                disk.limit(0);
                let _ = self.append(300, 3);
                disk.limit(u64::MAX);
                Ok(())
            }
        }
    }

    fn stop(&mut self) {
        if let Some(journal) = self.journal.take() {
            assert!(journal.durable() >= self.durable);
            self.durable = journal.durable();
        }
    }

    fn cut(&mut self) {
        self.stop();
        self.disk.cut();
    }

    /// After an error: goes on if the journal does, or opens it again, or ends a power cut.
    fn mend(&mut self) {
        self.disk.fail_syncs(0);
        self.disk.fail_writes(0);
        let goes_on = self.journal.as_mut().is_some_and(|journal| journal.sync().is_ok());
        if goes_on {
            return;
        }
        self.stop();
        if self.open().is_err() {
            self.cut();
            self.open().unwrap();
        }
    }

    /// Opens the journal: everything durable and not released is there, and nothing foreign.
    fn open(&mut self) -> Result<Recovery> {
        let (journal, recovery) = Journal::open(self.disk.clone(), options())?;
        assert_eq!(journal.id(), *self.id.get_or_insert(journal.id()));
        assert!(recovery.next >= self.durable, "an index would be used twice: {recovery}");
        assert!(recovery.first <= self.released, "{recovery}");
        assert_eq!((journal.first_index(), journal.next_index()), (recovery.first, recovery.next));
        let mut index = recovery.first;
        let (mut locations, mut kept, mut lost) = (Vec::new(), BTreeMap::new(), 0);
        journal.scan(0, |found| {
            match found {
                Found::Record(location, bytes) => {
                    assert_eq!(location.index, index);
                    let tried = &self.tried[&index];
                    let meant = if index < self.durable { &tried[tried.len() - 1..] } else { tried };
                    assert!(meant.iter().any(|meant| meant == bytes), "record {index}");
                    kept.insert(index, vec![bytes.to_vec()]);
                    locations.push(location);
                    index += 1;
                }
                Found::Damage(damage) => {
                    assert_eq!(damage.records.start, index);
                    for index in damage.records.clone() {
                        let known = index < self.durable && self.tried.contains_key(&index);
                        assert!(!known || index < self.released, "durable record {index} is lost: {damage}");
                    }
                    lost += damage.records.end - index;
                    index = damage.records.end;
                }
            }
            Ok(())
        })?;
        assert_eq!(index, recovery.next);
        assert!(recovery.lost <= lost, "{recovery}");
        let reader = journal.reader();
        let mut buffer = Vec::new();
        for location in &locations {
            assert_eq!(reader.read(location, &mut buffer)?, kept[&location.index][0]);
        }
        for from in [recovery.first + 1, (recovery.first + recovery.next) / 2, recovery.next] {
            let mut found = Vec::new();
            journal.scan(from, |item| {
                if let Found::Record(location, _) = item {
                    found.push(location);
                }
                Ok(())
            })?;
            assert_eq!(found, locations.iter().filter(|l| l.index >= from).copied().collect::<Vec<_>>(), "from {from}");
        }
        // From now on it is held to what it says now.
        self.durable = recovery.next;
        self.tried = kept;
        self.journal = Some(journal);
        Ok(recovery)
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 3000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_was_durable_is_read_back(seed in any::<u64>(), actions in prop::collection::vec(action(), 1..80)) {
        history(seed, &actions);
    }
}

fn history(seed: u64, actions: &[Action]) {
    let mut model = Model::new(seed);
    for action in actions {
        if model.act(action).is_err() {
            model.mend();
        }
    }
    model.cut();
    model.mend();
}

#[test]
fn a_lost_record_does_not_swallow_those_after_it() {
    use Action::{Append, CutWithin, FailingSync, FailingWrite, Full, Kill, Sync};
    let append = |length| Append { length, parts: 1 };
    // Found at random: of a failed append the head reaches the disk, of the next one under
    // its index nothing, of the one after that everything.
    let actions = [
        Kill,
        append(0),
        Kill,
        Full,
        append(0),
        FailingWrite,
        Sync,
        append(0),
        FailingWrite,
        CutWithin { changes: 13 },
        append(168),
        append(28),
        append(72),
        append(279),
        FailingSync { count: 1 },
        Sync,
        append(0),
    ];
    history(6_124_069_198_829_146_877, &actions);
}

#[test]
fn one_seed_gives_one_history() {
    let run = || {
        let disk = SimDisk::new(7);
        let (mut journal, _) = Journal::open(disk.clone(), options()).unwrap();
        for length in 0..40 {
            journal.append(&[&vec![1; length * 7]]).unwrap();
        }
        disk.cut();
        let (_, recovery) = Journal::open(disk.clone(), options()).unwrap();
        let names = disk.names().unwrap();
        (recovery, names.iter().map(|name| disk.contents(name).unwrap()).collect::<Vec<_>>())
    };
    assert_eq!(run(), run());
}

#[test]
fn what_a_failed_sync_left_in_the_cache_is_not_believed() {
    let mut lost = 0;
    for seed in 0..40 {
        let disk = SimDisk::new(seed);
        let (mut journal, _) = Journal::open(disk.clone(), options()).unwrap();
        journal.append(&[b"durable"]).unwrap();
        journal.sync().unwrap();
        let place = journal.append(&[b"doubtful"]).unwrap();
        disk.fail_syncs(1);
        let error = journal.sync().unwrap_err();
        assert!(error.what().contains("records 1..2") && error.remedy().contains("open"), "{error}");
        // Another sync of the file would succeed, and must not be believed.
        assert!(journal.sync().is_err() && journal.append(&[b"more"]).is_err() && journal.seal().is_err());
        assert_eq!(journal.durable(), 1);
        assert_eq!(journal.reader().read(&place, &mut Vec::new()).unwrap(), b"doubtful");
        drop(journal);
        let (journal, recovery) = Journal::open(disk.clone(), options()).unwrap();
        lost += 2 - recovery.next;
        drop(journal);
        // What it believes now, a power cut does not take.
        disk.cut();
        let (_, after) = Journal::open(disk, options()).unwrap();
        assert_eq!(after.next, recovery.next, "seed {seed}");
    }
    assert!((1..40).contains(&lost), "{lost} of 40: the disk must lose some and keep some");
}

#[test]
fn a_full_disk_refuses_a_record_and_keeps_the_rest() {
    let disk = SimDisk::new(3);
    let (mut journal, _) = Journal::open(disk.clone(), options()).unwrap();
    for _ in 0..20 {
        journal.append(&[&[5; 200]]).unwrap();
    }
    journal.sync().unwrap();
    disk.limit(journal.bytes() + 30);
    let error = journal.append(&[&[6; 200]]).unwrap_err();
    assert!(error.remedy().contains("free space") && error.remedy().contains("release"), "{error}");
    assert_eq!(journal.sync().unwrap(), 20);
    // A crash now, and the journal still opens, releases, and goes on.
    disk.cut();
    drop(journal);
    disk.limit(1);
    let (mut journal, recovery) = Journal::open(disk.clone(), options()).unwrap();
    assert_eq!((recovery.next, recovery.lost), (20, 0));
    assert!(journal.append(&[b"x"]).is_err());
    assert!(journal.release(20).unwrap() > 0);
    disk.limit(10_000);
    assert_eq!(journal.append(&[b"x"]).unwrap().index, 20);
    journal.close().unwrap();
}

#[test]
fn a_read_that_fails_is_an_error_and_not_damage() {
    let disk = SimDisk::new(3);
    let (mut journal, _) = Journal::open(disk.clone(), options()).unwrap();
    let place = journal.append(&[b"held"]).unwrap();
    journal.sync().unwrap();
    let reader = journal.reader();
    disk.fail_reads(1);
    assert_eq!(reader.read(&place, &mut Vec::new()).unwrap_err().code(), afferent_media::Code::Io);
    disk.fail_reads(1);
    assert!(reader.scan(0, |_| Ok(())).is_err());
    drop(journal);
    for failing in 1..3 {
        disk.fail_reads(failing);
        assert!(Journal::open(disk.clone(), options()).is_err());
        disk.fail_reads(0);
    }
    let (_, recovery) = Journal::open(disk, options()).unwrap();
    assert_eq!((recovery.next, recovery.torn_bytes), (1, 0), "nothing was cut");
}
