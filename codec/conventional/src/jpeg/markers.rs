//! What lies between the markers of a JPEG file (ITU-T T.81, annex B).

use memchr::memchr;

const TEM: u8 = 0x01;
const RST0: u8 = 0xd0;
const SOI: u8 = 0xd8;
const EOI: u8 = 0xd9;
const SOS: u8 = 0xda;

/// What the markers of a file tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Extent {
    /// Bytes that are entropy-coded, over all scans. Stuffed zeros and restart
    /// markers belong to them.
    pub(super) coded: usize,
    /// Where the file ends.
    pub(super) end: End,
}

/// Where a file ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// After this many bytes, with its EOI.
    At(usize),
    /// Later than what is there.
    Later,
    /// Nowhere: something else than a marker stands where one must.
    Nowhere,
}

/// Walks over the markers of the file at the start of `bytes`.
pub(super) fn extent(bytes: &[u8]) -> Extent {
    let mut coded = 0;
    let mut at = 0;
    let end = loop {
        let marker = match bytes.get(at..) {
            // A marker may be preceded by any number of fill bytes.
            Some([0xff, 0xff, ..]) => {
                at += 1;
                continue;
            }
            Some(&[0xff, marker, ..]) => marker,
            None | Some([] | [0xff]) => break End::Later,
            Some(_) => break End::Nowhere,
        };
        at += 2;
        match marker {
            EOI => break End::At(at),
            TEM | RST0..=SOI => continue,
            _ => {}
        }
        let Some(&[high, low]) = bytes.get(at..at + 2) else { break End::Later };
        at += usize::from(u16::from_be_bytes([high, low]));
        if marker == SOS {
            let scan = bytes.get(at..).unwrap_or_default();
            let length = scan_length(scan);
            coded += length;
            at += length;
        }
    };
    Extent { coded, end }
}

/// How far the scan at the start of `bytes` reaches: to the first marker that is
/// neither a stuffed zero nor a restart.
fn scan_length(bytes: &[u8]) -> usize {
    let mut from = 0;
    while let Some(found) = bytes.get(from..).and_then(|rest| memchr(0xff, rest)) {
        match bytes.get(from + found + 1) {
            Some(0x00 | RST0..SOI) => from += found + 2,
            _ => return from + found,
        }
    }
    bytes.len()
}

/// Whether this message of libjpeg-turbo tells of damage inside the coded data
/// after which it decoded on. A file that ends too early is not such.
pub(super) fn may_be_read_over(message: &str) -> bool {
    message.contains("Corrupt JPEG data")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scans_are_told_from_segments() {
        let file = [
            0xff, 0xd8, // SOI
            0xff, 0xc4, 0x00, 0x04, 0xff, 0xda, // a segment that looks like a scan inside
            0xff, 0xda, 0x00, 0x03, 0x01, // scan header
            1, 2, 0xff, 0x00, 3, 0xff, 0xd3, 4, // 8 coded bytes with a stuffed zero and a restart
            0xff, 0xda, 0x00, 0x02, 9, // a second scan of 1 byte
            0xff, 0xd9, // EOI
        ];
        assert_eq!(extent(&file), Extent { coded: 9, end: End::At(file.len()) });
        let longer = [&file[..], &[0, 7]].concat();
        assert_eq!(extent(&longer).end, End::At(file.len()));
        for cut in 0..file.len() {
            let extent = extent(&file[..cut]);
            assert!(extent.coded <= cut && extent.end == End::Later, "{cut}: {extent:?}");
        }
        assert_eq!(extent(b"\xff\xd8\0").end, End::Nowhere);
        assert_eq!(extent(b"\xff\xd8\xff\xff\xd9").end, End::At(5));
    }
}
