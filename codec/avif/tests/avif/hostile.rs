//! Truncated, damaged, oversized and random input: always an error or a picture,
//! never a panic, and never memory that a header merely asks for.

use crate::{corner, decoded, encoded, green, photograph, settings};
use afferent_codec::{Chunk, Codec, Limits};
use afferent_codec_avif::Avif;
use afferent_media::{Bytes, Code, Image};

/// A small generator of numbers that only need to be varied, the same on every run.
struct Varied(u64);

impl Varied {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        self.0 >> 33
    }

    fn below(&mut self, end: usize) -> usize {
        self.next() as usize % end
    }
}

/// A colour and a grey file.
fn files() -> [Vec<u8>; 2] {
    let rgb = corner(&photograph(), 41, 35);
    [rgb.clone(), green(&rgb)].map(|image| encoded(&settings("s6", 60.0), image.view()).0)
}

#[test]
fn every_truncation_is_refused() {
    for whole in files() {
        assert_eq!(decoded(&whole, &Limits::default()).unwrap().width(), 41);
        for cut in 0..whole.len() {
            let error = decoded(&whole[..cut], &Limits::default()).expect_err(&format!("cut to {cut}"));
            assert_eq!(error.code(), Code::Corrupt, "cut to {cut}: {error}");
        }
    }
}

#[test]
fn flipped_bits_and_random_bytes_never_panic() {
    let mut varied = Varied(22);
    let expected = |file: &[u8]| {
        if let Err(error) = decoded(file, &Limits::default()) {
            assert!(matches!(error.code(), Code::Corrupt | Code::Limit), "{error}");
            assert!(!error.what().is_empty() && !error.remedy().is_empty());
        }
    };
    for whole in files() {
        let coded = whole.windows(4).position(|kind| kind == b"mdat").unwrap() + 4;
        for round in 0..2000 {
            let mut bad = whole.clone();
            // The boxes are refused early, so most of the damage goes where it reaches further.
            let from = if round % 4 == 0 { 0 } else { coded };
            for _ in 0..1 + varied.below(8) {
                let at = from + varied.below(bad.len() - from);
                bad[at] ^= 1 << varied.below(8);
            }
            expected(&bad);
            // Random bytes behind a sound beginning, of a length that the boxes announce.
            let keep = coded + varied.below(whole.len() - coded);
            bad.truncate(keep);
            bad.resize_with(whole.len(), || varied.next() as u8);
            expected(&bad);
            bad.truncate(varied.below(bad.len()));
            expected(&bad);
        }
    }
}

#[test]
fn a_picture_above_the_limit_is_refused_before_it_is_decoded() {
    for whole in files() {
        let limits = |max_pixels| Limits { max_pixels, ..Limits::default() };
        assert_eq!(decoded(&whole, &limits(41 * 35 - 1)).unwrap_err().code(), Code::Limit);
        assert!(decoded(&whole, &limits(41 * 35)).is_ok());
    }
}

#[test]
fn an_image_is_one_chunk() {
    let [file, _] = files();
    let chunk = Chunk { index: 0, bytes: &file, side: Bytes(0), header: Bytes(0) };
    for chunks in [&[][..], &[chunk, chunk]] {
        let mut decoder = Avif::new().image_decoder(&Limits::default()).unwrap();
        assert_eq!(decoder.decode(chunks, &mut Image::default()).unwrap_err().code(), Code::Corrupt);
    }
}
