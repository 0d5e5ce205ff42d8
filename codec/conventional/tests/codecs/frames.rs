//! Frames of cameras: planes, and files that a camera has coded.

use afferent_codec::{ADOPTED, Chunk, Container, Geometry, Limits, Resize, SampleDecoder, SampleEncoder, Settings};
use afferent_codec_conventional::{jpeg, registry};
use afferent_media::{Bytes, Code, Image, PixelFormat, Sample};

/// A smooth picture in any format.
fn picture(width: u32, height: u32, format: PixelFormat) -> Image {
    let mut data = Vec::new();
    let wave = |x: u32, y: u32, step: u32| (128.0 + 90.0 * ((x * step + y * 3) as f32 / 40.0).sin()) as u8;
    for y in 0..height {
        for x in 0..width {
            match format {
                PixelFormat::Gray16 => data.extend((u16::from(wave(x, y, 2)) << 8).to_ne_bytes()),
                _ => data.push(wave(x, y, 2)),
            }
        }
    }
    if let Some((width, height)) = format.chroma(width, height) {
        for plane in 0..2 {
            data.extend((0..height).flat_map(|y| (0..width).map(move |x| wave(x, y, 1) / 2 + 60 + plane * 20)));
        }
    }
    Image::new(width, height, format, data).unwrap()
}

fn encode(codec: &str, settings: &Settings, image: &Image) -> Vec<u8> {
    let mut encoder = SampleEncoder::new(registry().get(codec).unwrap().as_ref(), settings).unwrap();
    let mut file = Vec::new();
    let parts = encoder.encode(&Sample::Image(image.clone()), &mut file).unwrap();
    assert_eq!(parts.storage(), Bytes(file.len() as u64));
    file
}

fn decode(file: &[u8]) -> Image {
    let container = Container::parse(file).unwrap();
    match SampleDecoder::new(registry(), Limits::default()).decode(&container).unwrap() {
        Sample::Image(image) => image,
        Sample::Audio(_) => panic!(),
    }
}

fn mean_difference(a: &Image, b: &Image) -> f64 {
    assert_eq!((a.width(), a.height(), a.format()), (b.width(), b.height(), b.format()));
    let sum: u64 = a.data().iter().zip(b.data()).map(|(&a, &b)| u64::from(a.abs_diff(b))).sum();
    sum as f64 / a.data().len() as f64
}

#[test]
fn every_codec_takes_every_format() {
    for (format, decoded) in [
        (PixelFormat::I420, PixelFormat::Rgb8),
        (PixelFormat::I422, PixelFormat::Rgb8),
        (PixelFormat::Gray16, PixelFormat::Gray8),
    ] {
        for (width, height) in [(64, 48), (33, 17), (1, 1), (2, 3), (17, 2)] {
            let image = picture(width, height, format);
            let mut expected = Image::default();
            image.view().interleave(&mut expected).unwrap();
            assert_eq!(expected.format(), decoded);
            for (codec, preset, knob) in [
                ("png", "fast", None),
                ("jpeg", "420", Some(95.0)),
                ("jpeg", "444", Some(95.0)),
                ("jpeg", "420-progressive", Some(95.0)),
                ("webp", "m4", Some(95.0)),
            ] {
                let settings = Settings { preset: Some(preset.into()), knob, ..Settings::default() };
                let file = encode(codec, &settings, &image);
                let Geometry::Image(shape) = Container::parse(&file).unwrap().header.geometry else { panic!() };
                assert_eq!(shape.format, format);
                let difference = mean_difference(&decode(&file).into_rgb(), &expected.clone().into_rgb());
                let most = if codec == "png" { 0.0 } else { 5.0 };
                assert!(difference <= most, "{codec} {preset} {format:?} {width}x{height}: {difference}");
            }
        }
    }
}

#[test]
fn planes_become_jpeg_as_they_are() {
    // Values that a detour through RGB would clip: no colour of RGB has them.
    let image = Image::new(16, 16, PixelFormat::I420, [vec![250; 256], vec![10; 64], vec![250; 64]].concat()).unwrap();
    let file = encode("jpeg", &Settings { knob: Some(100.0), ..Settings::default() }, &image);
    let bytes = Container::parse(&file).unwrap().chunks[0].bytes.to_vec();
    let luma = jpeg::eighth(&bytes).unwrap();
    assert!(luma.data().iter().all(|&y| y.abs_diff(250) <= 1), "{:?}", luma.data());
    let mut clipped = Image::default();
    image.view().interleave(&mut clipped).unwrap();
    let file = encode("jpeg", &Settings { knob: Some(100.0), ..Settings::default() }, &clipped);
    let luma = jpeg::eighth(Container::parse(&file).unwrap().chunks[0].bytes).unwrap();
    assert!(luma.data().iter().all(|&y| y < 240), "{:?}", luma.data());
}

#[test]
fn planes_are_resized() {
    let settings = Settings { resize: Resize::new(1, 2).unwrap(), knob: Some(95.0), ..Settings::default() };
    for format in [PixelFormat::I420, PixelFormat::I422, PixelFormat::Gray16] {
        for codec in ["jpeg", "webp"] {
            let image = picture(61, 43, format);
            let mut expected = Image::default();
            image.view().interleave(&mut expected).unwrap();
            let difference =
                mean_difference(&decode(&encode(codec, &settings, &image)).into_rgb(), &expected.into_rgb());
            assert!(difference < 6.0, "{codec} {format:?}: {difference}");
        }
    }
}

#[test]
fn what_a_camera_coded_passes_as_it_is() {
    let registry = registry();
    let mut encoder = SampleEncoder::new(registry.get("jpeg").unwrap().as_ref(), &Settings::default()).unwrap();
    let image = picture(40, 30, PixelFormat::I422);
    let coded = encode("jpeg", &Settings { knob: Some(60.0), ..Settings::default() }, &image);
    let container = Container::parse(&coded).unwrap();
    let file = container.chunks[0].bytes;
    let mut adopted = Vec::new();
    // With the padding of a driver's buffer.
    let parts = encoder.adopt(&[file, &[0; 9]].concat(), &mut adopted).unwrap();
    let got = Container::parse(&adopted).unwrap();
    assert_eq!(got.chunks[0].bytes, file);
    assert_eq!((got.header.preset.as_str(), got.header.knob), (ADOPTED, None));
    assert_eq!((parts.payload, parts.header), (container.parts.payload, container.parts.header));
    assert_eq!(decode(&adopted), decode(&coded));

    // The encoder counts by what it knows of its files, adoption by their markers.
    for &preset in registry.get("jpeg").unwrap().descriptor().presets {
        for format in [PixelFormat::I422, PixelFormat::Gray8] {
            let settings = Settings { preset: Some(preset.into()), ..Settings::default() };
            let coded = encode("jpeg", &settings, &picture(40, 30, format));
            let container = Container::parse(&coded).unwrap();
            let parts = encoder.adopt(container.chunks[0].bytes, &mut Vec::new()).unwrap();
            let counted = (container.parts.payload, container.parts.header);
            assert_eq!((parts.payload, parts.header), counted, "{preset} {format:?}");
        }
    }

    for damaged in [&file[..file.len() - 2], &file[..20], &[], &[0xff; 40]] {
        assert_eq!(encoder.adopt(damaged, &mut Vec::new()).unwrap_err().code(), Code::Corrupt);
    }
    let resized = Settings { resize: Resize::new(1, 2).unwrap(), ..Settings::default() };
    for (codec, settings) in [("jpeg", resized), ("webp", Settings::default()), ("opus", Settings::default())] {
        let mut encoder = SampleEncoder::new(registry.get(codec).unwrap().as_ref(), &settings).unwrap();
        assert_eq!(encoder.adopt(file, &mut Vec::new()).unwrap_err().code(), Code::Unsupported, "{codec}");
    }
}

#[test]
fn jpeg_files_are_found_in_a_stream() {
    let file = encode("jpeg", &Settings::default(), &picture(24, 24, PixelFormat::I420));
    let file = Container::parse(&file).unwrap().chunks[0].bytes;
    let stream = [file, file].concat();
    assert_eq!(jpeg::find(&stream), jpeg::Found::File(file.len()));
    for cut in 0..file.len() {
        assert_eq!(jpeg::find(&stream[..cut]), jpeg::Found::Start, "{cut}");
    }
    assert_eq!(jpeg::find(&stream[1..]), jpeg::Found::Other(file.len() - 1));
    let cut = [&file[..file.len() - 9], file].concat();
    assert_eq!(jpeg::find(&cut), jpeg::Found::Cut(file.len() - 9));
    assert_eq!(jpeg::find(b"ab\xff\xd8"), jpeg::Found::Other(2));
    assert_eq!(jpeg::find(b"ab"), jpeg::Found::Other(2));
}

/// `file` without its segments of `marker`.
fn without(file: &[u8], marker: u8) -> Vec<u8> {
    let mut kept = file[..2].to_vec();
    let mut at = 2;
    while file[at + 1] != 0xda {
        let next = at + 2 + usize::from(u16::from_be_bytes([file[at + 2], file[at + 3]]));
        if file[at + 1] != marker {
            kept.extend(&file[at..next]);
        }
        at = next;
    }
    kept.extend(&file[at..]);
    kept
}

#[test]
fn a_frame_without_tables_has_the_standard_ones_not_those_of_the_frame_before() {
    let image = picture(40, 30, PixelFormat::I420);
    let settings = |preset: &str| Settings { preset: Some(preset.into()), ..Settings::default() };
    let bare = |body: &[u8]| Container::parse(body).unwrap().chunks[0].bytes.to_vec();
    let own = bare(&encode("jpeg", &settings("420-optimised"), &image));
    let standard = bare(&encode("jpeg", &settings("420"), &image));
    let cut = without(&standard, 0xc4);
    assert!(cut.len() < standard.len());
    let mut decoder = registry().get("jpeg").unwrap().image_decoder(&Limits::default()).unwrap();
    let mut read = |file: &[u8]| {
        let mut out = Image::default();
        let chunk = Chunk { index: 0, bytes: file, side: Bytes(0), header: Bytes(0) };
        decoder.decode(&[chunk], &mut out).map(|()| out)
    };
    let expected = read(&standard).unwrap();
    read(&own).unwrap();
    assert_eq!(read(&cut).unwrap(), expected);
    // Quantisation tables have no standard.
    assert_eq!(read(&without(&standard, 0xdb)).unwrap_err().code(), Code::Corrupt);
}

#[test]
fn padded_scans_are_whole_and_damaged_ones_are_not_adopted() {
    let registry = registry();
    let mut encoder = SampleEncoder::new(registry.get("jpeg").unwrap().as_ref(), &Settings::default()).unwrap();
    let coded = encode("jpeg", &Settings::default(), &picture(160, 120, PixelFormat::I420));
    let file = Container::parse(&coded).unwrap().chunks[0].bytes;
    let (scan, end) = file.split_at(file.len() - 2);
    let mut adopted = Vec::new();
    encoder.adopt(&[scan, &[0; 6], end].concat(), &mut adopted).unwrap();
    assert_eq!(decode(&adopted), decode(&coded));
    // Half of the coded data is missing, and yet there is an end.
    let header = file.windows(2).position(|pair| pair == [0xff, 0xda]).unwrap();
    let damaged = [&file[..header + (file.len() - header) / 2], end].concat();
    assert_eq!(encoder.adopt(&damaged, &mut Vec::new()).unwrap_err().code(), Code::Corrupt);
}
