//! Packets into sound.

use super::chunk::{self, LOOK_AHEAD_PER_SECOND};
use super::{FRAMES_PER_CHUNK, Plan, failed};
use crate::corrupt;
use crate::sound::check_places;
use afferent_codec::{AudioDecoder, AudioShape, Chunk, Limits};
use afferent_media::resample::resample;
use afferent_media::{Audio, Result};

/// The longest look-ahead that is believed: 20 ms. libopus has 2.5 or 6.5 ms.
const LONGEST_LOOK_AHEAD: u8 = 40;

pub(super) struct Decoder {
    limits: Limits,
    frame: Vec<f32>,
}

impl Decoder {
    pub(super) fn new(limits: &Limits) -> Self {
        Self { limits: *limits, frame: Vec::new() }
    }

    /// Decodes `chunks` into planes of `coded` frames at the coded rate.
    fn decode_coded(&mut self, plan: Plan, coded: u64, chunks: &[Chunk<'_>]) -> Result<Vec<f32>> {
        let look_ahead = look_ahead(chunks)?;
        let skipped = usize::from(look_ahead) * (plan.rate() / LOOK_AHEAD_PER_SECOND) as usize;
        let packets = if coded == 0 { 0 } else { (coded + skipped as u64).div_ceil(plan.frame() as u64) };
        let count = packets.div_ceil(FRAMES_PER_CHUNK);
        check_places(chunks, count)?;

        let mut planes = Planes { data: vec![0.0; coded as usize * plan.channels()], frames: coded as usize, skipped };
        let mut decoder = opusic_c::Decoder::new(plan.channels, plan.rate).map_err(failed)?;
        self.frame.resize(plan.frame_samples(), 0.0);
        let mut chunks = chunks.iter().peekable();
        let mut lost = false;
        for index in 0..count {
            let first = index * FRAMES_PER_CHUNK;
            let places = first..packets.min(first + FRAMES_PER_CHUNK);
            if let Some(chunk) = chunks.next_if(|chunk| chunk.index as u64 == index) {
                let wrong = || corrupt(format!("Opus chunk {index} does not hold its {} frames", places.end - first));
                let mut parsed = chunk::parse(chunk.bytes)?.1;
                for place in places.clone() {
                    let packet = parsed.next().ok_or_else(wrong)??;
                    let damaged = |cause: opusic_c::ErrorCode| {
                        corrupt(format!("Opus chunk {index} holds a damaged packet")).caused_by(cause.message())
                    };
                    if decoder.get_nb_samples(packet).map_err(damaged)? != plan.frame() {
                        return Err(wrong());
                    }
                    decoder.decode_float_to_slice(packet, &mut self.frame, false).map_err(damaged)?;
                    planes.put(place, &self.frame, plan);
                }
                if parsed.next().is_some() {
                    return Err(wrong());
                }
                lost = false;
            } else if !lost {
                // An empty packet asks libopus to conceal; after a second of that
                // nothing is left to continue.
                for place in places {
                    decoder.decode_float_to_slice(&[], &mut self.frame, false).map_err(failed)?;
                    planes.put(place, &self.frame, plan);
                }
                lost = true;
            }
        }
        Ok(planes.data)
    }
}

/// The look-ahead on which all chunks agree.
fn look_ahead(chunks: &[Chunk<'_>]) -> Result<u8> {
    let mut agreed = None;
    for chunk in chunks {
        let (look_ahead, _) = chunk::parse(chunk.bytes)?;
        if look_ahead > LONGEST_LOOK_AHEAD || *agreed.get_or_insert(look_ahead) != look_ahead {
            return Err(corrupt(format!("Opus chunk {} states a look-ahead that cannot be", chunk.index)));
        }
    }
    Ok(agreed.unwrap_or_default())
}

/// Decoded sound without its first `skipped` frames.
struct Planes {
    data: Vec<f32>,
    frames: usize,
    skipped: usize,
}

impl Planes {
    /// Puts the interleaved `frame` of packet `place` where it belongs.
    fn put(&mut self, place: u64, frame: &[f32], plan: Plan) {
        let start = place as usize * plan.frame();
        for (channel, plane) in self.data.chunks_exact_mut(self.frames).enumerate() {
            let samples = frame.iter().skip(channel).step_by(plan.channels());
            let cut = self.skipped.saturating_sub(start);
            let from = (start + cut).saturating_sub(self.skipped);
            for (to, sample) in plane.iter_mut().skip(from).zip(samples.skip(cut)) {
                *to = *sample;
            }
        }
    }
}

impl AudioDecoder for Decoder {
    fn decode(&mut self, shape: &AudioShape, chunks: &[Chunk<'_>], out: &mut Audio) -> Result<()> {
        self.limits.check_audio(shape.rate, shape.channels, shape.frames)?;
        let plan = Plan::new(shape.rate, shape.channels)?;
        let coded = plan.coded_frames(shape.rate, shape.frames, &self.limits)?;
        let planes = self.decode_coded(plan, coded, chunks)?;
        let sound = Audio::new(plan.rate(), shape.channels, planes)?;
        if plan.rate() == shape.rate {
            *out = sound;
            return Ok(());
        }
        let sound = resample(sound.view(), shape.rate)?;
        let (view, frames) = (sound.view(), shape.frames as usize);
        // There and back may round to a frame more or less.
        let mut planes = Vec::with_capacity(frames * plan.channels());
        for channel in 0..shape.channels {
            let plane = view.channel(channel);
            planes.extend_from_slice(&plane[..plane.len().min(frames)]);
            planes.resize((usize::from(channel) + 1) * frames, 0.0);
        }
        *out = Audio::new(shape.rate, shape.channels, planes)?;
        Ok(())
    }
}
