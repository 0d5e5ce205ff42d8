//! What the service manager is told (`sd_notify(3)`): that the agent has started, and
//! from then on that the spool's stage loops and the sender's runtime is not blocked.
//! Without a service manager nothing is said.

use afferent_media::Result;
use sd_notify::{NotifyState, notify, watchdog_enabled};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// The agent as a service.
#[derive(Debug)]
pub(crate) struct Service {
    /// Silence after which the manager starts the agent again.
    watchdog: Option<Duration>,
    turns: AtomicU64,
}

impl Service {
    /// As the environment says.
    pub(crate) fn new() -> Self {
        Self { watchdog: watchdog_enabled(), turns: AtomicU64::new(0) }
    }

    /// Says that the streams are open and the stages have started.
    pub(crate) fn ready(&self) {
        tell(&[NotifyState::Ready]);
    }

    /// Says that the spool's stage loops.
    pub(crate) fn turned(&self) {
        self.turns.fetch_add(1, Ordering::Relaxed);
    }

    /// Does `sending`, and tells the manager meanwhile that the agent lives, with
    /// `status`: only while the spool's stage loops, and, because both are one task, only
    /// while `sending` does not block its thread. A `sending` that waits, however long,
    /// is not told from one that works.
    ///
    /// # Errors
    /// Those of `sending`.
    pub(crate) async fn watch(
        &self,
        sending: impl Future<Output = Result<()>>,
        status: impl Fn() -> String,
    ) -> Result<()> {
        let Some(watchdog) = self.watchdog else { return sending.await };
        let living = async {
            let mut seen = None;
            loop {
                let turns = self.turns.load(Ordering::Relaxed);
                if seen.replace(turns) != Some(turns) {
                    tell(&[NotifyState::Watchdog, NotifyState::Status(&status())]);
                }
                tokio::time::sleep(watchdog / 3).await;
            }
        };
        tokio::select! {
            sent = sending => sent,
            () = living => Ok(()),
        }
    }
}

fn tell(state: &[NotifyState<'_>]) {
    if let Err(error) = notify(state) {
        log::warn!("the service manager cannot be told how the agent is: {error}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Mutex;

    #[test]
    fn the_manager_hears_of_an_agent_only_while_it_turns() {
        let service = Service { watchdog: Some(Duration::from_millis(30)), turns: AtomicU64::new(0) };
        let said = Mutex::new(0);
        let status = || {
            *said.lock().unwrap() += 1;
            String::new()
        };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        // Nothing turns: the first word is the last.
        let stuck = async {
            tokio::time::sleep(Duration::from_millis(200)).await;
            Ok(())
        };
        let stuck = service.watch(stuck, status);
        runtime.block_on(stuck).unwrap();
        assert_eq!(*said.lock().unwrap(), 1);
        let turning = async {
            for _ in 0..20 {
                service.turned();
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            Ok(())
        };
        runtime.block_on(service.watch(turning, status)).unwrap();
        assert!(*said.lock().unwrap() > 2);
    }
}
