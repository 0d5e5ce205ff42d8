//! The agent's end of the link.
//!
//! The caller feeds [`Session`] with events (connected, a frame came, a packet
//! of the spool, the link is lost) and carries out what [`Session::poll`] says
//! until it says nothing. Packet bodies stay in the caller's spool.

use crate::clock::{ClockFilter, ClockOffset, Now};
use crate::fault::Fault;
use crate::frame::Frame;
use crate::ledger::Ledger;
use crate::message::{self, AckRange, Bye, Control, Exactness, Hello, Message, Open, Refuse, Role, Telemetry};
use crate::ranges::RangeSet;
use crate::{PROTOCOL, PacketKey};
use afferent_media::RateParts;
use alloc::collections::{BTreeMap, VecDeque};
use alloc::string::String;
use alloc::vec::Vec;

/// Bounds and timers of a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Config {
    /// Most packets offered and not acked.
    pub window_packets: usize,
    /// Most bytes of packets offered and not acked. One packet is always
    /// admitted, however large.
    pub window_bytes: u64,
    /// Most streams, and never more than 128.
    pub streams: usize,
    /// How often the server's clock is asked, in microseconds; `None`: only by the hello.
    pub ping_us: Option<u64>,
    /// Send again what is not acked in time: only for transports that lose
    /// frames. QUIC does this itself.
    pub resend: Option<Resend>,
    /// Call the link lost when an answer is due and nothing has come for this
    /// many microseconds: only for transports that do not notice themselves.
    pub silence_us: Option<u64>,
}

impl Default for Config {
    /// For a reliable transport: 256 packets or 4 MiB in flight, 64 streams, the
    /// clock asked every 30 s.
    fn default() -> Self {
        Self {
            window_packets: 256,
            window_bytes: 4 << 20,
            streams: 64,
            ping_us: Some(30_000_000),
            resend: None,
            silence_us: None,
        }
    }
}

/// When to send again, as RFC 6298 says: the smoothed round trip and four times
/// its deviation, doubled with every try.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Resend {
    /// Before the first round trip is known, in microseconds.
    pub initial_us: u64,
    /// Never sooner, in microseconds; above the server's ack delay.
    pub min_us: u64,
    /// Never later, in microseconds.
    pub max_us: u64,
}

impl Default for Resend {
    /// 1 s at first, never below 200 ms nor above 10 s.
    fn default() -> Self {
        Self { initial_us: 1_000_000, min_us: 200_000, max_us: 10_000_000 }
    }
}

/// What the agent says of itself.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Greeting {
    /// The device's id, as in its certificate.
    pub device: String,
    /// The spool's epoch.
    pub epoch: u64,
    /// The build.
    pub build: String,
    /// Codecs it may send by: id, bitstream version, exactness. At most
    /// [`MAX_CODECS`](message::MAX_CODECS).
    pub codecs: Vec<(String, u16, Exactness)>,
}

/// What the caller is to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Send this frame on the control channel.
    Send(Vec<u8>),
    /// Frame this packet of the spool and send it, perhaps again.
    SendPacket(PacketKey),
    /// The server has stored this packet: free it.
    Acked(PacketKey),
    /// The peer is silent: drop the connection, say [`Session::disconnected`], connect again.
    Lost,
}

/// What the server said.
#[derive(Debug, Clone, PartialEq)]
pub enum Event<'a> {
    /// The session is on; packets will be sent.
    Welcomed {
        /// The protocol version that both speak.
        protocol: u16,
        /// The server's build.
        build: &'a str,
    },
    /// The server asks for another operating point.
    Control(Control<'a>),
    /// The server will not talk to this agent: close, and do not hurry back.
    Refused(Refuse<'a>),
    /// The server ends the session, with its ledger.
    Bye(Bye<'a>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Down,
    Greeting,
    Up,
}

#[derive(Debug, Clone, Copy)]
struct Held {
    parts: RateParts,
    /// When it was last sent, and how often on this connection; 0: it waits to be sent.
    sent_us: u64,
    tries: u32,
}

struct Stream {
    stream: u32,
    name: String,
    codec: String,
    preset: String,
    knob: Option<f32>,
}

/// The agent's session. It outlives connections: what is not acked when one is
/// lost is sent again over the next.
pub struct Session {
    config: Config,
    greeting: Greeting,
    state: State,
    control: VecDeque<Vec<u8>>,
    streams: Vec<Stream>,
    held: BTreeMap<PacketKey, Held>,
    held_bytes: u64,
    unsent: VecDeque<PacketKey>,
    acked: VecDeque<PacketKey>,
    /// What the last welcome said is stored; packets of it need no sending.
    stored: BTreeMap<u32, RangeSet>,
    ledger: Ledger,
    clock: ClockFilter,
    greeted: Now,
    greet_again_us: u64,
    round_trip: RoundTrip,
    ping_due_us: u64,
    /// Since when an answer is due and nothing has come.
    silent_since_us: Option<u64>,
    lost: bool,
    skipped: u64,
}

impl Session {
    /// A session that is not connected.
    #[must_use]
    pub fn new(config: Config, greeting: Greeting) -> Self {
        Self {
            config,
            greeting,
            state: State::Down,
            control: VecDeque::new(),
            streams: Vec::new(),
            held: BTreeMap::new(),
            held_bytes: 0,
            unsent: VecDeque::new(),
            acked: VecDeque::new(),
            stored: BTreeMap::new(),
            ledger: Ledger::default(),
            clock: ClockFilter::default(),
            greeted: Now::default(),
            greet_again_us: 0,
            round_trip: RoundTrip::default(),
            ping_due_us: 0,
            silent_since_us: None,
            lost: false,
            skipped: 0,
        }
    }

    /// A connection is up: the session will say hello over it.
    pub fn connected(&mut self, now: Now) {
        self.disconnected();
        self.state = State::Greeting;
        self.round_trip = RoundTrip::default();
        self.greet_again_us = now.monotonic_us;
        self.silent_since_us = Some(now.monotonic_us);
    }

    /// The connection is gone. Everything not acked will be sent again over the next.
    pub fn disconnected(&mut self) {
        self.state = State::Down;
        self.control.clear();
        self.stored.clear();
        self.silent_since_us = None;
        self.lost = false;
        // What was on its way goes first again, in order; what waits keeps its place behind it.
        let sent = self.held.iter_mut().filter(|(_, held)| held.tries > 0).map(|(key, held)| {
            held.tries = 0;
            *key
        });
        let mut again: VecDeque<_> = sent.collect();
        again.append(&mut self.unsent);
        self.unsent = again;
    }

    /// Names a stream or gives it a new operating point; said again over every
    /// new connection.
    ///
    /// # Errors
    /// [`Fault::Full`] beyond the bound of streams.
    pub fn open(&mut self, open: &Open<'_>) -> Result<(), Fault> {
        let stream = Stream {
            stream: open.stream,
            name: message::bounded(open.name).into(),
            codec: message::bounded(open.codec).into(),
            preset: message::bounded(open.preset).into(),
            knob: open.knob,
        };
        let known = self.streams.iter().position(|known| known.stream == open.stream);
        if known.is_none() && self.streams.len() >= self.config.streams.min(MAX_QUEUE / 2) {
            return Err(Fault::Full("streams of a session"));
        }
        if self.state == State::Up {
            self.say(&stream.message())?;
        }
        match known.and_then(|index| self.streams.get_mut(index)) {
            Some(known) => *known = stream,
            None => self.streams.push(stream),
        }
        Ok(())
    }

    /// Whether the window has room for a packet of `bytes`.
    #[must_use]
    pub fn has_room(&self, bytes: u64) -> bool {
        self.held.is_empty()
            || (self.held.len() < self.config.window_packets
                && self.held_bytes.saturating_add(bytes) <= self.config.window_bytes)
    }

    /// Takes a packet of the spool into the window; packets are sent in the
    /// order in which they are offered. `parts` are those of its
    /// [`PacketFrame`](crate::frame::PacketFrame). Returns whether it was
    /// taken: not without room, nor a packet that is in the window already.
    pub fn offer(&mut self, key: PacketKey, parts: RateParts) -> bool {
        let bytes = parts.framed().0;
        if self.held.contains_key(&key) || self.acked.contains(&key) || !self.has_room(bytes) {
            return false;
        }
        if self.stored.get(&key.stream).is_some_and(|stored| stored.contains(key.sequence)) {
            if self.acked.len() >= self.config.window_packets {
                return false;
            }
            self.ledger.count(parts);
            self.acked.push_back(key);
            return true;
        }
        self.held.insert(key, Held { parts, sent_us: 0, tries: 0 });
        self.held_bytes = self.held_bytes.saturating_add(bytes);
        self.unsent.push_back(key);
        true
    }

    /// Takes a packet out of the window, because the caller cannot read it from
    /// its spool any more.
    pub fn withdraw(&mut self, key: PacketKey) {
        self.release(key);
        self.unsent.retain(|waiting| *waiting != key);
    }

    /// Of each stream that a welcome named: the sequence after the last that the server has
    /// stored of this epoch.
    pub fn stored_ends(&self) -> impl Iterator<Item = (u32, u64)> {
        let end = |set: &RangeSet| set.ranges().next_back().map(|run| run.end().saturating_add(1));
        self.stored.iter().filter_map(move |(&stream, set)| Some((stream, end(set)?)))
    }

    /// Sends how the board is, if the session is on.
    ///
    /// # Errors
    /// None in practice; the frame's limit is far away.
    pub fn telemetry(&mut self, telemetry: &Telemetry<'_>) -> Result<(), Fault> {
        if self.state == State::Up { self.say(telemetry) } else { Ok(()) }
    }

    /// Ends the session with the ledger and what the socket measured.
    ///
    /// # Errors
    /// None in practice; the frame's limit is far away.
    pub fn bye(&mut self, tx_bytes: u64, rx_bytes: u64, reason: &str) -> Result<(), Fault> {
        let Ledger { packets, parts } = self.ledger;
        self.say(&Bye { packets, parts, tx_bytes, rx_bytes, reason: message::bounded(reason) })
    }

    /// Takes one whole frame from the server.
    ///
    /// # Errors
    /// [`Fault`] if the frame is damaged or comes out of turn. Over a reliable
    /// transport the connection must then be closed; over one that damages
    /// frames, the frame is as good as lost.
    pub fn receive<'a>(&mut self, frame: &'a [u8], now: Now) -> Result<Option<Event<'a>>, Fault> {
        let message = Message::parse(&Frame::parse(frame, message::MAX_CONTROL)?)?;
        if self.state == State::Down {
            return Err(Fault::OutOfTurn("a frame without a connection"));
        }
        let event = match message {
            Message::Welcome(welcome) => {
                if PROTOCOL.common(message::Versions { min: welcome.protocol, max: welcome.protocol }).is_none() {
                    let theirs = message::Versions { min: welcome.protocol, max: welcome.protocol };
                    return Err(Fault::Version { theirs, ours: PROTOCOL });
                }
                // A second welcome answers a hello that was said twice.
                if self.state == State::Greeting {
                    self.clock.exchange(self.greeted, welcome.received_us, welcome.sent_us, now);
                    self.state = State::Up;
                    self.ping_due_us = now.monotonic_us.saturating_add(self.config.ping_us.unwrap_or(u64::MAX));
                    self.say_streams()?;
                    for range in &welcome.stored {
                        if self.stored.len() < self.config.streams || self.stored.contains_key(&range.stream) {
                            let stored = self.stored.entry(range.stream).or_default();
                            stored.insert_range(range.first..=range.last)?;
                        }
                    }
                    self.settle(&welcome.stored, now);
                    Some(Event::Welcomed { protocol: welcome.protocol, build: welcome.build })
                } else {
                    None
                }
            }
            Message::Refuse(refuse) => Some(Event::Refused(refuse)),
            Message::Unknown(kind) => {
                log::debug!("skipped a message of unknown kind {kind}");
                self.skipped = self.skipped.saturating_add(1);
                None
            }
            _ if self.state != State::Up => return Err(Fault::OutOfTurn("a message before the welcome")),
            Message::Ack(ack) => {
                self.settle(&ack.ranges, now);
                None
            }
            Message::Control(control) => Some(Event::Control(control)),
            Message::Bye(bye) => Some(Event::Bye(bye)),
            Message::Pong(pong) => {
                let asked = Now { monotonic_us: pong.asked_us, ..now };
                self.clock.exchange(asked, pong.received_us, pong.sent_us, now);
                None
            }
            Message::Hello(_) | Message::Open(_) | Message::Packet(_) | Message::Telemetry(_) | Message::Ping(_) => {
                return Err(Fault::OutOfTurn("an agent's message to an agent"));
            }
        };
        self.silent_since_us = self.awaits_answer().then_some(now.monotonic_us);
        Ok(event)
    }

    /// What to do next; to be asked until it returns `None`.
    ///
    /// # Errors
    /// [`Fault::TooLong`] if the greeting does not fit a frame.
    pub fn poll(&mut self, now: Now) -> Result<Option<Action>, Fault> {
        if let Some(key) = self.acked.pop_front() {
            return Ok(Some(Action::Acked(key)));
        }
        if self.state == State::Down {
            return Ok(None);
        }
        if self.silence_deadline().is_some_and(|deadline| now.monotonic_us >= deadline) {
            // Said once; the caller answers with `disconnected`.
            return Ok((!core::mem::replace(&mut self.lost, true)).then_some(Action::Lost));
        }
        if self.state == State::Greeting {
            if now.monotonic_us < self.greet_again_us {
                return Ok(None);
            }
            self.greeted = now;
            self.greet_again_us =
                self.config.resend.map_or(u64::MAX, |resend| now.monotonic_us.saturating_add(resend.initial_us));
            self.greet(now)?;
        } else if now.monotonic_us >= self.ping_due_us {
            self.ping_due_us = now.monotonic_us.saturating_add(self.config.ping_us.unwrap_or(u64::MAX));
            self.say(&message::Ping { asked_us: now.monotonic_us })?;
            if self.config.resend.is_some() {
                // The first time may have been lost.
                self.say_streams()?;
            }
            self.silent_since_us.get_or_insert(now.monotonic_us);
        }
        if let Some(frame) = self.control.pop_front() {
            return Ok(Some(Action::Send(frame)));
        }
        if self.state != State::Up {
            return Ok(None);
        }
        let resend = || {
            let resend = self.config.resend?;
            let due = |held: &Held| held.tries > 0 && now.monotonic_us >= self.round_trip.due_us(&resend, held);
            self.held.iter().find(|(_, held)| due(held)).map(|(key, _)| *key)
        };
        let Some(key) = resend().or_else(|| self.unsent.pop_front()) else { return Ok(None) };
        let Some(held) = self.held.get_mut(&key) else { return Ok(None) };
        held.sent_us = now.monotonic_us;
        held.tries = held.tries.saturating_add(1);
        self.silent_since_us.get_or_insert(now.monotonic_us);
        Ok(Some(Action::SendPacket(key)))
    }

    /// When [`poll`](Self::poll) must be asked again even if nothing happens,
    /// on the monotonic clock in microseconds.
    #[must_use]
    pub fn deadline(&self) -> Option<u64> {
        if self.lost {
            return None;
        }
        let mut next = self.silence_deadline();
        let mut sooner = |at: u64| {
            if at != u64::MAX {
                next = Some(next.map_or(at, |held: u64| held.min(at)));
            }
        };
        match self.state {
            State::Down => {}
            State::Greeting => sooner(self.greet_again_us),
            State::Up => {
                sooner(self.ping_due_us);
                if let Some(resend) = self.config.resend {
                    let sent = self.held.values().filter(|held| held.tries > 0);
                    sent.for_each(|held| sooner(self.round_trip.due_us(&resend, held)));
                }
            }
        }
        next
    }

    /// Packets in the window: offered and not acked.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        self.held.len()
    }

    /// Bytes of the frames of the packets in the window.
    #[must_use]
    pub fn in_flight_bytes(&self) -> u64 {
        self.held_bytes
    }

    /// Whether the server has welcomed this connection.
    #[must_use]
    pub fn is_up(&self) -> bool {
        self.state == State::Up
    }

    /// What was acked since this object was made.
    #[must_use]
    pub fn ledger(&self) -> Ledger {
        self.ledger
    }

    /// The server's wall clock against ours, as of `now`.
    #[must_use]
    pub fn clock_offset(&self, now: Now) -> Option<ClockOffset> {
        self.clock.at(now)
    }

    /// Messages of unknown kind that were skipped.
    #[must_use]
    pub fn skipped(&self) -> u64 {
        self.skipped
    }

    fn greet(&mut self, now: Now) -> Result<(), Fault> {
        let mut codecs = heapless::Vec::new();
        for (id, version, exactness) in &self.greeting.codecs {
            codecs
                .push(message::CodecInfo { id, version: *version, exactness: *exactness })
                .map_err(|_| Fault::Full("codecs of a greeting"))?;
        }
        let hello = Hello {
            protocol: PROTOCOL,
            role: Role::Agent,
            device: &self.greeting.device,
            epoch: self.greeting.epoch,
            build: message::bounded(&self.greeting.build),
            sent_us: now.wall_us,
            codecs,
        };
        let mut frame = Vec::new();
        message::write(&hello, &mut frame)?;
        self.control.push_back(frame);
        Ok(())
    }

    fn say<M: message::Body>(&mut self, message: &M) -> Result<(), Fault> {
        if self.state == State::Down {
            return Ok(());
        }
        if self.control.len() >= MAX_QUEUE {
            return Err(Fault::Full("control messages that wait to be sent"));
        }
        let mut frame = Vec::new();
        message::write(message, &mut frame)?;
        self.control.push_back(frame);
        Ok(())
    }

    fn say_streams(&mut self) -> Result<(), Fault> {
        if self.control.len() + self.streams.len() > MAX_QUEUE {
            return Ok(());
        }
        for stream in &self.streams {
            let mut frame = Vec::new();
            message::write(&stream.message(), &mut frame)?;
            self.control.push_back(frame);
        }
        Ok(())
    }

    fn release(&mut self, key: PacketKey) -> Option<Held> {
        let held = self.held.remove(&key)?;
        self.held_bytes -= held.parts.framed().0;
        Some(held)
    }

    fn settle(&mut self, ranges: &[AckRange], now: Now) {
        for range in ranges {
            let run = PacketKey { stream: range.stream, sequence: range.first }..=PacketKey {
                stream: range.stream,
                sequence: range.last,
            };
            if run.is_empty() {
                continue;
            }
            let first = self.acked.len();
            self.acked.extend(self.held.range(run).map(|(key, _)| *key));
            for index in first..self.acked.len() {
                let Some(&key) = self.acked.get(index) else { break };
                let Some(held) = self.release(key) else { continue };
                self.ledger.count(held.parts);
                match held.tries {
                    0 => self.unsent.retain(|waiting| *waiting != key),
                    // Karn: of a packet sent twice, nobody knows which one was acked.
                    1 => self.round_trip.observe(now.monotonic_us.saturating_sub(held.sent_us)),
                    _ => {}
                }
            }
        }
    }

    fn awaits_answer(&self) -> bool {
        self.state == State::Greeting || self.held.values().any(|held| held.tries > 0)
    }

    fn silence_deadline(&self) -> Option<u64> {
        Some(self.silent_since_us?.saturating_add(self.config.silence_us?))
    }
}

/// Most control messages that wait to be sent.
const MAX_QUEUE: usize = 256;

impl Stream {
    fn message(&self) -> Open<'_> {
        Open { stream: self.stream, name: &self.name, codec: &self.codec, preset: &self.preset, knob: self.knob }
    }
}

/// The estimator of RFC 6298, section 2.
#[derive(Debug, Clone, Copy, Default)]
struct RoundTrip {
    smoothed_us: Option<u64>,
    deviation_us: u64,
}

impl RoundTrip {
    fn observe(&mut self, sample_us: u64) {
        match self.smoothed_us {
            None => {
                self.smoothed_us = Some(sample_us);
                self.deviation_us = sample_us / 2;
            }
            Some(smoothed) => {
                let error = smoothed.abs_diff(sample_us);
                self.deviation_us = self.deviation_us - self.deviation_us / 4 + error / 4;
                self.smoothed_us = Some(smoothed - smoothed / 8 + sample_us / 8);
            }
        }
    }

    fn due_us(&self, resend: &Resend, held: &Held) -> u64 {
        let timeout = self
            .smoothed_us
            .map_or(resend.initial_us, |smoothed| smoothed.saturating_add(self.deviation_us.saturating_mul(4)))
            .clamp(resend.min_us, resend.max_us.max(resend.min_us));
        let backed_off = timeout.saturating_mul(1 << held.tries.saturating_sub(1).min(16));
        held.sent_us.saturating_add(backed_off.min(resend.max_us.max(resend.min_us)))
    }
}
