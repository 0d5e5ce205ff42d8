//! What crosses between board and server, and how nothing accepted is lost.
//!
//! This crate does no input or output: it has no sockets and no clock. A
//! program feeds whole frames and the time into a session and carries out the
//! actions that the session returns, so that a real link, a simulated one and
//! a test with virtual time run the same code.
//!
//! - [`frame`]: `kind | length | body | CRC-32C`, and the one frame whose body
//!   is not copied: a packet;
//! - [`message`]: what the bodies say, and the rule by which later versions
//!   may say more;
//! - [`agent`], [`server`]: one state machine for each end;
//! - [`clock`]: the offset between the two wall clocks, with its error;
//! - [`ranges`]: sorted runs of sequence numbers, for acks and for the store;
//! - [`memory`]: a link in memory with a seeded fault injector (feature `std`);
//! - [`fault`]: everything that can go wrong here.
//!
//! # One packet, from spool to ack
//!
//! The agent's packets stay in the caller's spool. The session is told which
//! exist, says which to send (again after a reconnect), and names those that
//! the server has stored, which the caller then frees. The server's caller
//! stores and syncs what it is given and reports that; the session turns those
//! reports into acks of whole runs.
//!
//! ```
//! use afferent_link::{Now, agent, frame::PacketFrame, message::*, server};
//! use afferent_media::{Bytes, RateParts};
//!
//! let now = Now { monotonic_us: 0, wall_us: 1_700_000_000_000_000 };
//! let greeting = agent::Greeting { device: "cam-7".into(), epoch: 42, ..Default::default() };
//! let mut agent = agent::Session::new(agent::Config::default(), greeting);
//! let mut server = server::Session::new(server::Config::default(), "demo");
//!
//! // Connect: the agent says hello, the server authorises and welcomes it.
//! agent.connected(now);
//! let Some(agent::Action::Send(hello)) = agent.poll(now)? else { panic!() };
//! let Some(server::Event::Hello(hello)) = server.receive(&hello, now)? else { panic!() };
//! assert_eq!(hello.device, "cam-7");
//! server.welcome(&[], now)?;
//! let Some(server::Action::Send(welcome)) = server.poll(now)? else { panic!() };
//! agent.receive(&welcome, now)?;
//!
//! // One packet of the spool: its body is borrowed, never copied.
//! let body = b"a container";
//! let header = PacketHeader { payload: 4, captured_us: now.wall_us, ..PacketHeader::new(0, 0) };
//! let packet = PacketFrame::new(&header, body)?;
//! assert!(agent.offer(header.key(), packet.parts()));
//! let Some(agent::Action::SendPacket(key)) = agent.poll(now)? else { panic!() };
//! assert_eq!(key, header.key());
//! let bytes = [&packet.head[..], body, &packet.tail].concat();
//!
//! // The server stores it, syncs, and acks.
//! let Some(server::Event::Packet(packet)) = server.receive(&bytes, now)? else { panic!() };
//! assert_eq!(packet.body, body);
//! server.stored(packet.header.key(), packet.parts, true, now);
//! server.flush();
//! let Some(server::Action::Send(ack)) = server.poll(now)? else { panic!() };
//! agent.receive(&ack, now)?;
//! assert_eq!(agent.poll(now)?, Some(agent::Action::Acked(key)));
//! assert_eq!(agent.ledger(), server.ledger());
//! # Ok::<(), afferent_link::Fault>(())
//! ```
#![cfg_attr(not(feature = "std"), no_std)]

extern crate alloc;

pub mod agent;
pub mod clock;
pub mod fault;
pub mod frame;
mod ledger;
#[cfg(feature = "std")]
pub mod memory;
pub mod message;
pub mod ranges;
pub mod server;

pub use clock::{ClockOffset, Now};
pub use fault::Fault;
pub use ledger::Ledger;
pub use ranges::RangeSet;

/// The versions of the protocol that this build speaks.
pub const PROTOCOL: message::Versions = message::Versions { min: 1, max: 1 };

/// One packet within one device and spool epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PacketKey {
    /// The stream's number.
    pub stream: u32,
    /// The packet's place in its stream; never used twice in one spool epoch.
    pub sequence: u64,
}

impl core::fmt::Display for PacketKey {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "{}/{}", self.stream, self.sequence)
    }
}
