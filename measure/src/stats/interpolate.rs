//! Piecewise cubics through points, without extrapolation.

use super::bd::Interpolation;

/// A cubic between every two neighbouring points, of given slope at each.
pub(super) struct Cubic<'a> {
    x: &'a [f64],
    y: &'a [f64],
    slope: Vec<f64>,
}

impl<'a> Cubic<'a> {
    /// Through two points or more of strictly rising `x`.
    pub(super) fn new(x: &'a [f64], y: &'a [f64], how: Interpolation) -> Self {
        let step: Vec<f64> = x.windows(2).map(|x| x[1] - x[0]).collect();
        let secant: Vec<f64> = y.windows(2).zip(&step).map(|(y, step)| (y[1] - y[0]) / step).collect();
        let slope = match (how, &secant[..]) {
            (_, [only]) => vec![*only; 2],
            (Interpolation::Pchip, _) => pchip(&step, &secant),
            (Interpolation::Akima, _) => akima(&secant),
        };
        Self { x, y, slope }
    }

    /// The integral from `from` to `to`, both between the first and the last point.
    pub(super) fn integral(&self, from: f64, to: f64) -> f64 {
        let pieces = self.x.windows(2).enumerate().filter_map(|(segment, ends)| {
            let (from, to) = (from.max(ends[0]), to.min(ends[1]));
            // Simpson's rule is exact for cubics.
            let middle = from + (to - from) / 2.0;
            let [a, b, c] = [from, middle, to].map(|x| self.within(segment, x));
            (from < to).then(|| (to - from) / 6.0 * (a + 4.0 * b + c))
        });
        pieces.sum()
    }

    fn within(&self, segment: usize, x: f64) -> f64 {
        let [x0, x1] = [self.x[segment], self.x[segment + 1]];
        let [y0, y1] = [self.y[segment], self.y[segment + 1]];
        let step = x1 - x0;
        let [d0, d1] = [self.slope[segment], self.slope[segment + 1]].map(|slope| slope * step);
        let (t, rise) = ((x - x0) / step, y1 - y0);
        y0 + t * (d0 + t * (3.0 * rise - 2.0 * d0 - d1 + t * (d0 + d1 - 2.0 * rise)))
    }
}

/// Slopes that keep the cubics monotone wherever the points are.
fn pchip(step: &[f64], secant: &[f64]) -> Vec<f64> {
    let inner = step.windows(2).zip(secant.windows(2)).map(|(step, secant)| {
        if secant[0] * secant[1] <= 0.0 {
            return 0.0;
        }
        // The weighted harmonic mean of Fritsch and Butland.
        let (first, second) = (2.0 * step[1] + step[0], step[1] + 2.0 * step[0]);
        (first + second) / (first / secant[0] + second / secant[1])
    });
    let last = step.len() - 1;
    let mut slope = vec![pchip_end([step[0], step[1]], [secant[0], secant[1]])];
    slope.extend(inner);
    slope.push(pchip_end([step[last], step[last - 1]], [secant[last], secant[last - 1]]));
    slope
}

/// The slope at an end, from the two segments next to it, nearest first: of the
/// parabola through three points, limited so as to keep the shape.
fn pchip_end(step: [f64; 2], secant: [f64; 2]) -> f64 {
    let slope = ((2.0 * step[0] + step[1]) * secant[0] - step[0] * secant[1]) / (step[0] + step[1]);
    if slope * secant[0] <= 0.0 {
        0.0
    } else if secant[0] * secant[1] <= 0.0 && slope.abs() > 3.0 * secant[0].abs() {
        3.0 * secant[0]
    } else {
        slope
    }
}

/// Akima's slopes: of the two secants at a point, that one weighs more which
/// changes less beyond.
fn akima(secant: &[f64]) -> Vec<f64> {
    // Two secants more at each end, by parabolas.
    let n = secant.len();
    let before = 2.0 * secant[0] - secant[1];
    let after = 2.0 * secant[n - 1] - secant[n - 2];
    let mut m = vec![2.0 * before - secant[0], before];
    m.extend(secant);
    m.extend([after, 2.0 * after - secant[n - 1]]);
    let turns: Vec<[f64; 2]> = m.windows(4).map(|m| [(m[1] - m[0]).abs(), (m[3] - m[2]).abs()]).collect();
    let most = turns.iter().map(|[a, b]| a + b).fold(0.0, f64::max);
    let slopes = m.windows(4).zip(&turns).map(|(m, [before, after])| {
        if before + after > 1e-9 * most {
            m[1] + before / (before + after) * (m[2] - m[1])
        } else {
            // Straight on both sides: SciPy's choice for what the weights leave open.
            (m[0] + m[3]) / 2.0
        }
    });
    slopes.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    impl Cubic<'_> {
        /// The value at `x`, between the first and the last point.
        fn at(&self, x: f64) -> f64 {
            let segment = self.x.partition_point(|&point| point <= x).saturating_sub(1).min(self.x.len() - 2);
            self.within(segment, x)
        }
    }

    proptest! {
        #[test]
        fn cubics_meet_their_points_and_integrals_add(
            steps in prop::collection::vec((0.01..5.0f64, 0.01..5.0f64), 4..12), a in 0.0..=1.0f64, b in 0.0..=1.0f64,
        ) {
            let (mut x, mut y) = (vec![0.0], vec![0.0]);
            for (right, up) in &steps {
                x.push(x[x.len() - 1] + right);
                y.push(y[y.len() - 1] + up);
            }
            let end = x[x.len() - 1];
            let (a, b) = (a.min(b) * end, a.max(b) * end);
            for how in [Interpolation::Pchip, Interpolation::Akima] {
                let cubic = Cubic::new(&x, &y, how);
                for (x, y) in x.iter().zip(&y) {
                    prop_assert!((cubic.at(*x) - y).abs() < 1e-9);
                }
                let parts = cubic.integral(0.0, a) + cubic.integral(a, b) + cubic.integral(b, end);
                prop_assert!((parts - cubic.integral(0.0, end)).abs() < 1e-9 * (1.0 + parts.abs()));
            }
            let cubic = Cubic::new(&x, &y, Interpolation::Pchip);
            prop_assert!(cubic.at(a) <= cubic.at(b) + 1e-12, "PCHIP is monotone");
        }
    }
}
