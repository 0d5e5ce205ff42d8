//! Tasks: from a network's tensors to a prediction, from a prediction and its
//! reference to a score.

use afferent_media::{Code, Error, Result, Tensor};
use std::cmp::Ordering;

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

/// What a model saw. Masks, boxes, words and stems join here with their tasks.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Prediction {
    /// Classes, most probable first; at most five. Ground truth is one class of
    /// probability 1.
    Classes(Vec<ScoredClass>),
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
        let Self::Classes(classes) = self;
        classes.first().map(|class| class.index)
    }
}

/// How a prediction did against its reference: what a set-level figure needs
/// of one sample, not a figure itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Score {
    /// Whether the reference's class is ranked first, and among the first five.
    Classes {
        /// Ranked first.
        top1: bool,
        /// Among the first five.
        top5: bool,
    },
}

/// What a model is asked to do.
pub trait Task: Send + Sync {
    /// Stable id, for example `classification`.
    fn id(&self) -> &'static str;

    /// Reads a prediction out of the network's named output tensors, for one sample.
    ///
    /// # Errors
    /// [`Code::Model`] if an output is missing, has another shape than the task
    /// asks for, or holds values that are no numbers.
    fn predict(&self, outputs: &[(String, Tensor)]) -> Result<Prediction>;

    /// Compares `prediction` with `reference`, whichever kind of reference it is.
    ///
    /// # Errors
    /// [`Code::Config`] if either is not of this task.
    fn score(&self, prediction: &Prediction, reference: &Prediction) -> Result<Score>;

    /// The name of class `index`, for tasks with classes.
    fn label(&self, index: u32) -> Option<&str>;
}

/// Which one of many classes a sample shows: top-1 and top-5 of the logits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Classification {
    labels: Vec<String>,
}

impl Classification {
    /// The task over classes named `labels`, in the order of the network's outputs.
    #[must_use]
    pub fn new(labels: Vec<String>) -> Self {
        Self { labels }
    }

    /// How many classes there are.
    #[must_use]
    pub fn classes(&self) -> usize {
        self.labels.len()
    }
}

impl Task for Classification {
    fn id(&self) -> &'static str {
        "classification"
    }

    /// Takes the only output, of shape `[classes]` or `[1, classes]`: logits.
    /// Among equal logits the lowest class number ranks first.
    fn predict(&self, outputs: &[(String, Tensor)]) -> Result<Prediction> {
        let contract = |what: String| {
            Error::new(Code::Model, what, "check the model's output contract against its labels in the zoo")
        };
        let [(name, tensor)] = outputs else {
            return Err(contract(format!("classification reads one output, the network has {}", outputs.len())));
        };
        let logits = tensor.data();
        if logits.is_empty() || logits.len() != self.classes() || tensor.shape().last() != Some(&logits.len()) {
            return Err(contract(format!(
                "output `{name}` of shape {:?} holds no logits of one sample over {} classes",
                tensor.shape(),
                self.classes()
            )));
        }
        if let Some(index) = logits.iter().position(|logit| logit.is_nan()) {
            return Err(Error::new(
                Code::Model,
                format!("output `{name}` is not a number at class {index}"),
                "check the preprocessing and the provider: half precision may overflow",
            ));
        }
        let mut order: Vec<usize> = (0..logits.len()).collect();
        let rank =
            |&a: &usize, &b: &usize| logits[b].partial_cmp(&logits[a]).unwrap_or(Ordering::Equal).then(a.cmp(&b));
        let best = order.len().min(TOP);
        if best < order.len() {
            order.select_nth_unstable_by(best, rank);
            order.truncate(best);
        }
        order.sort_unstable_by(rank);
        let probability = softmax(logits);
        let classes = order.into_iter().filter_map(|class| {
            Some(ScoredClass { index: u32::try_from(class).ok()?, probability: probability(logits[class]) })
        });
        Ok(Prediction::Classes(classes.collect()))
    }

    fn score(&self, prediction: &Prediction, reference: &Prediction) -> Result<Score> {
        let Prediction::Classes(classes) = prediction;
        let Some(expected) = reference.top1() else {
            return Err(Error::new(
                Code::Config,
                "the reference names no class",
                "give the prediction on the pristine sample, or a label",
            ));
        };
        Ok(Score::Classes {
            top1: prediction.top1() == Some(expected),
            top5: classes.iter().any(|class| class.index == expected),
        })
    }

    fn label(&self, index: u32) -> Option<&str> {
        self.labels.get(usize::try_from(index).ok()?).map(String::as_str)
    }
}

/// How many classes a prediction keeps.
const TOP: usize = 5;

/// The softmax probability of a logit among `logits`, in 64-bit floats. Where
/// the greatest logit is infinite, the infinite ones share the probability.
#[allow(clippy::cast_precision_loss)]
fn softmax(logits: &[f32]) -> impl Fn(f32) -> f64 {
    let greatest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let weight = move |logit: f32| {
        if logit == greatest { 1.0 } else { (f64::from(logit) - f64::from(greatest)).exp() }
    };
    let sum: f64 = logits.iter().copied().map(weight).sum();
    move |logit| weight(logit) / sum
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outputs(shape: &[usize], logits: &[f32]) -> Vec<(String, Tensor)> {
        vec![("out".to_owned(), Tensor::new(shape, logits.to_vec()).unwrap())]
    }

    fn task(classes: usize) -> Classification {
        Classification::new((0..classes).map(|class| format!("class {class}")).collect())
    }

    fn indices(prediction: &Prediction) -> Vec<u32> {
        let Prediction::Classes(classes) = prediction;
        classes.iter().map(|class| class.index).collect()
    }

    #[test]
    fn the_best_five_come_first_and_ties_go_to_the_lower_class() {
        let prediction = task(7).predict(&outputs(&[1, 7], &[-0.0, 3.0, 3.0, -1.0, 5.0, 0.0, 0.0])).unwrap();
        assert_eq!(indices(&prediction), [4, 1, 2, 0, 5]);
        let equal = task(7).predict(&outputs(&[7], &[2.0; 7])).unwrap();
        assert_eq!(indices(&equal), [0, 1, 2, 3, 4]);
        let Prediction::Classes(classes) = &equal;
        assert!((classes[0].probability - 1.0 / 7.0).abs() < 1e-12);
        assert_eq!(indices(&task(2).predict(&outputs(&[2], &[-0.5, 0.5])).unwrap()), [1, 0]);
    }

    #[test]
    fn probabilities_are_a_softmax_and_survive_great_logits() {
        let prediction = task(3).predict(&outputs(&[3], &[1000.0, 1000.0 - 2f32.ln(), -1000.0])).unwrap();
        let Prediction::Classes(classes) = prediction;
        assert!((classes[0].probability - 2.0 / 3.0).abs() < 1e-4);
        assert_eq!(classes[2].probability, 0.0);
        let Prediction::Classes(classes) = task(2).predict(&outputs(&[2], &[f32::INFINITY, 0.0])).unwrap();
        assert_eq!((classes[0].probability, classes[1].probability), (1.0, 0.0));
    }

    #[test]
    fn what_is_no_logits_of_one_sample_is_refused() {
        let refused = |outputs: &[(String, Tensor)]| task(3).predict(outputs).unwrap_err();
        assert_eq!(refused(&[]).code(), Code::Model);
        assert_eq!(refused(&outputs(&[4], &[0.0; 4])).code(), Code::Model);
        assert_eq!(refused(&outputs(&[3, 1], &[0.0; 3])).code(), Code::Model);
        let error = refused(&outputs(&[3], &[0.0, f32::NAN, 0.0]));
        assert_eq!(error.code(), Code::Model);
        assert!(error.what().contains("class 1"), "{error}");
        assert_eq!(task(0).predict(&outputs(&[0], &[])).unwrap_err().code(), Code::Model);
    }

    #[test]
    fn a_score_counts_first_and_fifth_place() {
        let task = task(7);
        let prediction = task.predict(&outputs(&[7], &[7.0, 6.0, 5.0, 4.0, 3.0, 2.0, 1.0])).unwrap();
        let score = |class| task.score(&prediction, &Prediction::class(class)).unwrap();
        assert_eq!(score(0), Score::Classes { top1: true, top5: true });
        assert_eq!(score(4), Score::Classes { top1: false, top5: true });
        assert_eq!(score(5), Score::Classes { top1: false, top5: false });
        assert_eq!(task.score(&prediction, &Prediction::Classes(vec![])).unwrap_err().code(), Code::Config);
        assert_eq!((task.label(6), task.label(7)), (Some("class 6"), None));
    }
}
