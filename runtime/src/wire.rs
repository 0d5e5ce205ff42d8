//! What each connection carried on the wire, and how it is apportioned to rows.
//!
//! The five exact parts of a packet's rate are counted packet by packet. What
//! the transport adds (resends, acks, IP and UDP headers, encryption) is
//! measured per connection at the server's socket, both directions together.
//! The handshake is stated apart. The rest beyond the framed bytes of the
//! packets that were stored is shared among them in proportion to their framed
//! bytes, as known when the rows are sealed. Rows that are sealed after their
//! connection has ended have shares that add up exactly to what was measured;
//! rows sealed before have the ratio of that moment. Datagrams lost on their
//! way to the server are in the device's count, not in this one.

use crate::store::StoredPacket;
use afferent_measure::row::Row;
use afferent_media::{Code, Error, RateParts, Result};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// One connection's ledger, as measured by the server.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Wire {
    /// Random number of the connection in hexadecimal, as rows name it.
    pub connection: String,
    /// Name of the device.
    pub device: String,
    /// Bytes received from the device, IP and UDP headers included.
    pub up_bytes: u64,
    /// Bytes sent to the device, IP and UDP headers included.
    pub down_bytes: u64,
    /// Of both together: bytes up to the device's hello, before any packet.
    pub handshake_bytes: u64,
    /// Packets accepted on this connection for the first time.
    pub packets: u64,
    /// Where the bytes of those packets went.
    pub parts: RateParts,
    /// Bytes that the device says it sent on this connection, lost ones included, if it said goodbye.
    pub device_sent_bytes: Option<u64>,
    /// Whether the connection has ended.
    pub closed: bool,
}

impl Wire {
    /// What the transport added beyond handshake and framed packets.
    #[must_use]
    #[allow(clippy::cast_precision_loss)]
    fn overhead(&self) -> f64 {
        (self.up_bytes + self.down_bytes) as f64 - self.handshake_bytes as f64 - self.parts.framed().0 as f64
    }
}

#[derive(Default)]
struct Inner {
    wires: BTreeMap<u64, Wire>,
    changed: Vec<u64>,
    /// Oldest first.
    order: VecDeque<u64>,
}

/// Most ledgers kept in memory: those of the oldest ended connections go first.
const MAX_KEPT: usize = 4096;

impl Inner {
    fn wire(&mut self, connection: u64) -> &mut Wire {
        if !self.wires.contains_key(&connection) {
            self.order.push_back(connection);
            if self.order.len() > MAX_KEPT
                && let Some(place) = self.order.iter().position(|old| self.wires.get(old).is_some_and(|w| w.closed))
                && let Some(old) = self.order.remove(place)
            {
                self.wires.remove(&old);
            }
        }
        self.wires
            .entry(connection)
            .or_insert_with(|| Wire { connection: format!("{connection:016x}"), ..Wire::default() })
    }
}

/// The connections of a server.
#[derive(Clone, Default)]
pub struct Connections(Arc<Mutex<Inner>>);

impl Connections {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes how `connection` stands.
    pub fn update(&self, connection: u64, change: impl FnOnce(&mut Wire)) {
        let mut inner = self.lock();
        change(inner.wire(connection));
        if !inner.changed.contains(&connection) {
            inner.changed.push(connection);
        }
    }

    /// Counts a packet that was stored for the first time.
    pub(crate) fn count(&self, packet: &StoredPacket) {
        self.update(packet.connection, |wire| {
            wire.packets += 1;
            wire.parts += packet.parts;
        });
    }

    /// What has changed since this was last asked.
    pub(crate) fn changed(&self) -> Vec<Wire> {
        let mut inner = self.lock();
        let changed = std::mem::take(&mut inner.changed);
        changed.iter().filter_map(|connection| inner.wires.get(connection).cloned()).collect()
    }

    /// Takes a ledger back that was written before a restart: its connection has ended.
    pub(crate) fn restore(&self, wire: Wire) {
        if let Ok(connection) = u64::from_str_radix(&wire.connection, 16) {
            *self.lock().wire(connection) = Wire { closed: true, ..wire };
        }
    }

    /// Every ledger that is kept.
    pub(crate) fn all(&self) -> Vec<Wire> {
        self.lock().wires.values().cloned().collect()
    }

    /// A row's share of its connection's overhead, in bytes.
    #[allow(clippy::cast_precision_loss)]
    pub(crate) fn share(&self, row: &Row) -> f64 {
        // A link in memory has no connection, and nothing that a transport could add.
        let Some(connection) = &row.connection else { return 0.0 };
        let connection = u64::from_str_radix(connection, 16).ok();
        let inner = self.lock();
        let Some(wire) = connection.and_then(|connection| inner.wires.get(&connection)) else {
            log::warn!("the ledger of connection {connection:x?} is not known: its rows carry no transport bytes");
            return 0.0;
        };
        match wire.parts.framed().0 {
            0 => 0.0,
            framed => wire.overhead() * (row.parts().framed().0 as f64 / framed as f64),
        }
    }

    /// Writes the ledgers of these connections as one JSON array.
    pub(crate) fn write(&self, path: &Path, connections: &BTreeSet<String>) -> Result<()> {
        let wires: Vec<Wire> =
            self.lock().wires.values().filter(|wire| connections.contains(&wire.connection)).cloned().collect();
        let json = serde_json::to_vec_pretty(&wires)
            .map_err(|e| Error::new(Code::Internal, "the ledgers cannot be written", "report this").caused_by(e))?;
        std::fs::write(path, json).map_err(|e| Error::io(path.display().to_string(), e))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_add_up_to_what_was_measured() {
        let connections = Connections::default();
        let rows: Vec<Row> = [100, 900, 3000]
            .map(|payload| Row {
                connection: Some(format!("{:016x}", 7)),
                payload_bytes: payload,
                framing_bytes: 30,
                ..Row::new()
            })
            .into();
        connections.update(7, |wire| {
            wire.up_bytes = 6000;
            wire.down_bytes = 500;
            wire.handshake_bytes = 2000;
            wire.parts = rows.iter().map(Row::parts).sum();
        });
        let shares: f64 = rows.iter().map(|row| connections.share(row)).sum();
        let framed: u64 = rows.iter().map(|row| row.parts().framed().0).sum();
        assert!((shares - (6500.0 - 2000.0 - framed as f64)).abs() < 1e-9);
        assert_eq!(connections.changed().len(), 1);
        assert!(connections.changed().is_empty());
        assert_eq!(connections.share(&Row::new()), 0.0);
    }
}
