//! Area under the ROC curve.

use super::correlation::places;
use super::{Bootstrap, Clusters, Interval, wrong};
use afferent_media::{Error, Result};

/// The area under the ROC curve: how probably a positive sample scores above a
/// negative one, ties counting half; Mann and Whitney's U over the number of
/// pairs (Hanley and McNeil 1982). From 0 to 1; 0.5 of a score that tells
/// nothing. In O(n log n).
///
/// # Errors
/// [`Code::Config`](afferent_media::Code::Config) if the lengths differ, a score
/// is not a number, or one of the classes is empty.
pub fn auc(scores: &[f64], positive: &[bool]) -> Result<f64> {
    let roc = Roc::new(scores, positive)?;
    roc.area(&vec![1; scores.len()]).ok_or_else(one_class)
}

/// [`auc`] with its bootstrap interval.
///
/// # Errors
/// As of [`auc`] and [`Bootstrap::interval`]: among others if more than 5 % of the
/// resamples lack a class.
pub fn auc_interval(scores: &[f64], positive: &[bool], clusters: &Clusters, bootstrap: &Bootstrap) -> Result<Interval> {
    let roc = Roc::new(scores, positive)?;
    clusters.expect_samples(scores.len())?;
    roc.area(&vec![1; scores.len()]).ok_or_else(one_class)?;
    bootstrap.interval(clusters, |weights| roc.area(weights))
}

fn one_class() -> Error {
    wrong("samples of one class have no area under a ROC curve", "measure positives and negatives")
}

/// Scores put in order once, for any number of resamples.
struct Roc<'a> {
    place: Vec<usize>,
    different: usize,
    positive: &'a [bool],
}

impl<'a> Roc<'a> {
    fn new(scores: &[f64], positive: &'a [bool]) -> Result<Self> {
        if scores.len() != positive.len() {
            return Err(wrong(
                format!("{} scores for {} samples", scores.len(), positive.len()),
                "give every sample a score and a class",
            ));
        }
        if let Some(sample) = scores.iter().position(|score| score.is_nan()) {
            return Err(wrong(format!("the score of sample {sample} is not a number"), "leave it out and say so"));
        }
        let (place, different) = places(scores);
        Ok(Self { place, different, positive })
    }

    #[allow(clippy::cast_precision_loss)]
    fn area(&self, weights: &[u32]) -> Option<f64> {
        let mut counts = vec![[0u64; 2]; self.different];
        for ((&place, &positive), &weight) in self.place.iter().zip(self.positive).zip(weights) {
            counts[place][usize::from(positive)] += u64::from(weight);
        }
        let (mut negatives, mut positives, mut half_wins) = (0u64, 0u64, 0u128);
        for [negative, positive] in counts {
            half_wins += u128::from(positive) * u128::from(2 * negatives + negative);
            negatives += negative;
            positives += positive;
        }
        let pairs = positives as f64 * negatives as f64;
        (pairs > 0.0).then(|| half_wins as f64 / 2.0 / pairs)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn perfect_reverse_and_all_ties() {
        let classes = [false, false, true, true];
        assert_eq!(auc(&[1.0, 2.0, 3.0, f64::INFINITY], &classes).unwrap(), 1.0);
        assert_eq!(auc(&[4.0, 3.0, 2.0, 1.0], &classes).unwrap(), 0.0);
        assert_eq!(auc(&[7.0; 4], &classes).unwrap(), 0.5);
    }

    #[test]
    fn what_has_no_area_says_why() {
        for (scores, positive, says) in [
            (&[][..], &[][..], "one class"),
            (&[1.0, 2.0], &[true, true], "one class"),
            (&[1.0, 2.0], &[false, false], "one class"),
            (&[1.0], &[true, false], "1 scores for 2"),
            (&[1.0, f64::NAN], &[true, false], "sample 1"),
        ] {
            let error = auc(scores, positive).unwrap_err();
            assert!(error.what().contains(says) && error.code() == afferent_media::Code::Config, "{error}");
            assert!(auc_interval(scores, positive, &Clusters::each(scores.len()), &Bootstrap::new(1)).is_err());
        }
        // One positive among ten is missing from a third of the resamples.
        let scores: Vec<f64> = (0..10).map(f64::from).collect();
        let positive: Vec<bool> = (0..10).map(|i| i == 9).collect();
        let error = auc_interval(&scores, &positive, &Clusters::each(10), &Bootstrap::new(1)).unwrap_err();
        assert!(error.what().contains("does not exist in"), "{error}");
    }

    proptest! {
        #[test]
        fn area_is_what_all_pairs_say(
            samples in prop::collection::vec((0u8..9, any::<bool>(), 0u32..4), 1..30),
        ) {
            let scores: Vec<f64> = samples.iter().map(|s| s.0.into()).collect();
            let positive: Vec<bool> = samples.iter().map(|s| s.1).collect();
            let weights: Vec<u32> = samples.iter().map(|s| s.2).collect();
            let (mut wins, mut pairs) = (0.0, 0.0);
            for a in samples.iter().filter(|s| s.1) {
                for b in samples.iter().filter(|s| !s.1) {
                    let weight = f64::from(a.2 * b.2);
                    pairs += weight;
                    wins += weight * if a.0 == b.0 { 0.5 } else { f64::from(u8::from(a.0 > b.0)) };
                }
            }
            let area = Roc::new(&scores, &positive).unwrap().area(&weights);
            prop_assert_eq!(area.is_some(), pairs > 0.0);
            if let Some(area) = area {
                prop_assert!((area - wins / pairs).abs() < 1e-12);
                let reversed: Vec<bool> = positive.iter().map(|positive| !positive).collect();
                let other = Roc::new(&scores, &reversed).unwrap().area(&weights).unwrap();
                prop_assert!((area + other - 1.0).abs() < 1e-12);
            }
        }
    }
}
