//! The server: accepts devices, stores what they send, and has it perceived.

use crate::events::Events;
use crate::follow::{Progress, follow, work};
use crate::perceive::{Model, Perceiver};
use crate::references::References;
use crate::rows::{Made, RowLog};
use crate::store::{Arrival, Known, Opened, Store, Stored, StoredPacket};
use crate::synthesis::Syntheses;
use crate::wire::Connections;
use afferent_codec::Registry;
use afferent_link::Now;
use afferent_link::message::{AckRange, Class, Reason};
use afferent_link::server::{self, Action, Event, Session};
use afferent_link_quic::identity::ServerIdentity;
use afferent_link_quic::{Close, Connection, Handshake, Limits, Listener};
use afferent_media::{Code, Error, Result};
use std::collections::HashMap;
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::sync::mpsc::sync_channel;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tokio::sync::mpsc::{Sender, UnboundedReceiver, UnboundedSender, channel, unbounded_channel};
use tokio::sync::{Notify, Semaphore};

/// How a server is run.
pub struct Options {
    /// Address and UDP port to listen on.
    pub listen: SocketAddr,
    /// Folder of the authority and the server's identity.
    pub identity: PathBuf,
    /// Folder of everything the server keeps: `store`, `row-log`, `rows`.
    pub data: PathBuf,
    /// Manifests or folders of pristine samples and labels.
    pub references: Vec<PathBuf>,
    /// Threads that decode and perceive.
    pub workers: usize,
    /// Rows are sealed into Parquet once there are this many, and at the end.
    pub seal_rows: usize,
}

/// Memory for packets that have arrived and are not yet durable, in KiB.
const ARRIVALS_KIB: usize = 64 << 10;
/// Packets that have arrived and are not yet durable.
const ARRIVALS: usize = 1024;
/// A device that was refused or said goodbye has this long to leave.
const LEAVE_WITHIN: Duration = Duration::from_secs(3);
/// Places handed to the workers ahead of their work, and rows ahead of the log.
const AHEAD: usize = 64;

/// A stop for the server, set from a signal handler's thread.
#[derive(Clone, Default)]
pub struct Stop(Arc<Notify>);

impl Stop {
    /// Asks the server to end: connections are closed, what is stored is
    /// perceived, rows are sealed.
    pub fn set(&self) {
        self.0.notify_one();
    }
}

/// Runs a server until `stop` is set. `models` makes the models of each worker,
/// `syntheses` says which networks decode which streams.
///
/// # Errors
/// Whatever fails first: identity, socket, disk, model.
pub fn run(
    options: &Options,
    registry: &Registry,
    models: &dyn Fn() -> Result<Vec<Model>>,
    syntheses: &Arc<Syntheses>,
    events: &Events,
    stop: &Stop,
) -> Result<()> {
    let identity = ServerIdentity::open(&options.identity)?;
    let references = match options.references.as_slice() {
        [] => None,
        paths => Some(Arc::new(References::open(paths)?)),
    };
    let connections = Connections::default();
    let store = Store::open(&options.data.join("store"), connections.clone())?;
    let log = RowLog::open(
        &options.data.join("row-log"),
        &options.data.join("rows"),
        options.seal_rows,
        connections.clone(),
    )?;
    let perceivers = (0..options.workers.max(1))
        .map(|_| {
            let perceiver = Perceiver::new(registry.clone(), references.clone(), models()?)?;
            Ok(perceiver.with_syntheses(Arc::clone(syntheses)))
        })
        .collect::<Result<Vec<_>>>()?;

    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|e| Error::io("starting the server", e))?;
    let listener = {
        let _inside = runtime.enter();
        Listener::bind(options.listen, &identity, Limits::default())?
    };
    events.listening(listener.local_address()?);

    let (known, done) = (store.known(), log.done());
    let (follower, readers) = (store.reader(), store.reader());
    let progress = Progress::default();
    progress.synced(follower.durable());
    let (arrivals, mut arrived) = channel::<Arrival>(ARRIVALS);
    let (todo, handed) = sync_channel(AHEAD);
    let (made, makes) = sync_channel::<Made>(AHEAD);
    // Shared by the workers alone: it ends with the last of them, and with it the follower.
    let handed = Arc::new(Mutex::new(handed));
    let failed = Arc::new(Notify::new());

    thread::scope(|scope| {
        let storing = scope.spawn({
            let (progress, ends, durable) = (&progress, Ends(Arc::clone(&failed)), store.reader());
            move || {
                let _ends = ends;
                let result = store.run(&mut arrived, || progress.synced(durable.durable()));
                progress.end();
                result
            }
        });
        let following = scope.spawn({
            let progress = &progress;
            move || follow(&follower, &done, progress, &todo)
        });
        let working: Vec<_> = perceivers
            .into_iter()
            .map(|perceiver| {
                let (readers, handed, made) = (readers.clone(), Arc::clone(&handed), made.clone());
                let ends = Ends(Arc::clone(&failed));
                scope.spawn(move || {
                    let _ends = ends;
                    work(&readers, &handed, perceiver, &made)
                })
            })
            .collect();
        drop(handed);
        drop(made);
        let logging = scope.spawn({
            let ends = Ends(Arc::clone(&failed));
            move || {
                let _ends = ends;
                log.run(&makes, |rows| events.rows(rows), |path, rows| events.sealed(path, rows))
            }
        });

        let door =
            Door { registry, arrivals, memory: Arc::new(Semaphore::new(ARRIVALS_KIB)), known, connections, events };
        runtime.block_on(async {
            tokio::select! {
                () = door.open(&listener) => {}
                () = stop.0.notified() => {}
                () = failed.notified() => {}
            }
            listener.close("the server ends").await;
        });
        // Without the door no packet can arrive: each stage ends after the one before it.
        drop(runtime);
        let stored = join(storing);
        let followed = join(following);
        let worked = working.into_iter().map(join).collect::<Result<Vec<()>>>();
        let logged = join(logging);
        stored.and(logged).and(worked.map(|_| ())).and(followed)
    })
}

/// Tells the server that a stage has ended, however it did: none ends before
/// the door is closed unless it failed.
struct Ends(Arc<Notify>);

impl Drop for Ends {
    fn drop(&mut self) {
        self.0.notify_one();
    }
}

/// Passes a stage's panic on: it is a bug, and hiding it would hide a loss.
fn join<T>(handle: thread::ScopedJoinHandle<'_, T>) -> T {
    handle.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

fn now(start: Instant) -> Now {
    Now {
        monotonic_us: u64::try_from(start.elapsed().as_micros()).unwrap_or(u64::MAX),
        wall_us: SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |since| u64::try_from(since.as_micros()).unwrap_or(u64::MAX)),
    }
}

/// Where devices come in.
struct Door<'a> {
    registry: &'a Registry,
    arrivals: Sender<Arrival>,
    memory: Arc<Semaphore>,
    known: Known,
    connections: Connections,
    events: &'a Events,
}

impl Door<'_> {
    /// Accepts devices for ever, each in a task of its own.
    async fn open(self, listener: &Listener) {
        let mut visits = futures_util::stream::FuturesUnordered::new();
        loop {
            tokio::select! {
                accepted = listener.accept() => match accepted {
                    Some(handshake) => visits.push(self.receive(handshake)),
                    None => return,
                },
                Some(()) = futures_util::StreamExt::next(&mut visits), if !visits.is_empty() => {}
            }
        }
    }

    async fn receive(&self, handshake: Handshake) {
        let mut connection = match handshake.complete().await {
            Ok(connection) => connection,
            Err(error) => return log::warn!("{error}"),
        };
        let number: u64 = rand::random();
        let device = connection.peer().to_owned();
        log::info!("device {device} connected from {}", connection.remote_address());
        self.events.connected(&device);
        let (stored_in, stored_out) = unbounded_channel();
        let mut visit = Visit {
            door: self,
            number,
            device: &device,
            session: Session::new(server::Config::default(), concat!("afferent ", env!("CARGO_PKG_VERSION"))),
            start: Instant::now(),
            epoch: 0,
            opened: HashMap::new(),
            clock: None,
            stored_in,
        };
        let (close, reason) = match visit.talk(&mut connection, stored_out).await {
            Ok(close) => (close, String::new()),
            Err(error) => {
                log::warn!("device {device}: {error}");
                (Close::Protocol, error.to_string())
            }
        };
        visit.measure(&connection, |wire| wire.closed = true);
        log::info!("device {device} has left; {} bytes came", connection.wire().rx_bytes);
        connection.close(close, &reason).await;
        self.events.disconnected(&device);
    }
}

/// Gives the device time to read the last word and to leave.
async fn leave(connection: &mut Connection) {
    let gone = async { while let Ok(Some(_)) = connection.recv().await {} };
    let _ = tokio::time::timeout(LEAVE_WITHIN, gone).await;
}

/// One connection of a device.
struct Visit<'a> {
    door: &'a Door<'a>,
    number: u64,
    device: &'a str,
    session: Session,
    start: Instant,
    epoch: u64,
    /// Name and operating point of each stream.
    opened: HashMap<u32, Opened>,
    /// Server's clock minus the device's and its error, microseconds.
    clock: Option<(i64, u64)>,
    stored_in: UnboundedSender<Stored>,
}

impl Visit<'_> {
    /// Notes what the connection has carried by now.
    fn measure(&self, connection: &Connection, change: impl FnOnce(&mut crate::wire::Wire)) {
        let carried = connection.wire();
        self.door.connections.update(self.number, |wire| {
            if wire.device.is_empty() {
                self.device.clone_into(&mut wire.device);
            }
            wire.up_bytes = carried.rx_bytes;
            wire.down_bytes = carried.tx_bytes;
            change(wire);
        });
    }

    async fn talk(&mut self, connection: &mut Connection, mut stored_out: UnboundedReceiver<Stored>) -> Result<Close> {
        let mut goodbye = false;
        loop {
            while let Some(action) = self.session.poll(now(self.start))? {
                match action {
                    Action::Send(frame) => connection.send_control(&frame).await?,
                    // The device reads the refusal, then leaves by itself.
                    Action::Close => {
                        leave(connection).await;
                        return Ok(Close::Refused);
                    }
                }
            }
            if goodbye {
                leave(connection).await;
                return Ok(Close::Done);
            }
            let deadline = self.session.deadline().map(|us| self.start + Duration::from_micros(us));
            tokio::select! {
                frame = connection.recv() => match frame {
                    Ok(Some(frame)) => goodbye = self.receive(connection, &frame).await?,
                    Ok(None) => return Ok(Close::Done),
                    // What was stored meanwhile is told at the next hello.
                    Err(error) if error.code() == Code::Link => {
                        log::info!("device {}: {error}", self.device);
                        return Ok(Close::Done);
                    }
                    Err(error) => return Err(error),
                },
                Some(stored) = stored_out.recv() => {
                    let now = now(self.start);
                    self.session.stored(stored.key, stored.parts, stored.first, now)?;
                    while let Ok(stored) = stored_out.try_recv() {
                        self.session.stored(stored.key, stored.parts, stored.first, now)?;
                    }
                    self.measure(connection, |_| {});
                }
                () = async { tokio::time::sleep_until(deadline.unwrap_or_else(Instant::now).into()).await }, if deadline.is_some() => {}
            }
        }
    }

    /// Takes one frame; whether the device has said goodbye.
    async fn receive(&mut self, connection: &mut Connection, frame: &[u8]) -> Result<bool> {
        let arrived = now(self.start);
        let event = match self.session.receive(frame, arrived) {
            Ok(event) => event,
            Err(fault) => {
                // It may have queued a refusal that tells the device what to do.
                if let Some(Action::Send(refusal)) = self.session.poll(arrived)? {
                    connection.send_control(&refusal).await?;
                    leave(connection).await;
                }
                return Err(fault.into());
            }
        };
        match event {
            Some(Event::Hello(hello)) => {
                if hello.device != self.device {
                    let what = format!("certificate of `{}`, hello of `{}`", self.device, hello.device);
                    self.session.refuse(Reason::Identity, &what, "use the identity that was made for this device")?;
                    return Ok(false);
                }
                for codec in &hello.codecs {
                    let ours = self.door.registry.get(codec.id).map(|ours| ours.descriptor().version);
                    if ours.as_ref().ok() != Some(&codec.version) {
                        log::warn!(
                            "device {}: this server cannot decode {} version {}",
                            self.device,
                            codec.id,
                            codec.version
                        );
                    }
                }
                self.epoch = hello.epoch;
                // Packets follow the welcome: what was carried so far is handshake.
                self.measure(connection, |wire| wire.handshake_bytes = wire.up_bytes + wire.down_bytes);
                let known = self.door.known.ranges(self.device, self.epoch);
                let range =
                    |stream: u32, run: &RangeInclusive<u64>| AckRange { stream, first: *run.start(), last: *run.end() };
                // Each stream's last run first: by it a device knows whether its spool is behind.
                let last = known.iter().filter_map(|(stream, runs)| Some(range(*stream, runs.last()?)));
                let older =
                    known.iter().flat_map(|(stream, runs)| runs.iter().rev().skip(1).map(|run| range(*stream, run)));
                let runs: Vec<AckRange> = last.chain(older).collect();
                self.session.welcome(&runs, arrived)?;
            }
            Some(Event::Open(open)) => {
                let opened = Opened {
                    name: open.name.to_owned(),
                    codec: open.codec.to_owned(),
                    preset: open.preset.to_owned(),
                    knob: open.knob,
                };
                self.opened.insert(open.stream, opened);
            }
            Some(Event::Packet(packet)) => {
                let header = &packet.header;
                let wall = |us: u64| i64::try_from(us).unwrap_or(i64::MAX);
                let stored = StoredPacket {
                    device: self.device.to_owned(),
                    epoch: self.epoch,
                    stream: header.stream,
                    opened: self.opened.get(&header.stream).cloned().unwrap_or_default(),
                    sequence: header.sequence,
                    backfill: header.class == Class::Backfill,
                    connection: self.number,
                    sample_id: header.sample.to_owned(),
                    captured_us: wall(header.captured_us),
                    sent_us: wall(header.sent_us),
                    received_us: wall(arrived.wall_us),
                    clock: self.clock,
                    encode_us: header.encode_us,
                    parts: packet.parts,
                };
                let body = packet.body.to_vec();
                let kib = u32::try_from(body.len().div_ceil(1024).clamp(1, ARRIVALS_KIB)).unwrap_or(1);
                let gone = |_| Error::new(Code::Internal, "the store has ended", "see the server's first error");
                let memory =
                    Arc::clone(&self.door.memory).acquire_many_owned(kib).await.map_err(|e| gone(e.to_string()))?;
                let arrival = Arrival { packet: stored, body, stored: self.stored_in.clone(), memory };
                self.door.arrivals.send(arrival).await.map_err(|e| gone(e.to_string()))?;
            }
            Some(Event::Telemetry(telemetry)) => {
                self.clock =
                    (telemetry.clock_error_us > 0).then_some((telemetry.clock_offset_us, telemetry.clock_error_us));
                self.measure(connection, |wire| wire.board.get_or_insert_default().take(&telemetry));
                self.door.events.telemetry(self.device, &telemetry);
            }
            Some(Event::Bye(bye)) => {
                self.measure(connection, |wire| wire.device_sent_bytes = Some(bye.tx_bytes));
                let carried = connection.wire();
                self.session.bye(carried.tx_bytes, carried.rx_bytes, "goodbye")?;
                return Ok(true);
            }
            None => {}
        }
        Ok(false)
    }
}
