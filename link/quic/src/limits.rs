//! Every bound of a connection.

use quinn::{AckFrequencyConfig, IdleTimeout, TransportConfig, VarInt};
use std::sync::Arc;
use std::time::Duration;

/// Bounds of connections. Both ends state theirs; a peer that exceeds them is
/// disconnected with the reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Most bytes of a whole frame.
    pub max_frame: usize,
    /// Most packets that the agent may have open at once.
    pub streams: u32,
    /// Most bytes that the server holds unread of one connection. Besides
    /// these it assembles at most 16 packets at once.
    pub receive_window: u32,
    /// Most bytes that the agent holds sent and unacknowledged.
    pub send_window: u32,
    /// Most connections of a listener.
    pub connections: usize,
    /// A handshake takes no longer.
    pub handshake: Duration,
    /// A silent connection is given up after this long.
    pub idle: Duration,
    /// The agent breaks its own silence this often.
    pub keep_alive: Duration,
}

impl Default for Limits {
    /// Frames of 16 MiB, 256 packets at once, windows of 8 MiB (receiving) and
    /// 2 MiB (sending), 256 connections; 10 s for a handshake, 30 s of silence,
    /// broken every 10 s.
    fn default() -> Self {
        Self {
            max_frame: afferent_link::frame::MAX_FRAME,
            streams: 256,
            receive_window: 8 << 20,
            send_window: 2 << 20,
            connections: 256,
            handshake: Duration::from_secs(10),
            idle: Duration::from_secs(30),
            keep_alive: Duration::from_secs(10),
        }
    }
}

/// Bytes of control frames that may wait unread at either end.
const CONTROL_WINDOW: u32 = 256 << 10;

/// The server is asked to let so many datagrams pass before it acks one at once: below
/// the first congestion window of 10. Each ack wakes the agent.
const UNACKED: u32 = 8;

impl Limits {
    /// The agent's end: it receives control frames only.
    pub(crate) fn agent(&self) -> Arc<TransportConfig> {
        let mut transport = self.common();
        let mut acks = AckFrequencyConfig::default();
        acks.ack_eliciting_threshold(VarInt::from_u32(UNACKED));
        transport
            .ack_frequency_config(Some(acks))
            .max_concurrent_bidi_streams(VarInt::from_u32(0))
            .max_concurrent_uni_streams(VarInt::from_u32(0))
            .stream_receive_window(VarInt::from_u32(CONTROL_WINDOW))
            .receive_window(VarInt::from_u32(CONTROL_WINDOW))
            .send_window(self.send_window.into())
            .keep_alive_interval(Some(self.keep_alive));
        Arc::new(transport)
    }

    /// The server's end: one control stream, and packets.
    pub(crate) fn server(&self) -> Arc<TransportConfig> {
        let mut transport = self.common();
        transport
            .max_concurrent_bidi_streams(VarInt::from_u32(1))
            .max_concurrent_uni_streams(VarInt::from_u32(self.streams))
            .stream_receive_window(VarInt::from_u32(self.receive_window))
            .receive_window(VarInt::from_u32(self.receive_window))
            .send_window(CONTROL_WINDOW.into());
        Arc::new(transport)
    }

    fn common(&self) -> TransportConfig {
        let mut transport = TransportConfig::default();
        let idle = u32::try_from(self.idle.as_millis()).unwrap_or(u32::MAX);
        transport
            .max_idle_timeout(Some(IdleTimeout::from(VarInt::from_u32(idle))))
            .datagram_receive_buffer_size(None)
            // One packet after the other, not all at the same slow pace.
            .send_fairness(false);
        transport
    }
}
