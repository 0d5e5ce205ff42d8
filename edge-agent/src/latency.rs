//! How long samples take from their capture until they are accepted.

use afferent_media::{Code, Error, Result};
use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

/// Longer times count as this, in microseconds: an hour.
const LONGEST_US: u64 = 3_600_000_000;

/// A histogram of times, to two significant digits. It never grows: 12 KiB.
#[derive(Debug, Clone)]
pub struct Latency(Histogram<u32>);

impl Latency {
    /// An empty histogram.
    ///
    /// # Errors
    /// None in practice: its bounds are constants.
    pub fn new() -> Result<Self> {
        Histogram::new_with_bounds(1, LONGEST_US, 2)
            .map(Self)
            .map_err(|e| Error::new(Code::Internal, "the histogram cannot be made", "report this").caused_by(e))
    }

    /// Counts a time in microseconds.
    pub fn record(&mut self, us: u64) {
        self.0.saturating_record(us);
    }

    /// What was counted.
    #[must_use]
    pub fn quantiles(&self) -> Quantiles {
        let at = |quantile| self.0.value_at_quantile(quantile);
        Quantiles { samples: self.0.len(), p50_us: at(0.5), p90_us: at(0.9), p99_us: at(0.99), max_us: self.0.max() }
    }
}

/// Quantiles of times in microseconds: at least so many per cent took no longer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Quantiles {
    /// Times that were counted.
    pub samples: u64,
    /// The median.
    pub p50_us: u64,
    /// 90 %.
    pub p90_us: u64,
    /// 99 %.
    pub p99_us: u64,
    /// The longest.
    pub max_us: u64,
}

impl std::fmt::Display for Quantiles {
    #[allow(clippy::cast_precision_loss)]
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let ms = |us: u64| us as f64 / 1000.0;
        let Self { samples, p50_us, p90_us, p99_us, max_us } = *self;
        if samples == 0 {
            return f.write_str("no samples");
        }
        write!(
            f,
            "p50 {:.1} ms, p90 {:.1} ms, p99 {:.1} ms, longest {:.1} ms of {samples} samples",
            ms(p50_us),
            ms(p90_us),
            ms(p99_us),
            ms(max_us)
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_those_of_what_was_counted() {
        let mut latency = Latency::new().unwrap();
        assert_eq!(latency.quantiles(), Quantiles { samples: 0, p50_us: 0, p90_us: 0, p99_us: 0, max_us: 0 });
        (1..=1000).for_each(|ms| latency.record(ms * 1000));
        let q = latency.quantiles();
        assert_eq!(q.samples, 1000);
        for (value, exact) in [(q.p50_us, 500_000), (q.p90_us, 900_000), (q.p99_us, 990_000), (q.max_us, 1_000_000)] {
            // Two digits: the end of a bucket that is at most 1 % wide.
            assert!((exact..=exact + exact / 100).contains(&value), "{value} for {exact}");
        }
        latency.record(u64::MAX);
        assert!(latency.quantiles().max_us >= LONGEST_US);
    }
}
