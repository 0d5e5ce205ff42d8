//! Boxes around things.
//!
//! Average precision is that of COCO (Lin et al. 2014), as `pycocotools` 2.0
//! computes it for boxes, all areas and at most 100 detections per class and
//! image; `golden/detection.py` holds this module to it. Crowds are not supported.

use super::{Prediction, Score, Task, contract, no_number, not_of_this_task, only_output};
use afferent_media::{Code, Error, Result, Tensor};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

/// Raised whenever equal tensors may make other boxes.
const IMPLEMENTATION: u32 = 1;

/// Thresholds of intersection over union: 0.50, 0.55, … 0.95.
pub const THRESHOLDS: usize = 10;

/// Most detections of one class that are judged in one image.
pub const MAX_DETECTIONS: usize = 100;

/// A box around one thing.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct DetectedBox {
    /// Number of the class in the task's label order.
    pub class: u32,
    /// How sure the model is; 1 for ground truth.
    pub score: f64,
    /// Left edge, in pixels of the source image.
    pub x0: f32,
    /// Upper edge.
    pub y0: f32,
    /// Right edge; not left of `x0`.
    pub x1: f32,
    /// Lower edge; not above `y0`.
    pub y1: f32,
}

impl DetectedBox {
    /// Intersection over union with `other`, of areas; 0 where they only touch.
    #[must_use]
    pub fn iou(&self, other: &Self) -> f64 {
        let span = |low: f32, high: f32| f64::from(high) - f64::from(low);
        let area = |b: &Self| span(b.x0, b.x1) * span(b.y0, b.y1);
        let width = span(self.x0.max(other.x0), self.x1.min(other.x1));
        let height = span(self.y0.max(other.y0), self.y1.min(other.y1));
        if width <= 0.0 || height <= 0.0 {
            return 0.0;
        }
        let both = width * height;
        both / (area(self) + area(other) - both)
    }

    /// Whether score and edges are finite and the edges in order.
    fn is_proper(&self) -> bool {
        let edges = [self.x0, self.y0, self.x1, self.y1];
        self.score.is_finite() && edges.iter().all(|e| e.is_finite()) && self.x0 <= self.x1 && self.y0 <= self.y1
    }
}

/// One detection, and what it found.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Ranked {
    score: f64,
    /// Bit `i`: at the `i`th threshold it found a box that no better one had found.
    hits: u16,
}

/// What one class amounts to in one image.
#[derive(Debug, Clone, Default, PartialEq)]
struct Found {
    references: u64,
    /// Best first.
    detections: Vec<Ranked>,
}

/// The detections of one image with their scores and which of them are right,
/// and how many boxes there were to find: the sufficient statistic of
/// [`average_precision`].
///
/// Its text has a word per class, `class:references:score/hits,score/hits,…`,
/// in order of class and descending score, separated by spaces; `hits` is a
/// hexadecimal number whose bit `i` tells whether the detection is right at the
/// threshold `0.5 + 0.05 i`.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Matches(BTreeMap<u32, Found>);

impl Matches {
    /// Matches the detections of one image with the boxes to find, class by
    /// class and for each threshold apart, as COCO does: the best detection
    /// first (among equal scores the one given first), each takes the box that
    /// it overlaps most among those not taken (among equal overlaps the last),
    /// if the overlap reaches the threshold. Of a class, the best
    /// [`MAX_DETECTIONS`] count.
    ///
    /// # Errors
    /// [`Code::Config`] if a score or an edge is not finite, or edges are not in order.
    pub fn find(detections: &[DetectedBox], references: &[DetectedBox]) -> Result<Self> {
        if let Some(bad) = detections.iter().chain(references).find(|found| !found.is_proper()) {
            return Err(Error::new(
                Code::Config,
                format!("{bad:?} is no box"),
                "give finite edges, left before right and upper before lower, and a finite score",
            ));
        }
        let mut by_class = BTreeMap::<u32, (Vec<&DetectedBox>, Vec<&DetectedBox>)>::new();
        for detection in detections {
            by_class.entry(detection.class).or_default().0.push(detection);
        }
        for reference in references {
            by_class.entry(reference.class).or_default().1.push(reference);
        }
        Ok(Self(by_class.into_iter().map(|(class, (found, there))| (class, match_class(found, &there))).collect()))
    }

    /// F1 of the `R` best detections at a threshold of 0.5, where `R` is the
    /// number of boxes to find: there precision and recall balance, whatever a
    /// model's scores mean. `None` where there was nothing to find.
    #[must_use]
    #[allow(clippy::cast_precision_loss)]
    pub fn f1(&self) -> Option<f64> {
        let references = self.0.values().fold(0u64, |sum, found| sum.saturating_add(found.references));
        let mut best: Vec<&Ranked> = self.0.values().flat_map(|found| &found.detections).collect();
        best.sort_by(|a, b| b.score.total_cmp(&a.score));
        best.truncate(usize::try_from(references).unwrap_or(usize::MAX));
        let right = best.iter().filter(|detection| detection.hits & 1 != 0).count();
        (references > 0).then(|| 2.0 * right as f64 / (best.len() as f64 + references as f64))
    }
}

fn match_class(mut detections: Vec<&DetectedBox>, references: &[&DetectedBox]) -> Found {
    detections.sort_by(|a, b| b.score.total_cmp(&a.score));
    detections.truncate(MAX_DETECTIONS);
    let mut ranked: Vec<Ranked> = detections.iter().map(|found| Ranked { score: found.score, hits: 0 }).collect();
    let overlaps: Vec<Vec<f64>> =
        detections.iter().map(|found| references.iter().map(|there| found.iou(there)).collect()).collect();
    for (bit, threshold) in thresholds().enumerate() {
        let mut taken = vec![false; references.len()];
        for (ranked, overlaps) in ranked.iter_mut().zip(&overlaps) {
            let open = overlaps.iter().enumerate().filter(|&(place, &iou)| !taken[place] && iou >= threshold);
            if let Some((place, _)) = open.max_by(|a, b| a.1.total_cmp(b.1)) {
                taken[place] = true;
                ranked.hits |= 1 << bit;
            }
        }
    }
    Found { references: references.len() as u64, detections: ranked }
}

/// The thresholds to the last bit as `pycocotools` has them, whose
/// `numpy.linspace` steps by a ninth of the range.
fn thresholds() -> impl Iterator<Item = f64> {
    let step = (0.95 - 0.5) / 9.0;
    (0..9u8).map(move |i| 0.5 + f64::from(i) * step).chain([0.95])
}

impl fmt::Display for Matches {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, (class, found)) in self.0.iter().enumerate() {
            let space = if place == 0 { "" } else { " " };
            write!(f, "{space}{class}:{}:", found.references)?;
            for (place, Ranked { score, hits }) in found.detections.iter().enumerate() {
                let comma = if place == 0 { "" } else { "," };
                write!(f, "{comma}{score:?}/{hits:x}")?;
            }
        }
        Ok(())
    }
}

impl FromStr for Matches {
    type Err = Error;

    /// # Errors
    /// [`Code::Corrupt`] if `text` is not what [`Display`](fmt::Display) writes.
    fn from_str(text: &str) -> Result<Self> {
        let mut matches = BTreeMap::new();
        for word in text.split_whitespace() {
            let known = read_class(word).filter(|(class, _)| !matches.contains_key(class));
            let (class, found) = known.ok_or_else(|| {
                let start: String = word.chars().take(40).collect();
                Error::new(
                    Code::Corrupt,
                    format!("`{start}` is no class:references:score/hits,… of a detection's statistics"),
                    "measure the sample again",
                )
            })?;
            matches.insert(class, found);
        }
        Ok(Self(matches))
    }
}

fn read_class(word: &str) -> Option<(u32, Found)> {
    let mut parts = word.splitn(3, ':');
    let class = parts.next()?.parse().ok()?;
    let references = parts.next()?.parse().ok()?;
    let detections = parts.next()?;
    let read = |detection: &str| {
        let (score, hits) = detection.split_once('/')?;
        let score = score.parse().ok().filter(|score: &f64| score.is_finite())?;
        let hits = u16::from_str_radix(hits, 16).ok().filter(|hits| hits >> THRESHOLDS == 0)?;
        Some(Ranked { score, hits })
    };
    let list = detections.split(',').filter(|_| !detections.is_empty());
    let detections: Vec<Ranked> = list.map(read).collect::<Option<_>>()?;
    (detections.is_sorted_by(|a, b| a.score >= b.score)).then_some((class, Found { references, detections }))
}

/// Average precision of a set, each 0 to 1.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AveragePrecision {
    /// Mean over the ten thresholds 0.50, 0.55, … 0.95: COCO's AP.
    pub ap: f64,
    /// At an intersection over union of 0.50.
    pub ap50: f64,
    /// At 0.75.
    pub ap75: f64,
    /// Classes that the means are over.
    pub classes: usize,
}

/// The detections of a set of images by class and in order of score: put there
/// once, for the average precision of the set and of any resample of it.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Ranking {
    images: usize,
    classes: BTreeMap<u32, Class>,
}

/// One class over a set of images, each named by its number.
#[derive(Debug, Clone, Default, PartialEq)]
struct Class {
    references: Vec<(usize, u64)>,
    /// Best first.
    detections: Vec<(usize, Ranked)>,
}

impl<'a> FromIterator<&'a Matches> for Ranking {
    /// Among equal scores the detections keep the order of the images.
    fn from_iter<I: IntoIterator<Item = &'a Matches>>(images: I) -> Self {
        let mut ranking = Self::default();
        for matches in images {
            let image = ranking.images;
            ranking.images += 1;
            for (&class, found) in &matches.0 {
                let class = ranking.classes.entry(class).or_default();
                class.references.push((image, found.references));
                class.detections.extend(found.detections.iter().map(|&detection| (image, detection)));
            }
        }
        for class in ranking.classes.values_mut() {
            class.detections.sort_by(|(_, a), (_, b)| b.score.total_cmp(&a.score));
        }
        ranking
    }
}

impl Ranking {
    /// COCO's average precision of the images, each counted as often as `weights`
    /// says, in the images' order: for each class and threshold the detections of
    /// all images are ranked by score, precision is made to fall with recall and
    /// read at the 101 recalls 0, 0.01, … 1, and the mean is taken over recalls,
    /// thresholds and the classes that have at least one box to find. Detections of
    /// other classes do not count. `None` if there is nothing to find.
    #[must_use]
    #[allow(clippy::cast_precision_loss)]
    pub fn average_precision(&self, weights: &[u32]) -> Option<AveragePrecision> {
        let weight = |image: usize| u64::from(weights.get(image).copied().unwrap_or(0));
        let there = |class: &Class| {
            let counted = class.references.iter().map(|&(image, count)| count.saturating_mul(weight(image)));
            counted.fold(0, u64::saturating_add)
        };
        let classes: Vec<(&Class, u64)> =
            self.classes.values().map(|class| (class, there(class))).filter(|(_, there)| *there > 0).collect();
        let mut means = [0.0; THRESHOLDS];
        let mut curve = Vec::new();
        for &(class, there) in &classes {
            for (bit, mean) in means.iter_mut().enumerate() {
                // Equal scores of one image come again together, as in a copy of the image.
                let ties = class.detections.chunk_by(|(a, x), (b, y)| (a, x.score) == (b, y.score));
                let counted = ties.flat_map(|tied| {
                    let weight = tied.first().map_or(0, |(image, _)| weight(*image));
                    let (copies, each) = if tied.len() == 1 { (1, weight) } else { (weight, 1) };
                    let hits = move |(_, found): &(usize, Ranked)| (each, found.hits >> bit & 1 != 0);
                    (0..copies).flat_map(move |_| tied.iter().map(hits))
                });
                *mean += interpolated(counted, there, &mut curve) / classes.len() as f64;
            }
        }
        let ap = means.iter().sum::<f64>() / THRESHOLDS as f64;
        (!classes.is_empty()).then_some(AveragePrecision { ap, ap50: means[0], ap75: means[5], classes: classes.len() })
    }
}

/// COCO's average precision of a set of images, as [`Ranking::average_precision`]
/// with each counted once.
pub fn average_precision<'a>(images: impl IntoIterator<Item = &'a Matches>) -> Option<AveragePrecision> {
    let ranking: Ranking = images.into_iter().collect();
    ranking.average_precision(&vec![1; ranking.images])
}

/// The 101-point average precision of one class at one threshold: of detections,
/// best first, each with how often it counts and whether it is right, where
/// `there` are to be found. `curve` is working space.
#[allow(clippy::cast_precision_loss)]
fn interpolated(detections: impl Iterator<Item = (u64, bool)>, there: u64, curve: &mut Vec<(f64, f64)>) -> f64 {
    curve.clear();
    let (mut right, mut place) = (0, 0);
    for (weight, hit) in detections {
        place += weight;
        // Precision only rises, and recall too, where there is a hit.
        if hit && weight > 0 {
            right += weight;
            curve.push((right as f64 / there as f64, right as f64 / place as f64));
        }
    }
    let mut best = 0.0f64;
    for (_, precision) in curve.iter_mut().rev() {
        best = best.max(*precision);
        *precision = best;
    }
    let mut recalls = (0..=100u8).map(|percent| f64::from(percent) * 0.01).peekable();
    let mut sum = 0.0;
    for &(recall, precision) in curve.iter() {
        while recalls.next_if(|wanted| *wanted <= recall).is_some() {
            sum += precision;
        }
    }
    sum / 101.0
}

/// How a network writes boxes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum BoxDecoder {
    /// As `FastestDet` does (github.com/dog-qiuqiu/FastestDet, `handle_preds` in
    /// `utils/tool.py`): `[1, 5 + classes, rows, columns]`, at each place of the grid
    /// the probability `o` of an object, `dx, dy, tw, th`, and the classes'
    /// probabilities, the greatest of which is `c`. In units of the image's sides
    /// the box's centre is at `(tanh(dx) + column) / columns`, likewise down; it
    /// is `sigmoid(tw)` wide and `sigmoid(th)` high; its score is
    /// `o^0.6 c^0.4`. Boxes are not cut at the image's edges.
    Fastestdet,
}

/// How a network's output becomes boxes.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DetectionSpec {
    /// How the network writes them.
    pub decoder: BoxDecoder,
    /// Boxes whose score is above this are kept, 0 to 1. Average precision needs
    /// those of low score too.
    pub min_score: f64,
    /// A box that overlaps a better one of its class by more than this is
    /// dropped (intersection over union, 0 to 1).
    pub max_overlap: f64,
    /// Most boxes kept in one image, best first.
    pub max_boxes: usize,
    /// Boxes of the pristine prediction from this score on are what agreement
    /// asks for, 0 to 1. Ground truth has score 1.
    pub reference_score: f64,
}

/// Which things of known classes a sample shows, and where. The network sees
/// the whole image, stretched to its input.
#[derive(Debug, Clone, PartialEq)]
pub struct Detection {
    spec: DetectionSpec,
    labels: Vec<String>,
}

impl Detection {
    /// The task over classes named `labels`, in the order of the network's output.
    ///
    /// # Errors
    /// [`Code::Config`] if there are no labels, or naming the option that cannot be.
    pub fn new(spec: DetectionSpec, labels: Vec<String>) -> Result<Self> {
        let wrong = |what: String, remedy: &'static str| Err(Error::new(Code::Config, what, remedy));
        if labels.is_empty() {
            return wrong("detection of no classes".to_owned(), "name the network's classes");
        }
        for (name, value) in [
            ("min_score", spec.min_score),
            ("max_overlap", spec.max_overlap),
            ("reference_score", spec.reference_score),
        ] {
            if !(0.0..=1.0).contains(&value) {
                return wrong(format!("{name}: {value}"), "give a number from 0 to 1");
            }
        }
        if spec.max_boxes == 0 {
            return wrong("max_boxes: 0".to_owned(), "keep at least one box");
        }
        Ok(Self { spec, labels })
    }

    /// The options.
    #[must_use]
    pub const fn spec(&self) -> &DetectionSpec {
        &self.spec
    }
}

impl Task for Detection {
    fn id(&self) -> &'static str {
        "detection"
    }

    fn description(&self) -> String {
        format!("detection/{IMPLEMENTATION} {:?} {:?}", self.spec, self.labels)
    }

    /// Takes the only output, as [`BoxDecoder`] says. Boxes that overlap a better
    /// one of their class too much are dropped; among equal scores the one that
    /// comes first in the grid, row by row, is the better. Gives boxes in pixels
    /// of the source.
    fn predict(&self, outputs: &[(String, Tensor)], image: (u32, u32)) -> Result<Prediction> {
        let (name, tensor) = only_output(self.id(), outputs)?;
        let boxes = match self.spec.decoder {
            BoxDecoder::Fastestdet => fastestdet(name, tensor, self.labels.len(), self.spec.min_score, image)?,
        };
        Ok(Prediction::Boxes(self.best(boxes)))
    }

    /// Checks that boxes are of classes that the network knows.
    ///
    /// # Errors
    /// [`Code::Config`] naming a class that it does not.
    fn ground_truth(&self, truth: Prediction) -> Result<Prediction> {
        let Prediction::Boxes(boxes) = &truth else { return Err(not_of_this_task(self.id(), &truth, &truth)) };
        match boxes.iter().find(|found| self.label(found.class).is_none()) {
            Some(found) => Err(Error::new(
                Code::Config,
                format!("a box is of class {}, and there are {} labels", found.class, self.labels.len()),
                "number the data set's classes as the network does",
            )),
            None => Ok(truth),
        }
    }

    fn score(&self, prediction: &Prediction, reference: &Prediction) -> Result<Score> {
        let (Prediction::Boxes(found), Prediction::Boxes(there)) = (prediction, reference) else {
            return Err(not_of_this_task(self.id(), prediction, reference));
        };
        let sure: Vec<DetectedBox> =
            there.iter().copied().filter(|found| found.score >= self.spec.reference_score).collect();
        Matches::find(found, &sure).map(Score::Boxes)
    }

    fn label(&self, index: u32) -> Option<&str> {
        self.labels.get(usize::try_from(index).ok()?).map(String::as_str)
    }
}

impl Detection {
    /// The best of `boxes`, less those that overlap a better one of their class.
    fn best(&self, mut boxes: Vec<DetectedBox>) -> Vec<DetectedBox> {
        boxes.sort_by(|a, b| b.score.total_cmp(&a.score));
        let mut kept: Vec<DetectedBox> = Vec::new();
        for found in boxes {
            if kept.len() == self.spec.max_boxes {
                break;
            }
            let hidden =
                |better: &DetectedBox| better.class == found.class && better.iou(&found) > self.spec.max_overlap;
            if !kept.iter().any(hidden) {
                kept.push(found);
            }
        }
        kept
    }
}

/// The boxes of [`BoxDecoder::Fastestdet`] whose score is above `min_score`, in
/// the order of the grid.
#[allow(clippy::cast_precision_loss, clippy::cast_possible_truncation)]
fn fastestdet(
    name: &str,
    tensor: &Tensor,
    classes: usize,
    min_score: f64,
    image: (u32, u32),
) -> Result<Vec<DetectedBox>> {
    let (rows, columns) = match *tensor.shape() {
        [1, channels, rows, columns] if channels == classes + 5 && rows * columns > 0 => (rows, columns),
        ref shape => {
            return Err(contract(format!(
                "output `{name}` of shape {shape:?} holds no grid of boxes of one sample over {classes} classes"
            )));
        }
    };
    let (data, places) = (tensor.data(), rows * columns);
    let named = |at: usize| format!("channel {}, x {}, y {}", at / places, at % columns, at % places / columns);
    if let Some(at) = data.iter().position(|value| !value.is_finite()) {
        return Err(no_number(name, named(at)));
    }
    // The network ends in a sigmoid and a softmax; a graph cut before them would
    // give scores that mean nothing.
    let probability = |at: &usize| !(-1e-3..=1.001).contains(&data[*at]);
    if let Some(at) = (0..places).chain(5 * places..data.len()).find(probability) {
        return Err(contract(format!("output `{name}` is {} at {}: no probability", data[at], named(at))));
    }
    let mut boxes = Vec::new();
    for place in 0..places {
        let value = |channel: usize| data[channel * places + place];
        let greatest = |best: (usize, f32), class| {
            let probability = value(5 + class);
            if probability > best.1 { (class, probability) } else { best }
        };
        let (class, probability) = (0..classes).fold((0, f32::NEG_INFINITY), greatest);
        let power = |base: f32, exponent| f64::from(base.clamp(0.0, 1.0)).powf(exponent);
        let score = power(value(0), 0.6) * power(probability, 0.4);
        let Some(class) = u32::try_from(class).ok().filter(|_| score > min_score) else { continue };
        let edges = |offset: usize, cell: usize, cells: usize, side: u32| {
            let centre = (f64::from(value(offset)).tanh() + cell as f64) / cells as f64;
            let half = 0.5 / (1.0 + (-f64::from(value(offset + 2))).exp());
            ((centre - half) * f64::from(side), (centre + half) * f64::from(side))
        };
        let (x0, x1) = edges(1, place % columns, columns, image.0);
        let (y0, y1) = edges(2, place / columns, rows, image.1);
        boxes.push(DetectedBox { class, score, x0: x0 as f32, y0: y0 as f32, x1: x1 as f32, y1: y1 as f32 });
    }
    Ok(boxes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn square(class: u32, score: f64, x: f32, side: f32) -> DetectedBox {
        DetectedBox { class, score, x0: x, y0: 0.0, x1: x + side, y1: side }
    }

    #[test]
    fn overlap_is_of_areas() {
        let a = square(0, 1.0, 0.0, 10.0);
        assert_eq!((a.iou(&a), a.iou(&square(0, 1.0, 5.0, 10.0))), (1.0, 1.0 / 3.0));
        assert_eq!((a.iou(&square(0, 1.0, 10.0, 5.0)), a.iou(&square(0, 1.0, 0.0, 0.0))), (0.0, 0.0));
    }

    #[test]
    fn the_best_detection_takes_the_box_and_classes_do_not_mix() {
        let there = [square(0, 1.0, 0.0, 10.0), square(3, 1.0, 50.0, 10.0)];
        let found = [square(0, 0.5, 0.0, 10.0), square(0, 0.75, 1.0, 10.0), square(2, 0.25, 50.0, 10.0)];
        let matches = Matches::find(&found, &there).unwrap();
        // 9/11 reaches 0.80; above it the second takes what the first leaves.
        assert_eq!(matches.to_string(), "0:1:0.75/7f,0.5/380 2:0:0.25/0 3:1:");
        assert_eq!(matches.f1(), Some(0.5));
        let ap = average_precision([&matches]).unwrap();
        assert_eq!((ap.ap50, ap.ap75, ap.classes), (0.5, 0.5, 2));
        assert!((ap.ap - (0.7 + 0.3 * 0.5) / 2.0).abs() < 1e-12, "{ap:?}");
    }

    #[test]
    fn nothing_to_find_has_no_figure_and_nothing_found_scores_zero() {
        let stray = Matches::find(&[square(0, 0.5, 0.0, 1.0)], &[]).unwrap();
        assert_eq!((stray.f1(), average_precision([&stray])), (None, None));
        let missed = Matches::find(&[], &[square(0, 1.0, 0.0, 1.0)]).unwrap();
        assert_eq!(missed.f1(), Some(0.0));
        assert_eq!(average_precision([&missed]).unwrap().ap, 0.0);
        assert_eq!(average_precision([]), None);
    }

    #[test]
    fn an_image_may_count_any_number_of_times() {
        let image = |salt: u32| {
            let side = |n: u32| (n * salt % 7) as f32;
            let there: Vec<DetectedBox> = (0..4).map(|n| square(n % 2, 1.0, 20.0 * n as f32, 10.0)).collect();
            let found: Vec<DetectedBox> = (0..6u32)
                .map(|n| square(n % 2, f64::from(n * salt % 5) / 5.0, 20.0 * (n % 4) as f32 + side(n) / 2.0, 10.0))
                .collect();
            Matches::find(&found, &there).unwrap()
        };
        let images: Vec<Matches> = (1..9).map(image).collect();
        let ranking: Ranking = images.iter().collect();
        for weights in [[1; 8], [0, 2, 1, 0, 3, 1, 0, 1], [5, 0, 0, 0, 0, 0, 0, 0], [0; 8]] {
            let literal =
                images.iter().zip(weights).flat_map(|(image, weight)| std::iter::repeat_n(image, weight as usize));
            let (weighted, literal) = (ranking.average_precision(&weights), average_precision(literal));
            assert_eq!(weighted, literal);
            assert!(weighted.is_none_or(|found| found.ap > 0.1 && found.ap < 0.9), "{weighted:?}");
        }
    }

    #[test]
    fn what_is_no_box_is_refused() {
        for bad in [square(0, f64::NAN, 0.0, 1.0), square(0, 0.5, f32::INFINITY, 1.0), square(0, 0.5, 0.0, -1.0)] {
            assert_eq!(Matches::find(&[bad], &[]).unwrap_err().code(), Code::Config);
            assert_eq!(Matches::find(&[], &[bad]).unwrap_err().code(), Code::Config);
        }
    }

    #[test]
    fn text_that_is_no_statistics_is_refused() {
        for text in [
            "1",
            "1:2",
            "a:0:",
            "1:x:",
            "1:0:0.5",
            "1:0:0.5/400",
            "1:0:nan/0",
            "1:0:0.5/0,",
            "1:0:0.1/0,0.2/0",
            "1:0: 1:0:",
        ] {
            assert_eq!(text.parse::<Matches>().unwrap_err().code(), Code::Corrupt, "{text}");
        }
        assert_eq!("".parse::<Matches>().unwrap(), Matches::default());
    }

    #[test]
    fn a_hundred_detections_of_a_class_are_judged() {
        let found: Vec<_> = (0..130u8).map(|i| square(u32::from(i % 2) * 7, f64::from(i), 0.0, 1.0)).collect();
        let matches = Matches::find(&found, &[]).unwrap();
        assert_eq!(matches.0[&0].detections.len(), 65);
        let found: Vec<_> = (0..130u8).map(|i| square(0, f64::from(i), 0.0, 1.0)).collect();
        let matches = Matches::find(&found, &[]).unwrap();
        assert_eq!((matches.0[&0].detections.len(), matches.0[&0].detections[0].score), (MAX_DETECTIONS, 129.0));
    }

    const SPEC: DetectionSpec = DetectionSpec {
        decoder: BoxDecoder::Fastestdet,
        min_score: 0.1,
        max_overlap: 0.45,
        max_boxes: 100,
        reference_score: 0.5,
    };

    fn two_classes(spec: DetectionSpec) -> Detection {
        Detection::new(spec, vec!["cat".to_owned(), "dog".to_owned()]).unwrap()
    }

    /// A grid of 2 rows and 3 columns, empty but for `(place, channel values)`.
    fn grid(cells: &[(usize, [f32; 7])]) -> Vec<(String, Tensor)> {
        let mut data = vec![0.0; 7 * 6];
        for (place, values) in cells {
            values.iter().enumerate().for_each(|(channel, value)| data[channel * 6 + place] = *value);
        }
        vec![("out".to_owned(), Tensor::new([1, 7, 2, 3], data).unwrap())]
    }

    fn predict(task: &Detection, outputs: &[(String, Tensor)]) -> Result<Vec<DetectedBox>> {
        match task.predict(outputs, (300, 200))? {
            Prediction::Boxes(boxes) => Ok(boxes),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_grid_is_read_as_fastestdet_writes_it() {
        // sigmoid(-ln 9) is 0.1; atanh(1/2) moves the centre half a cell.
        let tenth = -(9f32.ln());
        let half = 0.5f32.atanh();
        let cells = [(4, [0.5, half, 0.0, tenth, 0.0, 0.25, 0.75]), (0, [0.9, 0.0, half, 0.0, tenth, 0.6, 0.6])];
        let boxes = predict(&two_classes(SPEC), &grid(&cells)).unwrap();
        let near = |found: &DetectedBox, class, score: f64, edges: [f32; 4]| {
            let off = [found.x0, found.y0, found.x1, found.y1].into_iter().zip(edges).map(|(a, b)| (a - b).abs());
            assert!(found.class == class && (found.score - score).abs() < 1e-6, "{found:?}");
            assert!(off.fold(0.0, f32::max) < 1e-4, "{found:?}");
        };
        // Among equal probabilities the lower class; boxes reach over the edge.
        near(&boxes[0], 0, 0.9f64.powf(0.6) * 0.6f64.powf(0.4), [-75.0, 40.0, 75.0, 60.0]);
        near(&boxes[1], 1, 0.5f64.powf(0.6) * 0.75f64.powf(0.4), [135.0, 50.0, 165.0, 150.0]);
        assert_eq!(boxes.len(), 2);
    }

    #[test]
    fn boxes_that_overlap_a_better_one_of_their_class_are_dropped() {
        // The same box from three places: places 0 and 1 in columns, 1/3 apart, moved together.
        let (left, right) = (-(0.5f32.atanh()), 0.5f32.atanh());
        let cells = [
            (0, [0.5, right, 0.0, 0.0, 0.0, 0.9, 0.0]),
            (1, [0.8, left, 0.0, 0.0, 0.0, 0.9, 0.0]),
            (2, [0.6, 0.0, 0.0, 0.0, 0.0, 0.9, 0.0]),
            (5, [0.4, 0.0, 0.0, 0.0, 0.0, 0.0, 0.9]),
        ];
        let columns = |spec| {
            let boxes = predict(&two_classes(spec), &grid(&cells)).unwrap();
            boxes.iter().map(|found| (found.class, found.x0.round() as i32)).collect::<Vec<_>>()
        };
        assert_eq!(columns(SPEC), [(0, -25), (0, 125), (1, 125)]);
        assert_eq!(columns(DetectionSpec { max_overlap: 1.0, ..SPEC }).len(), 4);
        assert_eq!(columns(DetectionSpec { max_boxes: 2, ..SPEC }).len(), 2);
        assert_eq!(columns(DetectionSpec { min_score: 0.75, ..SPEC }), [(0, -25)]);
    }

    #[test]
    fn what_is_no_grid_of_probabilities_is_refused() {
        let task = two_classes(SPEC);
        let refused = |outputs: &[(String, Tensor)]| predict(&task, outputs).unwrap_err();
        assert_eq!(refused(&[]).code(), Code::Model);
        for (cell, place) in [
            ([f32::NAN, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0], "channel 0, x 2, y 1"),
            ([0.0, 0.0, 0.0, f32::INFINITY, 0.0, 0.0, 0.0], "channel 3, x 2, y 1"),
            ([0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.5], "channel 6, x 2, y 1"),
            ([-0.5, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0], "channel 0, x 2, y 1"),
        ] {
            let error = refused(&grid(&[(5, cell)]));
            assert_eq!(error.code(), Code::Model);
            assert!(error.what().contains(place), "{error}");
        }
        for shape in [vec![1, 6, 2, 3], vec![7, 2, 3], vec![1, 7, 0, 3], vec![2, 7, 1, 1]] {
            let tensor = Tensor::new(shape.clone(), vec![0.0; shape.iter().product()]).unwrap();
            assert_eq!(refused(&[("out".to_owned(), tensor)]).code(), Code::Model);
        }
        for bad in [
            DetectionSpec { min_score: f64::NAN, ..SPEC },
            DetectionSpec { max_overlap: 1.5, ..SPEC },
            DetectionSpec { reference_score: -1.0, ..SPEC },
            DetectionSpec { max_boxes: 0, ..SPEC },
        ] {
            assert_eq!(Detection::new(bad, vec!["cat".to_owned()]).unwrap_err().code(), Code::Config);
        }
        assert_eq!(Detection::new(SPEC, vec![]).unwrap_err().code(), Code::Config);
    }

    #[test]
    fn agreement_asks_for_what_the_pristine_prediction_is_sure_of() {
        let task = two_classes(SPEC);
        let pristine = Prediction::Boxes(vec![square(0, 0.75, 0.0, 10.0), square(1, 0.25, 50.0, 10.0)]);
        let score = task.score(&pristine, &pristine).unwrap();
        assert_eq!(score.statistics().as_deref(), Some("0:1:0.75/3ff 1:0:0.25/0"));
        assert_eq!(score.sample(), Some(1.0));
        assert_eq!(task.score(&pristine, &Prediction::class(0)).unwrap_err().code(), Code::Config);
        assert_eq!(task.ground_truth(pristine.clone()).unwrap(), pristine);
        let unknown = Prediction::Boxes(vec![square(2, 1.0, 0.0, 1.0)]);
        assert_eq!(task.ground_truth(unknown).unwrap_err().code(), Code::Config);
        assert_eq!((task.label(1), task.label(2)), (Some("dog"), None));
        let spec =
            r#"{"decoder":"fastestdet","min_score":0.1,"max_overlap":0.45,"max_boxes":100,"reference_score":0.5}"#;
        assert_eq!(serde_json::from_str::<DetectionSpec>(spec).unwrap(), SPEC);
        assert_ne!(task.digest(), two_classes(DetectionSpec { min_score: 0.2, ..SPEC }).digest());
    }

    proptest! {
        #[test]
        fn statistics_come_back_from_their_text(
            found in prop::collection::vec((0u32..3, 0.0..1.0f64, 0.0..9.0f32, 0.0..9.0f32), 0..20),
            there in prop::collection::vec((0u32..3, 0.0..9.0f32, 0.0..9.0f32), 0..8),
        ) {
            let found: Vec<_> = found.into_iter().map(|(c, s, x, side)| square(c, s, x, side)).collect();
            let there: Vec<_> = there.into_iter().map(|(c, x, side)| square(c, 1.0, x, side)).collect();
            let matches = Matches::find(&found, &there).unwrap();
            prop_assert_eq!(&matches.to_string().parse::<Matches>().unwrap(), &matches);
            let ap = average_precision([&matches]);
            prop_assert_eq!(ap.is_some(), !there.is_empty());
            if let Some(ap) = ap {
                prop_assert!((0.0..=1.0 + 1e-12).contains(&ap.ap) && ap.ap <= ap.ap50 + 1e-12);
            }
            prop_assert!(matches.f1().is_none_or(|f1| (0.0..=1.0).contains(&f1)));
        }
    }
}
