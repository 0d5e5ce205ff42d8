//! The writer.

use crate::disk::{Disk, File};
use crate::format::{END_BYTES, FRAME_BYTES, Frame, HEADER_BYTES, SegmentHeader, parse_segment_name, segment_name};
use crate::reader::{Found, Location, Reader, Segment, Shared};
use crate::recovery::{Recovered, Recovery, recover};
use afferent_media::{Code, Error, Result};
use std::any::Any;
use std::fmt;
use std::io::{self, IoSlice};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// The name of a segment while it is made; it gets its own with a synced header.
pub(crate) const NEW_SEGMENT: &str = "new";

/// The longest record that any journal takes, in bytes.
const MAX_RECORD: u32 = 1 << 30;

/// How much may be lost to a power cut: a sync is due when either is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SyncPolicy {
    /// The longest that an appended record waits for its sync.
    pub max_delay: Duration,
    /// The most bytes of records that wait for a sync.
    pub max_bytes: u64,
}

impl Default for SyncPolicy {
    /// 20 ms or 1 MiB.
    fn default() -> Self {
        Self { max_delay: Duration::from_millis(20), max_bytes: 1 << 20 }
    }
}

/// How a journal is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Options {
    /// A segment is sealed before it grows beyond this many bytes; a single
    /// longer record still gets a segment of its own.
    pub segment_bytes: u64,
    /// The longest record in bytes, 1 GiB at most. It bounds the memory of a scan.
    pub max_record: u32,
    /// When a sync is due.
    pub sync: SyncPolicy,
    /// How many segments all readers together keep open, at least 1.
    pub open_files: usize,
}

impl Default for Options {
    /// Segments and records of at most 64 MiB, 16 open files.
    fn default() -> Self {
        Self { segment_bytes: 64 << 20, max_record: 64 << 20, sync: SyncPolicy::default(), open_files: 16 }
    }
}

/// The newest segment, while it is written.
struct Active {
    file: Box<dyn File>,
    header: SegmentHeader,
    records: u32,
    end: u64,
}

/// The one writer of a journal. Dropped without [`Journal::close`], it leaves
/// what a crash would leave.
pub struct Journal {
    shared: Arc<Shared>,
    options: Options,
    id: u64,
    /// `None` until the first append after an open or a seal.
    active: Option<Active>,
    /// Bytes of all segments but the active one.
    sealed_bytes: u64,
    unsynced_bytes: u64,
    /// When [`Journal::sync_due`] first saw the oldest unsynced record.
    unsynced_since_us: Option<u64>,
    /// Why nothing can be appended any more.
    failed: Option<String>,
    _lock: Box<dyn Any + Send + Sync>,
}

impl fmt::Debug for Journal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Journal")
            .field("place", &self.shared.disk.place())
            .field("first", &self.first_index())
            .field("durable", &self.durable())
            .field("next", &self.next_index())
            .field("failed", &self.failed)
            .finish_non_exhaustive()
    }
}

impl Journal {
    /// Whether `disk` has a journal; opening would make one where there is none.
    #[must_use]
    pub fn exists(disk: &impl Disk) -> bool {
        disk.names().is_ok_and(|names| names.iter().any(|name| parse_segment_name(name).is_some()))
    }

    /// Opens the journal on `disk`, or begins one where there is none, and says
    /// what was found there. Everything that it found is durable.
    ///
    /// # Errors
    /// [`Code::Config`] if the options are out of range or another has the
    /// journal open, [`Code::Corrupt`] if files of two journals are mixed,
    /// [`Code::Unsupported`] for a later format, [`Code::Limit`] for a record
    /// above `max_record`, [`Code::Io`] if the disk fails.
    pub fn open(disk: impl Disk + 'static, options: Options) -> Result<(Self, Recovery)> {
        let place = format!("journal {}", disk.place());
        Self::open_at(Box::new(disk), options).map_err(|e| e.at(place))
    }

    fn open_at(disk: Box<dyn Disk>, options: Options) -> Result<(Self, Recovery)> {
        if options.max_record > MAX_RECORD || options.open_files == 0 {
            return Err(Error::new(
                Code::Config,
                format!("max_record is {} and open_files {}", options.max_record, options.open_files),
                format!("let max_record be at most {MAX_RECORD} and open_files at least 1"),
            ));
        }
        let lock = disk.lock().map_err(|e| match e.kind() {
            io::ErrorKind::WouldBlock => Error::new(
                Code::Config,
                "it is open elsewhere",
                "stop the other process that uses it, or choose another folder",
            ),
            _ => Error::io("it cannot be locked", e),
        })?;
        let Recovered { chain, journal, recovery } = recover(&*disk, options.max_record)?;
        let sealed_bytes = chain.iter().map(|segment| segment.bytes).sum();
        let is_new = chain.is_empty();
        let shared = Shared::new(disk, options.max_record, options.open_files, chain);
        shared.next.store(recovery.next, Ordering::Release);
        shared.durable.store(recovery.next, Ordering::Release);
        let mut journal = Self {
            id: journal.unwrap_or_else(|| shared.disk.unique()),
            shared: Arc::new(shared),
            options,
            active: None,
            sealed_bytes,
            unsynced_bytes: 0,
            unsynced_since_us: None,
            failed: None,
            _lock: lock,
        };
        if is_new {
            // The id is drawn once: it must outlive a crash before the first record.
            journal.active = Some(journal.create_segment()?);
        }
        Ok((journal, recovery))
    }

    /// A number drawn at random when the journal began.
    #[must_use]
    pub fn id(&self) -> u64 {
        self.id
    }

    /// Index of the oldest record still held, or the next one's if there is none.
    #[must_use]
    pub fn first_index(&self) -> u64 {
        self.shared.chain().first().map_or(self.next_index(), |segment| segment.first)
    }

    /// The index that the next record will get.
    #[must_use]
    pub fn next_index(&self) -> u64 {
        self.shared.next.load(Ordering::Acquire)
    }

    /// The index below which every record is durable.
    #[must_use]
    pub fn durable(&self) -> u64 {
        self.shared.durable.load(Ordering::Acquire)
    }

    /// What the journal's files take on the disk.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.sealed_bytes + self.active.as_ref().map_or(0, |active| active.end)
    }

    /// A reader of this journal.
    #[must_use]
    pub fn reader(&self) -> Reader {
        Reader { shared: Arc::clone(&self.shared) }
    }

    /// [`Reader::scan`], for the owner's own recovery.
    ///
    /// # Errors
    /// Those of [`Reader::scan`].
    pub fn scan(&self, from: u64, visit: impl FnMut(Found<'_>) -> Result<()>) -> Result<()> {
        self.reader().scan(from, visit)
    }

    /// Appends one record, whose bytes are `parts` in turn, and says where it
    /// is. It can be read at once; it is durable once [`Journal::sync`] returns
    /// a higher index. Where it would not fit, the segment is synced and sealed
    /// first and another one begun.
    ///
    /// # Errors
    /// [`Code::Limit`] above `max_record`. [`Code::Io`] if the disk is full or
    /// fails: the record is not in the journal, what was there before is, and
    /// another append may be tried, unless a sync failed: see [`Journal::sync`].
    /// As with any write that fails, a power cut soon after may bring it back.
    pub fn append(&mut self, parts: &[&[u8]]) -> Result<Location> {
        self.usable()?;
        let bytes = parts.iter().fold(0u64, |sum, part| sum.saturating_add(part.len() as u64));
        let length =
            u32::try_from(bytes).ok().filter(|&length| length <= self.options.max_record).ok_or_else(|| {
                Error::new(
                    Code::Limit,
                    format!("a record of {bytes} bytes for journal {}", self.shared.disk.place()),
                    format!("split it, or raise max_record, which is {} bytes", self.options.max_record),
                )
            })?;
        let frame_bytes = FRAME_BYTES as u64 + u64::from(length);
        let full = self.active.as_ref().is_some_and(|active| {
            let end = active.end + frame_bytes + END_BYTES as u64;
            active.records > 0 && (end > self.options.segment_bytes || active.records == u32::MAX - 1)
        });
        if full {
            self.seal()?;
        }
        let mut active = match self.active.take() {
            Some(active) => active,
            None => self.create_segment()?,
        };
        let outcome = active.append(parts, length);
        let written = match outcome {
            Ok(()) => Ok(()),
            Err(e) => {
                let place = self.shared.segment_place(active.header.first);
                if let Err(cut) = active.file.set_len(active.end) {
                    self.failed = Some(format!("{place}: a failed append cannot be cut off: {cut}"));
                }
                Err(unwritten(format!("{place}: a record cannot be written"), e))
            }
        };
        let segment = active.header.first;
        let offset = active.end - if written.is_ok() { frame_bytes } else { 0 };
        self.active = Some(active);
        written?;
        self.unsynced_bytes += frame_bytes;
        // The only writer: no other change can come between.
        let index = self.shared.next.fetch_add(1, Ordering::AcqRel);
        Ok(Location { index, segment, offset, length })
    }

    /// Makes everything appended durable, and returns the index below which it is.
    ///
    /// # Errors
    /// [`Code::Io`] if the sync fails. Then [`Journal::durable`] stays where it
    /// is for ever, nothing can be appended, and the file is left as it is. What
    /// of the rest the disk holds is known once the journal is dropped and
    /// opened again; what it does not hold is to be appended again or counted as lost.
    pub fn sync(&mut self) -> Result<u64> {
        self.usable()?;
        if let Some(active) = &mut self.active
            && self.unsynced_bytes > 0
        {
            if let Err(e) = active.file.sync() {
                let first = active.header.first;
                return Err(self.fail(first, "it could not be synced", e));
            }
            self.synced();
        }
        Ok(self.durable())
    }

    /// When the next sync is due, by a clock of microseconds whose present value
    /// is `now_us`: at once if that is not later than `now_us`, never if `None`.
    /// To be asked after each append and at each deadline.
    #[must_use]
    pub fn sync_due(&mut self, now_us: u64) -> Option<u64> {
        if self.unsynced_bytes == 0 {
            return None;
        }
        let since = *self.unsynced_since_us.get_or_insert(now_us);
        if self.unsynced_bytes >= self.options.sync.max_bytes {
            return Some(now_us);
        }
        Some(since.saturating_add(u64::try_from(self.options.sync.max_delay.as_micros()).unwrap_or(u64::MAX)))
    }

    /// Deletes the segments all of whose records have an index below `below`, and
    /// returns how many bytes that freed. The newest segment is kept, because it
    /// carries the next index; [`Journal::seal`] first where it should go too.
    ///
    /// Whatever the owner needs of those records must be durable elsewhere: after
    /// a crash the journal begins where the last deletion left it, and a record
    /// that shares its segment with a kept one comes back. An owner therefore
    /// keeps its own mark of what is done (in a later record, say) and applies
    /// it when it scans.
    ///
    /// # Errors
    /// [`Code::Io`] if a file cannot be deleted; those before it are.
    pub fn release(&mut self, below: u64) -> Result<u64> {
        let mut freed = 0;
        loop {
            let oldest = match self.shared.chain()[..] {
                [oldest, following, ..] if following.first <= below => oldest,
                _ => return Ok(freed),
            };
            // Each deletion is synced before the next one, so that a power cut never leaves a hole.
            let name = segment_name(oldest.first);
            let outcome = match self.shared.disk.remove(&name) {
                Err(e) if e.kind() != io::ErrorKind::NotFound => Err(e),
                _ => self.shared.disk.sync_folder(),
            };
            outcome.map_err(|e| Error::io("cannot be deleted", e).at(self.shared.segment_place(oldest.first)))?;
            self.shared.chain().remove(0);
            self.shared.forget_before(oldest.first + 1);
            self.sealed_bytes -= oldest.bytes;
            freed += oldest.bytes;
        }
    }

    /// Syncs and ends the segment being written; the next append begins another.
    ///
    /// # Errors
    /// Those of [`Journal::sync`]; [`Code::Io`] if its end cannot be written: it
    /// may be tried again.
    pub fn seal(&mut self) -> Result<()> {
        self.usable()?;
        let Some(mut active) = self.active.take() else { return Ok(()) };
        let first = active.header.first;
        let end = Frame::end(&active.header, active.records);
        if let Err(e) = active.file.write_at(&mut [IoSlice::new(&end)], active.end) {
            let place = self.shared.segment_place(first);
            if let Err(cut) = active.file.set_len(active.end) {
                self.failed = Some(format!("{place}: a failed end cannot be cut off: {cut}"));
            }
            self.active = Some(active);
            return Err(unwritten(format!("{place}: its end cannot be written"), e));
        }
        if let Err(e) = active.file.sync() {
            self.active = Some(active);
            return Err(self.fail(first, "it could not be synced", e));
        }
        self.synced();
        let bytes = active.end + END_BYTES as u64;
        if let Some(segment) = self.shared.chain().last_mut() {
            segment.bytes = bytes;
        }
        self.sealed_bytes += bytes;
        Ok(())
    }

    /// Syncs everything and marks the journal as closed cleanly.
    ///
    /// # Errors
    /// Those of [`Journal::seal`].
    pub fn close(mut self) -> Result<()> {
        self.seal()
    }

    /// Begins the segment whose first record is the next one. The one before it is durable.
    fn create_segment(&mut self) -> Result<Active> {
        let disk = &*self.shared.disk;
        let first = self.next_index();
        // 32 bits of salt are all that a seed of 32 bits can hold.
        let header = SegmentHeader { salt: disk.unique() as u32, journal: self.id, first };
        let write = || {
            let mut file = disk.create(NEW_SEGMENT)?;
            file.write_at(&mut [IoSlice::new(&header.encode())], 0)?;
            file.sync()?;
            disk.rename(NEW_SEGMENT, &segment_name(first))?;
            Ok(file)
        };
        let file =
            write().map_err(|e| unwritten(format!("{}: it cannot be begun", self.shared.segment_place(first)), e))?;
        if let Err(e) = self.shared.disk.sync_folder() {
            return Err(self.fail(first, "its folder could not be synced", e));
        }
        {
            let mut chain = self.shared.chain();
            // It may replace one that was closed without a record.
            if let Some(empty) = chain.pop_if(|last| last.first == first) {
                self.sealed_bytes -= empty.bytes;
                self.shared.forget(first);
            }
            chain.push(Segment { first, seed: Some(header.seed()), bytes: 0 });
        }
        Ok(Active { file, header, records: 0, end: HEADER_BYTES as u64 })
    }

    fn synced(&mut self) {
        self.unsynced_bytes = 0;
        self.unsynced_since_us = None;
        let next = self.next_index();
        self.shared.durable.store(next, Ordering::Release);
    }

    /// Stops the journal for good after a failed sync.
    fn fail(&mut self, first: u64, what: &str, cause: io::Error) -> Error {
        let what = format!(
            "{}: {what}; of records {}..{} nothing is certain",
            self.shared.segment_place(first),
            self.durable(),
            self.next_index()
        );
        self.failed = Some(what.clone());
        Error::new(Code::Io, what, REOPEN).caused_by(cause)
    }

    fn usable(&self) -> Result<()> {
        match &self.failed {
            Some(what) => Err(Error::new(Code::Io, what.clone(), REOPEN)),
            None => Ok(()),
        }
    }
}

/// An error after which the journal is as before and may be tried again.
fn unwritten(what: String, cause: io::Error) -> Error {
    let remedy = match cause.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            "free space on the disk or release records, then try again"
        }
        _ => "check the disk, then try again",
    };
    Error::new(Code::Io, what, remedy).caused_by(cause)
}

const REOPEN: &str = "check the disk, then open the journal again: it keeps what the disk holds";

impl Active {
    /// Writes one record; on an error any part of it may be in the file.
    fn append(&mut self, parts: &[&[u8]], length: u32) -> io::Result<()> {
        let head = Frame::record(self.header.seed(), self.records, length, parts).encode();
        let mut slices = [IoSlice::new(&[]); 16];
        slices[0] = IoSlice::new(&head);
        let mut filled = 1;
        let mut at = self.end;
        let mut bytes = FRAME_BYTES as u64;
        for part in parts {
            if filled == slices.len() {
                self.file.write_at(&mut slices[..filled], at)?;
                at += bytes;
                (filled, bytes) = (0, 0);
            }
            slices[filled] = IoSlice::new(part);
            filled += 1;
            bytes += part.len() as u64;
        }
        self.file.write_at(&mut slices[..filled], at)?;
        self.end = at + bytes;
        self.records += 1;
        Ok(())
    }
}
