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
//!
//! What the device says of its board on a connection is kept beside its ledger,
//! and reaches the rows in the same way. A sample's energy is the time that its
//! encoder took times the device's own quotient of energy and encoding time: what
//! the board drew while encoders worked, idle share included, over the time that
//! they took, both since the device's meter was first read.

use crate::store::StoredPacket;
use afferent_link::message::{NoEnergy, Telemetry};
use afferent_measure::row::Row;
use afferent_media::{Code, Error, RateParts, Result};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// How a device's board was, by its reports on one connection.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Board {
    /// Energy in microjoules since the device's agent started, at the last report.
    pub energy_uj: Option<u64>,
    /// The meter's name, or why there is no energy reading.
    pub meter: String,
    /// When the energy was first metered, by the device's clock in microseconds
    /// since 1970; 0 if it was not.
    pub metered_from_us: i64,
    /// Of the energy: what was drawn while encoders worked, in microjoules.
    pub encode_uj: u64,
    /// For how long encoders worked meanwhile, each counted, in microseconds.
    pub encode_us: u64,
    /// The highest temperature that was reported, in thousandths of a degree Celsius.
    pub hottest_mc: Option<i32>,
    /// All throttling flags that were reported, joined.
    pub throttle_flags: Option<u32>,
}

impl Board {
    /// Takes a report.
    pub(crate) fn take(&mut self, report: &Telemetry<'_>) {
        let said = match report.no_energy {
            _ if !report.meter.is_empty() => report.meter,
            NoEnergy::NoMeter => "the device has no energy meter",
            NoEnergy::NoAccess => "the device may not read its energy meter",
            NoEnergy::Failed => "the device's energy meter failed",
            NoEnergy::Unsaid => "the device does not say why it has no energy reading",
        };
        self.energy_uj = report.energy_uj;
        said.clone_into(&mut self.meter);
        self.metered_from_us = i64::try_from(report.metered_from_us).unwrap_or(i64::MAX);
        (self.encode_uj, self.encode_us) = (report.encode_uj, report.encode_us);
        self.hottest_mc = self.hottest_mc.max(report.temperature_mc);
        if let Some(flags) = report.throttle_flags {
            self.throttle_flags = Some(self.throttle_flags.unwrap_or(0) | flags);
        }
    }

    /// The energy of a sample in joules, and by which meter and rule; or why there is none.
    #[allow(clippy::cast_precision_loss)]
    fn energy_j(&self, row: &Row) -> (Option<f64>, String) {
        if self.energy_uj.is_none() {
            return (None, self.meter.clone());
        }
        let Some(encode_ms) = row.encode_ms else { return (None, "nothing was encoded".to_owned()) };
        if self.encode_us == 0 {
            return (None, "the meter had not seen an encoder work by the device's last report".to_owned());
        }
        if row.captured_unix_us.is_none_or(|captured| captured < self.metered_from_us) {
            return (None, "captured before the device's meter was first read".to_owned());
        }
        // Microjoules over microseconds are watts.
        let watts = self.encode_uj as f64 / self.encode_us as f64;
        (Some(watts * encode_ms / 1e3), format!("{}: the board's energy while encoding, by encoding time", self.meter))
    }
}

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
    /// How the device's board was, if the device said so.
    #[serde(default)]
    pub board: Option<Board>,
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

    /// Tells a row what its device said of the board on the row's connection.
    pub(crate) fn describe_board(&self, row: &mut Row) {
        // A link in memory has no connection: the row says what it says.
        let Some(connection) = &row.connection else { return };
        let connection = u64::from_str_radix(connection, 16).ok();
        let inner = self.lock();
        let board = connection.and_then(|connection| inner.wires.get(&connection)?.board.as_ref());
        let Some(board) = board else {
            row.energy_reason = Some("the device made no report on this connection".to_owned());
            return;
        };
        let (energy, reason) = board.energy_j(row);
        row.energy_j = energy;
        row.energy_reason = Some(reason);
        row.throttle_flags = board.throttle_flags;
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
    fn report(meter: &str) -> Telemetry<'_> {
        Telemetry {
            sent_us: 2_000_000,
            clock_offset_us: 0,
            clock_error_us: 1,
            spool_packets: 0,
            spool_bytes: 0,
            dropped: 0,
            temperature_mc: None,
            throttled: None,
            energy_uj: None,
            no_energy: NoEnergy::NoAccess,
            meter,
            metered_from_us: 0,
            encode_uj: 0,
            encode_us: 0,
            throttle_flags: None,
        }
    }

    #[test]
    fn energy_reaches_the_rows_or_the_reason_does() {
        let connections = Connections::default();
        let told = |connections: &Connections, captured: i64| {
            let mut row = Row {
                connection: Some(format!("{:016x}", 7)),
                captured_unix_us: Some(captured),
                encode_ms: Some(4.0),
                ..Row::new()
            };
            connections.describe_board(&mut row);
            (row.energy_j, row.energy_reason.unwrap(), row.throttle_flags)
        };
        let take = |report: &Telemetry<'_>| {
            connections.update(7, |wire| wire.board.get_or_insert_default().take(report));
        };
        assert_eq!(told(&connections, 0).1, "the device made no report on this connection");
        // An earlier agent gives the class of the reason alone.
        take(&report(""));
        assert_eq!(told(&connections, 0), (None, "the device may not read its energy meter".to_owned(), None));
        take(&report("nothing answers at 0x40"));
        assert_eq!(told(&connections, 0).1, "nothing answers at 0x40");

        // 6 W while encoding: 4 ms of it are 24 mJ.
        let metered = Telemetry {
            energy_uj: Some(9_000_000),
            metered_from_us: 1_000_000,
            encode_uj: 3_000_000,
            encode_us: 500_000,
            temperature_mc: Some(61_000),
            throttle_flags: Some(0x50000),
            ..report("INA260")
        };
        take(&metered);
        take(&Telemetry { temperature_mc: Some(58_000), throttle_flags: Some(0x5), ..metered });
        let (energy, meter, flags) = told(&connections, 1_500_000);
        assert!(energy.is_some_and(|energy| (energy - 0.024).abs() < 1e-12), "{energy:?}");
        assert_eq!(
            (meter.as_str(), flags),
            ("INA260: the board's energy while encoding, by encoding time", Some(0x50005))
        );
        assert_eq!(connections.all()[0].board.as_ref().unwrap().hottest_mc, Some(61_000));
        assert_eq!(told(&connections, 900_000).1, "captured before the device's meter was first read");
        take(&Telemetry { encode_us: 0, ..metered });
        assert_eq!(told(&connections, 1_500_000).0, None);
        // Without a connection the row keeps what it says.
        let mut row = Row { energy_reason: Some("a sweep meters no energy".to_owned()), ..Row::new() };
        connections.describe_board(&mut row);
        assert_eq!(row.energy_reason.as_deref(), Some("a sweep meters no energy"));
    }
}
