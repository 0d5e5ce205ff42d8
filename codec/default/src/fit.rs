//! Fits the context tables to photographs: what the example `fit_contexts` does with
//! the very walk that codes. Behind the feature `fit`, for the recipe only.

use crate::contexts::{COUNT, FEATURES, SPATIAL, Weights, ZONES};
use crate::expect::Lines;
use crate::latents::{LAYERS, Latents};
use crate::optic::Encoder;
use crate::tables::TABLES;
use crate::walk::{Tap, Walk};
use afferent_codec::entropy::{Adaptive, Meter, Predictor};
use afferent_media::ImageView;
use nalgebra::{DMatrix, DVector};

/// The latents of a picture's strips at one quality.
#[must_use]
pub fn strips(image: ImageView<'_>, quality: u8) -> Vec<Strip> {
    let mut encoder = Encoder::new(quality, true);
    let head = encoder.head(image);
    let strips = head.strips();
    let strip = |strip| {
        encoder.analyse(image, head, strip);
        Strip(encoder.thin().clone())
    };
    strips.iter().map(strip).collect()
}

/// The latents of one strip.
#[derive(Debug, Clone)]
pub struct Strip(Latents);

struct Collect(Vec<(u8, i32, i32)>);

impl Tap for Collect {
    fn coefficient(&mut self, zone: usize, expected: i32, magnitude: u32) {
        self.0.push((zone as u8, expected, magnitude.min(15) as i32));
    }
}

/// Counts zeros and ones.
#[derive(Debug, Clone, Copy, Default)]
pub struct Counts([u32; 2]);

impl Predictor for Counts {
    fn zero(&self) -> u32 {
        let [zeros, ones] = self.0.map(f64::from);
        ((zeros + 0.4) / (zeros + ones + 0.8) * 65_536.0).clamp(32.0, 65_504.0) as u32
    }

    fn learn(&mut self, bit: bool) {
        self.0[usize::from(bit)] += 1;
    }
}

/// The normal equations of each zone's least squares.
pub struct Moments(Vec<(DMatrix<f64>, DVector<f64>)>);

impl Default for Moments {
    fn default() -> Self {
        Self(vec![(DMatrix::zeros(FEATURES + 1, FEATURES + 1), DVector::zeros(FEATURES + 1)); ZONES])
    }
}

impl Moments {
    /// Adds a strip's coefficients.
    pub fn add(&mut self, strip: &Strip) {
        // A walk that weighs one feature alone tells that feature of every coefficient.
        let mut columns = Vec::new();
        for feature in 0..FEATURES {
            let mut weights = Box::new([[0_i16; FEATURES + 1]; ZONES]);
            for zone in weights.iter_mut() {
                zone[feature] = 1;
            }
            let mut latents = strip.0.clone();
            let lines = Lines::new(&weights);
            let mut walk = Walk::new(vec![Counts::default(); COUNT], &lines, Collect(Vec::new()));
            walk.begin(&latents);
            for layer in 0..LAYERS {
                walk.layer(&mut Meter::default(), layer, &mut latents);
            }
            columns.push(walk.tap.0);
        }
        let mut row = DVector::zeros(FEATURES + 1);
        for at in 0..columns[0].len() {
            let (zone, _, magnitude) = columns[0][at];
            for (feature, column) in columns.iter().enumerate() {
                row[feature] = f64::from(column[at].1);
            }
            row[FEATURES] = 1.0;
            // The spread of a magnitude grows with its mean.
            let weight = 1.0 / (0.15 + row.rows(0, 4).sum() / 4.0 + row.rows(SPATIAL, 3).sum() / 6.0);
            let (a, b) = &mut self.0[usize::from(zone)];
            a.ger(weight, &row, &row, 1.0);
            b.axpy(weight * f64::from(magnitude), &row, 1.0);
        }
    }

    /// The weights that predict magnitudes best, in units of 1/64.
    #[must_use]
    pub fn solve(&self) -> Box<[Weights; ZONES]> {
        let mut weights = Box::new([[0; FEATURES + 1]; ZONES]);
        for ((a, b), weights) in self.0.iter().zip(weights.iter_mut()) {
            let ridge = 1e-4 * a.trace() / (FEATURES + 1) as f64 + 1e-3;
            let a = a + DMatrix::identity(FEATURES + 1, FEATURES + 1) * ridge;
            if let Some(solution) = a.cholesky().map(|a| a.solve(b)) {
                for (to, from) in weights.iter_mut().zip(&solution) {
                    *to = (from * 64.0).round().clamp(-256.0, 256.0) as i16;
                }
            }
        }
        weights
    }
}

/// Counts the decisions of strips under these weights; returns what they would cost
/// with the counts so far, in bits.
pub fn count(counts: &mut Vec<Counts>, weights: &[Weights; ZONES], strip: &Strip) -> f64 {
    counts.resize(COUNT, Counts::default());
    let mut latents = strip.0.clone();
    let lines = Lines::new(weights);
    let mut walk = Walk::new(std::mem::take(counts), &lines, ());
    walk.begin(&latents);
    let mut meter = Meter::default();
    for layer in 0..LAYERS {
        walk.layer(&mut meter, layer, &mut latents);
    }
    *counts = walk.models;
    meter.bits()
}

/// The file `contexts.bin`.
#[must_use]
pub fn file(weights: &[Weights; ZONES], counts: &[Counts]) -> Vec<u8> {
    let weights = weights.iter().flatten().flat_map(|w| w.to_le_bytes());
    weights.chain(counts.iter().flat_map(|c| (c.zero() as u16).to_le_bytes())).collect()
}

/// What a strip costs with this build's tables, in bits: adaptive as it is coded, and
/// with every probability standing still.
#[must_use]
pub fn cost(strip: &Strip) -> (f64, f64) {
    #[derive(Clone, Copy)]
    struct Still(Adaptive);
    impl Predictor for Still {
        fn zero(&self) -> u32 {
            self.0.zero()
        }
        fn learn(&mut self, _: bool) {}
    }
    fn walk<P: Predictor>(models: Vec<P>, strip: &Strip) -> f64 {
        let mut latents = strip.0.clone();
        let mut walk = Walk::new(models, &TABLES.lines, ());
        walk.begin(&latents);
        let mut meter = Meter::default();
        for layer in 0..LAYERS {
            walk.layer(&mut meter, layer, &mut latents);
        }
        meter.bits()
    }
    (walk(TABLES.models.clone(), strip), walk(TABLES.models.iter().map(|&m| Still(m)).collect(), strip))
}

impl Strip {
    /// Of each plane, the number of blocks and the latents band by band, each band over
    /// all blocks.
    #[must_use]
    pub fn bands(&self) -> Vec<(usize, Vec<i16>)> {
        let blocks = self.0.columns * self.0.rows;
        let planes = self.0.planes.iter();
        let bands = |plane: &crate::latents::Plane| {
            let size = plane.bands * plane.bands;
            (0..size).flat_map(|band| plane.values[band..].iter().step_by(size).copied()).collect()
        };
        planes.map(|plane| (blocks, bands(plane))).collect()
    }
}
