//! The server's store of packets, in a journal.
//!
//! A packet is acknowledged after its record is synced, and stored once: its
//! identity (device, spool epoch, stream, sequence) decides. One thread writes;
//! everything that arrived while the last sync ran is covered by the next one.

use crate::wire::Connections;
use afferent_journal::{Found, Journal, Options, Reader, RealDisk};
use afferent_link::{PacketKey, RangeSet};
use afferent_media::{Code, Error, RateParts, Result};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::ops::RangeInclusive;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::OwnedSemaphorePermit;
use tokio::sync::mpsc::{Receiver, UnboundedSender};

/// Name and operating point of a stream, as its device said; empty if a packet
/// came before that was said.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Opened {
    /// Name of the stream.
    pub name: String,
    /// Codec id.
    pub codec: String,
    /// Preset of the codec.
    pub preset: String,
    /// Knob in the codec's native unit.
    pub knob: Option<f32>,
}

/// What the store keeps of a packet besides its body.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StoredPacket {
    /// Name of the device, as its certificate says.
    pub device: String,
    /// Epoch of the device's spool.
    pub epoch: u64,
    /// Number of the stream.
    pub stream: u32,
    /// What the device said of the stream.
    pub opened: Opened,
    /// Place in the stream.
    pub sequence: u64,
    /// Wanted some time, rather than now.
    pub backfill: bool,
    /// The connection that carried it.
    pub connection: u64,
    /// The manifest's opaque sample id, or empty.
    pub sample_id: String,
    /// Device's wall clock at capture, microseconds since 1970.
    pub captured_us: i64,
    /// Device's wall clock when it was handed to the link, microseconds since 1970.
    pub sent_us: i64,
    /// Server's wall clock at arrival, microseconds since 1970.
    pub received_us: i64,
    /// Server's clock minus the device's, and how wrong that may be, microseconds.
    pub clock: Option<(i64, u64)>,
    /// Time the encoder took, microseconds.
    pub encode_us: u32,
    /// Where its bytes went, framing included.
    pub parts: RateParts,
}

impl StoredPacket {
    /// Which packet of its device and epoch this is.
    #[must_use]
    pub fn key(&self) -> PacketKey {
        PacketKey { stream: self.stream, sequence: self.sequence }
    }

    /// Whether the other is the same packet, however it came.
    fn is(&self, other: &Self) -> bool {
        (self.key(), self.epoch, &self.device) == (other.key(), other.epoch, &other.device)
    }
}

/// A packet on its way into the store.
pub struct Arrival {
    /// What is known of it.
    pub packet: StoredPacket,
    /// Its container, or a gap.
    pub body: Vec<u8>,
    /// Told once the packet is durable.
    pub stored: UnboundedSender<Stored>,
    /// The body's share of the memory for arrivals, given back once it is durable.
    pub memory: OwnedSemaphorePermit,
}

/// A packet that is durable.
#[derive(Debug, Clone, Copy)]
pub struct Stored {
    /// Which one.
    pub key: PacketKey,
    /// Where its bytes went.
    pub parts: RateParts,
    /// Whether this arrival was the first of it.
    pub first: bool,
}

type Spools = HashMap<(String, u64), HashMap<u32, RangeSet>>;

/// What is stored, for the sessions that welcome devices back.
#[derive(Clone, Default)]
pub struct Known(Arc<Mutex<Spools>>);

impl Known {
    fn lock(&self) -> std::sync::MutexGuard<'_, Spools> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn contains(&self, packet: &StoredPacket) -> bool {
        let spools = self.lock();
        let streams = spools.get(&(packet.device.clone(), packet.epoch));
        streams.and_then(|streams| streams.get(&packet.stream)).is_some_and(|set| set.contains(packet.sequence))
    }

    fn add<'a>(&self, packets: impl IntoIterator<Item = &'a StoredPacket>) {
        let mut spools = self.lock();
        for packet in packets {
            let streams = spools.entry((packet.device.clone(), packet.epoch)).or_default();
            if let Err(fault) = streams.entry(packet.stream).or_default().insert(packet.sequence) {
                // Stored all the same; sent again, it would be stored a second time.
                log::error!("device {}: {} cannot be noted as stored: {fault}", packet.device, packet.key());
            }
        }
    }

    /// The runs of sequences that are stored of each stream of a spool.
    #[must_use]
    pub fn ranges(&self, device: &str, epoch: u64) -> Vec<(u32, Vec<RangeInclusive<u64>>)> {
        let spools = self.lock();
        let Some(streams) = spools.get(&(device.to_owned(), epoch)) else { return Vec::new() };
        streams.iter().map(|(&stream, set)| (stream, set.ranges().collect())).collect()
    }
}

/// Most packets, and bytes of bodies, that one sync covers.
const BATCH_PACKETS: usize = 256;
const BATCH_BYTES: usize = 16 << 20;

/// The store. One thread owns it.
pub struct Store {
    journal: Journal,
    known: Known,
    connections: Connections,
}

impl Store {
    /// Opens the store in `folder`, or makes one. What each packet took is
    /// counted in `connections` once it is durable.
    ///
    /// # Errors
    /// [`Code::Io`] if the disk fails, [`Code::Corrupt`] if what is there is no store.
    pub fn open(folder: &Path, connections: Connections) -> Result<Self> {
        let (journal, recovery) = Journal::open(RealDisk::new(folder)?, Options::default())?;
        let known = Known::default();
        journal.reader().scan(recovery.first, |found| {
            match found {
                Found::Record(location, bytes) => {
                    let (packet, _) = split(bytes).map_err(|e| e.at(format!("record {}", location.index)))?;
                    known.add([&packet]);
                }
                Found::Damage(damage) => log::error!("store {}: {damage}", folder.display()),
            }
            Ok(())
        })?;
        log::info!("store {}: {} records, {} torn bytes dropped", folder.display(), recovery.next, recovery.torn_bytes);
        Ok(Self { journal, known, connections })
    }

    /// What is stored.
    #[must_use]
    pub fn known(&self) -> Known {
        self.known.clone()
    }

    /// Reads what is stored, beside the writer.
    #[must_use]
    pub fn reader(&self) -> Reader {
        self.journal.reader()
    }

    /// Stores what arrives until every sender has gone, calling `synced` after each sync.
    ///
    /// # Errors
    /// [`Code::Io`] if the disk fails; what was not synced is not acknowledged.
    pub fn run(mut self, arrivals: &mut Receiver<Arrival>, synced: impl Fn()) -> Result<()> {
        let mut head = Vec::new();
        let mut batch: Vec<(Arrival, bool)> = Vec::new();
        while let Some(arrival) = arrivals.blocking_recv() {
            let mut bytes = 0;
            let mut next = Some(arrival);
            while let Some(arrival) = next.take() {
                bytes += arrival.body.len();
                let again = batch.iter().any(|(other, _)| other.packet.is(&arrival.packet));
                let first = !again && !self.known.contains(&arrival.packet);
                if first {
                    head.clear();
                    head = postcard::to_extend(&arrival.packet, head).map_err(|e| {
                        Error::new(Code::Internal, "a packet cannot be stored", "report this").caused_by(e)
                    })?;
                    self.journal.append(&[&head, &arrival.body])?;
                }
                batch.push((Arrival { body: Vec::new(), ..arrival }, first));
                if batch.len() < BATCH_PACKETS && bytes < BATCH_BYTES {
                    next = arrivals.try_recv().ok();
                }
            }
            self.journal.sync()?;
            // Only now may anyone be told that these are stored.
            self.known.add(batch.iter().map(|(arrival, _)| &arrival.packet));
            for (arrival, _) in batch.iter().filter(|(_, first)| *first) {
                self.connections.count(&arrival.packet);
            }
            synced();
            for (arrival, first) in batch.drain(..) {
                let stored = Stored { key: arrival.packet.key(), parts: arrival.packet.parts, first };
                // A session that has gone needs no answer: its device will ask again.
                let _ = arrival.stored.send(stored);
            }
        }
        self.journal.close()
    }
}

/// The packet and body of a record.
///
/// # Errors
/// [`Code::Corrupt`] if it is no packet.
pub fn split(record: &[u8]) -> Result<(StoredPacket, &[u8])> {
    postcard::take_from_bytes(record).map_err(|e| {
        Error::new(Code::Corrupt, "the record is no stored packet", "give the server a data folder of its own")
            .caused_by(e)
    })
}
