//! Any bytes from a camera are a frame or an error: raw frames of any layout, and
//! streams of JPEG files. The first eight bytes choose the layout.
#![no_main]

use afferent_codec::{SampleEncoder, Settings};
use afferent_codec_conventional::jpeg::{self, Found};
use afferent_media::Image;
use afferent_media::frame::{Range, RawFormat, RawLayout};

const FORMATS: [RawFormat; 5] =
    [RawFormat::Yuyv, RawFormat::Nv12, RawFormat::Yuv420, RawFormat::Grey, RawFormat::Y16];

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let Some((&[format, range, w, h, w2, h2, s, s2], bytes)) = bytes.split_first_chunk::<8>() else { return };
    let format = FORMATS[usize::from(format) % FORMATS.len()];
    let range = if range & 1 == 0 { Range::Full } else { Range::Limited };
    let (width, height) = (u32::from_le_bytes([w, w2 & 3, 0, 0]), u32::from_le_bytes([h, h2 & 3, 0, 0]));
    if let Ok(layout) = RawLayout::new(format, width, height, usize::from(u16::from_le_bytes([s, s2])), range) {
        let mut image = Image::default();
        assert_eq!(layout.split(bytes, &mut image).is_ok(), bytes.len() >= layout.length());
    }
    if let Found::File(length) = jpeg::find(bytes) {
        assert!(length <= bytes.len());
    }
    let registry = afferent_codec_conventional::registry();
    let Ok(codec) = registry.get("jpeg") else { return };
    if let Ok(mut encoder) = SampleEncoder::new(codec.as_ref(), &Settings::default()) {
        let _ = encoder.adopt(bytes, &mut Vec::new());
    }
});
