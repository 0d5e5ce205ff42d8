//! The spool: what is accepted waits here, on disk, until it is acknowledged.
//!
//! A sample is *accepted* once its record is synced; then it gets its identity
//! (spool epoch, stream, sequence) and becomes visible to the sender. Records
//! of acknowledged samples are freed a whole segment at a time, after a
//! checkpoint that says which those were is itself synced.
//!
//! At every recovery: accepted = acknowledged + spooled + recorded lost.

use afferent_journal::{Disk, Found, Journal, Location, Options, Reader, SyncPolicy};
use afferent_link::message::{Class, MAX_SAMPLE_ID, PacketHeader};
use afferent_link::{PacketKey as Key, RangeSet};
use afferent_media::{Code, Error, RateParts, Result};
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// What is known of a spooled sample besides its body.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Meta {
    /// The manifest's opaque id, or empty.
    pub sample_id: String,
    /// Wanted some time, rather than now.
    pub backfill: bool,
    /// Wall clock at capture, microseconds since 1970.
    pub captured_us: i64,
    /// Time the encoder took, microseconds.
    pub encode_us: u32,
    /// Where the body's bytes went (framing is the link's and zero here).
    pub parts: RateParts,
    /// Where the source goes on after it, if it can go on anywhere. The record has it
    /// beside the meta data, where older spools have nothing.
    #[serde(skip)]
    pub position: Option<u64>,
}

impl Meta {
    /// What the link says of the packet `key` before its body, sent at `sent_us`
    /// microseconds since 1970. An id that is too long for the link is cut.
    #[must_use]
    pub fn header(&self, key: Key, sent_us: u64) -> PacketHeader<'_> {
        let small = |bytes: u64| u32::try_from(bytes).unwrap_or(u32::MAX);
        PacketHeader {
            class: if self.backfill { Class::Backfill } else { Class::Live },
            captured_us: u64::try_from(self.captured_us).unwrap_or(0),
            sent_us,
            encode_us: self.encode_us,
            payload: small(self.parts.payload.0),
            side: small(self.parts.side.0),
            header: small(self.parts.header.0),
            sample: &self.sample_id[..self.sample_id.floor_char_boundary(MAX_SAMPLE_ID)],
            ..PacketHeader::new(key.stream, key.sequence)
        }
    }
}

#[derive(Serialize, Deserialize)]
enum Record {
    /// The random epoch of what follows: the first record of a spool, and later where
    /// [`Shared::begin_another_epoch`] has asked for another.
    Epoch(u64),
    /// A sample; its body follows. The epoch is in each, because any other
    /// record may be damaged.
    Sample { epoch: u64, stream: u32, sequence: u64, meta: Meta },
    /// All that must be known once older segments are freed.
    Checkpoint { epoch: u64, streams: Vec<SavedStream>, lost: u64 },
    /// As `Sample`, with where the stream's source goes on after it.
    Placed { epoch: u64, stream: u32, sequence: u64, position: u64, meta: Meta },
    /// Before a checkpoint: where the source of each stream goes on.
    Positions(Vec<(u32, u64)>),
    /// From here on, and before a checkpoint: the streams' names by their numbers.
    Names(Vec<(u32, String)>),
}

#[derive(Serialize, Deserialize)]
struct SavedStream {
    number: u32,
    next: u64,
    settled: Vec<(u64, u64)>,
}

#[derive(Default)]
struct Stream {
    /// Sequence of the next sample.
    next: u64,
    /// Sequences that need not be sent any more: acknowledged or recorded lost.
    settled: RangeSet,
}

impl Stream {
    /// Counts a sample as settled; whether there was room to note that. Where
    /// there was none, it stays pending and is settled when it is sent again.
    fn settle(&mut self, sequence: u64) -> bool {
        self.settled.insert(sequence).is_ok()
    }

    /// The sequences below `next` that are not settled.
    fn unsettled(&self) -> Vec<u64> {
        let mut from = 0;
        let mut holes = Vec::new();
        for run in self.settled.ranges() {
            holes.extend(from..*run.start());
            from = run.end().saturating_add(1);
        }
        holes.extend(from..self.next);
        holes
    }
}

/// How the spool stands: `accepted = acknowledged + spooled + lost`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Standing {
    /// Samples whose record was synced.
    pub accepted: u64,
    /// Samples the server has acknowledged.
    pub acknowledged: u64,
    /// Samples that wait.
    pub spooled: u64,
    /// Samples whose record was damaged on disk, found at a recovery.
    pub lost: u64,
    /// Bytes of segments on disk.
    pub disk: afferent_media::Bytes,
    /// Samples since the start that the sources could not deliver or withheld. Gaps,
    /// which are accepted, say why.
    pub dropped: u64,
}

/// A sample that waits to be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pending {
    /// Who it is.
    pub key: Key,
    /// Where its record is.
    pub location: Location,
}

#[derive(Default)]
struct State {
    streams: BTreeMap<u32, Stream>,
    /// Durable and not acknowledged, by place in the journal.
    pending: BTreeMap<u64, Pending>,
    places: BTreeMap<Key, u64>,
    lost: u64,
    disk: u64,
    dropped: u64,
    /// No more samples will come.
    ended: bool,
    /// The next opening is to have another epoch.
    another_epoch: bool,
}

/// The side of the spool that the sender and observers see.
pub struct Shared {
    epoch: u64,
    state: Mutex<State>,
    changed: Condvar,
    wake: tokio::sync::Notify,
}

impl State {
    /// `next` is that of every record so far, accepted or not.
    fn checkpoint(&self, epoch: u64, next: &BTreeMap<u32, u64>) -> Record {
        let streams = next.iter().map(|(&number, &next)| {
            let settled = self.streams.get(&number).into_iter().flat_map(|stream| stream.settled.ranges());
            SavedStream { number, next, settled: settled.map(|run| (*run.start(), *run.end())).collect() }
        });
        Record::Checkpoint { epoch, streams: streams.collect(), lost: self.lost }
    }

    fn settle(&mut self, key: Key) -> bool {
        let Some(&place) = self.places.get(&key) else { return false };
        let settled = self.streams.entry(key.stream).or_default().settle(key.sequence);
        if settled {
            self.places.remove(&key);
            self.pending.remove(&place);
        }
        settled
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The random number drawn when this spool was made.
    #[must_use]
    pub fn epoch(&self) -> u64 {
        self.epoch
    }

    /// How the spool stands.
    #[must_use]
    pub fn standing(&self) -> Standing {
        let state = self.state();
        let accepted = state.streams.values().map(|s| s.next).sum::<u64>();
        let spooled = state.pending.len() as u64;
        Standing {
            accepted,
            acknowledged: accepted - spooled - state.lost,
            spooled,
            lost: state.lost,
            disk: afferent_media::Bytes(state.disk),
            dropped: state.dropped,
        }
    }

    /// Where a pending sample is.
    #[must_use]
    pub fn find(&self, key: Key) -> Option<Pending> {
        let state = self.state();
        state.places.get(&key).and_then(|place| state.pending.get(place).copied())
    }

    /// The first pending sample at or after place `from` of the journal.
    #[must_use]
    pub fn next_pending(&self, from: u64) -> Option<Pending> {
        self.state().pending.range(from..).next().map(|(_, pending)| *pending)
    }

    /// Frees samples `first..=last` of `stream`.
    pub fn acknowledge(&self, stream: u32, first: u64, last: u64) {
        let mut state = self.state();
        let range = Key { stream, sequence: first }..=Key { stream, sequence: last };
        let keys: Vec<Key> = state.places.range(range).map(|(key, _)| *key).collect();
        for key in keys {
            state.settle(key);
        }
        drop(state);
        self.changed.notify_all();
    }

    /// Gives up a sample whose record is damaged on disk, and counts it as lost.
    pub fn lose(&self, key: Key) {
        let mut state = self.state();
        if state.settle(key) {
            state.lost += 1;
        }
        drop(state);
        self.changed.notify_all();
    }

    /// Counts samples that a source could not deliver or withheld.
    pub fn drop_samples(&self, missing: u64) {
        let mut state = self.state();
        state.dropped = state.dropped.saturating_add(missing);
    }

    /// Of each stream: the sequence after the last that was accepted.
    #[must_use]
    pub fn ends(&self) -> BTreeMap<u32, u64> {
        self.state().streams.iter().map(|(&number, stream)| (number, stream.next)).collect()
    }

    /// Gives the spool another epoch when it is opened next, so that the server takes
    /// nothing of it for a repetition.
    pub fn begin_another_epoch(&self) {
        self.state().another_epoch = true;
    }

    /// Whether no more samples will come and none waits.
    #[must_use]
    pub fn drained(&self) -> bool {
        let state = self.state();
        state.ended && state.pending.is_empty()
    }

    /// Whether no more samples will come.
    #[must_use]
    pub fn ended(&self) -> bool {
        self.state().ended
    }

    /// Says that no more samples will come.
    pub fn end(&self) {
        self.state().ended = true;
        self.wake.notify_one();
    }

    /// Waits until samples became pending, or the spool ended.
    pub async fn woken(&self) {
        self.wake.notified().await;
    }
}

/// The side of the spool that writes. One thread owns it.
pub struct Spool {
    journal: Journal,
    shared: Arc<Shared>,
    /// Appended, not yet durable.
    fresh: Vec<Pending>,
    next: BTreeMap<u32, u64>,
    /// Where the source of each stream goes on, where it has a position.
    positions: BTreeMap<u32, u64>,
    /// What the streams were called last.
    names: BTreeMap<u32, String>,
    max_bytes: u64,
    /// Everything below this place was settled at the last checkpoint.
    freed: u64,
    head: Vec<u8>,
}

/// A checkpoint is written once this many records were settled since the last.
const FREE_EVERY: u64 = 256;

/// Takes the streams' new names. What was known of a stream that had another name is not
/// true of the one that has its number now.
fn rename(names: &mut BTreeMap<u32, String>, positions: &mut BTreeMap<u32, u64>, saved: Vec<(u32, String)>) {
    let saved: BTreeMap<u32, String> = saved.into_iter().collect();
    for (&number, was) in names.iter() {
        if saved.get(&number) != Some(was) {
            positions.insert(number, 0);
        }
    }
    *names = saved;
}

/// The limits of a spool.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Size of a segment.
    pub segment: afferent_media::Bytes,
    /// Most bytes on disk.
    pub max: afferent_media::Bytes,
    /// When to sync.
    pub sync: SyncPolicy,
}

impl Spool {
    /// Opens the spool on `disk`, or makes one of epoch `fresh_epoch` (drawn
    /// at random by the caller).
    ///
    /// # Errors
    /// [`Code::Io`] if the disk fails, [`Code::Corrupt`] if what is there is no spool.
    pub fn open(disk: impl Disk + 'static, limits: Limits, fresh_epoch: u64) -> Result<Self> {
        let place = disk.place();
        let options = Options { segment_bytes: limits.segment.0, sync: limits.sync, ..Options::default() };
        let (journal, recovery) = Journal::open(disk, options)?;
        let mut epoch = None;
        let mut damaged = 0;
        let mut state = State::default();
        let mut positions = BTreeMap::new();
        let mut names = BTreeMap::new();
        journal.scan(recovery.first, |found| {
            let (location, bytes) = match found {
                Found::Record(location, bytes) => (location, bytes),
                Found::Damage(damage) => {
                    log::error!("spool {place}: {damage}");
                    damaged += damage.records.end - damage.records.start;
                    return Ok(());
                }
            };
            let (record, _body) = postcard::take_from_bytes::<Record>(bytes).map_err(|e| {
                Error::new(
                    Code::Corrupt,
                    format!("record {} of {} is no spool record", location.index, place),
                    "give the agent a spool folder of its own",
                )
                .caused_by(e)
            })?;
            if let Record::Placed { stream, position, .. } = &record {
                positions.insert(*stream, *position);
            }
            match record {
                Record::Epoch(number) => epoch = Some(number),
                Record::Positions(saved) => positions.extend(saved),
                Record::Names(saved) => rename(&mut names, &mut positions, saved),
                Record::Sample { epoch: number_of_spool, stream: number, sequence, .. }
                | Record::Placed { epoch: number_of_spool, stream: number, sequence, .. } => {
                    epoch = Some(number_of_spool);
                    let key = Key { stream: number, sequence };
                    let stream = state.streams.entry(number).or_default();
                    stream.next = stream.next.max(sequence + 1);
                    if !stream.settled.contains(sequence) {
                        state.pending.insert(location.index, Pending { key, location });
                        state.places.insert(key, location.index);
                    }
                }
                Record::Checkpoint { epoch: number, streams, lost } => {
                    epoch = Some(number);
                    state.lost = lost;
                    // It knows the sequences of everything before it, damaged since or not.
                    damaged = 0;
                    for saved in streams {
                        let stream = state.streams.entry(saved.number).or_default();
                        stream.next = stream.next.max(saved.next);
                        for (first, last) in saved.settled {
                            stream.settled.insert_range(first..=last)?;
                        }
                    }
                    let State { streams, pending, places, .. } = &mut state;
                    pending.retain(|_, p| {
                        let settled = streams.get(&p.key.stream).is_some_and(|s| s.settled.contains(p.key.sequence));
                        if settled {
                            places.remove(&p.key);
                        }
                        !settled
                    });
                }
            }
            Ok(())
        })?;
        // A damaged record may have been the newest of any stream: its sequence
        // must not be given again, so as many are skipped, and recorded as lost.
        if damaged > 0 {
            // One whose every record is damaged is known by its name alone.
            for &number in names.keys() {
                state.streams.entry(number).or_default();
            }
        }
        for stream in state.streams.values_mut() {
            stream.next += damaged;
        }
        let lost_before = state.lost;
        // What was accepted and is neither settled nor here was damaged on disk.
        for (&number, stream) in &mut state.streams {
            for sequence in stream.unsettled() {
                if !state.places.contains_key(&Key { stream: number, sequence }) {
                    stream.settled.insert(sequence)?;
                    state.lost += 1;
                    log::error!("spool {}: {number}/{sequence} is lost: its record is damaged", place);
                }
            }
        }
        let next = state.streams.iter().map(|(&number, stream)| (number, stream.next)).collect();
        state.disk = journal.bytes();
        let fresh = epoch.is_none();
        let newly_lost = state.lost > lost_before;
        let shared = Arc::new(Shared {
            epoch: epoch.unwrap_or(fresh_epoch),
            state: Mutex::new(state),
            changed: Condvar::new(),
            wake: tokio::sync::Notify::new(),
        });
        let mut spool = Self {
            journal,
            shared,
            fresh: Vec::new(),
            next,
            positions,
            names,
            max_bytes: limits.max.0,
            freed: recovery.first,
            head: Vec::new(),
        };
        if fresh {
            spool.append(&Record::Epoch(fresh_epoch), &[])?;
            spool.sync()?;
        } else if newly_lost {
            // Damage is counted once, not at every opening.
            spool.checkpoint()?;
            spool.sync()?;
        }
        let standing = spool.shared.standing();
        log::info!(
            "spool {}: epoch {:016x}, {} accepted = {} acknowledged + {} spooled + {} lost; {} torn bytes dropped",
            place,
            spool.shared.epoch,
            standing.accepted,
            standing.acknowledged,
            standing.spooled,
            standing.lost,
            recovery.torn_bytes
        );
        Ok(spool)
    }

    fn append(&mut self, record: &Record, body: &[u8]) -> Result<Location> {
        self.head.clear();
        self.head = postcard::to_extend(record, std::mem::take(&mut self.head))
            .map_err(|e| Error::new(Code::Internal, "a spool record cannot be written", "report this").caused_by(e))?;
        self.journal.append(&[&self.head, body])
    }

    /// The side that the sender sees.
    #[must_use]
    pub fn shared(&self) -> Arc<Shared> {
        Arc::clone(&self.shared)
    }

    /// A reader of records, independent of this writer.
    #[must_use]
    pub fn reader(&self) -> BodyReader {
        BodyReader { reader: self.journal.reader() }
    }

    /// Sequence of the next sample of `stream`.
    #[must_use]
    pub fn next_sequence(&self, stream: u32) -> u64 {
        self.next.get(&stream).copied().unwrap_or(0)
    }

    /// Where the source of `stream` goes on: after the position of its last sample, or,
    /// where none is known, at the number of its next one.
    #[must_use]
    pub fn position(&self, stream: u32) -> u64 {
        self.positions.get(&stream).copied().unwrap_or_else(|| self.next_sequence(stream))
    }

    /// Says what the streams are called, by their numbers. A stream of another name is
    /// another one: its source begins at its beginning.
    ///
    /// # Errors
    /// [`Code::Config`] while samples wait whose stream has another name now, or none;
    /// [`Code::Io`] if the disk fails.
    pub fn name_streams(&mut self, names: &[&str]) -> Result<()> {
        for (&number, was) in &self.names {
            let now = names.get(number as usize);
            if now == Some(&was.as_str()) {
                continue;
            }
            let waiting = self.shared.state().pending.values().filter(|pending| pending.key.stream == number).count();
            if waiting > 0 {
                let now = now.map_or("is not there".to_owned(), |name| format!("is `{name}`"));
                return Err(Error::new(
                    Code::Config,
                    format!("stream number {number} was `{was}` and {now} now, and {waiting} of its samples wait"),
                    "keep the streams' names and order until these are sent, or choose another spool.folder",
                ));
            }
        }
        let saved: Vec<_> = (0..).zip(names).map(|(number, &name)| (number, name.to_owned())).collect();
        if !saved.iter().map(|(number, name)| (number, name)).eq(&self.names) {
            self.append(&Record::Names(saved.clone()), &[])?;
            self.sync()?;
            rename(&mut self.names, &mut self.positions, saved);
        }
        Ok(())
    }

    /// Writes a checkpoint; the place of its first record.
    fn checkpoint(&mut self) -> Result<u64> {
        let names = Record::Names(self.names.iter().map(|(&stream, name)| (stream, name.clone())).collect());
        let first = self.append(&names, &[])?.index;
        let positions = Record::Positions(self.positions.iter().map(|(&stream, &at)| (stream, at)).collect());
        self.append(&positions, &[])?;
        let record = self.shared.state().checkpoint(self.shared.epoch, &self.next);
        self.append(&record, &[])?;
        Ok(first)
    }

    /// Writes a sample. It is accepted by the next [`sync`](Self::sync).
    ///
    /// # Errors
    /// [`Code::Io`] if the disk fails.
    pub fn push(&mut self, stream: u32, meta: Meta, body: &[u8]) -> Result<()> {
        let key = Key { stream, sequence: self.next_sequence(stream) };
        let epoch = self.shared.epoch;
        let sequence = key.sequence;
        let record = match meta.position {
            Some(position) => Record::Placed { epoch, stream, sequence, position, meta },
            None => Record::Sample { epoch, stream, sequence, meta },
        };
        let location = self.append(&record, body)?;
        if let Record::Placed { position, .. } = record {
            self.positions.insert(stream, position);
        }
        self.next.insert(stream, key.sequence + 1);
        self.fresh.push(Pending { key, location });
        Ok(())
    }

    /// Syncs: what was pushed is accepted from here on.
    ///
    /// # Errors
    /// [`Code::Io`] if the disk fails; then nothing that was pushed since the last
    /// sync is accepted, and the spool must be opened again.
    pub fn sync(&mut self) -> Result<()> {
        self.journal.sync()?;
        let mut state = self.shared.state();
        for pending in self.fresh.drain(..) {
            state.streams.entry(pending.key.stream).or_default().next = pending.key.sequence + 1;
            state.places.insert(pending.key, pending.location.index);
            state.pending.insert(pending.location.index, pending);
        }
        state.disk = self.journal.bytes();
        drop(state);
        self.shared.wake.notify_one();
        Ok(())
    }

    /// Frees the segments in which everything is acknowledged.
    ///
    /// # Errors
    /// [`Code::Io`] if the disk fails.
    pub fn free(&mut self) -> Result<()> {
        let oldest = self.shared.state().pending.keys().next().copied().unwrap_or(self.journal.durable());
        let settled = oldest.saturating_sub(self.freed);
        if settled == 0 || (settled < FREE_EVERY && !self.full()) {
            return Ok(());
        }
        self.freed = oldest;
        if self.full() {
            // The newest segment is never deleted: begin another.
            self.journal.seal()?;
        }
        let checkpoint = self.checkpoint()?;
        self.sync()?;
        self.journal.release(oldest.min(checkpoint))?;
        self.shared.state().disk = self.journal.bytes();
        Ok(())
    }

    /// Whether the spool is at its limit.
    #[must_use]
    pub fn full(&self) -> bool {
        self.journal.bytes() >= self.max_bytes
    }

    /// Waits until something was acknowledged, or `timeout` passed.
    pub fn wait(&self, timeout: Duration) {
        let state = self.shared.state();
        drop(self.shared.changed.wait_timeout(state, timeout).unwrap_or_else(PoisonError::into_inner));
    }

    /// Syncs, writes a checkpoint and the mark of a clean end.
    ///
    /// # Errors
    /// [`Code::Io`] if the disk fails.
    pub fn close(mut self) -> Result<()> {
        self.sync()?;
        self.checkpoint()?;
        if self.shared.state().another_epoch {
            self.append(&Record::Epoch(rand::random()), &[])?;
        }
        self.journal.close()
    }
}

/// Reads spooled samples.
pub struct BodyReader {
    reader: Reader,
}

impl BodyReader {
    /// The meta data and body of a pending sample.
    ///
    /// # Errors
    /// [`Code::Corrupt`] if the record is damaged on disk, [`Code::Io`] if it cannot be read.
    pub fn read(&mut self, pending: &Pending) -> Result<(Meta, Bytes)> {
        let mut buffer = Vec::new();
        let record = self.reader.read(&pending.location, &mut buffer)?;
        match postcard::take_from_bytes(record) {
            Ok((
                Record::Sample { stream, sequence, meta, .. } | Record::Placed { stream, sequence, meta, .. },
                body,
            )) if (Key { stream, sequence }) == pending.key => {
                // The body is the end of what was read: it is handed on without a copy.
                let length = body.len();
                let start = buffer.len() - length;
                Ok((meta, Bytes::from(buffer).slice(start..)))
            }
            _ => Err(Error::new(
                Code::Corrupt,
                format!("the record of {} holds something else", pending.key),
                "check the disk of the spool",
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use afferent_journal::RealDisk;
    use std::path::Path;

    fn open(folder: &Path) -> Spool {
        let limits = Limits {
            segment: afferent_media::Bytes(1 << 20),
            max: afferent_media::Bytes(1 << 24),
            sync: SyncPolicy { max_delay: Duration::ZERO, max_bytes: 1 << 20 },
        };
        Spool::open(RealDisk::new(folder).unwrap(), limits, 7).unwrap()
    }

    fn push(spool: &mut Spool, stream: u32, position: Option<u64>) {
        spool.push(stream, Meta { position, ..Meta::default() }, &[stream as u8; 1000]).unwrap();
    }

    #[test]
    fn damage_is_counted_once() {
        let folder = tempfile::tempdir().unwrap();
        let mut spool = open(folder.path());
        for stream in [0, 1, 0, 1, 0] {
            push(&mut spool, stream, None);
        }
        spool.sync().unwrap();
        spool.shared().acknowledge(0, 0, 2);
        spool.shared().acknowledge(1, 0, 1);
        spool.close().unwrap();

        let damage_newest = |at: usize| {
            let files = std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().path());
            let newest = files.filter(|path| path.extension().is_some_and(|e| e == "seg")).max().unwrap();
            let mut bytes = std::fs::read(&newest).unwrap();
            bytes[at] ^= 0xff;
            std::fs::write(&newest, bytes).unwrap();
        };
        // Acknowledged before the checkpoint of the end: nothing of it is lost.
        damage_newest(2500);
        let standing = open(folder.path()).shared().standing();
        assert_eq!((standing.accepted, standing.acknowledged, standing.lost), (5, 5, 0));

        let mut spool = open(folder.path());
        for stream in [0, 1, 0] {
            push(&mut spool, stream, None);
        }
        spool.sync().unwrap();
        drop(spool);
        // The first of the three; it may have been of either stream.
        damage_newest(600);
        let once = open(folder.path()).shared().standing();
        assert!(once.lost > 0 && once.spooled == 2, "{once:?}");
        for _ in 0..3 {
            let again = open(folder.path()).shared().standing();
            assert_eq!((again.accepted, again.lost, again.spooled), (once.accepted, once.lost, 2));
        }
    }

    #[test]
    fn a_stream_keeps_its_name_while_samples_wait() {
        let folder = tempfile::tempdir().unwrap();
        let mut spool = open(folder.path());
        spool.name_streams(&["eye", "ear"]).unwrap();
        push(&mut spool, 0, Some(3));
        push(&mut spool, 1, Some(4));
        spool.sync().unwrap();
        spool.shared().acknowledge(0, 0, 0);
        for names in [&["eye", "door"][..], &["ear", "eye"], &["eye"]] {
            let error = spool.name_streams(names).unwrap_err();
            assert_eq!(error.code(), Code::Config);
            assert!(error.what().contains("`ear`") && error.what().contains("1 of its samples"), "{error}");
        }
        spool.name_streams(&["gate", "ear", "more"]).unwrap();
        assert_eq!((spool.position(0), spool.position(1)), (0, 4));
        spool.close().unwrap();
        let mut spool = open(folder.path());
        assert_eq!((spool.position(0), spool.position(1)), (0, 4));
        assert!(spool.name_streams(&["gate", "door"]).is_err());
        spool.shared().acknowledge(1, 0, 0);
        spool.name_streams(&["gate", "door"]).unwrap();
        assert_eq!((spool.position(0), spool.position(1)), (0, 0));
    }
}
