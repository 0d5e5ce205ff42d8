//! What lies between the markers of a JPEG file (ITU-T T.81, annex B).

use memchr::memchr;

const TEM: u8 = 0x01;
const RST0: u8 = 0xd0;
const SOI: u8 = 0xd8;
const EOI: u8 = 0xd9;
const SOS: u8 = 0xda;

/// Where a file ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// After this many bytes, with its EOI.
    At(usize),
    /// After this many bytes without an EOI: there the next file begins.
    Cut(usize),
    /// Later than what is there.
    Later,
    /// Nowhere: something else than a marker stands where one must.
    Nowhere,
}

/// Bytes that are entropy-coded in the file at the start of `bytes`.
pub(super) fn coded(bytes: &[u8]) -> usize {
    let mut walk = Walk::default();
    walk.end(bytes);
    walk.coded
}

/// As [`coded`] of a whole file of one scan: what an encoder has just written is not
/// searched for markers, because all but the EOI is known to be coded.
pub(super) fn coded_in_one_scan(file: &[u8]) -> usize {
    let mut walk = Walk::default();
    match walk.next_scan(file) {
        None => file.len().saturating_sub(walk.at + 2),
        Some(_) => 0,
    }
}

/// A walk over the markers of a file, which goes on where it was when more bytes come.
#[derive(Debug, Default)]
pub(super) struct Walk {
    /// Where the next marker is, or where a scan goes on.
    at: usize,
    scanning: bool,
    /// Bytes so far that are entropy-coded, over all scans. Stuffed zeros and restart
    /// markers belong to them.
    pub(super) coded: usize,
}

impl Walk {
    /// Where the file at the start of `bytes` ends, which begin with those of the call
    /// before.
    pub(super) fn end(&mut self, bytes: &[u8]) -> End {
        loop {
            if self.scanning {
                let length = scan_length(bytes.get(self.at..).unwrap_or_default());
                self.coded += length;
                self.at += length;
                if bytes.len() < self.at + 2 {
                    return End::Later;
                }
                self.scanning = false;
            }
            if let Some(end) = self.next_scan(bytes) {
                return end;
            }
        }
    }

    /// Walks to where the next scan begins, or says where the file ends before one.
    fn next_scan(&mut self, bytes: &[u8]) -> Option<End> {
        while !self.scanning {
            let marker = match bytes.get(self.at..) {
                // A marker may be preceded by any number of fill bytes.
                Some([0xff, 0xff, ..]) => {
                    self.at += 1;
                    continue;
                }
                Some(&[0xff, marker, ..]) => marker,
                None | Some([] | [0xff]) => return Some(End::Later),
                Some(_) => return Some(End::Nowhere),
            };
            match marker {
                EOI => return Some(End::At(self.at + 2)),
                SOI if self.at > 0 => return Some(End::Cut(self.at)),
                TEM | RST0..=SOI => {
                    self.at += 2;
                    continue;
                }
                _ => {}
            }
            let Some(&[high, low]) = bytes.get(self.at + 2..self.at + 4) else { return Some(End::Later) };
            self.at += 2 + usize::from(u16::from_be_bytes([high, low]));
            self.scanning = marker == SOS;
        }
        None
    }
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

/// What a message of libjpeg-turbo tells of the picture. It is that of the first
/// warning, or of the error that ended the decoding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Damage {
    /// The picture is whole.
    None,
    /// Damage inside the coded data, after which it decoded on.
    Inside,
    /// The picture is not there, or ends too early.
    Fatal,
}

/// What `message` tells.
pub(super) fn damage(message: &str) -> Damage {
    // Many cameras pad the coded data. That this is the first thing to warn of, at the
    // end of the file, says that all data before it was decoded without one.
    if message.ends_with("extraneous bytes before marker 0xd9") {
        Damage::None
    } else if message.contains("Corrupt JPEG data") {
        Damage::Inside
    } else {
        Damage::Fatal
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn extent(bytes: &[u8]) -> (usize, End) {
        let mut walk = Walk::default();
        let end = walk.end(bytes);
        (walk.coded, end)
    }

    #[test]
    fn one_scan_is_all_but_headers_and_the_end() {
        let file = [0xff, 0xd8, 0xff, 0xc4, 0, 2, 0xff, 0xda, 0, 3, 1, 5, 0xff, 0, 7, 0xff, 0xd9];
        assert_eq!((coded(&file), coded_in_one_scan(&file)), (4, 4));
        for cut in 0..file.len() {
            assert!(coded_in_one_scan(&file[..cut]) <= cut);
        }
    }

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
        assert_eq!(extent(&file), (9, End::At(file.len())));
        let longer = [&file[..], &[0, 7]].concat();
        assert_eq!(extent(&longer).1, End::At(file.len()));
        for cut in 0..file.len() {
            let (coded, end) = extent(&file[..cut]);
            assert!(coded <= cut && end == End::Later, "{cut}: {coded}, {end:?}");
        }
        assert_eq!(extent(b"\xff\xd8\0").1, End::Nowhere);
        assert_eq!(extent(b"\xff\xd8\xff\xff\xd9").1, End::At(5));
        // A file that is cut ends where the next one begins.
        assert_eq!(extent(&[&file[..16], &file].concat()).1, End::Cut(16));
        // However the bytes come, the walk is the same.
        let mut walk = Walk::default();
        for cut in 0..file.len() {
            assert_eq!(walk.end(&file[..cut]), End::Later, "{cut}");
        }
        assert_eq!((walk.end(&longer), walk.coded), (End::At(file.len()), 9));
    }
}
