//! One connection: control frames, packets, and what they cost on the wire.

use crate::fault::{self, REMEDY, close};
use crate::limits::Limits;
use afferent_link::Fault;
use afferent_link::frame::{self, PacketFrame};
use afferent_link::message::{Class, MAX_CONTROL};
use afferent_media::{Code, Error, Result};
use bytes::{Buf, Bytes, BytesMut};
use futures_util::stream::{FuturesUnordered, Stream};
use quinn::{ConnectionError, Endpoint, ReadError, RecvStream, SendStream, VarInt, WriteError};
use std::future::{Future, poll_fn};
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

/// Most packets that a receiver assembles at once.
const ASSEMBLED: usize = 16;
/// Most bytes of control frames that wait for the transport to take them.
const MAX_PENDING: usize = 16 * MAX_CONTROL;

/// What passed the socket for one connection, handshake, acks and resends
/// included: UDP payload, plus the headers of UDP and IP for each datagram (28
/// bytes over IPv4, 48 over IPv6, no options).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Wire {
    /// Bytes sent.
    pub tx_bytes: u64,
    /// Datagrams sent.
    pub tx_datagrams: u64,
    /// Bytes received.
    pub rx_bytes: u64,
    /// Datagrams received.
    pub rx_datagrams: u64,
}

/// Why this end closes a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Close {
    /// All is said; the peer's `recv` returns `None`.
    Done,
    /// The peer may not talk to this end.
    Refused,
    /// The peer broke the protocol.
    Protocol,
}

/// A connection to one peer.
#[derive(Debug)]
pub struct Connection {
    sender: Sender,
    receiver: Receiver,
}

impl Connection {
    pub(crate) fn new(
        connection: quinn::Connection,
        endpoint: Option<Endpoint>,
        peer: String,
        send: SendStream,
        receive: RecvStream,
        limits: &Limits,
    ) -> Self {
        let peer: Arc<str> = peer.into();
        // Control goes before packets. Fails only if the stream is closed, which writing will tell.
        _ = send.set_priority(1);
        let sender = Sender {
            connection: connection.clone(),
            endpoint,
            peer: peer.clone(),
            control: send,
            pending: BytesMut::new(),
            max_frame: limits.max_frame,
        };
        let receiver = Receiver {
            connection,
            peer,
            control: Some(receive),
            buffer: BytesMut::new(),
            assembling: FuturesUnordered::new(),
            max_frame: limits.max_frame,
        };
        Self { sender, receiver }
    }

    /// The two directions, so that each can wait without the other.
    #[must_use]
    pub fn split(self) -> (Sender, Receiver) {
        (self.sender, self.receiver)
    }

    /// See [`Sender::send_control`].
    ///
    /// # Errors
    /// As [`Sender::send_control`].
    pub async fn send_control(&mut self, frame: &[u8]) -> Result<()> {
        self.sender.send_control(frame).await
    }

    /// See [`Sender::send_packet`].
    ///
    /// # Errors
    /// As [`Sender::send_packet`].
    pub async fn send_packet(&mut self, frame: &PacketFrame, body: Bytes) -> Result<()> {
        self.sender.send_packet(frame, body).await
    }

    /// See [`Receiver::recv`].
    ///
    /// # Errors
    /// As [`Receiver::recv`].
    pub async fn recv(&mut self) -> Result<Option<Bytes>> {
        self.receiver.recv().await
    }

    /// See [`Sender::peer`].
    #[must_use]
    pub fn peer(&self) -> &str {
        self.sender.peer()
    }

    /// See [`Sender::remote_address`].
    #[must_use]
    pub fn remote_address(&self) -> SocketAddr {
        self.sender.remote_address()
    }

    /// See [`Sender::wire`].
    #[must_use]
    pub fn wire(&self) -> Wire {
        self.sender.wire()
    }

    /// See [`Sender::close`].
    pub async fn close(&self, why: Close, reason: &str) {
        self.sender.close(why, reason).await;
    }
}

/// The sending direction.
#[derive(Debug)]
pub struct Sender {
    connection: quinn::Connection,
    /// The agent's own endpoint; a server's is shared.
    endpoint: Option<Endpoint>,
    peer: Arc<str>,
    control: SendStream,
    pending: BytesMut,
    max_frame: usize,
}

impl Sender {
    /// Sends a whole control frame; returns once the transport holds it.
    ///
    /// If this future is dropped the frame is still sent, by the next call.
    ///
    /// # Errors
    /// [`Code::Link`] or [`Code::Refused`] if the connection is lost, and
    /// [`Code::Limit`] if the peer takes no more control frames.
    pub async fn send_control(&mut self, frame: &[u8]) -> Result<()> {
        if self.pending.len() + frame.len() > MAX_PENDING {
            let what = format!("{} takes no more control frames", self.peer);
            return Err(Error::new(Code::Limit, what, "send fewer of them, or close the connection"));
        }
        self.pending.extend_from_slice(frame);
        while !self.pending.is_empty() {
            let taken = self.control.write(&self.pending).await.map_err(|error| self.write_failed(error))?;
            self.pending.advance(taken);
        }
        Ok(())
    }

    /// Sends a packet on a stream of its own, live before backfill; returns once
    /// the transport holds it. The body is not copied.
    ///
    /// If this future is dropped the packet is abandoned: the peer never sees it.
    ///
    /// # Errors
    /// [`Code::Limit`] for a frame above the limit, which is not sent;
    /// [`Code::Link`] or [`Code::Refused`] if the connection is lost.
    pub async fn send_packet(&mut self, frame: &PacketFrame, body: Bytes) -> Result<()> {
        let (length, limit) = (frame.length().0, self.max_frame as u64);
        if length > limit {
            return Err(Fault::TooLong { length, limit }.into());
        }
        let stream = self.connection.open_uni().await.map_err(|error| fault::lost(&self.peer, &error))?;
        if frame.class() == Class::Backfill {
            // Fails only if the stream is closed, which writing will tell.
            _ = stream.set_priority(-1);
        }
        let mut stream = Unfinished { stream, whole: false };
        let tail = Bytes::copy_from_slice(&frame.tail);
        let mut parts = [Bytes::copy_from_slice(&frame.head), body, tail];
        stream.stream.write_all_chunks(&mut parts).await.map_err(|error| self.write_failed(error))?;
        stream.whole = true;
        Ok(())
    }

    /// The peer: at the server, the device's proven id; at the agent, the
    /// server's name and address.
    #[must_use]
    pub fn peer(&self) -> &str {
        &self.peer
    }

    /// Where the peer is now; it may move.
    #[must_use]
    pub fn remote_address(&self) -> SocketAddr {
        self.connection.remote_address()
    }

    /// What passed the socket so far.
    #[must_use]
    pub fn wire(&self) -> Wire {
        let stats = self.connection.stats();
        let headers = if self.connection.remote_address().ip().to_canonical().is_ipv4() { 28 } else { 48 };
        let total = |udp: &quinn::UdpStats| udp.bytes + udp.datagrams * headers;
        Wire {
            tx_bytes: total(&stats.udp_tx),
            tx_datagrams: stats.udp_tx.datagrams,
            rx_bytes: total(&stats.udp_rx),
            rx_datagrams: stats.udp_rx.datagrams,
        }
    }

    /// The smoothed time there and back.
    #[must_use]
    pub fn round_trip(&self) -> Duration {
        self.connection.rtt()
    }

    /// Closes the connection at once; frames still on their way are lost, so
    /// take leave by a `Bye` of both ends first. At the agent it returns once
    /// the server knows, or after a second.
    pub async fn close(&self, why: Close, reason: &str) {
        let code = match why {
            Close::Done => close::DONE,
            Close::Refused => close::REFUSED,
            Close::Protocol => close::PROTOCOL,
        };
        self.connection.close(VarInt::from_u32(code), reason.as_bytes());
        if let Some(endpoint) = &self.endpoint {
            _ = tokio::time::timeout(Duration::from_secs(1), endpoint.wait_idle()).await;
        }
    }

    fn write_failed(&self, error: WriteError) -> Error {
        match error {
            WriteError::ConnectionLost(error) => fault::lost(&self.peer, &error),
            other => abandoned(&self.peer, other),
        }
    }
}

/// A stream that is finished when it is dropped whole, and reset when it is
/// dropped half-way: the peer must not take a part for a packet.
struct Unfinished {
    stream: SendStream,
    whole: bool,
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        // Either fails only if the connection is closed.
        if self.whole {
            _ = self.stream.finish();
        } else {
            _ = self.stream.reset(VarInt::from_u32(close::PROTOCOL));
        }
    }
}

type Assembly = Pin<Box<dyn Future<Output = Result<Option<Bytes>, Broken>> + Send>>;

/// The receiving direction.
pub struct Receiver {
    connection: quinn::Connection,
    peer: Arc<str>,
    /// `None` once the peer has finished it.
    control: Option<RecvStream>,
    buffer: BytesMut,
    assembling: FuturesUnordered<Assembly>,
    max_frame: usize,
}

impl std::fmt::Debug for Receiver {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Receiver").field("peer", &self.peer).finish_non_exhaustive()
    }
}

/// What ends the receiving.
enum Broken {
    Fault(Fault),
    Read(ReadError),
}

impl From<Fault> for Broken {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

impl From<ReadError> for Broken {
    fn from(error: ReadError) -> Self {
        Self::Read(error)
    }
}

impl From<ConnectionError> for Broken {
    fn from(error: ConnectionError) -> Self {
        Self::Read(error.into())
    }
}

impl Receiver {
    /// The next whole frame, control before packets; packets come in any order.
    /// `None` once the peer has closed the connection as done. Frames are cut by
    /// their stated length, which is bounded; their checksum is the session's to
    /// check.
    ///
    /// This is cancel-safe.
    ///
    /// # Errors
    /// [`Code::Refused`] if the peer does not accept this end,
    /// [`Code::Limit`] for an oversized frame and [`Code::Corrupt`] for a torn
    /// one (both close the connection), [`Code::Link`] if the connection is lost.
    pub async fn recv(&mut self) -> Result<Option<Bytes>> {
        match self.next().await {
            Ok(frame) => Ok(Some(frame)),
            Err(Broken::Read(ReadError::ConnectionLost(error))) => match &error {
                ConnectionError::ApplicationClosed(close) if close.error_code == VarInt::from_u32(close::DONE) => {
                    Ok(None)
                }
                _ => Err(fault::lost(&self.peer, &error)),
            },
            Err(Broken::Read(error)) => Err(abandoned(&self.peer, error)),
            Err(Broken::Fault(fault)) => {
                let code = if matches!(fault, Fault::TooLong { .. }) { close::LIMIT } else { close::PROTOCOL };
                let reason = format!("{fault}{REMEDY}{}", fault.remedy());
                self.connection.close(VarInt::from_u32(code), reason.as_bytes());
                Err(Error::from(fault).at(&self.peer))
            }
        }
    }

    async fn next(&mut self) -> Result<Bytes, Broken> {
        let Self { connection, control, buffer, assembling, max_frame, .. } = self;
        let max_frame = *max_frame;
        let mut accept = pin!(connection.accept_uni());
        poll_fn(|cx| {
            loop {
                if let Some(length) = frame::length(buffer, MAX_CONTROL)?
                    && buffer.len() >= length
                {
                    return Poll::Ready(Ok(buffer.split_to(length).freeze()));
                }
                // Control frames.
                let chunk = match control {
                    Some(stream) => pin!(stream.read_chunk(MAX_CONTROL, true)).poll(cx)?,
                    None => Poll::Pending,
                };
                match chunk {
                    Poll::Ready(Some(chunk)) => {
                        buffer.extend_from_slice(&chunk.bytes);
                        continue;
                    }
                    Poll::Ready(None) if buffer.is_empty() => *control = None,
                    Poll::Ready(None) => return Poll::Ready(Err(Fault::Truncated.into())),
                    Poll::Pending => {}
                }
                // Packets that are whole.
                if let Poll::Ready(Some(packet)) = Pin::new(&mut *assembling).poll_next(cx)? {
                    match packet {
                        Some(packet) => return Poll::Ready(Ok(packet)),
                        None => continue,
                    }
                }
                // Packets that begin.
                if assembling.len() < ASSEMBLED
                    && let Poll::Ready(stream) = accept.as_mut().poll(cx)?
                {
                    accept.set(connection.accept_uni());
                    assembling.push(Box::pin(assemble(stream, max_frame)));
                    continue;
                }
                return Poll::Pending;
            }
        })
        .await
    }
}

/// Reads one packet's frame to the end of its stream; `None` if the peer
/// abandons it.
async fn assemble(mut stream: RecvStream, max_frame: usize) -> Result<Option<Bytes>, Broken> {
    let mut frame = Vec::new();
    let mut length = None;
    loop {
        let chunk = match stream.read_chunk(max_frame, true).await {
            Ok(Some(chunk)) => chunk.bytes,
            Ok(None) => break,
            Err(ReadError::Reset(_)) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        frame.extend_from_slice(&chunk);
        if length.is_none() {
            length = frame::length(&frame, max_frame)?;
        }
        if length.is_some_and(|length| frame.len() > length) {
            return Err(Fault::Trailing.into());
        }
    }
    if length != Some(frame.len()) {
        return Err(Fault::Truncated.into());
    }
    Ok(Some(frame.into()))
}

fn abandoned(peer: &str, cause: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::new(Code::Link, format!("{peer} abandoned a stream"), "reconnect").caused_by(cause)
}
