//! The codecs through their traits: against Pillow, against hostile input, and in time.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod files;
mod frames;
mod golden;
mod hostile;
mod images;
mod sound;

use afferent_codec::{Codec, Container, Limits, Registry, SampleDecoder, SampleEncoder, Settings};
use afferent_media::{Image, PixelFormat, RateParts, Sample};
use std::path::PathBuf;
use std::sync::Arc;

fn registry() -> Registry {
    let mut registry = Registry::new();
    afferent_codec_conventional::register(&mut registry);
    registry
}

fn codec(id: &str) -> Arc<dyn Codec> {
    registry().get(id).unwrap().clone()
}

fn settings(preset: &str, knob: Option<f32>) -> Settings {
    Settings { preset: Some(preset.to_owned()), knob, ..Settings::default() }
}

/// A file of the bundled demo data.
fn demo(file: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../data/demo").join(file)
}

/// A photograph of the bundled demo data.
fn photograph() -> Image {
    afferent_codec_conventional::open::image(&demo("images/fig.jpg"), &Limits::default()).unwrap()
}

/// The green channel of `image`.
fn green(image: &Image) -> Image {
    let data = image.data().chunks_exact(3).map(|pixel| pixel[1]).collect();
    Image::new(image.width(), image.height(), PixelFormat::Gray8, data).unwrap()
}

/// The container of `sample`.
fn encoded(id: &str, settings: &Settings, sample: &Sample) -> (Vec<u8>, RateParts) {
    let mut file = Vec::new();
    let parts = SampleEncoder::new(codec(id).as_ref(), settings).unwrap().encode(sample, &mut file).unwrap();
    (file, parts)
}

/// What comes out of a container.
fn decoded(file: &[u8]) -> Sample {
    SampleDecoder::new(registry(), Limits::default()).decode(&Container::parse(file).unwrap()).unwrap()
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
