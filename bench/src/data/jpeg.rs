//! What the headers of a JPEG file state of its coding.

/// The luminance quantisation table of ITU-T T.81, K.1, in zigzag order.
const LUMINANCE: [u32; 64] = [
    16, 11, 12, 14, 12, 10, 16, 14, 13, 14, 18, 17, 16, 19, 24, 40, 26, 24, 22, 22, 24, 49, 35, 37, 29, 40, 58, 51, 61,
    60, 57, 51, 56, 55, 64, 72, 92, 78, 64, 68, 87, 69, 55, 56, 80, 109, 81, 87, 95, 98, 103, 104, 103, 62, 77, 113,
    121, 112, 100, 120, 92, 101, 103, 99,
];

/// What the headers state.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Header {
    /// The quality whose scaled standard table is the first component's.
    pub(super) quality: Option<u8>,
    /// Chroma subsampling, or `grey`.
    pub(super) chroma: Option<&'static str>,
}

/// Reads the headers at the beginning of a JPEG file, as far as they are whole.
pub(super) fn header(file: &[u8]) -> Header {
    let mut tables: [Option<[u32; 64]>; 4] = [None; 4];
    let mut header = Header::default();
    let mut luminance = None;
    let mut rest = file.get(2..).unwrap_or_default();
    while let [0xFF, marker, tail @ ..] = rest {
        if *marker == 0xFF {
            // Fill bytes may precede a marker.
            rest = &rest[1..];
            continue;
        }
        let Some((length, _)) = tail.split_first_chunk::<2>() else { break };
        let Some(segment) = tail.get(2..usize::from(u16::from_be_bytes(*length))) else { break };
        match marker {
            0xDA => break,
            0xDB => read_tables(segment, &mut tables),
            0xC0..=0xCF if ![0xC4, 0xC8, 0xCC].contains(marker) => {
                if let [_, _, _, _, _, count, components @ ..] = segment {
                    let (components, _) = components.as_chunks::<3>();
                    let components = &components[..components.len().min(usize::from(*count))];
                    luminance = components.first().map(|[_, _, table]| usize::from(*table));
                    header.chroma = chroma(components);
                }
            }
            _ => {}
        }
        rest = &tail[2 + segment.len()..];
    }
    header.quality = luminance.and_then(|table| *tables.get(table)?).and_then(|table| quality(&table));
    header
}

fn read_tables(mut segment: &[u8], tables: &mut [Option<[u32; 64]>; 4]) {
    while let [kind, values @ ..] = segment {
        let wide = kind >> 4 != 0;
        let Some((values, rest)) = values.split_at_checked(if wide { 128 } else { 64 }) else { return };
        let mut table = [0; 64];
        for (at, entry) in table.iter_mut().enumerate() {
            *entry = if wide {
                u32::from(u16::from_be_bytes([values[2 * at], values[2 * at + 1]]))
            } else {
                u32::from(values[at])
            };
        }
        if let Some(slot) = tables.get_mut(usize::from(kind & 15)) {
            *slot = Some(table);
        }
        segment = rest;
    }
}

/// The quality whose table this is, by libjpeg's formula: entry `t` of the standard
/// table becomes `(t·s + 50) / 100`, within 1 and 255 (32767 in tables of 16 bits),
/// with `s = 5000 / q` below 50 and `200 - 2q` from there on. `None` for every
/// other table.
fn quality(table: &[u32; 64]) -> Option<u8> {
    let highest = if table.iter().any(|entry| *entry > 255) { 32_767 } else { 255 };
    (1..=100).find(|&quality| {
        let scale = if quality < 50 { 5000 / u32::from(quality) } else { 200 - 2 * u32::from(quality) };
        LUMINANCE.iter().zip(table).all(|(standard, own)| ((standard * scale + 50) / 100).clamp(1, highest) == *own)
    })
}

/// How much coarser chroma is than luminance, from the components' sampling factors.
fn chroma(components: &[[u8; 3]]) -> Option<&'static str> {
    let factors = |component: &[u8; 3]| (component[1] >> 4, component[1] & 15);
    match components {
        [_] => Some("grey"),
        [luminance, first, second] if factors(first) == factors(second) => {
            let ((width, height), (w, h)) = (factors(luminance), factors(first));
            let ratio = |luminance: u8, chroma: u8| luminance.is_multiple_of(chroma).then(|| luminance / chroma);
            match (ratio(width, w.max(1))?, ratio(height, h.max(1))?) {
                (1, 1) => Some("4:4:4"),
                (2, 1) => Some("4:2:2"),
                (2, 2) => Some("4:2:0"),
                (1, 2) => Some("4:4:0"),
                (4, 1) => Some("4:1:1"),
                (4, 2) => Some("4:1:0"),
                _ => None,
            }
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use turbojpeg::{Compressor, Image, PixelFormat, Subsamp};

    fn encode(quality: i32, chroma: Subsamp) -> Vec<u8> {
        let mut compressor = Compressor::new().unwrap();
        compressor.set_quality(quality).unwrap();
        compressor.set_subsamp(chroma).unwrap();
        let pixels = [99; 16 * 16 * 3];
        let image = Image { pixels: pixels.as_slice(), width: 16, pitch: 48, height: 16, format: PixelFormat::RGB };
        compressor.compress_to_vec(image).unwrap()
    }

    #[test]
    fn the_quality_that_libjpeg_was_given_is_found() {
        for quality in 1..=100 {
            let file = encode(i32::from(quality), Subsamp::Sub2x2);
            assert_eq!(header(&file), Header { quality: Some(quality), chroma: Some("4:2:0") });
        }
    }

    #[test]
    fn chroma_is_named() {
        for (chroma, name) in [
            (Subsamp::None, "4:4:4"),
            (Subsamp::Sub2x1, "4:2:2"),
            (Subsamp::Sub1x2, "4:4:0"),
            (Subsamp::Sub4x1, "4:1:1"),
            (Subsamp::Gray, "grey"),
        ] {
            assert_eq!(header(&encode(80, chroma)).chroma, Some(name));
        }
    }

    #[test]
    fn other_tables_and_damage_state_nothing() {
        let mut file = encode(80, Subsamp::None);
        for length in 0..file.len() {
            header(&file[..length]);
        }
        let table = file.windows(2).position(|marker| marker == [0xFF, 0xDB]).unwrap();
        file[table + 5] += 1;
        assert_eq!(header(&file).quality, None);
    }
}
