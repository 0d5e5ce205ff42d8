//! Goes through a segment frame by frame, past damage.

use crate::disk::File;
use crate::format::{FRAME_BYTES, Frame, HEADER_BYTES};
use afferent_media::{Code, Error, Result};
use std::ops::Range;

/// How much is read at a time.
const WINDOW_BYTES: usize = 256 << 10;

/// What [`Walk::step`] found.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// A record whose head verifies, and whether its bytes do, or `None` if they were skipped.
    Record { number: u32, offset: u64, length: u32, intact: Option<bool> },
    /// Bytes that hold no head, before one that does: records `numbers` are lost.
    Gap { numbers: Range<u32>, bytes: Range<u64> },
    /// The end of a sealed segment of `records` records.
    End { records: u32, offset: u64 },
    /// From `offset` on nothing verifies.
    Tail { offset: u64 },
}

/// A walk through one segment.
pub(crate) struct Walk<'a> {
    file: &'a dyn File,
    seed: u32,
    max_record: u32,
    /// Length of the file when the walk began.
    length: u64,
    /// Where the next frame is expected, and the number it should have.
    offset: u64,
    number: u32,
    buffer: Vec<u8>,
    window: Range<u64>,
    body: Range<usize>,
}

impl<'a> Walk<'a> {
    pub(crate) fn new(file: &'a dyn File, seed: u32, max_record: u32) -> Result<Self> {
        let length = file.len().map_err(|e| Error::io("cannot read its length", e))?;
        Ok(Self {
            file,
            seed,
            max_record,
            length,
            offset: HEADER_BYTES as u64,
            number: 0,
            buffer: Vec::new(),
            window: 0..0,
            body: 0..0,
        })
    }

    /// Length of the file when the walk began.
    pub(crate) fn length(&self) -> u64 {
        self.length
    }

    /// The bytes of the record that was found last and not skipped.
    pub(crate) fn body(&self) -> &[u8] {
        self.buffer.get(self.body.clone()).unwrap_or(&[])
    }

    /// The next frame. The bytes of records before `wanted` are skipped unread.
    pub(crate) fn step(&mut self, wanted: u32) -> Result<Step> {
        let offset = self.offset;
        match self.frame(offset)? {
            Some(frame) if frame.number == self.number => self.take(frame, wanted),
            _ => self.search(),
        }
    }

    fn take(&mut self, frame: Frame, wanted: u32) -> Result<Step> {
        let (offset, number, length) = (self.offset, frame.number, frame.body_bytes());
        if frame.is_end() {
            return Ok(Step::End { records: number, offset });
        }
        self.offset += FRAME_BYTES as u64 + u64::from(length);
        self.number += 1;
        let intact = if number < wanted {
            None
        } else {
            let bytes = self.bytes(offset, FRAME_BYTES + length as usize)?;
            let intact = frame.verifies(bytes.get(FRAME_BYTES..).unwrap_or(&[]));
            let start = (offset - self.window.start) as usize + FRAME_BYTES;
            self.body = start..start + length as usize;
            Some(intact)
        };
        Ok(Step::Record { number, offset, length, intact })
    }

    /// Searches for the next head that verifies and could follow.
    fn search(&mut self) -> Result<Step> {
        let (start, expected) = (self.offset, self.number);
        let mut at = start + 1;
        while at + FRAME_BYTES as u64 <= self.length {
            // No more records can be lost than fit between.
            let most = u32::try_from((at - start) / FRAME_BYTES as u64).unwrap_or(u32::MAX);
            let ahead = Frame::number_in(self.array(at)?).wrapping_sub(expected);
            if ahead <= most
                && let Some(frame) = self.frame(at)?
            {
                self.offset = at;
                self.number = frame.number;
                return Ok(Step::Gap { numbers: expected..frame.number, bytes: start..at });
            }
            at += 1;
        }
        Ok(Step::Tail { offset: start })
    }

    /// The frame at `offset`, if its head verifies and the file holds all of it.
    fn frame(&mut self, offset: u64) -> Result<Option<Frame>> {
        if offset + FRAME_BYTES as u64 > self.length {
            return Ok(None);
        }
        let seed = self.seed;
        let Some(frame) = Frame::decode(seed, self.array(offset)?) else { return Ok(None) };
        if offset + FRAME_BYTES as u64 + u64::from(frame.body_bytes()) > self.length || frame.number == u32::MAX {
            return Ok(None);
        }
        if frame.body_bytes() > self.max_record && !frame.is_end() {
            return Err(Error::new(
                Code::Limit,
                format!("the record at byte {offset} has {} bytes", frame.body_bytes()),
                format!("raise max_record, which is {} bytes", self.max_record),
            ));
        }
        Ok(Some(frame))
    }

    fn array(&mut self, offset: u64) -> Result<&[u8; FRAME_BYTES]> {
        self.bytes(offset, FRAME_BYTES)?.first_chunk().ok_or_else(|| short(offset))
    }

    /// Bytes `offset..offset + count`, which the file holds.
    fn bytes(&mut self, offset: u64, count: usize) -> Result<&[u8]> {
        let end = offset + count as u64;
        if !(self.window.start <= offset && end <= self.window.end) {
            let length = (self.length.saturating_sub(offset)).min(count.max(WINDOW_BYTES) as u64) as usize;
            self.window = 0..0;
            if self.buffer.len() < length {
                self.buffer.resize(length, 0);
            }
            let window = self.buffer.get_mut(..length).ok_or_else(|| short(offset))?;
            self.file.read_at(window, offset).map_err(|e| Error::io(format!("cannot read at byte {offset}"), e))?;
            self.window = offset..offset + length as u64;
        }
        let start = (offset - self.window.start) as usize;
        self.buffer.get(start..start + count).ok_or_else(|| short(offset))
    }
}

fn short(offset: u64) -> Error {
    Error::new(Code::Corrupt, format!("the file ends after byte {offset}"), "check the disk")
}
