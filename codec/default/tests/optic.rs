//! The image codec `optic` through its public face: round trips, rate and error, layers
//! and strips, hostile input, and the bytes that must never change.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use afferent_codec::entropy::{self, Adaptive, BitCoder};
use afferent_codec::{
    Chunk, Container, ContainerWriter, Geometry, Header, ImageShape, Limits, Registry, SampleDecoder, SampleEncoder,
    Settings,
};
use afferent_codec_default::{Encoder, REGION, StepMap, latents};
use afferent_media::{Bytes, Code, Error, Image, PixelFormat, RateParts, Result, Sample};
use sha2::{Digest, Sha256};
use std::path::PathBuf;

const GREY: PixelFormat = PixelFormat::Gray8;
const COLOUR: PixelFormat = PixelFormat::Rgb8;

/// Flags in the first byte of a strip.
const LAYERED: u8 = 2;
const MAPPED: u8 = 4;

fn registry() -> Registry {
    let mut registry = Registry::new();
    afferent_codec_default::register(&mut registry);
    registry
}

fn settings(quality: u8) -> Settings {
    Settings { knob: Some(quality.into()), ..Settings::default() }
}

/// The container of a picture, and where its bytes went.
fn encoded(image: &Image, quality: u8) -> (Vec<u8>, RateParts) {
    let mut file = Vec::new();
    let mut encoder = SampleEncoder::new(registry().get("optic").unwrap().as_ref(), &settings(quality)).unwrap();
    let parts = encoder.encode(&Sample::Image(image.clone()), &mut file).unwrap();
    (file, parts)
}

fn decoded(file: &[u8]) -> Result<Image> {
    match SampleDecoder::new(registry(), Limits::default()).decode(&Container::parse(file)?.intact()?)? {
        Sample::Image(image) => Ok(image),
        Sample::Audio(_) => panic!("an image became sound"),
    }
}

/// A strip's or a layer's bytes, away from any checksum.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Part {
    index: usize,
    bytes: Vec<u8>,
    side: u64,
    header: u64,
}

fn parts(image: &Image, quality: u8) -> Vec<Part> {
    let mut writer = ContainerWriter::new();
    let mut encoder = registry().get("optic").unwrap().image_encoder(&settings(quality)).unwrap();
    encoder.encode(image.view(), &mut writer).unwrap();
    sealed_parts(image, writer)
}

fn sealed_parts(image: &Image, mut writer: ContainerWriter) -> Vec<Part> {
    let shape = ImageShape { width: image.width(), height: image.height(), format: image.format() };
    let header = Header {
        codec: "optic".into(),
        codec_version: 1,
        preset: "rdo".into(),
        knob: None,
        geometry: Geometry::Image(shape),
        weights: None,
    };
    let mut file = Vec::new();
    writer.seal(&header, &mut file).unwrap();
    let container = Container::parse(&file).unwrap();
    let part = |c: &Chunk<'_>| Part { index: c.index, bytes: c.bytes.to_vec(), side: c.side.0, header: c.header.0 };
    container.chunks.iter().map(part).collect()
}

fn chunks(parts: &[Part]) -> Vec<Chunk<'_>> {
    parts
        .iter()
        .map(|p| Chunk { index: p.index, bytes: &p.bytes, side: Bytes(p.side), header: Bytes(p.header) })
        .collect()
}

fn decoded_parts(parts: &[Part]) -> Result<Image> {
    decoded_within(parts, &Limits::default())
}

fn decoded_within(parts: &[Part], limits: &Limits) -> Result<Image> {
    let mut image = Image::default();
    let result = registry().get("optic")?.image_decoder(limits)?.decode(&chunks(parts), &mut image);
    if result.is_err() {
        assert_eq!(image, Image::default(), "memory was taken for a picture that is refused");
    }
    result.map(|()| image)
}

fn latents_of(parts: &[Part]) -> Vec<i16> {
    latents(&chunks(parts), &Limits::default()).unwrap()
}

/// Whether an error is the one that damage may cause.
fn expected(error: &Error) {
    assert_eq!(error.code(), Code::Corrupt, "{error}");
    assert!(!error.what().is_empty() && !error.remedy().is_empty());
}

/// A photograph of the bundled demo data.
fn photograph() -> Image {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../data/demo/images/dragonfly.jpg");
    afferent_codec_conventional::open::image(&path, &Limits::default()).unwrap()
}

fn green(image: &Image) -> Image {
    let data = image.data().chunks_exact(3).map(|pixel| pixel[1]).collect();
    Image::new(image.width(), image.height(), GREY, data).unwrap()
}

/// The upper left `width` × `height` pixels.
fn corner(image: &Image, width: u32, height: u32) -> Image {
    let bytes = width as usize * image.format().channels();
    let data = image.view().rows().take(height as usize).flat_map(|row| &row[..bytes]).copied().collect();
    Image::new(width, height, image.format(), data).unwrap()
}

/// A picture by what `value` says of each column, row and channel.
fn drawn(width: u32, height: u32, format: PixelFormat, mut value: impl FnMut(u32, u32, u32) -> u8) -> Image {
    let mut data = Vec::new();
    for y in 0..height {
        for x in 0..width {
            data.extend((0..format.channels() as u32).map(|c| value(x, y, c)));
        }
    }
    Image::new(width, height, format, data).unwrap()
}

/// Slow waves, differing by channel.
fn smooth(width: u32, height: u32, format: PixelFormat) -> Image {
    drawn(width, height, format, |x, y, c| {
        let (x, y, c) = (f64::from(x), f64::from(y), f64::from(c));
        (128.0 + 60.0 * (x / 41.0 + c).sin() + 40.0 * ((x + 2.0 * y) / 67.0 - c).cos()) as u8
    })
}

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

fn noise(width: u32, height: u32, format: PixelFormat) -> Image {
    let mut varied = Varied(7);
    drawn(width, height, format, |_, _, _| varied.next() as u8)
}

/// Mean squared error over the rows of a range.
fn error_in(a: &Image, b: &Image, rows: std::ops::Range<usize>) -> f64 {
    assert_eq!((a.width(), a.height(), a.format()), (b.width(), b.height(), b.format()));
    let row = a.width() as usize * a.format().channels();
    let range = rows.start * row..rows.end * row;
    let square = |(&a, &b): (&u8, &u8)| (f64::from(a) - f64::from(b)).powi(2);
    a.data()[range.clone()].iter().zip(&b.data()[range.clone()]).map(square).sum::<f64>() / range.len() as f64
}

fn psnr(a: &Image, b: &Image) -> f64 {
    10.0 * (255.0 * 255.0 / error_in(a, b, 0..a.height() as usize).max(1e-9)).log10()
}

const SIZES: [(u32, u32); 8] = [(1, 1), (1, 17), (15, 16), (16, 16), (33, 7), (227, 227), (64, 48), (40, 1500)];
const QUALITIES: [u8; 5] = [0, 1, 26, 60, 100];

#[test]
fn every_size_and_quality_comes_back() {
    // Luma's and chroma's floors for smooth pictures, by quality.
    let floors = [(0, 13.0), (1, 13.0), (26, 27.0), (60, 37.0), (100, 45.0)];
    for (width, height) in SIZES {
        for format in [GREY, COLOUR] {
            for image in [smooth(width, height, format), noise(width, height, format)] {
                for quality in QUALITIES {
                    let what = format!("{width}x{height} {format:?} q{quality}");
                    let (file, ledger) = encoded(&image, quality);
                    assert_eq!(ledger.storage(), Bytes(file.len() as u64), "{what}");
                    let back = decoded(&file).unwrap_or_else(|e| panic!("{what}: {e}"));
                    assert_eq!((back.width(), back.height(), back.format()), (width, height, format), "{what}");

                    let parts = parts(&image, quality);
                    assert_eq!(decoded_parts(&parts).unwrap(), back, "{what}");
                    let found = latents_of(&parts);
                    assert_eq!(found, latents_of(&parts), "{what}");
                    let blocks = (width.div_ceil(16) * height.div_ceil(16)) as usize;
                    assert_eq!(found.len(), blocks * if format == GREY { 256 } else { 384 }, "{what}");
                }
            }
            let image = smooth(width, height, format);
            for (quality, floor) in floors {
                let back = decoded_parts(&parts(&image, quality)).unwrap();
                let psnr = psnr(&image, &back);
                assert!(psnr > floor, "{width}x{height} {format:?} q{quality}: {psnr:.2} dB");
            }
        }
    }
}

#[test]
fn an_encoder_keeps_nothing_from_one_picture_to_the_next() {
    let mut encoder = registry().get("optic").unwrap().image_encoder(&settings(40)).unwrap();
    let pictures = [
        noise(227, 227, COLOUR),
        smooth(33, 7, GREY),
        smooth(64, 48, COLOUR),
        noise(40, 1500, GREY),
        smooth(1, 1, COLOUR),
        noise(16, 16, GREY),
    ];
    let mut decoder = registry().get("optic").unwrap().image_decoder(&Limits::default()).unwrap();
    for image in pictures.iter().chain(pictures.iter().rev()) {
        let mut writer = ContainerWriter::new();
        encoder.encode(image.view(), &mut writer).unwrap();
        let fresh = parts(image, 40);
        let mut out = Image::default();
        decoder.decode(&chunks(&fresh), &mut out).unwrap();
        assert_eq!(out, decoded_parts(&fresh).unwrap());
        let mut again = Vec::new();
        let shape = ImageShape { width: image.width(), height: image.height(), format: image.format() };
        let geometry = Geometry::Image(shape);
        let header = Header {
            codec: "optic".into(),
            codec_version: 1,
            preset: "rdo".into(),
            knob: None,
            geometry,
            weights: None,
        };
        writer.seal(&header, &mut again).unwrap();
        let bytes: Vec<_> = Container::parse(&again).unwrap().chunks.iter().map(|c| c.bytes.to_vec()).collect();
        assert_eq!(bytes, fresh.iter().map(|p| p.bytes.clone()).collect::<Vec<_>>());
    }
}

/// Pictures of one colour take a few bytes, of any size, and come back.
#[test]
fn a_picture_of_one_colour_comes_back() {
    for (width, height) in [(16, 16), (320, 240), (64, 1500)] {
        for format in [GREY, COLOUR] {
            for value in [0, 127, 128, 255] {
                for quality in [0, 26, 60, 100] {
                    let what = format!("{width}x{height} {format:?} of {value} at q{quality}");
                    let image = drawn(width, height, format, |_, _, _| value);
                    let back = decoded_parts(&parts(&image, quality)).unwrap_or_else(|e| panic!("{what}: {e}"));
                    let most = if quality < 26 { 64 } else { 8 };
                    let off = back.data().iter().map(|&v| v.abs_diff(value)).max().unwrap();
                    assert!(off <= most, "{what}: off by {off}");
                }
            }
        }
    }
}

/// Most of such a picture is empty, after something that is not.
#[test]
fn a_picture_with_one_spot_comes_back() {
    for (x0, y0) in [(0, 0), (300, 200), (620, 460)] {
        for format in [GREY, COLOUR] {
            for quality in [10, 26, 60, 100] {
                let image = drawn(640, 480, format, |x, y, c| {
                    if x.abs_diff(x0) < 12 && y.abs_diff(y0) < 12 { (x * 37 + y * 91 + c * 50) as u8 } else { 128 }
                });
                let what = format!("a spot at {x0}, {y0} in {format:?} at q{quality}");
                let back = decoded_parts(&parts(&image, quality)).unwrap_or_else(|e| panic!("{what}: {e}"));
                assert!(psnr(&image, &back) > 20.0, "{what}");
            }
        }
    }
}

#[test]
fn rate_and_fidelity_rise_with_quality() {
    let image = corner(&photograph(), 320, 240);
    let (mut bytes, mut before) = (0, 0.0);
    let mut pictures = Vec::new();
    for quality in (0..=100).step_by(10) {
        let (file, ledger) = encoded(&image, quality);
        let fidelity = psnr(&image, &decoded(&file).unwrap());
        assert!(ledger.codec().0 > bytes, "q{quality}: {} after {bytes} bytes", ledger.codec().0);
        assert!(fidelity > before, "q{quality}: {fidelity:.2} after {before:.2} dB");
        (bytes, before) = (ledger.codec().0, fidelity);
        pictures.push(fidelity);
    }
    // Chroma is at half size, which alone bounds the PSNR of colour.
    assert!(before > 40.0, "{before:.2} dB");
    let grey = green(&image);
    let fidelity = psnr(&grey, &decoded(&encoded(&grey, 100).0).unwrap());
    assert!(fidelity > 45.0, "{fidelity:.2} dB");
    let bits_per_pixel = bytes as f64 * 8.0 / f64::from(320 * 240);
    assert!(bits_per_pixel < 8.0, "{bits_per_pixel} bits per pixel at the finest quality");
}

#[test]
fn the_ledger_names_every_byte() {
    for (image, quality) in
        [(corner(&photograph(), 227, 227), 50), (noise(40, 1500, GREY), 30), (smooth(9, 9, COLOUR), 5)]
    {
        let (file, ledger) = encoded(&image, quality);
        let container = Container::parse(&file).unwrap();
        assert_eq!(container.parts, ledger);
        let total = |of: fn(&Chunk<'_>) -> u64| container.chunks.iter().map(of).sum::<u64>();
        assert_eq!(ledger.header.0, total(|c| c.header.0));
        assert_eq!(ledger.side.0, total(|c| c.side.0));
        assert_eq!(ledger.header.0 + ledger.side.0 + ledger.payload.0, total(|c| c.bytes.len() as u64));
        assert_eq!(ledger.side, Bytes(0), "no step map, no side information");
        assert_eq!(ledger.codec().0, total(|c| c.bytes.len() as u64));
        let strips = container.chunks.iter().filter(|c| c.header.0 > 0).count();
        // First byte, quality, two sides of one or two bytes.
        assert!(ledger.header.0 >= 4 * strips as u64 && ledger.header.0 <= 6 * strips as u64);
        // Only a strip's first chunk has a header, and these come first.
        assert!(container.chunks.iter().take(strips).all(|c| c.header.0 > 0));
        assert!(container.chunks.len() == strips || container.chunks.len() == 3 * strips);
    }
}

#[test]
fn layers_build_the_picture_up() {
    for image in [corner(&photograph(), 320, 240), green(&photograph())] {
        let whole = parts(&image, 60);
        assert_eq!(whole.len(), 3);
        assert!(whole[0].bytes[0] & LAYERED != 0);
        let fidelity: Vec<_> = (1..=3).map(|count| psnr(&image, &decoded_parts(&whole[..count]).unwrap())).collect();
        assert!(
            fidelity[0] > 18.0 && fidelity[1] > fidelity[0] + 0.5 && fidelity[2] > fidelity[1] + 0.5,
            "{fidelity:?}"
        );
        // A layer whose predecessor is missing cannot be read, and is left out.
        let gap = [whole[0].clone(), whole[2].clone()];
        assert_eq!(decoded_parts(&gap).unwrap(), decoded_parts(&whole[..1]).unwrap());
        // Latents of the layers that are there are those of the whole.
        let (all, first) = (latents_of(&whole), latents_of(&whole[..1]));
        assert!(all.iter().zip(&first).all(|(&all, &first)| first == 0 || first == all));
        for rest in [&whole[1..], &whole[2..], &[]] {
            expected(&decoded_parts(rest).unwrap_err());
        }
    }
}

#[test]
fn a_chunk_twice_counts_once_and_one_too_many_is_refused() {
    let image = corner(&photograph(), 320, 240);
    let whole = parts(&image, 60);
    let picture = decoded_parts(&whole).unwrap();
    let doubled: Vec<_> = whole.iter().flat_map(|part| [part.clone(), part.clone()]).collect();
    assert_eq!(decoded_parts(&doubled).unwrap(), picture);
    for index in [3, 4, 1000, usize::MAX] {
        let mut more = whole.clone();
        more.push(Part { index, ..whole[2].clone() });
        expected(&decoded_parts(&more).unwrap_err());
        let alone = [Part { index, ..whole[0].clone() }];
        expected(&decoded_parts(&alone).unwrap_err());
    }
}

/// The strips of a picture of 40 × 1500 pixels: three of whole regions.
const STRIPS: [std::ops::Range<usize>; 3] = [0..512, 512..1024, 1024..1500];

#[test]
fn a_missing_strip_costs_its_own_rows() {
    // Half a block is lapped; enlarging chroma takes in one row more.
    for (format, reach) in [(GREY, 8), (COLOUR, 9)] {
        let image = smooth(40, 1500, format);
        let whole = parts(&image, 50);
        assert_eq!(whole.len(), 9);
        let picture = decoded_parts(&whole).unwrap();
        for (missing, lost) in STRIPS.iter().enumerate() {
            // Without its first chunk, the strip's other layers cannot be read either.
            let some: Vec<_> = whole.iter().filter(|p| p.index != missing).cloned().collect();
            let none: Vec<_> = whole.iter().filter(|p| p.index % 3 != missing).cloned().collect();
            let back = decoded_parts(&some).unwrap();
            assert_eq!(back, decoded_parts(&none).unwrap());
            let row = 40 * format.channels();
            let damaged: Vec<usize> =
                (0..1500).filter(|y| picture.data()[y * row..][..row] != back.data()[y * row..][..row]).collect();
            let reached = lost.start.saturating_sub(reach)..(lost.end + reach).min(1500);
            assert!(damaged.iter().all(|y| reached.contains(y)), "{format:?} strip {missing}: {damaged:?}");
            assert!(damaged.len() > lost.len() / 2);
        }
        // A later layer costs less than the strip.
        let layer: Vec<_> = whole.iter().filter(|p| p.index != 4).cloned().collect();
        let back = decoded_parts(&layer).unwrap();
        assert!(psnr(&image, &back) > 20.0);
        assert_eq!(error_in(&picture, &back, 0..512 - 9), 0.0);
        assert_eq!(error_in(&picture, &back, 1024 + 9..1500), 0.0);
    }
}

#[test]
fn strips_that_contradict_each_other_are_refused() {
    let image = smooth(40, 1500, COLOUR);
    let whole = parts(&image, 50);
    let other_quality = parts(&image, 51);
    let other_size = parts(&smooth(40, 1699, COLOUR), 50);
    let other_format = parts(&smooth(40, 1500, GREY), 50);
    for other in [other_quality, other_size, other_format] {
        for strip in 0..3 {
            let mut mixed = whole.clone();
            mixed[strip] = other[strip].clone();
            expected(&decoded_parts(&mixed).unwrap_err());
        }
    }
    // A strip of another picture alike in all that the header says is a strip.
    let mut mixed = whole.clone();
    mixed[1] = parts(&noise(40, 1500, COLOUR), 50)[1].clone();
    mixed.remove(4);
    mixed.remove(6);
    assert_eq!(decoded_parts(&mixed).unwrap().height(), 1500);
}

#[test]
fn unknown_formats_and_flags_are_refused() {
    let whole = parts(&smooth(33, 7, COLOUR), 40);
    assert_eq!((whole.len(), whole[0].bytes[0] >> 4), (1, 1));
    for first in (0..=255_u8).filter(|first| first & 0xf8 != 0x10) {
        let mut bad = whole.clone();
        bad[0].bytes[0] = first;
        expected(&decoded_parts(&bad).unwrap_err());
    }
    for quality in 101..=255 {
        let mut bad = whole.clone();
        bad[0].bytes[1] = quality;
        expected(&decoded_parts(&bad).unwrap_err());
    }
}

fn varint(mut value: u32) -> Vec<u8> {
    let mut bytes = Vec::new();
    while value >= 0x80 {
        bytes.push(value as u8 | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
    bytes
}

/// A first chunk that says so much and holds `payload`.
fn made(flags: u8, quality: u8, width: u32, height: u32, payload: &[u8]) -> Part {
    let mut bytes = vec![0x10 | flags, quality];
    bytes.extend(varint(width));
    bytes.extend(varint(height));
    let header = bytes.len() as u64;
    bytes.extend(payload);
    Part { index: 0, bytes, side: 0, header }
}

#[test]
fn planar_frames_are_coded_as_they_are() {
    for (format, width, height) in [
        (PixelFormat::I420, 64, 48),
        (PixelFormat::I420, 61, 35),
        (PixelFormat::I422, 61, 35),
        (PixelFormat::I422, 1, 1),
    ] {
        let size = format.bytes(width, height).unwrap();
        let luma = (width * height) as usize;
        // Colours that R'G'B' can show, and smooth ones.
        let value = |at: usize| if at < luma { at / 3 % 100 + 80 } else { (at - luma) / 40 + 110 };
        let data = (0..size).map(|at| value(at) as u8).collect();
        let frame = Image::new(width, height, format, data).unwrap();
        let mut rgb = Image::default();
        frame.view().interleave(&mut rgb).unwrap();
        let direct = decoded(&encoded(&frame, 90).0).unwrap();
        let converted = decoded(&encoded(&rgb, 90).0).unwrap();
        assert_eq!((direct.width(), direct.height(), direct.format()), (width, height, PixelFormat::Rgb8));
        let difference =
            direct.data().iter().zip(converted.data()).map(|(&a, &b)| f64::from(a.abs_diff(b))).sum::<f64>()
                / direct.data().len() as f64;
        assert!(difference < 1.5, "{format:?} {width}x{height}: {difference}");
    }
    // Even frames without chroma's detail lose nothing but the rounding to R'G'B'.
    let mut data = vec![90; 64 * 48];
    data.extend([160; 2 * 32 * 24]);
    let flat = decoded(&encoded(&Image::new(64, 48, PixelFormat::I420, data).unwrap(), 90).0).unwrap();
    let expected = [134.86_f64, 56.13, 146.70];
    assert!(
        flat.data().chunks(3).all(|pixel| pixel.iter().zip(expected).all(|(&a, b)| (f64::from(a) - b).abs() < 2.0))
    );
}

#[test]
fn pictures_above_the_limits_are_refused_before_memory_is_taken() {
    let small = Limits { max_pixels: 1000, ..Limits::default() };
    for (width, height) in [(65_536, 65_536), (65_536, 1025), (1, 1001), (40, 26)] {
        let limits =
            if u64::from(width) * u64::from(height) > Limits::default().max_pixels { Limits::default() } else { small };
        for flags in 0..8 {
            let error = decoded_within(&[made(flags, 40, width, height, &[])], &limits).unwrap_err();
            assert_eq!(error.code(), Code::Limit, "{error}");
        }
        let part = made(1, 40, width, height, &[1, 2, 3]);
        assert_eq!(latents(&chunks(&[part]), &limits).unwrap_err().code(), Code::Limit);
    }
    assert!(decoded_within(&parts(&smooth(40, 25, GREY), 40), &small).is_ok());
    for (width, height) in [(0, 1), (1, 0), (65_537, 1), (1, 65_537), ((1 << 21) - 1, 1)] {
        expected(&decoded_parts(&[made(0, 40, width, height, &[])]).unwrap_err());
    }
    // A side of four bytes.
    expected(
        &decoded_parts(&[Part { index: 0, bytes: vec![0x10, 40, 0x81, 0x80, 0x80, 0, 1], side: 0, header: 0 }])
            .unwrap_err(),
    );
}

#[test]
fn the_encoder_refuses_pictures_too_wide_for_the_format() {
    let mut writer = ContainerWriter::new();
    let mut encoder = registry().get("optic").unwrap().image_encoder(&settings(10)).unwrap();
    let long = Image::new(65_537, 1, GREY, vec![9; 65_537]).unwrap();
    assert_eq!(encoder.encode(long.view(), &mut writer).unwrap_err().code(), Code::Unsupported);
    let longest = drawn(65_536, 1, GREY, |x, _, _| (x >> 8) as u8);
    let back = decoded_parts(&parts(&longest, 40)).unwrap();
    assert!(psnr(&longest, &back) > 30.0);
}

/// Every change of one byte, and the picture's small: this is how decoders meet damage
/// where no checksum stands before them.
#[test]
fn every_change_of_a_byte_decodes_or_is_refused() {
    let image = corner(&photograph(), 41, 35);
    let mut layered = parts(&corner(&photograph(), 160, 128), 100);
    assert_eq!(layered.len(), 3, "{:?}", layered.iter().map(|p| p.bytes.len()).collect::<Vec<_>>());
    layered.truncate(2);
    let limits = Limits { max_pixels: 1 << 16, ..Limits::default() };
    let mut decoded_somehow = 0;
    for (whole, every) in [(parts(&image, 40), 1), (parts(&green(&image), 80), 1), (layered, 97)] {
        for at in 0..whole.len() {
            for place in (0..whole[at].bytes.len()).step_by(if every == 1 { 1 } else { 61 }) {
                // Headers and what follows at once get every value, the rest a few.
                let step = if place < 8 {
                    1
                } else if every == 1 {
                    37
                } else {
                    97
                };
                for flip in (1..=255_u8).step_by(step) {
                    let mut bad = whole.clone();
                    bad[at].bytes[place] ^= flip;
                    match decoded_within(&bad, &limits) {
                        Ok(_) => decoded_somehow += 1,
                        Err(error) => assert!(matches!(error.code(), Code::Corrupt | Code::Limit), "{error}"),
                    }
                }
            }
        }
    }
    assert!(decoded_somehow > 0);
}

#[test]
fn every_truncation_decodes_or_is_refused() {
    let image = corner(&photograph(), 41, 35);
    for quality in [5, 40, 90] {
        let whole = parts(&image, quality);
        let picture = decoded_parts(&whole).unwrap();
        let length = whole[0].bytes.len();
        for cut in 0..length {
            let mut bad = whole.clone();
            bad[0].bytes.truncate(cut);
            match decoded_parts(&bad) {
                // What is gone may have been made up for by zeros, but never for long.
                Ok(back) => assert!(cut + 4 >= length || psnr(&picture, &back) > 0.0, "{cut} of {length}"),
                Err(error) => expected(&error),
            }
        }
        for cut in 0..whole[0].header as usize {
            let mut bad = whole.clone();
            bad[0].bytes.truncate(cut);
            expected(&decoded_parts(&bad).unwrap_err());
        }
    }
}

#[test]
fn random_payloads_never_panic() {
    let mut varied = Varied(11);
    for round in 0..400 {
        let payload: Vec<u8> = match round % 4 {
            0 => vec![0xff; varied.below(300)],
            1 => vec![0; varied.below(300)],
            _ => (0..varied.below(1500)).map(|_| varied.next() as u8).collect(),
        };
        let (width, height) = (1 + varied.below(120) as u32, 1 + varied.below(120) as u32);
        let mut list = vec![made(varied.below(8) as u8, varied.below(101) as u8, width, height, &payload)];
        for index in 1..1 + varied.below(3) {
            let bytes = (0..varied.below(900)).map(|_| varied.next() as u8).collect();
            list.push(Part { index, bytes, side: 0, header: 0 });
        }
        if let Err(error) = decoded_parts(&list) {
            expected(&error);
        }
    }
}

/// The side information of a step map, written as the format says: each region's
/// difference from the one before, in unary.
fn side(offsets: &[i32]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut coder = entropy::Encoder::new(&mut bytes);
    let (mut zero, mut sign, mut more) = (Adaptive::new(0.7), Adaptive::new(0.5), Adaptive::new(0.4));
    let mut before = 0;
    for &offset in offsets {
        let change = offset - before;
        if coder.bit(&mut zero, change != 0) {
            coder.bit(&mut sign, change < 0);
            let mut size = 1;
            while size < 64 && coder.bit(&mut more, change.abs() > size) {
                size += 1;
            }
        }
        before = offset;
    }
    coder.finish();
    bytes
}

/// The same chunks, mapped by these offsets of quality.
fn mapped(whole: &[Part], side: &[u8]) -> Vec<Part> {
    let mut list = whole.to_vec();
    let first = &mut list[0];
    first.bytes[0] |= MAPPED;
    let header = first.header as usize;
    let block: Vec<u8> = (side.len() as u16).to_le_bytes().into_iter().chain(side.iter().copied()).collect();
    first.side = block.len() as u64;
    first.bytes.splice(header..header, block);
    list
}

#[test]
fn a_step_map_scales_the_regions_it_names() {
    // Two regions across, one down. Levels are those of quality 40.
    let image = smooth(2 * REGION as u32, REGION as u32, GREY);
    let whole = parts(&image, 40);
    let plain = decoded_parts(&whole).unwrap();
    assert_eq!(decoded_parts(&mapped(&whole, &side(&[0, 0]))).unwrap(), plain);
    // An empty side says nothing of any region.
    assert_eq!(decoded_parts(&mapped(&whole, &[])).unwrap(), plain);
    for offset in [-32, -16, 16, 32] {
        let list = mapped(&whole, &side(&[0, offset]));
        assert_eq!(latents_of(&list), latents_of(&whole));
        let back = decoded_parts(&list).unwrap();
        let half = |image: &Image, columns: std::ops::Range<usize>| -> f64 {
            let rows = image.data().chunks_exact(2 * REGION);
            rows.flat_map(|row| &row[columns.clone()]).map(|&v| (f64::from(v) - 128.0).abs()).sum()
        };
        // What is half a block from the finer region is as it was.
        let kept =
            |image: &Image| -> Vec<u8> { image.view().rows().flat_map(|row| row[..REGION - 8].to_vec()).collect() };
        assert_eq!(kept(&back), kept(&plain), "{offset}");
        let (before, after) = (half(&plain, REGION + 8..2 * REGION), half(&back, REGION + 8..2 * REGION));
        assert!(if offset > 0 { after < 0.8 * before } else { after > 1.2 * before }, "{offset}: {before} {after}");
    }
    // Whatever the side says, offsets stay within bounds.
    let mut varied = Varied(5);
    for _ in 0..200 {
        let bytes: Vec<u8> = (0..varied.below(9)).map(|_| varied.next() as u8).collect();
        assert!(decoded_parts(&mapped(&whole, &bytes)).is_ok());
    }
    // A side that is longer than the chunk.
    let mut bad = mapped(&whole, &side(&[0, 9]));
    let at = bad[0].header as usize + 1;
    bad[0].bytes[at] = 0xff;
    expected(&decoded_parts(&bad).unwrap_err());
    let mut short = mapped(&whole, &[]);
    short[0].bytes.truncate(whole[0].header as usize + 1);
    expected(&decoded_parts(&short).unwrap_err());
}

/// A picture of integers alone: gradients, edges, texture.
fn golden_picture(width: u32, height: u32, format: PixelFormat) -> Image {
    let mut varied = Varied(1729);
    drawn(width, height, format, |x, y, c| {
        let ramp = (x * 3 + y * 2 + c * 40) / 4;
        let edge = if (x / 23 + y / 31) % 3 == 0 { 60 } else { 0 };
        let grain = varied.below(if x > width / 2 { 24 } else { 3 });
        (ramp + edge + grain as u32).min(255) as u8
    })
}

fn digest(bytes: impl IntoIterator<Item = u8>) -> String {
    let bytes: Vec<u8> = bytes.into_iter().collect();
    Sha256::digest(&bytes).iter().take(16).map(|byte| format!("{byte:02x}")).collect()
}

/// Checks what came out against [`GOLDEN`]; with `OPTIC_GOLDEN=print` in the environment
/// prints the table instead.
fn golden(rows: &[(String, [String; 3])]) {
    if std::env::var("OPTIC_GOLDEN").is_ok_and(|value| value == "print") {
        for (name, [latents, bytes, pixels]) in rows {
            println!("    (\"{name}\", [\"{latents}\", \"{bytes}\", \"{pixels}\"]),");
        }
        return;
    }
    assert_eq!(rows.len(), GOLDEN.len());
    for ((name, found), (known, expected)) in rows.iter().zip(GOLDEN) {
        assert_eq!(name, known);
        assert_eq!(found, expected, "{name}: latents, bytes, pixels of the linear inverse");
    }
}

/// Of each picture: the first half of the SHA-256 of the latents (little-endian), of the
/// chunks' bytes and of the pixels. **Regenerate when tables, transform or walk change before
/// a release:**
/// `OPTIC_GOLDEN=print cargo test -p afferent-codec-default --test optic latents_bytes -- --nocapture`.
/// After a release they may change only with the codec's version.
#[rustfmt::skip]
const GOLDEN: &[(&str, [&str; 3])] = &[
    ("64x48 Gray8 q10", ["dcbf3acac051e67978fa5f3a244bf965", "608dcb95f18280a35452ffa3d0e85780", "8679add0b8c6a0ff0a4c01b1d0bce016"]),
    ("64x48 Gray8 q40", ["9e1cf57242d8ab8daff37c3b1c947d19", "f5e0ef60db53f87c79729a5f0fd28bed", "3a77cef15861c1686c54baf7a1cff8ac"]),
    ("64x48 Gray8 q90", ["b9dabbc3e7d7b90325c0c1a28146c62d", "8fa73aaf81cd6b40a3a2463c33fd6cfb", "5ce589f638098196248e028e009a18cb"]),
    ("227x131 Rgb8 q10", ["abb6b579de7e4d0107a7c3eefa6241ab", "c92f6b42c262a82539372eaffe125ea6", "7301469ed97146df47ac942efd20e501"]),
    ("227x131 Rgb8 q40", ["58f88242b04c755bb005bc120475ab54", "11d61c429cf636b8be24457b3e69d9d9", "9598149114c438e6b4a5f04ab11d9a3e"]),
    ("227x131 Rgb8 q90", ["79e93910e173e7d1c59d387cfdaa7655", "f78e6ea3596725aa55ae79776ea25e7d", "738e5121d938352572c05d321f9a5d15"]),
    ("40x1500 Rgb8 q10", ["dfeb7523381fb5b92f2c49e4d7e70146", "b12f20f5b473575cabed5b7204eaebdc", "3f3c361520f72de1059dea5cb0e5d9f6"]),
    ("40x1500 Rgb8 q40", ["821ae238f937836aa88995d7b9564626", "f8343c177cad6170b9c3d937b3b96e2e", "c3ee644eb402979e45dee305d97b4a16"]),
    ("40x1500 Rgb8 q90", ["76603b81949cab8cac159bcee9160f17", "7a9503347f7ba89a1cc3b1ddafb4eaac", "27da48e8f6b5d558a0dd647a0ac46ea4"]),
];

#[test]
fn latents_bytes_and_pixels_are_always_these() {
    let mut rows = Vec::new();
    for (width, height, format) in [(64, 48, GREY), (227, 131, COLOUR), (40, 1500, COLOUR)] {
        let image = golden_picture(width, height, format);
        for quality in [10, 40, 90] {
            let parts = parts(&image, quality);
            let found = latents_of(&parts);
            rows.push((
                format!("{width}x{height} {format:?} q{quality}"),
                [
                    digest(found.iter().flat_map(|v| v.to_le_bytes())),
                    digest(parts.iter().flat_map(|p| p.bytes.clone())),
                    digest(decoded_parts(&parts).unwrap().data().iter().copied()),
                ],
            ));
        }
    }
    golden(&rows);
}

#[test]
fn a_step_map_spends_bits_where_it_says() {
    use afferent_codec::ImageEncoder as _;
    // Several strips, whose regions do not end where the picture does.
    let (width, height) = (200, 1500);
    let mut state = 1_u32;
    let noise = (0..width * height).map(|_| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    });
    let image = Image::new(width, height, GREY, noise.collect()).unwrap();
    let coded = |map: Option<StepMap>| {
        let mut encoder = Encoder::new(30, true);
        encoder.set_step_map(map);
        let mut writer = ContainerWriter::new();
        encoder.encode(image.view(), &mut writer).map(|()| sealed_parts(&image, writer))
    };
    let finer = |column: usize, row: usize| if (column, row) == (1, 20) { 24 } else { -4 };
    let (plain, mapped) = (coded(None).unwrap(), coded(Some(StepMap::new(width, height, finer))).unwrap());
    assert!(mapped.iter().filter(|part| part.side > 0).count() == 3 && plain.iter().all(|part| part.side == 0));
    let error = |parts: &[Part], inside: bool| {
        let back = decoded_parts(parts).unwrap();
        let (mut sum, mut count) = (0.0, 0.0);
        for (at, (&a, &b)) in image.data().iter().zip(back.data()).enumerate() {
            let (x, y) = (at % width as usize, at / width as usize);
            if (x / REGION == 1 && y / REGION == 20) == inside {
                sum += (f64::from(a) - f64::from(b)).powi(2);
                count += 1.0;
            }
        }
        sum / count
    };
    assert!(error(&mapped, true) < 0.5 * error(&plain, true));
    assert!(error(&mapped, false) > error(&plain, false));
    let wrong = coded(Some(StepMap::new(width, height + 64, finer))).unwrap_err();
    assert_eq!(wrong.code(), Code::Config);
}
