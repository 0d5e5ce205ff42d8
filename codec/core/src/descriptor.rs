//! What is known of a codec before it runs.

use afferent_media::Modality;
use serde::Serialize;

/// What kind of compression a codec does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Family {
    /// Returns exactly what went in.
    Lossless,
    /// Hand-designed transforms and entropy coding.
    Conventional,
    /// Learned transforms trained for distortion.
    Neural,
    /// Learned transforms trained to look or sound right (adversarial, perceptual).
    Generative,
}

/// Between which machines a bitstream means the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Exactness {
    /// Any processor, any build: symbols decode identically everywhere.
    Exact,
    /// Identical only between equal builds of the software.
    SameBuild,
    /// Identical only on the same kind of device.
    SameDevice,
}

/// Whether the library under a codec runs its vector code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Simd {
    /// The build proves that vector code is in.
    Yes,
    /// This build has no vector code, or cannot prove it: a weak opponent.
    No,
    /// Vector code would not matter for this codec.
    NotApplicable,
}

impl std::fmt::Display for Simd {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Yes => "yes",
            Self::No => "no",
            Self::NotApplicable => "not-applicable",
        })
    }
}

/// Which implementation of one codec id answers: the highest that is registered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Tier {
    /// A plain reference implementation.
    Reference,
    /// The usual software implementation.
    Software,
    /// A hardware block.
    Hardware,
}

/// The one number that trades rate for quality, in the codec's native unit.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Knob {
    /// Name, for example `quality` or `bitrate`.
    pub name: &'static str,
    /// Unit, for example `kb/s`; empty for a bare scale.
    pub unit: &'static str,
    /// Least value accepted.
    pub min: f32,
    /// Greatest value accepted.
    pub max: f32,
    /// Value used when none is given.
    pub default: f32,
    /// Only whole numbers are accepted.
    pub whole: bool,
    /// Three values that span the useful range, low rate first: the demo's points.
    pub points: [f32; 3],
}

/// What is known of a codec before it runs.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Descriptor {
    /// Stable id, for example `jpeg`.
    pub id: &'static str,
    /// Version of the bitstream as we write it; goes into every container.
    pub version: u16,
    /// What it encodes.
    pub modality: Modality,
    /// What kind of compression it does.
    pub family: Family,
    /// Between which machines its bitstream means the same.
    pub exactness: Exactness,
    /// Which implementation answers for this id.
    pub tier: Tier,
    /// Library and its version, for example `libjpeg-turbo 3.1.0`.
    pub implementation: String,
    /// Whether that library runs its vector code.
    pub simd: Simd,
    /// Whether the encoder is another process, of whose processor time and memory the
    /// caller's own say nothing.
    pub external: bool,
    /// Algorithmic delay in samples at the encoder's rate (sound only).
    pub delay_samples: u32,
    /// Samples of sound per codec frame at the encoder's rate, 0 for images.
    pub frame_samples: u32,
    /// Multiply-accumulates per pixel (or sample) of the encoder, if it is a network.
    pub macs_per_unit: Option<f32>,
    /// The rate knob; `None` for a codec with one operating point.
    pub knob: Option<Knob>,
    /// Whether a picture or recording decodes, coarser or in part, from the chunks
    /// that are there where others are damaged or missing.
    pub progressive: bool,
    /// Whether a network may decode its bitstream instead of the codec's own linear
    /// inverse; which networks there are, the zoo says.
    pub synthesis: bool,
    /// Presets by name, the default first. Never empty.
    pub presets: &'static [&'static str],
    /// SPDX expression of the implementation's licence.
    pub licence: &'static str,
    /// File name extension of the bare bitstream, without the dot.
    pub extension: &'static str,
}
