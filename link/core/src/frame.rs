//! Frames: `kind | length | body | CRC-32C`.
//!
//! | part | bytes | content |
//! |---|---|---|
//! | kind | 1 | which message the body holds; see [`kind`] |
//! | length | 1 to 5 | bytes of the body, LEB128, in its shortest form |
//! | body | length | see [`message`](crate::message) |
//! | checksum | 4 | CRC-32C of everything before it, little-endian |
//!
//! The body of a packet is `length of header | header | container`. Everything
//! of its frame that is not the container is *framing*, the fifth part of the
//! rate ledger; it depends on nothing that a resend changes, so both ends count
//! the same however often the packet crossed.

use crate::PacketKey;
use crate::fault::Fault;
use crate::message::{MAX_PACKET_HEADER, PacketHeader};
use afferent_media::{Bytes, RateParts};
use alloc::vec::Vec;

/// The kinds of frame. A kind that a build does not know is skipped and counted.
pub mod kind {
    /// The agent's first message.
    pub const HELLO: u8 = 1;
    /// The server's answer to it.
    pub const WELCOME: u8 = 2;
    /// A stream and its operating point.
    pub const OPEN: u8 = 3;
    /// One encoded sample.
    pub const PACKET: u8 = 4;
    /// What the server has stored.
    pub const ACK: u8 = 5;
    /// A new operating point for a stream.
    pub const CONTROL: u8 = 6;
    /// How the board is.
    pub const TELEMETRY: u8 = 7;
    /// The end, with the ledger.
    pub const BYE: u8 = 8;
    /// The server will not talk to this agent.
    pub const REFUSE: u8 = 9;
    /// A question for the server's clock.
    pub const PING: u8 = 10;
    /// The answer to it.
    pub const PONG: u8 = 11;
}

/// Bytes of the checksum at the end of a frame.
pub const TAIL: usize = 4;
/// Most bytes of the kind and length at the start of a frame.
pub const MAX_PREFIX: usize = 6;
/// The usual limit of a whole frame: 16 MiB.
pub const MAX_FRAME: usize = 16 << 20;

#[cfg(feature = "std")]
fn crc32c(seed: u32, bytes: &[u8]) -> u32 {
    crc32c::crc32c_append(seed, bytes)
}

#[cfg(any(test, not(feature = "std")))]
fn crc32c_by_table(seed: u32, bytes: &[u8]) -> u32 {
    static TABLE: crc::Crc<u32> = crc::Crc::<u32>::new(&crc::CRC_32_ISCSI);
    // The crate takes the register before its final reflection; the seed here is a finished CRC.
    let mut digest = TABLE.digest_with_initial((seed ^ u32::MAX).reverse_bits());
    digest.update(bytes);
    digest.finalize()
}

#[cfg(not(feature = "std"))]
use crc32c_by_table as crc32c;

/// A whole frame whose checksum holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Frame<'a> {
    /// Which message the body holds.
    pub kind: u8,
    /// The body.
    pub body: &'a [u8],
    /// Bytes of the whole frame.
    pub length: usize,
}

impl<'a> Frame<'a> {
    /// Parses exactly one frame of at most `limit` bytes.
    ///
    /// # Errors
    /// [`Fault::Truncated`], [`Fault::Trailing`], [`Fault::TooLong`],
    /// [`Fault::Syntax`] or [`Fault::Checksum`].
    pub fn parse(bytes: &'a [u8], limit: usize) -> Result<Self, Fault> {
        let (prefix, length) = measure(bytes, limit)?.ok_or(Fault::Truncated)?;
        match bytes.len() {
            have if have < length => return Err(Fault::Truncated),
            have if have > length => return Err(Fault::Trailing),
            _ => {}
        }
        let (covered, tail) = bytes.split_last_chunk::<TAIL>().ok_or(Fault::Truncated)?;
        if u32::from_le_bytes(*tail) != crc32c(0, covered) {
            return Err(Fault::Checksum);
        }
        let kind = covered.first().copied().ok_or(Fault::Truncated)?;
        let body = covered.get(prefix..).ok_or(Fault::Truncated)?;
        Ok(Self { kind, body, length })
    }
}

/// The length of the whole frame at the start of `bytes`, or `None` while too
/// few bytes are there to tell. This is how a byte stream is cut into frames.
///
/// # Errors
/// [`Fault::TooLong`] above `limit`, before any of the body is needed;
/// [`Fault::Syntax`] for a length that is not in its shortest form.
pub fn length(bytes: &[u8], limit: usize) -> Result<Option<usize>, Fault> {
    Ok(measure(bytes, limit)?.map(|(_, length)| length))
}

/// Bytes before the body, and of the whole frame.
fn measure(bytes: &[u8], limit: usize) -> Result<Option<(usize, usize)>, Fault> {
    let Some(digits) = bytes.get(1..) else { return Ok(None) };
    let mut body = 0u64;
    for (place, &byte) in digits.iter().take(MAX_PREFIX - 1).enumerate() {
        body |= u64::from(byte & 0x7f) << (7 * place);
        if byte & 0x80 == 0 {
            if place > 0 && byte == 0 {
                return Err(Fault::Syntax("a frame's length"));
            }
            let prefix = place + 2;
            let length = body + (prefix + TAIL) as u64;
            if length > limit as u64 {
                return Err(Fault::TooLong { length, limit: limit as u64 });
            }
            return Ok(Some((prefix, length as usize)));
        }
    }
    if digits.len() >= MAX_PREFIX - 1 {
        return Err(Fault::Syntax("a frame's length"));
    }
    Ok(None)
}

fn prefix(kind: u8, body: usize, mut push: impl FnMut(u8)) -> Result<(), Fault> {
    let mut rest =
        u32::try_from(body).map_err(|_| Fault::TooLong { length: body as u64, limit: u64::from(u32::MAX) })?;
    push(kind);
    while rest >= 0x80 {
        push(rest as u8 | 0x80);
        rest >>= 7;
    }
    push(rest as u8);
    Ok(())
}

/// Appends a whole frame to `out`.
///
/// # Errors
/// [`Fault::TooLong`] for a body of 4 GiB or more.
pub fn write(kind: u8, body: &[u8], out: &mut Vec<u8>) -> Result<(), Fault> {
    let start = out.len();
    out.reserve(MAX_PREFIX + body.len() + TAIL);
    prefix(kind, body.len(), |byte| out.push(byte))?;
    out.extend_from_slice(body);
    let crc = crc32c(0, out.get(start..).unwrap_or_default());
    out.extend_from_slice(&crc.to_le_bytes());
    Ok(())
}

/// The framing of one packet around a body that stays where it is: the frame
/// is `head`, then the body, then `tail`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PacketFrame {
    /// Everything before the container.
    pub head: heapless::Vec<u8, { MAX_PREFIX + 2 + MAX_PACKET_HEADER }>,
    /// The checksum.
    pub tail: [u8; TAIL],
    key: PacketKey,
    class: crate::message::Class,
    parts: RateParts,
}

impl PacketFrame {
    /// Frames the container `body` under `header`.
    ///
    /// # Errors
    /// [`Fault::Syntax`] if the header's byte counts exceed the body or its
    /// sample id exceeds [`MAX_SAMPLE_ID`](crate::message::MAX_SAMPLE_ID),
    /// [`Fault::TooLong`] for a body of 4 GiB.
    pub fn new(header: &PacketHeader<'_>, body: &[u8]) -> Result<Self, Fault> {
        let mut encoded = [0; MAX_PACKET_HEADER];
        let encoded = header.encode(&mut encoded)?;
        let mut head = heapless::Vec::new();
        // The header is at most 511 bytes, so its length takes one or two.
        let inner = if encoded.len() < 0x80 { 1 } else { 2 } + encoded.len();
        // The capacity is the sum of the greatest lengths: no push can fail.
        prefix(crate::frame::kind::PACKET, inner + body.len(), |byte| _ = head.push(byte))?;
        if encoded.len() >= 0x80 {
            _ = head.push(encoded.len() as u8 | 0x80);
            _ = head.push((encoded.len() >> 7) as u8);
        } else {
            _ = head.push(encoded.len() as u8);
        }
        head.extend_from_slice(encoded).map_err(|_| Fault::Syntax("a packet's header"))?;
        let tail = crc32c(crc32c(0, &head), body).to_le_bytes();
        let framing = head.len() + TAIL;
        let parts = header.parts(body.len(), framing)?;
        Ok(Self { head, tail, key: header.key(), class: header.class, parts })
    }

    /// Which packet this is.
    #[must_use]
    pub fn key(&self) -> PacketKey {
        self.key
    }

    /// By which class it travels.
    #[must_use]
    pub fn class(&self) -> crate::message::Class {
        self.class
    }

    /// Where the bytes of the whole frame go.
    #[must_use]
    pub fn parts(&self) -> RateParts {
        self.parts
    }

    /// Bytes of the whole frame.
    #[must_use]
    pub fn length(&self) -> Bytes {
        self.parts.framed()
    }
}

/// The header of a packet and the container after it, from the body of a frame
/// of kind [`kind::PACKET`].
pub(crate) fn split_packet(body: &[u8]) -> Result<(&[u8], &[u8]), Fault> {
    let wrong = Fault::Syntax("a packet's header length");
    let (&low, mut rest) = body.split_first().ok_or(wrong)?;
    let mut length = usize::from(low & 0x7f);
    if low & 0x80 != 0 {
        let (&high, tail) = rest.split_first().ok_or(wrong)?;
        if high & 0x80 != 0 || high == 0 {
            return Err(wrong);
        }
        length |= usize::from(high) << 7;
        rest = tail;
    }
    if length > MAX_PACKET_HEADER {
        return Err(Fault::TooLong { length: length as u64, limit: MAX_PACKET_HEADER as u64 });
    }
    rest.split_at_checked(length).ok_or(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn golden_bytes() {
        let mut out = Vec::new();
        write(kind::ACK, b"123456789", &mut out).unwrap();
        assert_eq!(out, [&[5, 9][..], b"123456789", &[0x54, 0x19, 0xd0, 0xbe][..]].concat());
        assert_eq!(crc32c(0, b"123456789"), 0xe306_9283);
        let frame = Frame::parse(&out, MAX_FRAME).unwrap();
        assert_eq!((frame.kind, frame.body, frame.length), (kind::ACK, &b"123456789"[..], 15));
    }

    #[test]
    fn both_checksums_are_one() {
        let bytes: Vec<u8> = (0..=255).collect();
        for cut in [0, 1, 7, 255, 256] {
            let (a, b) = bytes.split_at(cut);
            assert_eq!(crc32c_by_table(crc32c_by_table(0, a), b), crc32c::crc32c(&bytes));
        }
    }

    #[test]
    fn lengths_are_in_their_shortest_form_and_limited() {
        assert_eq!(length(&[], 100), Ok(None));
        assert_eq!(length(&[1], 100), Ok(None));
        assert_eq!(length(&[1, 0x80], 100), Ok(None));
        assert_eq!(length(&[1, 0x80, 0], 100), Err(Fault::Syntax("a frame's length")));
        assert_eq!(length(&[1, 94], 100), Ok(Some(100)));
        assert_eq!(length(&[1, 95], 100), Err(Fault::TooLong { length: 101, limit: 100 }));
        assert_eq!(length(&[1, 255, 255, 255, 255, 255], 100), Err(Fault::Syntax("a frame's length")));
    }

    #[test]
    fn a_packet_frame_is_its_three_parts() {
        let header = PacketHeader { payload: 10, sample: "s".repeat(200).leak(), ..PacketHeader::new(3, 1 << 40) };
        for body in [&[][..], &[7; 10], &[7; 200], &[7; 70_000]] {
            let header = PacketHeader { payload: body.len().min(10) as u32, ..header };
            let packet = PacketFrame::new(&header, body).unwrap();
            let bytes = [&packet.head[..], body, &packet.tail].concat();
            assert_eq!(packet.length(), Bytes(bytes.len() as u64));
            let frame = Frame::parse(&bytes, MAX_FRAME).unwrap();
            assert_eq!(split_packet(frame.body).unwrap().1, body);
        }
    }
}
