//! Sorted runs of sequence numbers.

use crate::fault::Fault;
use alloc::vec::Vec;
use core::ops::RangeInclusive;

/// A set of `u64` kept as sorted, disjoint, never touching runs.
///
/// Numbers that come mostly in order cost one run, whatever their count, and
/// are added at its end in constant time. The number of runs is bounded.
///
/// ```
/// use afferent_link::RangeSet;
/// let mut stored = RangeSet::default();
/// assert!(stored.insert(0)? && stored.insert(2)? && stored.insert(1)?);
/// assert!(!stored.insert(2)?); // seen before: store it no second time
/// assert_eq!(stored.ranges().collect::<Vec<_>>(), [0..=2]);
/// # Ok::<(), afferent_link::Fault>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RangeSet {
    runs: Vec<(u64, u64)>,
    limit: usize,
}

impl Default for RangeSet {
    /// At most 65,536 runs, which take 1 MiB.
    fn default() -> Self {
        Self::with_limit(1 << 16)
    }
}

impl RangeSet {
    /// An empty set of at most `limit` runs.
    #[must_use]
    pub const fn with_limit(limit: usize) -> Self {
        Self { runs: Vec::new(), limit }
    }

    /// Adds `value`; returns whether it is new.
    ///
    /// # Errors
    /// [`Fault::Full`] if it would start a run beyond the limit; the set is as before.
    pub fn insert(&mut self, value: u64) -> Result<bool, Fault> {
        if self.contains(value) {
            return Ok(false);
        }
        self.insert_range(value..=value)?;
        Ok(true)
    }

    /// Adds every number of `range`.
    ///
    /// # Errors
    /// [`Fault::Full`] if it would start a run beyond the limit; the set is as before.
    pub fn insert_range(&mut self, range: RangeInclusive<u64>) -> Result<(), Fault> {
        let (mut first, mut last) = range.into_inner();
        if first > last {
            return Ok(());
        }
        // The runs that overlap or touch the range are one stretch of the list.
        let begin = match self.runs.last() {
            Some(run) if run.1.saturating_add(1) < first => self.runs.len(),
            _ => self.runs.partition_point(|run| run.1.saturating_add(1) < first),
        };
        let touches = last.saturating_add(1);
        let mut end = begin;
        for run in self.runs.iter().skip(begin).take_while(|run| run.0 <= touches) {
            first = first.min(run.0);
            last = last.max(run.1);
            end += 1;
        }
        if end == begin && self.runs.len() >= self.limit {
            return Err(Fault::Full("runs of a range set"));
        }
        self.runs.splice(begin..end, [(first, last)]);
        Ok(())
    }

    /// Whether `value` is in the set.
    #[must_use]
    pub fn contains(&self, value: u64) -> bool {
        let after = self.runs.partition_point(|run| run.0 <= value);
        after.checked_sub(1).and_then(|index| self.runs.get(index)).is_some_and(|run| value <= run.1)
    }

    /// Takes the first run out of the set.
    pub fn pop_first(&mut self) -> Option<RangeInclusive<u64>> {
        (!self.runs.is_empty()).then(|| self.runs.remove(0)).map(|(first, last)| first..=last)
    }

    /// The runs, in order.
    pub fn ranges(&self) -> impl DoubleEndedIterator<Item = RangeInclusive<u64>> + ExactSizeIterator {
        self.runs.iter().map(|&(first, last)| first..=last)
    }

    /// How many numbers are in the set.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.runs.iter().fold(0, |sum, run| sum.saturating_add((run.1 - run.0).saturating_add(1)))
    }

    /// Whether the set is empty.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.runs.is_empty()
    }

    /// Empties the set and keeps its memory.
    pub fn clear(&mut self) {
        self.runs.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::collections::BTreeSet;
    use proptest::prelude::*;

    #[test]
    fn the_ends_of_the_number_line_hold() {
        let mut set = RangeSet::with_limit(2);
        assert_eq!(set.insert(u64::MAX), Ok(true));
        assert_eq!(set.insert(0), Ok(true));
        assert_eq!(set.insert(7), Err(Fault::Full("runs of a range set")));
        assert_eq!(set.insert(u64::MAX - 1), Ok(true));
        set.insert_range(0..=u64::MAX).unwrap();
        assert_eq!(set.ranges().collect::<Vec<_>>(), [0..=u64::MAX]);
        assert_eq!(set.count(), u64::MAX);
    }

    proptest! {
        #[test]
        fn it_is_a_set(ops in proptest::collection::vec((0u64..60, 0u64..6), 0..60)) {
            let (mut set, mut model) = (RangeSet::default(), BTreeSet::new());
            for (first, more) in ops {
                if more == 0 {
                    prop_assert_eq!(set.insert(first).unwrap(), model.insert(first));
                } else {
                    set.insert_range(first..=first + more).unwrap();
                    model.extend(first..=first + more);
                }
                prop_assert_eq!(set.ranges().flatten().collect::<Vec<_>>(), model.iter().copied().collect::<Vec<_>>());
                prop_assert_eq!(set.count(), model.len() as u64);
                let runs: Vec<_> = set.ranges().collect();
                prop_assert!(runs.windows(2).all(|w| w[0].end() + 1 < *w[1].start()));
            }
            for value in 0..70 {
                prop_assert_eq!(set.contains(value), model.contains(&value));
            }
        }
    }
}
