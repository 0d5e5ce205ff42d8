//! Conventional codecs, and the media files that people have.
//!
//! | id | codec | knob | presets |
//! |---|---|---|---|
//! | [`png`] | PNG, lossless | none | `fast`, `balanced`, `high` |
//! | [`jpeg`] | JPEG by libjpeg-turbo | quality 1 to 100 | `420`, `444`, `420-optimised`, `444-optimised`, `420-progressive`, `444-progressive` |
//! | [`webp`] | lossy WebP by libwebp | quality 0 to 100 | `m4`, `m0`, `m6` |
//! | [`pcm`] | 16-bit PCM, lossless for 16-bit sources | none | `s16` |
//! | [`opus`] | Opus by libopus | bitrate 6 to 256 kb/s | `audio`, `voip`, `lowdelay` |
//!
//! An image is one chunk: the file that any other program reads. Sound is one
//! chunk per second. [`open`] reads and writes the usual media files.
//!
//! ```
//! use afferent_codec::{Container, Limits, Registry, SampleDecoder, SampleEncoder, Settings};
//! use afferent_media::{Image, PixelFormat, Sample};
//!
//! let mut registry = Registry::new();
//! afferent_codec_conventional::register(&mut registry);
//! let settings = Settings { preset: Some("444".into()), knob: Some(75.0), ..Settings::default() };
//! let mut encoder = SampleEncoder::new(registry.get("jpeg")?.as_ref(), &settings)?;
//!
//! let grey = Sample::Image(Image::new(64, 48, PixelFormat::Rgb8, vec![128; 64 * 48 * 3])?);
//! let mut file = Vec::new();
//! let parts = encoder.encode(&grey, &mut file)?;
//! assert_eq!(parts.storage().0, file.len() as u64);
//!
//! let mut decoder = SampleDecoder::new(registry, Limits::default());
//! assert_eq!(decoder.decode(&Container::parse(&file)?)?, grey);
//! # Ok::<(), afferent_media::Error>(())
//! ```

pub mod jpeg;
pub mod open;
pub mod opus;
pub mod pcm;
pub mod png;
mod sound;
pub mod webp;

use afferent_codec::{Chunk, Registry};
use afferent_media::{Code, Error, Result};

/// Adds every codec of this crate.
pub fn register(registry: &mut Registry) {
    registry.add(png::Png::new());
    registry.add(jpeg::Jpeg::new());
    registry.add(webp::Webp::new());
    registry.add(pcm::Pcm::new());
    registry.add(opus::Opus::new());
}

/// A registry of all of these.
#[must_use]
pub fn registry() -> Registry {
    let mut registry = Registry::new();
    register(&mut registry);
    registry
}

/// The error for a bitstream that cannot be what an encoder wrote.
fn corrupt(what: impl Into<String>) -> Error {
    Error::new(Code::Corrupt, what, "get the file or packet again from its source")
}

/// The bytes of an image: its container holds exactly one chunk.
fn only<'a>(chunks: &[Chunk<'a>]) -> Result<&'a [u8]> {
    match chunks {
        [chunk] => Ok(chunk.bytes),
        _ => Err(corrupt(format!("an image needs exactly one intact chunk, there are {}", chunks.len()))),
    }
}
