//! What the bodies of frames say.
//!
//! A body is one of these structs in [postcard](https://postcard.jamesmunns.com)'s
//! encoding; the body of a packet is its header, then the container.
//!
//! # How later versions say more
//!
//! 1. A kind of message that a reader does not know is skipped and counted.
//! 2. A message changes only by fields appended to its end. The structs that
//!    lists hold ([`CodecInfo`], [`AckRange`]) never change: what they lack is
//!    appended to the message as a list of its own.
//! 3. A reader ignores bytes after the last field that it knows.
//! 4. A body from an earlier version ends sooner; the fields it lacks read as
//!    zero, `None`, `false` or empty. So a new field means by that value what
//!    its absence meant before.
//! 5. A new value of one of the small enums reads, at an earlier version, as the
//!    value that asks the least trust of it (said at each enum).
//!
//! What cannot be said so is a new protocol version, which `Hello` and
//! `Welcome` agree on.

use crate::PacketKey;
use crate::fault::Fault;
use crate::frame::{self, Frame, kind};
use afferent_media::{Bytes, RateParts};
use alloc::vec::Vec;
use core::fmt;
use core::marker::PhantomData;
use postcard::fixint;
use serde::{Deserialize, Serialize};

/// Most bytes of a whole frame that is not a packet.
pub const MAX_CONTROL: usize = 1 << 16;
/// Most bytes of an encoded packet header, with room for later versions.
pub const MAX_PACKET_HEADER: usize = 511;
/// Most bytes of a sample id.
pub const MAX_SAMPLE_ID: usize = 255;
/// Most bytes of any other text as this build writes it; longer ones are cut.
pub const MAX_TEXT: usize = 256;
/// Most codecs in a catalogue.
pub const MAX_CODECS: usize = 64;
/// Most runs in one message; more go into further ones.
pub const MAX_RANGES: usize = 64;

/// `text`, cut to at most [`MAX_TEXT`] bytes at a character's boundary.
#[must_use]
pub fn bounded(text: &str) -> &str {
    text.get(..text.floor_char_boundary(MAX_TEXT)).unwrap_or_default()
}

macro_rules! small_enum {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $value:literal),+ } else $other:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(from = "u8", into = "u8")]
        pub enum $name { $($(#[$variant_doc])* $variant = $value),+ }

        impl From<u8> for $name {
            fn from(value: u8) -> Self {
                match value {
                    $($value => Self::$variant,)+
                    _ => Self::$other,
                }
            }
        }

        impl From<$name> for u8 {
            fn from(value: $name) -> Self {
                value as Self
            }
        }
    };
}

small_enum! {
    /// What the end that says hello is.
    Role {
        /// Not known to this build: refused.
        Other = 0,
        /// A board that sends packets.
        Agent = 1
    } else Other
}

small_enum! {
    /// By which class a packet travels.
    Class {
        /// Newest first, with a deadline.
        Live = 0,
        /// By what the live class leaves; also any class that a reader does not know.
        Backfill = 1
    } else Backfill
}

small_enum! {
    /// Between which machines a codec's bitstream means the same.
    Exactness {
        /// Only on the same kind of device; also whatever a reader does not know.
        SameDevice = 0,
        /// Between equal builds of the software.
        SameBuild = 1,
        /// Everywhere.
        Exact = 2
    } else SameDevice
}

small_enum! {
    /// Why a server refuses an agent.
    Reason {
        /// Another reason; its text says which.
        Other = 0,
        /// No protocol version in common.
        Version = 1,
        /// The device is not enrolled, or was revoked.
        Identity = 2,
        /// A codec that the server cannot decode, or not exactly.
        Codec = 3,
        /// The server carries as much as it may: try again later.
        Busy = 4
    } else Other
}

small_enum! {
    /// Why there is no energy reading.
    NoEnergy {
        /// It was not said.
        Unsaid = 0,
        /// The board has no meter.
        NoMeter = 1,
        /// The meter's driver or permission is missing.
        NoAccess = 2,
        /// The meter failed.
        Failed = 3
    } else Unsaid
}

/// The protocol versions that one end speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Versions {
    /// The earliest.
    pub min: u16,
    /// The latest.
    pub max: u16,
}

impl Versions {
    /// The latest version that both speak.
    #[must_use]
    pub fn common(self, other: Self) -> Option<u16> {
        let latest = self.max.min(other.max);
        (latest >= self.min.max(other.min)).then_some(latest)
    }
}

impl fmt::Display for Versions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.min == self.max { write!(f, "{}", self.max) } else { write!(f, "{} to {}", self.min, self.max) }
    }
}

/// One codec that the agent may send by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct CodecInfo<'a> {
    /// Its id, for example `jpeg`.
    pub id: &'a str,
    /// The version of its bitstream.
    pub version: u16,
    /// Between which machines that means the same.
    pub exactness: Exactness,
}

/// The agent's first message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello<'a> {
    /// The protocol versions that the agent speaks.
    pub protocol: Versions,
    /// What it is.
    pub role: Role,
    /// Who it says it is; the server compares this with the proven identity.
    pub device: &'a str,
    /// The random number drawn when its spool was made: with it, a sequence
    /// number is never used twice.
    #[serde(with = "fixint::le")]
    pub epoch: u64,
    /// Its build.
    pub build: &'a str,
    /// Its wall clock when this was sent, in microseconds since 1970.
    #[serde(with = "fixint::le")]
    pub sent_us: u64,
    /// The codecs it may send by.
    #[serde(borrow)]
    pub codecs: heapless::Vec<CodecInfo<'a>, MAX_CODECS>,
}

/// The server's answer to a hello.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Welcome<'a> {
    /// The protocol version that both will speak.
    pub protocol: u16,
    /// The server's build.
    pub build: &'a str,
    /// The server's wall clock when the hello came, in microseconds since 1970.
    #[serde(with = "fixint::le")]
    pub received_us: u64,
    /// The server's wall clock when this was sent.
    #[serde(with = "fixint::le")]
    pub sent_us: u64,
    /// What the server has stored of this spool epoch already, so that it is
    /// not sent again after a reconnect.
    pub stored: heapless::Vec<AckRange, MAX_RANGES>,
}

/// A stream, or a new operating point of it. It may come after the stream's
/// first packets, which do not need it to be decoded.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Open<'a> {
    /// The stream's number, by which its packets refer to it.
    pub stream: u32,
    /// Its name, for example `front-camera`.
    pub name: &'a str,
    /// Codec id.
    pub codec: &'a str,
    /// Codec preset.
    pub preset: &'a str,
    /// Codec knob in its native unit; `None` for a codec without one.
    pub knob: Option<f32>,
}

/// What is said of one packet before its container.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct PacketHeader<'a> {
    /// The stream's number.
    pub stream: u32,
    /// The packet's place in its stream; never used twice in one spool epoch.
    pub sequence: u64,
    /// By which class it travels now.
    pub class: Class,
    /// The agent's wall clock when the sample was captured, in microseconds since 1970.
    #[serde(with = "fixint::le")]
    pub captured_us: u64,
    /// The agent's wall clock when this was sent. Of fixed width, so that a
    /// resend is as long as the first one.
    #[serde(with = "fixint::le")]
    pub sent_us: u64,
    /// Time the encoder took, in microseconds.
    pub encode_us: u32,
    /// Bytes of the container that are payload.
    pub payload: u32,
    /// Bytes of the container that are side information.
    pub side: u32,
    /// Bytes of the container that are the codec's header. What is left of the
    /// container is its own.
    pub header: u32,
    /// The manifest's opaque sample id, or empty.
    pub sample: &'a str,
}

impl PacketHeader<'_> {
    /// A header of which nothing but its identity is set.
    #[must_use]
    pub const fn new(stream: u32, sequence: u64) -> Self {
        Self {
            stream,
            sequence,
            class: Class::Live,
            captured_us: 0,
            sent_us: 0,
            encode_us: 0,
            payload: 0,
            side: 0,
            header: 0,
            sample: "",
        }
    }

    /// Which packet this is.
    #[must_use]
    pub const fn key(&self) -> PacketKey {
        PacketKey { stream: self.stream, sequence: self.sequence }
    }

    pub(crate) fn encode<'b>(&self, out: &'b mut [u8; MAX_PACKET_HEADER]) -> Result<&'b [u8], Fault> {
        if self.sample.len() > MAX_SAMPLE_ID {
            return Err(Fault::TooLong { length: self.sample.len() as u64, limit: MAX_SAMPLE_ID as u64 });
        }
        postcard::to_slice(self, out).map(|used| &*used).map_err(|_| Fault::Syntax("a packet's header"))
    }

    /// Where the bytes of a frame go that has a container of `body` bytes and
    /// `framing` others.
    pub(crate) fn parts(&self, body: usize, framing: usize) -> Result<RateParts, Fault> {
        let coded = u64::from(self.payload) + u64::from(self.side) + u64::from(self.header);
        let container = (body as u64).checked_sub(coded).ok_or(Fault::Syntax("a packet's rate parts"))?;
        Ok(RateParts {
            payload: Bytes(self.payload.into()),
            side: Bytes(self.side.into()),
            header: Bytes(self.header.into()),
            container: Bytes(container),
            framing: Bytes(framing as u64),
        })
    }
}

/// One packet as it came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Packet<'a> {
    /// What is said of it.
    pub header: PacketHeader<'a>,
    /// The container, opaque to the link.
    pub body: &'a [u8],
    /// Where the bytes of its frame go.
    pub parts: RateParts,
}

/// A run of packets of one stream, both ends included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "(u32, u64, u64)", into = "(u32, u64, u64)")]
pub struct AckRange {
    /// The stream's number.
    pub stream: u32,
    /// The first sequence number.
    pub first: u64,
    /// The last sequence number; not below the first.
    pub last: u64,
}

impl From<(u32, u64, u64)> for AckRange {
    fn from((stream, first, more): (u32, u64, u64)) -> Self {
        Self { stream, first, last: first.saturating_add(more) }
    }
}

impl From<AckRange> for (u32, u64, u64) {
    fn from(range: AckRange) -> Self {
        (range.stream, range.first, range.last.saturating_sub(range.first))
    }
}

/// Packets that the server has stored and synced.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ack {
    /// The runs.
    pub ranges: heapless::Vec<AckRange, MAX_RANGES>,
}

/// The server asks for another operating point.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Control<'a> {
    /// The stream it is for.
    pub stream: u32,
    /// Codec id; empty to keep the present one.
    pub codec: &'a str,
    /// Codec preset; empty to keep the present one, or for the codec's default.
    pub preset: &'a str,
    /// Codec knob in its native unit; `None` to keep the present one, or for the codec's default.
    pub knob: Option<f32>,
}

/// How the board is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Telemetry<'a> {
    /// The board's wall clock, in microseconds since 1970.
    #[serde(with = "fixint::le")]
    pub sent_us: u64,
    /// Server's wall clock minus the board's, in microseconds.
    pub clock_offset_us: i64,
    /// The true offset lies within this many microseconds; 0: not known yet.
    pub clock_error_us: u64,
    /// Packets that wait in the spool.
    pub spool_packets: u64,
    /// Bytes that wait in the spool.
    pub spool_bytes: u64,
    /// Samples since the start that the sources lost or withheld.
    pub dropped: u64,
    /// The processor's temperature in thousandths of a degree Celsius.
    pub temperature_mc: Option<i32>,
    /// Whether the processor was throttled since the last report.
    pub throttled: Option<bool>,
    /// Energy since the start in microjoules, by a meter.
    pub energy_uj: Option<u64>,
    /// Why there is no energy reading.
    pub no_energy: NoEnergy,
    /// The meter's name where there is an energy reading, else why there is none
    /// in words; empty: not said.
    pub meter: &'a str,
    /// When the energy was first metered, by the board's wall clock in
    /// microseconds since 1970; 0: not yet.
    #[serde(with = "fixint::le")]
    pub metered_from_us: u64,
    /// Of the energy: what the board drew while at least one encoder worked, in
    /// microjoules.
    pub encode_uj: u64,
    /// For how long encoders worked while the energy was metered, each of them
    /// counted, in microseconds. So `encode_uj / encode_us` is what a microsecond
    /// of encoding costs.
    pub encode_us: u64,
    /// All throttling flags that were read since the last report, joined: bits 0
    /// to 3 and 16 to 19 as a Raspberry Pi's firmware gives them, 4 and 20
    /// over-current.
    pub throttle_flags: Option<u32>,
}

/// The end, with what was carried. Each end sends its own; the five exact parts
/// are equal where both saw the same packets, the wire's bytes need not be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bye<'a> {
    /// Packets acked (agent) or stored for the first time (server).
    pub packets: u64,
    /// Where their bytes went.
    pub parts: RateParts,
    /// Bytes this end sent on the wire, as measured at its socket.
    pub tx_bytes: u64,
    /// Bytes this end received on the wire.
    pub rx_bytes: u64,
    /// Why it ends.
    pub reason: &'a str,
}

/// The server will not talk to this agent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refuse<'a> {
    /// Its class.
    pub reason: Reason,
    /// What is wrong.
    pub what: &'a str,
    /// What to do about it.
    pub remedy: &'a str,
}

#[cfg(feature = "std")]
impl From<Refuse<'_>> for afferent_media::Error {
    fn from(refuse: Refuse<'_>) -> Self {
        use afferent_media::Code;
        let code = match refuse.reason {
            Reason::Version | Reason::Codec => Code::Unsupported,
            Reason::Busy => Code::Limit,
            Reason::Identity | Reason::Other => Code::Refused,
        };
        Self::new(
            code,
            alloc::format!("the server refused: {}", refuse.what),
            alloc::string::String::from(refuse.remedy),
        )
    }
}

/// A question for the server's clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ping {
    /// The asker's monotonic clock, to be returned as it is.
    #[serde(with = "fixint::le")]
    pub asked_us: u64,
}

/// The answer to a [`Ping`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pong {
    /// The question's.
    #[serde(with = "fixint::le")]
    pub asked_us: u64,
    /// The server's wall clock when the question came, in microseconds since 1970.
    #[serde(with = "fixint::le")]
    pub received_us: u64,
    /// The server's wall clock when this was sent.
    #[serde(with = "fixint::le")]
    pub sent_us: u64,
}

/// A message that fits a control frame: everything but a packet.
pub trait Body: Serialize {
    /// The kind of its frame.
    const KIND: u8;
}

macro_rules! bodies {
    ($($type:ty = $kind:ident),+ $(,)?) => {
        $(impl Body for $type { const KIND: u8 = kind::$kind; })+
    };
}

bodies! {
    Hello<'_> = HELLO, Welcome<'_> = WELCOME, Open<'_> = OPEN, Ack = ACK, Control<'_> = CONTROL,
    Telemetry<'_> = TELEMETRY, Bye<'_> = BYE, Refuse<'_> = REFUSE, Ping = PING, Pong = PONG,
}

/// Appends the frame of `message` to `out`.
///
/// # Errors
/// [`Fault::TooLong`] if the frame exceeds [`MAX_CONTROL`].
pub fn write<M: Body>(message: &M, out: &mut Vec<u8>) -> Result<(), Fault> {
    let body = postcard::to_allocvec(message).map_err(|_| Fault::Syntax("a message to send"))?;
    let start = out.len();
    frame::write(M::KIND, &body, out)?;
    let length = out.len() - start;
    if length > MAX_CONTROL {
        out.truncate(start);
        return Err(Fault::TooLong { length: length as u64, limit: MAX_CONTROL as u64 });
    }
    Ok(())
}

/// Any message, borrowed from its frame.
#[derive(Debug, Clone, PartialEq)]
#[allow(clippy::large_enum_variant)]
pub enum Message<'a> {
    /// The agent's first message.
    Hello(Hello<'a>),
    /// The server's answer to it.
    Welcome(Welcome<'a>),
    /// A stream and its operating point.
    Open(Open<'a>),
    /// One encoded sample.
    Packet(Packet<'a>),
    /// What the server has stored.
    Ack(Ack),
    /// A new operating point for a stream.
    Control(Control<'a>),
    /// How the board is.
    Telemetry(Telemetry<'a>),
    /// The end, with the ledger.
    Bye(Bye<'a>),
    /// The server will not talk to this agent.
    Refuse(Refuse<'a>),
    /// A question for the server's clock.
    Ping(Ping),
    /// The answer to it.
    Pong(Pong),
    /// A kind of message that this build does not know.
    Unknown(u8),
}

impl<'a> Message<'a> {
    /// The message in `frame`.
    ///
    /// # Errors
    /// [`Fault::Syntax`], naming the message.
    pub fn parse(frame: &Frame<'a>) -> Result<Self, Fault> {
        let body = frame.body;
        Ok(match frame.kind {
            kind::HELLO => Self::Hello(read(body, "a hello")?),
            kind::WELCOME => Self::Welcome(read(body, "a welcome")?),
            kind::OPEN => Self::Open(read(body, "an open")?),
            kind::PACKET => {
                let (header, container) = frame::split_packet(body)?;
                let header: PacketHeader<'a> = read(header, "a packet's header")?;
                let parts = header.parts(container.len(), frame.length - container.len())?;
                Self::Packet(Packet { header, body: container, parts })
            }
            kind::ACK => Self::Ack(read(body, "an ack")?),
            kind::CONTROL => Self::Control(read(body, "a control")?),
            kind::TELEMETRY => Self::Telemetry(read(body, "a telemetry")?),
            kind::BYE => Self::Bye(read(body, "a bye")?),
            kind::REFUSE => Self::Refuse(read(body, "a refusal")?),
            kind::PING => Self::Ping(read(body, "a ping")?),
            kind::PONG => Self::Pong(read(body, "a pong")?),
            other => Self::Unknown(other),
        })
    }
}

/// Reads a message by rules 3 and 4 above.
fn read<'a, T: Deserialize<'a>>(body: &'a [u8], place: &'static str) -> Result<T, Fault> {
    let mut reader = postcard::Deserializer::from_flavor(ZeroFilled { rest: body, life: PhantomData });
    T::deserialize(&mut reader).map_err(|_| Fault::Syntax(place))
}

/// The bytes of a body, then zeros: postcard writes zero, `None`, `false` and
/// the empty string and list as zero bytes. Only whole fields may be missing:
/// text that ends early is an error.
struct ZeroFilled<'a> {
    rest: &'a [u8],
    life: PhantomData<&'a ()>,
}

impl<'a> postcard::de_flavors::Flavor<'a> for ZeroFilled<'a> {
    type Remainder = ();
    type Source = ();

    fn pop(&mut self) -> postcard::Result<u8> {
        let Some((&first, rest)) = self.rest.split_first() else { return Ok(0) };
        self.rest = rest;
        Ok(first)
    }

    fn try_take_n(&mut self, count: usize) -> postcard::Result<&'a [u8]> {
        let (taken, rest) = self.rest.split_at_checked(count).ok_or(postcard::Error::DeserializeUnexpectedEnd)?;
        self.rest = rest;
        Ok(taken)
    }

    fn try_take_n_temp<'b>(&'b mut self, count: usize) -> postcard::Result<&'b [u8]>
    where
        'a: 'b,
    {
        // This is how numbers of fixed width are read.
        static ZEROS: [u8; 8] = [0; 8];
        match ZEROS.get(..count) {
            Some(zeros) if self.rest.is_empty() => Ok(zeros),
            _ => self.try_take_n(count),
        }
    }

    fn finalize(self) -> postcard::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn telemetry() -> Telemetry<'static> {
        Telemetry {
            sent_us: 1_700_000_000_000_000,
            clock_offset_us: -12,
            clock_error_us: 900,
            spool_packets: 3,
            spool_bytes: 4000,
            dropped: 0,
            temperature_mc: Some(-3_500),
            throttled: Some(false),
            energy_uj: None,
            no_energy: NoEnergy::NoMeter,
            meter: "no meter is configured",
            metered_from_us: 0,
            encode_uj: 0,
            encode_us: 0,
            throttle_flags: Some(0x50000),
        }
    }

    /// What a later build might append.
    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct LaterTelemetry<'a> {
        #[serde(borrow)]
        first: Telemetry<'a>,
        fan_rpm: u32,
        load: f32,
        note: &'a str,
        rails: heapless::Vec<u16, 4>,
        supply_mv: Option<u32>,
    }

    fn frame_of(kind: u8, body: &[u8]) -> Vec<u8> {
        let mut frame = Vec::new();
        frame::write(kind, body, &mut frame).unwrap();
        frame
    }

    #[test]
    fn a_later_message_is_read_by_this_build() {
        let later = LaterTelemetry {
            first: telemetry(),
            fan_rpm: 900,
            load: 0.5,
            note: "hot",
            rails: [5, 12].into_iter().collect(),
            supply_mv: Some(5012),
        };
        let frame = frame_of(kind::TELEMETRY, &postcard::to_allocvec(&later).unwrap());
        let parsed = Message::parse(&Frame::parse(&frame, MAX_CONTROL).unwrap());
        assert_eq!(parsed, Ok(Message::Telemetry(telemetry())));
        // The same holds for a packet, whose container must not move.
        #[derive(Serialize)]
        struct LaterHeader<'a>(PacketHeader<'a>, u64, &'a str);
        let header = PacketHeader { payload: 5, sample: "a", ..PacketHeader::new(1, 2) };
        let later = postcard::to_allocvec(&LaterHeader(header, 77, "more")).unwrap();
        let body = [&[later.len() as u8][..], &later, b"container"].concat();
        let frame = frame_of(kind::PACKET, &body);
        let Ok(Message::Packet(packet)) = Message::parse(&Frame::parse(&frame, MAX_CONTROL).unwrap()) else { panic!() };
        assert_eq!((packet.header, packet.body), (header, &b"container"[..]));
        assert_eq!(packet.parts.framed().0, frame.len() as u64);
    }

    #[test]
    fn a_later_build_reads_this_builds_message() {
        let mut frame = Vec::new();
        write(&telemetry(), &mut frame).unwrap();
        let body = Frame::parse(&frame, MAX_CONTROL).unwrap().body;
        let later: LaterTelemetry<'_> = read(body, "telemetry").unwrap();
        let rails = heapless::Vec::new();
        let expected = LaterTelemetry { first: telemetry(), fan_rpm: 0, load: 0.0, note: "", rails, supply_mv: None };
        assert_eq!(later, expected);
    }

    #[test]
    fn unknown_values_ask_the_least_trust() {
        assert_eq!(Exactness::from(200), Exactness::SameDevice);
        assert_eq!(Class::from(9), Class::Backfill);
        assert_eq!(Role::from(9), Role::Other);
        assert_eq!(u8::from(Class::Backfill), 1);
    }

    #[test]
    fn text_is_cut_at_a_character() {
        assert_eq!(bounded("short"), "short");
        let long = "é".repeat(200);
        assert_eq!(bounded(&long).len(), 256);
        assert_eq!(bounded(&format!("a{long}")).len(), 255);
    }

    #[test]
    fn a_resend_is_as_long_as_the_first() {
        let header = PacketHeader { captured_us: 5, payload: 700, ..PacketHeader::new(3, 1000) };
        let length = |sent_us, class| {
            let header = PacketHeader { sent_us, class, ..header };
            frame::PacketFrame::new(&header, &[0; 1000]).unwrap().parts()
        };
        assert_eq!(length(0, Class::Live), length(u64::MAX, Class::Backfill));
    }

    #[test]
    fn the_greatest_hello_fits_a_frame() {
        let id = "x".repeat(MAX_TEXT);
        let info = CodecInfo { id: &id, version: u16::MAX, exactness: Exactness::Exact };
        let hello = Hello {
            protocol: crate::PROTOCOL,
            role: Role::Agent,
            device: &id,
            epoch: u64::MAX,
            build: &id,
            sent_us: u64::MAX,
            codecs: core::iter::repeat_n(info, MAX_CODECS).collect(),
        };
        let mut frame = Vec::new();
        write(&hello, &mut frame).unwrap();
        assert_eq!(Message::parse(&Frame::parse(&frame, MAX_CONTROL).unwrap()), Ok(Message::Hello(hello)));
    }
}
