//! On a folder of the operating system.

#![allow(clippy::unwrap_used)]

use afferent_journal::{Found, Journal, Options, RealDisk, SyncPolicy};
use afferent_media::Code;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

fn options() -> Options {
    Options { segment_bytes: 1 << 16, max_record: 1 << 20, open_files: 2, ..Options::default() }
}

fn disk(folder: &tempfile::TempDir) -> RealDisk {
    RealDisk::new(folder.path().join("a/spool")).unwrap()
}

#[test]
fn records_survive_a_reopen() {
    let folder = tempfile::tempdir().unwrap();
    let (mut journal, recovery) = Journal::open(disk(&folder), options()).unwrap();
    assert_eq!((recovery.first, recovery.next, recovery.clean), (0, 0, true));
    let id = journal.id();
    let bodies: Vec<Vec<u8>> = (0..100u32).map(|i| vec![i as u8; (i as usize * 613) % 9000]).collect();
    for body in &bodies {
        journal.append(&[&body[..body.len() / 3], &[], &body[body.len() / 3..]]).unwrap();
    }
    assert_eq!(journal.sync().unwrap(), 100);
    let on_disk: u64 = std::fs::read_dir(folder.path().join("a/spool"))
        .unwrap()
        .map(|entry| entry.unwrap().metadata().unwrap().len())
        .sum();
    assert_eq!(journal.bytes(), on_disk);
    assert!(journal.reader().segments().len() > 3);
    drop(journal);

    let (journal, recovery) = Journal::open(disk(&folder), options()).unwrap();
    assert_eq!((recovery.next, recovery.clean, recovery.torn_bytes), (100, false, 0));
    assert_eq!(journal.id(), id);
    let mut index = 0;
    journal
        .scan(0, |found| {
            let Found::Record(location, bytes) = found else { panic!("{found:?}") };
            assert_eq!(location.index, index as u64);
            assert_eq!(bytes, bodies[index]);
            index += 1;
            Ok(())
        })
        .unwrap();
    assert_eq!(index, 100);
    journal.close().unwrap();
    let (_, recovery) = Journal::open(disk(&folder), options()).unwrap();
    assert!(recovery.clean && recovery.next == 100);
}

#[test]
fn a_second_opener_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let (journal, _) = Journal::open(disk(&folder), options()).unwrap();
    let error = Journal::open(disk(&folder), options()).unwrap_err();
    assert!(error.what().contains("open elsewhere") && error.remedy().contains("other process"), "{error}");
    drop(journal);
    assert!(Journal::open(disk(&folder), options()).is_ok());
}

#[test]
fn release_frees_whole_segments_and_keeps_the_next_index() {
    let folder = tempfile::tempdir().unwrap();
    let (mut journal, _) = Journal::open(disk(&folder), options()).unwrap();
    let places: Vec<_> = (0..100).map(|_| journal.append(&[&[7; 5000]]).unwrap()).collect();
    let reader = journal.reader();
    let mut buffer = Vec::new();
    reader.read(&places[0], &mut buffer).unwrap();
    journal.release(50).unwrap();
    assert!((38..=50).contains(&journal.first_index()), "{journal:?}");
    assert_eq!(reader.read(&places[0], &mut buffer).unwrap_err().code(), Code::NotFound);
    assert_eq!(reader.read(&places[50], &mut buffer).unwrap(), [7; 5000]);
    journal.seal().unwrap();
    journal.release(u64::MAX).unwrap();
    assert_eq!(journal.reader().segments().len(), 1, "the newest one carries the next index");
    journal.close().unwrap();
    let (journal, recovery) = Journal::open(disk(&folder), options()).unwrap();
    assert_eq!(recovery.next, 100);
    assert!(journal.bytes() < 70_000);
}

#[test]
fn records_above_the_limit_are_refused_and_long_ones_get_their_own_segment() {
    let folder = tempfile::tempdir().unwrap();
    let (mut journal, _) = Journal::open(disk(&folder), options()).unwrap();
    let long = vec![1; 1 << 20];
    assert_eq!(journal.append(&[&long, b"x"]).unwrap_err().code(), Code::Limit);
    journal.append(&[b"short"]).unwrap();
    let place = journal.append(&[&long]).unwrap();
    assert_eq!((place.index, place.segment), (1, 1));
    assert_eq!(journal.append(&[]).unwrap().segment, 2);
    assert_eq!(journal.reader().read(&place, &mut Vec::new()).unwrap(), long);
    drop(journal);
    let small = Options { max_record: 1000, ..options() };
    let (journal, _) = Journal::open(disk(&folder), small).unwrap();
    assert_eq!(journal.reader().read(&place, &mut Vec::new()).unwrap_err().code(), Code::Limit);
    assert_eq!(journal.scan(0, |_| Ok(())).unwrap_err().code(), Code::Limit);
    drop(journal);
    let none = Options { open_files: 0, ..options() };
    assert_eq!(Journal::open(disk(&folder), none).unwrap_err().code(), Code::Config);
}

#[test]
fn a_sync_is_due_by_age_or_amount() {
    let folder = tempfile::tempdir().unwrap();
    let sync = SyncPolicy { max_delay: Duration::from_millis(5), max_bytes: 1000 };
    let (mut journal, _) = Journal::open(disk(&folder), Options { sync, ..options() }).unwrap();
    assert_eq!(journal.sync_due(10), None);
    journal.append(&[&[0; 100]]).unwrap();
    assert_eq!(journal.sync_due(10), Some(5010));
    journal.append(&[&[0; 100]]).unwrap();
    assert_eq!(journal.sync_due(4000), Some(5010), "the oldest record decides");
    journal.append(&[&[0; 900]]).unwrap();
    assert_eq!(journal.sync_due(4000), Some(4000));
    assert_eq!((journal.durable(), journal.sync().unwrap()), (0, 3));
    assert_eq!(journal.sync_due(9000), None);
}

#[test]
fn readers_read_beside_the_writer() {
    let folder = tempfile::tempdir().unwrap();
    let (mut journal, _) = Journal::open(disk(&folder), options()).unwrap();
    let (send, receive) = std::sync::mpsc::channel();
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let reader = journal.reader();
        let random_access = scope.spawn(move || {
            let mut buffer = Vec::new();
            for (index, location) in receive.iter().enumerate() {
                assert_eq!(reader.read(&location, &mut buffer).unwrap(), [index as u8; 3000]);
            }
        });
        let reader = journal.reader();
        let done = &done;
        let scanner = scope.spawn(move || {
            let mut scans = 0;
            while !done.load(Ordering::Relaxed) || scans == 0 {
                let mut index = 0;
                reader
                    .scan(0, |found| {
                        assert!(
                            matches!(found, Found::Record(l, bytes) if l.index == index && bytes[0] == index as u8)
                        );
                        index += 1;
                        Ok(())
                    })
                    .unwrap();
                scans += 1;
            }
        });
        for index in 0..500 {
            send.send(journal.append(&[&[index as u8; 3000]]).unwrap()).unwrap();
            if index % 50 == 0 {
                journal.sync().unwrap();
            }
        }
        drop(send);
        random_access.join().unwrap();
        done.store(true, Ordering::Relaxed);
        scanner.join().unwrap();
    });
}
