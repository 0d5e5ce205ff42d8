//! Our own neural codecs for images and sound.

mod color;
mod contexts;
#[cfg(feature = "fit")]
#[doc(hidden)]
pub mod fit;
mod latents;
mod optic;
mod quantiser;
mod simd;
mod tables;
mod transform;
mod walk;

pub use optic::{Encoder, StepMap};

use afferent_codec::{
    Codec, Descriptor, Exactness, Family, ImageDecoder, ImageEncoder, Knob, Limits, Registry, Settings, Simd, Tier,
};
use afferent_media::{Modality, Result};

/// Adds every codec of this crate.
pub fn register(registry: &mut Registry) {
    registry.add(Optic::new());
}

/// The image codec.
#[derive(Debug)]
pub struct Optic(Descriptor);

impl Optic {
    /// The codec.
    #[must_use]
    pub fn new() -> Self {
        Self(Descriptor {
            id: "optic",
            version: 1,
            modality: Modality::Image,
            family: Family::Neural,
            exactness: Exactness::Exact,
            tier: Tier::Software,
            implementation: "afferent".into(),
            simd: if cfg!(any(target_arch = "x86_64", target_arch = "aarch64")) { Simd::Yes } else { Simd::No },
            delay_samples: 0,
            frame_samples: 0,
            macs_per_unit: Some(80.0),
            knob: Some(Knob {
                name: "quality",
                unit: "",
                min: 0.0,
                max: 100.0,
                default: 40.0,
                whole: true,
                points: [20.0, 35.0, 50.0],
            }),
            presets: &["fast"],
            licence: "Apache-2.0",
            extension: "optic",
        })
    }
}

impl Default for Optic {
    fn default() -> Self {
        Self::new()
    }
}

impl Codec for Optic {
    fn descriptor(&self) -> &Descriptor {
        &self.0
    }

    fn image_encoder(&self, settings: &Settings) -> Result<Box<dyn ImageEncoder>> {
        let (_, quality) = settings.resolve(&self.0)?;
        Ok(Box::new(Encoder::new(quality.unwrap_or(40.0) as u8, optic::Rounding::DEAD_ZONE)))
    }

    fn image_decoder(&self, limits: &Limits) -> Result<Box<dyn ImageDecoder>> {
        Ok(Box::new(optic::LinearDecoder(*limits)))
    }
}
