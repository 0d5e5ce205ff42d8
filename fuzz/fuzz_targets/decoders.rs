//! Any bytes are a sample or an error to every decoder, within its limits.
//! The first byte chooses the codec; the rest is one chunk.
#![no_main]

use afferent_codec::{AudioShape, Chunk, Limits, Registry};
use afferent_media::{Audio, Bytes, Image, Modality};
use std::sync::LazyLock;

static REGISTRY: LazyLock<Registry> = LazyLock::new(|| {
    let mut registry = afferent_codec_conventional::registry();
    afferent_codec_avif::register(&mut registry);
    afferent_codec_default::register(&mut registry);
    registry
});

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let Some((&choice, bytes)) = bytes.split_first() else { return };
    let codecs: Vec<_> = REGISTRY.iter().collect();
    let codec = codecs[choice as usize % codecs.len()];
    let limits = Limits { max_pixels: 1 << 20, max_samples: 1 << 20, max_channels: 2 };
    let chunk = Chunk { index: 0, bytes, side: Bytes(0), header: Bytes(0) };
    match codec.descriptor().modality {
        Modality::Image => {
            let mut image = Image::default();
            if let Ok(mut decoder) = codec.image_decoder(&limits) {
                let _ = decoder.decode(&[chunk], &mut image);
            }
        }
        Modality::Audio => {
            let shape = AudioShape { rate: 16_000, channels: 1, frames: 16_000 };
            let mut audio = Audio::default();
            if let Ok(mut decoder) = codec.audio_decoder(&limits) {
                let _ = decoder.decode(&shape, &[chunk], &mut audio);
            }
        }
    }
});
