//! The link over QUIC with mutual TLS, and the identities it needs.
//!
//! - [`identity`]: an authority's folder: one certificate for the server, one
//!   for each device, and the list of those that were revoked;
//! - [`Client`]: the agent's end; [`Listener`]: the server's;
//! - [`Connection`]: control frames on one bidirectional stream, each packet on
//!   a unidirectional stream of its own, so that a lost datagram delays no
//!   packet but its own;
//! - [`Limits`]: every bound.
//!
//! TLS 1.3 with certificates of one authority at both ends, always. The server
//! serves a device only if the certificate shown is the one on file for it and
//! it is not revoked; the agent learns why it was refused. TLS 1.3 lets a client
//! finish before the server has seen its certificate, so a refusal is the error
//! of the agent's first [`recv`](Connection::recv), not of `connect`.
//!
//! The transport resends by itself: sessions over it leave
//! `afferent_link::agent::Config::resend` at `None`. A single-threaded runtime
//! suffices at both ends.
//!
//! ```no_run
//! use afferent_link::{frame::PacketFrame, message::PacketHeader};
//! use afferent_link_quic::identity::{Authority, DeviceIdentity, ServerIdentity};
//! use afferent_link_quic::{Client, Close, Limits, Listener};
//!
//! # async fn flow() -> afferent_media::Result<()> {
//! // Once: an authority, the server's identity, and a bundle for the board.
//! let authority = Authority::create("authority".as_ref())?;
//! authority.issue_server(&["server.example", "192.0.2.1"])?;
//! let bundle = authority.issue_device("cam-7")?; // a folder: copy it to the board
//!
//! // The server. Handshakes run beside one another, each in its own task.
//! let listener = Listener::bind("[::]:4747".parse().unwrap(), &ServerIdentity::open("authority".as_ref())?, Limits::default())?;
//! tokio::spawn(async move {
//!     while let Some(handshake) = listener.accept().await {
//!         tokio::spawn(async move {
//!             let mut connection = handshake.complete().await?;
//!             println!("{} is here", connection.peer());
//!             while let Some(frame) = connection.recv().await? {
//!                 // Whole frames, for `afferent_link::server::Session::receive`.
//!                 connection.send_control(&frame).await?;
//!             }
//!             Ok::<(), afferent_media::Error>(())
//!         });
//!     }
//! });
//!
//! // The agent.
//! let client = Client::new(&DeviceIdentity::open(&bundle)?, Limits::default())?;
//! let mut connection = client.connect("192.0.2.1:4747".parse().unwrap(), "server.example").await?;
//! let body = bytes::Bytes::from_static(b"a container");
//! let frame = PacketFrame::new(&PacketHeader::new(0, 0), &body)?;
//! connection.send_packet(&frame, body).await?; // the body is not copied
//! println!("{} bytes on the wire", connection.wire().tx_bytes);
//! connection.close(Close::Done, "that was all").await;
//! # Ok(())
//! # }
//! ```

mod client;
mod connection;
mod fault;
pub mod identity;
mod limits;
mod listener;
mod tls;

pub use client::Client;
pub use connection::{Close, Connection, Receiver, Sender, Wire};
pub use limits::Limits;
pub use listener::{Handshake, Listener};
