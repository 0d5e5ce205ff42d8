//! A class for every pixel.

use super::{Prediction, Score, Task, contract, no_number, not_of_this_task, only_output};
use afferent_media::{Code, Error, Result, Tensor};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

/// Raised whenever equal tensors may make another mask.
const IMPLEMENTATION: u32 = 1;

/// In a reference: a pixel that is not judged. In a prediction: none of the
/// classes, which is wrong wherever the reference names one.
pub const NO_CLASS: u8 = 255;

/// A class for every pixel of an image, row by row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LabelMap {
    width: u32,
    height: u32,
    classes: Vec<u8>,
}

impl LabelMap {
    /// A mask of `width` × `height` pixels, one class for each, row by row from
    /// the top; [`NO_CLASS`] for none.
    ///
    /// # Errors
    /// [`Code::Config`] if a side is 0, or there is not one class per pixel.
    pub fn new(width: u32, height: u32, classes: Vec<u8>) -> Result<Self> {
        let pixels = pixels(width, height)?;
        if classes.len() != pixels {
            return Err(Error::new(
                Code::Config,
                format!("{} classes are no mask of {width}x{height} pixels", classes.len()),
                "give one class per pixel",
            ));
        }
        Ok(Self { width, height, classes })
    }

    /// A mask of the same size in which no pixel has a class.
    #[must_use]
    pub fn without_classes(&self) -> Self {
        Self { classes: vec![NO_CLASS; self.classes.len()], ..*self }
    }

    /// Width in pixels.
    #[must_use]
    pub const fn width(&self) -> u32 {
        self.width
    }

    /// Height in pixels.
    #[must_use]
    pub const fn height(&self) -> u32 {
        self.height
    }

    /// The classes, row by row from the top.
    #[must_use]
    pub fn classes(&self) -> &[u8] {
        &self.classes
    }
}

/// How many pixels an image of that size has.
fn pixels(width: u32, height: u32) -> Result<usize> {
    (width as usize).checked_mul(height as usize).filter(|&pixels| pixels > 0).ok_or_else(|| {
        Error::new(Code::Config, format!("a mask of {width}x{height} pixels cannot be"), "give sides above zero")
    })
}

/// Pixels by class of the reference and class of the prediction: the sufficient
/// statistic of every figure of segmentation. Figures of a set come from the one
/// matrix that [`add`](Self::add) makes of the set, never from averaging images.
///
/// Its text is the cells that are not 0 as `reference:prediction:count`, in
/// order, separated by spaces; empty where nothing was judged.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Confusion(BTreeMap<(u8, u8), u64>);

impl Confusion {
    /// Counts the pixels of one image. Pixels that `reference` leaves open
    /// ([`NO_CLASS`]) are not counted.
    ///
    /// # Errors
    /// [`Code::Config`] if the sizes differ.
    pub fn compare(prediction: &LabelMap, reference: &LabelMap) -> Result<Self> {
        if (prediction.width, prediction.height) != (reference.width, reference.height) {
            return Err(Error::new(
                Code::Config,
                format!(
                    "a mask of {}x{} pixels cannot be compared with a reference of {}x{}",
                    prediction.width, prediction.height, reference.width, reference.height
                ),
                "give the reference at the size of the source image, and predict for that size",
            ));
        }
        let mut cells = vec![0u64; 256 * 256];
        for (&predicted, &expected) in prediction.classes.iter().zip(&reference.classes) {
            cells[usize::from(expected) << 8 | usize::from(predicted)] += 1;
        }
        let mut confusion = Self::default();
        for (expected, row) in (0..NO_CLASS).zip(cells.chunks(256)) {
            let counts = (0..=u8::MAX).zip(row).filter(|(_, count)| **count > 0);
            confusion.0.extend(counts.map(|(predicted, &count)| ((expected, predicted), count)));
        }
        Ok(confusion)
    }

    /// Adds the counts of `other`.
    pub fn add(&mut self, other: &Self) {
        for (&cell, &count) in &other.0 {
            self.count(cell, count);
        }
    }

    fn count(&mut self, cell: (u8, u8), count: u64) {
        let sum = self.0.entry(cell).or_default();
        *sum = sum.saturating_add(count);
    }

    /// The cells that are not 0: class of the reference, class of the
    /// prediction, pixels; in order.
    pub fn cells(&self) -> impl Iterator<Item = (u8, u8, u64)> {
        self.0.iter().map(|(&(expected, predicted), &count)| (expected, predicted, count))
    }

    /// Pixels that were judged.
    #[must_use]
    pub fn pixels(&self) -> u64 {
        self.0.values().fold(0, |sum, &count| sum.saturating_add(count))
    }

    /// Share of the judged pixels whose class is right; `None` if none was judged.
    #[must_use]
    #[allow(clippy::cast_precision_loss)]
    pub fn pixel_accuracy(&self) -> Option<f64> {
        let right = self.cells().filter(|(expected, predicted, _)| expected == predicted);
        let right = right.fold(0u64, |sum, (.., count)| sum.saturating_add(count));
        (self.pixels() > 0).then(|| right as f64 / self.pixels() as f64)
    }

    /// Intersection over union of every class that occurs in the references or
    /// the predictions, in order of class: pixels where both say so, over pixels
    /// where either does (Everingham et al. 2015, PASCAL VOC's
    /// `TP / (TP + FP + FN)`). [`NO_CLASS`] is no class of its own.
    #[must_use]
    #[allow(clippy::cast_precision_loss)]
    pub fn iou_per_class(&self) -> BTreeMap<u8, f64> {
        let mut both_and_sum = BTreeMap::<u8, (f64, f64)>::new();
        for (expected, predicted, count) in self.cells() {
            let count = count as f64;
            both_and_sum.entry(expected).or_default().1 += count;
            let predicted_class = both_and_sum.entry(predicted).or_default();
            predicted_class.1 += count;
            if expected == predicted {
                predicted_class.0 += count;
            }
        }
        both_and_sum.remove(&NO_CLASS);
        both_and_sum.into_iter().map(|(class, (both, sum))| (class, both / (sum - both))).collect()
    }

    /// Mean of [`iou_per_class`](Self::iou_per_class): over the classes that
    /// occur in the references *or* the predictions of the set. A class that is
    /// predicted and never there counts as 0; one that is neither, not at all.
    /// `None` if nothing was judged.
    #[must_use]
    #[allow(clippy::cast_precision_loss)]
    pub fn miou(&self) -> Option<f64> {
        let iou = self.iou_per_class();
        (!iou.is_empty()).then(|| iou.values().sum::<f64>() / iou.len() as f64)
    }
}

impl fmt::Display for Confusion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, (expected, predicted, count)) in self.cells().enumerate() {
            let space = if place == 0 { "" } else { " " };
            write!(f, "{space}{expected}:{predicted}:{count}")?;
        }
        Ok(())
    }
}

impl FromStr for Confusion {
    type Err = Error;

    /// # Errors
    /// [`Code::Corrupt`] if `text` is not what [`Display`](fmt::Display) writes.
    fn from_str(text: &str) -> Result<Self> {
        let mut confusion = Self::default();
        for word in text.split_whitespace() {
            let mut parts = word.split(':');
            let mut class = || parts.next()?.parse::<u8>().ok();
            let cell = class().filter(|&expected| expected != NO_CLASS).zip(class());
            let count = parts.next().and_then(|count| count.parse().ok()).filter(|&count| count > 0);
            let (Some(cell), Some(count), None) = (cell, count, parts.next()) else {
                return Err(Error::new(
                    Code::Corrupt,
                    format!("`{word}` is no reference:prediction:count of a confusion matrix"),
                    "measure the sample again",
                ));
            };
            confusion.count(cell, count);
        }
        Ok(confusion)
    }
}

/// For each class of a model or of a data set's masks, the class that a task
/// counts it as: data, written as a list of numbers or in a file.
///
/// The file has the columns `class,name,to,to_name` under that header. A line
/// per class, in order from 0; `to` is a number, or `-` for none of the classes.
/// Names are for readers. Lines that start with `#` are remarks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Vec<u8>", into = "Vec<u8>")]
pub struct ClassMap(Vec<u8>);

impl TryFrom<Vec<u8>> for ClassMap {
    type Error = Error;

    /// # Errors
    /// [`Code::Config`] unless there are 1 to 256 classes.
    fn try_from(to: Vec<u8>) -> Result<Self> {
        match to.len() {
            1..=256 => Ok(Self(to)),
            n => Err(Error::new(Code::Config, format!("a map of {n} classes"), "map 1 to 256 classes")),
        }
    }
}

impl From<ClassMap> for Vec<u8> {
    fn from(map: ClassMap) -> Self {
        map.0
    }
}

impl FromStr for ClassMap {
    type Err = Error;

    /// # Errors
    /// [`Code::Config`] naming the line that is no line of such a file.
    fn from_str(text: &str) -> Result<Self> {
        let mut to = Vec::new();
        let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty() && !line.starts_with('#'));
        for (place, (number, line)) in lines.enumerate() {
            let fields: Vec<&str> = line.split(',').map(str::trim).collect();
            let known = match (place.checked_sub(1), &fields[..]) {
                (None, ["class", "name", "to", "to_name"]) => continue,
                (Some(class), [from, _, mapped, _]) if from.parse() == Ok(class) => match *mapped {
                    "-" => Some(NO_CLASS),
                    mapped => mapped.parse().ok().filter(|&mapped| mapped != NO_CLASS),
                },
                _ => None,
            };
            to.push(known.ok_or_else(|| {
                Error::new(
                    Code::Config,
                    format!("line {} of a class map: `{line}`", number + 1),
                    "write `class,name,to,to_name`: classes in order from 0, `to` below 255 or `-`",
                )
            })?);
        }
        Self::try_from(to)
    }
}

impl ClassMap {
    /// The class that each class counts as, in order from 0.
    #[must_use]
    pub fn as_slice(&self) -> &[u8] {
        &self.0
    }

    /// `mask` in the classes that this maps to; [`NO_CLASS`] stays, unless it is mapped.
    ///
    /// # Errors
    /// [`Code::Config`] naming a class of the mask that the map does not have.
    pub fn apply(&self, mut mask: LabelMap) -> Result<LabelMap> {
        for class in &mut mask.classes {
            *class = match self.0.get(usize::from(*class)) {
                Some(&to) => to,
                None if *class == NO_CLASS => NO_CLASS,
                None => {
                    return Err(Error::new(
                        Code::Config,
                        format!("a mask has class {class}, its map {} classes", self.0.len()),
                        "give the map of this data set",
                    ));
                }
            };
        }
        Ok(mask)
    }
}

/// What a network gives for a mask.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MaskOutput {
    /// A value per class and place, `[1, classes, height, width]`, the greatest of
    /// which tells the class. The values are interpolated to the source's size
    /// before classes are chosen: bilinear between the centres of pixels, edges
    /// repeated, as PyTorch's `interpolate(mode="bilinear", align_corners=False)`.
    Logits,
    /// A class number per place, `[1, height, width]` or `[1, 1, height, width]`,
    /// brought to the source's size by taking the place that a pixel's centre
    /// falls into, as PyTorch's `interpolate(mode="nearest-exact")`.
    Indices,
}

/// How a network's output becomes a mask in a data set's classes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SegmentationSpec {
    /// What the network gives.
    pub output: MaskOutput,
    /// The class that each class of the network counts as; none if they are the
    /// task's own. What maps to none is a wrong answer wherever there is a class.
    #[serde(default)]
    pub prediction_map: Option<ClassMap>,
    /// The class that each class of ground truth counts as; none if they are the
    /// task's own. What maps to none is not judged.
    #[serde(default)]
    pub reference_map: Option<ClassMap>,
}

/// Which class every pixel of a sample shows. The network sees the whole image:
/// its output is stretched over all of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Segmentation {
    spec: SegmentationSpec,
    labels: Vec<String>,
}

impl Segmentation {
    /// The task over classes named `labels`, in order from 0.
    ///
    /// # Errors
    /// [`Code::Config`] unless there are 1 to 255 labels, one for each class that
    /// the spec's maps lead to.
    pub fn new(spec: SegmentationSpec, labels: Vec<String>) -> Result<Self> {
        let wrong = |what: String| Err(Error::new(Code::Config, what, "name each class that a pixel can count as"));
        if !(1..=usize::from(NO_CLASS)).contains(&labels.len()) {
            return wrong(format!("segmentation into {} classes", labels.len()));
        }
        let mapped = [&spec.prediction_map, &spec.reference_map].into_iter().flatten().flat_map(ClassMap::as_slice);
        if let Some(class) = mapped.copied().find(|&to| to != NO_CLASS && usize::from(to) >= labels.len()) {
            return wrong(format!("a map leads to class {class}, and there are {} labels", labels.len()));
        }
        Ok(Self { spec, labels })
    }

    /// The options.
    #[must_use]
    pub const fn spec(&self) -> &SegmentationSpec {
        &self.spec
    }

    /// How many classes the network knows.
    fn network_classes(&self) -> usize {
        self.spec.prediction_map.as_ref().map_or(self.labels.len(), |map| map.as_slice().len())
    }
}

impl Task for Segmentation {
    fn id(&self) -> &'static str {
        "segmentation"
    }

    fn description(&self) -> String {
        format!("segmentation/{IMPLEMENTATION} {:?} {:?}", self.spec, self.labels)
    }

    /// Takes the only output, as [`MaskOutput`] says; among equal values the
    /// lowest class is chosen. Gives a mask of the source's size.
    fn predict(&self, outputs: &[(String, Tensor)], image: (u32, u32)) -> Result<Prediction> {
        let (name, tensor) = only_output(self.id(), outputs)?;
        let classes = self.network_classes();
        let mask = match (self.spec.output, tensor.shape()) {
            (MaskOutput::Logits, &[1, channels, height, width]) if channels == classes && height * width > 0 => {
                greatest(name, tensor.data(), (width, height), image)?
            }
            (MaskOutput::Indices, &([1, height, width] | [1, 1, height, width])) if height * width > 0 => {
                nearest(name, tensor.data(), classes, (width, height), image)?
            }
            (output, shape) => {
                return Err(contract(format!(
                    "output `{name}` of shape {shape:?} holds no {output:?} of one sample over {classes} classes"
                )));
            }
        };
        Ok(Prediction::Mask(match &self.spec.prediction_map {
            Some(map) => map.apply(mask)?,
            None => mask,
        }))
    }

    /// Maps a data set's mask to the task's classes.
    ///
    /// # Errors
    /// [`Code::Config`] if it is no mask, or has a class that there is no label for.
    fn ground_truth(&self, truth: Prediction) -> Result<Prediction> {
        let Prediction::Mask(mask) = truth else { return Err(not_of_this_task(self.id(), &truth, &truth)) };
        let mask = match &self.spec.reference_map {
            Some(map) => map.apply(mask)?,
            None => mask,
        };
        let unknown = |class: &&u8| **class != NO_CLASS && usize::from(**class) >= self.labels.len();
        if let Some(class) = mask.classes.iter().find(unknown) {
            return Err(Error::new(
                Code::Config,
                format!("a mask has class {class}, and there are {} labels", self.labels.len()),
                "give a reference map that says what the data set's classes count as",
            ));
        }
        Ok(Prediction::Mask(mask))
    }

    fn score(&self, prediction: &Prediction, reference: &Prediction) -> Result<Score> {
        match (prediction, reference) {
            (Prediction::Mask(prediction), Prediction::Mask(reference)) => {
                Confusion::compare(prediction, reference).map(Score::Mask)
            }
            _ => Err(not_of_this_task(self.id(), prediction, reference)),
        }
    }

    fn label(&self, index: u32) -> Option<&str> {
        self.labels.get(usize::try_from(index).ok()?).map(String::as_str)
    }
}

/// Room for the mask of an image of that size.
fn room(width: u32, height: u32) -> Result<Vec<u8>> {
    let mut mask = Vec::new();
    mask.try_reserve_exact(pixels(width, height)?).map_err(|e| {
        Error::new(Code::Limit, format!("no memory for a mask of {width}x{height} pixels"), "give a smaller image")
            .caused_by(e)
    })?;
    Ok(mask)
}

/// Between which two samples of an axis a pixel's centre falls, and the weight
/// of the second.
struct Tap {
    low: usize,
    high: usize,
    weight: f32,
}

impl Tap {
    /// Of each of `to` pixels over `from` samples.
    #[allow(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    fn axis(from: usize, to: u32) -> impl Iterator<Item = Self> {
        let (scale, last) = (from as f64 / f64::from(to), from - 1);
        (0..to).map(move |pixel| {
            let place = ((f64::from(pixel) + 0.5) * scale - 0.5).max(0.0);
            let low = (place as usize).min(last);
            Self { low, high: (low + 1).min(last), weight: (place - low as f64) as f32 }
        })
    }

    fn mix(&self, low: f32, high: f32) -> f32 {
        low * (1.0 - self.weight) + high * self.weight
    }
}

/// The class of the greatest interpolated value at every pixel of `image`. Holds
/// one row of the image at a time, for all classes at the network's width.
fn greatest(name: &str, values: &[f32], (width, height): (usize, usize), image: (u32, u32)) -> Result<LabelMap> {
    if let Some(at) = values.iter().position(|value| !value.is_finite()) {
        let (class, place) = (at / (width * height), at % (width * height));
        return Err(no_number(name, format_args!("class {class}, x {}, y {}", place % width, place / width)));
    }
    let mut mask = room(image.0, image.1)?;
    let columns: Vec<Tap> = Tap::axis(width, image.0).collect();
    let (mut mixed, mut best) = (vec![0.0; width], vec![0.0; columns.len()]);
    for row in Tap::axis(height, image.1) {
        let start = mask.len();
        mask.resize(start + columns.len(), 0);
        best.fill(f32::NEG_INFINITY);
        for (class, plane) in (0..=u8::MAX).zip(values.chunks(width * height)) {
            let line = |y: usize| &plane[y * width..][..width];
            for (mixed, (&low, &high)) in mixed.iter_mut().zip(line(row.low).iter().zip(line(row.high))) {
                *mixed = row.mix(low, high);
            }
            for ((column, best), chosen) in columns.iter().zip(&mut best).zip(&mut mask[start..]) {
                let value = column.mix(mixed[column.low], mixed[column.high]);
                if value > *best {
                    (*best, *chosen) = (value, class);
                }
            }
        }
    }
    LabelMap::new(image.0, image.1, mask)
}

/// The class number of the place that the centre of each pixel of `image` falls into.
fn nearest(
    name: &str,
    values: &[f32],
    classes: usize,
    (width, height): (usize, usize),
    image: (u32, u32),
) -> Result<LabelMap> {
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    let index = |(at, &value): (usize, &f32)| {
        let class = value as u8;
        if f32::from(class) == value && usize::from(class) < classes {
            return Ok(class);
        }
        Err(contract(format!(
            "output `{name}` is {value} at x {}, y {}: no class of {classes}",
            at % width,
            at / width
        )))
    };
    let indices: Vec<u8> = values.iter().enumerate().map(index).collect::<Result<_>>()?;
    let mut mask = room(image.0, image.1)?;
    let columns: Vec<usize> = centres(width, image.0).collect();
    for y in centres(height, image.1) {
        mask.extend(columns.iter().map(|x| indices[y * width + x]));
    }
    LabelMap::new(image.0, image.1, mask)
}

/// Into which of `from` samples of an axis the centre of each of `to` pixels
/// falls: `(pixel + 1/2) from / to`, in whole numbers.
#[allow(clippy::cast_possible_truncation)]
fn centres(from: usize, to: u32) -> impl Iterator<Item = usize> {
    (0..to).map(move |pixel| ((2 * u128::from(pixel) + 1) * from as u128 / (2 * u128::from(to))) as usize)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn mask(width: u32, classes: &[u8]) -> LabelMap {
        LabelMap::new(width, classes.len() as u32 / width, classes.to_vec()).unwrap()
    }

    fn near(a: Option<f64>, b: f64) -> bool {
        a.is_some_and(|a| (a - b).abs() < 1e-12)
    }

    #[test]
    fn a_mask_has_one_class_per_pixel() {
        for (width, height, n) in [(0, 4, 0), (3, 2, 5), (u32::MAX, u32::MAX, 1)] {
            assert_eq!(LabelMap::new(width, height, vec![0; n]).unwrap_err().code(), Code::Config);
        }
        let error = Confusion::compare(&mask(2, &[0; 6]), &mask(3, &[0; 6])).unwrap_err();
        assert_eq!(error.code(), Code::Config);
        assert!(error.what().contains("2x3") && error.what().contains("3x2"), "{error}");
    }

    #[test]
    fn figures_are_those_counted_by_hand() {
        let reference = mask(4, &[0, 0, 0, 0, 1, 1, 1, 255]);
        let prediction = mask(4, &[0, 0, 1, 2, 1, 1, 255, 1]);
        let confusion = Confusion::compare(&prediction, &reference).unwrap();
        assert_eq!(confusion.to_string(), "0:0:2 0:1:1 0:2:1 1:1:2 1:255:1");
        assert_eq!((confusion.pixels(), confusion.pixel_accuracy()), (7, Some(4.0 / 7.0)));
        let iou = confusion.iou_per_class();
        // Class 2 is predicted and never there; none of the classes is no class.
        assert_eq!(iou.into_iter().collect::<Vec<_>>(), [(0, 0.5), (1, 0.5), (2, 0.0)]);
        assert!(near(confusion.miou(), 1.0 / 3.0));
        assert_eq!((Confusion::default().miou(), Confusion::default().pixel_accuracy()), (None, None));
    }

    #[test]
    fn a_set_is_one_matrix_and_no_mean_of_images() {
        let good = Confusion::compare(&mask(3, &[0, 0, 1]), &mask(3, &[0, 0, 1])).unwrap();
        let bad = Confusion::compare(&mask(3, &[1, 0, 0]), &mask(3, &[0, 0, 0])).unwrap();
        let mut set = good.clone();
        set.add(&bad);
        assert_eq!(set.to_string(), "0:0:4 0:1:1 1:1:1");
        assert!(near(set.miou(), f64::midpoint(4.0 / 5.0, 1.0 / 2.0)));
    }

    #[test]
    fn text_that_is_no_matrix_is_refused() {
        for text in
            ["1", "1:2", "1:2:0", "1:2:3:4", "256:0:1", "255:0:1", "a:b:c", "1:2:-3", "1:2:99999999999999999999"]
        {
            assert_eq!(text.parse::<Confusion>().unwrap_err().code(), Code::Corrupt, "{text}");
        }
        assert_eq!("".parse::<Confusion>().unwrap(), Confusion::default());
    }

    const CAMVID: &str = include_str!("../../../models/zoo/classes/camvid11.csv");
    const CAMVID_FROM_CITYSCAPES: &str = include_str!("../../../models/zoo/classes/camvid11-from-cityscapes.csv");
    const MOSAIC_FROM_ADE: &str = include_str!("../../../models/zoo/classes/mosaic32-from-ade20k150.csv");

    fn task(output: MaskOutput, classes: usize, map: Option<Vec<u8>>) -> Segmentation {
        let prediction_map = map.map(|to| ClassMap::try_from(to).unwrap());
        let spec = SegmentationSpec { output, prediction_map, reference_map: None };
        Segmentation::new(spec, (0..classes).map(|class| format!("class {class}")).collect()).unwrap()
    }

    fn predict(task: &Segmentation, shape: &[usize], values: &[f32], image: (u32, u32)) -> Result<Vec<u8>> {
        let outputs = [("out".to_owned(), Tensor::new(shape, values.to_vec()).unwrap())];
        match task.predict(&outputs, image)? {
            Prediction::Mask(mask) => {
                assert_eq!((mask.width(), mask.height()), image);
                Ok(mask.classes)
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn logits_are_interpolated_between_centres_and_then_ranked() {
        let two = task(MaskOutput::Logits, 2, None);
        // Along an axis of two samples, centres of four pixels fall at 0, 1/4, 3/4 and 1.
        let ramp = predict(&two, &[1, 2, 1, 2], &[0.0, 0.0, -1.0, 2.0], (4, 1)).unwrap();
        assert_eq!(ramp, [0, 0, 1, 1]);
        let steep = predict(&two, &[1, 2, 2, 1], &[0.0, 0.0, -1.0, 4.0], (1, 4)).unwrap();
        assert_eq!(steep, [0, 1, 1, 1], "1/4 of the way from -1 to 4 is above 0");
        let ties = predict(&two, &[1, 2, 1, 1], &[0.5, 0.5], (3, 2)).unwrap();
        assert_eq!(ties, [0; 6]);
        let shrunk = predict(&two, &[1, 2, 1, 4], &[0.0, 0.0, 0.0, 0.0, 9.0, -1.0, -1.0, 9.0], (1, 1)).unwrap();
        assert_eq!(shrunk, [0], "without smoothing, the two samples at the centre decide");
    }

    #[test]
    fn class_numbers_are_taken_from_the_nearest_place() {
        let three = task(MaskOutput::Indices, 3, None);
        assert_eq!(predict(&three, &[1, 1, 3], &[0.0, 1.0, 2.0], (5, 1)).unwrap(), [0, 0, 1, 2, 2]);
        assert_eq!(predict(&three, &[1, 1, 2, 2], &[0.0, 1.0, 2.0, 0.0], (2, 2)).unwrap(), [0, 1, 2, 0]);
        assert_eq!(predict(&three, &[1, 4, 1], &[0.0, 1.0, 2.0, 0.0], (1, 2)).unwrap(), [1, 0]);
        for bad in [3.0, -1.0, 0.5, f32::NAN, f32::INFINITY] {
            let error = predict(&three, &[1, 1, 2], &[0.0, bad], (2, 1)).unwrap_err();
            assert_eq!(error.code(), Code::Model);
            assert!(error.what().contains("x 1, y 0"), "{error}");
        }
    }

    #[test]
    fn what_is_no_mask_of_one_sample_is_refused() {
        let two = task(MaskOutput::Logits, 2, None);
        let refused = |shape: &[usize], values: &[f32], image| predict(&two, shape, values, image).unwrap_err().code();
        assert_eq!(refused(&[1, 3, 1, 1], &[0.0; 3], (1, 1)), Code::Model);
        assert_eq!(refused(&[2, 1, 1], &[0.0; 2], (1, 1)), Code::Model);
        assert_eq!(refused(&[1, 2, 0, 5], &[], (1, 1)), Code::Model);
        assert_eq!(refused(&[1, 2, 1, 1], &[0.0, f32::NAN], (1, 1)), Code::Model);
        assert_eq!(refused(&[1, 2, 1, 1], &[0.0, f32::INFINITY], (1, 1)), Code::Model);
        assert_eq!(refused(&[1, 2, 1, 1], &[0.0; 2], (0, 1)), Code::Config);
        assert_eq!(refused(&[1, 2, 1, 1], &[0.0; 2], (u32::MAX, u32::MAX)), Code::Limit);
        assert_eq!(two.predict(&[], (1, 1)).unwrap_err().code(), Code::Model);
        let classes = Prediction::class(0);
        assert_eq!(two.score(&classes, &classes).unwrap_err().code(), Code::Config);
        assert_eq!(two.ground_truth(classes).unwrap_err().code(), Code::Config);
    }

    #[test]
    fn maps_turn_predictions_and_ground_truth_into_the_classes_of_the_task() {
        let mapped = task(MaskOutput::Logits, 2, Some(vec![1, NO_CLASS, 0]));
        let logits = [1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0];
        assert_eq!(predict(&mapped, &[1, 3, 1, 3], &logits, (3, 1)).unwrap(), [1, NO_CLASS, 0]);

        let reference_map = Some(MOSAIC_FROM_ADE.parse().unwrap());
        let spec = SegmentationSpec { output: MaskOutput::Indices, prediction_map: None, reference_map };
        let mosaic = Segmentation::new(spec.clone(), (0..32).map(|class| class.to_string()).collect()).unwrap();
        let truth = mosaic.ground_truth(Prediction::Mask(mask(4, &[0, 1, 31, 32, 150, 3, 7, 255]))).unwrap();
        assert_eq!(truth, Prediction::Mask(mask(4, &[NO_CLASS, 1, 31, 0, 0, 3, 7, NO_CLASS])));
        let seen = Prediction::Mask(mask(4, &[5, 1, 31, 0, 2, 3, 0, 0]));
        let score = mosaic.score(&seen, &truth).unwrap();
        assert_eq!(score.statistics().unwrap(), "0:0:1 0:2:1 1:1:1 3:3:1 7:0:1 31:31:1");
        assert_eq!(mosaic.ground_truth(Prediction::Mask(mask(1, &[151]))).unwrap_err().code(), Code::Config);
        assert_eq!(mapped.ground_truth(Prediction::Mask(mask(1, &[2]))).unwrap_err().code(), Code::Config);
        assert_eq!(Segmentation::new(spec.clone(), vec!["one".to_owned()]).unwrap_err().code(), Code::Config);
        assert_eq!(Segmentation::new(spec, vec![]).unwrap_err().code(), Code::Config);
        assert_ne!(mosaic.digest(), mapped.digest());
    }

    #[test]
    fn the_maps_of_the_zoo_say_what_their_names_say() {
        let camvid: ClassMap = CAMVID.parse().unwrap();
        assert_eq!(camvid.as_slice(), [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, NO_CLASS]);
        let ade: ClassMap = MOSAIC_FROM_ADE.parse().unwrap();
        assert_eq!(ade.as_slice().len(), 151);
        for text in [CAMVID, CAMVID_FROM_CITYSCAPES, MOSAIC_FROM_ADE] {
            let map: ClassMap = text.parse().unwrap();
            let mut names = BTreeMap::new();
            let lines = text.lines().filter(|line| !line.starts_with('#')).skip(1);
            for (line, &to) in lines.zip(map.as_slice()) {
                let name = line.rsplit(',').next().unwrap();
                assert_eq!(*names.entry(to).or_insert(name), name, "{line}");
            }
        }
        // A made-up street: Cityscapes' car, bus, rider and background on CamVid.
        let cityscapes: ClassMap = CAMVID_FROM_CITYSCAPES.parse().unwrap();
        let seen = cityscapes.apply(mask(4, &[13, 15, 12, 19])).unwrap();
        assert_eq!(seen.classes(), [8, 8, 10, NO_CLASS]);
    }

    #[test]
    fn a_map_that_is_damaged_names_its_line() {
        let refused = |text: &str| text.parse::<ClassMap>().unwrap_err();
        let header = "# why\nclass,name,to,to_name\n";
        assert_eq!(format!("{header}0,a,3,b\n\n1,c,-,none").parse::<ClassMap>().unwrap().as_slice(), [3, NO_CLASS]);
        for (line, number) in [("1,a,0,b", 3), ("0,a,256,b", 3), ("0,a,255,b", 3), ("0,a", 3), ("0,a,x,b", 3)] {
            let error = refused(&format!("{header}{line}"));
            assert_eq!(error.code(), Code::Config);
            assert!(error.what().contains(&format!("line {number}")), "{error}");
        }
        assert!(refused("0,a,0,b").what().contains("line 1"));
        assert_eq!(refused(header).code(), Code::Config);
        let spec: SegmentationSpec = serde_json::from_str(r#"{"output":"logits","prediction_map":[0,255]}"#).unwrap();
        assert_eq!(spec.prediction_map.unwrap().as_slice(), [0, NO_CLASS]);
        assert!(serde_json::from_str::<SegmentationSpec>(r#"{"output":"logits","reference_map":[]}"#).is_err());
    }

    proptest! {
        /// Against the plain formula, in 64-bit floats over all pixels and classes.
        #[test]
        fn interpolated_logits_rank_as_the_plain_formula_does(
            (width, height, logits) in (1usize..6, 1usize..6).prop_flat_map(|(width, height)| {
                (Just(width), Just(height), prop::collection::vec(-8.0f32..8.0, 3 * width * height))
            }),
            image in (1u32..14, 1u32..14),
        ) {
            let mask = predict(&task(MaskOutput::Logits, 3, None), &[1, 3, height, width], &logits, image).unwrap();
            let value = |class: usize, x: u32, y: u32| {
                let place = |pixel: u32, from: usize, to: u32| {
                    ((f64::from(pixel) + 0.5) * from as f64 / f64::from(to) - 0.5).clamp(0.0, from as f64 - 1.0)
                };
                let (x, y) = (place(x, width, image.0), place(y, height, image.1));
                let mut sum = 0.0;
                for (row, line) in logits[class * width * height..][..width * height].chunks(width).enumerate() {
                    for (column, &logit) in line.iter().enumerate() {
                        let near = |at: f64, sample: usize| (1.0 - (at - sample as f64).abs()).max(0.0);
                        sum += near(x, column) * near(y, row) * f64::from(logit);
                    }
                }
                sum
            };
            for (at, &chosen) in (0u32..).zip(&mask) {
                let (x, y) = (at % image.0, at / image.0);
                let best = (0..3).map(|class| value(class, x, y)).fold(f64::MIN, f64::max);
                prop_assert!(best - value(usize::from(chosen), x, y) < 1e-4, "{x} {y}");
            }
        }

        #[test]
        fn statistics_come_back_from_their_text_and_merge(
            a in prop::collection::vec((any::<u8>(), any::<u8>()), 1..60),
            b in prop::collection::vec((0u8..3, 0u8..3), 1..60),
        ) {
            let confusion = |pairs: &[(u8, u8)]| {
                let (x, y): (Vec<u8>, Vec<u8>) = pairs.iter().copied().unzip();
                Confusion::compare(&mask(1, &x), &mask(1, &y)).unwrap()
            };
            let (first, second) = (confusion(&a), confusion(&b));
            prop_assert_eq!(&first.to_string().parse::<Confusion>().unwrap(), &first);
            let mut sum = first;
            sum.add(&second);
            prop_assert_eq!(sum, confusion(&[a, b].concat()));
        }
    }
}
