//! V4L2 cameras, by the `v4l` crate: memory-mapped streaming, in the format that suits
//! the stream best of those that the device has.

use super::device::{Device, Kept, Step};
use super::pool::Pool;
use super::{Captured, Coded, Content, Time};
use crate::config::{Camera as Config, Frames};
use crate::stop::Stop;
use afferent_codec::Gap;
use afferent_media::frame::{Range, RawFormat, RawLayout};
use afferent_media::{Code, Error, Result};
use rustix::io::Errno;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use v4l::buffer::{Flags as BufferFlags, Type};
use v4l::capability::Flags;
use v4l::format::{Colorspace, Quantization};
use v4l::framesize::FrameSizeEnum;
use v4l::io::mmap::Stream;
use v4l::io::traits::{CaptureStream, Stream as _};
use v4l::video::Capture;
use v4l::video::capture::Parameters;
use v4l::{Format, FourCC};

/// Buffers that the driver fills while the agent is busy.
const BUFFERS: u32 = 4;
/// Silence after which a camera counts as hung, beside the time of a few frames.
const SILENCE: Duration = Duration::from_secs(5);
/// How often a wait looks at the stop, in milliseconds.
const PATIENCE_MS: i32 = 100;
/// `POLLIN`: there is a frame.
const READABLE: i16 = 1;

/// The formats that are taken, as V4L2 names them, the best first: no JPEG's damage,
/// then most colour, then most bits.
const FORMATS: [(&[u8; 4], Frames); 5] = [
    (b"YUYV", Frames::Raw(RawFormat::Yuyv)),
    (b"NV12", Frames::Raw(RawFormat::Nv12)),
    (b"MJPG", Frames::Mjpeg),
    (b"GREY", Frames::Raw(RawFormat::Grey)),
    (b"Y16 ", Frames::Raw(RawFormat::Y16)),
];

/// The camera that `config` describes; where `coded` passes as it is, JPEG is preferred.
pub(super) fn source(config: &Config, coded: bool) -> Kept<Camera> {
    Kept::new(Camera { config: config.clone(), name: format!("camera {}", config.device), coded })
}

pub(super) struct Camera {
    config: Config,
    name: String,
    coded: bool,
}

/// An open camera that streams.
pub(super) struct Streaming {
    name: String,
    /// None once it is closed.
    stream: Option<Stream<'static>>,
    /// None for JPEG files.
    layout: Option<RawLayout>,
    pool: Pool,
    numbers: Numbers,
    silence: Duration,
    started: bool,
}

impl Drop for Streaming {
    fn drop(&mut self) {
        let Numbers { first, numbered, lost, .. } = self.numbers;
        if let Some(first) = first {
            log::info!(
                "{}: its driver has numbered {numbered} frames from {first} on, and lost {lost} of them",
                self.name
            );
        }
        let Some(mut stream) = self.stream.take() else { return };
        // Where the driver refuses to stop, the stream's drop panics, its buffers' drop
        // panics on top, and that would abort the agent. Such a stream is forgotten: a
        // few buffers and a descriptor are lost until the agent ends. A device that is
        // gone is no such case: both know it.
        let close = || match stream.stop() {
            Err(error) if Errno::from_io_error(&error) != Some(Errno::NODEV) => {
                std::mem::forget(stream);
                Err(error)
            }
            _ => {
                drop(stream);
                Ok(())
            }
        };
        if let Err(error) = guarded("closing it", close) {
            log::warn!("the camera could not be closed in order: {error}");
        }
    }
}

impl Device for Camera {
    type Session = Streaming;

    fn name(&self) -> &str {
        &self.name
    }

    fn open(&mut self) -> Result<Streaming> {
        let device = self.find()?;
        let (fourcc, frames) = self.choose(&device)?;
        let wanted = Format::new(self.config.width, self.config.height, fourcc);
        let format = guarded("setting its format", || device.set_format(&wanted))?;
        if (format.width, format.height, format.fourcc) != (wanted.width, wanted.height, fourcc) {
            return Err(Error::new(
                Code::Config,
                format!(
                    "it gives {}x{} {} where {}x{} {fourcc} is asked",
                    format.width, format.height, format.fourcc, wanted.width, wanted.height
                ),
                "`v4l2-ctl --list-formats-ext` shows what it has",
            ));
        }
        let layout = match frames {
            Frames::Mjpeg => None,
            Frames::Raw(raw) => {
                let stride = format.stride as usize;
                let grey = raw.target().chroma(2, 2).is_none();
                if !grey && matches!(format.colorspace, Colorspace::Rec709 | Colorspace::Rec2020) {
                    log::warn!("{}: its frames are {}; they are taken for BT.601", self.name, format.colorspace);
                }
                let layout = RawLayout::new(raw, format.width, format.height, stride, range(&format))?;
                // Only Y16 can have fewer, and another may have been found.
                let bits = if raw == RawFormat::Y16 { self.config.bits } else { 16 };
                Some(layout.with_bits(bits)?)
            }
        };
        // Some cameras have one rate alone and refuse to be asked.
        match guarded("setting its rate", || device.set_params(&Parameters::with_fps(self.config.fps))) {
            Ok(parameters) => log::info!("{}: {fourcc} at an interval of {} s", self.name, parameters.interval),
            Err(error) => log::warn!("{}: it keeps its own rate: {error}", self.name),
        }
        let mut stream = guarded("mapping its buffers", || Stream::with_buffers(&device, Type::VideoCapture, BUFFERS))?;
        let silence = SILENCE + Duration::from_secs(4) / self.config.fps;
        stream.set_timeout(silence);
        Ok(Streaming {
            name: self.name.clone(),
            stream: Some(stream),
            layout,
            pool: Pool::default(),
            numbers: Numbers::default(),
            silence,
            started: false,
        })
    }

    fn read(&mut self, session: &mut Streaming, stop: &Stop) -> Result<Step> {
        let Some(stream) = &mut session.stream else { return Ok(Step::Again) };
        // The first read starts the stream, and waits by itself.
        if session.started && !wait(stream, session.silence, stop)? {
            return Ok(Step::End);
        }
        session.started = true;
        let (numbers, layout, pool) = (&mut session.numbers, session.layout.as_ref(), &mut session.pool);
        guarded("reading a frame", || {
            let (buffer, meta) = stream.next()?;
            let time = stamp(meta);
            let (frame, lost) = numbers.next(meta.sequence);
            let bytes = buffer.get(..meta.bytesused as usize).unwrap_or(buffer);
            let content = if meta.flags.contains(BufferFlags::ERROR) {
                Content::Missing(Gap::one(format!("the driver says that frame {frame} is damaged")))
            } else {
                content(layout, pool, bytes)
            };
            let before = (lost > 0).then(|| Gap {
                missing: lost,
                reason: format!("the device lost frames {} to {}", frame - lost, frame - 1),
            });
            Ok(Step::Captured(Captured { time, frame: Some(frame), before, ..Captured::now(content) }))
        })
    }
}

impl Camera {
    /// Opens the device by its path, or the first one whose card has the name.
    fn find(&self) -> Result<v4l::Device> {
        let wanted = &self.config.device;
        let open = |path: &Path| guarded("opening it", || v4l::Device::with_path(path));
        let captures = |device: &v4l::Device| {
            let capabilities = guarded("asking what it is", || device.query_caps())?;
            let can = capabilities.capabilities.contains(Flags::VIDEO_CAPTURE | Flags::STREAMING);
            Ok::<_, Error>((can, capabilities.card))
        };
        if wanted.contains('/') {
            let device = open(Path::new(wanted))?;
            if !captures(&device)?.0 {
                return Err(Error::new(
                    Code::Unsupported,
                    "it does not stream pictures",
                    "name another of the camera's devices; `v4l2-ctl --list-devices` shows them",
                ));
            }
            return Ok(device);
        }
        let mut nodes: Vec<PathBuf> = std::fs::read_dir("/dev")
            .map_err(|e| Error::io("listing /dev", e))?
            .filter_map(|entry| Some(entry.ok()?.path()))
            .filter(|path| path.to_string_lossy().starts_with("/dev/video"))
            .collect();
        // video2 before video10.
        nodes.sort_by_key(|path| (path.as_os_str().len(), path.clone()));
        let mut cards = Vec::new();
        for node in nodes {
            let Ok(device) = open(&node) else { continue };
            let Ok((can, card)) = captures(&device) else { continue };
            if can && card == *wanted {
                return Ok(device);
            }
            if can {
                cards.push(card);
            }
        }
        Err(Error::new(
            Code::NotFound,
            format!("there is no camera of this name; there are: {}", cards.join(", ")),
            "check the cable and camera.device",
        ))
    }

    /// The format that is configured, or the best that the device has at this size.
    fn choose(&self, device: &v4l::Device) -> Result<(FourCC, Frames)> {
        let has: Vec<FourCC> =
            guarded("listing its formats", || device.enum_formats())?.iter().map(|format| format.fourcc).collect();
        let mut known = FORMATS.map(|(name, frames)| (FourCC::new(name), frames));
        // A stable sort: JPEG first where it can pass, the others in their order.
        known.sort_by_key(|(_, frames)| !(self.coded && *frames == Frames::Mjpeg));
        let asked = |frames: &Frames| self.config.format.is_none_or(|format| format == *frames);
        let candidates = known.into_iter().filter(|(fourcc, frames)| has.contains(fourcc) && asked(frames));
        let candidates: Vec<_> = candidates.collect();
        let (width, height) = (self.config.width, self.config.height);
        let fits = |(fourcc, _): &&(FourCC, Frames)| {
            // A driver that does not list its sizes says what it gives when it is asked for one.
            let Ok(sizes) = guarded("listing its sizes", || device.enum_framesizes(*fourcc)) else { return true };
            sizes.iter().any(|size| match &size.size {
                FrameSizeEnum::Discrete(size) => (size.width, size.height) == (width, height),
                FrameSizeEnum::Stepwise(sizes) => {
                    (sizes.min_width..=sizes.max_width).contains(&width)
                        && (sizes.min_height..=sizes.max_height).contains(&height)
                }
            })
        };
        candidates.iter().find(fits).or(candidates.first()).copied().ok_or_else(|| {
            let has: Vec<String> = has.iter().map(ToString::to_string).collect();
            Error::new(
                Code::Unsupported,
                format!("it has none of the formats that are asked; it has: {}", has.join(", ")),
                "choose another camera.format, or leave it out",
            )
        })
    }
}

/// Waits until there is a frame; whether there is one, rather than the stop.
fn wait(stream: &Stream<'_>, silence: Duration, stop: &Stop) -> Result<bool> {
    let what = "waiting for a frame";
    let since = Instant::now();
    while !stop.is_set() {
        let ready = guarded(what, || match stream.handle().poll(READABLE, PATIENCE_MS) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(0),
            ready => ready,
        })?;
        if ready > 0 {
            return Ok(true);
        }
        if since.elapsed() >= silence {
            return Err(failed(what, io::ErrorKind::TimedOut.into()));
        }
    }
    Ok(false)
}

/// What a frame's bytes hold.
fn content(layout: Option<&RawLayout>, pool: &mut Pool, bytes: &[u8]) -> Content {
    let Some(layout) = layout else {
        return Content::Coded(Coded { codec: "jpeg", file: bytes.to_vec() });
    };
    pool.image(|image| layout.split(bytes, image)).into()
}

/// The range of a YUV format by V4L2's rule: what the driver says, or else full for
/// JPEG's colour space and limited for any other.
fn range(format: &Format) -> Range {
    let grey = [b"GREY", b"Y16 "].iter().any(|name| format.fourcc == FourCC::new(name));
    match format.quantization {
        Quantization::FullRange => Range::Full,
        Quantization::LimitedRange => Range::Limited,
        Quantization::Default if grey || matches!(format.colorspace, Colorspace::JPEG) => Range::Full,
        Quantization::Default => Range::Limited,
    }
}

/// When a frame was captured, by the driver's stamp where that is of the monotonic clock.
fn stamp(meta: &v4l::buffer::Metadata) -> Time {
    let now = Time::now();
    if (meta.flags & BufferFlags::TIMESTAMP_MASK) != BufferFlags::TIMESTAMP_MONOTONIC {
        return now;
    }
    let stamp = Duration::from(meta.timestamp);
    match Duration::from_micros(now.monotonic_us).checked_sub(stamp) {
        Some(age) => now.before(age),
        None => now,
    }
}

/// The driver's 32-bit numbers, continued.
#[derive(Default)]
struct Numbers {
    /// Number of the next frame if none is lost; none before the first, which is where
    /// the driver begins to count.
    next: Option<u64>,
    first: Option<u64>,
    /// Frames so far, lost ones included.
    numbered: u64,
    lost: u64,
}

impl Numbers {
    /// The number of a frame, and how many were lost before it.
    fn next(&mut self, sequence: u32) -> (u64, u64) {
        let expected = self.next.unwrap_or(sequence.into());
        let ahead = sequence.wrapping_sub(expected as u32);
        let (frame, lost) = if ahead < 1 << 31 {
            (expected + u64::from(ahead), u64::from(ahead))
        } else {
            // A number that lies behind is that of a driver which has begun again.
            (sequence.into(), 0)
        };
        self.next = Some(frame + 1);
        self.first.get_or_insert(frame);
        self.numbered += 1 + lost;
        self.lost += lost;
        (frame, lost)
    }
}

/// Calls the `v4l` crate, which panics where a driver reports a value that it does not
/// know, or fails to close.
fn guarded<T>(what: &str, call: impl FnOnce() -> io::Result<T>) -> Result<T> {
    match catch_unwind(AssertUnwindSafe(call)) {
        Ok(done) => done.map_err(|cause| failed(what, cause)),
        Err(_) => Err(Error::new(
            Code::Unsupported,
            format!("{what}: the driver reports what this build does not know"),
            "choose another camera.format, or report this with the output of `v4l2-ctl --all`",
        )),
    }
}

fn failed(what: &str, cause: io::Error) -> Error {
    let (code, said, remedy) = match (Errno::from_io_error(&cause), cause.kind()) {
        (Some(Errno::NODEV | Errno::NXIO), _) | (_, io::ErrorKind::NotFound) => {
            (Code::NotFound, "the camera is not there", "check the cable and camera.device")
        }
        (Some(Errno::BUSY), _) => {
            (Code::Io, "another program uses the camera", "end it; `fuser -v /dev/video*` names it")
        }
        (_, io::ErrorKind::PermissionDenied) => {
            (Code::Io, "the camera may not be opened", "put the agent's user into the group `video`")
        }
        (_, io::ErrorKind::TimedOut) => {
            (Code::Io, "the camera delivers nothing", "check the cable, the power and the camera's light")
        }
        _ => (Code::Io, "the camera fails", "see the kernel's log (`dmesg`)"),
    };
    Error::new(code, format!("{what}: {said}"), remedy).caused_by(cause)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lost_frames_are_counted_over_the_wrap_of_the_drivers_numbers() {
        let mut numbers = Numbers::default();
        assert_eq!([0, 1, 4, 5].map(|n| numbers.next(n)), [(0, 0), (1, 0), (4, 2), (5, 0)]);
        let mut numbers = Numbers { next: Some(u64::from(u32::MAX)), ..Numbers::default() };
        assert_eq!(numbers.next(u32::MAX), (u64::from(u32::MAX), 0));
        assert_eq!(numbers.next(1), ((1 << 32) + 1, 1));
        let mut numbers = Numbers { next: Some(100), ..Numbers::default() };
        assert_eq!([0, 1, 3].map(|n| numbers.next(n)), [(0, 0), (1, 0), (3, 1)]);
        // A driver that counts from elsewhere has lost nothing before its first frame.
        let mut numbers = Numbers::default();
        assert_eq!([7, 9].map(|n| numbers.next(n)), [(7, 0), (9, 1)]);
    }

    #[test]
    fn a_camera_that_is_not_there_says_so() {
        let config =
            |device: &str| Config { device: device.into(), width: 640, height: 480, fps: 30, format: None, bits: 16 };
        for device in ["/dev/no-such-video", "No such camera"] {
            let mut camera = Camera { config: config(device), name: String::new(), coded: false };
            let Err(error) = camera.open() else { panic!() };
            assert_eq!(error.code(), Code::NotFound, "{error}");
        }
        let mut camera = Camera { config: config("/dev/null"), name: String::new(), coded: false };
        assert!(camera.open().is_err());
    }

    #[test]
    fn a_panic_below_is_an_error() {
        assert_eq!(guarded::<()>("x", || panic!("below")).unwrap_err().code(), Code::Unsupported);
    }
}
