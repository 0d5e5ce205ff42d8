//! The stages of an agent, joined.

use crate::body::Body;
use crate::config::{self, Config};
use crate::encode::{Encoded, StreamEncoder};
use crate::latency::{Latency, Quantiles};
use crate::queue::Queue;
use crate::send;
use crate::service::Service;
use crate::source::{self, Captured, Content, Source, Time};
use crate::spool::{self, Shared, Spool, Standing};
use crate::stop::Stop;
use afferent_codec::{Container, Gap, Geometry, Registry, gap};
use afferent_journal::{Disk, Journal, RealDisk, SyncPolicy};
use afferent_media::{Bytes, Code, Error, Modality, Result};
use serde::Serialize;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;
use std::time::Duration;

/// How an agent's run ended.
#[derive(Debug, Clone, Serialize)]
pub struct Outcome {
    /// How the spool stands.
    pub standing: Standing,
    /// Whether everything was captured and acknowledged.
    pub complete: bool,
    /// Of each stream's samples: how long it took from their capture until they were
    /// accepted.
    pub accepted_in: Vec<Quantiles>,
}

/// Runs an agent until its sources have ended and everything is acknowledged,
/// or until `stop` is set; what is not sent by then waits in the spool.
///
/// # Errors
/// [`Code::Config`] for streams that cannot be, [`Code::Io`] if the spool's
/// disk fails, [`Code::Refused`] if the server refuses this device.
pub fn run(config: &Config, registry: &Registry, stop: &Stop) -> Result<Outcome> {
    // Before anything is written.
    check(config, registry)?;
    let disk = RealDisk::new(&config.spool.folder)?;
    run_on(config, registry, stop, disk, source::open)
}

/// Whether a configuration can run here, as far as that can be told without writing
/// anything and without touching a device: its streams' codecs and sources, and the identity.
///
/// # Errors
/// What [`run`] would end with at its start.
pub fn check(config: &Config, registry: &Registry) -> Result<()> {
    for (stream, encoder) in config.streams.iter().zip(encoders(config, registry)?) {
        source::open(stream, encoder.modality(), 0).map_err(|e| e.at(format!("stream `{}`", stream.name)))?;
    }
    send::identity(config)?;
    Ok(())
}

/// The encoder of each stream.
fn encoders(config: &Config, registry: &Registry) -> Result<Vec<StreamEncoder>> {
    if config.streams.is_empty() {
        return Err(Error::new(
            Code::Config,
            "the configuration has no stream",
            "add a [[stream]]; `afferent-agent config --default` shows one",
        ));
    }
    (0..).zip(&config.streams).map(|(number, stream)| StreamEncoder::new(number, stream, registry)).collect()
}

/// As [`run`], with the spool on `disk` and each stream's source made by
/// `source` from its configuration, its codec's modality and the position where it
/// goes on.
///
/// # Errors
/// As [`run`], and those of `source`.
pub fn run_on(
    config: &Config,
    registry: &Registry,
    stop: &Stop,
    disk: impl Disk + 'static,
    mut source: impl FnMut(&config::Stream, Modality, u64) -> Result<Box<dyn Source>>,
) -> Result<Outcome> {
    let encoding = encoders(config, registry)?;
    let limits = limits(config);
    let (sync, max) = (limits.sync, limits.max);
    let mut spool = Spool::open(disk, limits, rand::random())?;
    spool.name_streams(&config.streams.iter().map(|stream| stream.name.as_str()).collect::<Vec<_>>())?;
    let mut encoders: Vec<Vec<(u32, StreamEncoder)>> = (0..config.encode.threads).map(|_| Vec::new()).collect();
    let mut sources: Vec<(u32, Box<dyn Source>)> = Vec::new();
    for ((number, stream), encoder) in (0u32..).zip(&config.streams).zip(encoding) {
        let source = source(stream, encoder.modality(), spool.position(number))
            .map_err(|e| e.at(format!("stream `{}`", stream.name)))?;
        sources.push((number, source));
        encoders[number as usize % config.encode.threads].push((number, encoder));
    }

    let shared = spool.shared();
    let bodies = spool.reader();
    let body = Arc::new(Body::new(&config.body));
    let service = Service::new();
    let latencies = config.streams.iter().map(|_| Latency::new()).collect::<Result<Vec<_>>>()?;
    let sender = send::Sender::new(config, registry, Arc::clone(&shared), bodies, Arc::clone(&body))?;
    let batch_bytes = usize::try_from(sync.max_bytes).unwrap_or(usize::MAX / 4);
    let queue = Queue::new(encoders.len(), batch_bytes);
    // A stage that fails stops the others; the first error is the one to report.
    thread::scope(|scope| {
        let mut stages = Vec::new();
        let mut inlets = Vec::new();
        for streams in encoders {
            let (inlet, outlet) = sync_channel::<(u32, Captured)>(config.encode.queue);
            inlets.push(inlet);
            let (queue, body, shared) = (&queue, &body, &shared);
            stages.push(scope.spawn(move || encode_stage(streams, &outlet, queue, body, shared)));
        }
        for (number, source) in sources {
            let inlet = inlets[number as usize % inlets.len()].clone();
            let shared = Arc::clone(&shared);
            stages.push(scope.spawn(move || source_stage(number, source, &inlet, &shared, stop)));
        }
        drop(inlets);
        let spooling = scope.spawn({
            let (shared, queue, service) = (Arc::clone(&shared), &queue, &service);
            move || {
                // However the stage ends, panics included, nobody waits for it.
                let _ends = Ends(|| {
                    queue.close();
                    shared.end();
                    stop.set();
                });
                spool_stage(spool, queue, latencies, sync.max_delay, service, stop)
            }
        });
        // Ends at the stop, which the spool's end sets.
        let living = scope.spawn(|| body.run(|| shared.standing(), max.0, stop));
        service.ready();
        let sent = sender.run(&service, stop);
        if sent.is_err() {
            stop.set();
        }
        let spooled = join(spooling);
        for stage in stages {
            join(stage);
        }
        join(living);
        // The disk's error first: it is the one that stopped the sender.
        let (complete, accepted_in) = spooled?;
        sent?;
        Ok(Outcome { standing: shared.standing(), complete, accepted_in })
    })
}

/// Passes a stage's panic on: it is a bug, and hiding it would hide a loss.
fn join<T>(handle: thread::ScopedJoinHandle<'_, T>) -> T {
    handle.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

fn source_stage(
    number: u32,
    mut source: Box<dyn Source>,
    inlet: &SyncSender<(u32, Captured)>,
    shared: &Shared,
    stop: &Stop,
) {
    while let Some(captured) = source.next(stop) {
        if let Content::Missing(gap) = &captured.content {
            shared.drop_samples(gap.missing);
        }
        if inlet.send((number, captured)).is_err() {
            return;
        }
    }
}

/// Does something when it is dropped: also when a stage panics.
pub(crate) struct Ends<F: Fn()>(pub(crate) F);

impl<F: Fn()> Drop for Ends<F> {
    fn drop(&mut self) {
        (self.0)();
    }
}

fn encode_stage(
    mut streams: Vec<(u32, StreamEncoder)>,
    outlet: &Receiver<(u32, Captured)>,
    spool: &Queue,
    body: &Body,
    shared: &Shared,
) {
    let _ends = Ends(|| spool.leave());
    for (number, captured) in outlet {
        let Some((_, encoder)) = streams.iter_mut().find(|(n, _)| *n == number) else { continue };
        let working = body.encoding();
        let encoded = encoder.encode(captured);
        drop(working);
        shared.drop_samples(encoder.dropped());
        if !spool.push(encoded) {
            break;
        }
    }
}

/// Writes and syncs what comes, batch by batch, and frees what is
/// acknowledged; ends once the encoders have ended and everything is
/// acknowledged, or at the stop. Returns whether it was the former, and how long
/// each stream's samples took until they were accepted.
fn spool_stage(
    mut spool: Spool,
    encoded: &Queue,
    mut latencies: Vec<Latency>,
    delay: Duration,
    service: &Service,
    stop: &Stop,
) -> Result<(bool, Vec<Quantiles>)> {
    const PATIENCE: Duration = Duration::from_millis(200);
    let shared = spool.shared();
    let mut fresh = Vec::new();
    while let Some(batch) = encoded.take(delay, PATIENCE) {
        service.turned();
        spool.free()?;
        if spool.full() {
            log::warn!("the spool is full: the sources wait until the server acknowledges");
        }
        while spool.full() && !stop.is_set() {
            service.turned();
            spool.wait(PATIENCE);
            spool.free()?;
        }
        // Still full, and the agent stops: no more is accepted than the limit allows.
        let batch = if spool.full() { refused(batch) } else { batch };
        for sample in batch {
            fresh.extend(sample.whole_us.map(|whole_us| (sample.stream, whole_us)));
            spool.push(sample.stream, sample.meta, &sample.body)?;
        }
        spool.sync()?;
        let now_us = Time::now().monotonic_us;
        for (stream, whole_us) in fresh.drain(..) {
            latencies[stream as usize].record(now_us.saturating_sub(whole_us));
        }
        spool.free()?;
    }
    let captured = !stop.is_set();
    shared.end();
    while !shared.drained() && !stop.is_set() {
        service.turned();
        spool.wait(PATIENCE);
        spool.free()?;
    }
    spool.close()?;
    Ok((captured && shared.drained(), latencies.iter().map(Latency::quantiles).collect()))
}

/// In place of a batch that a full spool does not take: a gap for each stream that says how
/// much it was. What a source will give again, from its position on, is no gap.
fn refused(batch: VecDeque<Encoded>) -> VecDeque<Encoded> {
    let mut missing: BTreeMap<u32, (u64, i64)> = BTreeMap::new();
    for sample in batch {
        let lost = match gap::read(&sample.body) {
            Some(gap) => gap.missing,
            None if sample.meta.position.is_some() => continue,
            None => match Container::parse(&sample.body).map(|container| container.header.geometry) {
                Ok(Geometry::Audio(shape)) => shape.frames,
                _ => 1,
            },
        };
        missing.entry(sample.stream).or_insert((0, sample.meta.captured_us)).0 += lost;
    }
    let gaps = missing.into_iter().map(|(stream, (missing, captured_us))| {
        let reason = "the spool was full when the agent was stopped".to_owned();
        log::warn!("stream {stream}: {missing} missing: {reason}");
        Encoded::gap(stream, captured_us, &Gap { missing, reason })
    });
    gaps.collect()
}

/// How the spool of a configuration stands, without running the agent.
///
/// # Errors
/// As [`Spool::open`].
pub fn standing(config: &Config) -> Result<(u64, Standing)> {
    let folder = &config.spool.folder;
    // A disk makes its folder, and a spool its journal.
    let disk = folder.is_dir().then(|| RealDisk::new(folder)).transpose()?;
    let disk = disk.filter(Journal::exists).ok_or_else(|| {
        Error::new(Code::NotFound, format!("there is no spool in {}", folder.display()), "check spool.folder")
    })?;
    let spool = Spool::open(disk, limits(config), rand::random())?;
    let shared: Arc<Shared> = spool.shared();
    Ok((shared.epoch(), shared.standing()))
}

fn limits(config: &Config) -> spool::Limits {
    spool::Limits {
        segment: Bytes(u64::from(config.spool.segment_mib) << 20),
        max: Bytes(u64::from(config.spool.max_mib) << 20),
        sync: SyncPolicy {
            max_delay: Duration::from_millis(config.spool.sync_ms.into()),
            max_bytes: u64::from(config.spool.sync_kib) << 10,
        },
    }
}
