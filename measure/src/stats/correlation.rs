//! Rank correlation: Spearman's rho and Kendall's tau-b.
//!
//! Both take ties, and infinite values (the PSNR of an exact copy) in their
//! order; both are from −1 to 1. In the resamples of an interval a sample drawn
//! twice is tied with itself, as in a literal resample.

use super::{Bootstrap, Clusters, Interval, wrong};
use afferent_media::Result;

/// Spearman's rho (Spearman 1904): Pearson's correlation of the mid-ranks, as
/// SciPy's `spearmanr`.
///
/// # Errors
/// [`Code::Config`](afferent_media::Code::Config) if the lengths differ, a value
/// is not a number, there are fewer than two samples, or all values of one
/// variable are equal.
pub fn spearman(x: &[f64], y: &[f64]) -> Result<f64> {
    Ranked::new(x, y)?.whole(Ranked::spearman)
}

/// Kendall's tau-b (Kendall 1945): (C − D) / √((P − X)(P − Y)), of P pairs C
/// concordant, D discordant, X tied in `x` and Y tied in `y`, as SciPy's
/// `kendalltau`. In O(n log n).
///
/// # Errors
/// As of [`spearman`].
pub fn kendall(x: &[f64], y: &[f64]) -> Result<f64> {
    Ranked::new(x, y)?.whole(Ranked::kendall)
}

/// [`spearman`] with its bootstrap interval.
///
/// # Errors
/// As of [`spearman`] and [`Bootstrap::interval`].
pub fn spearman_interval(x: &[f64], y: &[f64], clusters: &Clusters, bootstrap: &Bootstrap) -> Result<Interval> {
    Ranked::new(x, y)?.interval(Ranked::spearman, clusters, bootstrap)
}

/// [`kendall`] with its bootstrap interval.
///
/// # Errors
/// As of [`kendall`] and [`Bootstrap::interval`].
pub fn kendall_interval(x: &[f64], y: &[f64], clusters: &Clusters, bootstrap: &Bootstrap) -> Result<Interval> {
    Ranked::new(x, y)?.interval(Ranked::kendall, clusters, bootstrap)
}

/// Numbers every value by its place among the different values, from 0; and how
/// many different ones there are. Zeros of either sign are equal.
pub(super) fn places(values: &[f64]) -> (Vec<usize>, usize) {
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_unstable_by(|&a, &b| (values[a] + 0.0).total_cmp(&(values[b] + 0.0)));
    let mut places = vec![0; values.len()];
    let mut count = 0;
    for equal in order.chunk_by(|&a, &b| values[a] == values[b]) {
        for &sample in equal {
            places[sample] = count;
        }
        count += 1;
    }
    (places, count)
}

/// Samples put in order once, for any number of resamples.
struct Ranked {
    x: Vec<usize>,
    y: Vec<usize>,
    different: [usize; 2],
    /// Samples by ascending x.
    order: Vec<usize>,
}

impl Ranked {
    fn new(x: &[f64], y: &[f64]) -> Result<Self> {
        if x.len() != y.len() {
            return Err(wrong(
                format!("{} values cannot be correlated with {}", x.len(), y.len()),
                "give two values for every sample",
            ));
        }
        if let Some(sample) = x.iter().zip(y).position(|(x, y)| x.is_nan() || y.is_nan()) {
            return Err(wrong(format!("sample {sample} has a value that is not a number"), "leave it out and say so"));
        }
        let ((x, x_different), (y, y_different)) = (places(x), places(y));
        let mut order: Vec<usize> = (0..x.len()).collect();
        order.sort_unstable_by_key(|&sample| x[sample]);
        Ok(Self { x, y, different: [x_different, y_different], order })
    }

    /// The `statistic` of the samples as they are.
    fn whole(&self, statistic: fn(&Self, &[u32]) -> Option<f64>) -> Result<f64> {
        statistic(self, &vec![1; self.x.len()]).ok_or_else(|| {
            wrong(
                "a variable without two different values has no rank correlation",
                "measure samples that differ in both",
            )
        })
    }

    fn interval(
        &self,
        statistic: fn(&Self, &[u32]) -> Option<f64>,
        clusters: &Clusters,
        bootstrap: &Bootstrap,
    ) -> Result<Interval> {
        clusters.expect_samples(self.x.len())?;
        self.whole(statistic)?;
        bootstrap.interval(clusters, |weights| statistic(self, weights))
    }

    /// How often each different value of x and of y occurs.
    fn counts(&self, weights: &[u32]) -> [Vec<u64>; 2] {
        let mut counts = self.different.map(|different| vec![0; different]);
        for ((&x, &y), &weight) in self.x.iter().zip(&self.y).zip(weights) {
            counts[0][x] += u64::from(weight);
            counts[1][y] += u64::from(weight);
        }
        counts
    }

    fn spearman(&self, weights: &[u32]) -> Option<f64> {
        let [x, y] = self.counts(weights).map(|counts| Ranks::new(&counts));
        let products = self.x.iter().zip(&self.y).zip(weights);
        let covariance: f64 = products.map(|((&i, &j), &weight)| f64::from(weight) * x.centred[i] * y.centred[j]).sum();
        let scale = (x.variance * y.variance).sqrt();
        (scale > 0.0).then(|| (covariance / scale).clamp(-1.0, 1.0))
    }

    #[allow(clippy::cast_precision_loss)]
    fn kendall(&self, weights: &[u32]) -> Option<f64> {
        let pairs = |n: u64| i128::from(n) * (i128::from(n) - 1) / 2;
        let mut seen = Tree::new(self.different[1]);
        let (mut n, mut balance) = (0u64, 0i128);
        for equal in self.order.chunk_by(|&a, &b| self.x[a] == self.x[b]) {
            for &sample in equal {
                let (lower, upto) = (seen.before(self.y[sample]), seen.before(self.y[sample] + 1));
                balance += i128::from(weights[sample]) * (i128::from(lower) - i128::from(n - upto));
            }
            for &sample in equal {
                seen.add(self.y[sample], weights[sample].into());
                n += u64::from(weights[sample]);
            }
        }
        let [x, y] = self.counts(weights).map(|counts| pairs(n) - counts.into_iter().map(pairs).sum::<i128>());
        (x > 0 && y > 0).then(|| (balance as f64 / (x as f64 * y as f64).sqrt()).clamp(-1.0, 1.0))
    }
}

/// Mid-ranks about their mean.
struct Ranks {
    centred: Vec<f64>,
    variance: f64,
}

impl Ranks {
    #[allow(clippy::cast_precision_loss)]
    fn new(counts: &[u64]) -> Self {
        let n: u64 = counts.iter().sum();
        let mut below = 0;
        let mut centred = Vec::with_capacity(counts.len());
        for &count in counts {
            // Mid-rank less mean rank: below + (count + 1)/2 − (n + 1)/2.
            centred.push(below as f64 + (count as f64 - n as f64) / 2.0);
            below += count;
        }
        let variance = counts.iter().zip(&centred).map(|(&count, rank)| count as f64 * rank * rank).sum();
        Self { centred, variance }
    }
}

/// Running totals with insertion (Fenwick 1994).
struct Tree(Vec<u64>);

impl Tree {
    fn new(places: usize) -> Self {
        Self(vec![0; places + 1])
    }

    fn add(&mut self, place: usize, weight: u64) {
        let mut node = place + 1;
        while let Some(total) = self.0.get_mut(node) {
            *total += weight;
            node += node & node.wrapping_neg();
        }
    }

    /// The total of the places before `place`.
    fn before(&self, place: usize) -> u64 {
        let (mut node, mut total) = (place, 0);
        while node > 0 {
            total += self.0[node];
            node &= node - 1;
        }
        total
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn order_alone_counts() {
        let x = [1.0, 2.0, 3.0, 4.0];
        let y = [0.1, 10.0, 11.0, f64::INFINITY];
        assert_eq!((spearman(&x, &y).unwrap(), kendall(&x, &y).unwrap()), (1.0, 1.0));
        let y = y.map(|y| -y);
        assert_eq!((spearman(&x, &y).unwrap(), kendall(&x, &y).unwrap()), (-1.0, -1.0));
        assert_eq!(kendall(&[0.0, -0.0, 1.0], &[1.0, 1.0, 2.0]).unwrap(), 1.0, "zeros of either sign are equal");
    }

    #[test]
    fn what_has_no_correlation_says_why() {
        for (x, y, says) in [
            (&[1.0, 2.0][..], &[1.0][..], "2 values cannot be correlated with 1"),
            (&[1.0, f64::NAN], &[1.0, 2.0], "sample 1"),
            (&[], &[], "without two different"),
            (&[1.0], &[1.0], "without two different"),
            (&[1.0, 2.0, 3.0], &[5.0, 5.0, 5.0], "without two different"),
        ] {
            for error in [spearman(x, y).unwrap_err(), kendall(x, y).unwrap_err()] {
                assert!(error.what().contains(says), "{error}");
                assert_eq!(error.code(), afferent_media::Code::Config);
            }
        }
        let error = kendall_interval(&[1.0, 2.0], &[1.0, 2.0], &Clusters::each(3), &Bootstrap::new(1)).unwrap_err();
        assert!(error.what().contains("3 samples"), "{error}");
    }

    proptest! {
        #[test]
        fn weights_are_copies(samples in prop::collection::vec((0u8..6, 0u8..6, 0u32..4), 2..25)) {
            let column = |f: fn(&(u8, u8, u32)) -> u8| samples.iter().map(|s| f64::from(f(s))).collect::<Vec<_>>();
            let (x, y) = (column(|s| s.0), column(|s| s.1));
            let weights: Vec<u32> = samples.iter().map(|s| s.2).collect();
            let copies = |v: &[f64]| v.iter().zip(&weights).flat_map(|(&v, &w)| vec![v; w as usize]).collect::<Vec<_>>();
            let ranked = Ranked::new(&x, &y).unwrap();
            for (weighted, literal) in [
                (ranked.spearman(&weights), spearman(&copies(&x), &copies(&y)).ok()),
                (ranked.kendall(&weights), kendall(&copies(&x), &copies(&y)).ok()),
            ] {
                prop_assert_eq!(weighted.is_some(), literal.is_some());
                prop_assert!((weighted.unwrap_or(0.0) - literal.unwrap_or(0.0)).abs() < 1e-12);
            }
        }

        #[test]
        fn kendall_is_what_all_pairs_say(samples in prop::collection::vec((0i8..8, 0i8..8), 2..25)) {
            let (mut balance, mut x_pairs, mut y_pairs) = (0, 0, 0);
            for (i, a) in samples.iter().enumerate() {
                for b in &samples[..i] {
                    let (x, y) = ((a.0 - b.0).signum(), (a.1 - b.1).signum());
                    balance += i32::from(x * y);
                    x_pairs += i32::from(x != 0);
                    y_pairs += i32::from(y != 0);
                }
            }
            let (x, y): (Vec<f64>, Vec<f64>) = samples.iter().map(|s| (f64::from(s.0), f64::from(s.1))).unzip();
            match kendall(&x, &y) {
                Ok(tau) => {
                    prop_assert!((tau - f64::from(balance) / f64::from(x_pairs * y_pairs).sqrt()).abs() < 1e-12);
                    prop_assert!((-1.0..=1.0).contains(&tau));
                    prop_assert_eq!(tau, kendall(&y, &x).unwrap());
                }
                Err(_) => prop_assert!(x_pairs == 0 || y_pairs == 0),
            }
        }
    }
}
