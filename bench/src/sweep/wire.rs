//! The link in memory that joins the agent's stages to the runtime's.
//!
//! Packets are framed, parsed and acknowledged by the sessions that real
//! agents and servers use, so that their framing is counted where it passes. A
//! link in memory has no transport: rows that came over it have no connection.

use afferent_agent::encode::Encoded;
use afferent_agent::source::wall_us;
use afferent_link::frame::PacketFrame;
use afferent_link::memory::{Arrival, End, Faults, Link};
use afferent_link::{Now, PacketKey, agent, server};
use afferent_media::{Code, Error, Result};
use afferent_runtime::store::{Opened, StoredPacket};

/// One worker's link: both ends of it.
pub(crate) struct Wire {
    agent: agent::Session,
    server: server::Session,
    link: Link,
    device: String,
    epoch: u64,
    frame: Vec<u8>,
}

impl Wire {
    /// A connected link of `device`, whose packets belong to `epoch`, for so many streams.
    pub(crate) fn new(device: &str, epoch: u64, streams: usize) -> Result<Self> {
        let greeting = agent::Greeting { device: device.to_owned(), epoch, ..agent::Greeting::default() };
        let mut wire = Self {
            agent: agent::Session::new(agent::Config::default(), greeting),
            server: server::Session::new(
                server::Config { streams, ..server::Config::default() },
                concat!("afferent ", env!("CARGO_PKG_VERSION")),
            ),
            link: Link::new(Faults::NONE, 0),
            device: device.to_owned(),
            epoch,
            frame: Vec::new(),
        };
        let now = Self::now();
        wire.link.connect(now.monotonic_us);
        for end in [End::Agent, End::Server] {
            wire.link.receive(end, now.monotonic_us);
        }
        wire.agent.connected(now);
        let hello = wire.speak()?;
        let Some(server::Event::Hello(_)) = wire.server.receive(&hello, now)? else { return Err(broken("greeting")) };
        wire.server.welcome(&[], now)?;
        wire.answer()?;
        Ok(wire)
    }

    /// Nothing takes time on this link, so its sessions see none pass: no timer of
    /// theirs is ever due.
    fn now() -> Now {
        Now { monotonic_us: 0, wall_us: u64::try_from(wall_us()).unwrap_or(0) }
    }

    /// Brings the agent's next control frame to the server's end.
    fn speak(&mut self) -> Result<Vec<u8>> {
        let now = Self::now();
        let Some(agent::Action::Send(frame)) = self.agent.poll(now)? else { return Err(broken("agent")) };
        self.link.send(End::Agent, &frame, now.monotonic_us);
        self.arrived(End::Server)
    }

    /// Brings what the server has to say to the agent.
    fn answer(&mut self) -> Result<()> {
        let now = Self::now();
        while let Some(server::Action::Send(frame)) = self.server.poll(now)? {
            self.link.send(End::Server, &frame, now.monotonic_us);
            let frame = self.arrived(End::Agent)?;
            self.agent.receive(&frame, now)?;
        }
        Ok(())
    }

    fn arrived(&mut self, end: End) -> Result<Vec<u8>> {
        match self.link.receive(end, Self::now().monotonic_us) {
            Some(Arrival::Frame(frame)) => Ok(frame),
            _ => Err(broken("frame")),
        }
    }

    /// Carries one encoded sample, which becomes number `sequence` of its stream:
    /// what the server's side knows of it.
    pub(crate) fn carry(&mut self, encoded: &Encoded, sequence: u64, opened: Opened) -> Result<StoredPacket> {
        let Encoded { stream, meta, body, .. } = encoded;
        let now = Self::now();
        let key = PacketKey { stream: *stream, sequence };
        let header = meta.header(key, now.wall_us);
        let frame = PacketFrame::new(&header, body)?;
        if !self.agent.offer(key, frame.parts()) || self.agent.poll(now)? != Some(agent::Action::SendPacket(key)) {
            return Err(broken("offer"));
        }
        self.frame.clear();
        self.frame.extend_from_slice(&frame.head);
        self.frame.extend_from_slice(body);
        self.frame.extend_from_slice(&frame.tail);
        self.link.send(End::Agent, &self.frame, now.monotonic_us);
        let bytes = self.arrived(End::Server)?;
        let now = Self::now();
        let parts = match self.server.receive(&bytes, now)? {
            Some(server::Event::Packet(packet)) if packet.body == body => packet.parts,
            _ => return Err(broken("packet")),
        };
        self.server.stored(key, parts, true, now)?;
        self.server.flush();
        self.answer()?;
        if self.agent.poll(now)? != Some(agent::Action::Acked(key)) {
            return Err(broken("ack"));
        }
        Ok(StoredPacket {
            device: self.device.clone(),
            epoch: self.epoch,
            stream: *stream,
            opened,
            sequence,
            backfill: false,
            connection: 0,
            sample_id: meta.sample_id.clone(),
            captured_us: meta.captured_us,
            sent_us: i64::try_from(header.sent_us).unwrap_or(i64::MAX),
            received_us: i64::try_from(now.wall_us).unwrap_or(i64::MAX),
            clock: None,
            encode_us: meta.encode_us,
            parts,
        })
    }
}

/// A link in memory without faults loses nothing: that it did is a bug.
fn broken(what: &str) -> Error {
    Error::new(Code::Internal, format!("the link in memory lost a {what}"), "report this")
}
