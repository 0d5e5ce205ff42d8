//! Sound into packets.

use super::chunk::{Builder, LOOK_AHEAD_PER_SECOND};
use super::{FRAMES_PER_CHUNK, Plan, failed};
use crate::sound::same_stream;
use afferent_codec::{AudioEncoder, ContainerWriter, Limits};
use afferent_media::resample::resample;
use afferent_media::{Audio, AudioView, Code, Error, Result};
use opusic_c::{Application, Bitrate};

/// Longer than any packet of one frame.
const LONGEST_PACKET: usize = 1500;

pub(super) struct Encoder {
    application: Application,
    /// In bits per second.
    bitrate: u32,
    /// Rate and channels of the stream, once its first stretch came.
    stream: Option<(u32, u16)>,
    running: Option<Running>,
    /// Interleaved samples that wait: for a whole frame, or for the end of a clip
    /// that must be resampled.
    waiting: Vec<f32>,
    chunk: Builder,
}

/// libopus in the middle of a stream.
struct Running {
    plan: Plan,
    encoder: opusic_c::Encoder,
    look_ahead: u32,
}

impl Encoder {
    pub(super) fn new(application: Application, bitrate: u32) -> Self {
        Self { application, bitrate, stream: None, running: None, waiting: Vec::new(), chunk: Builder::default() }
    }

    fn start(&self, plan: Plan) -> Result<Running> {
        let mut encoder = opusic_c::Encoder::new(plan.channels, plan.rate, self.application).map_err(failed)?;
        encoder.set_bitrate(Bitrate::Value(self.bitrate)).map_err(failed)?;
        encoder.set_complexity(10).map_err(failed)?;
        encoder.set_vbr(true).map_err(failed)?;
        encoder.set_vbr_constraint(false).map_err(failed)?;
        let look_ahead = encoder.get_look_ahead().map_err(failed)?;
        Ok(Running { plan, encoder, look_ahead })
    }

    fn take(&mut self, audio: AudioView<'_>, out: &mut ContainerWriter) -> Result<()> {
        let plan = Plan::new(audio.rate(), audio.channels())?;
        same_stream(&mut self.stream, audio)?;
        if audio.frames() == 0 {
            return Ok(());
        }
        let native = plan.rate() == audio.rate();
        let frames = self.waiting.len() / plan.channels() + audio.frames();
        if !native {
            plan.coded_frames(audio.rate(), frames as u64, &Limits::default())?;
        }
        interleave(audio, &mut self.waiting);
        if native { self.code(plan, out) } else { Ok(()) }
    }

    /// Codes the whole frames that wait.
    fn code(&mut self, plan: Plan, out: &mut ContainerWriter) -> Result<()> {
        let mut running = match self.running.take() {
            Some(running) => running,
            None => self.start(plan)?,
        };
        let look_ahead = running.units()?;
        let mut packet = [0; LONGEST_PACKET];
        let (frames, rest) = self.waiting.split_at(self.waiting.len() / plan.frame_samples() * plan.frame_samples());
        for frame in frames.chunks_exact(plan.frame_samples()) {
            let length = running.encoder.encode_float_to_slice(frame, &mut packet).map_err(failed)?;
            self.chunk.push(look_ahead, &packet[..length]);
            if self.chunk.packets() == FRAMES_PER_CHUNK {
                self.chunk.flush(out)?;
            }
        }
        let (coded, left) = (frames.len(), rest.len());
        self.waiting.copy_within(coded.., 0);
        self.waiting.truncate(left);
        self.running = Some(running);
        Ok(())
    }

    fn end(&mut self, out: &mut ContainerWriter) -> Result<()> {
        let Some((rate, channels)) = self.stream else { return Ok(()) };
        let plan = Plan::new(rate, channels)?;
        if plan.rate() != rate {
            let source = Audio::from_interleaved(rate, channels, &self.waiting)?;
            let coded = resample(source.view(), plan.rate())?;
            self.waiting.clear();
            interleave(coded.view(), &mut self.waiting);
        }
        if self.running.is_none() && self.waiting.is_empty() {
            return Ok(());
        }
        self.code(plan, out)?;
        // The look-ahead pushes the last samples into frames of their own.
        if let Some(running) = &self.running {
            let samples = self.waiting.len() + running.look_ahead as usize * plan.channels();
            self.waiting.resize(samples.next_multiple_of(plan.frame_samples()), 0.0);
        }
        self.code(plan, out)?;
        self.chunk.flush(out)
    }

    /// Forgets the stream and keeps the buffers.
    fn clear(&mut self) {
        self.stream = None;
        self.running = None;
        self.waiting.clear();
        self.chunk.clear();
    }
}

impl Running {
    /// The look-ahead as it is written.
    fn units(&self) -> Result<u8> {
        let unit = self.plan.rate() / LOOK_AHEAD_PER_SECOND;
        u8::try_from(self.look_ahead / unit).ok().filter(|_| self.look_ahead.is_multiple_of(unit)).ok_or_else(|| {
            Error::new(
                Code::Internal,
                format!("libopus looks {} samples ahead, which chunks cannot say", self.look_ahead),
                "report this with the version of libopus",
            )
        })
    }
}

impl AudioEncoder for Encoder {
    fn encode(&mut self, audio: AudioView<'_>, out: &mut ContainerWriter) -> Result<()> {
        self.take(audio, out).inspect_err(|_| self.clear())
    }

    fn finish(&mut self, out: &mut ContainerWriter) -> Result<()> {
        let ended = self.end(out);
        self.clear();
        ended
    }
}

/// Appends `audio`, cleaned of what no converter would deliver.
fn interleave(audio: AudioView<'_>, to: &mut Vec<f32>) {
    let (begun, step) = (to.len(), usize::from(audio.channels()));
    to.resize(begun + audio.frames() * step, 0.0);
    for channel in 0..audio.channels() {
        let places = to[begun..].iter_mut().skip(usize::from(channel)).step_by(step);
        for (place, &sample) in places.zip(audio.channel(channel)) {
            *place = if sample.is_nan() { 0.0 } else { sample.clamp(-1.0, 1.0) };
        }
    }
}
