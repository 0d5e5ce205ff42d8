//! What holds of every image codec.

use crate::{codec, decoded, encoded, green, photograph, settings};
use afferent_codec::{Chunk, Container, ContainerWriter, Geometry, Header, ImageShape, SampleEncoder, Settings};
use afferent_media::{Bytes, Code, Image, ImageView, PixelFormat, Sample};
use proptest::prelude::*;

const CODECS: [&str; 3] = ["png", "jpeg", "webp"];

/// The bare bitstream of one image, and how much of it is codec header.
fn bare(id: &str, settings: &Settings, image: ImageView<'_>) -> (Vec<u8>, u64) {
    let mut writer = ContainerWriter::new();
    codec(id).image_encoder(settings).unwrap().encode(image, &mut writer).unwrap();
    seal(id, image, &mut writer)
}

fn seal(id: &str, image: ImageView<'_>, writer: &mut ContainerWriter) -> (Vec<u8>, u64) {
    let shape = ImageShape { width: image.width(), height: image.height(), format: image.format() };
    let header = Header {
        codec: id.into(),
        codec_version: 1,
        preset: String::new(),
        knob: None,
        geometry: Geometry::Image(shape),
        weights: None,
    };
    let mut file = Vec::new();
    writer.seal(&header, &mut file).unwrap();
    let container = Container::parse(&file).unwrap();
    assert_eq!(container.chunks.len(), 1);
    (container.chunks[0].bytes.to_vec(), container.chunks[0].header.0)
}

#[test]
fn png_returns_every_pixel_and_grey_stays_grey() {
    let rgb = photograph();
    for image in [green(&rgb), rgb] {
        for preset in ["balanced", "fast", "high"] {
            let sample = Sample::Image(image.clone());
            let (file, parts) = encoded("png", &settings(preset, None), &sample);
            assert_eq!(decoded(&file), sample, "{preset}");
            assert!(parts.header.0 >= 8 + 25 + 12 + 12 && parts.header.0 < 200, "{preset}: {parts:?}");
        }
    }
    let grey = green(&photograph());
    let (file, _) = encoded("jpeg", &settings("444", Some(75.0)), &Sample::Image(grey));
    let Sample::Image(image) = decoded(&file) else { panic!("an image became sound") };
    assert_eq!(image.format(), PixelFormat::Gray8);
}

#[test]
fn the_bare_bitstreams_are_files_with_their_headers_counted() {
    let image = photograph();
    let jpeg = |preset| bare("jpeg", &settings(preset, Some(25.0)), image.view());
    let (baseline, header) = jpeg("420");
    // SOI, JFIF, two quantisation tables, frame, four Huffman tables, scan, EOI.
    assert_eq!(header, 2 + 18 + 2 * 69 + 19 + 2 * (33 + 183) + 14 + 2);
    assert!(baseline.starts_with(&[0xff, 0xd8]) && baseline.ends_with(&[0xff, 0xd9]));
    let (optimised, optimised_header) = jpeg("420-optimised");
    assert!(optimised.len() < baseline.len() && optimised_header < header);
    // Each scan has its own tables.
    let (progressive, progressive_header) = jpeg("420-progressive");
    assert!(progressive_header > optimised_header);
    assert!(progressive.windows(2).any(|pair| pair == [0xff, 0xc2]));

    let (webp, header) = bare("webp", &settings("m4", Some(25.0)), image.view());
    assert_eq!((&webp[..4], &webp[8..16]), (&b"RIFF"[..], &b"WEBPVP8 "[..]));
    let chunk = u32::from_le_bytes(webp[16..20].try_into().unwrap());
    assert_eq!(header, 30 + u64::from(chunk % 2));
}

#[test]
fn a_resized_picture_comes_back_at_its_own_size() {
    let photograph = photograph();
    let (width, height) = (photograph.width(), photograph.height());
    let half = Settings { resize: "1/2".parse().unwrap(), ..settings("fast", None) };
    let (file, parts) = encoded("png", &half, &Sample::Image(photograph.clone()));
    let container = Container::parse(&file).unwrap();
    // Rates are per pixel of the source.
    assert_eq!(container.header.geometry.units(), u64::from(width) * u64::from(height));
    let (whole, _) = encoded("png", &settings("fast", None), &Sample::Image(photograph.clone()));
    assert!(parts.codec().0 * 2 < whole.len() as u64);
    let Sample::Image(back) = decoded(&file) else { panic!() };
    assert_eq!((back.width(), back.height()), (width, height));
    // PNG loses nothing: what is lost is the resizing's.
    let error: u64 = back.data().iter().zip(photograph.data()).map(|(a, b)| u64::from(a.abs_diff(*b))).sum();
    let mean = error as f64 / back.data().len() as f64;
    assert!((0.1..8.0).contains(&mean), "{mean}");
    let error = SampleEncoder::new(codec("opus").as_ref(), &Settings { preset: None, ..half }).err().unwrap();
    assert_eq!(error.code(), afferent_media::Code::Config);
}

#[test]
fn quality_costs_rate() {
    let image = photograph();
    for id in ["jpeg", "webp"] {
        let codec = codec(id);
        let descriptor = codec.descriptor();
        for preset in descriptor.presets {
            let sizes =
                descriptor.knob.unwrap().points.map(|q| bare(id, &settings(preset, Some(q)), image.view()).0.len());
            assert!(sizes[0] < sizes[1] && sizes[1] < sizes[2], "{id} {preset}: {sizes:?}");
        }
    }
}

#[test]
fn an_encoder_forgets_the_image_before() {
    let rgb = photograph();
    let small = Image::new(3, 2, PixelFormat::Rgb8, (0..18).map(|v| v * 14).collect()).unwrap();
    let grey = green(&rgb);
    for id in CODECS {
        let mut encoder = codec(id).image_encoder(&Settings::default()).unwrap();
        let mut decoder = codec(id).image_decoder(&Default::default()).unwrap();
        let mut out = Image::default();
        for image in [&rgb, &small, &grey, &small, &rgb] {
            let mut writer = ContainerWriter::new();
            encoder.encode(image.view(), &mut writer).unwrap();
            let (again, header) = seal(id, image.view(), &mut writer);
            assert_eq!((again.clone(), header), bare(id, &Settings::default(), image.view()), "{id}");
            let chunk = Chunk { index: 0, bytes: &again, side: Bytes(0), header: Bytes(header) };
            decoder.decode(&[chunk], &mut out).unwrap();
            assert_eq!((out.width(), out.height()), (image.width(), image.height()));
        }
    }
}

#[test]
fn sides_beyond_the_format_are_refused() {
    for (id, width) in [("jpeg", 65_501), ("webp", 16_384)] {
        let image = Image::new(width, 1, PixelFormat::Gray8, vec![0; width as usize]).unwrap();
        let mut encoder = codec(id).image_encoder(&Settings::default()).unwrap();
        let error = encoder.encode(image.view(), &mut ContainerWriter::new()).unwrap_err();
        assert_eq!(error.code(), Code::Unsupported, "{id}: {error}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn padding_between_rows_changes_nothing(
        width in 1u32..40, height in 1u32..40, pad in 0usize..9, grey in any::<bool>(), seed in any::<u8>(),
    ) {
        let format = if grey { PixelFormat::Gray8 } else { PixelFormat::Rgb8 };
        let row = width as usize * format.channels();
        let padded: Vec<u8> = (0..(row + pad) * height as usize).map(|i| (i * 31) as u8 ^ seed).collect();
        let view = ImageView::new(width, height, row + pad, format, &padded).unwrap();
        let packed = view.to_image();
        for id in CODECS {
            let settings = Settings::default();
            prop_assert_eq!(bare(id, &settings, view), bare(id, &settings, packed.view()));
            let sample = Sample::Image(packed.clone());
            let Sample::Image(image) = decoded(&encoded(id, &settings, &sample).0) else { panic!() };
            prop_assert_eq!((image.width(), image.height()), (width, height));
            if id == "png" {
                prop_assert_eq!(&image, &packed);
            }
        }
    }
}
