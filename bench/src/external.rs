//! Codecs that are not linked but run as the tools of this machine, where it has
//! them: opponents in a comparison, no part of what Afferent ships.
//!
//! Their times include starting a process and passing files, which weighs most on
//! small images; their descriptors say `external`.

pub mod jxl;

use afferent_codec::Registry;

/// Adds the codecs whose tools are on the path.
pub fn register(registry: &mut Registry) {
    if let Some(jxl) = jxl::Jxl::find() {
        registry.add(jxl);
    }
}
