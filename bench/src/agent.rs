//! What the agent costs beside the codec it runs.
//!
//! The CPU time of the whole way from a frame in memory to a synced spool
//! record and a sent, acknowledged packet is held against libjpeg-turbo
//! encoding the same pixels alone, in the same run. The server is a process of
//! its own, so its time is not counted. The CPU time of the sync calls
//! themselves is measured and taken off, and told beside it.

use crate::site::Site;
use afferent_agent::config::{Pace, Replay, Stream};
use afferent_agent::source::{Captured, Content, Source};
use afferent_agent::{Stop, agent};
use afferent_codec::{Limits, Registry};
use afferent_codec_conventional::open;
use afferent_journal::disk::File;
use afferent_journal::{Disk, RealDisk};
use afferent_media::manifest::Manifest;
use afferent_media::resize::{Filter, resize};
use afferent_media::{Code, Error, Modality, Result, Sample};
use afferent_models::Sha256;
use rustix::time::{ClockId, clock_gettime};
use serde::Serialize;
use std::any::Any;
use std::io::IoSlice;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Frames per measurement.
const FRAMES: u64 = 900;
/// Repetitions; the median ratio is the figure.
const ROUNDS: usize = 5;
const WIDTH: u32 = 640;
const HEIGHT: u32 = 480;

/// The CPU time that a clock shows, in seconds.
#[allow(clippy::cast_precision_loss)]
pub(crate) fn cpu(clock: ClockId) -> f64 {
    let time = clock_gettime(clock);
    time.tv_sec as f64 + time.tv_nsec as f64 * 1e-9
}

/// A real disk that measures the CPU time of its syncs.
struct Metered {
    disk: RealDisk,
    sync_ns: Arc<AtomicU64>,
}

struct MeteredFile {
    file: Box<dyn File>,
    sync_ns: Arc<AtomicU64>,
}

fn metered<T>(sync_ns: &AtomicU64, sync: impl FnOnce() -> T) -> T {
    let start = cpu(ClockId::ThreadCPUTime);
    let done = sync();
    let spent = cpu(ClockId::ThreadCPUTime) - start;
    sync_ns.fetch_add((spent * 1e9) as u64, Ordering::Relaxed);
    done
}

impl Metered {
    fn file(&self, file: Box<dyn File>) -> Box<dyn File> {
        Box::new(MeteredFile { file, sync_ns: Arc::clone(&self.sync_ns) })
    }
}

impl Disk for Metered {
    fn place(&self) -> String {
        self.disk.place()
    }
    fn lock(&self) -> std::io::Result<Box<dyn Any + Send + Sync>> {
        self.disk.lock()
    }
    fn names(&self) -> std::io::Result<Vec<String>> {
        self.disk.names()
    }
    fn create(&self, name: &str) -> std::io::Result<Box<dyn File>> {
        self.disk.create(name).map(|file| self.file(file))
    }
    fn open(&self, name: &str) -> std::io::Result<Box<dyn File>> {
        self.disk.open(name).map(|file| self.file(file))
    }
    fn rename(&self, from: &str, to: &str) -> std::io::Result<()> {
        self.disk.rename(from, to)
    }
    fn remove(&self, name: &str) -> std::io::Result<()> {
        self.disk.remove(name)
    }
    fn sync_folder(&self) -> std::io::Result<()> {
        metered(&self.sync_ns, || self.disk.sync_folder())
    }
    fn unique(&self) -> u64 {
        self.disk.unique()
    }
}

impl File for MeteredFile {
    fn len(&self) -> std::io::Result<u64> {
        self.file.len()
    }
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> std::io::Result<()> {
        self.file.read_at(buffer, offset)
    }
    fn write_at(&mut self, parts: &mut [IoSlice<'_>], offset: u64) -> std::io::Result<()> {
        self.file.write_at(parts, offset)
    }
    fn set_len(&mut self, length: u64) -> std::io::Result<()> {
        self.file.set_len(length)
    }
    fn sync(&mut self) -> std::io::Result<()> {
        metered(&self.sync_ns, || self.file.sync())
    }
    fn settle(&mut self) -> std::io::Result<()> {
        self.file.settle()
    }
}

/// Frames that are in memory already, as from a camera's buffers.
struct Memory {
    frames: Arc<Vec<Arc<Sample>>>,
    next: u64,
    total: u64,
    period: Option<Duration>,
}

impl Source for Memory {
    fn next(&mut self, stop: &Stop) -> Option<Captured> {
        if self.next >= self.total || self.period.is_some_and(|period| stop.sleep(period)) {
            return None;
        }
        let frame = Arc::clone(&self.frames[(self.next % self.frames.len() as u64) as usize]);
        self.next += 1;
        Some(Captured::now(Content::Sample(frame)))
    }
}

/// libjpeg-turbo alone, set as the agent's JPEG codec sets it by default.
pub(crate) fn compressor(quality: u8) -> Result<turbojpeg::Compressor> {
    let mut compressor = turbojpeg::Compressor::new().map_err(failed)?;
    compressor.set_quality(quality.into()).map_err(failed)?;
    compressor.set_subsamp(turbojpeg::Subsamp::Sub2x2).map_err(failed)?;
    Ok(compressor)
}

pub(crate) fn failed(cause: turbojpeg::Error) -> Error {
    Error::new(Code::Internal, "libjpeg-turbo failed", "report this").caused_by(cause)
}

/// One round of one setting.
#[derive(Debug, Clone, Serialize)]
struct Round {
    /// CPU of the agent's whole way per frame, syncs taken off, microseconds.
    agent_us_per_frame: f64,
    /// CPU of the sync calls per frame, microseconds.
    sync_us_per_frame: f64,
    /// CPU of libjpeg-turbo alone per frame, microseconds.
    libjpeg_turbo_us_per_frame: f64,
    /// The first over the third.
    ratio: f64,
}

/// One setting.
#[derive(Debug, Clone, Serialize)]
struct Overhead {
    quality: u8,
    /// As fast as it goes, or at this many frames a second.
    frames_per_s: Option<f64>,
    frames: u64,
    bytes_per_frame: f64,
    ratio_median: f64,
    ratio_min: f64,
    ratio_max: f64,
    rounds: Vec<Round>,
}

/// What the command writes.
#[derive(Debug, Clone, Serialize)]
struct Figures {
    what: &'static str,
    bar: &'static str,
    width: u32,
    height: u32,
    overhead: Vec<Overhead>,
    /// Highest resident set of an agent process with a JPEG and an Opus stream, MiB.
    resident_mib: f64,
    /// Of the agent's binary.
    agent_sha256: Sha256,
    /// Its size, stripped, MiB.
    stripped_binary_mib: f64,
}

/// Measures the agent and writes `agent.json` into `out`.
///
/// # Errors
/// Whatever fails on the way.
pub fn run(server: &Path, agent_binary: &Path, media: &Path, work: &Path, out: &Path) -> Result<()> {
    let site = Site::start(server, work)?;
    let bench = Bench {
        identity: site.device("bench-board")?,
        site,
        frames: Arc::new(frames(&media.join("images"))?),
        registry: afferent_agent::registry(),
    };
    let mut overhead = Vec::new();
    for quality in [75, 5] {
        for period in [None, Some(Duration::from_micros(33_333))] {
            overhead.push(bench.overhead(quality, period)?);
        }
    }
    let figures = Figures {
        what: "CPU time of the agent from a frame in memory to a synced spool record and an acknowledged packet, \
               over that of libjpeg-turbo encoding the same pixels; one process, same run",
        bar: "ratio at most 1.3 at quality 75 and 5; resident at most 40 MiB; stripped binary at most 12 MiB",
        width: WIDTH,
        height: HEIGHT,
        overhead,
        resident_mib: bench.resident(agent_binary, media)?,
        agent_sha256: Sha256::of_file(agent_binary)?,
        stripped_binary_mib: stripped(agent_binary, bench.site.work())?,
    };
    for o in &figures.overhead {
        println!(
            "JPEG q{:<2} {:>11}: {:.2}x libjpeg-turbo alone ({:.2} to {:.2} over {} rounds of {} frames, {:.0} bytes each)",
            o.quality,
            o.frames_per_s.map_or("full speed".to_owned(), |rate| format!("{rate:.0} frames/s")),
            o.ratio_median,
            o.ratio_min,
            o.ratio_max,
            o.rounds.len(),
            o.frames,
            o.bytes_per_frame
        );
    }
    println!(
        "resident with JPEG and Opus: {:.1} MiB; stripped binary: {:.1} MiB",
        figures.resident_mib, figures.stripped_binary_mib
    );
    let json = serde_json::to_string_pretty(&figures)
        .map_err(|e| Error::new(Code::Internal, "the figures cannot be written", "report this").caused_by(e))?;
    let path = out.join("agent.json");
    std::fs::create_dir_all(out).map_err(|e| Error::io(out.display().to_string(), e))?;
    std::fs::write(&path, json + "\n").map_err(|e| Error::io(path.display().to_string(), e))?;
    println!("wrote {}", path.display());
    bench.site.end(|_| {})
}

struct Bench {
    site: Site,
    identity: PathBuf,
    frames: Arc<Vec<Arc<Sample>>>,
    registry: Registry,
}

impl Bench {
    fn overhead(&self, quality: u8, period: Option<Duration>) -> Result<Overhead> {
        // Enough frames that connecting and opening the spool weigh little.
        let total = if period.is_some() { FRAMES / 2 } else { FRAMES };
        let mut rounds = Vec::new();
        let mut bytes = 0;
        for round in 0..ROUNDS {
            let (alone, encoded) = self.alone(quality, total, period)?;
            bytes = encoded;
            let name = format!("spool-{quality}-{}-{round}", period.is_some());
            let stream = stream("frames", "jpeg", Some(f32::from(quality)), Path::new(""));
            let config = self.site.config(&self.identity, &name, vec![stream])?;
            let sync_ns = Arc::new(AtomicU64::new(0));
            let disk = Metered { disk: RealDisk::new(&config.spool.folder)?, sync_ns: Arc::clone(&sync_ns) };
            let start = cpu(ClockId::ProcessCPUTime);
            let outcome = agent::run_on(&config, &self.registry, &Stop::default(), disk, |_, _, next| {
                Ok(Box::new(Memory { frames: Arc::clone(&self.frames), next, total, period }))
            })?;
            let spent = cpu(ClockId::ProcessCPUTime) - start;
            if !outcome.complete {
                return Err(Error::new(Code::Internal, "the agent did not send everything", "see the server's log"));
            }
            let per_frame = 1e6 / total as f64;
            let sync = sync_ns.load(Ordering::Relaxed) as f64 * 1e-9;
            let agent = (spent - sync) * per_frame;
            let alone = alone * per_frame;
            rounds.push(Round {
                agent_us_per_frame: agent,
                sync_us_per_frame: sync * per_frame,
                libjpeg_turbo_us_per_frame: alone,
                ratio: agent / alone,
            });
        }
        let mut ratios: Vec<f64> = rounds.iter().map(|round| round.ratio).collect();
        ratios.sort_by(f64::total_cmp);
        Ok(Overhead {
            quality,
            frames_per_s: period.map(|period| 1.0 / period.as_secs_f64()),
            frames: total,
            bytes_per_frame: bytes as f64 / total as f64,
            ratio_median: ratios[ratios.len() / 2],
            ratio_min: ratios[0],
            ratio_max: ratios[ratios.len() - 1],
            rounds,
        })
    }

    /// CPU seconds and bytes of libjpeg-turbo alone over `total` frames, at the same pace.
    fn alone(&self, quality: u8, total: u64, period: Option<Duration>) -> Result<(f64, u64)> {
        let mut compressor = compressor(quality)?;
        let mut out = turbojpeg::OutputBuf::new_owned();
        let mut bytes = 0;
        let start = cpu(ClockId::ThreadCPUTime);
        for number in 0..total {
            if let Some(period) = period {
                std::thread::sleep(period);
            }
            let Sample::Image(frame) = self.frames[(number % self.frames.len() as u64) as usize].as_ref() else {
                continue;
            };
            let image = turbojpeg::Image {
                pixels: frame.data(),
                width: WIDTH as usize,
                pitch: WIDTH as usize * 3,
                height: HEIGHT as usize,
                format: turbojpeg::PixelFormat::RGB,
            };
            compressor.compress(image, &mut out).map_err(failed)?;
            bytes += out.len() as u64;
        }
        Ok((cpu(ClockId::ThreadCPUTime) - start, bytes))
    }

    /// Highest resident set of an agent process that replays pictures by JPEG and speech by Opus.
    fn resident(&self, binary: &Path, media: &Path) -> Result<f64> {
        let streams = vec![
            Stream {
                replay: Some(Replay { repeat: 20, ..replay(&media.join("images")) }),
                ..stream("pictures", "jpeg", Some(75.0), media)
            },
            Stream {
                replay: Some(Replay { repeat: 20, ..replay(&media.join("speech")) }),
                ..stream("speech", "opus", Some(16.0), media)
            },
        ];
        let config = self.site.config(&self.identity, "spool-resident", streams)?;
        let mut process = self.site.agent(binary, "agent", &config)?;
        let mut highest = 0.0f64;
        // The kernel keeps the high-water mark; it is read until the process is gone.
        while let Some(cost) = process.cost() {
            highest = highest.max(cost.resident_mib);
            std::thread::sleep(Duration::from_millis(10));
        }
        process.wait(Duration::from_secs(60))?;
        Ok(highest)
    }
}

fn replay(path: &Path) -> Replay {
    Replay { path: path.to_path_buf(), pace: Pace::Fast, period_ms: 33, repeat: 1 }
}

fn stream(name: &str, codec: &str, knob: Option<f32>, path: &Path) -> Stream {
    Stream { name: name.into(), codec: codec.into(), knob, replay: Some(replay(path)), ..Stream::default() }
}

/// Eight photographs at the size of the measurement.
fn frames(folder: &Path) -> Result<Vec<Arc<Sample>>> {
    let manifest = Manifest::open(folder, open::extensions(Modality::Image))?;
    manifest
        .entries()
        .iter()
        .take(8)
        .map(|entry| {
            let image = open::image(&manifest.path(entry), &Limits::default())?.into_rgb();
            let frame = resize(image.view(), None, WIDTH, HEIGHT, Filter::Bicubic)?;
            Ok(Arc::new(Sample::Image(frame)))
        })
        .collect()
}

/// Size of the binary without symbols, MiB.
fn stripped(binary: &Path, work: &Path) -> Result<f64> {
    let copy = work.join("stripped");
    let done =
        Command::new("strip").arg("-o").arg(&copy).arg(binary).status().map_err(|e| Error::io("running strip", e))?;
    if !done.success() {
        return Err(Error::new(Code::Internal, format!("strip ended with {done}"), "install binutils"));
    }
    let size = std::fs::metadata(&copy).map_err(|e| Error::io(copy.display().to_string(), e))?.len();
    Ok(size as f64 / f64::from(1 << 20))
}
