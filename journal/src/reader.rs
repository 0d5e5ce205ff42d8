//! Reading, beside the writer and without its lock.

use crate::disk::{Disk, File};
use crate::format::{FRAME_BYTES, Frame, segment_name};
use crate::walk::{Step, Walk};
use afferent_media::{Code, Error, Result};
use std::fmt;
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Where a record is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Location {
    /// Number of the record in the journal, from 0.
    pub index: u64,
    /// Its segment, named by the index of that segment's first record.
    pub segment: u64,
    /// Byte of the segment's file at which its frame starts.
    pub offset: u64,
    /// Length of its bytes, without the frame.
    pub length: u32,
}

/// Records that are lost: their bytes are damaged or missing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Damage {
    /// First index of the segment's file.
    pub segment: u64,
    /// The indices that cannot be read.
    pub records: Range<u64>,
    /// The bytes of the file that do not verify; empty if they are missing.
    pub bytes: Range<u64>,
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (records, bytes) = (&self.records, &self.bytes);
        let name = segment_name(self.segment);
        write!(f, "records {}..{} are lost: {name}, bytes {}..{}", records.start, records.end, bytes.start, bytes.end)
    }
}

/// What a scan comes by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found<'a> {
    /// A record, intact.
    Record(Location, &'a [u8]),
    /// Records that are lost.
    Damage(Damage),
}

/// One segment of the chain.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Segment {
    pub(crate) first: u64,
    /// `None` if the header is damaged beyond its second copy.
    pub(crate) seed: Option<u32>,
    /// Length of the file, kept once it is sealed.
    pub(crate) bytes: u64,
}

/// What the writer and its readers share.
pub(crate) struct Shared {
    pub(crate) disk: Box<dyn Disk>,
    pub(crate) max_record: u32,
    pub(crate) next: AtomicU64,
    pub(crate) durable: AtomicU64,
    chain: Mutex<Vec<Segment>>,
    open: Mutex<Vec<(u64, Arc<dyn File>)>>,
    open_files: usize,
}

impl Shared {
    pub(crate) fn new(disk: Box<dyn Disk>, max_record: u32, open_files: usize, chain: Vec<Segment>) -> Self {
        Self {
            disk,
            max_record,
            next: AtomicU64::new(0),
            durable: AtomicU64::new(0),
            chain: Mutex::new(chain),
            open: Mutex::new(Vec::with_capacity(open_files)),
            open_files,
        }
    }

    pub(crate) fn chain(&self) -> MutexGuard<'_, Vec<Segment>> {
        self.chain.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn open(&self) -> MutexGuard<'_, Vec<(u64, Arc<dyn File>)>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// An error's place: this journal's segment `first`.
    pub(crate) fn segment_place(&self, first: u64) -> String {
        format!("journal {}, {}", self.disk.place(), segment_name(first))
    }

    /// Closes what readers hold open of segments before `first`.
    pub(crate) fn forget_before(&self, first: u64) {
        self.open().retain(|(segment, _)| *segment >= first);
    }

    /// Closes what readers hold open of segment `first`.
    pub(crate) fn forget(&self, first: u64) {
        self.open().retain(|(segment, _)| *segment != first);
    }

    /// The open file of a segment: the most recently used ones are kept.
    fn file(&self, first: u64) -> Result<Arc<dyn File>> {
        {
            let mut open = self.open();
            if let Some(at) = open.iter().position(|(segment, _)| *segment == first) {
                open[..=at].rotate_right(1);
                return Ok(Arc::clone(&open[0].1));
            }
        }
        let file: Arc<dyn File> = Arc::from(
            self.disk
                .open(&segment_name(first))
                .map_err(|e| Error::io("cannot be opened", e).at(self.segment_place(first)))?,
        );
        let mut open = self.open();
        open.truncate(self.open_files - 1);
        open.insert(0, (first, Arc::clone(&file)));
        Ok(file)
    }
}

/// Reads the records of a journal, from any thread, beside the writer: it never
/// waits for an append or a sync. It may outlive the writer.
#[derive(Clone)]
pub struct Reader {
    pub(crate) shared: Arc<Shared>,
}

impl fmt::Debug for Reader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reader").field("place", &self.shared.disk.place()).field("next", &self.next_index()).finish()
    }
}

impl Reader {
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

    /// The first index of each segment, oldest first; all but the last are sealed.
    #[must_use]
    pub fn segments(&self) -> Vec<u64> {
        self.shared.chain().iter().map(|segment| segment.first).collect()
    }

    /// The bytes of the record at `location`, read into `buffer`, which grows as
    /// needed and is best kept from one read to the next. Records that are not
    /// yet durable are read too.
    ///
    /// # Errors
    /// [`Code::NotFound`] if it was released, [`Code::Corrupt`] if it does not
    /// verify, [`Code::Limit`] above the journal's longest record, [`Code::Io`].
    pub fn read<'b>(&self, location: &Location, buffer: &'b mut Vec<u8>) -> Result<&'b [u8]> {
        let Location { index, segment, offset, length } = *location;
        let fail = |error: Error| error.at(format!("record {index} of {}", self.shared.segment_place(segment)));
        if length > self.shared.max_record {
            let what = format!("a length of {length} bytes is above {}", self.shared.max_record);
            return Err(fail(Error::new(Code::Limit, what, "raise max_record, or check where the location is from")));
        }
        let found = {
            let chain = self.shared.chain();
            chain.binary_search_by_key(&segment, |s| s.first).ok().map(|at| chain[at].seed)
        };
        let Some(seed) = found else {
            return Err(fail(Error::new(Code::NotFound, "no such segment", "it was released; ask for a later record")));
        };
        let corrupt =
            |what: &str| fail(Error::new(Code::Corrupt, what, "get the record from where it came, or skip it"));
        let seed = seed.ok_or_else(|| corrupt("the segment's header is damaged"))?;
        let file = self.shared.file(segment).map_err(|e| e.at(format!("record {index}")))?;
        let frame_bytes = FRAME_BYTES + length as usize;
        if buffer.len() < frame_bytes {
            buffer.resize(frame_bytes, 0);
        }
        let bytes = &mut buffer[..frame_bytes];
        match file.read_at(bytes, offset) {
            Err(e) if e.kind() == std::io::ErrorKind::UnexpectedEof => return Err(corrupt("the file ends before it")),
            outcome => outcome.map_err(|e| fail(Error::io("cannot be read", e)))?,
        }
        let number = index.checked_sub(segment);
        bytes
            .split_first_chunk()
            .filter(|(head, body)| {
                Frame::decode(seed, head)
                    .is_some_and(|frame| Some(u64::from(frame.number)) == number && frame.verifies(body))
            })
            .map(|(_, body)| body)
            .ok_or_else(|| corrupt("its checksum differs"))
    }

    /// Shows `visit` every record from index `from` (or the first one still
    /// held) up to the last one appended when the scan began, in order, and
    /// every range of them that is lost. Stops at the first error of `visit`.
    ///
    /// # Errors
    /// Those of `visit`; [`Code::Limit`] at a record above the journal's longest;
    /// [`Code::NotFound`] or [`Code::Io`] if a segment cannot be opened or read.
    /// The message names it; a scan from the next of [`Reader::segments`] goes on behind it.
    pub fn scan(&self, from: u64, mut visit: impl FnMut(Found<'_>) -> Result<()>) -> Result<()> {
        let next = self.next_index();
        let chain = self.shared.chain().clone();
        for (at, segment) in chain.iter().enumerate() {
            let end = chain.get(at + 1).map_or(next, |following| following.first).min(next);
            if end > from.max(segment.first) {
                self.scan_segment(segment, from.max(segment.first)..end, &mut visit)?;
            }
        }
        Ok(())
    }

    fn scan_segment(
        &self,
        segment: &Segment,
        wanted: Range<u64>,
        visit: &mut impl FnMut(Found<'_>) -> Result<()>,
    ) -> Result<()> {
        let first = segment.first;
        let fail = |error: Error| error.at(self.shared.segment_place(first));
        let file = self.shared.file(first)?;
        let Some(seed) = segment.seed else {
            let bytes = 0..file.len().map_err(|e| fail(Error::io("cannot read its length", e)))?;
            return visit(Found::Damage(Damage { segment: first, records: wanted, bytes }));
        };
        let mut walk = Walk::new(&*file, seed, self.shared.max_record).map_err(fail)?;
        let from = u32::try_from(wanted.start - first).unwrap_or(u32::MAX);
        // The next index to tell of, and the damage met since the last record.
        let mut index = wanted.start;
        let mut damaged: Option<Range<u64>> = None;
        while index < wanted.end {
            match walk.step(from).map_err(fail)? {
                Step::Record { number, offset, length, intact } => {
                    let at = first + u64::from(number);
                    let end = offset + FRAME_BYTES as u64 + u64::from(length);
                    if at < index {
                        damaged = None; // damage before what is wanted
                        continue;
                    }
                    if intact == Some(false) {
                        damaged = Some(damaged.map_or(offset, |bytes| bytes.start)..end);
                        continue;
                    }
                    if at >= wanted.end {
                        break;
                    }
                    if index < at {
                        let bytes = damaged.take().unwrap_or(offset..offset);
                        visit(Found::Damage(Damage { segment: first, records: index..at, bytes }))?;
                    }
                    visit(Found::Record(Location { index: at, segment: first, offset, length }, walk.body()))?;
                    index = at + 1;
                }
                Step::Gap { bytes, .. } => {
                    damaged = Some(damaged.map_or(bytes.start, |before| before.start)..bytes.end);
                }
                Step::End { offset, .. } => {
                    damaged.get_or_insert(offset..offset);
                    break;
                }
                Step::Tail { offset } => {
                    damaged = Some(damaged.map_or(offset, |bytes| bytes.start)..walk.length());
                    break;
                }
            }
        }
        if index < wanted.end {
            let bytes = damaged.unwrap_or(0..0);
            visit(Found::Damage(Damage { segment: first, records: index..wanted.end, bytes }))?;
        }
        Ok(())
    }
}
