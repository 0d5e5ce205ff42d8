//! ALSA microphones, by the `cpal` crate: a named device with a fixed buffer.

use super::Time;
use super::blocks::{Blocks, Piece};
use super::device::{Device, Kept, Step};
use crate::config::Microphone as Config;
use crate::stop::Stop;
use afferent_media::{Code, Error, Result};
use cpal::traits::{DeviceTrait, HostTrait, StreamTrait};
use cpal::{BufferSize, Data, DeviceId, ErrorKind, InputCallbackInfo, SampleFormat, StreamConfig};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::time::{Duration, Instant};

/// Pieces of sound that may wait for the agent; what comes on top is dropped and counted.
const PIECES: usize = 64;
/// Silence after which a microphone counts as hung, beside the time of a few periods.
const SILENCE: Duration = Duration::from_secs(5);
/// How often a wait looks at the stop.
const PATIENCE: Duration = Duration::from_millis(100);

/// The sample formats that are taken, the best first.
const FORMATS: [SampleFormat; 3] = [SampleFormat::F32, SampleFormat::I32, SampleFormat::I16];

/// The microphone that `config` describes.
pub(super) fn source(config: &Config) -> Kept<Microphone> {
    Kept::new(Microphone { config: config.clone(), name: format!("microphone {}", config.device) })
}

pub(super) struct Microphone {
    config: Config,
    name: String,
}

/// An open microphone.
pub(super) struct Listening {
    events: Receiver<Event>,
    blocks: Blocks,
    heard: Instant,
    silence: Duration,
    /// Samples per channel that the device's thread dropped and no piece has told of.
    dropped: Arc<AtomicU64>,
    /// Why it ends, once the sound before that is handed on.
    failed: Option<Error>,
    /// The stop was seen, and all sound before it is in the blocks.
    finished: bool,
    /// Captures until it is dropped.
    _stream: cpal::Stream,
}

enum Event {
    Piece(Piece),
    Failed(cpal::Error),
}

impl Device for Microphone {
    type Session = Listening;

    fn name(&self) -> &str {
        &self.name
    }

    fn rate(&self) -> Option<u32> {
        Some(self.config.sample_rate)
    }

    fn open(&mut self) -> Result<Listening> {
        let config = &self.config;
        let host = cpal::default_host();
        let id = DeviceId::new(host.id(), &config.device);
        let device = host.device_by_id(&id).ok_or_else(|| {
            Error::new(Code::NotFound, "there is no such device", "`arecord -L` lists them; check the cable")
        })?;
        let ranges: Vec<_> = device.supported_input_configs().map_err(|e| failed("asking what it has", e))?.collect();
        let fits = |format: SampleFormat| {
            ranges.iter().any(|range| {
                range.sample_format() == format
                    && range.channels() == config.channels
                    && (range.min_sample_rate()..=range.max_sample_rate()).contains(&config.sample_rate)
            })
        };
        let format = FORMATS.into_iter().find(|format| fits(*format)).ok_or_else(|| {
            Error::new(
                Code::Unsupported,
                format!("it has no {} channels at {} Hz in 16 or 32 bits", config.channels, config.sample_rate),
                "use plughw: instead of hw:, or another rate or channel count (`arecord --dump-hw-params`)",
            )
        })?;
        let stream_config = StreamConfig {
            channels: config.channels,
            sample_rate: config.sample_rate,
            // The device's own default has overrun without end.
            buffer_size: BufferSize::Fixed(config.buffer),
        };
        let (sender, events) = sync_channel(PIECES);
        let errors = sender.clone();
        let (overran, overruns) = sync_channel(1);
        let dropped = Arc::<AtomicU64>::default();
        let mut ear =
            Ear { sender, overruns, channels: config.channels.into(), overrun: false, dropped: Arc::clone(&dropped) };
        let stream = device
            .build_input_stream_raw(
                stream_config,
                format,
                move |data: &Data, info: &InputCallbackInfo| ear.hear(data, info),
                move |error: cpal::Error| match error.kind() {
                    ErrorKind::Xrun => drop(overran.try_send(())),
                    ErrorKind::RealtimeDenied | ErrorKind::DeviceChanged => log::info!("{error}"),
                    _ => drop(errors.try_send(Event::Failed(error))),
                },
                Some(SILENCE),
            )
            .map_err(|e| failed("opening it", e))?;
        stream.play().map_err(|e| failed("starting it", e))?;
        let frames = u64::from(config.sample_rate) * u64::from(config.block_ms) / 1000;
        let period = Duration::from_secs_f64(f64::from(config.buffer) / f64::from(config.sample_rate));
        Ok(Listening {
            events,
            blocks: Blocks::new(config.sample_rate, config.channels, frames as usize),
            heard: Instant::now(),
            silence: SILENCE + 4 * period,
            dropped,
            failed: None,
            finished: false,
            _stream: stream,
        })
    }

    fn read(&mut self, session: &mut Listening, stop: &Stop) -> Result<Step> {
        loop {
            if let Some(block) = session.blocks.next() {
                return Ok(Step::Captured(block));
            }
            if let Some(error) = session.failed.take() {
                return Err(error);
            }
            if session.finished {
                return Ok(Step::End);
            }
            if stop.is_set() {
                session.finished = true;
                // What waits, and no more: the device goes on meanwhile.
                for event in session.events.try_iter().take(PIECES) {
                    if let Event::Piece(piece) = event {
                        session.blocks.push(&piece)?;
                    }
                }
                session.finish()?;
                continue;
            }
            match session.events.recv_timeout(PATIENCE) {
                Ok(Event::Piece(piece)) => {
                    session.heard = Instant::now();
                    session.blocks.push(&piece)?;
                }
                Ok(Event::Failed(error)) => session.failed = Some(failed("listening", error)),
                Err(RecvTimeoutError::Timeout) if session.heard.elapsed() < session.silence => {}
                Err(_) => {
                    session.failed = Some(Error::new(
                        Code::Io,
                        "the microphone delivers nothing",
                        "check the cable, and that no other program holds the device",
                    ));
                }
            }
            if session.failed.is_some() {
                session.finish()?;
            }
        }
    }
}

impl Listening {
    /// Ends the sound, with what was dropped after the last piece.
    fn finish(&mut self) -> Result<()> {
        self.blocks.finish(self.dropped.swap(0, Ordering::Relaxed))
    }
}

/// The side of the device's thread, which must never wait.
struct Ear {
    sender: SyncSender<Event>,
    overruns: Receiver<()>,
    channels: usize,
    /// Before the next piece that is handed on.
    overrun: bool,
    dropped: Arc<AtomicU64>,
}

impl Ear {
    fn hear(&mut self, data: &Data, info: &InputCallbackInfo) {
        let samples = floats(data);
        let frames = (samples.len() / self.channels) as u64;
        let stamp = info.timestamp();
        self.overrun |= self.overruns.try_recv().is_ok();
        let dropped = self.dropped.swap(0, Ordering::Relaxed);
        let piece = Piece {
            samples,
            clock: Duration::from_nanos(u64::try_from(stamp.capture.as_nanos()).unwrap_or(u64::MAX)),
            time: Time::now().before(stamp.callback.saturating_duration_since(stamp.capture)),
            overrun: self.overrun,
            dropped,
        };
        match self.sender.try_send(Event::Piece(piece)) {
            Ok(()) => self.overrun = false,
            Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => {
                self.dropped.fetch_add(dropped + frames, Ordering::Relaxed);
            }
        }
    }
}

/// The samples at full scale ±1, interleaved.
fn floats(data: &Data) -> Vec<f32> {
    if let Some(samples) = data.as_slice::<f32>() {
        return samples.to_vec();
    }
    if let Some(samples) = data.as_slice::<i16>() {
        return samples.iter().map(|&sample| f32::from(sample) / 32_768.0).collect();
    }
    #[allow(clippy::cast_precision_loss)]
    let float = |&sample: &i32| sample as f32 / 2_147_483_648.0;
    data.as_slice::<i32>().unwrap_or_default().iter().map(float).collect()
}

fn failed(what: &str, cause: cpal::Error) -> Error {
    let (code, said, remedy) = match cause.kind() {
        ErrorKind::DeviceNotAvailable => {
            (Code::NotFound, "the microphone is not there", "check the cable and microphone.device")
        }
        ErrorKind::DeviceBusy => {
            (Code::Io, "another program uses the microphone", "end it; `fuser -v /dev/snd/*` names it")
        }
        ErrorKind::PermissionDenied => {
            (Code::Io, "the microphone may not be opened", "put the agent's user into the group `audio`")
        }
        ErrorKind::UnsupportedConfig | ErrorKind::InvalidInput => (
            Code::Unsupported,
            "the microphone does not take this configuration",
            "use plughw:, or another rate, channel count or buffer (`arecord --dump-hw-params`)",
        ),
        _ => (Code::Io, "the microphone fails", "see the kernel's log (`dmesg`)"),
    };
    Error::new(code, format!("{what}: {said}"), remedy).caused_by(cause)
}
