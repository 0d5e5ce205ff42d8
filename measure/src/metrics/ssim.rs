//! The filter of structural similarity, row by row.
//!
//! SSIM needs the windowed means of x, y, x² + y² and xy: four maps, because the
//! two variances only ever occur as their sum. Each map is filtered along the
//! row as it comes, eleven such rows are kept in a ring, and each new one
//! completes a row of windows. Interleaved channels need no unpacking: the
//! neighbour of a value lies `channels` further.

use afferent_media::ImageView;

/// Side of the Gaussian window in pixels.
pub(super) const WINDOW: usize = 11;

const RADIUS: usize = WINDOW / 2;
const SIGMA: f64 = 1.5;
const C1: f64 = (0.01 * 255.0) * (0.01 * 255.0);
const C2: f64 = (0.03 * 255.0) * (0.03 * 255.0);
const MAPS: usize = 4;

/// Mean SSIM of two images of one size and format, whose sides are not shorter
/// than the window.
#[allow(clippy::cast_precision_loss)]
pub(super) fn mean(pristine: ImageView<'_>, decoded: ImageView<'_>) -> f64 {
    let channels = pristine.format().channels();
    let width = pristine.width() as usize * channels;
    let filtered = width - (WINDOW - 1) * channels;
    let taps = taps();

    let mut maps = vec![0.0; MAPS * width];
    let mut ring = vec![0.0; WINDOW * MAPS * filtered];
    let mut means = vec![0.0; MAPS * filtered];
    let mut total = 0.0;

    for (y, (a, b)) in pristine.rows().zip(decoded.rows()).enumerate() {
        moments(a, b, &mut maps);
        let slot = (y % WINDOW) * MAPS * filtered;
        let into = ring[slot..slot + MAPS * filtered].chunks_exact_mut(filtered);
        for (map, out) in maps.chunks_exact(width).zip(into) {
            let shifted: [&[f64]; WINDOW] = std::array::from_fn(|k| &map[k * channels..k * channels + filtered]);
            weigh(&taps, shifted, out);
        }
        if y + 1 >= WINDOW {
            let rows: [&[f64]; WINDOW] = std::array::from_fn(|k| {
                let slot = ((y + 1 + k) % WINDOW) * MAPS * filtered;
                &ring[slot..slot + MAPS * filtered]
            });
            weigh(&taps, rows, &mut means);
            total += similarities(&means, filtered);
        }
    }
    let windows = (pristine.height() as usize - (WINDOW - 1)) * filtered;
    total / windows as f64
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
fn moments(a: &[u8], b: &[u8], maps: &mut [f64]) {
    let (x, rest) = maps.split_at_mut(a.len());
    let (y, rest) = rest.split_at_mut(a.len());
    let (squares, products) = rest.split_at_mut(a.len());
    let out = x.iter_mut().zip(y).zip(squares.iter_mut().zip(products));
    for ((&a, &b), ((x, y), (square, product))) in a.iter().zip(b).zip(out) {
        let (a, b) = (i32::from(a), i32::from(b));
        *x = f64::from(a);
        *y = f64::from(b);
        *square = f64::from(a * a + b * b);
        *product = f64::from(a * b);
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

/// The sum of SSIM over one row of windows, from the four windowed means.
fn similarities(means: &[f64], windows: usize) -> f64 {
    let (x, rest) = means.split_at(windows);
    let (y, rest) = rest.split_at(windows);
    let (squares, products) = rest.split_at(windows);
    let windows = x.iter().zip(y).zip(squares.iter().zip(products));
    let one = |((x, y), (square, product)): ((&f64, &f64), (&f64, &f64))| {
        let (xx_yy, xy) = (x * x + y * y, x * y);
        let variances = square - xx_yy;
        let covariance = product - xy;
        ((2.0 * xy + C1) * (2.0 * covariance + C2)) / ((xx_yy + C1) * (variances + C2))
    };
    windows.map(one).sum()
}
