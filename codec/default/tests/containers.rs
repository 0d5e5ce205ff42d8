//! The codec in its container: what a decoder takes, and what it makes of a part.
#![allow(clippy::unwrap_used)]

use afferent_codec::{Container, Limits, Registry, SampleDecoder, SampleEncoder, Settings};
use afferent_media::{Code, Image, PixelFormat, Sample};

fn registry() -> Registry {
    let mut registry = Registry::new();
    afferent_codec_default::register(&mut registry);
    registry
}

/// A picture large enough for a chunk per layer, and its container.
fn coded() -> (Image, Vec<u8>) {
    let pixel = |x: u32, y: u32| {
        let rough = (x * 97 + y * 57).wrapping_mul(2_654_435_761) >> 27;
        [(x / 3 + rough) as u8, (y / 2 + rough) as u8, ((x / 23 + y / 17) % 3 * 70 + rough) as u8]
    };
    let data = (0..360).flat_map(|y| (0..500).flat_map(move |x| pixel(x, y))).collect();
    let image = Image::new(500, 360, PixelFormat::Rgb8, data).unwrap();
    let settings = Settings { knob: Some(60.0), ..Settings::default() };
    let mut out = Vec::new();
    let mut encoder = SampleEncoder::new(registry().get("optic").unwrap().as_ref(), &settings).unwrap();
    encoder.encode(&Sample::Image(image.clone()), &mut out).unwrap();
    (image, out)
}

fn error(image: &Image, decoded: Sample) -> u64 {
    let Sample::Image(decoded) = decoded else { panic!("no picture") };
    assert_eq!((decoded.width(), decoded.height()), (image.width(), image.height()));
    let (a, b) = (image.view().packed(), decoded.view().packed());
    a.iter().zip(b.iter()).map(|(a, b)| u64::from(a.abs_diff(*b)).pow(2)).sum()
}

#[test]
fn other_tables_are_refused() {
    let (_, bytes) = coded();
    let mut container = Container::parse(&bytes).unwrap();
    assert!(container.header.weights.is_some());
    let mut decoder = SampleDecoder::new(registry(), Limits::default());
    for other in [Some([7; 8]), None] {
        container.header.weights = other;
        let error = decoder.decode(&container).unwrap_err();
        assert_eq!(error.code(), Code::Unsupported);
        assert!(error.remedy().contains("knows these tables"), "{error}");
    }
}

#[test]
fn every_cut_decodes_as_far_as_it_goes() {
    let (image, bytes) = coded();
    let whole = Container::parse(&bytes).unwrap();
    assert_eq!(whole.chunks.len(), 3, "a chunk per layer");
    let mut decoder = SampleDecoder::new(registry(), Limits::default());
    let mut before = error(&image, decoder.decode(&whole).unwrap());
    let mut length = bytes.len();
    for chunk in whole.chunks[1..].iter().rev() {
        length -= chunk.bytes.len();
        // One byte of the layer is there: it is not whole, and does not count.
        let part = Container::parse(&bytes[..=length]).unwrap();
        assert_eq!(part.chunks.len() + part.damaged.len(), 3);
        let now = error(&image, decoder.decode(&part).unwrap());
        assert!(now > before, "{now} without, {before} with the layer");
        before = now;
    }
    let nothing = Container::parse(&bytes[..whole.parts.container.0 as usize]).unwrap();
    assert_eq!(decoder.decode(&nothing).unwrap_err().code(), Code::Corrupt);
}

#[test]
fn a_damaged_layer_costs_those_above_it() {
    let (image, mut bytes) = coded();
    let container = Container::parse(&bytes).unwrap();
    let start = container.parts.container.0 as usize;
    let first = container.chunks[0].bytes.len();
    let mut decoder = SampleDecoder::new(registry(), Limits::default());
    let base = decoder.decode(&Container::parse(&bytes[..start + first]).unwrap()).unwrap();
    bytes[start + first] ^= 1;
    let part = Container::parse(&bytes).unwrap();
    assert_eq!(part.damaged, [1]);
    let decoded = decoder.decode(&part).unwrap();
    assert_eq!(decoded, base);
    assert!(error(&image, decoded) > 0);
}
