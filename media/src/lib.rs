//! The ground that every other room stands on.
//!
//! - [`units`]: bytes, bits, pixels and samples as types, so that bytes per
//!   pixel cannot be written where bits per pixel are meant;
//! - [`rate`]: where each byte of a packet went;
//! - [`error`]: one error type with a code, what happened and what to do;
//! - [`image`], [`audio`]: borrowed views into caller-owned buffers, and the
//!   owned buffers themselves;
//! - [`frame`]: the raw frames that cameras deliver, taken apart into planes;
//! - [`resize`], [`resample`]: the only resizing and resampling code of the
//!   product, by kept crates, with filters named and pinned;
//! - [`preprocess`]: from an image to a network's input, as data with a digest;
//! - `process` (a feature): other programs, run within bounds;
//! - [`manifest`]: the list of samples that every data-set adapter emits;
//! - [`network`]: the trait that inference backends implement.
//!
//! Without the `std` feature only `units` and `rate` remain, which is what the
//! `no_std` core of the link needs.
#![cfg_attr(not(feature = "std"), no_std)]

#[cfg(feature = "std")]
pub mod audio;
#[cfg(feature = "std")]
pub mod error;
#[cfg(feature = "std")]
pub mod frame;
#[cfg(feature = "std")]
pub mod image;
#[cfg(feature = "std")]
pub mod manifest;
#[cfg(feature = "std")]
pub mod network;
#[cfg(feature = "std")]
pub mod preprocess;
#[cfg(feature = "process")]
pub mod process;
pub mod rate;
#[cfg(feature = "std")]
pub mod resample;
#[cfg(feature = "std")]
pub mod resize;
pub mod units;

#[cfg(feature = "std")]
pub use audio::{Audio, AudioView};
#[cfg(feature = "std")]
pub use error::{Code, Error, Result};
#[cfg(feature = "std")]
pub use image::{Image, ImageView, PixelFormat, Plane};
#[cfg(feature = "std")]
pub use network::{Network, Tensor};
#[cfg(feature = "std")]
pub use preprocess::Preprocess;
pub use rate::RateParts;
pub use units::{Bits, BitsPerPixel, BitsPerSample, Bytes, KilobitsPerSecond, Pixels, Samples};

/// What kind of signal a sample carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Modality {
    /// A still image or one frame of a camera.
    Image,
    /// A stretch of sound.
    Audio,
}

impl core::fmt::Display for Modality {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            Self::Image => "image",
            Self::Audio => "audio",
        })
    }
}

/// One image or one stretch of sound, on its way from a sensor to a model.
#[cfg(feature = "std")]
#[derive(Debug, Clone, PartialEq)]
pub enum Sample {
    /// An image.
    Image(Image),
    /// A stretch of sound.
    Audio(Audio),
}

#[cfg(feature = "std")]
impl Sample {
    /// Which kind of signal this is.
    #[must_use]
    pub fn modality(&self) -> Modality {
        match self {
            Self::Image(_) => Modality::Image,
            Self::Audio(_) => Modality::Audio,
        }
    }
}
