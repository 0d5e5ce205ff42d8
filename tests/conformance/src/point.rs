//! Which codecs are held to what, and at which operating points.

use crate::vectors::Vector;
use afferent_codec::{Codec, Exactness, Registry, Settings};
use std::sync::Arc;

/// Every codec of this build.
#[must_use]
pub fn registry() -> Registry {
    let mut registry = afferent_codec_conventional::registry();
    afferent_codec_default::register(&mut registry);
    #[cfg(feature = "avif")]
    afferent_codec_avif::register(&mut registry);
    registry
}

/// What two builds may differ in. That a bitstream can be decoded, to the same latents, is
/// never among it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Bar {
    /// How far decoded values may be apart: grey levels, or 1/32,768 of full scale.
    pub difference: f64,
    /// Whether the encoders must write the same bytes.
    pub same_bytes: bool,
}

impl Bar {
    /// The bar of a codec; the strictest for one that is not named here.
    #[must_use]
    pub fn of(codec: &str) -> Self {
        match codec {
            // Its encoder weighs choices in floats; its decoder filters in floats
            // (RFC 6716 asks for a decoder that sounds the same, not for its bits).
            "opus" => Self { difference: 8.0, same_bytes: false },
            _ => Self { difference: 0.0, same_bytes: true },
        }
    }
}

/// One codec at one preset and knob.
#[derive(Clone)]
pub struct Point {
    /// The codec.
    pub codec: Arc<dyn Codec>,
    /// Preset and knob.
    pub settings: Settings,
    /// Whether every vector is coded, or only the small ones.
    pub every_vector: bool,
}

impl Point {
    /// Whether this point codes that vector.
    #[must_use]
    pub fn takes(&self, vector: &Vector) -> bool {
        self.codec.descriptor().modality == vector.sample.modality() && (self.every_vector || vector.small())
    }
}

/// The points of every codec that claims to be exact: the default preset at each of the
/// knob's points, and every other preset at the middle one.
#[must_use]
pub fn points(registry: &Registry) -> Vec<Point> {
    let mut points = Vec::new();
    for codec in registry.iter().filter(|codec| codec.descriptor().exactness == Exactness::Exact) {
        let descriptor = codec.descriptor();
        for (at, preset) in descriptor.presets.iter().enumerate() {
            let knobs = match &descriptor.knob {
                None => vec![None],
                Some(knob) if at == 0 => knob.points.map(Some).to_vec(),
                Some(knob) => vec![Some(knob.points[1])],
            };
            points.extend(knobs.into_iter().map(|knob| Point {
                codec: codec.clone(),
                settings: Settings { preset: Some((*preset).to_owned()), knob, ..Settings::default() },
                every_vector: at == 0,
            }));
        }
    }
    points
}
