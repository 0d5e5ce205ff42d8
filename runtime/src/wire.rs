//! What each connection carried on the wire, and how it is apportioned to rows.
//!
//! The five exact parts of a packet's rate are counted packet by packet. What
//! the transport adds (resends, acks, IP and UDP headers, encryption) is
//! measured per connection at the server's socket, both directions together.
//! The handshake is stated apart. The rest beyond the framed bytes of the
//! packets that were accepted is shared among them in proportion to their
//! framed bytes, as known when the rows are sealed; so the shares of a
//! connection that has ended add up exactly to what was measured. Datagrams
//! lost on their way to the server are in the agent's ledger, not in this one.

use afferent_measure::row::Row;
use afferent_media::{Code, Error, RateParts, Result};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// One connection's ledger, as measured by the server.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Wire {
    /// Random number of the connection.
    pub connection: u64,
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
        change(inner.wires.entry(connection).or_insert_with(|| Wire { connection, ..Wire::default() }));
        if !inner.changed.contains(&connection) {
            inner.changed.push(connection);
        }
    }

    /// What has changed since this was last asked.
    pub(crate) fn changed(&self) -> Vec<Wire> {
        let mut inner = self.lock();
        let changed = std::mem::take(&mut inner.changed);
        changed.iter().filter_map(|connection| inner.wires.get(connection).cloned()).collect()
    }

    /// Takes a ledger back that was written before a restart: its connection has ended.
    pub(crate) fn restore(&self, wire: Wire) {
        self.lock().wires.insert(wire.connection, Wire { closed: true, ..wire });
    }

    /// The connections that have not ended.
    pub(crate) fn open(&self) -> Vec<Wire> {
        self.lock().wires.values().filter(|wire| !wire.closed).cloned().collect()
    }

    pub(crate) fn forget_closed(&self) {
        self.lock().wires.retain(|_, wire| !wire.closed);
    }

    /// A row's share of its connection's overhead, in bytes.
    #[allow(clippy::cast_precision_loss)]
    pub(crate) fn share(&self, row: &Row) -> f64 {
        let connection = row.connection.as_deref().and_then(|hex| u64::from_str_radix(hex, 16).ok());
        let inner = self.lock();
        let Some(wire) = connection.and_then(|connection| inner.wires.get(&connection)) else {
            log::warn!("the ledger of connection {connection:?} is not known: its rows carry no transport bytes");
            return 0.0;
        };
        match wire.parts.framed().0 {
            0 => 0.0,
            framed => wire.overhead() * (row.parts().framed().0 as f64 / framed as f64),
        }
    }

    /// Writes all ledgers as one JSON array.
    pub(crate) fn write(&self, path: &Path) -> Result<()> {
        let wires: Vec<Wire> = self.lock().wires.values().cloned().collect();
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
