//! The row log: rows are journalled as they come and sealed into Parquet.
//!
//! Each packet makes one row per model, known together by the packet's place (in
//! the server's store, or in a sweep's plan), so rows are exactly once whatever
//! crashes: a place is *done* once its rows, which are one record, are durable. A seal writes the unsealed rows to `rows-<first>.parquet`, named by
//! the journal index of the first of them, in one step by renaming; if the
//! checkpoint after it is lost to a crash, the next seal writes the same name
//! again, with the same rows and perhaps more.

use crate::wire::{Connections, Wire};
use afferent_journal::{Found, Journal, Location, Options, RealDisk};
use afferent_link::RangeSet;
use afferent_measure::row::Row;
use afferent_measure::store::RowWriter;
use afferent_media::{Code, Error, Result};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::mpsc::Receiver;

#[derive(Serialize, Deserialize)]
enum Record {
    /// The rows of the packet at this place; their bytes follow, this long each.
    Rows { place: u64, lengths: Vec<u32> },
    /// What a connection has carried so far.
    Wire(Wire),
    /// Every row below this index of the row journal is sealed; the places done by then.
    Sealed { below: u64, done: Vec<(u64, u64)> },
}

/// The rows of one packet, on their way into the log.
pub struct Made {
    /// Place of the packet.
    pub place: u64,
    /// One row per model.
    pub rows: Vec<Row>,
}

/// The row log. One thread owns it.
pub struct RowLog {
    journal: Journal,
    folder: PathBuf,
    done: RangeSet,
    /// Records of unsealed rows, in order, and how many rows each holds.
    fresh: Vec<(Location, usize)>,
    fresh_rows: usize,
    seal_rows: usize,
    connections: Connections,
}

impl RowLog {
    /// Opens the log in `journal`, sealing into `folder` every `seal_rows` rows.
    ///
    /// # Errors
    /// [`Code::Io`] if the disk fails, [`Code::Corrupt`] if what is there is no row log.
    pub fn open(journal: &Path, folder: &Path, seal_rows: usize, connections: Connections) -> Result<Self> {
        std::fs::create_dir_all(folder).map_err(|e| Error::io(folder.display().to_string(), e))?;
        let place = journal.display().to_string();
        let (journal, recovery) = Journal::open(RealDisk::new(journal)?, Options::default())?;
        let mut log = Self {
            journal,
            folder: folder.to_path_buf(),
            done: RangeSet::default(),
            fresh: Vec::new(),
            fresh_rows: 0,
            seal_rows,
            connections,
        };
        let reader = log.journal.reader();
        reader.scan(recovery.first, |found| {
            match found {
                Found::Record(location, bytes) => match parse(bytes)?.0 {
                    Record::Rows { place, lengths } => {
                        log.done.insert(place)?;
                        log.fresh.push((location, lengths.len()));
                    }
                    Record::Wire(wire) => log.connections.restore(wire),
                    Record::Sealed { below, done } => {
                        log.fresh.retain(|(rows, _)| rows.index >= below);
                        for (first, last) in done {
                            log.done.insert_range(first..=last)?;
                        }
                    }
                },
                // The row can be made again: its place is not done.
                Found::Damage(damage) => log::error!("rows {place}: {damage}"),
            }
            Ok(())
        })?;
        log.fresh_rows = log.fresh.iter().map(|(_, rows)| rows).sum();
        Ok(log)
    }

    /// The places of the store whose rows are durable.
    #[must_use]
    pub fn done(&self) -> RangeSet {
        self.done.clone()
    }

    /// Logs the rows that come, until every sender has gone; then seals. After
    /// each sync `logged` is told how many packets have their rows.
    ///
    /// # Errors
    /// [`Code::Io`] if the disk fails.
    pub fn run(
        mut self,
        made: &Receiver<Made>,
        mut logged: impl FnMut(u64),
        mut sealed: impl FnMut(&Path, u64),
    ) -> Result<()> {
        const BATCH: usize = 256;
        while let Ok(first) = made.recv() {
            let mut next = Some(first);
            let mut batch = 0;
            while let Some(Made { place, rows }) = next.take() {
                // Exactly once: a place that is done has its rows.
                if self.done.insert(place)? {
                    self.append_rows(place, &rows)?;
                }
                batch += 1;
                if batch < BATCH {
                    next = made.try_recv().ok();
                }
            }
            for wire in self.connections.changed() {
                self.append(&Record::Wire(wire), &[])?;
            }
            self.journal.sync()?;
            logged(self.done.count());
            if self.fresh_rows >= self.seal_rows {
                self.seal(&mut sealed)?;
            }
        }
        self.seal(&mut sealed)?;
        self.journal.close()
    }

    fn append_rows(&mut self, place: u64, rows: &[Row]) -> Result<()> {
        let mut bytes = Vec::new();
        let mut lengths = Vec::with_capacity(rows.len());
        for row in rows {
            let start = bytes.len();
            bytes.extend(row.to_bytes()?);
            lengths.push(u32::try_from(bytes.len() - start).unwrap_or(u32::MAX));
        }
        let location = self.append(&Record::Rows { place, lengths }, &bytes)?;
        self.fresh.push((location, rows.len()));
        self.fresh_rows += rows.len();
        Ok(())
    }

    fn append(&mut self, record: &Record, bytes: &[u8]) -> Result<Location> {
        let head = postcard::to_stdvec(record)
            .map_err(|e| Error::new(Code::Internal, "a row record cannot be written", "report this").caused_by(e))?;
        self.journal.append(&[&head, bytes])
    }

    /// Writes the unsealed rows to Parquet, each with its share of the transport.
    fn seal(&mut self, sealed: &mut impl FnMut(&Path, u64)) -> Result<()> {
        let (Some((first, _)), Some((last, _))) = (self.fresh.first(), self.fresh.last()) else { return Ok(()) };
        let name = format!("{:020}", first.index);
        let path = self.folder.join(format!("rows-{name}.parquet"));
        let below = last.index + 1;
        let reader = self.journal.reader();
        let mut writer = RowWriter::create(&path)?;
        let mut buffer = Vec::new();
        let mut connections = BTreeSet::new();
        for (location, _) in &self.fresh {
            let (record, mut bytes) = parse(reader.read(location, &mut buffer)?)?;
            let Record::Rows { lengths, .. } = record else { continue };
            for length in lengths {
                let (one, rest) = bytes.split_at_checked(length as usize).unwrap_or((bytes, &[]));
                bytes = rest;
                let mut row = Row::from_bytes(one)?;
                row.transport_bytes = self.connections.share(&row);
                self.connections.describe_board(&mut row);
                connections.extend(row.connection.clone());
                writer.push(row)?;
            }
        }
        let rows = writer.finish()?;
        if !connections.is_empty() {
            self.connections.write(&self.folder.join(format!("connections-{name}.json")), &connections)?;
        }
        // What connections have carried must outlive the segments that say so.
        for wire in self.connections.all() {
            self.append(&Record::Wire(wire), &[])?;
        }
        let done = self.done.ranges().map(|run| (*run.start(), *run.end())).collect();
        let checkpoint = self.append(&Record::Sealed { below, done }, &[])?;
        self.journal.sync()?;
        self.journal.release(below.min(checkpoint.index))?;
        self.fresh.clear();
        self.fresh_rows = 0;
        sealed(&path, rows);
        Ok(())
    }
}

fn parse(record: &[u8]) -> Result<(Record, &[u8])> {
    postcard::take_from_bytes(record).map_err(|e| {
        Error::new(Code::Corrupt, "the record belongs to no row log", "give the server a data folder of its own")
            .caused_by(e)
    })
}
