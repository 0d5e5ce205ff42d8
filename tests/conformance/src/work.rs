//! Jobs over threads.

use afferent_media::{Code, Error, Result};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

/// The results of `count` jobs in their order, done by `threads` at once. Each thread has
/// a `W` of its own, which it keeps from job to job: what a job leaves there must not
/// matter to the next, whichever that is.
pub(crate) fn spread<W: Default, T: Send>(
    threads: usize,
    count: usize,
    job: impl Fn(&mut W, usize) -> Result<T> + Sync,
) -> Result<Vec<T>> {
    let next = AtomicUsize::new(0);
    let done = Mutex::new(Vec::with_capacity(count));
    std::thread::scope(|scope| {
        for _ in 0..threads.max(1) {
            scope.spawn(|| {
                let mut worker = W::default();
                loop {
                    let at = next.fetch_add(1, Ordering::Relaxed);
                    if at >= count {
                        return;
                    }
                    let result = job(&mut worker, at);
                    if let Ok(mut done) = done.lock() {
                        done.push((at, result));
                    }
                }
            });
        }
    });
    let mut done =
        done.into_inner().map_err(|_| Error::new(Code::Internal, "a job panicked", "report this with its message"))?;
    done.sort_by_key(|(at, _)| *at);
    done.into_iter().map(|(_, result)| result).collect()
}
