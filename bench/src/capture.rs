//! Whether long capture loses anything, how soon a sample is durable, and what it costs.
//!
//! Two agent processes send to a server process: one has a camera that delivers numbered
//! YUYV frames and codes them as JPEG, one a microphone that delivers a numbered tone,
//! coded by Opus. Each has a stream of its own, so that the CPU time of a process is that
//! of one stream. Beside them libjpeg-turbo codes the same frames at the same pace, in a
//! thread that does nothing else. Then everything that the server has stored is decoded,
//! and every frame and every sample of sound must be there once, or in a gap.

use crate::agent::{compressor, cpu, failed};
use crate::process::{Cost, Process};
use crate::site::Site;
use afferent_agent::config::{Stream, Test};
use afferent_agent::latency::Quantiles;
use afferent_agent::source::synthetic::{Pattern, hertz, number};
use afferent_codec::{Container, Limits, Registry, SampleDecoder, gap};
use afferent_journal::{Found, Journal, Options as JournalOptions, RealDisk};
use afferent_link::RangeSet;
use afferent_media::{Audio, Code, Error, Image, Result, Sample};
use afferent_models::Sha256;
use afferent_runtime::store;
use rustix::time::ClockId;
use serde::Serialize;
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

const WIDTH: u32 = 640;
const HEIGHT: u32 = 480;
const FPS: u32 = 30;
const QUALITY: u8 = 75;
const SAMPLE_RATE: u32 = 16_000;
/// How often the agents' cost is read.
const LOOK: Duration = Duration::from_millis(100);
/// How long the agents may take beyond the time of the capture.
const PATIENCE: Duration = Duration::from_secs(60);

/// What is asked.
#[derive(Debug, Clone)]
pub struct Options {
    /// The `afferent` binary.
    pub server: PathBuf,
    /// The `afferent-agent` binary.
    pub agent: PathBuf,
    /// How long the devices deliver.
    pub seconds: u32,
    /// Folder for everything but the result file; emptied first.
    pub work: PathBuf,
    /// Folder for `capture.json`.
    pub out: PathBuf,
}

/// What became of what a device delivered: `delivered = stored + in_gaps + unaccounted`.
#[derive(Debug, Clone, Copy, Default, Serialize)]
struct Account {
    /// Frames, or samples of sound.
    delivered: u64,
    /// Decoded from the server's store, once each.
    stored: u64,
    /// Said to be missing by gaps.
    in_gaps: u64,
    /// Neither.
    unaccounted: i64,
    /// Decoded more than once, or not what its place says.
    wrong: u64,
}

/// One device and its agent.
#[derive(Debug, Clone, Serialize)]
struct Figures {
    account: Account,
    /// From the moment that a sample was there as a whole until its record was synced.
    capture_to_durable: Quantiles,
    /// Bytes of packet bodies (containers) that the server has stored.
    bytes: u64,
    /// CPU time of the agent's process, its start and its end included, seconds.
    cpu_s: f64,
    /// Highest resident set of the agent's process, MiB.
    resident_mib: f64,
}

/// CPU time of the frames beside the agent, in microseconds a frame.
#[derive(Debug, Clone, Copy, Default, Serialize)]
struct Alone {
    /// Drawing a frame: what a camera does by itself. The agent's process does it too.
    draw_us: f64,
    /// Taking YUYV apart into planes.
    split_us: f64,
    /// Halving the rows of chroma, from 4:2:2 to 4:2:0.
    chroma_us: f64,
    /// libjpeg-turbo from planes to a file, alone.
    libjpeg_turbo_us: f64,
    /// Sleeping and waking up.
    pace_us: f64,
}

/// The agent over libjpeg-turbo.
#[derive(Debug, Clone, Copy, Serialize)]
struct Ratio {
    /// The agent's process a frame, drawing taken off, microseconds.
    agent_us: f64,
    /// All but drawing of the thread beside it: pace, planes, libjpeg-turbo.
    alone_us: f64,
    /// The first over the second.
    ratio: f64,
    /// The first over libjpeg-turbo from planes to a file, without anything before it.
    ratio_to_planes: f64,
}

#[derive(Debug, Clone, Serialize)]
struct Report {
    what: &'static str,
    bars: &'static str,
    seconds: u32,
    width: u32,
    height: u32,
    frames_per_s: u32,
    quality: u8,
    sample_rate: u32,
    /// Of the agent's binary.
    agent_sha256: Sha256,
    /// Packets of which the server's row log has a row.
    rows: u64,
    camera: Figures,
    microphone: Figures,
    alone: Alone,
    cpu: Ratio,
}

/// Captures for a while, and writes `capture.json`.
///
/// # Errors
/// Whatever fails on the way.
pub fn run(options: &Options) -> Result<()> {
    let mut site = Site::start(&options.server, &options.work)?;
    let frames = u64::from(options.seconds) * u64::from(FPS);
    let mut camera = Device::start(&site, &options.agent, "camera", "jpeg", Some(QUALITY.into()), frames)?;
    let mut microphone = Device::start(&site, &options.agent, "microphone", "opus", None, options.seconds.into())?;
    println!("Capturing for {} s ...", options.seconds);
    let alone = std::thread::spawn(move || alone(frames));
    let deadline = Instant::now() + Duration::from_secs(options.seconds.into()) + PATIENCE;
    let mut rows = 0;
    while camera.look()? | microphone.look()? {
        if Instant::now() > deadline {
            return Err(Error::new(
                Code::Internal,
                "the agents do not come to an end",
                format!("see the logs in {}", site.work().display()),
            ));
        }
        let next = Instant::now() + LOOK;
        while let Some(event) = site.event(next.saturating_duration_since(Instant::now()))? {
            rows = rows_of(&event).unwrap_or(rows);
        }
    }
    let alone = alone.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
    let store = site.store();
    site.end(|event| rows = rows_of(&event).unwrap_or(rows))?;
    println!("Decoding what the server has stored ...");
    let mut audit = Audit::new();
    audit.read(&store)?;

    let report = Report {
        what: "Two agent processes and a server process on loopback: numbered YUYV frames coded as JPEG, and a numbered \
               tone coded by Opus. Everything that the server stored was decoded and its numbers read. `alone` is one \
               thread with the same frames at the same pace and time: it draws them, takes them apart, halves the chroma \
               and calls libjpeg-turbo",
        bars: "no frame lost, no sample of sound unaccounted for; cpu.ratio_to_planes, beside libjpeg-turbo's encode alone, \
               at most 1.3; resident at most 40 MiB",
        seconds: options.seconds,
        width: WIDTH,
        height: HEIGHT,
        frames_per_s: FPS,
        quality: QUALITY,
        sample_rate: SAMPLE_RATE,
        agent_sha256: Sha256::of_file(&options.agent)?,
        rows,
        cpu: ratio(camera.cost, alone, frames),
        camera: camera.figures(audit.pictures(frames), audit.bytes("camera"))?,
        microphone: {
            let samples = u64::from(options.seconds) * u64::from(SAMPLE_RATE);
            microphone.figures(audit.sound(samples), audit.bytes("microphone"))?
        },
        alone,
    };
    report.print();
    let json = serde_json::to_string_pretty(&report)
        .map_err(|e| Error::new(Code::Internal, "the figures cannot be written", "report this").caused_by(e))?;
    let path = options.out.join("capture.json");
    std::fs::create_dir_all(&options.out).map_err(|e| Error::io(options.out.display().to_string(), e))?;
    std::fs::write(&path, json + "\n").map_err(|e| Error::io(path.display().to_string(), e))?;
    println!("wrote {}", path.display());
    Ok(())
}

fn rows_of(event: &Value) -> Option<u64> {
    event["rows"].as_u64().filter(|_| event["event"] == "rows")
}

#[allow(clippy::cast_precision_loss)]
fn ratio(camera: Cost, alone: Alone, frames: u64) -> Ratio {
    let agent_us = camera.cpu_s * 1e6 / frames as f64 - alone.draw_us;
    let alone_us = alone.pace_us + alone.split_us + alone.chroma_us + alone.libjpeg_turbo_us;
    Ratio { agent_us, alone_us, ratio: agent_us / alone_us, ratio_to_planes: agent_us / alone.libjpeg_turbo_us }
}

impl Report {
    fn print(&self) {
        for (name, of, device) in [("camera", "frames", &self.camera), ("microphone", "samples", &self.microphone)] {
            let Account { delivered, stored, in_gaps, unaccounted, wrong } = device.account;
            println!(
                "{name}: {delivered} {of} = {stored} stored + {in_gaps} in gaps + {unaccounted} unaccounted for; {wrong} wrong"
            );
            println!("  capture to durable: {}", device.capture_to_durable);
            println!(
                "  {:.1} MiB resident, {:.1} s of CPU in {} s, {} bytes",
                device.resident_mib, device.cpu_s, self.seconds, device.bytes
            );
        }
        let (cpu, alone) = (&self.cpu, &self.alone);
        println!(
            "CPU a frame: agent {:.0} us, libjpeg-turbo alone {:.0} us (pace {:.0}, planes {:.0}, chroma {:.0}, coding {:.0}): \
             ratio {:.2}; to the coding only {:.2}",
            cpu.agent_us,
            cpu.alone_us,
            alone.pace_us,
            alone.split_us,
            alone.chroma_us,
            alone.libjpeg_turbo_us,
            cpu.ratio,
            cpu.ratio_to_planes
        );
        println!("{} rows", self.rows);
    }
}

/// A device and its agent's process.
struct Device {
    process: Process,
    cost: Cost,
}

impl Device {
    /// Starts an agent whose one stream delivers `count` frames or blocks of a second.
    fn start(
        site: &Site,
        binary: &Path,
        name: &'static str,
        codec: &str,
        knob: Option<f32>,
        count: u64,
    ) -> Result<Self> {
        let test =
            Test { width: WIDTH, height: HEIGHT, fps: FPS.into(), sample_rate: SAMPLE_RATE, block_ms: 1000, count };
        let stream = Stream { name: name.into(), codec: codec.into(), knob, test: Some(test), ..Stream::default() };
        let config = site.config(&site.device(name)?, &format!("spool-{name}"), vec![stream])?;
        Ok(Self { process: site.agent(binary, name, &config)?, cost: Cost::default() })
    }

    /// Reads what the agent has cost; whether it still runs.
    fn look(&mut self) -> Result<bool> {
        if let Some(cost) = self.process.cost() {
            self.cost = cost;
        }
        self.process.check()?;
        Ok(self.process.running())
    }

    fn figures(&mut self, account: Account, bytes: u64) -> Result<Figures> {
        let ended = self.process.wait_for("ended", PATIENCE)?;
        let Cost { cpu_s, resident_mib } = self.cost;
        let capture_to_durable = serde_json::from_value(ended["outcome"]["accepted_in"][0].clone())
            .map_err(|e| unplanned("the agent does not say how long its samples took").caused_by(e))?;
        Ok(Figures { account, capture_to_durable, bytes, cpu_s, resident_mib })
    }
}

/// Draws `frames` frames at their pace and codes them by libjpeg-turbo, and nothing else.
#[allow(clippy::cast_precision_loss)]
fn alone(frames: u64) -> Result<Alone> {
    let mut compressor = compressor(QUALITY)?;
    let mut out = turbojpeg::OutputBuf::new_owned();
    let mut pattern = Pattern::new(WIDTH, HEIGHT)?;
    let layout = *pattern.layout();
    let mut image = Image::default();
    let mut chroma = [Vec::new(), Vec::new()];
    let mut spent = Alone::default();
    let start = Instant::now();
    let mut then = cpu(ClockId::ThreadCPUTime);
    for frame in 0..frames {
        let mut lap = |to: &mut f64| {
            let now = cpu(ClockId::ThreadCPUTime);
            *to += (now - then) * 1e6;
            then = now;
        };
        // Half a period beside the agent's frames.
        let due = start + Duration::from_secs(1).mul_f64((frame as f64 + 0.5) / f64::from(FPS));
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
        lap(&mut spent.pace_us);
        let raw = pattern.draw(frame);
        lap(&mut spent.draw_us);
        layout.split(raw, &mut image)?;
        lap(&mut spent.split_us);
        let view = image.view();
        let mut planes = view.planes();
        let y = planes.next().ok_or_else(|| unplanned("a frame has no luma"))?;
        for (plane, half) in planes.zip(&mut chroma) {
            half.clear();
            let width = plane.width as usize;
            for rows in plane.data.chunks_exact(2 * plane.stride) {
                let (above, below) = rows.split_at(plane.stride);
                half.extend(above[..width].iter().zip(&below[..width]).map(|(&a, &b)| a.midpoint(b)));
            }
        }
        lap(&mut spent.chroma_us);
        let planes = turbojpeg::YuvPlanesImage {
            y_plane: y.data,
            u_plane: &chroma[0][..],
            v_plane: &chroma[1][..],
            width: WIDTH as usize,
            height: HEIGHT as usize,
            y_stride: y.stride,
            u_stride: WIDTH as usize / 2,
            v_stride: WIDTH as usize / 2,
            subsamp: turbojpeg::Subsamp::Sub2x2,
        };
        compressor.compress_yuv_planes(&planes, &mut out).map_err(failed)?;
        lap(&mut spent.libjpeg_turbo_us);
    }
    let per = |sum: f64| sum / frames as f64;
    Ok(Alone {
        draw_us: per(spent.draw_us),
        split_us: per(spent.split_us),
        chroma_us: per(spent.chroma_us),
        libjpeg_turbo_us: per(spent.libjpeg_turbo_us),
        pace_us: per(spent.pace_us),
    })
}

fn unplanned(what: &str) -> Error {
    Error::new(Code::Internal, what, "report this")
}

/// A block of sound as it was decoded, or how many samples are missing.
enum Block {
    Sound {
        samples: u64,
        /// Rising zero crossings.
        pitch: u64,
    },
    Gap(u64),
}

/// What a server has stored of the two devices.
struct Audit {
    decoder: SampleDecoder,
    seen: RangeSet,
    again: u64,
    missing: u64,
    blocks: BTreeMap<u64, Block>,
    blocks_again: u64,
    bytes: BTreeMap<String, u64>,
}

impl Audit {
    fn new() -> Self {
        let registry: Registry = afferent_agent::registry();
        Self {
            decoder: SampleDecoder::new(registry, Limits::default()),
            seen: RangeSet::default(),
            again: 0,
            missing: 0,
            blocks: BTreeMap::new(),
            blocks_again: 0,
            bytes: BTreeMap::new(),
        }
    }

    /// Decodes every packet of the store in `folder`, whose server has ended.
    fn read(&mut self, folder: &Path) -> Result<()> {
        let (journal, recovery) = Journal::open(RealDisk::new(folder)?, JournalOptions::default())?;
        journal.reader().scan(recovery.first, |found| match found {
            Found::Record(_, record) => {
                let (packet, body) = store::split(record)?;
                *self.bytes.entry(packet.device.clone()).or_default() += body.len() as u64;
                self.packet(&packet, body)
            }
            Found::Damage(damage) => {
                Err(Error::new(Code::Corrupt, format!("the server's store: {damage}"), "check the disk, and run again"))
            }
        })
    }

    fn packet(&mut self, packet: &store::StoredPacket, body: &[u8]) -> Result<()> {
        let gap = gap::read(body);
        let block = match gap {
            Some(gap) => Block::Gap(gap.missing),
            None => match self.decoder.decode(&Container::parse(body)?.intact()?)? {
                Sample::Image(image) => {
                    if !self.seen.insert(number(&image))? {
                        self.again += 1;
                    }
                    return Ok(());
                }
                Sample::Audio(audio) => Block::Sound { samples: audio.view().frames() as u64, pitch: pitch(&audio) },
            },
        };
        match block {
            Block::Gap(missing) if packet.device == "camera" => self.missing += missing,
            block => self.blocks_again += u64::from(self.blocks.insert(packet.sequence, block).is_some()),
        }
        Ok(())
    }

    fn bytes(&self, device: &str) -> u64 {
        self.bytes.get(device).copied().unwrap_or(0)
    }

    fn pictures(&self, delivered: u64) -> Account {
        // Numbers that no camera has given are no frames of it.
        let given = self.seen.ranges().map(|run| (run.end() + 1).min(delivered).saturating_sub(*run.start())).sum();
        account(delivered, given, self.missing, self.again + self.seen.count() - given)
    }

    fn sound(&self, delivered: u64) -> Account {
        let (mut stored, mut missing, mut wrong) = (0, 0, self.blocks_again);
        for block in self.blocks.values() {
            match *block {
                Block::Gap(samples) => missing += samples,
                Block::Sound { samples, pitch } => {
                    // Blocks are a second long, so their pitch says which it is.
                    let expected = hertz((stored + missing) / u64::from(SAMPLE_RATE));
                    wrong += u64::from(pitch.abs_diff(expected) > 20);
                    stored += samples;
                }
            }
        }
        account(delivered, stored, missing, wrong)
    }
}

fn account(delivered: u64, stored: u64, in_gaps: u64, wrong: u64) -> Account {
    let unaccounted = delivered.cast_signed() - stored.cast_signed() - in_gaps.cast_signed();
    Account { delivered, stored, in_gaps, unaccounted, wrong }
}

/// Rising zero crossings of a block: of a tone of a second, its frequency.
fn pitch(audio: &Audio) -> u64 {
    audio.data().array_windows().filter(|[a, b]| *a < 0.0 && *b >= 0.0).count() as u64
}
