//! A class for every pixel.

use afferent_media::{Code, Error, Result};
use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

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

    proptest! {
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
