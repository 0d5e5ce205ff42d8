//! The agent on the board.
//!
//! ```text
//! source ─▶ encode ─▶ spool ─▶ send ⇒ link
//! (thread    (threads)  (thread,   (thread)
//!  a stream)            disk)
//! ```
//!
//! Beside them a thread reads the board's body: meter, throttling flags, LED.
//!
//! Stages are joined by bounded queues, so a slow stage makes the one before
//! it wait, back to the source. What the spool has synced is *accepted* and is
//! kept until the server has acknowledged it: through crashes of either side
//! and cuts of the link.

pub mod agent;
pub mod bench;
pub mod body;
pub mod config;
pub mod encode;
pub mod latency;
pub mod queue;
pub mod send;
mod service;
pub mod source;
pub mod spool;
pub mod stop;

use afferent_codec::Registry;
use afferent_codec_gstreamer::element::Element;
use afferent_media::{Code, Error, Result};
use std::collections::BTreeMap;

pub use agent::{Outcome, run};
pub use config::{Config, Layers};
pub use stop::Stop;

/// The codecs of the agent: none needs an inference engine.
#[must_use]
pub fn registry() -> Registry {
    let mut registry = afferent_codec_conventional::registry();
    afferent_codec_default::register(&mut registry);
    registry
}

/// Those, and the encoders that `config` names.
///
/// # Errors
/// Those of [`afferent_codec_gstreamer::add`]: an encoder is unknown or not there.
/// [`Code::Config`] for two encoders of one codec.
pub fn registry_with(config: &config::Encode) -> Result<Registry> {
    let mut registry = registry();
    let mut encoders = BTreeMap::new();
    let mut add_all = || {
        for name in &config.gstreamer {
            let codec = Element::named(name)?.bitstream.codec();
            if let Some(other) = encoders.insert(codec, name) {
                let what = format!("`{other}` and `{name}` both encode `{codec}`");
                return Err(Error::new(Code::Config, what, "name one element for each codec"));
            }
        }
        encoders.values().try_for_each(|name| afferent_codec_gstreamer::add(&mut registry, name))
    };
    add_all().map_err(|e| e.at("encode.gstreamer"))?;
    Ok(registry)
}
