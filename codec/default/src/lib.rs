//! `optic`, our own neural image codec: nearly free on the board, exact on every
//! processor, faithful or generative on the server.
//!
//! ```text
//! board    R'G'B' → Y'CbCr → lapped transform → dead-zone rounding → context coder → chunks
//! server   chunks → context decoder → linear inverse → synthesis network → R'G'B'
//! ```
//!
//! - [`mod@color`]: Y'CbCr, chroma at half size;
//! - [`mod@transform`]: the learned, linear transform in 16-bit integers: 80
//!   multiply-accumulates per pixel of a colour picture, 64 of a grey one;
//! - [`mod@quantiser`]: one step per picture (or region), dead-zone rounding;
//! - [`mod@walk`], [`mod@contexts`]: how the latents are coded: adaptive binary
//!   decisions whose contexts are weighted sums of known magnitudes, in integers;
//! - [`mod@optic`]: strips, layers, chunks, header;
//! - [`synthesis`]: the network that turns latents into pictures. Without one, the
//!   linear inverse answers, in integers too.
//!
//! Everything that both ends must agree on is integer arithmetic in one piece of code.
//! How it works, why it is exact and what it achieves: `docs/codecs/optic.md`.
//!
//! ```
//! use afferent_codec::{Container, Limits, Registry, SampleDecoder, SampleEncoder, Settings};
//! use afferent_media::{Image, PixelFormat, Sample};
//!
//! let mut registry = Registry::new();
//! afferent_codec_default::register(&mut registry);
//! let settings = Settings { knob: Some(40.0), ..Settings::default() };
//! let mut encoder = SampleEncoder::new(registry.get("optic")?.as_ref(), &settings)?;
//!
//! let grey = Sample::Image(Image::new(64, 48, PixelFormat::Rgb8, vec![128; 64 * 48 * 3])?);
//! let mut file = Vec::new();
//! let parts = encoder.encode(&grey, &mut file)?;
//! assert!(parts.codec().0 < 16, "{parts:?}");
//!
//! let mut decoder = SampleDecoder::new(registry, Limits::default());
//! assert_eq!(decoder.decode(&Container::parse(&file)?)?, grey);
//! # Ok::<(), afferent_media::Error>(())
//! ```

mod color;
mod contexts;
mod expect;
#[cfg(feature = "fit")]
#[doc(hidden)]
pub mod fit;
mod latents;
mod optic;
mod quantiser;
mod simd;
pub mod synthesis;
mod tables;
mod transform;
mod walk;

pub use optic::{Encoder, REGION, StepMap, latents};
pub use synthesis::Synthesis;

use afferent_codec::{
    Codec, Descriptor, Exactness, Family, ImageDecoder, ImageEncoder, Knob, Limits, Registry, Settings, Simd, Tier,
};
use afferent_media::{Modality, Result};

/// Adds every codec of this crate, decoding without a network.
pub fn register(registry: &mut Registry) {
    registry.add(Optic::new());
}

const DEFAULT_QUALITY: f32 = 40.0;

/// The preset that rounds without asking what a coefficient costs.
const FAST: &str = "fast";

/// The image codec. Presets: `rdo` drops coefficients that cost more than they bring
/// (rate-distortion optimisation), `fast` only rounds.
#[derive(Debug)]
pub struct Optic {
    descriptor: Descriptor,
    synthesis: Option<Synthesis>,
}

impl Optic {
    /// The codec, decoding by the linear inverse alone.
    #[must_use]
    pub fn new() -> Self {
        let descriptor = Descriptor {
            id: "optic",
            version: 1,
            modality: Modality::Image,
            family: Family::Neural,
            exactness: Exactness::Exact,
            tier: Tier::Software,
            implementation: concat!("afferent ", env!("CARGO_PKG_VERSION")).to_owned(),
            simd: if cfg!(any(target_arch = "x86_64", target_arch = "aarch64")) { Simd::Yes } else { Simd::No },
            external: false,
            delay_samples: 0,
            frame_samples: 0,
            macs_per_unit: Some(80.0),
            knob: Some(Knob {
                name: "quality",
                unit: "",
                min: 0.0,
                max: 100.0,
                default: DEFAULT_QUALITY,
                whole: true,
                points: [20.0, 35.0, 50.0],
            }),
            progressive: true,
            synthesis: true,
            presets: &["rdo", FAST],
            licence: "Apache-2.0",
            extension: "optic",
        };
        Self { descriptor, synthesis: None }
    }

    /// The codec, decoding by this network. The bitstream is the same.
    #[must_use]
    pub fn with_synthesis(mut self, synthesis: Synthesis) -> Self {
        self.synthesis = Some(synthesis);
        self
    }
}

impl Default for Optic {
    fn default() -> Self {
        Self::new()
    }
}

impl Codec for Optic {
    fn descriptor(&self) -> &Descriptor {
        &self.descriptor
    }

    fn weights(&self) -> Option<[u8; 8]> {
        Some(tables::digest())
    }

    fn settings_note(&self, _: &str) -> String {
        "chroma=420 matrix=bt601 range=full".to_owned()
    }

    fn image_encoder(&self, settings: &Settings) -> Result<Box<dyn ImageEncoder>> {
        let (preset, quality) = settings.resolve(&self.descriptor)?;
        Ok(Box::new(Encoder::new(quality.unwrap_or(DEFAULT_QUALITY) as u8, preset != FAST)))
    }

    fn image_decoder(&self, limits: &Limits) -> Result<Box<dyn ImageDecoder>> {
        Ok(match &self.synthesis {
            None => Box::new(optic::LinearDecoder(*limits)),
            Some(synthesis) => Box::new(synthesis.decoder(*limits)?),
        })
    }
}
