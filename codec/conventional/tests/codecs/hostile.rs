//! Truncated, damaged, oversized and random input: always an error or a picture,
//! never a panic, and never memory that a header merely asks for.

use crate::{Varied, codec, photograph, settings};
use afferent_codec::{AudioShape, Chunk, Container, ContainerWriter, Geometry, Header, Limits, Settings};
use afferent_media::{Audio, Bytes, Code, Error, Image, ImageView, PixelFormat, Result};

const IMAGES: [(&str, &str); 6] = [
    ("png", "fast"),
    ("jpeg", "420"),
    ("jpeg", "444-progressive"),
    ("jpeg", "420-optimised"),
    ("webp", "m4"),
    ("webp", "m0"),
];

/// A corner of the photograph, encoded.
fn bare_image(id: &str, preset: &str) -> Vec<u8> {
    let image = photograph();
    let corner =
        ImageView::new(41, 35, image.width() as usize * 3, PixelFormat::Rgb8, &image.data()[3 * 150..]).unwrap();
    let mut writer = ContainerWriter::new();
    codec(id).image_encoder(&settings(preset, None)).unwrap().encode(corner, &mut writer).unwrap();
    chunks(&mut writer).remove(0)
}

/// Half a second of a tone, twice, encoded into chunks of a second.
fn bare_sound(id: &str) -> (AudioShape, Vec<Vec<u8>>) {
    let shape = AudioShape { rate: 8000, channels: 2, frames: 9000 };
    let tone = (0..18_000).map(|i| (i as f32 * 0.1).sin() * 0.5).collect();
    let audio = Audio::new(shape.rate, shape.channels, tone).unwrap();
    let mut encoder = codec(id).audio_encoder(&Settings::default()).unwrap();
    let mut writer = ContainerWriter::new();
    encoder.encode(audio.view(), &mut writer).unwrap();
    encoder.finish(&mut writer).unwrap();
    (shape, chunks(&mut writer))
}

fn chunks(writer: &mut ContainerWriter) -> Vec<Vec<u8>> {
    let header = Header {
        codec: String::new(),
        codec_version: 1,
        preset: String::new(),
        knob: None,
        geometry: Geometry::Audio(AudioShape { rate: 1, channels: 1, frames: 0 }),
        weights: None,
    };
    let mut file = Vec::new();
    writer.seal(&header, &mut file).unwrap();
    Container::parse(&file).unwrap().chunks.iter().map(|chunk| chunk.bytes.to_vec()).collect()
}

fn decode_image(id: &str, bytes: &[u8]) -> Result<Image> {
    let mut image = Image::default();
    let chunk = Chunk { index: 0, bytes, side: Bytes(0), header: Bytes(0) };
    let result = codec(id).image_decoder(&Limits::default()).unwrap().decode(&[chunk], &mut image);
    if result.as_ref().is_err_and(|e| e.code() == Code::Limit) {
        assert_eq!(image, Image::default(), "memory was taken before the limit was checked");
    }
    result.map(|()| image)
}

fn decode_sound(id: &str, shape: &AudioShape, chunks: &[Vec<u8>]) -> Result<Audio> {
    let chunks: Vec<Chunk<'_>> =
        (0..).zip(chunks).map(|(index, bytes)| Chunk { index, bytes, side: Bytes(0), header: Bytes(0) }).collect();
    let mut audio = Audio::default();
    codec(id).audio_decoder(&Limits::default()).unwrap().decode(shape, &chunks, &mut audio).map(|()| audio)
}

/// Whether an error is one that input may cause.
fn expected(error: &Error) {
    assert!(matches!(error.code(), Code::Corrupt | Code::Limit | Code::Unsupported), "{error}");
    assert!(!error.what().is_empty() && !error.remedy().is_empty());
}

#[test]
fn every_truncation_of_an_image_is_refused() {
    for (id, preset) in IMAGES {
        let whole = bare_image(id, preset);
        assert_eq!(decode_image(id, &whole).unwrap().width(), 41);
        // A WebP file may lack the byte that pads it.
        let end = if id == "webp" { whole.len() - 1 } else { whole.len() };
        for cut in 0..end {
            let error = decode_image(id, &whole[..cut]).expect_err(&format!("{id} {preset} cut to {cut}"));
            assert_eq!(error.code(), Code::Corrupt, "{id} {preset} cut to {cut}: {error}");
        }
    }
}

#[test]
fn every_truncation_of_sound_is_refused() {
    for id in ["pcm", "opus"] {
        let (shape, whole) = bare_sound(id);
        assert_eq!(whole.len(), 2, "{id}");
        assert_eq!(decode_sound(id, &shape, &whole).unwrap().view().frames(), 9000);
        for broken in 0..2 {
            for cut in 0..whole[broken].len() {
                let mut chunks = whole.clone();
                chunks[broken].truncate(cut);
                let error = decode_sound(id, &shape, &chunks).expect_err(&format!("{id} chunk {broken} cut to {cut}"));
                assert_eq!(error.code(), Code::Corrupt, "{id}: {error}");
            }
        }
    }
}

#[test]
fn flipped_bits_and_random_bytes_never_panic() {
    let mut varied = Varied(20);
    for (id, preset) in IMAGES {
        let whole = bare_image(id, preset);
        for _ in 0..2000 {
            let mut bad = whole.clone();
            for _ in 0..1 + varied.below(8) {
                let at = varied.below(bad.len());
                bad[at] ^= 1 << varied.below(8);
            }
            if let Err(error) = decode_image(id, &bad) {
                expected(&error);
            }
            // Random bytes behind a sound beginning reach deeper than random bytes alone.
            let keep = varied.below(whole.len());
            bad.truncate(keep);
            bad.extend((0..varied.below(300)).map(|_| varied.next() as u8));
            if let Err(error) = decode_image(id, &bad) {
                expected(&error);
            }
        }
    }
    for id in ["pcm", "opus"] {
        let (shape, whole) = bare_sound(id);
        for _ in 0..500 {
            let mut bad = whole.clone();
            let chunk = &mut bad[varied.below(2)];
            for _ in 0..1 + varied.below(8) {
                let at = varied.below(chunk.len());
                chunk[at] ^= 1 << varied.below(8);
            }
            if varied.below(2) == 0 {
                chunk.truncate(varied.below(chunk.len()));
                chunk.extend((0..varied.below(300)).map(|_| varied.next() as u8));
            }
            match decode_sound(id, &shape, &bad) {
                Ok(audio) => assert!(audio.data().iter().all(|sample| sample.is_finite())),
                Err(error) => expected(&error),
            }
        }
    }
}

#[test]
fn headers_that_ask_for_too_many_pixels_are_refused() {
    // SOF: marker, length, precision, height, width.
    let mut jpeg = bare_image("jpeg", "420");
    let sof = jpeg.windows(2).position(|pair| pair == [0xff, 0xc0]).unwrap();
    jpeg[sof + 5..sof + 9].copy_from_slice(&[0x75, 0x30, 0x75, 0x30]);
    // IHDR: length, type, width, height, …, checksum.
    let mut png = bare_image("png", "fast");
    png[16..24].copy_from_slice(&[0, 0, 0x75, 0x30, 0, 0, 0x75, 0x30]);
    let crc = crc32(&png[12..29]);
    png[29..33].copy_from_slice(&crc.to_be_bytes());
    // VP8 frame header: tag, start code, width, height, of 14 bits.
    let mut webp = bare_image("webp", "m4");
    webp[26..30].copy_from_slice(&[0xff, 0x3f, 0xff, 0x3f]);
    for (id, bytes) in [("jpeg", jpeg), ("png", png), ("webp", webp)] {
        let error = decode_image(id, &bytes).unwrap_err();
        assert_eq!(error.code(), Code::Limit, "{id}: {error}");
    }
}

/// CRC-32 of a PNG chunk.
fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0, |crc, &byte| {
        (0..8).fold(crc ^ u32::from(byte), |crc, _| (crc >> 1) ^ if crc & 1 == 1 { 0xedb8_8320 } else { 0 })
    })
}

#[test]
fn shapes_that_ask_for_too_much_sound_are_refused() {
    for id in ["pcm", "opus"] {
        let (_, chunks) = bare_sound(id);
        let refused =
            |rate, channels, frames| decode_sound(id, &AudioShape { rate, channels, frames }, &chunks).unwrap_err();
        assert_eq!(refused(48_000, 2, 10 * 3600 * 48_000).code(), Code::Limit);
        assert_eq!(refused(48_000, 2, u64::MAX).code(), Code::Limit);
        assert_eq!(refused(48_000, 9, 1).code(), Code::Limit);
        assert_eq!(refused(0, 2, 1).code(), Code::Corrupt);
    }
    // A low rate would grow eightfold before it is resampled back.
    let (_, chunks) = bare_sound("opus");
    let grown = AudioShape { rate: 1000, channels: 1, frames: 100_000_000 };
    assert_eq!(decode_sound("opus", &grown, &chunks).unwrap_err().code(), Code::Limit);
    for rate in [1, 999, 768_001, u32::MAX] {
        let odd = AudioShape { rate, channels: 1, frames: 10 };
        assert_eq!(decode_sound("opus", &odd, &chunks).unwrap_err().code(), Code::Unsupported);
    }
}

#[test]
fn an_image_is_one_chunk() {
    let png = bare_image("png", "fast");
    let chunk = Chunk { index: 0, bytes: &png, side: Bytes(0), header: Bytes(0) };
    for (id, _) in IMAGES {
        for chunks in [&[][..], &[chunk, chunk]] {
            let mut decoder = codec(id).image_decoder(&Limits::default()).unwrap();
            assert_eq!(decoder.decode(chunks, &mut Image::default()).unwrap_err().code(), Code::Corrupt);
        }
    }
}
