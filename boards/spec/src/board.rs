//! The schema of a board file, and the files themselves.

use crate::evidence::{Evidence, Hwmon};
use afferent_media::{Code, Error, Result};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::io::Read;
use std::path::Path;

/// The most bytes of a board file that are read.
const MAX_BYTES: u64 = 1 << 20;

/// The boards that are compiled in, in the order in which they are listed.
const FILES: &[(&str, &str)] = &[
    ("rpi5", include_str!("../boards/rpi5.toml")),
    ("rpi4", include_str!("../boards/rpi4.toml")),
    ("rpi-zero2w", include_str!("../boards/rpi-zero2w.toml")),
    ("jetson-orin-nano", include_str!("../boards/jetson-orin-nano.toml")),
    ("jetson-agx-orin", include_str!("../boards/jetson-agx-orin.toml")),
    ("generic-arm64", include_str!("../boards/generic-arm64.toml")),
    ("vm-arm64", include_str!("../boards/vm-arm64.toml")),
    ("host", include_str!("../boards/host.toml")),
];

/// What is known of one board.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Board {
    /// Name: lower-case letters, digits and `-`; that of the file.
    pub name: String,
    /// What people call it.
    pub title: String,
    /// Instruction set of its kernel.
    pub architecture: Architecture,
    /// Strings of the device tree's root `compatible` that are this board's
    /// alone. Without any, the file stands for every machine of its
    /// architecture that no other file describes.
    #[serde(default)]
    pub compatible: Vec<String>,
    /// The processor.
    #[serde(default)]
    pub cpu: Cpu,
    /// Memory sizes that are sold, in MiB, the smallest first; any where empty.
    #[serde(default)]
    pub memory_mib: Vec<u32>,
    /// Ways to a camera, the recommended first.
    #[serde(default, rename = "camera")]
    pub cameras: Vec<Camera>,
    /// Microphones, the recommended first.
    #[serde(default, rename = "microphone")]
    pub microphones: Vec<Microphone>,
    /// Hardware encoders that exist.
    #[serde(default, rename = "encoder")]
    pub encoders: Vec<Encoder>,
    /// Accelerators of inference.
    #[serde(default, rename = "accelerator")]
    pub accelerators: Vec<Accelerator>,
    /// The header whose pins a trigger or a LED may use.
    #[serde(default, rename = "header")]
    pub headers: Vec<Header>,
    /// I2C buses on that header, for meters.
    #[serde(default)]
    pub i2c: Vec<I2c>,
    /// LEDs that may show the agent's state, the recommended first.
    #[serde(default, rename = "led")]
    pub leds: Vec<Led>,
    /// Meters of electrical energy that are on the board.
    #[serde(default, rename = "meter")]
    pub meters: Vec<Meter>,
    /// Who says that the board is slowed down, or short of voltage.
    #[serde(default, rename = "throttle")]
    pub throttles: Vec<Throttle>,
    /// What is not there. Of each kind there is an entry above or one here.
    #[serde(default)]
    pub absent: Vec<Absent>,
    /// What has surprised people.
    #[serde(default, rename = "trap")]
    pub traps: Vec<Trap>,
    /// How a card, disk or module of this board is made.
    pub image: Option<Image>,
    /// The text this was read from.
    #[serde(skip)]
    text: String,
}

/// Instruction set of a kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Architecture {
    /// 64-bit ARM.
    Aarch64,
    /// 64-bit PC.
    #[serde(rename = "x86_64")]
    X86_64,
}

impl fmt::Display for Architecture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Aarch64 => "aarch64",
            Self::X86_64 => "x86_64",
        })
    }
}

/// Where a fact is from: the name of a document or driver, or
/// `{ unverified = "why" }` where none was at hand.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(
    untagged,
    deny_unknown_fields,
    expecting = "a source is the name of a document or driver, or { unverified = \"why\" }"
)]
pub enum Source {
    /// Name of the document or driver that says so.
    Cited(String),
    /// Nobody here has seen it, nor a document that says so.
    Unverified {
        /// Why it is written down all the same.
        unverified: String,
    },
}

/// The processor.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Cpu {
    /// Name of its cores.
    pub model: Option<String>,
    /// Numbers of cores that are sold; any where empty. Cores that a power mode
    /// has switched off count.
    #[serde(default)]
    pub cores: Vec<u16>,
    /// Features that every unit has, as `/proc/cpuinfo` names them.
    #[serde(default)]
    pub features: Vec<String>,
    /// Execution providers of ONNX Runtime that use the processor.
    #[serde(default)]
    pub providers: Vec<Provider>,
    /// Where this is from.
    pub source: Option<Source>,
}

/// An execution provider of ONNX Runtime. That a board can use it does not mean
/// that a library built with it is installed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Provider {
    /// The processor, the default.
    Cpu,
    /// XNNPACK, for ARM processors above all.
    Xnnpack,
    /// NVIDIA's CUDA.
    Cuda,
    /// NVIDIA's TensorRT.
    TensorRt,
    /// Intel's OpenVINO.
    OpenVino,
}

impl fmt::Display for Provider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Cpu => "cpu",
            Self::Xnnpack => "xnnpack",
            Self::Cuda => "cuda",
            Self::TensorRt => "tensorrt",
            Self::OpenVino => "openvino",
        })
    }
}

/// One way to a camera.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Camera {
    /// What it is.
    pub name: String,
    /// How its pictures are taken.
    pub capture: Capture,
    /// Software that this way needs.
    pub software: Option<Software>,
    /// What it shows of itself when it is connected; any one of these.
    #[serde(default)]
    pub seen: Vec<Evidence>,
    /// Whether it is part of every unit: not to see it is then a contradiction.
    #[serde(default)]
    pub always: bool,
    /// What to do when it is not seen.
    pub to_do: Option<String>,
    /// What else to know.
    pub note: Option<String>,
    /// Where this is from.
    pub source: Source,
}

/// How pictures are taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Capture {
    /// From the V4L2 device itself.
    V4l2,
    /// By `rpicam-vid` or `rpicam-still` as a subprocess: the sensor's raw
    /// pictures need the processing that libcamera drives.
    Rpicam,
    /// By GStreamer's `nvarguscamerasrc` as a subprocess: likewise, by libargus.
    Nvarguscamerasrc,
}

/// Software that must be installed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Software {
    /// A file that is there once it is installed; `*` stands for any part of a name.
    pub file: String,
    /// How it is installed.
    pub install: String,
}

impl Software {
    /// What shows that it is installed.
    pub(crate) fn evidence(&self) -> Evidence {
        Evidence::File(self.file.clone())
    }
}

/// One microphone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Microphone {
    /// What it is.
    pub name: String,
    /// What it shows of itself when it is connected; any one of these.
    #[serde(default)]
    pub seen: Vec<Evidence>,
    /// Whether it is part of every unit: not to see it is then a contradiction.
    #[serde(default)]
    pub always: bool,
    /// What to do when it is not seen.
    pub to_do: Option<String>,
    /// What else to know.
    pub note: Option<String>,
    /// Where this is from.
    pub source: Source,
}

/// One hardware encoder.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Encoder {
    /// The GStreamer element that drives it.
    pub element: Element,
    /// Software that the element needs.
    pub software: Option<Software>,
    /// What it shows of itself; any one of these.
    #[serde(default)]
    pub seen: Vec<Evidence>,
    /// Whether it is part of every unit: not to see it is then a contradiction.
    #[serde(default)]
    pub always: bool,
    /// What to do when it is not seen.
    pub to_do: Option<String>,
    /// What else to know: its limits.
    pub note: Option<String>,
    /// Where this is from.
    pub source: Source,
}

/// A hardware encoder, by the name of its GStreamer element.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Element {
    /// H.264 by a V4L2 memory-to-memory device.
    V4l2H264Enc,
    /// JPEG by a V4L2 memory-to-memory device.
    V4l2JpegEnc,
    /// H.264 by NVIDIA's NVENC on a Jetson.
    NvV4l2H264Enc,
    /// H.265 by NVIDIA's NVENC on a Jetson.
    NvV4l2H265Enc,
    /// AV1 by NVIDIA's NVENC on a Jetson.
    NvV4l2Av1Enc,
    /// JPEG by NVIDIA's NVJPG on a Jetson.
    NvJpegEnc,
    /// H.264 by VA-API.
    VaH264Enc,
}

impl fmt::Display for Element {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::V4l2H264Enc => "v4l2h264enc",
            Self::V4l2JpegEnc => "v4l2jpegenc",
            Self::NvV4l2H264Enc => "nvv4l2h264enc",
            Self::NvV4l2H265Enc => "nvv4l2h265enc",
            Self::NvV4l2Av1Enc => "nvv4l2av1enc",
            Self::NvJpegEnc => "nvjpegenc",
            Self::VaH264Enc => "vah264enc",
        })
    }
}

/// One accelerator of inference.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Accelerator {
    /// What it is.
    pub name: String,
    /// Execution providers of ONNX Runtime that use it.
    #[serde(default)]
    pub providers: Vec<Provider>,
    /// What it shows of itself; any one of these.
    #[serde(default)]
    pub seen: Vec<Evidence>,
    /// Whether it is part of every unit: not to see it is then a contradiction.
    #[serde(default)]
    pub always: bool,
    /// What to do when it is not seen.
    pub to_do: Option<String>,
    /// What else to know.
    pub note: Option<String>,
    /// Where this is from.
    pub source: Source,
}

/// A header and the controller of its pins.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Header {
    /// What it is.
    pub name: String,
    /// Label of its GPIO chip, as `gpiodetect` prints it. Numbers of chips change
    /// between kernels; labels do not.
    pub gpiochip: String,
    /// String of the controller's `compatible` in the device tree: how it is seen.
    pub compatible: String,
    /// Whether it is part of every unit: not to see it is then a contradiction.
    #[serde(default)]
    pub always: bool,
    /// What to do when it is not seen.
    pub to_do: Option<String>,
    /// What else to know.
    pub note: Option<String>,
    /// Where this is from.
    pub source: Source,
}

/// An I2C bus on a header.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct I2c {
    /// Number of the bus: 1 for `/dev/i2c-1`.
    pub bus: u8,
    /// Pin of the header with its data line, counted from 1.
    pub sda_pin: u8,
    /// Pin of the header with its clock line, counted from 1.
    pub scl_pin: u8,
    /// Whether it is there on every unit: not to see it is then a contradiction.
    #[serde(default)]
    pub always: bool,
    /// What to do when it is not seen.
    pub to_do: Option<String>,
    /// What else to know: addresses that are taken.
    pub note: Option<String>,
    /// Where this is from.
    pub source: Source,
}

/// One LED.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Led {
    /// Its name in `/sys/class/leds`: how it is seen.
    pub name: String,
    /// Whether it is part of every unit: not to see it is then a contradiction.
    #[serde(default)]
    pub always: bool,
    /// What to do when it is not seen.
    pub to_do: Option<String>,
    /// What else to know.
    pub note: Option<String>,
    /// Where this is from.
    pub source: Source,
}

/// One channel of a meter, through hwmon.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Meter {
    /// The hwmon chip's name.
    pub chip: String,
    /// The channel's label: its voltage is in the `in*_input` and its current in
    /// the `curr*_input` with the number of the `in*_label` that says so.
    pub label: String,
    /// What its power feeds.
    pub covers: String,
    /// Whether it is the power of the whole board or module, so that no other
    /// channel is to be added.
    #[serde(default)]
    pub total: bool,
    /// Whether it is part of every unit: not to see it is then a contradiction.
    #[serde(default)]
    pub always: bool,
    /// What to do when it is not seen.
    pub to_do: Option<String>,
    /// What else to know.
    pub note: Option<String>,
    /// Where this is from.
    pub source: Source,
}

/// One place that says whether the board is slowed down, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Throttle {
    /// What it is.
    pub name: String,
    /// What it can say.
    pub reports: Vec<Condition>,
    /// Where it is; any one of these.
    pub seen: Vec<Evidence>,
    /// Whether it is part of every unit: not to see it is then a contradiction.
    #[serde(default)]
    pub always: bool,
    /// What to do when it is not seen.
    pub to_do: Option<String>,
    /// What else to know: how it is read.
    pub note: Option<String>,
    /// Where this is from.
    pub source: Source,
}

/// Why a board is slow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Condition {
    /// The supply's voltage is too low.
    UnderVoltage,
    /// The clock is held under its maximum.
    FrequencyCapped,
    /// The clock is lowered now.
    Throttled,
    /// A temperature is near or over a limit.
    Temperature,
    /// A rail draws more than it may.
    OverCurrent,
}

/// A kind of thing that a board has or has not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Kind {
    /// A camera.
    Camera,
    /// A microphone.
    Microphone,
    /// A hardware encoder.
    Encoder,
    /// An accelerator of inference.
    Accelerator,
    /// A header with GPIO pins.
    Header,
    /// An I2C bus on it.
    I2c,
    /// A LED.
    Led,
    /// A meter of energy.
    Meter,
    /// A source of throttle flags.
    Throttle,
}

impl Kind {
    const ALL: [Self; 9] = [
        Self::Camera,
        Self::Microphone,
        Self::Encoder,
        Self::Accelerator,
        Self::Header,
        Self::I2c,
        Self::Led,
        Self::Meter,
        Self::Throttle,
    ];
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Camera => "camera",
            Self::Microphone => "microphone",
            Self::Encoder => "encoder",
            Self::Accelerator => "accelerator",
            Self::Header => "header",
            Self::I2c => "i2c",
            Self::Led => "led",
            Self::Meter => "meter",
            Self::Throttle => "throttle",
        })
    }
}

/// What is not there, above all where people expect it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Absent {
    /// Of which kind it would be.
    pub kind: Kind,
    /// What it would be.
    pub name: String,
    /// Why it is not there, and what to use instead.
    pub why: String,
    /// What would show it: to see any of these is a contradiction.
    #[serde(default)]
    pub never: Vec<Evidence>,
    /// Where this is from.
    pub source: Source,
}

/// What has surprised people.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Trap {
    /// What happens, in a sentence.
    pub what: String,
    /// What to do about it.
    pub to_do: String,
    /// Where this is from.
    pub source: Source,
}

/// How a card, disk or module is made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Image {
    /// Name of the operating system's image.
    pub system: String,
    /// What it is written to, and by what.
    pub medium: String,
    /// Folder where the boot partition is mounted on the board.
    pub boot: String,
    /// File of the boot configuration, under `boot`.
    pub boot_config: Option<String>,
    /// How a camera is enabled.
    pub enable_camera: Option<String>,
    /// How the header's I2C is enabled.
    pub enable_i2c: Option<String>,
    /// Where this is from.
    pub source: Source,
}

/// One thing of a board, as a check sees it.
pub(crate) struct Entry {
    pub(crate) kind: Kind,
    pub(crate) name: String,
    pub(crate) seen: Vec<Evidence>,
    pub(crate) always: bool,
    pub(crate) to_do: Option<String>,
    pub(crate) software: Option<Software>,
}

impl Board {
    /// Every board that is compiled in.
    ///
    /// # Errors
    /// [`Code::Config`] if a file is wrong, which a test rules out.
    pub fn all() -> Result<Vec<Self>> {
        set(FILES)
    }

    /// The board called `name`, or the file of that name where it ends in `.toml`.
    ///
    /// # Errors
    /// [`Code::NotFound`], listing the known, if there is none; for a file see
    /// [`Board::open`].
    pub fn named(name: &str) -> Result<Self> {
        if name.ends_with(".toml") {
            return Self::open(Path::new(name));
        }
        let mut all = Self::all()?;
        let Some(at) = all.iter().position(|board| board.name == name) else {
            let known: Vec<_> = all.iter().map(|board| board.name.as_str()).collect();
            return Err(Error::new(
                Code::NotFound,
                format!("there is no board called `{name}`"),
                format!("name one of {}, or a board file that ends in .toml", known.join(", ")),
            ));
        };
        Ok(all.swap_remove(at))
    }

    /// The board of a user's file.
    ///
    /// # Errors
    /// [`Code::NotFound`] or [`Code::Io`] if it cannot be read, [`Code::Limit`]
    /// above 1 MiB, [`Code::Config`] if it is no file, or naming line and key if it
    /// is wrong.
    pub fn open(path: &Path) -> Result<Self> {
        let place = format!("board file {}", path.display());
        let failed = |e| Error::io(place.clone(), e);
        if !std::fs::metadata(path).map_err(failed)?.is_file() {
            return Err(Error::new(Code::Config, format!("{place} is no file"), "name a board file"));
        }
        let mut text = String::new();
        let file = std::fs::File::open(path).map_err(failed)?;
        if file.take(MAX_BYTES + 1).read_to_string(&mut text).map_err(failed)? as u64 > MAX_BYTES {
            return Err(Error::new(
                Code::Limit,
                format!("{place} has more than {MAX_BYTES} bytes"),
                "name a board file",
            ));
        }
        Self::parse(&text).map_err(|e| e.at(place))
    }

    /// The board that `text` describes.
    ///
    /// # Errors
    /// [`Code::Config`] naming line and key, or what is missing.
    pub fn parse(text: &str) -> Result<Self> {
        let mut board: Self = toml::from_str(text).map_err(|e| {
            let line = e.span().map_or(0, |span| text[..span.start.min(text.len())].matches('\n').count());
            let content = text.lines().nth(line).unwrap_or_default().trim();
            wrong(format!("line {}, `{content}`: {}", line + 1, e.message().trim()))
        })?;
        board.text = text.to_owned();
        board.validate()?;
        Ok(board)
    }

    /// The text of the file, with its layout and comments.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// What no type can say.
    fn validate(&self) -> Result<()> {
        let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        if self.name.is_empty() || !self.name.chars().all(fits) {
            return Err(wrong(format!("the name `{}` is not of lower-case letters, digits and `-`", self.name)));
        }
        let entries = self.entries();
        for kind in Kind::ALL {
            let here = entries.iter().any(|entry| entry.kind == kind);
            if !here && !self.absent.iter().any(|absent| absent.kind == kind) {
                return Err(wrong(format!(
                    "board `{}` says nothing of its {kind}: it has neither [[{kind}]] nor [[absent]] with kind = \"{kind}\"",
                    self.name
                )));
            }
        }
        let seen = entries.iter().flat_map(|entry| &entry.seen);
        let software = entries.iter().filter_map(|entry| entry.software.as_ref()).map(Software::evidence);
        let claims = seen.chain(self.absent.iter().flat_map(|absent| &absent.never)).cloned().chain(software);
        for evidence in claims {
            evidence.validate().map_err(|e| e.at(format!("board `{}`", self.name)))?;
        }
        for entry in &entries {
            let seen = !entry.seen.is_empty();
            if (entry.always || entry.to_do.is_some()) && !seen {
                return Err(wrong(format!(
                    "{} `{}` of board `{}` has `always` or `to_do`, but no `seen` that could say whether it is there",
                    entry.kind, entry.name, self.name
                )));
            }
        }
        Ok(())
    }

    /// Everything that may be looked for, in the schema's order.
    pub(crate) fn entries(&self) -> Vec<Entry> {
        macro_rules! entry {
            ($kind:ident, $of:ident, $name:expr, $seen:expr) => {
                entry!($kind, $of, $name, $seen, None)
            };
            ($kind:ident, $of:ident, $name:expr, $seen:expr, $software:expr) => {
                Entry {
                    kind: Kind::$kind,
                    name: $name.to_string(),
                    seen: $seen,
                    always: $of.always,
                    to_do: $of.to_do.clone(),
                    software: $software,
                }
            };
        }
        let mut all = Vec::new();
        all.extend(self.cameras.iter().map(|c| entry!(Camera, c, c.name, c.seen.clone(), c.software.clone())));
        all.extend(self.microphones.iter().map(|m| entry!(Microphone, m, m.name, m.seen.clone())));
        all.extend(self.encoders.iter().map(|e| entry!(Encoder, e, e.element, e.seen.clone(), e.software.clone())));
        all.extend(self.accelerators.iter().map(|a| entry!(Accelerator, a, a.name, a.seen.clone())));
        all.extend(
            self.headers.iter().map(|h| entry!(Header, h, h.name, vec![Evidence::Gpiochip(h.compatible.clone())])),
        );
        all.extend(
            self.i2c
                .iter()
                .map(|i| entry!(I2c, i, i.bus, vec![Evidence::File(format!("/sys/bus/i2c/devices/i2c-{}", i.bus))])),
        );
        all.extend(
            self.leds
                .iter()
                .map(|l| entry!(Led, l, l.name, vec![Evidence::File(format!("/sys/class/leds/{}", l.name))])),
        );
        all.extend(self.meters.iter().map(|m| {
            let channel = Hwmon { chip: m.chip.clone(), label: Some(m.label.clone()), attribute: None };
            entry!(Meter, m, format!("{} {}", m.chip, m.label), vec![Evidence::Hwmon(channel)])
        }));
        all.extend(self.throttles.iter().map(|t| entry!(Throttle, t, t.name, t.seen.clone())));
        all
    }
}

/// The boards of `files`, each a name and a text, none in another's way.
fn set(files: &[(&str, &str)]) -> Result<Vec<Board>> {
    let mut boards: Vec<Board> = Vec::with_capacity(files.len());
    for (name, text) in files {
        let board = Board::parse(text).map_err(|e| e.at(format!("board file {name}.toml")))?;
        if board.name != *name {
            return Err(wrong(format!("board file {name}.toml calls itself `{}`", board.name)));
        }
        for other in &boards {
            if let Some(both) = board.compatible.iter().find(|own| other.compatible.contains(own)) {
                return Err(wrong(format!(
                    "boards `{}` and `{}` both claim the compatible string `{both}`",
                    other.name, board.name
                )));
            }
            if board.compatible.is_empty() && other.compatible.is_empty() && board.architecture == other.architecture {
                return Err(wrong(format!(
                    "boards `{}` and `{}` both stand for every other machine of {}: neither has `compatible`",
                    other.name, board.name, board.architecture
                )));
            }
        }
        boards.push(board);
    }
    Ok(boards)
}

pub(crate) fn wrong(what: String) -> Error {
    Error::new(Code::Config, what, "write it as docs/boards.md says")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A board with nothing.
    fn bare(name: &str, compatible: &str) -> String {
        let mut text =
            format!("name = \"{name}\"\ntitle = \"T\"\narchitecture = \"aarch64\"\ncompatible = [{compatible}]\n");
        for kind in Kind::ALL {
            text += &format!("[[absent]]\nkind = \"{kind}\"\nname = \"any\"\nwhy = \"a test\"\nsource = \"none\"\n");
        }
        text
    }

    fn refused(text: &str) -> String {
        let error = Board::parse(text).unwrap_err();
        assert_eq!(error.code(), Code::Config);
        error.to_string()
    }

    #[test]
    fn every_file_is_right_and_names_itself() {
        let all = Board::all().unwrap();
        assert_eq!(all.len(), FILES.len());
        for board in &all {
            assert_eq!(Board::named(&board.name).unwrap(), *board);
        }
    }

    #[test]
    fn every_file_of_the_folder_is_compiled_in() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("boards");
        let mut there: Vec<_> =
            std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        let mut known: Vec<_> = FILES.iter().map(|(name, _)| format!("{name}.toml")).collect();
        there.sort();
        known.sort();
        assert_eq!(there, known);
    }

    #[test]
    fn a_mistyped_key_is_named_with_its_line() {
        let text = bare("b", "\"a,b\"") + "[[led]]\nname = \"ACT\"\nallways = true\nsource = \"s\"\n";
        let error = refused(&text);
        assert!(error.contains("`allways = true`: unknown field `allways`"), "{error}");
        assert!(error.contains("docs/boards.md"), "{error}");
    }

    #[test]
    fn an_unknown_encoder_is_refused_with_the_known_ones() {
        let error = refused(&(bare("b", "") + "[[encoder]]\nelement = \"x264enc\"\nsource = \"s\"\n"));
        assert!(error.contains("x264enc") && error.contains("nvv4l2h264enc"), "{error}");
    }

    #[test]
    fn a_fact_without_a_source_is_refused() {
        let error = refused(&(bare("b", "") + "[[encoder]]\nelement = \"nvjpegenc\"\n"));
        assert!(error.contains("missing field `source`"), "{error}");
        let error = refused(&(bare("b", "") + "[[encoder]]\nelement = \"nvjpegenc\"\nsource = { verified = 1 }\n"));
        assert!(error.contains("unverified = \"why\""), "{error}");
    }

    #[test]
    fn silence_on_a_kind_is_refused() {
        let error = refused(&bare("b", "").replace("kind = \"meter\"", "kind = \"led\""));
        assert!(error.contains("says nothing of its meter"), "{error}");
    }

    #[test]
    fn what_can_never_be_seen_is_not_always_there() {
        let error = refused(&(bare("b", "") + "[[encoder]]\nelement = \"nvjpegenc\"\nalways = true\nsource = \"s\"\n"));
        assert!(error.contains("encoder `nvjpegenc`") && error.contains("no `seen`"), "{error}");
    }

    #[test]
    fn two_boards_may_not_claim_one_machine() {
        let (one, two) = (bare("one", "\"v,a\", \"v,b\""), bare("two", "\"v,b\""));
        let error = set(&[("one", &one), ("two", &two)]).unwrap_err().to_string();
        assert!(error.contains("`one` and `two` both claim the compatible string `v,b`"), "{error}");
        let (one, two) = (bare("one", ""), bare("two", ""));
        let error = set(&[("one", &one), ("two", &two)]).unwrap_err().to_string();
        assert!(error.contains("both stand for every other machine of aarch64"), "{error}");
    }

    #[test]
    fn a_file_must_carry_its_own_name() {
        let error = set(&[("one", &bare("two", ""))]).unwrap_err().to_string();
        assert!(error.contains("one.toml calls itself `two`"), "{error}");
        assert!(refused(&bare("My Board", "")).contains("lower-case"));
    }

    #[test]
    fn an_unknown_name_lists_the_known() {
        let error = Board::named("rpi6").unwrap_err();
        assert_eq!(error.code(), Code::NotFound);
        assert!(error.remedy().contains("rpi5, rpi4, rpi-zero2w, jetson-orin-nano"), "{error}");
    }

    #[test]
    fn a_users_file_is_read_within_bounds() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("mine.toml");
        std::fs::write(&path, bare("mine", "\"me,mine\"")).unwrap();
        assert_eq!(Board::named(path.to_str().unwrap()).unwrap().name, "mine");
        std::fs::write(&path, "#".repeat(MAX_BYTES as usize + 1)).unwrap();
        assert_eq!(Board::open(&path).unwrap_err().code(), Code::Limit);
        assert_eq!(Board::open(Path::new("/no/such.toml")).unwrap_err().code(), Code::NotFound);
        std::fs::write(&path, [0xff, 0xfe]).unwrap();
        assert_eq!(Board::open(&path).unwrap_err().code(), Code::Io);
        assert_eq!(Board::open(folder.path()).unwrap_err().code(), Code::Config);
    }

    #[test]
    fn damaged_files_are_errors_or_boards() {
        let (_, text) = FILES[0];
        for at in (0..text.len()).step_by(61) {
            if let (Some(head), Some(tail)) = (text.get(..at), text.get(at + 1..)) {
                let _ = Board::parse(head);
                let _ = Board::parse(&format!("{head}{tail}"));
                let _ = Board::parse(&format!("{head}\0{tail}"));
                let _ = Board::parse(&format!("{head}]]\n[[{tail}"));
            }
        }
    }
}
