//! What opening a journal finds, and what it does about it.

use crate::disk::{Disk, File};
use crate::format::{
    END_BYTES, FRAME_BYTES, Frame, HEADER_BYTES, SegmentHeader, is_other_version, parse_segment_name, segment_name,
};
use crate::reader::{Damage, Segment};
use crate::walk::{Step, Walk};
use afferent_media::{Code, Error, Result};
use std::fmt;
use std::io::IoSlice;
use std::ops::Range;

/// The most places of damage that [`Recovery::damaged`] lists.
pub const MAX_DAMAGE: usize = 1000;

/// What [`crate::Journal::open`] found.
///
/// It reads the newest segment as a whole, of the others the header and the
/// end; [`crate::Reader::scan`] finds damage within those.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recovery {
    /// Index of the oldest record still held; `next` if there is none.
    pub first: u64,
    /// Index that the next record will get. All records below are durable.
    pub next: u64,
    /// Whether the newest segment was sealed: nothing can be missing at its end.
    pub clean: bool,
    /// Bytes cut from the newest segment because no record follows that
    /// verifies. A power cut leaves such a tail where writes were not synced.
    pub torn_bytes: u64,
    /// How many records are lost in all.
    pub lost: u64,
    /// Which ones (the first [`MAX_DAMAGE`] places): the disk damaged them, or, in
    /// the newest segment after a power cut, it wrote a later record before them
    /// and neither was synced.
    pub damaged: Vec<Damage>,
}

impl Recovery {
    fn add(&mut self, damage: Damage) {
        self.lost += damage.records.end.saturating_sub(damage.records.start);
        if self.damaged.len() < MAX_DAMAGE {
            self.damaged.push(damage);
        }
    }
}

impl fmt::Display for Recovery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "records {}..{}, {}",
            self.first,
            self.next,
            if self.clean { "closed cleanly" } else { "not closed" }
        )?;
        if self.torn_bytes > 0 {
            write!(f, ", {} torn bytes cut", self.torn_bytes)?;
        }
        if self.lost > 0 {
            write!(f, ", {} records lost", self.lost)?;
        }
        Ok(())
    }
}

/// A recovered chain of segments.
pub(crate) struct Recovered {
    pub(crate) chain: Vec<Segment>,
    /// The journal's id; `None` if no segment says so.
    pub(crate) journal: Option<u64>,
    pub(crate) recovery: Recovery,
}

/// Reads what is on `disk`, cuts the torn tail and seals the newest segment.
pub(crate) fn recover(disk: &dyn Disk, max_record: u32) -> Result<Recovered> {
    let firsts = segments(disk)?;
    let mut recovery = Recovery { first: 0, next: 0, clean: true, torn_bytes: 0, lost: 0, damaged: Vec::new() };
    let mut chain: Vec<Segment> = Vec::with_capacity(firsts.len());
    let mut journal = None;
    for (at, &first) in firsts.iter().enumerate() {
        let place = || segment_name(first);
        let mut file = disk.open(&place()).map_err(|e| Error::io("cannot be opened", e).at(place()))?;
        let following = firsts.get(at + 1).copied();
        if following.is_none() {
            // What the cache holds of it may be what a failed sync left there.
            file.settle().map_err(|e| Error::io("cannot be synced", e).at(place()))?;
        }
        let header = read_header(&*file, first).map_err(|e| e.at(place()))?;
        if let Some(header) = header
            && *journal.get_or_insert(header.journal) != header.journal
        {
            return Err(Error::new(
                Code::Corrupt,
                format!("{} belongs to another journal than those before it", place()),
                "move the files of one of the two journals elsewhere",
            ));
        }
        let outcome = match (header, following) {
            (Some(header), None) => newest(&mut *file, &header, max_record, &mut recovery),
            (Some(header), Some(following)) => sealed(&*file, &header, following, &mut recovery),
            (None, following) => headless(&*file, first, following, &mut recovery),
        };
        let bytes = outcome.map_err(|e| e.at(place()))?;
        chain.push(Segment { first, seed: header.map(|header| header.seed()), bytes });
    }
    recovery.first = firsts.first().copied().unwrap_or(0);
    Ok(Recovered { chain, journal, recovery })
}

/// The first indices of all segments, in order. Files that a crash left half
/// made are removed.
fn segments(disk: &dyn Disk) -> Result<Vec<u64>> {
    // A rename or removal whose sync failed may be lost yet; what is read now must not be.
    disk.sync_folder().map_err(|e| Error::io("the folder cannot be synced", e))?;
    let mut firsts = Vec::new();
    for name in disk.names().map_err(|e| Error::io("the folder cannot be listed", e))? {
        if let Some(first) = parse_segment_name(&name) {
            firsts.push(first);
        } else if name == crate::journal::NEW_SEGMENT {
            disk.remove(&name).map_err(|e| Error::io(format!("{name} cannot be removed"), e))?;
        }
    }
    firsts.sort_unstable();
    Ok(firsts)
}

/// The header at the start of `file`, or else its copy at the end.
fn read_header(file: &dyn File, first: u64) -> Result<Option<SegmentHeader>> {
    let length = length_of(file)?;
    let mut other_version = false;
    for offset in [Some(0), length.checked_sub(HEADER_BYTES as u64)].into_iter().flatten() {
        let Some(bytes) = read_array::<HEADER_BYTES>(file, offset, length)? else { continue };
        match SegmentHeader::decode(&bytes) {
            Some(header) if header.first == first => return Ok(Some(header)),
            _ => other_version |= offset == 0 && is_other_version(&bytes),
        }
    }
    if other_version {
        return Err(Error::new(
            Code::Unsupported,
            "a segment of another version of the format",
            "use the version of Afferent that wrote it",
        ));
    }
    Ok(None)
}

/// Checks that a segment with a successor ends where that one starts, as far as
/// its end tells. Returns its length.
fn sealed(file: &dyn File, header: &SegmentHeader, following: u64, recovery: &mut Recovery) -> Result<u64> {
    let length = length_of(file)?;
    let Some(offset) = length.checked_sub(END_BYTES as u64) else { return Ok(length) };
    let end = read_array(file, offset, length)?.and_then(|bytes| Frame::decode(header.seed(), &bytes));
    if let Some(frame) = end.filter(Frame::is_end) {
        let records = header.first + u64::from(frame.number)..following;
        if records.start < records.end {
            recovery.add(Damage { segment: header.first, records, bytes: length..length });
        }
    }
    Ok(length)
}

/// Counts a segment that no header explains as lost. Returns its length.
fn headless(file: &dyn File, first: u64, following: Option<u64>, recovery: &mut Recovery) -> Result<u64> {
    let length = length_of(file)?;
    // No index that it may have held is given again.
    let most = length.saturating_sub(HEADER_BYTES as u64) / FRAME_BYTES as u64;
    let end = following.unwrap_or(first.saturating_add(most));
    if first < end {
        recovery.add(Damage { segment: first, records: first..end, bytes: 0..length });
    }
    recovery.next = end;
    recovery.clean &= following.is_some();
    Ok(length)
}

/// Reads the newest segment as a whole, cuts its torn tail and seals it.
/// Returns its length.
fn newest(file: &mut dyn File, header: &SegmentHeader, max_record: u32, recovery: &mut Recovery) -> Result<u64> {
    let first = header.first;
    let known = recovery.damaged.len();
    let mut walk = Walk::new(file, header.seed(), max_record)?;
    let length = walk.length();
    let mut records = 0;
    let mut end = HEADER_BYTES as u64;
    // Damage is a torn tail unless something that verifies follows.
    let mut damaged: Option<Range<u64>> = None;
    let clean = loop {
        let (number, offset, sealed) = match walk.step(0)? {
            Step::Record { offset, length, intact: Some(false) | None, .. } => {
                let end = offset + FRAME_BYTES as u64 + u64::from(length);
                damaged = Some(damaged.map_or(offset, |bytes| bytes.start)..end);
                continue;
            }
            Step::Gap { bytes, .. } => {
                damaged = Some(damaged.map_or(bytes.start, |before| before.start)..bytes.end);
                continue;
            }
            Step::Tail { .. } => break false,
            Step::End { records, offset } => (records, offset, true),
            Step::Record { number, offset, length, .. } => {
                end = offset + FRAME_BYTES as u64 + u64::from(length);
                (number, offset, false)
            }
        };
        if records < number {
            let bytes = damaged.take().unwrap_or(offset..offset);
            recovery.add(Damage {
                segment: first,
                records: first + u64::from(records)..first + u64::from(number),
                bytes,
            });
        }
        damaged = None;
        if sealed {
            records = number;
            break true;
        }
        records = number + 1;
    };
    recovery.next = first + u64::from(records);
    recovery.clean = clean;
    if clean {
        return Ok(length);
    }
    recovery.torn_bytes = length - end;
    if recovery.torn_bytes > 0 {
        file.set_len(end)
            .and_then(|()| file.sync())
            .map_err(|e| Error::io(format!("its torn tail cannot be cut at byte {end}"), e))?;
    }
    // The head of a lost record may claim more bytes than the file has, and is passed over
    // for that. An end would make the file long enough for it to swallow what follows.
    if recovery.damaged.len() > known {
        return Ok(end);
    }
    // An end is a comfort: on a full disk the segment is kept without.
    match seal(file, header, records, end) {
        Ok(length) => Ok(length),
        Err(e) => {
            log::warn!("segment {} stays unsealed: {e}", segment_name(first));
            file.set_len(end).map_err(|e| Error::io(format!("cannot be cut at byte {end}"), e))?;
            Ok(end)
        }
    }
}

/// Writes the end of a segment at byte `offset` and syncs it. Returns its length.
fn seal(file: &mut dyn File, header: &SegmentHeader, records: u32, offset: u64) -> std::io::Result<u64> {
    file.write_at(&mut [IoSlice::new(&Frame::end(header, records))], offset)?;
    file.sync()?;
    Ok(offset + END_BYTES as u64)
}

fn length_of(file: &dyn File) -> Result<u64> {
    file.len().map_err(|e| Error::io("cannot read its length", e))
}

/// `N` bytes at `offset`, if the file of `length` bytes holds them.
fn read_array<const N: usize>(file: &dyn File, offset: u64, length: u64) -> Result<Option<[u8; N]>> {
    let mut bytes = [0; N];
    if offset + N as u64 > length {
        return Ok(None);
    }
    file.read_at(&mut bytes, offset).map_err(|e| Error::io(format!("cannot read at byte {offset}"), e))?;
    Ok(Some(bytes))
}
