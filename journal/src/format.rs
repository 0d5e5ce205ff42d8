//! The bytes of a segment: header, frames, end. See the crate's page for the layout.

use crc32c::{crc32c, crc32c_append};

/// First bytes of every segment; the last one is the format's version.
pub(crate) const MAGIC: [u8; 4] = *b"AFJ\x01";
/// Length of a segment's header.
pub(crate) const HEADER_BYTES: usize = 28;
/// Length of a frame without its bytes.
pub(crate) const FRAME_BYTES: usize = 16;
/// Length of the frame that ends a sealed segment.
pub(crate) const END_BYTES: usize = FRAME_BYTES + HEADER_BYTES;

/// The `length` that marks an end; no record is that long.
const END: u32 = u32::MAX;
const EXTENSION: &str = ".seg";

/// The file name of the segment whose first record has index `first`.
pub(crate) fn segment_name(first: u64) -> String {
    format!("{first:020}{EXTENSION}")
}

/// The first index in a segment's file name, or `None` for a foreign file.
pub(crate) fn parse_segment_name(name: &str) -> Option<u64> {
    let digits = name.strip_suffix(EXTENSION)?;
    (digits.len() == 20 && digits.bytes().all(|byte| byte.is_ascii_digit())).then(|| digits.parse().ok())?
}

/// A segment's header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SegmentHeader {
    pub(crate) salt: u32,
    pub(crate) journal: u64,
    pub(crate) first: u64,
}

impl SegmentHeader {
    pub(crate) fn encode(&self) -> [u8; HEADER_BYTES] {
        let mut bytes = [0; HEADER_BYTES];
        bytes[..4].copy_from_slice(&MAGIC);
        bytes[4..8].copy_from_slice(&self.salt.to_le_bytes());
        bytes[8..16].copy_from_slice(&self.journal.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.first.to_le_bytes());
        let crc = crc32c(&bytes[..24]);
        bytes[24..].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    /// The header in `bytes`, if it verifies. A damaged version byte is no
    /// damage: the checksum over version 1 shows what it was.
    pub(crate) fn decode(bytes: &[u8; HEADER_BYTES]) -> Option<Self> {
        let header = Self { salt: u32_at(bytes, 4), journal: u64_at(bytes, 8), first: u64_at(bytes, 16) };
        (bytes[..3] == MAGIC[..3] && header.encode()[24..] == bytes[24..]).then_some(header)
    }

    /// What the head checksums of this segment start from.
    pub(crate) fn seed(&self) -> u32 {
        u32_at(&self.encode(), 24)
    }
}

/// Whether `bytes` start like a segment of another version of the format.
pub(crate) fn is_other_version(bytes: &[u8; HEADER_BYTES]) -> bool {
    bytes[..3] == MAGIC[..3] && bytes[3] != MAGIC[3]
}

/// What precedes the bytes of a record, or an end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Frame {
    pub(crate) number: u32,
    length: u32,
    head_crc: u32,
    body_crc: u32,
}

impl Frame {
    /// The frame of record `number` of a segment, whose bytes are `parts` in turn.
    pub(crate) fn record(seed: u32, number: u32, length: u32, parts: &[&[u8]]) -> Self {
        let head_crc = head_crc(seed, number, length);
        let body_crc = parts.iter().fold(head_crc, |crc, part| crc32c_append(crc, part));
        Self { number, length, head_crc, body_crc }
    }

    /// The end of a segment of `records` records, with its header's second copy.
    pub(crate) fn end(header: &SegmentHeader, records: u32) -> [u8; END_BYTES] {
        let copy = header.encode();
        let mut bytes = [0; END_BYTES];
        bytes[..FRAME_BYTES].copy_from_slice(&Self::record(header.seed(), records, END, &[&copy]).encode());
        bytes[FRAME_BYTES..].copy_from_slice(&copy);
        bytes
    }

    pub(crate) fn encode(&self) -> [u8; FRAME_BYTES] {
        let mut bytes = [0; FRAME_BYTES];
        for (field, value) in bytes.chunks_exact_mut(4).zip([self.number, self.length, self.head_crc, self.body_crc]) {
            field.copy_from_slice(&value.to_le_bytes());
        }
        bytes
    }

    /// The frame in `bytes`, if its head verifies.
    pub(crate) fn decode(seed: u32, bytes: &[u8; FRAME_BYTES]) -> Option<Self> {
        let [number, length, head, body_crc] = [0, 4, 8, 12].map(|at| u32_at(bytes, at));
        (head == head_crc(seed, number, length)).then_some(Self { number, length, head_crc: head, body_crc })
    }

    /// The number that `bytes` hold where a frame would, verified or not.
    pub(crate) fn number_in(bytes: &[u8; FRAME_BYTES]) -> u32 {
        u32_at(bytes, 0)
    }

    /// Whether this is an end and not a record.
    pub(crate) fn is_end(&self) -> bool {
        self.length == END
    }

    /// Length of the bytes that follow.
    pub(crate) fn body_bytes(&self) -> u32 {
        if self.is_end() { HEADER_BYTES as u32 } else { self.length }
    }

    /// Whether `body` is what this frame was made for.
    pub(crate) fn verifies(&self, body: &[u8]) -> bool {
        body.len() == self.body_bytes() as usize && crc32c_append(self.head_crc, body) == self.body_crc
    }
}

fn head_crc(seed: u32, number: u32, length: u32) -> u32 {
    crc32c_append(seed, &(u64::from(length) << 32 | u64::from(number)).to_le_bytes())
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(std::array::from_fn(|i| bytes[at + i]))
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(std::array::from_fn(|i| bytes[at + i]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_twenty_digits() {
        assert_eq!(segment_name(1312), "00000000000000001312.seg");
        for first in [0, 1312, u64::MAX] {
            assert_eq!(parse_segment_name(&segment_name(first)), Some(first));
        }
        for foreign in
            ["lock", "1.seg", "00000000000000001312.tmp", "+0000000000000001312.seg", "99999999999999999999.seg"]
        {
            assert_eq!(parse_segment_name(foreign), None, "{foreign}");
        }
    }

    /// Segments written today must open for ever.
    #[test]
    fn the_bytes_of_version_1() {
        let header = SegmentHeader { salt: 0x0403_0201, journal: 0x0807_0605_0403_0201, first: 7 };
        assert_eq!(
            header.encode()[..24],
            *b"AFJ\x01\x01\x02\x03\x04\x01\x02\x03\x04\x05\x06\x07\x08\x07\0\0\0\0\0\0\0"
        );
        assert_eq!(header.seed(), 0x8814_e21d);
        let frame = Frame::record(header.seed(), 3, 5, &[b"he", b"llo"]);
        assert_eq!(
            frame.encode(),
            [0x03, 0x00, 0x00, 0x00, 0x05, 0x00, 0x00, 0x00, 0xab, 0x56, 0xdf, 0xe4, 0x15, 0xf2, 0x3c, 0xa1]
        );
    }

    #[test]
    fn every_flipped_bit_of_a_header_is_noticed_or_repaired() {
        let header = SegmentHeader { salt: 9, journal: 8, first: 7 };
        for bit in 0..HEADER_BYTES * 8 {
            let mut bytes = header.encode();
            bytes[bit / 8] ^= 1 << (bit % 8);
            let decoded = SegmentHeader::decode(&bytes);
            assert_eq!(decoded, (bit / 8 == 3).then_some(header), "bit {bit}");
        }
    }
}
