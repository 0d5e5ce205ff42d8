//! What the encoder and the decoder promise.

use crate::{corner, decoded, encoded, encoded_by, green, photograph, settings};
use afferent_codec::{Codec, ContainerWriter, Limits, Settings, Simd};
use afferent_codec_avif::Avif;
use afferent_media::{Code, Image, ImageView, PixelFormat};

/// Mean squared difference of two images of one shape.
fn difference(a: &Image, b: &Image) -> f64 {
    assert_eq!((a.width(), a.height(), a.format()), (b.width(), b.height(), b.format()));
    let squares = a.data().iter().zip(b.data()).map(|(a, b)| f64::from(a.abs_diff(*b)).powi(2));
    squares.sum::<f64>() / a.data().len() as f64
}

#[test]
fn quality_costs_rate_and_brings_likeness() {
    let rgb = corner(&photograph(), 160, 120);
    for image in [green(&rgb), rgb] {
        for preset in Avif::new().descriptor().presets {
            let mut last = (0, f64::INFINITY);
            for quality in [0.0, 10.0, 35.0, 70.0, 100.0] {
                let (file, _) = encoded(&settings(preset, quality), image.view());
                let now = (file.len(), difference(&decoded(&file, &Limits::default()).unwrap(), &image));
                assert!(now.0 > last.0 && now.1 < last.1, "{preset} q{quality}: {now:?} after {last:?}");
                last = now;
            }
            // Lossless planes: exact in grey, halved chroma in colour.
            assert!(if image.format() == PixelFormat::Gray8 { last.1 == 0.0 } else { last.1 < 20.0 }, "{last:?}");
        }
    }
}

#[test]
fn the_bitstream_is_a_file_with_its_headers_counted() {
    let image = corner(&photograph(), 160, 120);
    let (file, header) = encoded(&settings("s6", 35.0), image.view());
    assert_eq!(&file[4..12], b"ftypavif");
    let data = file.windows(4).position(|kind| kind == b"mdat").unwrap() + 4;
    // Temporal delimiter (2 bytes) and sequence header are in `mdat`; then comes the frame.
    assert_eq!(file[data..data + 3], [0x12, 0, 0x0a]);
    let frame = data + 4 + usize::from(file[data + 3]);
    assert_eq!((header, file[frame]), (frame as u64, 0x32));
    // The cheaper picture has the same header.
    let (cheap, same) = encoded(&settings("s6", 10.0), image.view());
    assert!(same.abs_diff(header) <= 4 && cheap.len() < file.len(), "{same} and {header}");
}

#[test]
fn every_size_comes_back_and_padding_between_rows_changes_nothing() {
    for (width, height) in [(1, 1), (1, 7), (3, 5), (16, 16), (17, 33), (65, 2), (130, 71)] {
        for format in [PixelFormat::Rgb8, PixelFormat::Gray8] {
            let row = width as usize * format.channels();
            let stride = row.next_multiple_of(16) + 16;
            // Smooth, so that a coarse quality shows misplaced pixels.
            let bytes: Vec<u8> = (0..stride * height as usize).map(|i| (i / stride * 3 + i % stride) as u8).collect();
            let view = ImageView::new(width, height, stride, format, &bytes).unwrap();
            let packed = view.to_image();
            let at = settings("s10", 90.0);
            let (file, header) = encoded(&at, view);
            assert_eq!((file.clone(), header), encoded(&at, packed.view()), "{width}x{height} {format:?}");
            let back = decoded(&file, &Limits::default()).unwrap();
            assert_eq!((back.width(), back.height(), back.format()), (width, height, format));
            if format == PixelFormat::Gray8 {
                assert!(difference(&back, &packed) < 20.0, "{width}x{height}: {}", difference(&back, &packed));
            }
        }
    }
}

#[test]
fn an_encoder_forgets_the_image_before() {
    let rgb = corner(&photograph(), 96, 64);
    let (small, grey) = (corner(&rgb, 3, 2), green(&rgb));
    let mut encoder = Avif::new().image_encoder(&Settings::default()).unwrap();
    for image in [&rgb, &small, &grey, &rgb] {
        let again = encoded_by(encoder.as_mut(), image.view());
        assert_eq!(again, encoded(&Settings::default(), image.view()));
    }
}

#[test]
fn sides_beyond_the_format_are_refused() {
    let image = Image::new(32_769, 1, PixelFormat::Gray8, vec![0; 32_769]).unwrap();
    let mut encoder = Avif::new().image_encoder(&Settings::default()).unwrap();
    let error = encoder.encode(image.view(), &mut ContainerWriter::new()).unwrap_err();
    assert_eq!(error.code(), Code::Unsupported, "{error}");
}

#[test]
fn the_descriptor_tells_what_was_built() {
    let codec = Avif::new();
    let descriptor = codec.descriptor();
    assert!(descriptor.implementation.starts_with("libaom 3."), "{}", descriptor.implementation);
    assert!(descriptor.implementation.contains(" via libavif 1."), "{}", descriptor.implementation);
    if cfg!(all(target_arch = "x86_64", not(debug_assertions))) {
        assert_eq!(descriptor.simd, Simd::Yes);
    }
    for (preset, speed) in [("s6", "speed=6 "), ("s0", "speed=0 "), ("s10", "speed=10 ")] {
        assert!(codec.settings_note(preset).starts_with(speed));
    }
}
