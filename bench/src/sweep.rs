//! The sweep: every sample of every data set at every operating point, seen by
//! every model.
//!
//! Samples go through the agent's own encoding stage, a link in memory, and the
//! runtime's own perceiver and row log, so that a figure of a sweep is a figure
//! of the product. Each worker takes a sample, codes it at every point and hands
//! the rows on; a point of a sample is a *place* of the row log, so a sweep that
//! was killed goes on where its rows end, and computes nothing twice but what was
//! in flight.
//!
//! The folder of a sweep holds `plan.json` (the plan and everything it came down
//! to: digests of data and weights, implementations of codecs; another plan is
//! refused there), `row-log` (the journal) and `rows` (Parquet, once sealed).

mod plan;
mod wire;

pub use plan::{Codec, Data, Metric, Plan, Point};

use crate::data;
use afferent_agent::config::Stream;
use afferent_agent::encode::StreamEncoder;
use afferent_agent::source::Captured;
use afferent_codec::Registry;
use afferent_link::RangeSet;
use afferent_measure::row::Row;
use afferent_media::{Bytes, Code, Error, Modality, RateParts, Result};
use afferent_models::{Sha256, Store};
use afferent_runtime::backend::{Backend, Require};
use afferent_runtime::model::{Loaded, LoadedSimilarity};
use afferent_runtime::perceive::{Metrics, Perceiver};
use afferent_runtime::references::{DataSet, References};
use afferent_runtime::rows::{Made, RowLog};
use afferent_runtime::store::{Opened, StoredPacket};
use afferent_runtime::synthesis::{self, Flavours, Syntheses};
use afferent_runtime::wire::Connections;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde::{Deserialize, Serialize};
use sha2::Digest;
use std::collections::BTreeMap;
use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread;
use std::time::{Duration, Instant};
use wire::Wire;

/// Rows made ahead of the log, in packets.
const AHEAD: usize = 256;
/// Rows are sealed into Parquet once there are this many.
const SEAL_ROWS: usize = 16_384;
/// Name of the device that rows of a sweep carry.
const DEVICE: &str = "sweep";
/// Codec id of the source files as an operating point.
const SOURCE: &str = "source";

/// How a sweep is run.
#[derive(Debug, Clone)]
pub struct Options {
    /// The plan's file.
    pub plan: PathBuf,
    /// Folder of the sweep.
    pub out: PathBuf,
    /// Samples that are worked on at once.
    pub workers: usize,
    /// Backend and provider that must run the models.
    pub require: Option<Require>,
}

/// What a sweep came down to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// Packets whose rows there are: samples × operating points, sources included.
    pub places: u64,
    /// How many of them were there before this run.
    pub before: u64,
    /// Folder of the sealed rows.
    pub rows: PathBuf,
    /// Files of the data sets that could not be used, by name.
    pub left_out: Vec<String>,
}

/// Everything a plan comes down to, as `plan.json` keeps it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Resolved {
    methodology_version: u32,
    build: String,
    /// Whether models see the pristine samples too.
    agreement: bool,
    /// What runs networks, where there are any.
    backend: Option<String>,
    points: Vec<Point>,
    /// Codec id to implementation and bitstream version.
    codecs: BTreeMap<String, (String, u16)>,
    data: Vec<ResolvedData>,
    /// The networks that decode, by name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    syntheses: Vec<ResolvedModel>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct ResolvedData {
    name: String,
    sha256: String,
    samples: usize,
    limit: Option<usize>,
    /// Files that could not be used, by name.
    left_out: Vec<String>,
    metrics: Vec<Metric>,
    models: Vec<ResolvedModel>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct ResolvedModel {
    name: String,
    /// SHA-256 of the weights.
    sha256: String,
    /// SHA-256 of everything else that its manifest says: how pixels go in, and what
    /// the answer means.
    manifest_sha256: String,
}

impl ResolvedModel {
    fn new(store: &Store, name: &str) -> Result<Self> {
        let resolved = store.resolve(name)?;
        let manifest = serde_json::to_vec(&resolved.manifest)
            .map_err(|e| Error::new(Code::Internal, "a manifest cannot be written", "report this").caused_by(e))?;
        Ok(Self {
            name: name.to_owned(),
            sha256: resolved.sha256.to_string(),
            manifest_sha256: Sha256::of(&manifest).to_string(),
        })
    }
}

/// One data set, ready to be swept.
struct Set {
    references: Arc<References>,
    /// The ids of its samples, in the order of their places.
    samples: Vec<String>,
    models: Vec<usize>,
    structure: bool,
    /// Whether ST-LPIPS is measured.
    st_lpips: bool,
    /// The first of its places.
    first: u64,
}

/// Runs a sweep to its end, from wherever an earlier run of it was.
///
/// # Errors
/// [`Code::Config`] for a wrong plan, or a folder that belongs to another one;
/// those of opening data sets and models; [`Code::Io`] if the disk fails.
pub fn run(options: &Options, registry: &Registry) -> Result<Outcome> {
    let plan = Plan::open(&options.plan)?;
    let points = plan.points(registry).map_err(|e| e.at(format!("plan {}", options.plan.display())))?;
    let mut store = Store::from_env()?;
    if let Some(zoo) = &plan.zoo {
        store = store.with_zoo(Path::new(zoo))?;
    }
    let (sets, wanted, mut resolved) = open_data(&plan, &points, registry, &store, &options.out)?;
    let st_lpips = sets.iter().any(|set| set.st_lpips);
    let networks = !wanted.is_empty() || st_lpips || !resolved.syntheses.is_empty();
    let backend = if networks { Backend::open(&store, options.require)? } else { Backend::Tract };
    if networks {
        resolved.backend = Some(backend.to_string());
    }
    let epoch = claim(&options.out, &resolved)?;
    let flavours = points.iter().filter_map(|point| Some((point.stream_name(), point.synthesis.as_deref()?)));
    let flavours = flavours.fold(Flavours::all(synthesis::LINEAR), |all, (stream, flavour)| all.with(&stream, flavour));
    let syntheses = Arc::new(Syntheses::new(store.clone(), options.require, flavours)?.on(backend.clone()));

    let models: Vec<Loaded> =
        wanted.iter().map(|model| Loaded::open(&store, &backend, &model.name)).collect::<Result<_>>()?;
    let similarity = st_lpips.then(|| LoadedSimilarity::open(&store, &backend, "st-lpips-alex")).transpose()?;
    let log = RowLog::open(&options.out.join("row-log"), &options.out.join("rows"), SEAL_ROWS, Connections::default())?;
    let done = log.done();
    let before = done.count();
    let per_sample = points.len() as u64 + 1;
    let places = sets.last().map_or(0, |set| set.first + set.samples.len() as u64 * per_sample);

    let samples: usize = sets.iter().map(|set| set.samples.len()).sum();
    let seen = if models.is_empty() { String::new() } else { format!(", {} models on {backend}", models.len()) };
    eprintln!(
        "{samples} samples at {} operating points and as they are{seen}: {before} of {places} are done",
        points.len()
    );
    let progress = ProgressBar::new(places).with_position(before);
    if let Ok(style) = ProgressStyle::with_template("{bar:30} {pos}/{len} points of samples, {per_sec}, {eta} to go") {
        progress.set_style(style);
    }
    if !std::io::stderr().is_terminal() {
        progress.set_draw_target(ProgressDrawTarget::hidden());
    }

    let (made, makes) = sync_channel::<Made>(AHEAD);
    let shared = Shared {
        sets: &sets,
        points: &points,
        registry,
        models: &models,
        syntheses: &syntheses,
        similarity: similarity.as_ref(),
        agreement: plan.agreement,
        done: &done,
        epoch,
        workers: options.workers.max(1),
        next: (0..sets.len()).map(|_| AtomicU64::new(0)).collect(),
    };
    let worked = thread::scope(|scope| {
        let progress = &progress;
        let mut said = Instant::now();
        let logging = scope.spawn(move || {
            log.run(
                &makes,
                |rows| told(progress, rows, &mut said),
                |path, rows| {
                    log::info!("sealed {rows} rows into {}", path.display());
                },
            )
        });
        let working: Vec<_> = (0..shared.workers)
            .map(|_| {
                scope.spawn({
                    let made = made.clone();
                    let shared = &shared;
                    move || work(shared, &made)
                })
            })
            .collect();
        drop(made);
        let worked = working.into_iter().map(join).collect::<Vec<Result<()>>>();
        let logged = join(logging);
        logged.and(worked.into_iter().collect::<Result<Vec<()>>>().map(|_| ()))
    });
    progress.finish_and_clear();
    worked?;
    let left_out = resolved.data.into_iter().flat_map(|data| data.left_out).collect();
    Ok(Outcome { places, before, rows: options.out.join("rows"), left_out })
}

/// Moves the bar or, where there is no terminal to draw it on, says every minute
/// how far the sweep is.
fn told(progress: &ProgressBar, rows: u64, said: &mut Instant) {
    progress.set_position(rows);
    if progress.is_hidden() && said.elapsed() >= Duration::from_secs(60) {
        *said = Instant::now();
        let left = progress.eta().as_secs().div_ceil(60);
        eprintln!("{rows} of {} points of samples, about {left} min to go", progress.length().unwrap_or_default());
    }
}

/// Passes a stage's panic on: it is a bug, and hiding it would hide a loss.
fn join<T>(handle: thread::ScopedJoinHandle<'_, T>) -> T {
    handle.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

/// Opens the data sets of a plan, and names its models.
fn open_data(
    plan: &Plan,
    points: &[Point],
    registry: &Registry,
    store: &Store,
    out: &Path,
) -> Result<(Vec<Set>, Vec<ResolvedModel>, Resolved)> {
    let mut known: Vec<ResolvedModel> = Vec::new();
    let mut sets: Vec<Set> = Vec::new();
    let mut resolved = Resolved {
        methodology_version: afferent_measure::row::METHODOLOGY_VERSION,
        build: concat!("afferent ", env!("CARGO_PKG_VERSION")).to_owned(),
        agreement: plan.agreement,
        backend: None,
        points: points.to_vec(),
        codecs: BTreeMap::new(),
        data: Vec::new(),
        syntheses: Vec::new(),
    };
    for point in points {
        let descriptor = registry.get(&point.codec)?.descriptor();
        resolved.codecs.insert(point.codec.clone(), (descriptor.implementation.clone(), descriptor.version));
        if let Some(flavour) = point.synthesis.as_deref().filter(|flavour| *flavour != synthesis::LINEAR) {
            let name = &store.zoo().synthesis(&point.codec, flavour)?.name;
            if resolved.syntheses.iter().all(|known| known.name != *name) {
                resolved.syntheses.push(ResolvedModel::new(store, name)?);
            }
        }
    }
    let mut first = 0;
    for (number, data) in plan.data.iter().enumerate() {
        let options = data::Options {
            split: data.split.clone(),
            extract: Some(out.join("extracted").join(number.to_string())),
            ..data::Options::default()
        };
        let mut set = data::open(data.kind.as_deref(), Path::new(&data.path), &options)?;
        if let Some(name) = &data.name {
            set.name.clone_from(name);
        }
        for bad in &set.report.bad {
            log::error!("{}: {} is left out: {}", set.name, bad.id, bad.reason);
        }
        if resolved.data.iter().any(|other| other.name == set.name) {
            return Err(Error::new(
                Code::Config,
                format!("two data sets are called `{}`", set.name),
                "give one of them another `name`",
            ));
        }
        let wanted = data.models.as_ref().unwrap_or(&plan.models);
        let mut models = Vec::new();
        for name in wanted {
            let index = match known.iter().position(|model| model.name == *name) {
                Some(index) => index,
                None => {
                    known.push(ResolvedModel::new(store, name)?);
                    known.len() - 1
                }
            };
            models.push(index);
        }
        let samples = spread(set.manifest.entries().iter().map(|entry| entry.id.clone()).collect(), data.limit);
        let metrics = data.metrics.clone().unwrap_or_else(|| plan.metrics.clone());
        let st_lpips = metrics.contains(&Metric::StLpips);
        let structure = metrics.iter().any(|metric| matches!(metric, Metric::Ssim | Metric::MsSsim));
        resolved.data.push(ResolvedData {
            name: set.name.clone(),
            sha256: set.sha256.to_string(),
            samples: samples.len(),
            limit: data.limit,
            left_out: set.report.bad.iter().map(|bad| bad.id.clone()).collect(),
            metrics,
            models: models.iter().map(|&index| known[index].clone()).collect(),
        });
        let sha256 = Some(set.sha256.to_string());
        let references = References::new(vec![DataSet { name: Some(set.name), sha256, manifest: set.manifest }])?;
        let places = samples.len() as u64 * (points.len() as u64 + 1);
        sets.push(Set { references: Arc::new(references), samples, models, structure, st_lpips, first });
        first += places;
    }
    Ok((sets, known, resolved))
}

/// At most `limit` of `samples`, evenly spread over their order.
fn spread(samples: Vec<String>, limit: Option<usize>) -> Vec<String> {
    let n = samples.len();
    match limit {
        Some(limit) if limit < n => (0..limit).filter_map(|i| samples.get(i * n / limit).cloned()).collect(),
        _ => samples,
    }
}

/// Makes `out` this sweep's folder, or finds that it is; the epoch of its rows,
/// which is drawn from what the plan came down to.
fn claim(out: &Path, resolved: &Resolved) -> Result<u64> {
    let failed = |e| Error::io(out.display().to_string(), e);
    std::fs::create_dir_all(out).map_err(failed)?;
    let json = serde_json::to_vec_pretty(resolved)
        .map_err(|e| Error::new(Code::Internal, "the plan cannot be written", "report this").caused_by(e))?;
    let file = out.join("plan.json");
    match std::fs::read(&file) {
        Ok(known) if known == json => {}
        Ok(known) => {
            let of =
                |json: &[u8]| serde_json::from_slice::<serde_json::Map<_, serde_json::Value>>(json).unwrap_or_default();
            let (known, wanted) = (of(&known), of(&json));
            let differ: Vec<&str> =
                wanted.keys().filter(|key| known.get(*key) != wanted.get(*key)).map(String::as_str).collect();
            return Err(Error::new(
                Code::Config,
                format!("{} holds a sweep of another plan: its {} differ", out.display(), differ.join(", ")),
                "give another folder for this plan; plan.json there says what that one is of",
            ));
        }
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
            let part = out.join("plan.json.part");
            std::fs::write(&part, &json).and_then(|()| std::fs::rename(&part, &file)).map_err(failed)?;
        }
        Err(e) => return Err(failed(e)),
    }
    let digest = sha2::Sha256::digest(&json);
    Ok(digest.iter().take(8).fold(0, |epoch, &byte| epoch << 8 | u64::from(byte)))
}

/// What the workers share.
struct Shared<'a> {
    sets: &'a [Set],
    points: &'a [Point],
    registry: &'a Registry,
    models: &'a [Loaded],
    syntheses: &'a Arc<Syntheses>,
    similarity: Option<&'a LoadedSimilarity>,
    agreement: bool,
    /// Places whose rows were there before this run.
    done: &'a RangeSet,
    epoch: u64,
    workers: usize,
    /// The next sample of each data set.
    next: Vec<AtomicU64>,
}

/// One worker: takes samples until there are none.
fn work(shared: &Shared<'_>, made: &SyncSender<Made>) -> Result<()> {
    let points = shared.points;
    let mut wire = Wire::new(DEVICE, shared.epoch, points.len() + 1)?;
    let mut encoders: Vec<StreamEncoder> = (0u32..)
        .zip(points)
        .map(|(stream, point)| StreamEncoder::new(stream, &stream_of(point), shared.registry))
        .collect::<Result<_>>()?;
    for (set, next) in shared.sets.iter().zip(&shared.next) {
        let per_sample = points.len() as u64 + 1;
        let all = set.samples.len() as u64;
        let whole = |sample: u64| {
            let first = set.first + sample * per_sample;
            (first..first + per_sample).all(|place| shared.done.contains(place))
        };
        if (0..all).all(whole) {
            continue;
        }
        let models = set.models.iter().map(|&index| shared.models[index].handle()).collect::<Result<_>>()?;
        let mut perceiver = Perceiver::new(shared.registry.clone(), Some(Arc::clone(&set.references)), models)?
            .with_syntheses(Arc::clone(shared.syntheses))
            .with_metrics(Metrics {
                structure: set.structure,
                agreement: shared.agreement,
                similarities: match shared.similarity {
                    Some(loaded) if set.st_lpips => vec![loaded.handle()?],
                    _ => Vec::new(),
                },
            });
        loop {
            let sample = next.fetch_add(1, Ordering::Relaxed);
            let Some(id) = usize::try_from(sample).ok().and_then(|index| set.samples.get(index)) else { break };
            let first = set.first + sample * per_sample;
            for point in (0..per_sample).filter(|point| !shared.done.contains(first + point)) {
                let mut rows = match encoders.get_mut(usize::try_from(point).unwrap_or(usize::MAX)) {
                    Some(encoder) => {
                        let point = &points[point as usize];
                        coded(set, id, sample, encoder, point, &mut wire, &mut perceiver)?
                    }
                    None => perceiver.source_rows(&source_packet(shared, set, id, sample)),
                };
                rows.iter_mut().for_each(|row| finish(shared, row));
                if made.send(Made { place: first + point, rows }).is_err() {
                    // The log has failed, and says why.
                    return Ok(());
                }
            }
        }
    }
    Ok(())
}

/// The rows of one sample at one operating point.
fn coded(
    set: &Set,
    id: &str,
    sample: u64,
    encoder: &mut StreamEncoder,
    point: &Point,
    wire: &mut Wire,
    perceiver: &mut Perceiver,
) -> Result<Vec<Row>> {
    let sample_of = || {
        let pristine = set.references.pristine(id, Modality::Image)?;
        pristine.map(|pristine| Arc::clone(&pristine.sample)).ok_or_else(|| {
            Error::new(Code::Internal, format!("sample `{id}` is not in its own data set"), "report this")
        })
    };
    let captured = Captured { sample_id: id.to_owned(), ..Captured::now(sample_of().into()) };
    let encoded = encoder.encode(captured);
    let opened = Opened {
        name: point.stream_name(),
        codec: point.codec.clone(),
        preset: point.preset.clone(),
        knob: point.knob,
    };
    let packet = wire.carry(&encoded, set.first + sample, opened)?;
    let mut rows = perceiver.rows(&packet, &encoded.body);
    for row in &mut rows {
        // A gap does not say at which size it would have been.
        row.resize = point.resize.to_string();
        row.resize_ms = encoder.resized_in().map(|took| took.as_secs_f64() * 1e3);
    }
    Ok(rows)
}

/// What only the sweep knows of a row.
fn finish(shared: &Shared<'_>, row: &mut Row) {
    row.workers = u32::try_from(shared.workers).ok();
    // Packets of a link in memory arrive at once.
    row.link_ms = None;
    row.captured_unix_us = None;
    row.received_unix_us = None;
    row.energy_reason = Some("a sweep meters no energy".to_owned());
}

/// The source file of a sample as a packet.
fn source_packet(shared: &Shared<'_>, set: &Set, id: &str, sample: u64) -> StoredPacket {
    let entry = set.references.entry(id);
    let opened = Opened {
        name: SOURCE.to_owned(),
        codec: SOURCE.to_owned(),
        preset: entry.and_then(|entry| entry.format.clone()).unwrap_or_default(),
        knob: None,
    };
    let bytes = entry.and_then(|entry| entry.bytes).unwrap_or_default();
    StoredPacket {
        device: DEVICE.to_owned(),
        epoch: shared.epoch,
        stream: u32::try_from(shared.points.len()).unwrap_or(u32::MAX),
        opened,
        sequence: set.first + sample,
        backfill: false,
        connection: 0,
        sample_id: id.to_owned(),
        captured_us: 0,
        sent_us: 0,
        received_us: 0,
        clock: None,
        encode_us: 0,
        parts: RateParts { payload: Bytes(bytes), ..RateParts::default() },
    }
}

/// The stream of an operating point, as an agent's configuration would have it.
fn stream_of(point: &Point) -> Stream {
    Stream {
        name: format!("{} {} {:?} {}", point.codec, point.preset, point.knob, point.resize),
        codec: point.codec.clone(),
        preset: Some(point.preset.clone()),
        knob: point.knob,
        resize: Some(point.resize),
        // Samples are handed in; there is no source.
        ..Stream::default()
    }
}
