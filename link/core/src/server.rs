//! The server's end of the link.
//!
//! One [`Session`] serves one connection. The caller feeds it with frames,
//! stores and syncs what it returns, says so, and carries out what
//! [`Session::poll`] says.

use crate::clock::Now;
use crate::fault::Fault;
use crate::frame::{Frame, MAX_FRAME};
use crate::ledger::Ledger;
use crate::message::{
    self, Ack, AckRange, Bye, Control, Hello, MAX_RANGES, Message, Open, Packet, Reason, Refuse, Role, Telemetry,
    Versions, Welcome,
};
use crate::ranges::RangeSet;
use crate::{PROTOCOL, PacketKey};
use afferent_media::RateParts;
use alloc::collections::{BTreeMap, VecDeque};
use alloc::string::String;
use alloc::vec::Vec;

/// Bounds and timers of a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Config {
    /// Most bytes of a whole frame.
    pub max_frame: usize,
    /// Most streams of one connection.
    pub streams: usize,
    /// An ack is sent once this many packets are stored…
    pub ack_packets: usize,
    /// …or the oldest of them this many microseconds ago.
    pub ack_delay_us: u64,
}

impl Default for Config {
    /// Frames of 16 MiB, 64 streams, an ack for 32 packets or after 20 ms.
    fn default() -> Self {
        Self { max_frame: MAX_FRAME, streams: 64, ack_packets: 32, ack_delay_us: 20_000 }
    }
}

/// What the caller is to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Send this frame on the control channel.
    Send(Vec<u8>),
    /// Close the connection.
    Close,
}

/// What the agent said.
#[derive(Debug, Clone, PartialEq)]
#[allow(clippy::large_enum_variant)]
pub enum Event<'a> {
    /// Who it is: answer with [`Session::welcome`] or [`Session::refuse`]. It
    /// may come twice over a transport that loses frames; answer it again.
    Hello(Hello<'a>),
    /// A stream has a name and an operating point. It may come after the
    /// stream's first packets, and again with the same content.
    Open(Open<'a>),
    /// Store this packet unless it is stored already; after the sync say [`Session::stored`].
    Packet(Packet<'a>),
    /// How the board is.
    Telemetry(Telemetry<'a>),
    /// The agent ends the session, with its ledger.
    Bye(Bye<'a>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Fresh,
    Greeted,
    Up,
    Refused,
}

/// The server's session of one connection.
pub struct Session {
    config: Config,
    build: String,
    state: State,
    /// Device and spool epoch of the hello.
    agent: (String, u64),
    protocol: u16,
    hello_at: Now,
    control: VecDeque<Vec<u8>>,
    /// Stored and not yet acked, by stream. A stream stays listed when it is acked.
    pending: BTreeMap<u32, RangeSet>,
    pending_packets: usize,
    /// When the oldest of them was stored.
    pending_since_us: Option<u64>,
    ack_now: bool,
    ledger: Ledger,
    skipped: u64,
}

impl Session {
    /// A session of a fresh connection; `build` is told to the agent.
    #[must_use]
    pub fn new(config: Config, build: &str) -> Self {
        Self {
            config,
            build: message::bounded(build).into(),
            state: State::Fresh,
            agent: (String::new(), 0),
            protocol: 0,
            hello_at: Now::default(),
            control: VecDeque::new(),
            pending: BTreeMap::new(),
            pending_packets: 0,
            pending_since_us: None,
            ack_now: false,
            ledger: Ledger::default(),
            skipped: 0,
        }
    }

    /// Takes one whole frame from the agent.
    ///
    /// # Errors
    /// [`Fault`] if the frame is damaged or comes out of turn. Over a reliable
    /// transport, carry out what [`poll`](Self::poll) says (it may hold a
    /// refusal) and close the connection; over one that damages frames, the
    /// frame is as good as lost.
    pub fn receive<'a>(&mut self, frame: &'a [u8], now: Now) -> Result<Option<Event<'a>>, Fault> {
        let frame = Frame::parse(frame, self.config.max_frame)?;
        let message = Message::parse(&frame)?;
        if !matches!(message, Message::Packet(_)) && frame.length > message::MAX_CONTROL {
            return Err(Fault::TooLong { length: frame.length as u64, limit: message::MAX_CONTROL as u64 });
        }
        match message {
            _ if self.state == State::Refused => Err(Fault::OutOfTurn("a message after the refusal")),
            Message::Hello(hello) => self.hello(hello, now).map(|hello| Some(Event::Hello(hello))),
            Message::Unknown(kind) => {
                log::debug!("skipped a message of unknown kind {kind}");
                self.skipped = self.skipped.saturating_add(1);
                Ok(None)
            }
            _ if self.state != State::Up => Err(Fault::OutOfTurn("a message before the welcome")),
            Message::Open(open) => self.admit(open.stream).map(|()| Some(Event::Open(open))),
            Message::Packet(packet) => self.admit(packet.header.stream).map(|()| Some(Event::Packet(packet))),
            Message::Telemetry(telemetry) => Ok(Some(Event::Telemetry(telemetry))),
            Message::Bye(bye) => Ok(Some(Event::Bye(bye))),
            Message::Ping(ping) => {
                let (received_us, sent_us) = (now.wall_us, now.wall_us);
                self.say(&message::Pong { asked_us: ping.asked_us, received_us, sent_us })?;
                Ok(None)
            }
            Message::Welcome(_) | Message::Ack(_) | Message::Control(_) | Message::Refuse(_) | Message::Pong(_) => {
                Err(Fault::OutOfTurn("a server's message to a server"))
            }
        }
    }

    /// Accepts the agent. `stored` are runs that the store holds of this device
    /// and spool epoch; the agent need not send those again.
    ///
    /// # Errors
    /// [`Fault::OutOfTurn`] before the hello.
    pub fn welcome(&mut self, stored: &[AckRange], now: Now) -> Result<(), Fault> {
        if !matches!(self.state, State::Greeted | State::Up) {
            return Err(Fault::OutOfTurn("a welcome before the hello"));
        }
        self.state = State::Up;
        let mut runs = stored.chunks(MAX_RANGES);
        let first = heapless::Vec::from_slice(runs.next().unwrap_or_default()).unwrap_or_default();
        let mut frame = Vec::new();
        let welcome = Welcome {
            protocol: self.protocol,
            build: &self.build,
            received_us: self.hello_at.wall_us,
            sent_us: now.wall_us,
            stored: first,
        };
        message::write(&welcome, &mut frame)?;
        self.control.push_back(frame);
        for more in runs {
            self.say(&Ack { ranges: heapless::Vec::from_slice(more).unwrap_or_default() })?;
        }
        Ok(())
    }

    /// Refuses the agent: it is told why, then [`Action::Close`] follows.
    ///
    /// # Errors
    /// None in practice; the frame's limit is far away.
    pub fn refuse(&mut self, reason: Reason, what: &str, remedy: &str) -> Result<(), Fault> {
        self.state = State::Refused;
        self.control.clear();
        let refuse = Refuse { reason, what: message::bounded(what), remedy: message::bounded(remedy) };
        self.say(&refuse)
    }

    /// Reports that a packet is stored and synced; it will be acked. `new` is
    /// whether this packet was stored for the first time: only then does the
    /// ledger count it. A packet that the store had already is acked at once.
    ///
    /// # Errors
    /// [`Fault::Full`] if its stream is beyond the bound of streams, or the
    /// agent leaves more gaps than a window can hold.
    pub fn stored(&mut self, key: PacketKey, parts: RateParts, new: bool, now: Now) -> Result<(), Fault> {
        self.admit(key.stream)?;
        if new {
            self.ledger.count(parts);
        } else {
            self.ack_now = true;
        }
        if let Some(pending) = self.pending.get_mut(&key.stream) {
            pending.insert(key.sequence)?;
            self.pending_packets += 1;
            self.pending_since_us.get_or_insert(now.monotonic_us);
        }
        Ok(())
    }

    /// Acks at the next [`poll`](Self::poll) whatever waits for it.
    pub fn flush(&mut self) {
        self.ack_now = true;
    }

    /// Asks the agent for another operating point.
    ///
    /// # Errors
    /// [`Fault::OutOfTurn`] before the welcome, [`Fault::Full`] if too many
    /// messages wait to be sent.
    pub fn control(&mut self, control: &Control<'_>) -> Result<(), Fault> {
        if self.state != State::Up {
            return Err(Fault::OutOfTurn("a control before the welcome"));
        }
        self.say(control)
    }

    /// Ends the session with the ledger and what the socket measured.
    ///
    /// # Errors
    /// [`Fault::Full`] if too many messages wait to be sent.
    pub fn bye(&mut self, tx_bytes: u64, rx_bytes: u64, reason: &str) -> Result<(), Fault> {
        let Ledger { packets, parts } = self.ledger;
        self.say(&Bye { packets, parts, tx_bytes, rx_bytes, reason: message::bounded(reason) })
    }

    /// What to do next; to be asked until it returns `None`.
    ///
    /// # Errors
    /// None in practice; an ack's frame is far below the limit.
    pub fn poll(&mut self, now: Now) -> Result<Option<Action>, Fault> {
        if let Some(frame) = self.control.pop_front() {
            return Ok(Some(Action::Send(frame)));
        }
        if self.state == State::Refused {
            return Ok(Some(Action::Close));
        }
        let due = self.ack_now
            || self.pending_packets >= self.config.ack_packets
            || self.deadline().is_some_and(|deadline| now.monotonic_us >= deadline);
        if !due {
            return Ok(None);
        }
        let mut ack = Ack::default();
        for (&stream, pending) in &mut self.pending {
            while !ack.ranges.is_full()
                && let Some(run) = pending.pop_first()
            {
                _ = ack.ranges.push(AckRange { stream, first: *run.start(), last: *run.end() });
            }
        }
        if self.pending.values().all(RangeSet::is_empty) {
            self.pending_packets = 0;
            self.pending_since_us = None;
            self.ack_now = false;
        }
        if ack.ranges.is_empty() {
            return Ok(None);
        }
        let mut frame = Vec::new();
        message::write(&ack, &mut frame)?;
        Ok(Some(Action::Send(frame)))
    }

    /// When [`poll`](Self::poll) must be asked again even if nothing happens,
    /// on the monotonic clock in microseconds.
    #[must_use]
    pub fn deadline(&self) -> Option<u64> {
        self.pending_since_us.map(|since| since.saturating_add(self.config.ack_delay_us))
    }

    /// What was stored for the first time over this connection.
    #[must_use]
    pub fn ledger(&self) -> Ledger {
        self.ledger
    }

    /// Messages of unknown kind that were skipped.
    #[must_use]
    pub fn skipped(&self) -> u64 {
        self.skipped
    }

    fn hello<'a>(&mut self, hello: Hello<'a>, now: Now) -> Result<Hello<'a>, Fault> {
        if self.state != State::Fresh && (self.agent.0 != hello.device || self.agent.1 != hello.epoch) {
            return Err(Fault::OutOfTurn("a hello of another agent"));
        }
        let Some(protocol) = PROTOCOL.common(hello.protocol) else {
            let (ours, theirs): (Versions, _) = (PROTOCOL, hello.protocol);
            let fault = Fault::Version { theirs, ours };
            let remedy = if theirs.max < ours.min { "update the agent" } else { "update the server" };
            self.refuse(
                Reason::Version,
                &alloc::format!("the agent speaks protocol {theirs}, the server {ours}"),
                remedy,
            )?;
            return Err(fault);
        };
        if hello.role != Role::Agent {
            self.refuse(Reason::Other, "only agents are served here", "point an agent at this server")?;
            return Err(Fault::OutOfTurn("a hello of something that is no agent"));
        }
        if self.state == State::Fresh {
            self.state = State::Greeted;
            self.agent = (hello.device.into(), hello.epoch);
        }
        self.protocol = protocol;
        self.hello_at = now;
        Ok(hello)
    }

    fn admit(&mut self, stream: u32) -> Result<(), Fault> {
        if !self.pending.contains_key(&stream) {
            if self.pending.len() >= self.config.streams {
                return Err(Fault::Full("streams of a session"));
            }
            self.pending.insert(stream, RangeSet::with_limit(MAX_PENDING_RUNS));
        }
        Ok(())
    }

    fn say<M: message::Body>(&mut self, message: &M) -> Result<(), Fault> {
        if self.control.len() >= MAX_QUEUE {
            return Err(Fault::Full("control messages that wait to be sent"));
        }
        let mut frame = Vec::new();
        message::write(message, &mut frame)?;
        self.control.push_back(frame);
        Ok(())
    }
}

/// Most control messages that wait to be sent.
const MAX_QUEUE: usize = 1024;
/// Most runs of one stream that wait to be acked: more than a window holds.
const MAX_PENDING_RUNS: usize = 4096;
