//! Classes of a whole sample.

use super::{Prediction, Score, ScoredClass, Task, contract, no_number, not_of_this_task, only_output};
use afferent_media::{Code, Error, Result, Tensor};
use std::cmp::Ordering;

/// Raised whenever equal logits may rank or weigh otherwise.
const IMPLEMENTATION: u32 = 1;

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

    fn description(&self) -> String {
        format!("classification/{IMPLEMENTATION} softmax top {TOP} {:?}", self.labels)
    }

    /// Takes the only output, of shape `[classes]` or `[1, classes]`: logits.
    /// Among equal logits the lowest class number ranks first. The size of the
    /// source is not asked for.
    fn predict(&self, outputs: &[(String, Tensor)], _image: (u32, u32)) -> Result<Prediction> {
        let (name, tensor) = only_output(self.id(), outputs)?;
        let logits = tensor.data();
        if logits.is_empty() || logits.len() != self.classes() || tensor.shape().last() != Some(&logits.len()) {
            return Err(contract(format!(
                "output `{name}` of shape {:?} holds no logits of one sample over {} classes",
                tensor.shape(),
                self.classes()
            )));
        }
        if let Some(index) = logits.iter().position(|logit| logit.is_nan()) {
            return Err(no_number(name, format_args!("class {index}")));
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
        let (Prediction::Classes(classes), Prediction::Classes(_)) = (prediction, reference) else {
            return Err(not_of_this_task(self.id(), prediction, reference));
        };
        let Some(expected) = reference.top1() else {
            return Err(Error::new(
                Code::Config,
                "the reference names no class",
                "give the prediction on the pristine sample, or a label",
            ));
        };
        let found = classes.iter().find(|class| class.index == expected);
        Ok(Score::Classes {
            top1: prediction.top1() == Some(expected),
            top5: found.is_some(),
            probability: found.map(|class| class.probability),
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

    fn predict(task: &Classification, outputs: &[(String, Tensor)]) -> Result<Vec<ScoredClass>> {
        match task.predict(outputs, (640, 480))? {
            Prediction::Classes(classes) => Ok(classes),
            other => panic!("{other:?}"),
        }
    }

    fn indices(classes: &[ScoredClass]) -> Vec<u32> {
        classes.iter().map(|class| class.index).collect()
    }

    #[test]
    fn the_best_five_come_first_and_ties_go_to_the_lower_class() {
        let prediction = predict(&task(7), &outputs(&[1, 7], &[-0.0, 3.0, 3.0, -1.0, 5.0, 0.0, 0.0])).unwrap();
        assert_eq!(indices(&prediction), [4, 1, 2, 0, 5]);
        let equal = predict(&task(7), &outputs(&[7], &[2.0; 7])).unwrap();
        assert_eq!(indices(&equal), [0, 1, 2, 3, 4]);
        assert!((equal[0].probability - 1.0 / 7.0).abs() < 1e-12);
        assert_eq!(indices(&predict(&task(2), &outputs(&[2], &[-0.5, 0.5])).unwrap()), [1, 0]);
    }

    #[test]
    fn probabilities_are_a_softmax_and_survive_great_logits() {
        let classes = predict(&task(3), &outputs(&[3], &[1000.0, 1000.0 - 2f32.ln(), -1000.0])).unwrap();
        assert!((classes[0].probability - 2.0 / 3.0).abs() < 1e-4);
        assert_eq!(classes[2].probability, 0.0);
        let classes = predict(&task(2), &outputs(&[2], &[f32::INFINITY, 0.0])).unwrap();
        assert_eq!((classes[0].probability, classes[1].probability), (1.0, 0.0));
    }

    #[test]
    fn what_is_no_logits_of_one_sample_is_refused() {
        let refused = |outputs: &[(String, Tensor)]| predict(&task(3), outputs).unwrap_err();
        assert_eq!(refused(&[]).code(), Code::Model);
        assert_eq!(refused(&outputs(&[4], &[0.0; 4])).code(), Code::Model);
        assert_eq!(refused(&outputs(&[3, 1], &[0.0; 3])).code(), Code::Model);
        let error = refused(&outputs(&[3], &[0.0, f32::NAN, 0.0]));
        assert_eq!(error.code(), Code::Model);
        assert!(error.what().contains("class 1"), "{error}");
        assert_eq!(predict(&task(0), &outputs(&[0], &[])).unwrap_err().code(), Code::Model);
    }

    #[test]
    fn a_score_counts_first_and_fifth_place() {
        let task = task(7);
        let ranked = outputs(&[7], &[7.0, 6.0, 5.0, 4.0, 3.0, 2.0, 1.0]);
        let prediction = task.predict(&ranked, (1, 1)).unwrap();
        let Prediction::Classes(classes) = &prediction else { panic!("{prediction:?}") };
        let score = |class| task.score(&prediction, &Prediction::class(class)).unwrap();
        let probability = |place: usize| Some(classes[place].probability);
        assert_eq!(score(0), Score::Classes { top1: true, top5: true, probability: probability(0) });
        assert_eq!(score(4), Score::Classes { top1: false, top5: true, probability: probability(4) });
        assert_eq!(score(5), Score::Classes { top1: false, top5: false, probability: None });
        assert_eq!((score(0).sample(), score(1).sample(), score(0).statistics()), (Some(1.0), Some(0.0), None));
        assert_eq!(task.score(&prediction, &Prediction::Classes(vec![])).unwrap_err().code(), Code::Config);
        assert_eq!((task.label(6), task.label(7)), (Some("class 6"), None));
    }
}
