//! What codecs cost on this board: every codec of the registry, measured through the
//! agent's own encoding stage on one thread.
//!
//! Each operating point is first rehearsed, untimed, on every sample of the input: its
//! bytes, distortion and memory are of that. Then all points share the time in rounds,
//! so that a board that grows hot slows all of them alike. `docs/board-benchmark.md`
//! says what is measured how.

mod board;
mod content;

use crate::agent::Ends;
use crate::config;
use crate::encode::{Encoded, StreamEncoder};
use crate::source::{Captured, Content};
use crate::stop::Stop;
use afferent_boards_spec::benchmark::{Benchmark, Latency, Point, Version};
use afferent_codec::{Codec, Container, Limits, Registry, SampleDecoder, Settings, gap};
use afferent_media::{Bytes, Code, Error, Modality, Result, Sample};
use board::{Look, Memory, Metering};
use content::Material;
use hdrhistogram::Histogram;
use rustix::time::{ClockId, clock_gettime};
use std::path::PathBuf;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Most rounds.
const ROUNDS: u32 = 20;
/// How many turns a second of measuring has, where that makes neither too few rounds nor
/// too many: turns of half a second are short for heat, and long for caches.
const TURNS_PER_S: u32 = 2;
/// The longest latency that is told from longer ones.
const LONGEST: Duration = Duration::from_secs(3600);

/// What to measure, and for how long.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Seconds of measuring, all codecs together.
    pub seconds: u32,
    /// Ids of codecs; all of the registry where empty.
    pub codecs: Vec<String>,
    /// Folder or manifest of pictures; the bundled ones where `None`.
    pub pictures: Option<PathBuf>,
    /// Folder or manifest of sound; the made one where `None`.
    pub sounds: Option<PathBuf>,
    /// Meter, thermal zone and throttling flags. What is not named is taken from the
    /// board's file, where that says it.
    pub body: config::Body,
}

/// Measures until the time is over or `stop` is set.
///
/// # Errors
/// [`Code::Config`] for no seconds, [`Code::NotFound`] for an unknown codec, and those
/// of reading the input.
pub fn run(options: &Options, registry: &Registry, stop: &Stop) -> Result<Benchmark> {
    if options.seconds == 0 {
        return Err(Error::new(Code::Config, "0 seconds measure nothing", "give at least --seconds 1"));
    }
    let started = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let codecs: Vec<Arc<dyn Codec>> = match &options.codecs[..] {
        [] => registry.iter().cloned().collect(),
        ids => ids.iter().map(|id| registry.get(id).cloned()).collect::<Result<_>>()?,
    };
    let wants = |modality| codecs.iter().any(|codec| codec.descriptor().modality == modality);
    let mut materials = Vec::new();
    if wants(Modality::Image) {
        materials.push(content::pictures(options.pictures.as_deref(), registry)?);
    }
    if wants(Modality::Audio) {
        materials.push(content::sound(options.sounds.as_deref())?);
    }
    let (machine, mut watcher) = board::find(&options.body);

    let mut cases = Vec::new();
    for codec in &codecs {
        let descriptor = codec.descriptor();
        let Some(material) = materials.iter().find(|material| material.modality == descriptor.modality) else {
            continue;
        };
        let knobs = descriptor.knob.map_or_else(|| vec![None], |knob| knob.points.map(Some).to_vec());
        for preset in descriptor.presets {
            for knob in &knobs {
                cases.push(Case::new(codec.as_ref(), preset, *knob, material, registry)?);
            }
        }
    }
    let count = cases.len();
    log::info!("{count} operating points: rehearsing each, then {} s of measuring", options.seconds);
    let mut decoder = SampleDecoder::new(registry.clone(), Limits::default());
    let mut memory = Memory::default();
    for case in &mut cases {
        if stop.is_set() {
            break;
        }
        case.rehearse(&mut decoder, &mut memory);
    }

    let points = u32::try_from(count).unwrap_or(u32::MAX).max(1);
    let rounds = (options.seconds.saturating_mul(TURNS_PER_S) / points).clamp(2, ROUNDS);
    let turn = Duration::from_secs(options.seconds.into()) / rounds / points;
    watcher.look();
    let metering = Metering::new(count);
    let ended = Stop::default();
    let mut complete = true;
    std::thread::scope(|scope| {
        let (sampler, period, flags) = (watcher.sampler(), watcher.period, watcher.flags());
        let (metering, ended) = (&metering, &ended);
        // The scope waits for the thread that reads: it must end also when an encoder panics.
        let _ends = Ends(|| ended.set());
        scope.spawn(move || metering.run(sampler, period, flags.as_deref(), ended));
        'rounds: for round in 0..rounds {
            log::info!("round {} of {rounds}", round + 1);
            for place in 0..count {
                // Forwards and backwards in turn: no point is always the one after another.
                let number = if round % 2 == 0 { place } else { count - 1 - place };
                let case = &mut cases[number];
                if !stop.is_set() {
                    let working = metering.turn(number);
                    let worked = case.measure(turn * (round + 1), stop);
                    drop(working);
                    if worked {
                        case.looks(watcher.look());
                    }
                }
                if stop.is_set() {
                    complete = false;
                    break 'rounds;
                }
            }
        }
    });

    let metered = metering.metered.into_inner().unwrap_or_else(PoisonError::into_inner);
    let seconds = cases.iter().map(|case| case.spent.as_secs_f64()).sum();
    Ok(Benchmark {
        version: Version,
        complete,
        started_unix_s: started.as_secs(),
        seconds_wanted: options.seconds.into(),
        seconds,
        rounds,
        machine,
        agent: board::agent(),
        inputs: materials.iter().map(|material| material.described.clone()).collect(),
        body: watcher.body(metered.energy, memory.peak_mib()),
        points: cases.iter().zip(metered.powers).map(|(case, power)| case.point(power.watts())).collect(),
    })
}

/// One operating point: what it is, its encoder, and what was measured of it.
struct Case<'a> {
    material: &'a Material,
    codec: &'a dyn Codec,
    stream: config::Stream,
    registry: &'a Registry,
    encoder: Option<StreamEncoder>,
    /// Why it is not measured, or not to the end.
    error: Option<String>,
    /// Of the rehearsal: every sample once.
    rate: Option<(Bytes, Bytes)>,
    /// In dB, or why it is not known; `None` for sound and exact pictures.
    psnr: Option<Result<f64, String>>,
    memory_mib: Option<f64>,
    /// The sample that comes next.
    next: usize,
    /// Nanoseconds.
    latency: Histogram<u32>,
    encoding: Duration,
    cpu: Duration,
    /// Megapixels, or seconds of sound.
    amount: f64,
    /// Of its turns, what lies between two encodings included.
    spent: Duration,
    temperature_c: Option<f64>,
    clock_mhz: Option<f64>,
    throttled: Option<bool>,
}

impl<'a> Case<'a> {
    fn new(
        codec: &'a dyn Codec,
        preset: &str,
        knob: Option<f32>,
        material: &'a Material,
        registry: &'a Registry,
    ) -> Result<Self> {
        let codec_id = codec.descriptor().id.to_owned();
        let name = format!("{codec_id} {preset}");
        let stream =
            config::Stream { name, codec: codec_id, preset: Some(preset.to_owned()), knob, ..Default::default() };
        let longest = u64::try_from(LONGEST.as_nanos()).unwrap_or(u64::MAX);
        // Of fixed size, from a microsecond on.
        let latency = Histogram::new_with_bounds(1000, longest, 3)
            .map_err(|e| Error::new(Code::Internal, "latencies cannot be counted", "report this").caused_by(e))?;
        Ok(Self {
            material,
            codec,
            stream,
            registry,
            encoder: None,
            error: None,
            rate: None,
            psnr: None,
            memory_mib: None,
            next: 0,
            latency,
            encoding: Duration::ZERO,
            cpu: Duration::ZERO,
            amount: 0.0,
            spent: Duration::ZERO,
            temperature_c: None,
            clock_mhz: None,
            throttled: None,
        })
    }

    /// Makes the encoder and encodes every sample once.
    fn rehearse(&mut self, decoder: &mut SampleDecoder, memory: &mut Memory) {
        memory.begin();
        let bodies = self.encode_all();
        self.memory_mib = memory.grown_mib();
        match bodies.and_then(|bodies| self.distortion(&bodies, decoder)) {
            Ok(psnr) => self.psnr = psnr,
            Err(error) => self.fail(error.to_string()),
        }
    }

    fn fail(&mut self, why: String) {
        self.encoder = None;
        self.error = Some(why);
    }

    fn encode_all(&mut self) -> Result<Vec<Vec<u8>>> {
        let mut encoder = StreamEncoder::new(0, &self.stream, self.registry)?;
        let (mut codec, mut storage) = (Bytes(0), Bytes(0));
        let mut bodies = Vec::with_capacity(self.material.samples.len());
        for (sample, _) in &self.material.samples {
            let Encoded { meta, body, .. } = encoder.encode(Captured::now(Content::Sample(Arc::clone(sample))));
            if let Some(gap) = gap::read(&body) {
                return Err(Error::new(Code::Unsupported, gap.reason, "give other pictures or sound"));
            }
            codec += meta.parts.codec();
            storage += meta.parts.storage();
            bodies.push(body);
        }
        self.rate = Some((codec, storage));
        self.encoder = Some(encoder);
        Ok(bodies)
    }

    /// The peak signal-to-noise ratio of pictures, or why this machine has no decoder;
    /// `None` for sound and exact pictures.
    #[allow(clippy::cast_precision_loss)]
    fn distortion(&self, bodies: &[Vec<u8>], decoder: &mut SampleDecoder) -> Result<Option<Result<f64, String>>> {
        if self.material.modality == Modality::Audio {
            return Ok(None);
        }
        // A board that only encodes need not have the decoder.
        if let Err(error) = self.codec.image_decoder(&Limits::default()) {
            return Ok(Some(Err(error.to_string())));
        }
        let (mut squares, mut values) = (0u64, 0u64);
        for ((sample, _), body) in self.material.samples.iter().zip(bodies) {
            let Sample::Image(source) = &**sample else { return Ok(None) };
            let Sample::Image(decoded) = decoder.decode(&Container::parse(body)?)? else { return Ok(None) };
            let (source, decoded) = (source.clone().into_rgb(), decoded.into_rgb());
            let errors = source.data().iter().zip(decoded.data()).map(|(a, b)| u64::from(a.abs_diff(*b)));
            squares += errors.map(|error| error * error).sum::<u64>();
            values += source.data().len() as u64;
        }
        Ok((squares > 0).then(|| Ok(10.0 * (255.0 * 255.0 * values as f64 / squares as f64).log10())))
    }

    /// Encodes until its turns have taken `until` in all; whether anything was encoded.
    /// A sample that cannot be encoded ends it: a failure has no speed.
    fn measure(&mut self, until: Duration, stop: &Stop) -> bool {
        let Some(encoder) = &mut self.encoder else { return false };
        let (turn, before) = (Instant::now(), self.spent);
        let (mut worked, mut failed) = (false, None);
        while self.spent < until && !stop.is_set() {
            let (sample, amount) = &self.material.samples[self.next];
            let captured = Captured::now(Content::Sample(Arc::clone(sample)));
            let cpu = thread_cpu();
            let start = Instant::now();
            let encoded = encoder.encode(captured);
            let took = start.elapsed();
            let cpu = thread_cpu().saturating_sub(cpu);
            failed = gap::read(&encoded.body);
            if failed.is_some() {
                break;
            }
            self.latency.saturating_record(u64::try_from(took.as_nanos()).unwrap_or(u64::MAX));
            self.encoding += took;
            self.cpu += cpu;
            self.amount += amount;
            self.next = (self.next + 1) % self.material.samples.len();
            self.spent = before + turn.elapsed();
            worked = true;
        }
        if let Some(gap) = failed {
            self.fail(gap.reason);
        }
        worked
    }

    /// Takes what the body said at the end of a turn.
    fn looks(&mut self, look: Look) {
        let worse = |a: Option<f64>, b: Option<f64>, of: fn(f64, f64) -> f64| match (a, b) {
            (Some(a), Some(b)) => Some(of(a, b)),
            (a, b) => a.or(b),
        };
        self.temperature_c = worse(self.temperature_c, look.temperature_c, f64::max);
        self.clock_mhz = worse(self.clock_mhz, look.clock_mhz, f64::min);
        self.throttled = match (self.throttled, look.throttled) {
            (Some(before), Some(now)) => Some(before || now),
            (before, now) => before.or(now),
        };
    }

    #[allow(clippy::cast_precision_loss)]
    fn point(&self, watts: Option<f64>) -> Point {
        let descriptor = self.codec.descriptor();
        let settings: Settings = self.stream.settings();
        let knob = descriptor.knob.map(|knob| match knob.unit {
            "" => knob.name.to_owned(),
            unit => format!("{} ({unit})", knob.name),
        });
        let n = self.latency.len();
        let per_sample = |of: Duration| (n > 0).then(|| of.as_secs_f64() * 1000.0 / n as f64);
        let at = |quantile: f64| self.latency.value_at_quantile(quantile) as f64 / 1e6;
        let image = descriptor.modality == Modality::Image;
        let speed = (n > 0).then(|| self.amount / self.encoding.as_secs_f64());
        let samples = &self.material.samples;
        let mean = |bytes: Bytes| bytes.0 as f64 / samples.len() as f64;
        let amount: f64 = samples.iter().map(|(_, amount)| amount).sum();
        let bits = self.rate.map(|(codec, _)| codec.bits().0 as f64);
        let own = !descriptor.external;
        let (psnr_db, no_psnr) = match &self.psnr {
            Some(Ok(psnr_db)) => (Some(*psnr_db), None),
            Some(Err(why)) => (None, Some(format!("psnr_db: {why}"))),
            None => (None, None),
        };
        let no_cost = (!own).then(|| "cpu_ms, memory_mib: the encoder is another process".to_owned());
        Point {
            modality: descriptor.modality.to_string(),
            codec: descriptor.id.to_owned(),
            preset: settings.preset.unwrap_or_default(),
            knob_name: knob,
            knob: settings.knob.map(f64::from),
            implementation: descriptor.implementation.clone(),
            simd: descriptor.simd.to_string(),
            n,
            latency_ms: (n > 0).then(|| Latency {
                p50: at(0.5),
                p90: at(0.9),
                p99: at(0.99),
                max: self.latency.max() as f64 / 1e6,
            }),
            megapixels_per_s: speed.filter(|_| image),
            times_real_time: speed.filter(|_| !image),
            cpu_ms: per_sample(self.cpu).filter(|_| own),
            codec_bytes: self.rate.map(|(codec, _)| mean(codec)),
            storage_bytes: self.rate.map(|(_, storage)| mean(storage)),
            bpp: bits.filter(|_| image).map(|bits| bits / (amount * 1e6)),
            kbps: bits.filter(|_| !image).map(|bits| bits / (amount * 1e3)),
            psnr_db,
            memory_mib: self.memory_mib.filter(|_| own),
            energy_j: watts.zip(per_sample(self.encoding)).map(|(watts, ms)| watts * ms / 1000.0),
            temperature_c: self.temperature_c,
            clock_mhz: self.clock_mhz,
            throttled: self.throttled,
            absent: no_cost.into_iter().chain(no_psnr).collect(),
            error: self.error.clone(),
        }
    }
}

/// Processor time of this thread.
fn thread_cpu() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    let part = |number: i64| u64::try_from(number).unwrap_or(0);
    Duration::from_secs(part(time.tv_sec)) + Duration::from_nanos(part(time.tv_nsec))
}
