//! The filter of structural similarity, row by row and scale by scale.
//!
//! SSIM needs the windowed means of x, y, x² + y² and xy: four maps, because the
//! two variances only ever occur as their sum. Each map is filtered along the
//! row as it comes, eleven such rows are kept in a ring, and each new one
//! completes a row of windows. Interleaved channels need no unpacking: the
//! neighbour of a value lies `channels` further.
//!
//! Of MS-SSIM the first scale is SSIM's own filter, and two rows of a scale make
//! one of the next: a row runs through every scale while it is at hand, and no
//! scale is ever held as a whole.

use afferent_media::ImageView;

/// Side of the Gaussian window in pixels.
pub(super) const WINDOW: usize = 11;
/// How many scales MS-SSIM has.
pub(super) const SCALES: usize = WEIGHTS.len();

/// The exponents of the scales, finest first: Wang, Simoncelli and Bovik 2003.
const WEIGHTS: [f64; 5] = [0.0448, 0.2856, 0.3001, 0.2363, 0.1333];
const RADIUS: usize = WINDOW / 2;
const SIGMA: f64 = 1.5;
const C1: f64 = (0.01 * 255.0) * (0.01 * 255.0);
const C2: f64 = (0.03 * 255.0) * (0.03 * 255.0);
const MAPS: usize = 4;

/// Mean SSIM of two images of one size and format, and MS-SSIM if there are
/// [`SCALES`] scales. The window must fit into the last of the `scales`.
pub(super) fn mean(pristine: ImageView<'_>, decoded: ImageView<'_>, scales: usize) -> (f64, Option<f64>) {
    let channels = pristine.format().channels();
    let (mut width, mut height) = (pristine.width() as usize, pristine.height() as usize);
    let mut rows = pair(width * channels);
    let mut cascade = Vec::with_capacity(scales);
    for _ in 0..scales {
        cascade.push(Scale::new(width, height, channels));
        (width, height) = (width.div_ceil(2), height.div_ceil(2));
    }
    for (a, b) in pristine.rows().zip(decoded.rows()) {
        for (row, bytes) in rows.iter_mut().zip([a, b]) {
            row.iter_mut().zip(bytes).for_each(|(value, &byte)| *value = f64::from(byte));
        }
        push(&mut cascade, &rows);
    }
    let finest = average(channels, |c| cascade[0].mean(&cascade[0].ssim, c));
    (finest, (scales == SCALES).then(|| average(channels, |c| multiscale(&cascade, c))))
}

/// MS-SSIM of one channel: contrast and structure of every scale, luminance of the coarsest alone.
fn multiscale(cascade: &[Scale], channel: usize) -> f64 {
    let factor = |(index, (scale, weight)): (usize, (&Scale, f64))| {
        let sums = if index + 1 == SCALES { &scale.ssim } else { &scale.contrast };
        scale.mean(sums, channel).max(0.0).powf(weight)
    };
    cascade.iter().zip(WEIGHTS).enumerate().map(factor).product()
}

/// The mean of what `of` says of each channel.
#[allow(clippy::cast_precision_loss)]
fn average(channels: usize, of: impl Fn(usize) -> f64) -> f64 {
    (0..channels).map(of).sum::<f64>() / channels as f64
}

/// A row for each of the two images.
fn pair(width: usize) -> [Vec<f64>; 2] {
    [vec![0.0; width], vec![0.0; width]]
}

/// Takes the next row of each image into the finest scale, and what it completes into the coarser ones.
fn push(cascade: &mut [Scale], rows: &[Vec<f64>; 2]) {
    let Some((scale, coarser)) = cascade.split_first_mut() else { return };
    scale.filter(rows);
    if !coarser.is_empty() && scale.halve(rows) {
        push(coarser, &scale.halved);
    }
}

/// One scale: what its windows say, and a row of the next scale in the making.
struct Scale {
    channels: usize,
    height: usize,
    /// Rows seen.
    seen: usize,
    taps: [f64; RADIUS + 1],
    maps: Vec<f64>,
    ring: Vec<f64>,
    means: Vec<f64>,
    /// Sums of SSIM down each column of windows: neighbours stay independent of
    /// each other, so that the loops are vectorised.
    ssim: Vec<f64>,
    /// Likewise of its contrast and structure term.
    contrast: Vec<f64>,
    halved: [Vec<f64>; 2],
}

impl Scale {
    fn new(width: usize, height: usize, channels: usize) -> Self {
        let windows = (width - (WINDOW - 1)) * channels;
        Self {
            channels,
            height,
            seen: 0,
            taps: taps(),
            maps: vec![0.0; MAPS * width * channels],
            ring: vec![0.0; WINDOW * MAPS * windows],
            means: vec![0.0; MAPS * windows],
            ssim: vec![0.0; windows],
            contrast: vec![0.0; windows],
            halved: pair(width.div_ceil(2) * channels),
        }
    }

    /// Takes the next row of each image into the windows.
    fn filter(&mut self, [a, b]: &[Vec<f64>; 2]) {
        let (windows, channels) = (self.ssim.len(), self.channels);
        moments(a, b, &mut self.maps);
        let slot = (self.seen % WINDOW) * MAPS * windows;
        let into = self.ring[slot..slot + MAPS * windows].chunks_exact_mut(windows);
        for (map, out) in self.maps.chunks_exact(a.len()).zip(into) {
            let shifted: [&[f64]; WINDOW] = std::array::from_fn(|k| &map[k * channels..k * channels + windows]);
            weigh(&self.taps, shifted, out);
        }
        self.seen += 1;
        if self.seen >= WINDOW {
            let rows: [&[f64]; WINDOW] = std::array::from_fn(|k| {
                let slot = ((self.seen + k) % WINDOW) * MAPS * windows;
                &self.ring[slot..slot + MAPS * windows]
            });
            weigh(&self.taps, rows, &mut self.means);
            similarities(&self.means, &mut self.ssim, &mut self.contrast);
        }
    }

    /// Adds the rows just taken to those of the next scale, and says whether
    /// these are complete.
    ///
    /// A value is the mean over 2×2 pixels. A side of odd length is first padded
    /// by one line of zeros before the first, as the reference implementation does.
    fn halve(&mut self, rows: &[Vec<f64>; 2]) -> bool {
        let complete = (self.seen + self.height).is_multiple_of(2);
        for (out, row) in self.halved.iter_mut().zip(rows) {
            if !complete {
                out.fill(0.0);
            }
            add_halved(row, self.channels, out);
        }
        complete
    }

    /// The mean of `sums` over the windows of one channel.
    #[allow(clippy::cast_precision_loss)]
    fn mean(&self, sums: &[f64], channel: usize) -> f64 {
        let windows = sums.len() / self.channels * (self.height - (WINDOW - 1));
        sums.iter().skip(channel).step_by(self.channels).sum::<f64>() / windows as f64
    }
}

/// The centre weight and those at distances 1 to 5, so that all eleven sum to 1.
#[allow(clippy::cast_precision_loss)]
fn taps() -> [f64; RADIUS + 1] {
    let mut taps: [f64; RADIUS + 1] = std::array::from_fn(|k| (-0.5 * (k * k) as f64 / (SIGMA * SIGMA)).exp());
    let sum = taps[0] + 2.0 * taps[1..].iter().sum::<f64>();
    taps.iter_mut().for_each(|tap| *tap /= sum);
    taps
}

/// x, y, x² + y² and xy of one row, one map after the other.
fn moments(a: &[f64], b: &[f64], maps: &mut [f64]) {
    let (x, rest) = maps.split_at_mut(a.len());
    let (y, rest) = rest.split_at_mut(a.len());
    let (squares, products) = rest.split_at_mut(a.len());
    x.copy_from_slice(a);
    y.copy_from_slice(b);
    for ((&a, &b), (square, product)) in a.iter().zip(b).zip(squares.iter_mut().zip(products)) {
        *square = a * a + b * b;
        *product = a * b;
    }
}

/// The symmetric filter `taps` across eleven runs of equal length.
fn weigh(taps: &[f64; RADIUS + 1], runs: [&[f64]; WINDOW], out: &mut [f64]) {
    // Runs cut to one known length let the loop be vectorised without checks.
    let runs = runs.map(|run| &run[..out.len()]);
    for (i, out) in out.iter_mut().enumerate() {
        let mut sum = taps[0] * runs[RADIUS][i];
        for k in 1..=RADIUS {
            sum += taps[k] * (runs[RADIUS - k][i] + runs[RADIUS + k][i]);
        }
        *out = sum;
    }
}

/// Adds SSIM and its contrast and structure term of a row of windows, from the four windowed means.
fn similarities(means: &[f64], ssim: &mut [f64], contrast: &mut [f64]) {
    let (x, rest) = means.split_at(ssim.len());
    let (y, rest) = rest.split_at(ssim.len());
    let (squares, products) = rest.split_at(ssim.len());
    let windows = x.iter().zip(y).zip(squares.iter().zip(products));
    for (((x, y), (square, product)), (ssim, contrast)) in windows.zip(ssim.iter_mut().zip(contrast)) {
        let (xx_yy, xy) = (x * x + y * y, x * y);
        let cs = (2.0 * (product - xy) + C2) / (square - xx_yy + C2);
        *ssim += (2.0 * xy + C1) / (xx_yy + C1) * cs;
        *contrast += cs;
    }
}

/// Adds a quarter of each pair of neighbouring pixels of `row` to a pixel of `out`.
fn add_halved(row: &[f64], channels: usize, out: &mut [f64]) {
    let odd = (row.len() / channels % 2) * channels;
    let (alone, row) = row.split_at(odd);
    let (first, out) = out.split_at_mut(odd);
    first.iter_mut().zip(alone).for_each(|(out, value)| *out += 0.25 * value);
    for (out, pair) in out.chunks_exact_mut(channels).zip(row.chunks_exact(2 * channels)) {
        let (left, right) = pair.split_at(channels);
        out.iter_mut().zip(left.iter().zip(right)).for_each(|(out, (left, right))| *out += 0.25 * (left + right));
    }
}
