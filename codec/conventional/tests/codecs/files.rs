//! Media files, read and written.

use crate::{Varied, demo, green, photograph};
use afferent_codec::Limits;
use afferent_codec_conventional::open;
use afferent_media::manifest::Manifest;
use afferent_media::{Audio, Code, Image, PixelFormat, Sample};
use std::path::Path;

fn open_sample(path: &Path) -> afferent_media::Result<Sample> {
    open::sample(path, &Limits::default())
}

#[test]
fn the_whole_demo_data_opens() {
    for (folder, modality, least) in [("images", "image", 20), ("speech", "audio", 8)] {
        let manifest = Manifest::open(&demo(folder), open::EXTENSIONS).unwrap();
        assert!(manifest.entries().len() >= least);
        for entry in manifest.entries() {
            let sample = open_sample(&manifest.path(entry)).unwrap();
            assert_eq!(sample.modality().to_string(), modality);
            assert!(entry.licence.as_deref().is_some_and(|l| l.starts_with("CC")) && entry.source.is_some());
            match sample {
                Sample::Image(image) => assert_eq!(image.width().max(image.height()), 640),
                Sample::Audio(audio) => {
                    assert!((2.0..8.0).contains(&audio.view().seconds()) && audio.view().rate() == 8000);
                    assert!(entry.transcript.as_deref().is_some_and(|t| t.split(' ').count() > 4));
                }
            }
        }
    }
}

#[test]
fn what_is_written_opens_as_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let rgb = photograph();
    for image in [green(&rgb), rgb] {
        let path = folder.path().join("a.PNG");
        open::write(&Sample::Image(image.clone()), &path).unwrap();
        assert_eq!(open_sample(&path).unwrap(), Sample::Image(image));
    }
    let values = (0..2000).map(|v| ((v * 37 % 65_536) - 32_768) as f32 / 32_768.0).collect();
    let audio = Sample::Audio(Audio::new(44_100, 2, values).unwrap());
    let path = folder.path().join("a.wav");
    open::write(&audio, &path).unwrap();
    assert_eq!(open_sample(&path).unwrap(), audio);

    assert_eq!(open::write(&audio, &folder.path().join("a.png")).unwrap_err().code(), Code::Unsupported);
    assert_eq!(open_sample(&folder.path().join("a.gif")).unwrap_err().code(), Code::Unsupported);
    let missing = open_sample(&folder.path().join("b.wav")).unwrap_err();
    assert_eq!(missing.code(), Code::NotFound);
    assert!(missing.what().contains("b.wav"));
}

#[test]
fn other_kinds_of_png_follow_the_rule() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.png");
    let opened = |color, depth, palette: Option<&[u8]>, data: &[u8]| {
        let mut encoder = png::Encoder::new(std::fs::File::create(&path).unwrap(), 2, 1);
        encoder.set_color(color);
        encoder.set_depth(depth);
        if let Some(palette) = palette {
            encoder.set_palette(palette.to_vec());
        }
        encoder.write_header().unwrap().write_image_data(data).unwrap();
        open::image(&path, &Limits::default()).unwrap()
    };
    let image = |format, data: &[u8]| Image::new(2, 1, format, data.to_vec()).unwrap();
    use png::{BitDepth, ColorType};
    let (rgb, grey) = (PixelFormat::Rgb8, PixelFormat::Gray8);
    let alpha = opened(ColorType::Rgba, BitDepth::Eight, None, &[1, 2, 3, 0, 4, 5, 6, 255]);
    assert_eq!(alpha, image(rgb, &[1, 2, 3, 4, 5, 6]));
    assert_eq!(opened(ColorType::GrayscaleAlpha, BitDepth::Eight, None, &[9, 0, 8, 255]), image(grey, &[9, 8]));
    assert_eq!(opened(ColorType::Grayscale, BitDepth::Sixteen, None, &[9, 200, 8, 1]), image(grey, &[9, 8]));
    assert_eq!(opened(ColorType::Grayscale, BitDepth::One, None, &[0b0100_0000]), image(grey, &[0, 255]));
    let palette = Some(&[10, 20, 30, 40, 50, 60][..]);
    let indexed = opened(ColorType::Indexed, BitDepth::Eight, palette, &[1, 0]);
    assert_eq!(indexed, image(rgb, &[40, 50, 60, 10, 20, 30]));
}

#[test]
fn a_cmyk_jpeg_is_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.jpg");
    let mut compressor = turbojpeg::Compressor::new().unwrap();
    let pixels = vec![100; 16 * 16 * 4];
    let format = turbojpeg::PixelFormat::CMYK;
    let image = turbojpeg::Image { pixels: &pixels[..], width: 16, pitch: 64, height: 16, format };
    std::fs::write(&path, compressor.compress_to_vec(image).unwrap()).unwrap();
    let error = open_sample(&path).unwrap_err();
    assert_eq!(error.code(), Code::Unsupported);
    assert!(error.what().contains("CMYK"));
}

#[test]
fn damage_inside_a_jpeg_is_read_over_but_an_early_end_is_not() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.jpeg");
    let whole = std::fs::read(demo("images/fig.jpg")).unwrap();
    let mut stray = whole.clone();
    let end = stray.len() - 2;
    stray.splice(end..end, [1, 2, 3]);
    std::fs::write(&path, &stray).unwrap();
    assert_eq!(open_sample(&path).unwrap(), Sample::Image(photograph()));
    std::fs::write(&path, &whole[..whole.len() / 2]).unwrap();
    assert_eq!(open_sample(&path).unwrap_err().code(), Code::Corrupt);
}

#[test]
fn a_sound_header_of_hours_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.wav");
    open::write(&Sample::Audio(Audio::new(48_000, 2, vec![0.0; 200]).unwrap()), &path).unwrap();
    let mut wav = std::fs::read(&path).unwrap();
    // 2.1 GB: three hours at 48 kHz in stereo.
    wav[4..8].copy_from_slice(&0x7fff_ff00u32.to_le_bytes());
    let data = wav.windows(4).position(|name| name == b"data").unwrap();
    wav[data + 4..data + 8].copy_from_slice(&0x7fff_0000u32.to_le_bytes());
    std::fs::write(&path, &wav).unwrap();
    let error = open_sample(&path).unwrap_err();
    assert_eq!(error.code(), Code::Limit, "{error}");

    // STREAMINFO: 36 bits of frame count, after rate, channels and depth.
    let mut flac = std::fs::read(demo("speech/tt-weasels.flac")).unwrap();
    flac[21] |= 0x0f;
    let path = folder.path().join("a.flac");
    std::fs::write(&path, &flac).unwrap();
    let error = open_sample(&path).unwrap_err();
    assert_eq!(error.code(), Code::Limit, "{error}");
}

#[test]
fn damaged_files_never_panic() {
    let folder = tempfile::tempdir().unwrap();
    let mut varied = Varied(5);
    let wav = folder.path().join("source.wav");
    open::write(&Sample::Audio(Audio::new(8000, 2, vec![0.1; 3000]).unwrap()), &wav).unwrap();
    for source in [wav, demo("speech/tt-weasels.flac"), demo("images/fig.jpg")] {
        let mut whole = std::fs::read(&source).unwrap();
        whole.truncate(9000);
        let path = folder.path().join("a").with_extension(source.extension().unwrap());
        for round in 0..400 {
            let mut bad = whole.clone();
            // Headers first: they decide what memory is taken.
            let reach = if round % 2 == 0 { 64 } else { bad.len() };
            for _ in 0..1 + varied.below(4) {
                bad[varied.below(reach)] = varied.next() as u8;
            }
            bad.truncate(if round % 4 == 3 { varied.below(bad.len()) } else { bad.len() });
            std::fs::write(&path, &bad).unwrap();
            if let Err(error) = open_sample(&path) {
                let code = error.code();
                assert!(matches!(code, Code::Corrupt | Code::Limit | Code::Unsupported), "{error}");
            }
        }
    }
}

/// A PNG file of 3x2 pixels.
fn tiny_png(colour: png::ColorType, depth: png::BitDepth, palette: Option<Vec<u8>>, rows: &[u8]) -> Vec<u8> {
    let mut file = Vec::new();
    let mut encoder = png::Encoder::new(&mut file, 3, 2);
    encoder.set_color(colour);
    encoder.set_depth(depth);
    if let Some(palette) = palette {
        encoder.set_palette(palette);
    }
    encoder.write_header().unwrap().write_image_data(rows).unwrap();
    file
}

#[test]
fn a_mask_is_read_as_numbers_not_as_colours() {
    use png::{BitDepth, ColorType};
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("mask.png");
    let read = |file: Vec<u8>| {
        std::fs::write(&path, file).unwrap();
        open::indices(&path, &Limits::default())
    };
    let numbers = vec![0, 1, 2, 3, 2, 1];
    // All colours of the palette are one, so that only the index can tell them apart.
    let palette = Some(vec![200; 4 * 3]);
    for (colour, palette) in [(ColorType::Indexed, palette), (ColorType::Grayscale, None)] {
        let of = |depth, rows: &[u8]| read(tiny_png(colour, depth, palette.clone(), rows)).unwrap();
        assert_eq!(of(BitDepth::Eight, &numbers), (3, 2, numbers.clone()));
        assert_eq!(of(BitDepth::Four, &[0x01, 0x20, 0x32, 0x10]), (3, 2, numbers.clone()));
        assert_eq!(of(BitDepth::Two, &[0b00_01_10_00, 0b11_10_01_00]), (3, 2, numbers.clone()));
        assert_eq!(of(BitDepth::One, &[0b0100_0000, 0b1010_0000]), (3, 2, vec![0, 1, 0, 1, 0, 1]));
    }
    for (colour, depth, bytes) in [
        (ColorType::Grayscale, BitDepth::Sixteen, 12),
        (ColorType::GrayscaleAlpha, BitDepth::Eight, 12),
        (ColorType::Rgb, BitDepth::Eight, 18),
        (ColorType::Rgba, BitDepth::Eight, 24),
    ] {
        let error = read(tiny_png(colour, depth, None, &vec![0; bytes])).unwrap_err();
        assert_eq!(error.code(), Code::Unsupported, "{error}");
    }
    let whole = tiny_png(ColorType::Grayscale, BitDepth::Eight, None, &numbers);
    for length in 0..whole.len() {
        assert_eq!(read(whole[..length].to_vec()).unwrap_err().code(), Code::Corrupt, "{length}");
    }
    std::fs::write(&path, &whole).unwrap();
    let small = Limits { max_pixels: 5, ..Limits::default() };
    assert_eq!(open::indices(&path, &small).unwrap_err().code(), Code::Limit);
    assert_eq!(open::indices(&folder.path().join("mask.jpg"), &small).unwrap_err().code(), Code::Unsupported);
}
