//! Any chunks are a picture or an error to the optic codec, without a network, within
//! small limits. The first byte says how many chunks the rest is cut into.
#![no_main]

use afferent_codec::{Chunk, Limits, Registry};
use afferent_media::{Bytes, Code, Image};
use std::sync::LazyLock;

static REGISTRY: LazyLock<Registry> = LazyLock::new(|| {
    let mut registry = Registry::new();
    afferent_codec_default::register(&mut registry);
    registry
});

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    let Some((&control, rest)) = input.split_first() else { return };
    let limits = Limits { max_pixels: 1 << 14, ..Limits::default() };
    let count = 1 + usize::from(control & 7);
    // Chunk indices may have gaps, come twice, or begin late.
    let gap = usize::from(control >> 3 & 3);
    let mut chunks = Vec::new();
    let mut rest = rest;
    for at in 0..count {
        // A byte before each chunk but the last is its length.
        let (bytes, tail) = match rest.split_first() {
            Some((&length, tail)) if at + 1 < count => tail.split_at(usize::from(length).min(tail.len())),
            _ => (rest, &[][..]),
        };
        rest = tail;
        let index = if control & 0x20 == 0 { at } else { at * gap };
        chunks.push(Chunk { index, bytes, side: Bytes(0), header: Bytes(0) });
    }
    let mut image = Image::default();
    let Ok(mut decoder) = REGISTRY.get("optic").and_then(|codec| codec.image_decoder(&limits)) else { return };
    let decoded = decoder.decode(&chunks, &mut image);
    let latents = afferent_codec_default::latents(&chunks, &limits);
    assert_eq!(decoded.is_ok(), latents.is_ok());
    if let Ok(values) = latents {
        let blocks = image.width().div_ceil(16) as usize * image.height().div_ceil(16) as usize;
        assert_eq!(values.len(), blocks * if image.format().channels() == 1 { 256 } else { 384 });
    }
    if let Err(error) = decoded {
        assert!(matches!(error.code(), Code::Corrupt | Code::Limit), "{error}");
    }
});
