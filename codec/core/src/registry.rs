//! Codecs by id.

use crate::codec::Codec;
use afferent_media::{Code, Error, Result};
use std::collections::BTreeMap;
use std::sync::Arc;

/// The codecs of a program, by id and tier.
#[derive(Clone, Default)]
pub struct Registry {
    codecs: BTreeMap<&'static str, Vec<Arc<dyn Codec>>>,
}

impl Registry {
    /// An empty registry.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a codec. Among codecs of one id the one of the highest tier answers;
    /// among equals the one added last.
    pub fn add(&mut self, codec: impl Codec + 'static) {
        let same_id = self.codecs.entry(codec.descriptor().id).or_default();
        same_id.push(Arc::new(codec));
        same_id.sort_by_key(|codec| codec.descriptor().tier);
    }

    /// The codec that answers for `id`.
    ///
    /// # Errors
    /// [`Code::NotFound`], naming the ids that exist.
    pub fn get(&self, id: &str) -> Result<&Arc<dyn Codec>> {
        self.codecs.get(id).and_then(|same_id| same_id.last()).ok_or_else(|| {
            Error::new(
                Code::NotFound,
                format!("there is no codec `{id}` in this build"),
                format!("use one of: {}", self.codecs.keys().copied().collect::<Vec<_>>().join(", ")),
            )
        })
    }

    /// The codec that answers for each id, in order of id.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<dyn Codec>> {
        self.codecs.values().filter_map(|same_id| same_id.last())
    }
}
