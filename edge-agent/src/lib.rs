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

pub use agent::{Outcome, run};
pub use config::{Config, Layers};
pub use stop::Stop;

/// The codecs of the agent: none needs an inference engine.
#[must_use]
pub fn registry() -> afferent_codec::Registry {
    let mut registry = afferent_codec_conventional::registry();
    afferent_codec_default::register(&mut registry);
    registry
}

/// Those, and the encoders that `config` names.
///
/// # Errors
/// Those of [`afferent_codec_gstreamer::add`]: an encoder is unknown or not there.
pub fn registry_with(config: &config::Encode) -> afferent_media::Result<afferent_codec::Registry> {
    let mut registry = registry();
    for element in &config.gstreamer {
        afferent_codec_gstreamer::add(&mut registry, element).map_err(|e| e.at("encode.gstreamer"))?;
    }
    Ok(registry)
}
