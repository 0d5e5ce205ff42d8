//! GStreamer's elements as codecs: the hardware encoders of boards, and their software
//! counterparts. Nothing is linked: `gst-launch-1.0` runs beside this program, raw
//! frames go in by its standard input and coded ones come out, one for one.
//!
//! | id | elements | knob |
//! |---|---|---|
//! | `jpeg` | `nvjpegenc`, `v4l2jpegenc`; `jpegenc` | quality 1 to 100 |
//! | `h264` | `v4l2h264enc`, `nvv4l2h264enc`, `vah264enc`; `x264enc`, `openh264enc` | quantiser 0 to 51, lower is better |
//!
//! `h264` is H.264 with every frame an IDR frame that stands alone, so that rate, loss
//! and order are those of the other image codecs. What coding between frames would save
//! beside it is a question for `afferent bench anchor`.
//!
//! [`add`] puts one element into a registry: by its tier a hardware encoder answers for
//! its codec's id where a software one is there too, and its name is the preset in every
//! container. Which hardware there is, is never probed: whoever configures the program
//! names it, and what GStreamer does not have is an error at start.

pub mod element;
pub mod framing;
pub mod h264;
mod jpeg;
mod pipeline;

use afferent_codec::{Descriptor, Exactness, Family, Knob, Registry, Simd};
use afferent_media::{Modality, Result};
use element::{Bitstream, Element, Tools};

/// Adds the codec that `element` codes for, with the element as its encoder.
///
/// # Errors
/// [`Code::Config`](afferent_media::Code::Config) for an element that is not known here,
/// [`Code::NotFound`](afferent_media::Code::NotFound) if GStreamer is missing or does not
/// have it.
pub fn add(registry: &mut Registry, element: &str) -> Result<()> {
    let element = Element::named(element)?;
    let tools = Tools::default();
    let version = tools.check(element.name)?;
    match element.bitstream {
        Bitstream::Jpeg => registry.add(jpeg::Jpeg::new(element, &version, tools)),
        Bitstream::H264 => registry.add(h264::H264::by(element, &version, tools)),
    }
    Ok(())
}

/// Adds `h264`, whose decoder a server needs, with the software encoders as its presets.
/// That GStreamer is missing is said when it is used.
pub fn register(registry: &mut Registry) {
    registry.add(h264::H264::new());
}

/// What an image codec of this crate says of itself, with the licence of its elements.
fn descriptor(id: &'static str, knob: Option<Knob>, licence: &'static str) -> Descriptor {
    Descriptor {
        id,
        version: 1,
        modality: Modality::Image,
        family: Family::Conventional,
        // Both standards say what a bitstream means; H.264 to the last bit.
        exactness: Exactness::Exact,
        tier: afferent_codec::Tier::Software,
        implementation: String::new(),
        simd: Simd::NotApplicable,
        external: true,
        delay_samples: 0,
        frame_samples: 0,
        macs_per_unit: None,
        knob,
        progressive: false,
        synthesis: false,
        presets: &[],
        licence,
        extension: id,
    }
}
