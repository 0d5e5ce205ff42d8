//! One stop for all stages.

use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

/// Tells every stage of an agent to end. Clones are the same stop.
#[derive(Clone, Default)]
pub struct Stop(Arc<Inner>);

#[derive(Default)]
struct Inner {
    set: Mutex<bool>,
    changed: Condvar,
    wake: tokio::sync::Notify,
}

impl Stop {
    /// Sets the stop.
    pub fn set(&self) {
        *self.0.set.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.0.changed.notify_all();
        self.0.wake.notify_one();
    }

    /// Whether the stop is set.
    #[must_use]
    pub fn is_set(&self) -> bool {
        *self.0.set.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sleeps for `time` or until the stop is set; whether it is set.
    #[must_use]
    pub fn sleep(&self, time: Duration) -> bool {
        let set = self.0.set.lock().unwrap_or_else(PoisonError::into_inner);
        let (set, _) =
            self.0.changed.wait_timeout_while(set, time, |set| !*set).unwrap_or_else(PoisonError::into_inner);
        *set
    }

    /// Waits until the stop is set. One task at a time may wait.
    pub async fn stopped(&self) {
        if !self.is_set() {
            self.0.wake.notified().await;
        }
    }
}
