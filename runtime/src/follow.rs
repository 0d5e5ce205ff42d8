//! Follows the store: every packet that is durable and has no row yet goes to
//! a worker. The store itself is the queue, so a backlog takes no memory.

use crate::perceive::Perceiver;
use crate::rows::Made;
use crate::store::split;
use afferent_journal::{Found, Location, Reader};
use afferent_link::RangeSet;
use afferent_media::{Code, Error, Result};
use std::sync::mpsc::{Receiver, SyncSender};
use std::sync::{Condvar, Mutex, PoisonError};

/// How far the store is, for those who wait for it.
#[derive(Default)]
pub struct Progress {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    durable: u64,
    ended: bool,
}

impl Progress {
    /// Says that every record below `durable` is.
    pub fn synced(&self, durable: u64) {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).durable = durable;
        self.changed.notify_all();
    }

    /// Says that nothing more will be stored.
    pub fn end(&self) {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).ended = true;
        self.changed.notify_all();
    }

    /// Waits until records at or beyond `from` are durable; how far they are
    /// then, or `None` if nothing more will come.
    fn beyond(&self, from: u64) -> Option<u64> {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let waiting = |state: &mut State| state.durable <= from && !state.ended;
        let state = self.changed.wait_while(state, waiting).unwrap_or_else(PoisonError::into_inner);
        (state.durable > from).then_some(state.durable)
    }
}

/// Hands every place of the store that is not `done` to the workers, in order,
/// until nothing more will be stored.
///
/// # Errors
/// Those of reading the store.
pub fn follow(store: &Reader, done: &RangeSet, progress: &Progress, work: &SyncSender<Location>) -> Result<()> {
    // Everything in the first run of done places is behind us.
    let mut cursor = done.ranges().next().filter(|run| *run.start() == 0).map_or(0, |run| *run.end() + 1);
    while let Some(durable) = progress.beyond(cursor) {
        store.scan(cursor, |found| {
            match found {
                Found::Record(location, _) if location.index < durable && !done.contains(location.index) => {
                    work.send(location).map_err(|_| {
                        Error::new(Code::Internal, "every worker has ended", "see the first error in the log")
                    })?;
                }
                Found::Record(..) => {}
                Found::Damage(damage) => log::error!("store: {damage}"),
            }
            Ok(())
        })?;
        cursor = durable;
    }
    Ok(())
}

/// One worker: makes the rows of each place that it is handed.
///
/// # Errors
/// Those of reading the store.
pub fn work(
    store: &Reader,
    todo: &Mutex<Receiver<Location>>,
    mut perceiver: Perceiver,
    made: &SyncSender<Made>,
) -> Result<()> {
    let mut record = Vec::new();
    loop {
        let next = todo.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(location) = next else { return Ok(()) };
        let (packet, body) = split(store.read(&location, &mut record)?)?;
        let rows = perceiver.rows(&packet, body);
        if made.send(Made { place: location.index, rows }).is_err() {
            return Ok(());
        }
    }
}
