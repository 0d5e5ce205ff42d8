//! Figures of how well a model does on a set of samples.

use super::rows::Seen;
use afferent_measure::Row;
use afferent_measure::stats::auc::auc;
use afferent_measure::task::detection::Ranking;
use afferent_measure::task::segmentation::NO_CLASS;
use afferent_measure::task::{Confusion, Matches};
use afferent_media::Result;

/// What is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Top1,
    Miou,
    Precision,
    Auc,
}

/// A figure of a model on a set of samples, and what it compares with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Figure {
    kind: Kind,
    /// Whether it compares with labels; otherwise with the pristine prediction.
    pub(crate) label: bool,
}

/// What one row says of its model's success.
#[derive(Debug, Clone, Default)]
pub(crate) struct Scores {
    agrees: Option<bool>,
    correct: Option<bool>,
    /// Probability of class 1, and whether that is the label; not a number where there is none.
    positive: (f64, bool),
    agreement: Option<Box<Statistics>>,
    label: Option<Box<Statistics>>,
}

/// A class's number, the pixels where prediction and reference both have it, and
/// the sum of the pixels of either.
type Overlap = (u8, f64, f64);

/// Sufficient statistics of masks and boxes.
#[derive(Debug, Clone)]
enum Statistics {
    Mask(Vec<Overlap>),
    Boxes(Matches),
}

impl Statistics {
    fn of(task: &str, text: Option<&String>) -> Result<Option<Box<Self>>> {
        let Some(text) = text else { return Ok(None) };
        Ok(match task {
            "segmentation" => Some(Self::Mask(overlaps(&text.parse()?))),
            "detection" => Some(Self::Boxes(text.parse()?)),
            _ => None,
        }
        .map(Box::new))
    }
}

/// What [`Confusion::iou_per_class`] divides, so that it can be summed over
/// drawn samples without their matrices.
#[allow(clippy::cast_precision_loss)]
fn overlaps(confusion: &Confusion) -> Vec<Overlap> {
    let mut sums = [(0.0, 0.0); 256];
    for (expected, predicted, count) in confusion.cells() {
        let count = count as f64;
        sums[usize::from(expected)].1 += count;
        sums[usize::from(predicted)].1 += count;
        if expected == predicted {
            sums[usize::from(expected)].0 += count;
        }
    }
    let classes = (0..NO_CLASS).zip(sums);
    classes.filter(|(_, (_, sum))| *sum > 0.0).map(|(class, (both, sum))| (class, both, sum)).collect()
}

impl Scores {
    /// # Errors
    /// [`Code::Corrupt`](afferent_media::Code::Corrupt) if statistics cannot be read.
    pub(crate) fn of(row: &Row) -> Result<Self> {
        // Perception got nothing from a sample that failed: a miss, not a gap.
        let missed = |reference: Option<u32>| (row.error.is_some() && reference.is_some()).then_some(false);
        let pristine = row.reference_kind == "pristine";
        let task = row.task.as_deref().unwrap_or_default();
        Ok(Self {
            agrees: row.agrees.or_else(|| missed(row.reference_index)).filter(|_| pristine),
            correct: row.correct.or_else(|| missed(row.label_index)),
            positive: row
                .positive_score
                .zip(row.label_index)
                .map_or((f64::NAN, false), |(score, label)| (score, label == 1)),
            agreement: Statistics::of(task, row.agreement_stats.as_ref())?,
            label: Statistics::of(task, row.label_stats.as_ref())?,
        })
    }
}

/// A figure as a function of how often each sample of the set counts; not a
/// number where it does not exist.
pub(crate) type Statistic<'a> = Box<dyn FnMut(&[u32]) -> f64 + 'a>;

impl Figure {
    /// All figures; those against labels first.
    pub(crate) const ALL: [Self; 7] = [
        Self { kind: Kind::Top1, label: true },
        Self { kind: Kind::Miou, label: true },
        Self { kind: Kind::Precision, label: true },
        Self { kind: Kind::Auc, label: true },
        Self { kind: Kind::Top1, label: false },
        Self { kind: Kind::Miou, label: false },
        Self { kind: Kind::Precision, label: false },
    ];

    /// Short id, for file names.
    pub(crate) fn id(self) -> &'static str {
        match (self.kind, self.label) {
            (Kind::Top1, true) => "accuracy",
            (Kind::Top1, false) => "agreement",
            (Kind::Miou, true) => "miou",
            (Kind::Miou, false) => "miou-agreement",
            (Kind::Precision, true) => "ap",
            (Kind::Precision, false) => "ap-agreement",
            (Kind::Auc, _) => "auc",
        }
    }

    /// What it is called on every screen: agreement is never called accuracy.
    pub(crate) fn name(self) -> &'static str {
        match (self.kind, self.label) {
            (Kind::Top1, true) => "top-1 accuracy",
            (Kind::Top1, false) => "top-1 agreement",
            (Kind::Miou, true) => "mIoU",
            (Kind::Miou, false) => "mIoU agreement",
            (Kind::Precision, true) => "AP",
            (Kind::Precision, false) => "AP agreement",
            (Kind::Auc, _) => "AUC",
        }
    }

    /// What it compares with.
    pub(crate) fn against(self) -> &'static str {
        if self.label { "with labels" } else { "with the pristine prediction" }
    }

    /// What it is, and the implementation that it is held to.
    pub(crate) fn definition(self) -> &'static str {
        match (self.kind, self.label) {
            (Kind::Top1, true) => {
                "Share of samples whose first class is the label. A sample that failed is a miss. Interval: Wilson's score \
                 interval (statsmodels, proportion_confint) where samples are independent, else the bootstrap over groups."
            }
            (Kind::Top1, false) => {
                "Share of samples whose first class is the one that the same model gives for the pristine sample: what \
                 coding changed, not whether the model is right. A sample that failed is a miss. Interval: as of accuracy."
            }
            (Kind::Miou, true) => {
                "Mean over classes of intersection over union, TP / (TP + FP + FN), of pixels summed over the set \
                 (Everingham et al. 2015); failed samples have none and are left out."
            }
            (Kind::Miou, false) => {
                "The same with the mask that the same model predicts for the pristine image as the reference."
            }
            (Kind::Precision, true) => {
                "COCO's average precision, IoU 0.50 to 0.95 (Lin et al. 2014). Reference: pycocotools; failed samples have \
                 none and are left out."
            }
            (Kind::Precision, false) => {
                "The same with the boxes that the same model predicts for the pristine image as the reference."
            }
            (Kind::Auc, _) => {
                "Area under the ROC curve: how probably a positive sample scores above a negative one, ties counting half \
                 (Hanley and McNeil 1982). Reference: scikit-learn, roc_auc_score."
            }
        }
    }

    /// Whether it is a share of hits.
    pub(crate) fn proportion(self) -> bool {
        self.kind == Kind::Top1
    }

    /// Whether it is of this sample.
    pub(crate) fn judges(self, scores: &Scores) -> bool {
        match self.kind {
            Kind::Top1 => self.hit(scores).is_some(),
            Kind::Auc => scores.positive.0.is_finite(),
            Kind::Miou => matches!(self.statistics(scores), Some(Statistics::Mask(_))),
            Kind::Precision => matches!(self.statistics(scores), Some(Statistics::Boxes(_))),
        }
    }

    /// Whether the sample is a hit, where there is something to hit.
    pub(crate) fn hit(self, scores: &Scores) -> Option<bool> {
        if self.label { scores.correct } else { scores.agrees }
    }

    fn statistics(self, scores: &Scores) -> Option<&Statistics> {
        if self.label { scores.label.as_deref() } else { scores.agreement.as_deref() }
    }

    /// The figure over `seen`, in percent.
    pub(crate) fn statistic(self, seen: &[Seen]) -> Statistic<'_> {
        let place = |seen: &Seen| seen.sample as usize;
        match self.kind {
            Kind::Top1 => {
                let hits: Vec<(usize, f64)> = seen
                    .iter()
                    .filter_map(|seen| Some((place(seen), f64::from(u8::from(self.hit(&seen.scores)?)))))
                    .collect();
                Box::new(move |weights| {
                    let (mut sum, mut n) = (0.0, 0.0);
                    for &(sample, hit) in &hits {
                        let weight = f64::from(weights[sample]);
                        n += weight;
                        sum += weight * hit;
                    }
                    100.0 * sum / n
                })
            }
            Kind::Miou => {
                let masks: Vec<(usize, &[Overlap])> = seen
                    .iter()
                    .filter_map(|seen| match self.statistics(&seen.scores)? {
                        Statistics::Mask(classes) => Some((place(seen), &classes[..])),
                        Statistics::Boxes(_) => None,
                    })
                    .collect();
                Box::new(move |weights| {
                    let mut sums = [(0.0, 0.0); 256];
                    for &(sample, classes) in &masks {
                        let weight = f64::from(weights[sample]);
                        for &(class, both, sum) in classes {
                            let class = &mut sums[usize::from(class)];
                            *class = (class.0 + weight * both, class.1 + weight * sum);
                        }
                    }
                    let present = sums.iter().filter(|(_, sum)| *sum > 0.0);
                    let (n, total) =
                        present.fold((0.0, 0.0), |(n, total), (both, sum)| (n + 1.0, total + both / (sum - both)));
                    100.0 * total / n
                })
            }
            Kind::Precision => {
                let (places, boxes): (Vec<usize>, Vec<&Matches>) = seen
                    .iter()
                    .filter_map(|seen| match self.statistics(&seen.scores)? {
                        Statistics::Boxes(matches) => Some((place(seen), matches)),
                        Statistics::Mask(_) => None,
                    })
                    .unzip();
                let ranking: Ranking = boxes.into_iter().collect();
                Box::new(move |weights| {
                    let weights: Vec<u32> = places.iter().map(|&sample| weights[sample]).collect();
                    ranking.average_precision(&weights).map_or(f64::NAN, |precision| 100.0 * precision.ap)
                })
            }
            Kind::Auc => {
                let mut scores: Vec<(usize, f64, bool)> = seen
                    .iter()
                    .filter(|seen| self.judges(&seen.scores))
                    .map(|seen| (place(seen), seen.scores.positive.0, seen.scores.positive.1))
                    .collect();
                // Drawn samples then come in order of score, which is quick to rank.
                scores.sort_by(|a, b| a.1.total_cmp(&b.1));
                Box::new(move |weights| {
                    let (scores, positive): (Vec<f64>, Vec<bool>) = scores
                        .iter()
                        .flat_map(|&(sample, score, positive)| {
                            std::iter::repeat_n((score, positive), weights[sample] as usize)
                        })
                        .unzip();
                    auc(&scores, &positive).map_or(f64::NAN, |area| 100.0 * area)
                })
            }
        }
    }
}
