//! What codecs cost on a real machine: the file that `afferent-agent bench --json`
//! writes.
//!
//! A figure that nobody could measure is absent, never a zero, and a sentence beside
//! it says why. `docs/board-benchmark.md` documents every key; a test makes that page
//! of these types. A change of a key's meaning, or a key more, is a new [`Version`].

use serde::{Deserialize, Serialize};
use std::fmt;

/// The version of the schema. A file of another version is not read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(try_from = "u32", into = "u32")]
pub struct Version;

/// The version that this build writes and reads.
const VERSION: u32 = 1;

impl From<Version> for u32 {
    fn from(_: Version) -> Self {
        VERSION
    }
}

impl TryFrom<u32> for Version {
    type Error = String;

    fn try_from(version: u32) -> Result<Self, String> {
        match version {
            VERSION => Ok(Self),
            other => Err(format!("the file is of version {other}, this build reads version {VERSION}")),
        }
    }
}

/// What codecs cost on one machine.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Benchmark {
    /// Version of the schema: 1.
    #[cfg_attr(test, schemars(with = "u32"))]
    pub version: Version,
    /// Whether it was measured to its end; else it was interrupted.
    pub complete: bool,
    /// When it began, seconds since 1970.
    pub started_unix_s: u64,
    /// Seconds that were to be measured in all.
    pub seconds_wanted: f64,
    /// Seconds that encoders were measured in all, without the rehearsal.
    pub seconds: f64,
    /// Rounds in which every operating point had its turn, so that a board that grows
    /// hot does not slow one codec alone.
    pub rounds: u32,
    /// The machine.
    pub machine: Machine,
    /// The program that measured.
    pub agent: Agent,
    /// What was encoded.
    pub inputs: Vec<Input>,
    /// What the board's body said meanwhile.
    pub body: Body,
    /// One entry per operating point: codec, preset and knob.
    pub points: Vec<Point>,
}

/// The machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Machine {
    /// Name of its board file; absent if none describes it.
    pub board: Option<String>,
    /// By what the board was recognised, or why not.
    pub recognised: String,
    /// What the machine shows otherwise than the board file says.
    pub contradictions: Vec<String>,
    /// What the machine calls itself.
    pub model: Option<String>,
    /// Release of the kernel, as `uname -r` prints it.
    pub kernel: Option<String>,
    /// Instruction set of the program, for example `aarch64`.
    pub architecture: String,
    /// Processors that this program may use.
    pub cores: u32,
    /// Vector instructions that the processor has, of those that codecs use.
    pub features: Vec<String>,
}

/// The program that measured.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Agent {
    /// Its version.
    pub version: String,
    /// SHA-256 of the program file in hexadecimal; absent if it could not be read.
    pub sha256: Option<String>,
    /// Whether the compiler optimised it. Figures of a build that is not are worth nothing.
    pub optimised: bool,
}

/// What was encoded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Input {
    /// `image` or `audio`.
    pub modality: String,
    /// Where it is from and how it was made.
    pub content: String,
    /// Pictures, or blocks of sound.
    pub samples: u64,
    /// Pixels of all of them, or samples of sound of all channels.
    pub units: u64,
}

/// What the board's body said while encoders were measured.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Body {
    /// Temperature of the processor in degrees Celsius; the worst is the highest.
    pub temperature_c: Option<Course>,
    /// Where the temperature is from, or why there is none.
    pub temperature: String,
    /// Clock of the fastest processor in megahertz; the worst is the lowest.
    pub clock_mhz: Option<Course>,
    /// Where the clock is from, or why there is none.
    pub clock: String,
    /// Whether the board was throttled, or short of voltage, meanwhile. Absent where that is
    /// not known, also where the source says nothing of heat and saw nothing else.
    pub throttled: Option<bool>,
    /// The flags, or why there are none. Flags of the past may be older than the measurement.
    pub throttle: String,
    /// The meter and the rule of a sample's energy, or why there is none.
    pub energy: String,
    /// The most memory that the program had at any time (`VmHWM`), in MiB, its input included.
    pub peak_memory_mib: Option<f64>,
}

/// How a figure went.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Course {
    /// At the start.
    pub start: f64,
    /// At the end.
    pub end: f64,
    /// At the worst of all readings.
    pub worst: f64,
}

/// What one operating point costs, on one thread.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Point {
    /// `image` or `audio`.
    pub modality: String,
    /// Codec id.
    pub codec: String,
    /// Preset of the codec.
    pub preset: String,
    /// Name of the codec's knob, with its unit; absent for a codec without one.
    pub knob_name: Option<String>,
    /// Where the knob stood.
    pub knob: Option<f64>,
    /// The codec's library and its version.
    pub implementation: String,
    /// Whether that library runs vector code: `yes`, `no` or `not-applicable`.
    pub simd: String,
    /// Samples that were encoded and measured; those before a failure count too.
    pub n: u64,
    /// Time that the agent's encoding stage took for one sample, in milliseconds; absent
    /// if none was measured.
    pub latency_ms: Option<Latency>,
    /// Megapixels encoded per second of encoding (pictures).
    pub megapixels_per_s: Option<f64>,
    /// Seconds of sound encoded per second of encoding (sound).
    pub times_real_time: Option<f64>,
    /// Processor time per sample in milliseconds. Absent where the encoder is another
    /// process.
    pub cpu_ms: Option<f64>,
    /// Mean bytes of a sample as the codec wrote it, over every sample of the input once.
    pub codec_bytes: Option<f64>,
    /// Mean bytes of a sample with its container, as the spool keeps it.
    pub storage_bytes: Option<f64>,
    /// Bits of the codec per pixel, all samples together (pictures).
    pub bpp: Option<f64>,
    /// Kilobits of the codec per second of sound (sound).
    pub kbps: Option<f64>,
    /// Peak signal-to-noise ratio in dB over RGB, of the error of all pictures together;
    /// decoded by the codec's own inverse, without a network. Absent for sound, where the
    /// picture is decoded exactly, and where this machine lacks the decoder.
    pub psnr_db: Option<f64>,
    /// By how much the program's memory grew at the most, in MiB, when the first encoder
    /// of this point was made and encoded every sample once. A lower bound: memory that an
    /// earlier point gave back may have been used again. Absent where the encoder is another
    /// process.
    pub memory_mib: Option<f64>,
    /// Joules that the board drew per sample, idle share included.
    pub energy_j: Option<f64>,
    /// The highest temperature in degrees Celsius at the end of this point's turns.
    pub temperature_c: Option<f64>,
    /// The lowest clock in megahertz at the end of this point's turns.
    pub clock_mhz: Option<f64>,
    /// Whether the board was throttled, or short of voltage, in any of this point's turns.
    /// Absent where that is not known, as for the body.
    pub throttled: Option<bool>,
    /// Why figures of this point are absent that others of its modality have: the keys,
    /// and a sentence.
    pub absent: Vec<String>,
    /// Why this point could not be measured, or not to the end: the encoder failed after
    /// `n` samples.
    pub error: Option<String>,
}

/// How long one sample takes, in milliseconds, to three significant digits.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Latency {
    /// Median.
    pub p50: f64,
    /// 90th percentile.
    pub p90: f64,
    /// 99th percentile; of fewer than a hundred samples the highest.
    pub p99: f64,
    /// The highest.
    pub max: f64,
}

/// A figure with `digits` digits after the point, or a dash.
fn figure(value: Option<f64>, digits: usize) -> String {
    value.map_or_else(|| "-".to_owned(), |value| format!("{value:.digits$}"))
}

impl fmt::Display for Benchmark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let machine = &self.machine;
        writeln!(f, "board {}, {}", machine.board.as_deref().unwrap_or("unknown"), machine.recognised)?;
        writeln!(
            f,
            "{}, kernel {}, {}, {} cores, {}",
            machine.model.as_deref().unwrap_or("no model name"),
            machine.kernel.as_deref().unwrap_or("unknown"),
            machine.architecture,
            machine.cores,
            if machine.features.is_empty() { "no vector instructions".into() } else { machine.features.join(" ") }
        )?;
        for contradiction in &machine.contradictions {
            writeln!(f, "CONTRADICTS the board file: {contradiction}")?;
        }
        let digest = self.agent.sha256.as_deref().unwrap_or("unknown");
        writeln!(f, "afferent-agent {}, SHA-256 {digest}", self.agent.version)?;
        if !self.agent.optimised {
            writeln!(f, "NOT OPTIMISED: these figures are worth nothing")?;
        }
        let (seconds, wanted) = (self.seconds, self.seconds_wanted);
        let how = if self.complete { "complete" } else { "INCOMPLETE" };
        writeln!(f, "{seconds:.0} of {wanted:.0} s, {} rounds, one thread: {how}", self.rounds)?;
        for input in &self.inputs {
            writeln!(f, "{}: {} samples, {}", input.modality, input.samples, input.content)?;
        }
        let course = |course: Option<Course>, unit: &str| match course {
            Some(Course { start, end, worst }) => {
                format!("{start:.0} {unit} at the start, {end:.0} at the end, {worst:.0} at the worst; ")
            }
            None => String::new(),
        };
        let body = &self.body;
        writeln!(f, "temperature: {}{}", course(body.temperature_c, "°C"), body.temperature)?;
        writeln!(f, "clock: {}{}", course(body.clock_mhz, "MHz"), body.clock)?;
        let throttled = match body.throttled {
            Some(true) => "YES; ",
            Some(false) => "no; ",
            None => "",
        };
        writeln!(f, "throttled: {throttled}{}", body.throttle)?;
        writeln!(f, "energy: {}", body.energy)?;
        writeln!(f, "memory: {} MiB at the most", figure(body.peak_memory_mib, 1))?;
        for (modality, speed, rate) in [("image", "MPx/s", "bpp"), ("audio", "x real", "kb/s")] {
            let points: Vec<&Point> = self.points.iter().filter(|point| point.modality == modality).collect();
            if points.is_empty() {
                continue;
            }
            let [n, p50, p90, p99, max, cpu] = ["n", "p50 ms", "p90 ms", "p99 ms", "max ms", "CPU ms"];
            let [bytes, psnr, memory, energy] = ["bytes", "PSNR dB", "MiB", "mJ"];
            writeln!(
                f,
                "\n{:<8}{:<16}{:>6}{n:>8}{p50:>9}{p90:>9}{p99:>9}{max:>9}{cpu:>9}{speed:>9}{bytes:>9}{rate:>8}{psnr:>9}{memory:>7}{energy:>8}",
                "codec", "preset", "knob"
            )?;
            for point in points {
                let latency = |of: fn(Latency) -> f64| figure(point.latency_ms.map(of), 3);
                writeln!(
                    f,
                    "{:<8}{:<16}{:>6}{:>8}{:>9}{:>9}{:>9}{:>9}{:>9}{:>9}{:>9}{:>8}{:>9}{:>7}{:>8}{}",
                    point.codec,
                    point.preset,
                    figure(point.knob, 0),
                    point.n,
                    latency(|latency| latency.p50),
                    latency(|latency| latency.p90),
                    latency(|latency| latency.p99),
                    latency(|latency| latency.max),
                    figure(point.cpu_ms, 3),
                    figure(point.megapixels_per_s.or(point.times_real_time), 1),
                    figure(point.codec_bytes, 0),
                    figure(point.bpp.or(point.kbps), 3),
                    figure(point.psnr_db, 2),
                    figure(point.memory_mib, 1),
                    figure(point.energy_j.map(|joules| joules * 1000.0), 2),
                    if point.throttled == Some(true) { "  throttled" } else { "" },
                )?;
                for absent in &point.absent {
                    writeln!(f, "  {absent}")?;
                }
                if let Some(error) = &point.error {
                    writeln!(f, "  FAILED after {} samples: {error}", point.n)?;
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_of_another_version_or_with_a_key_more_is_not_read() {
        let error = |json: &str| serde_json::from_str::<Benchmark>(json).unwrap_err().to_string();
        assert!(error(r#"{"version": 2, "future": 1}"#).contains("version 2"), "{}", error(r#"{"version": 2}"#));
        assert!(error(r#"{"version": 1, "future": 1}"#).contains("unknown field `future`"));
        assert_eq!(serde_json::to_string(&Version).unwrap(), "1");
    }
}
