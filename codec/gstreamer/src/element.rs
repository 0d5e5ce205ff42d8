//! The elements that are known, and the tools that run them.

use crate::pipeline::Pipeline;
use afferent_codec::Tier;
use afferent_media::process::Program;
use afferent_media::{Code, Error, Result};
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::Read;
use std::ops::RangeInclusive;
use std::process::{Command, Stdio};
use std::sync::mpsc::{Receiver, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

/// How long GStreamer has to say whether it has an element: the first time it reads all
/// its plugins.
const PATIENCE: Duration = Duration::from_secs(60);
/// What `gst-inspect-1.0` says of an element that it does not know, in the C locale.
const UNKNOWN: &str = "No such element or plugin";

/// What an element writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bitstream {
    /// JPEG files.
    Jpeg,
    /// H.264 access units.
    H264,
}

impl Bitstream {
    /// Id of the codec whose bitstream this is.
    #[must_use]
    pub const fn codec(self) -> &'static str {
        match self {
            Self::Jpeg => "jpeg",
            Self::H264 => "h264",
        }
    }
}

/// An element that encodes.
#[derive(Debug)]
pub struct Element {
    /// Its name.
    pub name: &'static str,
    /// What it writes.
    pub bitstream: Bitstream,
    /// Whether it is a hardware block.
    pub tier: Tier,
    /// Its name as the one preset of a codec.
    pub(crate) preset: &'static [&'static str],
    /// SPDX expression of its plugin's licence, or of the library in it where that one's
    /// is stricter. What a board's driver below it is under, is the maker's.
    pub(crate) licence: &'static str,
    /// The planes that it is given.
    format: &'static str,
    /// What brings them to where it reads them.
    upload: &'static [&'static str],
    /// Its properties, in which `{}` stands for the knob.
    properties: &'static [&'static str],
    /// Caps that it must be asked for.
    caps: &'static [&'static str],
}

/// The licence of most plugins.
const LGPL: &str = "LGPL-2.1-or-later";

/// Names, properties and caps as the elements' own documentation has them (`gst-inspect-1.0`;
/// NVIDIA's Accelerated GStreamer guide for `nv*`; the kernel's control names for `v4l2*`).
const KNOWN: &[Element] = &[
    Element {
        name: "jpegenc",
        bitstream: Bitstream::Jpeg,
        tier: Tier::Software,
        preset: &["jpegenc"],
        licence: LGPL,
        format: "I420",
        upload: &[],
        properties: &["quality={}"],
        caps: &[],
    },
    Element {
        name: "nvjpegenc",
        bitstream: Bitstream::Jpeg,
        tier: Tier::Hardware,
        preset: &["nvjpegenc"],
        licence: LGPL,
        format: "I420",
        upload: &[],
        properties: &["quality={}"],
        caps: &[],
    },
    Element {
        name: "v4l2jpegenc",
        bitstream: Bitstream::Jpeg,
        tier: Tier::Hardware,
        preset: &["v4l2jpegenc"],
        licence: LGPL,
        format: "I420",
        upload: &[],
        properties: &["extra-controls=controls,compression_quality={}"],
        caps: &[],
    },
    Element {
        name: "x264enc",
        bitstream: Bitstream::H264,
        tier: Tier::Software,
        preset: &["x264enc"],
        licence: "GPL-2.0-or-later",
        format: "I420",
        upload: &[],
        // One thread, like the other codecs; a quantiser of its own for I frames would
        // make the knob say something else here than elsewhere.
        properties: &[
            "tune=zerolatency",
            "speed-preset=veryfast",
            "threads=1",
            "key-int-max=1",
            "pass=quant",
            "ip-factor=1",
            "quantizer={}",
        ],
        caps: &[],
    },
    Element {
        name: "openh264enc",
        bitstream: Bitstream::H264,
        tier: Tier::Software,
        preset: &["openh264enc"],
        licence: "BSD-2-Clause",
        format: "I420",
        upload: &[],
        // Its rate control has no constant quantiser, but limits.
        properties: &["gop-size=1", "multi-thread=1", "rate-control=quality", "qp-min={}", "qp-max={}"],
        caps: &[],
    },
    Element {
        name: "v4l2h264enc",
        bitstream: Bitstream::H264,
        tier: Tier::Hardware,
        preset: &["v4l2h264enc"],
        licence: LGPL,
        format: "I420",
        upload: &[],
        properties: &["extra-controls=controls,h264_i_frame_period=1,video_gop_size=1,repeat_sequence_header=1,\
             h264_minimum_qp_value={},h264_maximum_qp_value={}"],
        // Without a level it asks a Raspberry Pi for one that its encoder does not have.
        caps: &["level=(string)4"],
    },
    Element {
        name: "nvv4l2h264enc",
        bitstream: Bitstream::H264,
        tier: Tier::Hardware,
        preset: &["nvv4l2h264enc"],
        licence: LGPL,
        format: "NV12",
        // It reads the Jetson's own memory only.
        upload: &["nvvidconv", "!", "video/x-raw(memory:NVMM),format=NV12", "!"],
        properties: &[
            "iframeinterval=1",
            "idrinterval=1",
            "insert-sps-pps=true",
            "ratecontrol-enable=false",
            "quant-i-frames={}",
        ],
        caps: &[],
    },
    Element {
        name: "vah264enc",
        bitstream: Bitstream::H264,
        tier: Tier::Hardware,
        preset: &["vah264enc"],
        licence: LGPL,
        format: "NV12",
        upload: &[],
        properties: &["key-int-max=1", "rate-control=cqp", "qpi={}"],
        caps: &[],
    },
];

impl Element {
    /// The quantisers that a H.264 element obeys: of others it takes another one, and
    /// says nothing.
    pub(crate) fn quantisers(&self) -> RangeInclusive<i32> {
        match self.name {
            "x264enc" => 0..=50,
            "openh264enc" => 12..=51,
            _ => 0..=51,
        }
    }

    /// The element of this name.
    ///
    /// # Errors
    /// [`Code::Config`], naming those that are known.
    pub fn named(name: &str) -> Result<&'static Self> {
        KNOWN.iter().find(|element| element.name == name).ok_or_else(|| {
            let known: Vec<_> = KNOWN.iter().map(|element| element.name).collect();
            Error::new(
                Code::Config,
                format!("`{name}` is no encoder of GStreamer that is known here"),
                format!("use one of: {}", known.join(", ")),
            )
        })
    }

    /// Names of the elements that write a codec's bitstream.
    pub fn of(codec: &str) -> impl Iterator<Item = &'static str> {
        KNOWN.iter().filter(move |element| element.bitstream.codec() == codec).map(|element| element.name)
    }

    /// The part of a pipeline between raw frames and one buffer for each coded one.
    pub(crate) fn stages(&self, knob: i32) -> Vec<String> {
        // The range and matrix of JFIF, which this project's planes have, in GStreamer's
        // numbers (range, matrix, transfer, primaries), and V4L2's `jpeg` colorspace.
        let raw = format!("video/x-raw,format={},colorimetry=1:4:7:1", self.format);
        let mut stages = vec!["videoconvert".into(), "!".into(), raw, "!".into()];
        stages.extend(self.upload.iter().map(|&word| word.to_owned()));
        stages.push(self.name.to_owned());
        stages.extend(self.properties.iter().map(|property| property.replace("{}", &knob.to_string())));
        if self.bitstream == Bitstream::H264 {
            let mut caps = vec!["video/x-h264", "stream-format=byte-stream"];
            caps.extend(self.caps);
            let caps = caps.join(",");
            // Every frame gets its parameter sets, and its slices become one buffer.
            for word in ["!", &caps, "!", "h264parse", "config-interval=-1", "!"] {
                stages.push(word.to_owned());
            }
            stages.push("video/x-h264,stream-format=byte-stream,alignment=au".to_owned());
        }
        stages
    }
}

/// The programs that are run.
#[derive(Debug, Clone)]
pub(crate) struct Tools {
    pub(crate) launch: OsString,
    pub(crate) inspect: OsString,
    /// How long a frame may take.
    pub(crate) patience: Duration,
    /// Elements that were found, with their plugins' versions: each is asked for once.
    pub(crate) found: Arc<Mutex<BTreeMap<String, String>>>,
}

impl Default for Tools {
    fn default() -> Self {
        Self {
            launch: "gst-launch-1.0".into(),
            inspect: "gst-inspect-1.0".into(),
            patience: Pipeline::PATIENCE,
            found: Arc::default(),
        }
    }
}

/// The error of a tool that cannot be started.
pub(crate) fn not_started(tool: &OsString, cause: std::io::Error) -> Error {
    let tool = tool.to_string_lossy();
    if cause.kind() == std::io::ErrorKind::NotFound {
        let what = format!("{tool} is not on this machine");
        return Error::new(Code::NotFound, what, "install GStreamer (Debian: gstreamer1.0-tools)").caused_by(cause);
    }
    Error::io(format!("starting {tool}"), cause)
}

impl Tools {
    /// Asks GStreamer for an element, and returns the version of the plugin that has it.
    pub(crate) fn check(&self, element: &str) -> Result<String> {
        // Others wait: GStreamer reads its plugins once, and not twice at the same time.
        let mut found = self.found.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(version) = found.get(element) {
            return Ok(version.clone());
        }
        let version = self.ask(element)?;
        found.insert(element.to_owned(), version.clone());
        Ok(version)
    }

    fn ask(&self, element: &str) -> Result<String> {
        let mut command = Command::new(&self.inspect);
        command.arg(element).env("LC_ALL", "C").stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut program = Program::start(&mut command).map_err(|e| not_started(&self.inspect, e))?;
        let said = program.stdout().map(collect);
        let words = program.stderr().map(collect);
        let wait = |text: Option<Receiver<std::io::Result<Vec<u8>>>>| {
            let Some(text) = text else { return Ok(String::new()) };
            let text = text.recv_timeout(PATIENCE).map_err(|e| {
                let what = format!("GStreamer did not say within {} s whether it has `{element}`", PATIENCE.as_secs());
                Error::new(Code::Io, what, format!("try `gst-inspect-1.0 {element}` by hand")).caused_by(e)
            })?;
            let text = text.map_err(|e| Error::io("reading from gst-inspect-1.0", e))?;
            Ok(String::from_utf8_lossy(&text).into_owned())
        };
        let text = wait(said)?;
        let words = wait(words)?;
        let status = program.end(false).map_err(|e| Error::io("waiting for gst-inspect-1.0", e))?;
        if !status.success() {
            if words.contains(UNKNOWN) || text.contains(UNKNOWN) {
                return Err(Error::new(
                    Code::NotFound,
                    format!("this machine's GStreamer has no element `{element}`"),
                    "install the plugin that has it, or name an encoder that this board has (`afferent-agent board`)",
                ));
            }
            return Err(Error::new(
                Code::Io,
                format!("gst-inspect-1.0 {element} ended with {status}; its last words: {}", last(&words)),
                format!("try `gst-inspect-1.0 {element}` by hand"),
            ));
        }
        let version = text.lines().find_map(|line| line.trim().strip_prefix("Version ")).map(str::trim);
        Ok(version.unwrap_or("of an unknown version").to_owned())
    }
}

/// What comes until its end, read on a thread of its own.
fn collect(from: impl Read + Send + 'static) -> Receiver<std::io::Result<Vec<u8>>> {
    let (sender, text) = sync_channel(1);
    thread::spawn(move || {
        let mut bytes = Vec::new();
        // No element has as much to say.
        let read = from.take(1 << 20).read_to_end(&mut bytes);
        let _ = sender.send(read.map(|_| bytes));
    });
    text
}

/// The last line that is not empty, within bounds.
fn last(words: &str) -> String {
    let line = words.lines().rev().map(str::trim).find(|line| !line.is_empty());
    line.unwrap_or("it said nothing").chars().take(300).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn elements_are_found_by_name() {
        for element in KNOWN {
            assert_eq!(Element::named(element.name).unwrap().preset, [element.name]);
            let stages = element.stages(33).join(" ");
            assert!(stages.contains("33") && !stages.contains("{}"), "{stages}");
        }
        let error = Element::named("x265enc ! filesink").unwrap_err();
        assert!(error.code() == Code::Config && error.remedy().contains("nvjpegenc"), "{error}");
    }

    #[test]
    fn a_missing_tool_or_element_is_named() {
        let tools = Tools { inspect: "no-such-tool".into(), ..Tools::default() };
        let error = tools.check("jpegenc").unwrap_err();
        assert!(error.code() == Code::NotFound && error.remedy().contains("gstreamer1.0-tools"), "{error}");
        // A failure that says nothing of the element is none of the element's.
        let tools = Tools { inspect: "false".into(), ..Tools::default() };
        let error = tools.check("nvjpegenc").unwrap_err();
        assert!(error.code() == Code::Io && error.what().contains("exit status: 1"), "{error}");
    }

    /// A program that stands for `gst-inspect-1.0`.
    fn tool(script: &str) -> (tempfile::TempDir, Tools) {
        let folder = tempfile::tempdir().unwrap();
        let inspect = folder.path().join("inspect");
        std::fs::write(&inspect, format!("#!/bin/sh\n{script}\n")).unwrap();
        std::fs::set_permissions(&inspect, std::fs::Permissions::from_mode(0o755)).unwrap();
        let tools = Tools { inspect: inspect.into(), ..Tools::default() };
        (folder, tools)
    }

    #[test]
    fn an_element_is_asked_for_once() {
        let (folder, tools) = tool("echo \"$1\" >> \"$0.asked\"; echo '  Version  1.2.3'");
        for _ in 0..3 {
            assert_eq!(tools.clone().check("x").unwrap(), "1.2.3");
        }
        assert_eq!(std::fs::read_to_string(folder.path().join("inspect.asked")).unwrap(), "x\n");
    }

    #[test]
    fn a_check_that_fails_says_how() {
        let (_folder, tools) = tool("echo \"No such element or plugin '$1'\"; exit 255");
        let error = tools.check("nvjpegenc").unwrap_err();
        assert!(error.code() == Code::NotFound && error.what().contains("`nvjpegenc`"), "{error}");
        let (_folder, tools) = tool("echo no registry >&2; kill -SEGV $$");
        let error = tools.check("x").unwrap_err();
        assert!(error.code() == Code::Io && error.what().contains("signal: 11"), "{error}");
        assert!(error.what().contains("no registry"), "{error}");
    }
}
