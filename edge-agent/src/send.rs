//! The sending stage: what the spool holds goes out over QUIC until it is
//! acknowledged, whatever becomes of the connection.

use crate::body::{Body, Link};
use crate::config::{self, Config};
use crate::service::Service;
use crate::source::wall_us;
use crate::spool::{BodyReader, Pending, Shared};
use crate::stop::Stop;
use afferent_codec::Registry;
use afferent_link::agent::{self, Action, Event, Greeting, Session};
use afferent_link::frame::PacketFrame;
use afferent_link::message::{self, Exactness, Open, Telemetry};
use afferent_link::{Now, PacketKey};
use afferent_link_quic::identity::DeviceIdentity;
use afferent_link_quic::{Client, Close, Connection, Limits};
use afferent_media::{Code, Error, Result};
use bytes::Bytes;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// More than any packet's framing takes: the room asked for before a packet is framed.
const FRAMING: u64 = 600;
const TELEMETRY_EVERY: Duration = Duration::from_secs(10);
const GOODBYE_WITHIN: Duration = Duration::from_secs(3);

/// Sends what the spool holds.
pub struct Sender {
    config: config::Send,
    server: config::Server,
    client: Client,
    session: Session,
    shared: Arc<Shared>,
    bodies: BodyReader,
    body: Arc<Body>,
    start: Instant,
    /// Of each stream: the sequence after the last that the server may have from here: what
    /// the spool held when it was opened, and what was offered since. Where the server has
    /// more, another agent goes on under this spool's epoch, and it would take this one's
    /// next samples for repetitions.
    told: BTreeMap<u32, u64>,
}

/// The identity that a configuration names.
///
/// # Errors
/// [`Code::NotFound`] if there is none, [`Code::Config`] if it cannot be read.
pub(crate) fn identity(config: &Config) -> Result<DeviceIdentity> {
    let folder = &config.identity.folder;
    DeviceIdentity::open(folder).map_err(|error| match error.code() {
        Code::NotFound => Error::new(
            Code::NotFound,
            format!("identity.folder {} holds no device's identity", folder.display()),
            "copy the folder that `afferent enroll AUTHORITY --device ID` made on the server, AUTHORITY/devices/ID",
        ),
        _ => error.at("identity.folder"),
    })
}

/// How a connection ended.
enum Ended {
    /// Everything is acknowledged, or the stop was set.
    Finished,
    /// The connection was lost.
    Lost(Error),
    /// No other connection would be better.
    Failed(Error),
}

impl Sender {
    /// A sender of what `shared` holds, read by `bodies`. It tells the server how
    /// the board's `body` is, and the body how the link is.
    ///
    /// # Errors
    /// [`Code::NotFound`] or [`Code::Config`] if the identity cannot be read.
    pub fn new(
        config: &Config,
        registry: &Registry,
        shared: Arc<Shared>,
        bodies: BodyReader,
        body: Arc<Body>,
    ) -> Result<Self> {
        let identity = identity(config)?;
        log::info!("{} sends to {}", identity.id(), config.server.address);
        let exactness = |exactness| match exactness {
            afferent_codec::Exactness::Exact => Exactness::Exact,
            afferent_codec::Exactness::SameBuild => Exactness::SameBuild,
            afferent_codec::Exactness::SameDevice => Exactness::SameDevice,
        };
        let codecs = registry
            .iter()
            .map(|codec| codec.descriptor())
            .map(|d| (d.id.to_owned(), d.version, exactness(d.exactness)));
        let greeting = Greeting {
            device: identity.id().to_owned(),
            epoch: shared.epoch(),
            build: format!("afferent-agent {}", env!("CARGO_PKG_VERSION")),
            codecs: codecs.collect(),
        };
        let bounds = agent::Config {
            window_packets: config.send.window_packets.into(),
            window_bytes: u64::from(config.send.window_kib) << 10,
            ..agent::Config::default()
        };
        let mut session = Session::new(bounds, greeting);
        for (number, stream) in (0u32..).zip(&config.streams) {
            let descriptor = registry.get(&stream.codec)?.descriptor();
            let (preset, knob) = stream.settings().resolve(descriptor)?;
            session.open(&Open { stream: number, name: &stream.name, codec: descriptor.id, preset, knob })?;
        }
        Ok(Self {
            config: config.send.clone(),
            server: config.server.clone(),
            client: Client::new(&identity, Limits::default())?,
            session,
            told: shared.ends(),
            shared,
            bodies,
            body,
            start: Instant::now(),
        })
    }

    fn now(&self) -> Now {
        let monotonic_us = u64::try_from(self.start.elapsed().as_micros()).unwrap_or(u64::MAX);
        Now { monotonic_us, wall_us: u64::try_from(wall_us()).unwrap_or(0) }
    }

    /// Sends until the spool is drained or the stop is set. A lost connection is
    /// made again, with growing patience. A server that refuses this device is
    /// asked again for as long as there is something to capture.
    ///
    /// # Errors
    /// [`Code::Refused`] or another refusal, once nothing more is captured.
    pub(crate) fn run(self, service: &Service, stop: &Stop) -> Result<()> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|e| Error::io("starting the sender", e))?;
        let shared = Arc::clone(&self.shared);
        let status = || {
            let standing = shared.standing();
            format!("{} accepted, {} of them wait to be acknowledged", standing.accepted, standing.spooled)
        };
        runtime.block_on(service.watch(self.keep_sending(stop), status))
    }

    async fn keep_sending(mut self, stop: &Stop) -> Result<()> {
        let shortest = Duration::from_millis(self.config.backoff_min_ms.into());
        let longest = Duration::from_millis(self.config.backoff_max_ms.into());
        let mut patience = shortest;
        while !stop.is_set() && !self.shared.drained() {
            let connected = tokio::select! {
                connected = self.connect() => connected,
                () = stop.stopped() => return Ok(()),
            };
            let ended = match connected {
                Ok(mut connection) => {
                    log::info!("connected to {}", self.server.address);
                    let ended = self.talk(&mut connection, stop).await;
                    if self.session.is_up() {
                        patience = shortest;
                    }
                    self.session.disconnected();
                    ended.unwrap_or_else(Ended::Lost)
                }
                Err(error) => Ended::Lost(error),
            };
            match ended {
                Ended::Finished => return Ok(()),
                Ended::Failed(error) => return Err(error),
                Ended::Lost(error) => {
                    let refused = matches!(error.code(), Code::Refused | Code::Unsupported);
                    self.body.link(if refused { Link::Refused } else { Link::Down });
                    if refused && self.shared.ended() {
                        return Err(error);
                    }
                    if refused {
                        patience = longest;
                        log::error!("{error}; next attempt in {} s", patience.as_secs());
                    } else {
                        log::warn!("{error}; next attempt in {} ms", patience.as_millis());
                    }
                    tokio::select! {
                        () = tokio::time::sleep(patience) => {}
                        () = stop.stopped() => return Ok(()),
                    }
                    patience = (patience * 2).min(longest);
                }
            }
        }
        Ok(())
    }

    async fn connect(&self) -> Result<Connection> {
        let address = &self.server.address;
        let unknown =
            || Error::new(Code::Link, format!("`{address}` is no address"), "write host:port, and check the name");
        let mut found = tokio::net::lookup_host(address).await.map_err(|e| unknown().caused_by(e))?;
        let address: SocketAddr = found.next().ok_or_else(unknown)?;
        self.client.connect(address, &self.server.name).await
    }

    /// One connection, from hello to goodbye.
    async fn talk(&mut self, connection: &mut Connection, stop: &Stop) -> Result<Ended> {
        self.session.connected(self.now());
        let mut next_place = 0;
        let mut telemetry_due = Instant::now();
        loop {
            self.act(connection, None).await?;
            if self.session.is_up() {
                // The clock first: without it no latency over the link can be told.
                if Instant::now() >= telemetry_due {
                    telemetry_due = Instant::now() + TELEMETRY_EVERY;
                    self.tell(connection).await?;
                }
                self.offer(connection, &mut next_place).await?;
                if stop.is_set() || self.shared.drained() {
                    self.goodbye(connection).await?;
                    return Ok(Ended::Finished);
                }
            }
            if stop.is_set() {
                return Ok(Ended::Finished);
            }
            let deadline = self.session.deadline().map(|us| self.start + Duration::from_micros(us));
            let telemetry = self.session.is_up().then_some(telemetry_due);
            let wake = deadline.into_iter().chain(telemetry).min().unwrap_or_else(|| Instant::now() + TELEMETRY_EVERY);
            tokio::select! {
                frame = connection.recv() => {
                    let now = self.now();
                    let Some(frame) = frame? else {
                        return Ok(Ended::Lost(Error::new(Code::Link, "the server closed the connection", "it will be asked again")));
                    };
                    match self.session.receive(&frame, now)? {
                        Some(Event::Refused(refuse)) => return Err(refuse.into()),
                        Some(Event::Bye(_)) => {
                            return Ok(Ended::Lost(Error::new(Code::Link, "the server said goodbye", "it will be asked again")));
                        }
                        Some(Event::Control(control)) => {
                            log::warn!("the server asks for {control:?}; this build keeps to its configuration");
                        }
                        Some(Event::Welcomed { protocol, build }) => {
                            log::info!("{build} speaks protocol {protocol}");
                            let told = |stream| self.told.get(&stream).copied().unwrap_or(0);
                            let ahead = self.session.stored_ends().find(|&(stream, end)| end > told(stream));
                            if let Some((stream, end)) = ahead {
                                self.shared.begin_another_epoch();
                                return Ok(Ended::Failed(Error::new(
                                    Code::Config,
                                    format!(
                                        "the server has {end} samples of stream number {stream} of this spool, and not \
                                         from here: this is a copy or an older state of it, or the disk has lost what \
                                         it had synced"
                                    ),
                                    "start the agent again: it then begins a new epoch, and what waits is sent in it; \
                                     give each board a spool and an identity of its own",
                                )));
                            }
                            self.body.link(Link::Up);
                        }
                        None => {}
                    }
                }
                () = self.shared.woken() => {}
                () = stop.stopped() => {}
                () = tokio::time::sleep_until(wake.into()) => {}
            }
        }
    }

    /// Carries out what the session asks for. `fresh` is a packet that was read
    /// just now, so that it need not be read again.
    async fn act(&mut self, connection: &mut Connection, mut fresh: Option<(&PacketFrame, Bytes)>) -> Result<()> {
        while let Some(action) = self.session.poll(self.now())? {
            match action {
                Action::Send(frame) => connection.send_control(&frame).await?,
                Action::Acked(key) => self.shared.acknowledge(key.stream, key.sequence, key.sequence),
                Action::SendPacket(key) => match fresh.take() {
                    Some((frame, body)) if frame.key() == key => connection.send_packet(frame, body).await?,
                    other => {
                        fresh = other;
                        self.send_again(connection, key).await?;
                    }
                },
                Action::Lost => return Err(Error::new(Code::Link, "the server is silent", "it will be asked again")),
            }
        }
        Ok(())
    }

    /// Offers what waits, as far as the window reaches.
    async fn offer(&mut self, connection: &mut Connection, next_place: &mut u64) -> Result<()> {
        while let Some(pending) = self.shared.next_pending(*next_place) {
            if !self.session.has_room(u64::from(pending.location.length) + FRAMING) {
                break;
            }
            *next_place = pending.location.index + 1;
            let told = self.told.entry(pending.key.stream).or_default();
            *told = pending.key.sequence.saturating_add(1).max(*told);
            let Some((frame, body)) = self.read(&pending)? else { continue };
            // Not taken: it is in the window since before the reconnect.
            if self.session.offer(pending.key, frame.parts()) {
                self.act(connection, Some((&frame, body))).await?;
            }
        }
        Ok(())
    }

    async fn send_again(&mut self, connection: &mut Connection, key: PacketKey) -> Result<()> {
        let read = match self.shared.find(key) {
            Some(pending) => self.read(&pending)?,
            None => None,
        };
        match read {
            Some((frame, body)) => connection.send_packet(&frame, body).await,
            None => {
                self.session.withdraw(key);
                Ok(())
            }
        }
    }

    /// Reads and frames a spooled packet. One whose record is damaged on disk
    /// is recorded as lost.
    fn read(&mut self, pending: &Pending) -> Result<Option<(PacketFrame, Bytes)>> {
        let sent_us = self.now().wall_us;
        let (meta, body) = match self.bodies.read(pending) {
            Ok(read) => read,
            Err(error) if error.code() == Code::Corrupt => {
                log::error!("{} is lost: {error}", pending.key);
                self.shared.lose(pending.key);
                return Ok(None);
            }
            Err(error) => return Err(error),
        };
        let frame = PacketFrame::new(&meta.header(pending.key, sent_us), &body)?;
        Ok(Some((frame, body)))
    }

    async fn tell(&mut self, connection: &mut Connection) -> Result<()> {
        let now = self.now();
        let standing = self.shared.standing();
        let clock = self.session.clock_offset(now);
        let body = self.body.report();
        self.session.telemetry(&Telemetry {
            sent_us: now.wall_us,
            clock_offset_us: clock.map_or(0, |c| c.offset_us),
            clock_error_us: clock.map_or(0, |c| c.error_us.max(1)),
            spool_packets: standing.spooled,
            spool_bytes: standing.disk.0,
            dropped: standing.dropped,
            temperature_mc: body.temperature_mc,
            throttled: body.throttled,
            energy_uj: body.energy_uj,
            no_energy: body.no_energy,
            meter: message::bounded(&body.meter),
            metered_from_us: body.metered_from_us,
            encode_uj: body.encode_uj,
            encode_us: body.encode_us,
            throttle_flags: body.throttle_flags,
        })?;
        self.act(connection, None).await
    }

    async fn goodbye(&mut self, connection: &mut Connection) -> Result<()> {
        // The last report: what the samples since the one before have cost.
        self.tell(connection).await?;
        let wire = connection.wire();
        self.session.bye(wire.tx_bytes, wire.rx_bytes, "nothing is left to send")?;
        self.act(connection, None).await?;
        // The server's own goodbye says that it has ours.
        let answered = async {
            while let Ok(Some(frame)) = connection.recv().await {
                let now = self.now();
                if let Ok(Some(Event::Bye(_))) = self.session.receive(&frame, now) {
                    return;
                }
            }
        };
        let _ = tokio::time::timeout(GOODBYE_WITHIN, answered).await;
        connection.close(Close::Done, "goodbye").await;
        Ok(())
    }
}
