//! Tasks: from a network's tensors to a prediction, from a prediction and its
//! reference to a score.
//!
//! A [`Score`] holds *sufficient statistics* of one sample, never a figure of a
//! set: masks are scored from one matrix over the set ([`Confusion`]), boxes
//! from the ranking of all detections ([`Matches`]). Both have a stable text
//! form, which rows carry, and set-level figures as functions of what is merged.

pub mod classification;
pub mod detection;
pub mod segmentation;

pub use classification::Classification;
pub use detection::{DetectedBox, Detection, Matches};
pub use segmentation::{Confusion, LabelMap, Segmentation};

use afferent_media::{Code, Error, Result, Tensor};
use sha2::{Digest, Sha256};

/// What a prediction is compared with. Every figure says which.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ReferenceKind {
    /// The same model's prediction on the sample before coding: *agreement*.
    Pristine,
    /// Ground truth from the manifest: *accuracy*.
    Label,
    /// Nothing to compare with.
    None,
}

impl ReferenceKind {
    /// As rows write it: `pristine`, `label` or `none`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pristine => "pristine",
            Self::Label => "label",
            Self::None => "none",
        }
    }
}

/// One class and how probable the model finds it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ScoredClass {
    /// Number of the class in the task's label order.
    pub index: u32,
    /// Softmax probability, 0 to 1.
    pub probability: f64,
}

/// What a model saw, or what ground truth says is there. Words and stems join
/// here with their tasks.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Prediction {
    /// Classes, most probable first; at most five. Ground truth is one class of
    /// probability 1.
    Classes(Vec<ScoredClass>),
    /// A class for every pixel of the source image.
    Mask(LabelMap),
    /// Boxes in the source image, highest score first. Ground truth has score 1.
    Boxes(Vec<DetectedBox>),
}

impl Prediction {
    /// The one class `index`, as ground truth states it.
    #[must_use]
    pub fn class(index: u32) -> Self {
        Self::Classes(vec![ScoredClass { index, probability: 1.0 }])
    }

    /// The class ranked first, where there is one.
    #[must_use]
    pub fn top1(&self) -> Option<u32> {
        match self {
            Self::Classes(classes) => classes.first().map(|class| class.index),
            _ => None,
        }
    }

    /// What a model would have said that saw nothing, to be held against this
    /// reference: a mask without classes, no boxes. `None` of classes, where no
    /// prediction already counts as a miss.
    #[must_use]
    pub fn nothing_seen(&self) -> Option<Self> {
        match self {
            Self::Classes(_) => None,
            Self::Mask(mask) => Some(Self::Mask(mask.without_classes())),
            Self::Boxes(_) => Some(Self::Boxes(Vec::new())),
        }
    }

    /// What it consists of, for messages.
    const fn kind(&self) -> &'static str {
        match self {
            Self::Classes(_) => "classes",
            Self::Mask(_) => "a mask",
            Self::Boxes(_) => "boxes",
        }
    }
}

/// How a prediction did against its reference: what a set-level figure needs
/// of one sample, not a figure itself.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Score {
    /// Whether the reference's class is ranked first, and among the first five.
    Classes {
        /// Ranked first.
        top1: bool,
        /// Among the first five.
        top5: bool,
        /// Probability that the prediction gives the reference's class, 0 to 1;
        /// `None` where it is not among the classes kept.
        probability: Option<f64>,
    },
    /// Pixels by class of the reference and of the prediction.
    Mask(Confusion),
    /// Detections, and which of them found a box of the reference.
    Boxes(Matches),
}

impl Score {
    /// The statistics as a row's text; `None` of classes, whose statistics have
    /// columns of their own.
    #[must_use]
    pub fn statistics(&self) -> Option<String> {
        match self {
            Self::Classes { .. } => None,
            Self::Mask(confusion) => Some(confusion.to_string()),
            Self::Boxes(matches) => Some(matches.to_string()),
        }
    }

    /// How well this one sample did, 0 to 1: the top-1 hit,
    /// [`Confusion::pixel_accuracy`] or [`Matches::f1`]. It finds the worst
    /// samples of a set; its mean is *not* the set's figure. `None` where the
    /// reference is empty.
    #[must_use]
    pub fn sample(&self) -> Option<f64> {
        match self {
            Self::Classes { top1, .. } => Some(f64::from(u8::from(*top1))),
            Self::Mask(confusion) => confusion.pixel_accuracy(),
            Self::Boxes(matches) => matches.f1(),
        }
    }
}

/// What a model is asked to do.
pub trait Task: Send + Sync {
    /// Stable id, for example `classification`.
    fn id(&self) -> &'static str;

    /// How tensors become predictions, and predictions scores, written out in
    /// full: version of the implementation, options, labels. Equal descriptions
    /// mean equal predictions of equal tensors.
    fn description(&self) -> String;

    /// The first 16 hexadecimal digits of the SHA-256 of
    /// [`description`](Self::description), as rows carry it.
    fn digest(&self) -> String {
        Sha256::digest(self.description().as_bytes()).iter().take(8).map(|byte| format!("{byte:02x}")).collect()
    }

    /// Reads a prediction out of the network's named output tensors, for one
    /// sample whose source has the size `image`: width and height in pixels.
    ///
    /// # Errors
    /// [`Code::Model`] if an output is missing, has another shape than the task
    /// asks for, or holds values that are no numbers. [`Code::Config`] if there
    /// can be no image of that size, where the task asks for it.
    fn predict(&self, outputs: &[(String, Tensor)], image: (u32, u32)) -> Result<Prediction>;

    /// Ground truth as a data set states it, in the classes of this task.
    ///
    /// # Errors
    /// [`Code::Config`] if it is not of this task.
    fn ground_truth(&self, truth: Prediction) -> Result<Prediction> {
        Ok(truth)
    }

    /// Compares `prediction` with `reference`, whichever kind of reference it
    /// is; ground truth goes through [`ground_truth`](Self::ground_truth) first.
    ///
    /// # Errors
    /// [`Code::Config`] if either is not of this task, or their sizes differ.
    fn score(&self, prediction: &Prediction, reference: &Prediction) -> Result<Score>;

    /// The name of class `index`, for tasks with classes.
    fn label(&self, index: u32) -> Option<&str>;
}

/// That a network's output is not what `task` reads.
fn contract(what: String) -> Error {
    Error::new(Code::Model, what, "check the model's output contract against its labels and options in the zoo")
}

/// The only output of a network, for `task`.
fn only_output<'a>(task: &str, outputs: &'a [(String, Tensor)]) -> Result<(&'a str, &'a Tensor)> {
    match outputs {
        [(name, tensor)] => Ok((name, tensor)),
        _ => Err(contract(format!("{task} reads one output, the network has {}", outputs.len()))),
    }
}

/// That output `name` holds something that is no number, at `place`.
fn no_number(name: &str, place: impl std::fmt::Display) -> Error {
    Error::new(
        Code::Model,
        format!("output `{name}` is not a finite number at {place}"),
        "check the preprocessing and the provider: half precision may overflow",
    )
}

/// That `task` was given what is not its own to compare.
fn not_of_this_task(task: &str, prediction: &Prediction, reference: &Prediction) -> Error {
    Error::new(
        Code::Config,
        format!("{task} cannot compare {} with {}", prediction.kind(), reference.kind()),
        "give the prediction of this task on the pristine sample, or its ground truth",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tasks_refuse_what_is_not_theirs_and_digests_tell_them_apart() {
        let two = Classification::new(vec!["a".to_owned(), "b".to_owned()]);
        let mask = Prediction::Mask(LabelMap::new(1, 1, vec![0]).unwrap());
        let error = two.score(&Prediction::class(0), &mask).unwrap_err();
        assert_eq!(error.code(), Code::Config);
        assert!(error.what().contains("classes with a mask"), "{error}");
        assert_eq!(two.digest().len(), 16);
        assert_ne!(two.digest(), Classification::new(vec!["a".to_owned()]).digest());
        assert_eq!((mask.top1(), Prediction::Boxes(vec![]).top1()), (None, None));
    }
}
