//! Where samples come from: recorded media, cameras, programs, microphones, and a
//! source that is known in advance. All implement one trait.
//!
//! Nothing is skipped in silence. What a device numbered and did not deliver is a
//! [`Gap`] *before* the next sample, what could not be captured is a gap in the
//! sample's place, and what a gate withheld is counted in a gap of its own.

#[cfg(any(feature = "microphone", test))]
mod blocks;
#[cfg(all(feature = "camera", target_os = "linux"))]
mod camera;
mod command;
mod device;
pub mod gate;
#[cfg(feature = "microphone")]
mod microphone;
mod pool;
mod replay;
pub mod synthetic;
mod trigger;

pub use command::CommandSource;
pub use replay::ReplaySource;

use crate::config::{Origin, Stream};
use crate::stop::Stop;
use afferent_codec::Gap;
use afferent_media::{Code, Error, Modality, Result, Sample};
use rustix::time::{ClockId, clock_gettime};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// What a source hands on.
#[derive(Debug)]
pub struct Captured {
    /// The manifest's opaque id, or empty.
    pub sample_id: String,
    /// When it was captured: for an image its arrival or the device's own time stamp,
    /// for sound its first sample.
    pub time: Time,
    /// The device's number of this frame; where it begins is the device's affair.
    pub frame: Option<u64>,
    /// Where a source that can go on anywhere goes on after this: what to give [`open`].
    pub position: Option<u64>,
    /// What the device lost between the sample before and this one.
    pub before: Option<Gap>,
    /// The sample, or why there is none.
    pub content: Content,
}

impl Captured {
    /// `content`, captured now.
    #[must_use]
    pub fn now(content: Content) -> Self {
        Self { sample_id: String::new(), time: Time::now(), frame: None, position: None, before: None, content }
    }

    /// When a sample ended, on the monotonic clock in microseconds: pictures take no time;
    /// `None` for what is no sample.
    pub(crate) fn end_us(&self) -> Option<u64> {
        Some(self.time.monotonic_us.saturating_add(self.content.duration()?))
    }
}

/// The content of what was captured.
#[derive(Debug)]
pub enum Content {
    /// A sample, which may be shared with the source's own buffers.
    Sample(Arc<Sample>),
    /// An image that the device has coded.
    Coded(Coded),
    /// No sample: it is counted and named all the way to the rows.
    Missing(Gap),
}

impl Content {
    /// Images, or samples of sound per channel; `None` for what is no sample.
    pub(crate) fn units(&self) -> Option<u64> {
        match self {
            Self::Sample(sample) => Some(match &**sample {
                Sample::Image(_) => 1,
                Sample::Audio(audio) => audio.view().frames() as u64,
            }),
            Self::Coded(_) => Some(1),
            Self::Missing(_) => None,
        }
    }

    /// From the beginning of a sample to its end, in microseconds: 0 for an image;
    /// `None` for what is no sample.
    fn duration(&self) -> Option<u64> {
        match self {
            Self::Sample(sample) => Some(match &**sample {
                Sample::Image(_) => 0,
                Sample::Audio(audio) => {
                    audio.view().frames() as u64 * 1_000_000 / u64::from(audio.view().rate().max(1))
                }
            }),
            Self::Coded(_) => Some(0),
            Self::Missing(_) => None,
        }
    }
}

impl From<Result<Arc<Sample>>> for Content {
    /// An error is a gap of one sample.
    fn from(sample: Result<Arc<Sample>>) -> Self {
        match sample {
            Ok(sample) => Self::Sample(sample),
            Err(error) => Self::Missing(Gap::one(format!("{}: {}", error.code(), error.what()))),
        }
    }
}

/// An image that a device has coded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Coded {
    /// Id of the codec that reads it, for example `jpeg`.
    pub codec: &'static str,
    /// The file.
    pub file: Vec<u8>,
}

/// A moment on both clocks: sound and pictures of one board are aligned by the
/// monotonic one, from which the wall clock's time is derived.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Time {
    /// Wall clock, microseconds since 1970.
    pub wall_us: i64,
    /// Monotonic clock of the system (`CLOCK_MONOTONIC`, which V4L2 and ALSA stamp by
    /// too), microseconds.
    pub monotonic_us: u64,
}

impl Time {
    /// Now.
    #[must_use]
    pub fn now() -> Self {
        let now = clock_gettime(ClockId::Monotonic);
        let monotonic_us = u64::try_from(now.tv_sec * 1_000_000 + now.tv_nsec / 1000).unwrap_or(0);
        Self { wall_us: wall_us(), monotonic_us }
    }

    /// The moment that was `age` ago.
    #[must_use]
    pub fn before(self, age: Duration) -> Self {
        let age = u64::try_from(age.as_micros()).unwrap_or(u64::MAX);
        Self { wall_us: self.wall_us.saturating_sub_unsigned(age), monotonic_us: self.monotonic_us.saturating_sub(age) }
    }
}

/// A source of samples.
pub trait Source: Send {
    /// The next sample, at the source's own pace; `None` when there are no more
    /// or the `stop` is set.
    fn next(&mut self, stop: &Stop) -> Option<Captured>;
}

/// The wall clock in microseconds since 1970.
#[must_use]
pub fn wall_us() -> i64 {
    match SystemTime::now().duration_since(UNIX_EPOCH) {
        Ok(since) => i64::try_from(since.as_micros()).unwrap_or(i64::MAX),
        Err(before) => -i64::try_from(before.duration().as_micros()).unwrap_or(i64::MAX),
    }
}

/// The source of a stream whose codec takes `modality`, behind the stream's gate.
/// `start` is the position where a replay or a test goes on, from 0 on. A device need
/// not be there: it is waited for.
///
/// # Errors
/// [`Code::Config`] if the configuration names no source that can be, or one of
/// another modality; [`Code::Unsupported`] for one that this build lacks; those of
/// [`ReplaySource::new`].
pub fn open(stream: &Stream, modality: Modality, start: u64) -> Result<Box<dyn Source>> {
    let of = |wanted: Modality, key: &str| {
        if modality == wanted {
            return Ok(());
        }
        Err(Error::new(
            Code::Config,
            format!("`{key}` gives {wanted}, codec `{}` takes {modality}", stream.codec),
            format!("choose a codec for {wanted} (the command `codecs` lists them), or another source"),
        ))
    };
    let source: Box<dyn Source> = match stream.origin()? {
        Origin::Replay(replay) => Box::new(ReplaySource::new(replay, modality, start)?),
        Origin::Test(test) => synthetic::open(test, modality, start)?,
        Origin::Command(command) => {
            of(Modality::Image, "command")?;
            Box::new(CommandSource::new(command)?)
        }
        Origin::Camera(camera) => {
            of(Modality::Image, "camera")?;
            #[cfg(all(feature = "camera", target_os = "linux"))]
            {
                Box::new(camera::source(camera, stream.adopts()))
            }
            #[cfg(not(all(feature = "camera", target_os = "linux")))]
            {
                let _ = camera;
                return Err(lacking("camera", "V4L2"));
            }
        }
        Origin::Microphone(microphone) => {
            of(Modality::Audio, "microphone")?;
            #[cfg(feature = "microphone")]
            {
                Box::new(microphone::source(microphone))
            }
            #[cfg(not(feature = "microphone"))]
            {
                let _ = microphone;
                return Err(lacking("microphone", "ALSA"));
            }
        }
    };
    gate::closed_by(stream, modality, Box::new(Told { source, waiting: None }))
}

/// Tells what was lost before a sample as a gap of its own.
struct Told {
    source: Box<dyn Source>,
    waiting: Option<Captured>,
}

impl Source for Told {
    fn next(&mut self, stop: &Stop) -> Option<Captured> {
        if let Some(waiting) = self.waiting.take() {
            return Some(waiting);
        }
        let mut captured = self.source.next(stop)?;
        let Some(gap) = captured.before.take() else { return Some(captured) };
        // The sample itself is still to come.
        let position = captured.position.map(|position| position.saturating_sub(1));
        let told = Captured { time: captured.time, position, ..Captured::now(Content::Missing(gap)) };
        self.waiting = Some(captured);
        Some(told)
    }
}

#[cfg(not(all(feature = "camera", feature = "microphone", target_os = "linux")))]
fn lacking(feature: &str, what: &str) -> Error {
    Error::new(
        Code::Unsupported,
        format!("this build has no {what}"),
        format!("build the agent for Linux with `--features {feature}`"),
    )
}
