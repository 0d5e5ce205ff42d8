//! From a name in the zoo to a model that runs.

use crate::backend::{Backend, Engine};
use crate::perceive::{Model, ModelInfo, Similarity};
use afferent_measure::metrics::deep::DeepSimilarity;
use afferent_measure::task::detection::{self, BoxDecoder, Detection, DetectionSpec};
use afferent_measure::task::segmentation::{MaskOutput, Segmentation, SegmentationSpec};
use afferent_measure::task::{Classification, Task};
use afferent_media::preprocess::Region;
use afferent_media::{Code, Error, Result};
use afferent_models::zoo::ModelManifest;
use afferent_models::{Store, zoo};
use std::sync::Arc;

/// A model, loaded once; each worker gets a handle of its own.
pub struct Loaded {
    info: Arc<ModelInfo>,
    engine: Engine,
}

impl Loaded {
    /// Resolves, verifies and loads the model called `name`.
    ///
    /// # Errors
    /// Those of the store; [`Code::Model`] if the file does not load or takes
    /// another input than its manifest says; [`Code::Unsupported`] for a task
    /// that this build cannot do.
    pub fn open(store: &Store, backend: &Backend, name: &str) -> Result<Self> {
        let resolved = store.resolve(name)?;
        let manifest = &resolved.manifest;
        let (Some(preprocess), Some(input)) = (manifest.preprocess, manifest.inputs.first()) else {
            return Err(Error::new(
                Code::Config,
                format!("model `{name}` has no preprocessing in its manifest"),
                "say under `preprocess` how an image becomes its input",
            ));
        };
        let engine = backend.load(&resolved.path)?;
        let fits = |(known, axes): &(String, Vec<Option<usize>>)| {
            let shape = preprocess.shape();
            *known == input.name
                && axes.len() == shape.len()
                && axes.iter().zip(shape).all(|(axis, length)| axis.is_none_or(|axis| axis == length))
        };
        if !engine.inputs().iter().any(fits) {
            return Err(Error::new(
                Code::Model,
                format!(
                    "model `{name}` takes {:?}, and its manifest would give `{}` of shape {:?}",
                    engine.inputs(),
                    input.name,
                    preprocess.shape()
                ),
                "correct `inputs` and `preprocess` in its manifest",
            ));
        }
        let info = ModelInfo {
            name: manifest.name.clone(),
            sha256: resolved.sha256.to_string(),
            preprocess,
            input: input.name.clone(),
            task: task(manifest)?,
            threads: 1,
        };
        Ok(Self { info: Arc::new(info), engine })
    }

    /// A handle for one worker.
    ///
    /// # Errors
    /// Those of the backend.
    pub fn handle(&self) -> Result<Model> {
        Ok(Model { info: Arc::clone(&self.info), network: self.engine.network()? })
    }
}

/// A learnt distance between images, loaded once; each worker gets a handle of its own.
pub struct LoadedSimilarity {
    metric: DeepSimilarity,
    sha256: String,
    engine: Engine,
}

impl LoadedSimilarity {
    /// Resolves, verifies and loads the network of the metric that the zoo calls
    /// `name`: `st-lpips-alex`, or `lpips-alex` or `lpips-vgg` of a user's zoo.
    ///
    /// # Errors
    /// Those of the store and the backend; [`Code::Unsupported`] for another name.
    pub fn open(store: &Store, backend: &Backend, name: &str) -> Result<Self> {
        let metric = match name {
            "st-lpips-alex" => DeepSimilarity::ST_LPIPS_ALEX,
            "lpips-alex" => DeepSimilarity::LPIPS_ALEX,
            "lpips-vgg" => DeepSimilarity::LPIPS_VGG,
            _ => {
                return Err(Error::new(
                    Code::Unsupported,
                    format!("`{name}` is no known distance between images"),
                    "use st-lpips-alex, or lpips-alex or lpips-vgg of a zoo of your own",
                ));
            }
        };
        let resolved = store.resolve(name)?;
        Ok(Self { metric, sha256: resolved.sha256.to_string(), engine: backend.load_sized(&resolved.path)? })
    }

    /// A handle for one worker.
    ///
    /// # Errors
    /// Those of the backend.
    pub fn handle(&self) -> Result<Similarity> {
        Ok(Similarity { metric: self.metric, sha256: self.sha256.clone(), network: self.engine.network()? })
    }
}

/// What the manifest says that the model's answers mean.
fn task(manifest: &ModelManifest) -> Result<Box<dyn Task>> {
    let missing = |key: &str| {
        Error::new(
            Code::Config,
            format!("model `{}` does {}, and its manifest has no `{key}`", manifest.name, manifest.task),
            "write it as the built-in zoo does",
        )
    };
    if manifest.task != zoo::Task::ImageClassification
        && manifest.preprocess.is_none_or(|preprocess| preprocess.crop != Region::Whole)
    {
        return Err(Error::new(
            Code::Config,
            format!("model `{}` does {}, and sees a part of the image only", manifest.name, manifest.task),
            "say `crop = \"whole\"`: places in its answer are places in the whole image",
        ));
    }
    match manifest.task {
        zoo::Task::ImageClassification => Ok(Box::new(Classification::new(manifest.read_labels()?))),
        zoo::Task::ImageSegmentation => {
            let said = manifest.segmentation.as_ref().ok_or_else(|| missing("segmentation"))?;
            let map = |text: Option<String>| text.map(|text| text.parse()).transpose();
            let spec = SegmentationSpec {
                output: match said.output {
                    zoo::SegmentationOutput::Classes => MaskOutput::Indices,
                    _ => MaskOutput::Logits,
                },
                prediction_map: map(said.read_prediction_map()?)?,
                reference_map: map(said.read_reference_map()?)?,
            };
            Ok(Box::new(Segmentation::new(spec, said.read_classes()?)?))
        }
        zoo::Task::ObjectDetection => {
            let said = manifest.detection.as_ref().ok_or_else(|| missing("detection"))?;
            let spec = DetectionSpec {
                decoder: BoxDecoder::Fastestdet,
                // Average precision ranks them all; what is below this ranks nothing.
                min_score: 0.05,
                max_overlap: f64::from(said.nms_iou),
                max_boxes: detection::MAX_DETECTIONS,
                reference_score: f64::from(said.score),
            };
            Ok(Box::new(Detection::new(spec, manifest.read_labels()?)?))
        }
        other => Err(Error::new(
            Code::Unsupported,
            format!("model `{}` does {other}, which perceives nothing", manifest.name),
            "choose a model that classifies, segments or detects",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use afferent_models::Zoo;

    #[test]
    fn every_model_of_the_zoo_has_a_task() {
        for manifest in Zoo::built_in().unwrap().models() {
            let perceives = !matches!(manifest.task, zoo::Task::ImageSimilarity | zoo::Task::ImageSynthesis);
            assert_eq!(task(manifest).is_ok(), perceives, "{}", manifest.name);
        }
    }
}
