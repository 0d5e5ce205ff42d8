//! What a server says while it runs: one JSON object a line, for whoever
//! started it.

use afferent_link::message::Telemetry;
use serde_json::{Value, json};
use std::io::Write;
use std::net::SocketAddr;
use std::path::Path;

/// Prints events to standard output, or nothing.
#[derive(Debug, Clone, Copy)]
pub struct Events {
    /// Whether events are printed.
    pub on: bool,
}

impl Events {
    fn say(&self, event: &Value) {
        if self.on {
            let mut out = std::io::stdout().lock();
            // Whoever listened has gone: the server goes on.
            let _ = writeln!(out, "{event}").and_then(|()| out.flush());
        }
    }

    pub(crate) fn listening(&self, address: SocketAddr) {
        log::info!("listening on {address}");
        self.say(&json!({ "event": "listening", "address": address.to_string() }));
    }

    pub(crate) fn connected(&self, device: &str) {
        self.say(&json!({ "event": "connected", "device": device }));
    }

    pub(crate) fn disconnected(&self, device: &str) {
        self.say(&json!({ "event": "disconnected", "device": device }));
    }

    pub(crate) fn rows(&self, rows: u64) {
        self.say(&json!({ "event": "rows", "rows": rows }));
    }

    pub(crate) fn sealed(&self, path: &Path, rows: u64) {
        log::info!("sealed {rows} rows into {}", path.display());
        let file = path.file_name().map(|name| name.to_string_lossy().into_owned());
        self.say(&json!({ "event": "sealed", "file": file, "rows": rows }));
    }

    pub(crate) fn telemetry(&self, device: &str, telemetry: &Telemetry<'_>) {
        self.say(&json!({
            "event": "telemetry",
            "device": device,
            "clock_offset_us": telemetry.clock_offset_us,
            "clock_error_us": telemetry.clock_error_us,
            "spool_packets": telemetry.spool_packets,
            "spool_bytes": telemetry.spool_bytes,
            "dropped": telemetry.dropped,
            "temperature_mc": telemetry.temperature_mc,
            "throttled": telemetry.throttled,
            "throttle_flags": telemetry.throttle_flags,
            "energy_uj": telemetry.energy_uj,
            "meter": telemetry.meter,
        }));
    }
}
