//! The agent's configuration, in layers, with the origin of every value.

use afferent_boards_hal::{LedConfig, MeterConfig, ThrottleConfig, TriggerConfig};
use afferent_codec::{Limits, Resize, Settings};
use afferent_media::frame::{Range, RawFormat};
use afferent_media::{Code, Error, Result};
use figment::providers::{Env, Format, Serialized, Toml};
use figment::{Figment, Profile};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// The documented defaults: every key, with a comment.
pub const DEFAULT: &str = include_str!("agent.default.toml");

/// The prefix of environment variables; `__` separates the parts of a key.
pub const ENV_PREFIX: &str = "AFFERENT_AGENT_";

/// Most streams of one agent: those of one session of the link.
const MAX_STREAMS: usize = 64;

/// Longest time until a sync. The spool tells the service manager's watchdog of a minute
/// that it lives once per sync.
const MAX_SYNC_MS: u32 = 10_000;

/// Longest time before a trigger's edge.
const MAX_BEFORE_MS: u32 = 10_000;

/// The agent's configuration. The meaning of each key is documented in [`DEFAULT`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Where to send.
    pub server: Server,
    /// Who this agent is.
    pub identity: Identity,
    /// Where samples wait until they are acknowledged.
    pub spool: Spool,
    /// The encoding stage.
    pub encode: Encode,
    /// The sending stage.
    pub send: Send,
    /// The board's body.
    pub body: Body,
    /// The streams, in order of their numbers.
    #[serde(default, rename = "stream", skip_serializing_if = "Vec::is_empty")]
    pub streams: Vec<Stream>,
}

/// Where to send.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Server {
    /// Host and UDP port.
    pub address: String,
    /// Name in the server's certificate.
    pub name: String,
}

/// Who this agent is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Identity {
    /// Folder of certificate and key.
    pub folder: PathBuf,
}

/// Where samples wait until they are acknowledged.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Spool {
    /// Folder of the segments.
    pub folder: PathBuf,
    /// Size of a segment in MiB.
    pub segment_mib: u32,
    /// Most MiB on disk.
    pub max_mib: u32,
    /// Most milliseconds until a sync, 0 to 10 000.
    pub sync_ms: u32,
    /// Most KiB until a sync.
    pub sync_kib: u32,
}

/// The encoding stage.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Encode {
    /// Encoder threads.
    pub threads: usize,
    /// Samples between two stages.
    pub queue: usize,
    /// GStreamer elements that encode, by name.
    pub gstreamer: Vec<String>,
}

/// The sending stage.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Send {
    /// Most packets in flight.
    pub window_packets: u16,
    /// Most KiB in flight.
    pub window_kib: u32,
    /// First waiting time before a new attempt to connect.
    pub backoff_min_ms: u32,
    /// Longest waiting time before a new attempt to connect.
    pub backoff_max_ms: u32,
}

/// The board's body: what is not named is not looked for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Body {
    /// The folder that `/sys` and `/dev` are taken under.
    pub root: PathBuf,
    /// Milliseconds between two readings of the meter.
    pub meter_period_ms: u32,
    /// Type of the thermal zone of the processor.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub thermal_zone: Option<String>,
    /// The energy meter.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub meter: Option<MeterConfig>,
    /// Where the throttling flags come from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub throttle: Option<ThrottleConfig>,
    /// The status LED.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub led: Option<LedConfig>,
}

impl Default for Body {
    /// A body of which nothing is named.
    fn default() -> Self {
        Self { root: "/".into(), meter_period_ms: 100, thermal_zone: None, meter: None, throttle: None, led: None }
    }
}

/// One stream.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Stream {
    /// Name, unique on this agent.
    pub name: String,
    /// Codec id.
    pub codec: String,
    /// Preset; the codec's default where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub preset: Option<String>,
    /// Knob; the codec's default where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub knob: Option<f32>,
    /// Images are made smaller by this ratio before coding.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resize: Option<Resize>,
    /// Delivery class.
    #[serde(default)]
    pub class: Class,
    /// Of so many samples, the first is kept; 0 and 1 keep all.
    #[serde(default)]
    pub every: u32,
    /// At most so many samples a second are kept; 0 keeps all.
    #[serde(default)]
    pub max_per_s: f64,
    /// The hours of the day (UTC) in which samples are kept; none: always.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub schedule: Vec<Window>,
    /// Keep only what a line asks for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trigger: Option<Trigger>,
    /// Keep only pictures in which something moves.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub motion: Option<Motion>,
    /// Keep only sound in which something is heard.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub voice: Option<Voice>,
    /// Source: replay of recorded media.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replay: Option<Replay>,
    /// Source: a V4L2 camera.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub camera: Option<Camera>,
    /// Source: a program that writes frames.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub command: Option<Command>,
    /// Source: an ALSA microphone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub microphone: Option<Microphone>,
    /// Source: numbered frames or a numbered tone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub test: Option<Test>,
}

/// The one source of a stream.
#[derive(Debug, Clone, Copy)]
pub enum Origin<'a> {
    /// Replay of recorded media.
    Replay(&'a Replay),
    /// A V4L2 camera.
    Camera(&'a Camera),
    /// A program that writes frames.
    Command(&'a Command),
    /// An ALSA microphone.
    Microphone(&'a Microphone),
    /// Numbered frames or a numbered tone.
    Test(&'a Test),
}

impl Stream {
    /// Where its samples come from.
    ///
    /// # Errors
    /// [`Code::Config`] unless exactly one source is named.
    pub fn origin(&self) -> Result<Origin<'_>> {
        let named = [
            ("replay", self.replay.as_ref().map(Origin::Replay)),
            ("camera", self.camera.as_ref().map(Origin::Camera)),
            ("command", self.command.as_ref().map(Origin::Command)),
            ("microphone", self.microphone.as_ref().map(Origin::Microphone)),
            ("test", self.test.as_ref().map(Origin::Test)),
        ];
        let mut named = named.into_iter().filter_map(|(key, origin)| origin.map(|origin| (key, origin)));
        let what = match (named.next(), named.next()) {
            (Some((_, origin)), None) => return Ok(origin),
            (Some((first, _)), Some((second, _))) => format!("has both `{first}` and `{second}`"),
            (None, _) => "has no source".to_owned(),
        };
        Err(Error::new(
            Code::Config,
            format!("stream `{}` {what}", self.name),
            "give it exactly one of [stream.replay], [stream.camera], [stream.command], [stream.microphone], [stream.test]",
        ))
    }

    /// Checks what types cannot.
    fn check(&self) -> Result<()> {
        let wrong = |key: &str, what: &str, remedy: &'static str| {
            Err(Error::new(Code::Config, format!("stream `{}`: {key} {what}", self.name), remedy))
        };
        // A rate that is not 0 has a period that a clock can hold.
        let rate = |rate: f64, most: f64| rate == 0.0 || (1e-3..=most).contains(&rate);
        if !rate(self.max_per_s, 1e6) {
            return wrong("max_per_s", "is no rate", "give 0, or samples per second from 0.001 to 1000000");
        }
        if self.motion.as_ref().is_some_and(|motion| !(0.0..=255.0).contains(&motion.threshold)) {
            return wrong("motion.threshold", "is no difference of luma", "give a number from 0 to 255");
        }
        if let Some(trigger) = &self.trigger {
            if trigger.before_ms > MAX_BEFORE_MS {
                return wrong("trigger.before_ms", "is more than memory holds", "give milliseconds from 0 to 10000");
            }
            if (trigger.before_ms, trigger.samples, trigger.hold_ms) == (0, 0, 0) {
                return wrong("trigger", "keeps nothing", "give before_ms, samples or hold_ms above 0");
            }
        }
        if self.voice.as_ref().is_some_and(|voice| !(-200.0..=0.0).contains(&voice.threshold_db)) {
            return wrong("voice.threshold_db", "is no level", "give decibels to full scale, from -200 to 0");
        }
        let sound = |key: &str, rate: u32, channels: u16, block_ms: u32| {
            if !(1000..=768_000).contains(&rate) {
                return wrong(&format!("{key}.sample_rate"), "is no sampling rate", "give Hz from 1000 to 768000");
            }
            if !(10..=60_000).contains(&block_ms) {
                return wrong(
                    &format!("{key}.block_ms"),
                    "is no length of a block",
                    "give milliseconds from 10 to 60000",
                );
            }
            let frames = u64::from(rate) * u64::from(block_ms) / 1000;
            if Limits::default().check_audio(rate, channels, frames).is_err() {
                return wrong(
                    key,
                    "has more samples in a block, or more channels, than a decoder takes",
                    "lower block_ms, sample_rate or channels",
                );
            }
            Ok(())
        };
        let size = |key: &str, width: u32, height: u32| {
            if (1..=16_384).contains(&width) && (1..=16_384).contains(&height) {
                return Ok(());
            }
            wrong(&format!("{key}.width or {key}.height"), "is no side", "give pixels from 1 to 16384")
        };
        const Y16: Frames = Frames::Raw(RawFormat::Y16);
        let bits = |bits: u8, y16: bool| bits == 16 || (y16 && (8..16).contains(&bits));
        match self.origin()? {
            Origin::Replay(_) => Ok(()),
            Origin::Camera(camera) if camera.device.is_empty() => {
                wrong("camera.device", "is empty", "give a path such as /dev/video0, or the card's name")
            }
            Origin::Camera(camera) if !(1..=1000).contains(&camera.fps) => {
                wrong("camera.fps", "is no rate", "give frames per second from 1 to 1000")
            }
            Origin::Camera(camera) if !bits(camera.bits, camera.format.is_none_or(|format| format == Y16)) => {
                wrong("camera.bits", "are no bits of a value", "give 8 to 16 for format \"y16\", else leave it out")
            }
            Origin::Camera(camera) => size("camera", camera.width, camera.height),
            Origin::Command(command) if command.run.first().is_none_or(String::is_empty) => wrong(
                "command.run",
                "is empty",
                "give a program and its arguments, for example ['rpicam-vid', '-t', '0']",
            ),
            Origin::Command(command) if command.timeout_s == 0 => {
                wrong("command.timeout_s", "is 0", "give a number above zero")
            }
            Origin::Command(command) if !bits(command.bits, command.format == Y16) => {
                wrong("command.bits", "are no bits of a value", "give 8 to 16 for format \"y16\", else leave it out")
            }
            Origin::Command(command) => {
                size("command", command.width, command.height)?;
                match command.format {
                    // Rows are padded to a few hundred bytes at most; more is a mistake that costs memory.
                    Frames::Raw(raw) if command.stride > 4 * raw.row(command.width).max(1024) => {
                        wrong("command.stride", "is far longer than a row", "give bytes from one row to the next, or 0")
                    }
                    _ => Ok(()),
                }
            }
            Origin::Microphone(microphone) if microphone.device.is_empty() => {
                wrong("microphone.device", "is empty", "give ALSA's name, which `arecord -L` lists")
            }
            Origin::Microphone(microphone) if !(1..=8).contains(&microphone.channels) => {
                wrong("microphone.channels", "is no number of channels", "give 1 to 8")
            }
            Origin::Microphone(microphone) if microphone.buffer == 0 => {
                wrong("microphone.buffer", "is 0", "give samples per channel, for example 4800")
            }
            Origin::Microphone(microphone) => {
                sound("microphone", microphone.sample_rate, microphone.channels, microphone.block_ms)
            }
            Origin::Test(test) if !rate(test.fps, 1e4) => {
                wrong("test.fps", "is no rate", "give 0, or frames per second from 0.001 to 10000")
            }
            Origin::Test(test) => {
                size("test", test.width, test.height)?;
                sound("test", test.sample_rate, 1, test.block_ms)
            }
        }
    }

    /// Whether frames that a camera has coded pass as they are: the stream asks for
    /// JPEG and for nothing that would change them.
    #[must_use]
    pub fn adopts(&self) -> bool {
        self.codec == "jpeg" && self.preset.is_none() && self.knob.is_none() && self.resize.is_none_or(Resize::is_none)
    }

    /// The operating point of its codec.
    #[must_use]
    pub fn settings(&self) -> Settings {
        Settings { preset: self.preset.clone(), knob: self.knob, resize: self.resize.unwrap_or_default() }
    }
}

/// Delivery class of a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Class {
    /// Wanted now.
    #[default]
    Live,
    /// Wanted some time.
    Backfill,
}

/// Replay of recorded media.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Replay {
    /// A folder of media files, or a manifest.
    pub path: PathBuf,
    /// How fast.
    #[serde(default)]
    pub pace: Pace,
    /// Milliseconds between images at the real pace.
    #[serde(default = "default_period_ms")]
    pub period_ms: u32,
    /// How often; 0 is for ever.
    #[serde(default = "default_repeat")]
    pub repeat: u32,
}

/// A V4L2 camera.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Camera {
    /// Path of the device, or the name of its card.
    pub device: String,
    /// Width in pixels.
    #[serde(default = "default_width")]
    pub width: u32,
    /// Height in pixels.
    #[serde(default = "default_height")]
    pub height: u32,
    /// Frames per second.
    #[serde(default = "default_fps")]
    pub fps: u32,
    /// Format; the best that the device has where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub format: Option<Frames>,
    /// Significant bits of a Y16 value, 8 to 16.
    #[serde(default = "default_bits")]
    pub bits: u8,
}

/// A program that writes frames to its standard output.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Command {
    /// The program and its arguments; no shell reads them.
    pub run: Vec<String>,
    /// What it writes.
    pub format: Frames,
    /// Width of raw frames in pixels.
    #[serde(default = "default_width")]
    pub width: u32,
    /// Height of raw frames in pixels.
    #[serde(default = "default_height")]
    pub height: u32,
    /// Bytes from one row of raw frames to the next; 0 without padding.
    #[serde(default)]
    pub stride: usize,
    /// Range of raw frames.
    #[serde(default)]
    pub range: Range,
    /// Significant bits of a Y16 value, 8 to 16.
    #[serde(default = "default_bits")]
    pub bits: u8,
    /// It is started again after so many seconds of silence.
    #[serde(default = "default_timeout_s")]
    pub timeout_s: u32,
    /// Whether it is started again after it ended well.
    #[serde(default = "default_true")]
    pub repeat: bool,
}

/// How frames are laid out: coded, or raw.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Frames {
    /// JPEG files, one after the other.
    Mjpeg,
    /// Raw frames.
    #[serde(untagged)]
    Raw(RawFormat),
}

/// An ALSA microphone.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Microphone {
    /// ALSA's name of the device.
    pub device: String,
    /// Sampling rate in Hz.
    #[serde(default = "default_sample_rate")]
    pub sample_rate: u32,
    /// Number of channels.
    #[serde(default = "default_channels")]
    pub channels: u16,
    /// Samples per channel of one of the two periods of the device's buffer.
    #[serde(default = "default_buffer")]
    pub buffer: u32,
    /// Milliseconds of one sample of the stream.
    #[serde(default = "default_block_ms")]
    pub block_ms: u32,
}

/// Numbered frames, or a numbered tone, whichever the stream's codec takes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Test {
    /// Width of the frames in pixels.
    #[serde(default = "default_width")]
    pub width: u32,
    /// Height of the frames in pixels.
    #[serde(default = "default_height")]
    pub height: u32,
    /// Frames per second; 0: as fast as the encoder takes them. Sound comes at its own
    /// pace unless this is 0.
    #[serde(default = "default_test_fps")]
    pub fps: f64,
    /// Sampling rate of the tone in Hz.
    #[serde(default = "default_sample_rate")]
    pub sample_rate: u32,
    /// Milliseconds of one block of the tone.
    #[serde(default = "default_block_ms")]
    pub block_ms: u32,
    /// How many frames or blocks; 0 is for ever.
    #[serde(default)]
    pub count: u64,
}

/// Keep only what a line asks for. What lies before an edge waits in memory until it is
/// known that none comes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Trigger {
    /// The line.
    pub gpio: TriggerConfig,
    /// Milliseconds before an edge from which everything is kept.
    #[serde(default)]
    pub before_ms: u32,
    /// How many samples are kept from the edge on: the first is the one within which it
    /// falls (sound), or the next one (pictures).
    #[serde(default = "default_samples")]
    pub samples: u32,
    /// Milliseconds for which everything is kept after an edge.
    #[serde(default)]
    pub hold_ms: u32,
}

/// Keep only pictures in which something moves.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Motion {
    /// Mean absolute difference of luma (0 to 255), at an eighth of the size, from the
    /// picture that was kept last.
    #[serde(default = "default_motion")]
    pub threshold: f32,
    /// Milliseconds for which everything is kept afterwards.
    #[serde(default = "default_hold_ms")]
    pub hold_ms: u32,
}

/// Keep only sound in which something is heard.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Voice {
    /// Root mean square of the loudest 20 ms of a block, in decibels to full scale.
    #[serde(default = "default_voice_db")]
    pub threshold_db: f32,
    /// Milliseconds for which everything is kept afterwards.
    #[serde(default = "default_hold_ms")]
    pub hangover_ms: u32,
}

/// A part of the day: from a minute of the day (UTC) to another, which may be on the
/// next day. Written `08:00-18:30`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Window {
    from: u16,
    to: u16,
}

impl Window {
    /// Whether minute `minute` of the day (0 to 1439) is in it.
    #[must_use]
    pub fn holds(self, minute: u16) -> bool {
        if self.from < self.to {
            (self.from..self.to).contains(&minute)
        } else {
            minute >= self.from || minute < self.to
        }
    }
}

impl TryFrom<String> for Window {
    type Error = String;

    fn try_from(text: String) -> std::result::Result<Self, String> {
        let minute = |time: &str| {
            let (hours, minutes) = time.split_once(':')?;
            let (hours, minutes) = (hours.parse::<u16>().ok()?, minutes.parse::<u16>().ok()?);
            (hours < 24 && minutes < 60).then_some(hours * 60 + minutes)
        };
        let ends = text.split_once('-').and_then(|(from, to)| minute(from).zip(minute(to)));
        match ends {
            Some((from, to)) if from != to => Ok(Self { from, to }),
            _ => Err(format!("`{text}` is no part of a day: write for example `08:00-18:30` (UTC)")),
        }
    }
}

impl From<Window> for String {
    fn from(window: Window) -> Self {
        let Window { from, to } = window;
        format!("{:02}:{:02}-{:02}:{:02}", from / 60, from % 60, to / 60, to % 60)
    }
}

fn default_width() -> u32 {
    640
}

fn default_height() -> u32 {
    480
}

fn default_bits() -> u8 {
    16
}

fn default_fps() -> u32 {
    30
}

fn default_test_fps() -> f64 {
    30.0
}

fn default_sample_rate() -> u32 {
    16_000
}

fn default_channels() -> u16 {
    1
}

fn default_buffer() -> u32 {
    4800
}

fn default_block_ms() -> u32 {
    1000
}

fn default_timeout_s() -> u32 {
    10
}

fn default_true() -> bool {
    true
}

fn default_samples() -> u32 {
    1
}

fn default_motion() -> f32 {
    2.0
}

fn default_hold_ms() -> u32 {
    1000
}

fn default_voice_db() -> f32 {
    -45.0
}

fn default_period_ms() -> u32 {
    100
}

fn default_repeat() -> u32 {
    1
}

/// How fast recorded media are replayed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Pace {
    /// As fast as the encoder takes them.
    #[default]
    Fast,
    /// At the pace of the recording.
    Real,
}

/// The layers of a configuration, before they are joined.
#[derive(Clone)]
pub struct Layers(Figment);

impl Layers {
    /// Defaults, then `file`, then the environment, then `sets` (`key=value`).
    ///
    /// # Errors
    /// [`Code::NotFound`] if `file` does not exist, [`Code::Config`] for a set
    /// without `=`.
    pub fn new(file: Option<&Path>, sets: &[String]) -> Result<Self> {
        let mut figment = Figment::from(Toml::string(DEFAULT).profile(Profile::Default));
        if let Some(file) = file {
            std::fs::metadata(file).map_err(|e| Error::io(format!("configuration {}", file.display()), e))?;
            figment = figment.merge(Toml::file_exact(file));
        }
        // AFFERENT_AGENT_CONFIG names the file itself.
        figment = figment.merge(Env::prefixed(ENV_PREFIX).ignore(&["config"]).split("__"));
        for set in sets {
            let (key, value) = set.split_once('=').ok_or_else(|| {
                Error::new(
                    Code::Config,
                    format!("`{set}` sets nothing"),
                    "write --set key=value, for example --set encode.threads=2",
                )
            })?;
            // The value in TOML's syntax where it is that, else as a bare string.
            let value: figment::value::Value =
                value.parse().unwrap_or_else(|never: std::convert::Infallible| match never {});
            figment = figment.merge(Serialized::default(key, value).profile(Profile::Default));
        }
        Ok(Self(figment))
    }

    /// The joined and checked configuration.
    ///
    /// # Errors
    /// [`Code::Config`], naming the key, where it came from and what is wrong.
    pub fn config(&self) -> Result<Config> {
        let config: Config = self.0.extract().map_err(|e| {
            let key = if e.path.is_empty() { "the configuration".to_owned() } else { e.path.join(".") };
            Error::new(
                Code::Config,
                format!("{key} ({}): {}", origin(e.metadata.as_ref()), e.kind),
                "see `afferent-agent config --default` for every key",
            )
        })?;
        config.check()?;
        Ok(config)
    }

    /// Every value with its origin, one `key = value  # origin` a line.
    ///
    /// # Errors
    /// As [`config`](Self::config).
    pub fn show(&self) -> Result<String> {
        let value = toml::Value::try_from(self.config()?)
            .map_err(|e| Error::new(Code::Internal, "the configuration cannot be shown", "report this").caused_by(e))?;
        let mut lines = String::new();
        self.show_value(&mut lines, "", &value);
        Ok(lines)
    }

    fn show_value(&self, lines: &mut String, key: &str, value: &toml::Value) {
        let inner = |part: &str| if key.is_empty() { part.to_owned() } else { format!("{key}.{part}") };
        match value {
            toml::Value::Table(table) => {
                table.iter().for_each(|(part, value)| self.show_value(lines, &inner(part), value))
            }
            toml::Value::Array(items) if key == "stream" => {
                items.iter().enumerate().for_each(|(i, value)| self.show_value(lines, &inner(&i.to_string()), value));
            }
            value => {
                let metadata = match key.strip_prefix("stream.") {
                    // A list is taken whole from one place, which need not have every key.
                    Some(key) if self.streams_have(key) => self.0.find_metadata("stream"),
                    Some(_) => None,
                    None => self.0.find_metadata(key),
                };
                lines.push_str(&format!("{key} = {value}  # {}\n", origin(metadata)));
            }
        }
    }

    /// Whether the list of streams has `key`, which begins with a stream's place in it.
    fn streams_have(&self, key: &str) -> bool {
        let streams = self.0.find_value("stream").ok();
        let found = key.split_once('.').and_then(|(place, key)| {
            let stream = streams.as_ref()?.as_array()?.get(place.parse::<usize>().ok()?)?;
            stream.find_ref(key)
        });
        found.is_some()
    }
}

/// Where a value came from.
fn origin(metadata: Option<&figment::Metadata>) -> String {
    match metadata {
        Some(metadata) => match &metadata.source {
            Some(figment::Source::File(path)) => format!("file {}", path.display()),
            _ if metadata.name.contains("environment") => "environment".to_owned(),
            _ if metadata.name.contains("TOML") => "default".to_owned(),
            _ => "command line".to_owned(),
        },
        None => "default".to_owned(),
    }
}

impl Config {
    /// Checks what types cannot.
    fn check(&self) -> Result<()> {
        let wrong = |what: String, remedy: &'static str| Err(Error::new(Code::Config, what, remedy));
        let positive = [
            ("spool.segment_mib", u64::from(self.spool.segment_mib)),
            ("spool.max_mib", self.spool.max_mib.into()),
            ("spool.sync_kib", self.spool.sync_kib.into()),
            ("encode.threads", self.encode.threads as u64),
            ("encode.queue", self.encode.queue as u64),
            ("send.window_packets", self.send.window_packets.into()),
            ("send.window_kib", self.send.window_kib.into()),
            ("send.backoff_min_ms", self.send.backoff_min_ms.into()),
            ("body.meter_period_ms", self.body.meter_period_ms.into()),
        ];
        if let Some((key, _)) = positive.iter().find(|(_, value)| *value == 0) {
            return wrong(format!("{key} is 0"), "give a number above zero");
        }
        if self.encode.threads > 64 || self.encode.queue > 1024 {
            return wrong(
                "encode.threads or encode.queue is too large".into(),
                "use at most 64 threads and a queue of 1024",
            );
        }
        if u64::from(self.spool.max_mib) < 2 * u64::from(self.spool.segment_mib) {
            return wrong(
                "spool.max_mib holds less than two segments".into(),
                "raise spool.max_mib or lower spool.segment_mib",
            );
        }
        if self.spool.sync_ms > MAX_SYNC_MS {
            return wrong(
                format!("spool.sync_ms is {}, above {MAX_SYNC_MS}", self.spool.sync_ms),
                "give milliseconds from 0 to 10000",
            );
        }
        if self.send.backoff_max_ms < self.send.backoff_min_ms {
            return wrong("send.backoff_max_ms is below send.backoff_min_ms".into(), "raise send.backoff_max_ms");
        }
        let port = self.server.address.rsplit_once(':').and_then(|(_, port)| port.parse::<u16>().ok());
        if port.is_none() {
            return wrong(
                format!("server.address `{}` has no port", self.server.address),
                "write host:port, for example gate.example:7400",
            );
        }
        if let Some(meter) = &self.body.meter {
            meter
                .check()
                .map_err(|missing| Error::new(Code::Config, format!("body.meter: {}", missing.what), missing.remedy))?;
        }
        if self.streams.len() > MAX_STREAMS {
            return wrong(
                format!("{} streams", self.streams.len()),
                "use at most 64 streams; start another agent for more",
            );
        }
        for (index, stream) in self.streams.iter().enumerate() {
            if stream.name.is_empty() || stream.name.len() > 64 {
                return wrong(format!("stream {index} has no name or one above 64 bytes"), "name it");
            }
            // It is printed by terminals and stands in rows.
            if stream.name.contains(char::is_control) {
                return wrong(format!("the name of stream {index} has a control character"), "use letters and digits");
            }
            if self.streams[..index].iter().any(|other| other.name == stream.name) {
                return wrong(
                    format!("two streams are named `{}`", stream.name),
                    "give every stream a name of its own",
                );
            }
            stream.check()?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layers(text: &str, sets: &[&str]) -> Result<Config> {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("agent.toml");
        std::fs::write(&file, text).unwrap();
        Layers::new(Some(&file), &sets.iter().map(|s| (*s).to_owned()).collect::<Vec<_>>())?.config()
    }

    #[test]
    fn the_default_is_whole_and_documented() {
        let config = Layers::new(None, &[]).unwrap().config().unwrap();
        assert!(config.streams.is_empty());
        // The commented streams are valid too, and together name every key there is.
        let (head, tail) = DEFAULT.split_once("# [[stream]]").unwrap();
        let text: String =
            tail.lines().map(|l| l.strip_prefix("# ").unwrap_or("")).fold(String::new(), |s, l| s + l + "\n");
        let full = layers(&format!("{head}[[stream]]\n{text}"), &[]).unwrap();
        let mut keys = std::collections::BTreeMap::<String, usize>::new();
        for stream in &full.streams {
            for (key, value) in toml::Value::try_from(stream).unwrap().as_table().unwrap() {
                let inside = value.as_table().map_or(0, toml::map::Map::len);
                keys.entry(key.clone()).and_modify(|most| *most = inside.max(*most)).or_insert(inside);
            }
        }
        let tables = [
            ("replay", 4),
            ("camera", 6),
            ("command", 9),
            ("microphone", 5),
            ("test", 6),
            ("trigger", 4),
            ("motion", 2),
            ("voice", 2),
        ];
        for (table, inside) in tables {
            assert_eq!(keys.remove(table), Some(inside), "{table}");
        }
        assert_eq!(keys.len(), 9, "{keys:?}");
    }

    #[test]
    fn frames_pass_as_they_are_only_where_nothing_else_is_asked() {
        let adopts =
            |more: &str| layers(&format!("[[stream]]\nname='a'\n{more}\ntest={{}}"), &[]).unwrap().streams[0].adopts();
        assert!(adopts("codec='jpeg'") && adopts("codec='jpeg'\nresize='none'"));
        for more in
            ["codec='webp'", "codec='jpeg'\nknob=75", "codec='jpeg'\npreset='420'", "codec='jpeg'\nresize='1/2'"]
        {
            assert!(!adopts(more), "{more}");
        }
    }

    #[test]
    fn the_default_documents_every_part_of_the_body() {
        let config = Layers::new(None, &[]).unwrap().config().unwrap();
        assert_eq!(config.body, Body::default());
        let (_, body) = DEFAULT.split_once("[body]").unwrap();
        let (body, _) = body.split_once("# One table per stream").unwrap();
        // What is commented is valid too.
        let uncommented: String =
            body.lines().map(|l| l.strip_prefix("#! ").unwrap_or(l)).collect::<Vec<_>>().join("\n");
        let full = layers(&format!("[body]\n{uncommented}"), &[]).unwrap();
        assert_eq!(toml::Value::try_from(&full.body).unwrap().as_table().unwrap().len(), 6);
        let wrong =
            layers("[body.meter]\nkind = 'ina3221'\nbus = 'b'\naddress = 64\nchannels = [4]\nshunt_microohm = 1", &[]);
        let error = wrong.unwrap_err();
        assert!(error.code() == Code::Config && error.what().starts_with("body.meter: INA3221"), "{error}");
    }

    #[test]
    fn later_layers_win_and_their_origin_is_shown() {
        let config = layers("[encode]\nthreads = 3\n[server]\naddress = 'a:1'", &["encode.threads=5"]).unwrap();
        assert_eq!(config.encode.threads, 5);
        assert_eq!(config.server.address, "a:1");
        assert_eq!(layers("[spool]\nsync_ms = 10000", &[]).unwrap().spool.sync_ms, 10_000);
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("agent.toml");
        let stream = "[[stream]]\nname = 'a'\ncodec = 'jpeg'\n[stream.test]\nfps = 2\n";
        std::fs::write(&file, format!("[encode]\nqueue = 9\n{stream}")).unwrap();
        let shown = Layers::new(Some(&file), &["encode.threads=5".into()]).unwrap().show().unwrap();
        assert!(shown.contains("encode.threads = 5  # command line"), "{shown}");
        assert!(shown.contains(&format!("encode.queue = 9  # file {}", file.display())), "{shown}");
        assert!(shown.contains("spool.max_mib = 1024  # default"), "{shown}");
        assert!(shown.contains(&format!("stream.0.test.fps = 2.0  # file {}", file.display())), "{shown}");
        assert!(shown.contains("stream.0.test.width = 640  # default"), "{shown}");
        let error = Layers::new(Some(&file), &["encode.threads=x".into()]).unwrap().config().unwrap_err();
        assert!(error.what().starts_with("encode.threads (command line): "), "{error}");
    }

    #[test]
    fn mistakes_are_named() {
        let of = |codec: &str, more: &str| format!("[[stream]]\nname='a'\ncodec='{codec}'\n{more}");
        for (text, sets, named) in [
            ("[encode]\nthreds = 3", &[][..], "threds"),
            ("[encode]\nthreads = 'x'", &[], "encode.threads"),
            ("[encode]\nthreads = 0", &[], "encode.threads"),
            ("[encode", &[], "line 1"),
            ("[spool]\nsync_ms = 10001", &[], "spool.sync_ms is 10001, above 10000"),
            ("", &["encode.threads"], "sets nothing"),
            (&of("jpeg", ""), &[], "has no source"),
            (&of("jpeg", "replay={path='x'}\ntest={}"), &[], "both `replay` and `test`"),
            (&of("jpeg", "camera={device=''}"), &[], "camera.device is empty"),
            (&of("jpeg", "camera={device='x',format='rgb3'}"), &[], "format"),
            (&of("jpeg", "camera={device='x',fps=0}"), &[], "camera.fps"),
            (&of("jpeg", "command={run=[],format='mjpeg'}"), &[], "command.run is empty"),
            (&of("jpeg", "test={width=0}"), &[], "test.width"),
            (&of("opus", "microphone={device='hw:0',channels=0}"), &[], "microphone.channels"),
            (&of("opus", "test={block_ms=1}"), &[], "test.block_ms"),
            (
                &of("pcm", "microphone={device='hw:0',channels=8,sample_rate=768000,block_ms=60000}"),
                &[],
                "more samples in a block",
            ),
            (&of("jpeg", "camera={device='x',format='grey',bits=10}"), &[], "camera.bits"),
            (&of("jpeg", "test={fps=1e-20}"), &[], "test.fps"),
            (&of("jpeg", "test={}\nmax_per_s=1e-20"), &[], "max_per_s"),
            (&of("jpeg", "command={run=['x'],format='grey',stride=1000000000}"), &[], "command.stride"),
            (&of("jpeg", "test={}\nschedule=['25:00-26:00']"), &[], "08:00-18:30"),
            (&of("jpeg", "test={}\nmotion={threshold=300}"), &[], "motion.threshold"),
            (&of("jpeg", "test={}\ntrigger={gpio={chip='c'}}"), &[], "line"),
            (&of("jpeg", "test={}\ntrigger={gpio={chip='c',line=1},samples=0}"), &[], "keeps nothing"),
            (&of("jpeg", "test={}\ntrigger={gpio={chip='c',line=1},before_ms=60000}"), &[], "trigger.before_ms"),
            (
                "[[stream]]\nname='a'\ncodec='jpeg'\nreplay={path='x'}\n[[stream]]\nname='a'\ncodec='png'\nreplay={path='x'}",
                &[],
                "named `a`",
            ),
        ] {
            let error = layers(text, sets).unwrap_err();
            assert_eq!(error.code(), Code::Config);
            assert!(error.to_string().contains(named), "{error}");
        }
    }
}
