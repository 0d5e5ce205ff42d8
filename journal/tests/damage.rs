//! Flipped bits, cut files, missing and foreign files.

#![allow(clippy::unwrap_used)]

use afferent_journal::{Damage, Disk, Found, Journal, Location, Options, Recovery, SimDisk};
use afferent_media::Code;
use proptest::prelude::*;

const FIRST: &str = "00000000000000000000.seg";

fn options() -> Options {
    Options { segment_bytes: 1 << 20, max_record: 1 << 16, ..Options::default() }
}

fn record(index: u64) -> Vec<u8> {
    (0..(index * 37) % 90).map(|i| (i * 7 + index) as u8).collect()
}

/// A disk with `records` records in one segment, and `later` in another.
fn written(records: u64, later: u64, sealed: bool) -> (SimDisk, Vec<Location>) {
    let disk = SimDisk::new(1);
    let (mut journal, _) = Journal::open(disk.clone(), options()).unwrap();
    let mut locations: Vec<_> = (0..records).map(|i| journal.append(&[&record(i)]).unwrap()).collect();
    if sealed || later > 0 {
        journal.seal().unwrap();
    }
    locations.extend((records..records + later).map(|i| journal.append(&[&record(i)]).unwrap()));
    journal.sync().unwrap();
    (disk, locations)
}

/// What a scan tells: the readable records, checked, and the lost ranges.
fn scanned(journal: &Journal) -> (Vec<u64>, Vec<Damage>) {
    let (mut records, mut damaged) = (Vec::new(), Vec::new());
    journal
        .scan(0, |found| {
            match found {
                Found::Record(location, bytes) => {
                    assert_eq!(bytes, record(location.index));
                    records.push(location.index);
                }
                Found::Damage(damage) => damaged.push(damage),
            }
            Ok(())
        })
        .unwrap();
    (records, damaged)
}

fn open(disk: &SimDisk) -> (Journal, Recovery) {
    Journal::open(disk.clone(), options()).unwrap()
}

/// The records whose frames a byte of the first segment lies in.
fn touched(locations: &[Location], byte: usize) -> Vec<u64> {
    let byte = byte as u64;
    locations
        .iter()
        .filter(|l| l.segment == 0 && (l.offset..l.offset + 16 + u64::from(l.length)).contains(&byte))
        .map(|l| l.index)
        .collect()
}

#[test]
fn a_flipped_bit_of_a_sealed_segment_costs_the_record_touched() {
    let (disk, locations) = written(12, 3, true);
    let good = disk.contents(FIRST).unwrap();
    for bit in 0..good.len() * 8 {
        let mut bad = good.clone();
        bad[bit / 8] ^= 1 << (bit % 8);
        disk.replace(FIRST, &bad);
        let (journal, recovery) = open(&disk);
        assert_eq!(recovery.next, 15, "bit {bit}");
        let touched = touched(&locations, bit / 8);
        let (records, damaged) = scanned(&journal);
        assert_eq!(records, (0..15).filter(|i| !touched.contains(i)).collect::<Vec<_>>(), "bit {bit}");
        let lost: Vec<u64> = damaged.iter().flat_map(|damage| damage.records.clone()).collect();
        assert_eq!(lost, touched, "bit {bit}");
        for damage in &damaged {
            assert!(damage.bytes.contains(&(bit as u64 / 8)), "bit {bit}: {damage}");
        }
        for location in &locations {
            let outcome = journal.reader().read(location, &mut Vec::new()).map(<[u8]>::to_vec);
            match outcome {
                Ok(bytes) => assert_eq!(bytes, record(location.index)),
                Err(error) => {
                    assert_eq!(error.code(), Code::Corrupt, "{error}");
                    assert!(touched.contains(&location.index), "{error}");
                }
            }
        }
    }
}

/// The newest segment of a journal that was not closed: damage before a record
/// that verifies is reported, damage at the very end looks torn and is cut.
#[test]
fn a_flipped_bit_of_the_newest_segment_is_reported_or_cut() {
    let (disk, locations) = written(12, 0, false);
    let good = disk.contents(FIRST).unwrap();
    for bit in 28 * 8..good.len() * 8 {
        let mut bad = good.clone();
        bad[bit / 8] ^= 1 << (bit % 8);
        disk.replace(FIRST, &bad);
        let (journal, recovery) = open(&disk);
        assert!(!recovery.clean);
        let touched = touched(&locations, bit / 8);
        let (records, damaged) = scanned(&journal);
        if touched == [11] {
            assert_eq!((recovery.next, recovery.lost), (11, 0));
            assert_eq!(recovery.torn_bytes, good.len() as u64 - locations[11].offset);
            assert_eq!(records, (0..11).collect::<Vec<_>>());
        } else {
            assert_eq!((recovery.next, recovery.lost, recovery.torn_bytes), (12, 1, 0), "bit {bit}");
            assert_eq!(recovery.damaged, damaged);
            assert_eq!(damaged[0].records, touched[0]..touched[0] + 1);
            assert_eq!(records.len(), 11);
        }
    }
}

#[test]
fn a_header_lost_with_its_copy_costs_the_segment_and_says_so() {
    let (disk, _) = written(12, 3, true);
    let mut bad = disk.contents(FIRST).unwrap();
    let length = bad.len();
    bad[20] ^= 1;
    bad[length - 1] ^= 1;
    disk.replace(FIRST, &bad);
    let (journal, recovery) = open(&disk);
    assert_eq!((recovery.next, recovery.lost), (15, 12));
    assert_eq!(recovery.damaged, [Damage { segment: 0, records: 0..12, bytes: 0..length as u64 }]);
    assert_eq!(scanned(&journal), (vec![12, 13, 14], recovery.damaged));
}

#[test]
fn a_newest_segment_without_header_never_gives_an_index_again() {
    let (disk, _) = written(12, 0, false);
    let mut bad = disk.contents(FIRST).unwrap();
    bad[20] ^= 1;
    disk.replace(FIRST, &bad);
    let (mut journal, recovery) = open(&disk);
    assert!(recovery.next >= 12 && recovery.lost == recovery.next && !recovery.clean, "{recovery}");
    let place = journal.append(&[b"after"]).unwrap();
    assert_eq!(place.index, recovery.next);
    journal.close().unwrap();
    let (_, again) = open(&disk);
    assert_eq!((again.next, again.lost), (recovery.next + 1, recovery.lost));
}

#[test]
fn a_segment_cut_at_any_byte() {
    for sealed in [false, true] {
        let (disk, locations) = written(12, 0, sealed);
        let good = disk.contents(FIRST).unwrap();
        for length in 28..=good.len() {
            disk.replace(FIRST, &good[..length]);
            let whole = locations.iter().filter(|l| l.offset + 16 + u64::from(l.length) <= length as u64).count();
            let (mut journal, recovery) = open(&disk);
            assert_eq!((recovery.first, recovery.next, recovery.lost), (0, whole as u64, 0), "cut at {length}");
            assert_eq!(recovery.clean, sealed && length == good.len());
            let kept =
                whole.checked_sub(1).map_or(28, |at| locations[at].offset + 16 + u64::from(locations[at].length));
            assert_eq!(recovery.torn_bytes, if recovery.clean { 0 } else { length as u64 - kept });
            let place = journal.append(&[&record(whole as u64)]).unwrap();
            assert_eq!(place.index, whole as u64);
            let (records, damaged) = scanned(&journal);
            assert_eq!(records, (0..=whole as u64).collect::<Vec<_>>());
            assert!(damaged.is_empty());
            // What was cut once is gone for good.
            journal.close().unwrap();
            let (journal, again) = open(&disk);
            assert_eq!((again.next, again.torn_bytes, again.clean), (whole as u64 + 1, 0, true));
            assert!(scanned(&journal).1.is_empty());
            for name in disk.names().unwrap() {
                disk.remove(&name).unwrap();
            }
        }
    }
}

#[test]
fn a_missing_segment_is_a_reported_gap() {
    let disk = SimDisk::new(1);
    let (mut journal, _) = Journal::open(disk.clone(), options()).unwrap();
    for index in 0..9 {
        journal.append(&[&record(index)]).unwrap();
        if index % 3 == 2 {
            journal.seal().unwrap();
        }
    }
    journal.close().unwrap();
    disk.remove("00000000000000000003.seg").unwrap();
    let (journal, recovery) = open(&disk);
    assert_eq!((recovery.next, recovery.lost), (9, 3));
    assert_eq!(recovery.damaged[0].records, 3..6);
    let (records, damaged) = scanned(&journal);
    assert_eq!(records, [0, 1, 2, 6, 7, 8]);
    assert_eq!(damaged.len(), 1);
    assert_eq!(damaged[0].records, 3..6);
}

#[test]
fn foreign_files_are_left_alone_or_refused() {
    let (disk, _) = written(3, 0, true);
    disk.replace("notes.txt", b"mine");
    disk.replace("new", b"half made");
    open(&disk).0.close().unwrap();
    assert_eq!(disk.contents("notes.txt").unwrap(), b"mine");
    assert!(disk.contents("new").is_err());

    let other = SimDisk::new(2);
    let (mut journal, _) = Journal::open(other.clone(), options()).unwrap();
    for _ in 0..3 {
        journal.append(&[b"x"]).unwrap();
    }
    journal.seal().unwrap();
    journal.append(&[b"x"]).unwrap();
    drop(journal);
    disk.replace("00000000000000000003.seg", &other.contents("00000000000000000003.seg").unwrap());
    let error = Journal::open(disk.clone(), options()).unwrap_err();
    assert_eq!(error.code(), Code::Corrupt, "{error}");
    assert!(error.what().contains("another journal"), "{error}");

    let (disk, _) = written(3, 0, false);
    let mut bytes = disk.contents(FIRST).unwrap();
    bytes[3] = 2;
    bytes[24] ^= 1;
    disk.replace(FIRST, &bytes);
    assert_eq!(Journal::open(disk, options()).unwrap_err().code(), Code::Unsupported);
}

#[test]
fn bytes_of_another_segment_never_verify() {
    let (disk, locations) = written(12, 0, false);
    let other = SimDisk::new(99);
    let (mut journal, _) = Journal::open(other.clone(), options()).unwrap();
    for index in 0..12 {
        journal.append(&[&record(index)]).unwrap();
    }
    // The same records at the same places, under another header.
    let (mut bytes, stale) = (disk.contents(FIRST).unwrap(), other.contents(FIRST).unwrap());
    let from = locations[6].offset as usize;
    assert_ne!(bytes[from..], stale[from..]);
    bytes.truncate(from);
    bytes.extend_from_slice(&stale[from..]);
    disk.replace(FIRST, &bytes);
    let (_, recovery) = open(&disk);
    assert_eq!((recovery.next, recovery.lost), (6, 0));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, failure_persistence: None, ..ProptestConfig::default() })]

    /// No bytes whatever make a panic, a record that was not appended, or an
    /// index below one that is held.
    #[test]
    fn any_damage_is_survived(
        patches in prop::collection::vec((0usize..2000, prop::collection::vec(any::<u8>(), 1..80)), 1..6),
        cut in 0usize..2000,
        newest in any::<bool>(),
    ) {
        let (disk, _) = written(12, if newest { 0 } else { 3 }, false);
        let mut bytes = disk.contents(FIRST).unwrap();
        for (at, patch) in &patches {
            let at = at % bytes.len();
            let end = (at + patch.len()).min(bytes.len());
            bytes[at..end].copy_from_slice(&patch[..end - at]);
        }
        bytes.truncate(bytes.len().min(cut.max(1)));
        disk.replace(FIRST, &bytes);
        match Journal::open(disk, options()) {
            Ok((journal, recovery)) => {
                let (records, damaged) = scanned(&journal);
                let lost: u64 = damaged.iter().map(|d| d.records.end - d.records.start).sum();
                prop_assert_eq!(records.len() as u64 + lost, recovery.next - recovery.first);
            }
            Err(error) => prop_assert!(matches!(error.code(), Code::Unsupported | Code::Limit), "{}", error),
        }
    }
}
