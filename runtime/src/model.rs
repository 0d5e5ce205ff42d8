//! From a name in the zoo to a model that runs.

use crate::perceive::{Model, ModelInfo};
use afferent_measure::task::Classification;
use afferent_media::{Code, Error, Result};
use afferent_models::Store;
use afferent_models::zoo::Task;
use afferent_models_tract::TractNetwork;
use std::sync::Arc;

/// A model, loaded once; each worker gets a handle of its own.
pub struct Loaded {
    info: Arc<ModelInfo>,
    network: TractNetwork,
}

impl Loaded {
    /// Resolves, verifies and loads the model called `name`.
    ///
    /// # Errors
    /// Those of the store; [`Code::Model`] if the file does not load or has
    /// another contract than its manifest; [`Code::Unsupported`] for a task that
    /// this build cannot do.
    pub fn open(store: &Store, name: &str) -> Result<Self> {
        let resolved = store.resolve(name)?;
        let manifest = &resolved.manifest;
        let task = match manifest.task {
            Task::ImageClassification => Box::new(Classification::new(manifest.read_labels()?)),
            other => {
                return Err(Error::new(
                    Code::Unsupported,
                    format!("model `{name}` does {other}, which this build cannot"),
                    "choose a model for image classification",
                ));
            }
        };
        let (Some(preprocess), Some(input)) = (manifest.preprocess, manifest.inputs.first()) else {
            return Err(Error::new(
                Code::Config,
                format!("model `{name}` has no preprocessing in its manifest"),
                "say under `preprocess` how an image becomes its input",
            ));
        };
        let network = TractNetwork::load(&resolved.path)?;
        let info = ModelInfo {
            name: manifest.name.clone(),
            sha256: resolved.sha256.to_string(),
            preprocess,
            input: input.name.clone(),
            task,
            threads: 1,
        };
        Ok(Self { info: Arc::new(info), network })
    }

    /// A handle for one worker; the weights are shared.
    #[must_use]
    pub fn handle(&self) -> Model {
        Model { info: Arc::clone(&self.info), network: Box::new(self.network.clone()) }
    }
}
