//! Pictures through GStreamer's own elements, where this machine has them. A test that
//! lacks one says so and proves nothing.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use afferent_codec::{
    ADOPTED, Container, ContainerWriter, Limits, Registry, SampleDecoder, SampleEncoder, Settings, Tier,
};
use afferent_codec_gstreamer::{add, element::Element, h264::Unit, register};
use afferent_media::{Bytes, Code, Image, PixelFormat, RateParts, Sample};

/// A picture of slopes, in any format.
fn picture(width: u32, height: u32, format: PixelFormat) -> Image {
    let mut image = Image::default();
    let pixels = image.reset(width, height, format).unwrap();
    let (w, h) = (width as usize, height as usize);
    let mut at = 0;
    let mut plane = |width: usize, height: usize, step: usize, value: &dyn Fn(usize, usize, usize) -> usize| {
        for y in 0..height {
            for x in 0..width * step {
                pixels[at] = value(x / step, y, x % step) as u8;
                at += 1;
            }
        }
    };
    let (half, rows) = (w.div_ceil(2), h.div_ceil(2));
    match format {
        PixelFormat::Rgb8 => plane(w, h, 3, &|x, y, c| 40 + [x, y, (x + y) / 2][c] * 150 / (w + h)),
        PixelFormat::Gray8 => plane(w, h, 1, &|x, y, _| 30 + (x + y) * 200 / (w + h)),
        _ => {
            plane(w, h, 1, &|x, y, _| 30 + (x + y) * 200 / (w + h));
            let rows = if format == PixelFormat::I420 { rows } else { h };
            plane(half, rows, 1, &|x, _, _| 90 + x * 60 / half);
            plane(half, rows, 1, &|_, y, _| 170 - y * 60 / rows);
        }
    }
    image
}

/// A registry with this element, unless the machine lacks it.
fn with(element: &str) -> Option<Registry> {
    let mut registry = Registry::new();
    afferent_codec_conventional::register(&mut registry);
    register(&mut registry);
    match add(&mut registry, element) {
        Ok(()) => Some(registry),
        Err(error) if error.code() == Code::NotFound => {
            eprintln!("SKIPPED, nothing is proven: {error}");
            None
        }
        Err(error) => panic!("{error}"),
    }
}

fn encode(registry: &Registry, codec: &str, knob: f32, image: &Image) -> (RateParts, Vec<u8>) {
    let settings = Settings { knob: Some(knob), ..Settings::default() };
    let mut encoder = SampleEncoder::new(registry.get(codec).unwrap().as_ref(), &settings).unwrap();
    let mut file = Vec::new();
    let parts = encoder.encode(&Sample::Image(image.clone()), &mut file).unwrap();
    assert_eq!(parts.storage(), Bytes(file.len() as u64));
    (parts, file)
}

/// Mean absolute difference of two pictures as RGB.
fn difference(a: &Image, b: &Image) -> f64 {
    assert_eq!((a.width(), a.height()), (b.width(), b.height()));
    let (a, b) = (a.clone().into_rgb(), b.clone().into_rgb());
    let sum: u64 = a.data().iter().zip(b.data()).map(|(&a, &b)| u64::from(a.abs_diff(b))).sum();
    sum as f64 / a.data().len() as f64
}

fn goes_through(element: &str, codec: &str, fine: f32, coarse: f32) {
    let Some(registry) = with(element) else { return };
    let descriptor = registry.get(codec).unwrap().descriptor();
    assert!(descriptor.implementation.contains(element), "{}", descriptor.implementation);
    assert_eq!(descriptor.tier, Element::named(element).unwrap().tier);
    let has_decoder = registry.get(codec).unwrap().image_decoder(&Limits::default());
    let decodes = match &has_decoder {
        Ok(_) => true,
        Err(error) => {
            eprintln!("SKIPPED, no picture is decoded: {error}");
            false
        }
    };
    let mut decoder = SampleDecoder::new(registry.clone(), Limits::default());
    let formats = [PixelFormat::Rgb8, PixelFormat::Gray8, PixelFormat::I420, PixelFormat::I422, PixelFormat::Gray16];
    for format in formats {
        for (width, height) in [(320, 240), (66, 50), (65, 51)] {
            let image = match format {
                PixelFormat::Gray16 => {
                    let grey = picture(width, height, PixelFormat::Gray8);
                    let wide = grey.data().iter().flat_map(|&v| (u16::from(v) << 8).to_ne_bytes()).collect();
                    Image::new(width, height, format, wide).unwrap()
                }
                _ => picture(width, height, format),
            };
            let (parts, file) = encode(&registry, codec, fine, &image);
            let container = Container::parse(&file).unwrap();
            assert_eq!(container.header.preset, element);
            assert!(parts.payload.0 > 0 && parts.header.0 > 0, "{parts:?}");
            if decodes {
                let Sample::Image(back) = decoder.decode(&container).unwrap() else { panic!("no image") };
                let off = difference(&image, &back);
                assert!(off < 3.0, "{format:?} {width}x{height}: {off}");
            }
        }
    }
    let image = picture(320, 240, PixelFormat::I420);
    assert!(encode(&registry, codec, coarse, &image).1.len() < encode(&registry, codec, fine, &image).1.len());
}

#[test]
fn jpegenc_codes_every_format() {
    goes_through("jpegenc", "jpeg", 95.0, 20.0);
}

#[test]
fn x264enc_codes_every_format() {
    goes_through("x264enc", "h264", 14.0, 40.0);
}

#[test]
fn openh264enc_codes_every_format() {
    goes_through("openh264enc", "h264", 14.0, 40.0);
}

#[test]
fn sizes_and_many_frames_pass_through_one_encoder() {
    let Some(registry) = with("jpegenc") else { return };
    let mut encoder = SampleEncoder::new(registry.get("jpeg").unwrap().as_ref(), &Settings::default()).unwrap();
    let mut decoder = SampleDecoder::new(registry.clone(), Limits::default());
    for i in 0..40 {
        let image = picture(if i < 30 { 64 } else { 96 }, 48 + 2 * (i / 35), PixelFormat::I420);
        let mut file = Vec::new();
        encoder.encode(&Sample::Image(image.clone()), &mut file).unwrap();
        let Sample::Image(back) = decoder.decode(&Container::parse(&file).unwrap()).unwrap() else {
            panic!("no image")
        };
        assert!(difference(&image, &back) < 5.0, "frame {i}");
    }
}

#[test]
fn what_a_camera_has_coded_passes_as_it_is() {
    let Some(registry) = with("jpegenc") else { return };
    let mut writer = ContainerWriter::new();
    let mut conventional = Registry::new();
    afferent_codec_conventional::register(&mut conventional);
    let software = conventional.get("jpeg").unwrap();
    let image = picture(64, 48, PixelFormat::Rgb8);
    software.image_encoder(&Settings::default()).unwrap().encode(image.view(), &mut writer).unwrap();
    let (_, file) = encode(&conventional, "jpeg", 75.0, &image);
    let camera = Container::parse(&file).unwrap().chunks[0].bytes.to_vec();
    let mut encoder = SampleEncoder::new(registry.get("jpeg").unwrap().as_ref(), &Settings::default()).unwrap();
    let mut file = Vec::new();
    encoder.adopt(&camera, &mut file).unwrap();
    let container = Container::parse(&file).unwrap();
    assert_eq!((container.header.preset.as_str(), container.chunks[0].bytes), (ADOPTED, &camera[..]));
}

#[test]
fn damaged_pictures_are_errors() {
    let Some(registry) = with("x264enc") else { return };
    let Ok(mut decoder) = registry.get("h264").unwrap().image_decoder(&Limits::default()) else {
        eprintln!("SKIPPED, nothing is proven: there is no decoder of H.264");
        return;
    };
    let (_, file) = encode(&registry, "h264", 20.0, &picture(320, 240, PixelFormat::I420));
    let container = Container::parse(&file).unwrap();
    let whole = container.chunks[0];
    let unit = Unit::of(&whole.bytes[..whole.bytes.len() - 1]).unwrap();
    assert_eq!((unit.width, unit.height, unit.frame), (320, 240, (320, 240)));
    let mut out = Image::default();
    let mut decode = |bytes: &[u8]| decoder.decode(&[afferent_codec::Chunk { bytes, ..whole }], &mut out);
    decode(whole.bytes).unwrap();
    // What is cut inside a slice, a decoder may paint over: it must end all the same.
    let _ = decode(&[&whole.bytes[..whole.bytes.len() / 2], &[0]].concat());
    for bytes in [&[][..], &[0], &[9], &whole.bytes[..40], &[whole.bytes, whole.bytes].concat()] {
        let decoded = decode(bytes);
        assert!(
            decoded.as_ref().is_err_and(|error| error.code() == Code::Corrupt),
            "{} bytes: {decoded:?}",
            bytes.len()
        );
    }
    let small = Limits { max_pixels: 320 * 240 - 1, ..Limits::default() };
    let error = registry.get("h264").unwrap().image_decoder(&small).unwrap().decode(&[whole], &mut out).unwrap_err();
    assert_eq!(error.code(), Code::Limit);
    // What is cropped away is decoded all the same, and counts.
    let (_, file) = encode(&registry, "h264", 20.0, &picture(306, 226, PixelFormat::I420));
    let cropped = Container::parse(&file).unwrap();
    let bytes = cropped.chunks[0].bytes;
    let unit = Unit::of(&bytes[..bytes.len() - 1]).unwrap();
    assert_eq!((unit.width, unit.height, unit.frame), (306, 226, (320, 240)));
    let mut decoder = registry.get("h264").unwrap().image_decoder(&small).unwrap();
    assert_eq!(decoder.decode(&cropped.chunks, &mut out).unwrap_err().code(), Code::Limit);
    // Another parameter set than the first, or the same again.
    let unit = &bytes[..bytes.len() - 1];
    let starts: Vec<_> = unit.windows(3).enumerate().filter(|(_, w)| *w == [0, 0, 1]).map(|(at, _)| at).collect();
    let set = starts.iter().position(|&at| unit[at + 3] & 0x1f == 7).unwrap();
    let set = &unit[starts[set]..starts[set + 1]];
    Unit::of(&[set, unit].concat()).unwrap();
    let other = &whole.bytes[..whole.bytes.len() - 1];
    assert_eq!(Unit::of(&[set, other].concat()).unwrap_err().code(), Code::Corrupt);
}

#[test]
fn hardware_that_is_not_there_is_an_error_at_start() {
    for element in ["nvjpegenc", "v4l2jpegenc", "nvv4l2h264enc"] {
        if let Err(error) = add(&mut Registry::new(), element) {
            assert!(error.code() == Code::NotFound && error.to_string().contains("install"), "{error}");
        } else {
            eprintln!("this machine has {element}");
        }
    }
    assert_eq!(add(&mut Registry::new(), "filesink").unwrap_err().code(), Code::Config);
    assert!(Tier::Hardware > Tier::Software);
}

#[test]
fn a_quantiser_that_an_element_would_not_obey_is_refused() {
    let Some(registry) = with("x264enc") else { return };
    let settings = Settings { knob: Some(51.0), ..Settings::default() };
    let Err(error) = registry.get("h264").unwrap().image_encoder(&settings) else { panic!() };
    assert!(error.to_string().contains("0 to 50"), "{error}");
}
