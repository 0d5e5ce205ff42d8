//! The queue before the spool. It wakes the spool once per sync, not once per
//! sample: nothing is accepted before the sync anyway, and on a small board a
//! wake-up costs more than the write.

use crate::encode::Encoded;
use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Encoded samples on their way to the spool, bounded in bytes.
pub struct Queue {
    state: Mutex<State>,
    /// For the consumer: there is something, or enough, or no producer is left.
    filled: Condvar,
    /// For producers: there is room, or the consumer has gone.
    emptied: Condvar,
    batch_bytes: usize,
}

#[derive(Default)]
struct State {
    samples: VecDeque<Encoded>,
    bytes: usize,
    /// When the first of the samples came.
    since: Option<Instant>,
    producers: usize,
    closed: bool,
}

impl Queue {
    /// A queue for `producers` that ends a batch at `batch_bytes` and holds at
    /// most twice that (or one sample, however large).
    #[must_use]
    pub fn new(producers: usize, batch_bytes: usize) -> Self {
        Self {
            state: Mutex::new(State { producers, ..State::default() }),
            filled: Condvar::new(),
            emptied: Condvar::new(),
            batch_bytes,
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a sample, waiting for room; `false` if the consumer has gone.
    #[must_use]
    pub fn push(&self, sample: Encoded) -> bool {
        let full = |state: &mut State| {
            !state.closed && !state.samples.is_empty() && state.bytes + sample.body.len() > 2 * self.batch_bytes
        };
        let mut state = self.emptied.wait_while(self.lock(), full).unwrap_or_else(PoisonError::into_inner);
        if state.closed {
            return false;
        }
        state.bytes += sample.body.len();
        state.since.get_or_insert_with(Instant::now);
        state.samples.push_back(sample);
        if state.samples.len() == 1 || state.bytes >= self.batch_bytes {
            self.filled.notify_one();
        }
        true
    }

    /// A producer has ended.
    pub fn leave(&self) {
        self.lock().producers -= 1;
        self.filled.notify_one();
    }

    /// The consumer has gone: producers need not wait for it.
    pub fn close(&self) {
        self.lock().closed = true;
        self.emptied.notify_all();
    }

    /// Takes what there is `delay` after the first of it came, or sooner once
    /// it is enough for a batch. Empty if nothing came within `patience`;
    /// `None` once every producer has ended and everything is taken.
    #[must_use]
    pub fn take(&self, delay: Duration, patience: Duration) -> Option<VecDeque<Encoded>> {
        let nothing = |state: &mut State| state.samples.is_empty() && state.producers > 0;
        let (state, _) =
            self.filled.wait_timeout_while(self.lock(), patience, nothing).unwrap_or_else(PoisonError::into_inner);
        if state.samples.is_empty() {
            return (state.producers > 0).then(VecDeque::new);
        }
        let gathering = |state: &mut State| state.bytes < self.batch_bytes && state.producers > 0;
        let left = delay.saturating_sub(state.since.map_or(Duration::ZERO, |since| since.elapsed()));
        let (mut state, _) =
            self.filled.wait_timeout_while(state, left, gathering).unwrap_or_else(PoisonError::into_inner);
        state.bytes = 0;
        state.since = None;
        let taken = std::mem::take(&mut state.samples);
        self.emptied.notify_all();
        Some(taken)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spool::Meta;

    fn sample(stream: u32, bytes: usize) -> Encoded {
        Encoded { stream, meta: Meta::default(), body: vec![0; bytes], whole_us: None }
    }

    const LONG: Duration = Duration::from_secs(60);

    #[test]
    fn everything_comes_through_in_order_and_within_bounds() {
        let queue = Queue::new(2, 1000);
        let mut seen = [0; 2];
        std::thread::scope(|scope| {
            for stream in 0..2 {
                let queue = &queue;
                scope.spawn(move || {
                    for number in 0..500 {
                        assert!(queue.push(sample(stream, number)));
                    }
                    queue.leave();
                });
            }
            while let Some(batch) = queue.take(Duration::from_millis(1), LONG) {
                let bytes: usize = batch.iter().map(|s| s.body.len()).sum();
                assert!(bytes <= 2000 || batch.len() == 1, "{bytes}");
                for sample in batch {
                    let next = &mut seen[sample.stream as usize];
                    assert_eq!(sample.body.len(), *next);
                    *next += 1;
                }
            }
        });
        assert_eq!(seen, [500, 500]);
    }

    #[test]
    fn a_producer_does_not_wait_for_a_consumer_that_has_gone() {
        let queue = Queue::new(1, 10);
        assert!(queue.push(sample(0, 30)));
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| queue.push(sample(0, 30)));
            queue.close();
            assert!(!waiting.join().unwrap());
        });
    }

    #[test]
    fn silence_is_told_from_the_end() {
        let queue = Queue::new(1, 10);
        assert_eq!(queue.take(Duration::ZERO, Duration::ZERO).map(|batch| batch.len()), Some(0));
        queue.leave();
        assert!(queue.take(LONG, LONG).is_none());
    }
}
