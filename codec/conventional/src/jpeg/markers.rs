//! What lies between the markers of a JPEG file (ITU-T T.81, annex B).

use memchr::memchr;

const TEM: u8 = 0x01;
const RST0: u8 = 0xd0;
const SOI: u8 = 0xd8;
const EOI: u8 = 0xd9;
const SOS: u8 = 0xda;

/// How many bytes of a well-formed `file` are entropy-coded, over all scans.
/// Stuffed zeros belong to them; restart markers would too.
pub(super) fn entropy_coded(file: &[u8]) -> usize {
    let mut coded = 0;
    let mut at = 0;
    while let Some(&[0xff, marker]) = file.get(at..at + 2) {
        at += 2;
        match marker {
            EOI => break,
            TEM | RST0..=SOI => continue,
            _ => {}
        }
        let Some(&[high, low]) = file.get(at..at + 2) else { break };
        at += usize::from(u16::from_be_bytes([high, low]));
        if marker == SOS {
            let scan = file.get(at..).unwrap_or_default();
            let length = scan_length(scan);
            coded += length;
            at += length;
        }
    }
    coded
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
        assert_eq!(entropy_coded(&file), 9);
        for cut in 0..file.len() {
            assert!(entropy_coded(&file[..cut]) <= cut);
        }
    }
}
