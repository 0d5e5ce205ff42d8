//! The bytes of a chunk: look-ahead, then packets with their lengths.

use crate::corrupt;
use afferent_codec::ContainerWriter;
use afferent_media::{Bytes, Result};

/// The unit of the look-ahead is this part of a second.
pub(super) const LOOK_AHEAD_PER_SECOND: u32 = 2000;

/// Collects the packets of a chunk.
#[derive(Debug, Default)]
pub(super) struct Builder {
    bytes: Vec<u8>,
    header: u64,
    packets: u64,
}

impl Builder {
    /// Adds a packet, which is never empty.
    pub(super) fn push(&mut self, look_ahead: u8, packet: &[u8]) {
        if self.bytes.is_empty() {
            self.bytes.push(look_ahead);
            self.header = 1;
        }
        let start = self.bytes.len();
        let mut length = packet.len();
        while length >= 0x80 {
            self.bytes.push((length & 0x7f) as u8 | 0x80);
            length >>= 7;
        }
        self.bytes.push(length as u8);
        // The packet's first byte says how it is coded.
        self.header += (self.bytes.len() - start) as u64 + 1;
        self.bytes.extend_from_slice(packet);
        self.packets += 1;
    }

    pub(super) fn packets(&self) -> u64 {
        self.packets
    }

    /// Hands the chunk, if there is any packet, to `out` and begins the next.
    pub(super) fn flush(&mut self, out: &mut ContainerWriter) -> Result<()> {
        let written = if self.packets > 0 { out.push(&self.bytes, Bytes(0), Bytes(self.header)) } else { Ok(()) };
        self.clear();
        written
    }

    pub(super) fn clear(&mut self) {
        self.bytes.clear();
        self.packets = 0;
    }
}

/// Splits a chunk into its look-ahead and its packets.
pub(super) fn parse(chunk: &[u8]) -> Result<(u8, Packets<'_>)> {
    let (&look_ahead, rest) = chunk.split_first().ok_or_else(|| corrupt("an Opus chunk is empty"))?;
    Ok((look_ahead, Packets(rest)))
}

/// The packets of a chunk, in order. Ends after the first error.
#[derive(Debug)]
pub(super) struct Packets<'a>(&'a [u8]);

impl<'a> Iterator for Packets<'a> {
    type Item = Result<&'a [u8]>;

    fn next(&mut self) -> Option<Self::Item> {
        let rest = std::mem::take(&mut self.0);
        // A packet of one frame has at most 1,276 bytes: two bytes of length.
        let (length, rest) = match *rest {
            [] => return None,
            [low @ ..0x80, ref rest @ ..] => (usize::from(low), rest),
            [low, high @ ..0x80, ref rest @ ..] => (usize::from(low & 0x7f) | usize::from(high) << 7, rest),
            _ => return Some(Err(corrupt("an Opus packet has no proper length"))),
        };
        match rest.split_at_checked(length) {
            Some((packet, rest)) if length > 0 => {
                self.0 = rest;
                Some(Ok(packet))
            }
            _ => Some(Err(corrupt(format!("an Opus packet of {length} bytes where {} are left", rest.len())))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packets_come_back_and_headers_are_counted() {
        let packets: Vec<Vec<u8>> = [1, 127, 128, 1276].iter().map(|&n| vec![7; n]).collect();
        let mut builder = Builder::default();
        packets.iter().for_each(|packet| builder.push(13, packet));
        assert_eq!(builder.header, 1 + (1 + 1 + 2 + 2) + 4);
        let (look_ahead, parsed) = parse(&builder.bytes).unwrap();
        assert_eq!(look_ahead, 13);
        assert_eq!(parsed.collect::<Result<Vec<_>>>().unwrap(), packets);
        for cut in 0..builder.bytes.len() {
            let whole = parse(&builder.bytes[..cut]).and_then(|(_, packets)| packets.collect::<Result<Vec<_>>>());
            assert!(whole.is_err() || whole.unwrap().len() < packets.len());
        }
    }
}
