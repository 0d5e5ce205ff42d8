//! A source that is known in advance: numbered frames in a camera's format, and a
//! numbered tone. It stands for devices where there are none, and it shows that
//! nothing is lost on the way.
//!
//! At a rate above zero it behaves like a camera: a frame is there when its time has
//! come, and where the agent is late by more frames than a driver buffers, frames are
//! dropped and their numbers skipped.

use super::pool::Pool;
use super::{Captured, Content, Source, Time};
use crate::config::Test;
use crate::stop::Stop;
use afferent_codec::Gap;
use afferent_media::frame::{Range, RawFormat, RawLayout};
use afferent_media::{Audio, Image, Modality, Result, Sample};
use std::f32::consts::TAU;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Frames that a driver buffers for a late reader.
const BUFFERS: u64 = 4;

/// Side in pixels of the squares in the first rows of a picture that show its number
/// in binary, the highest bit first.
pub const SQUARE: u32 = 8;

/// How many bits of its number a picture shows: as many as squares fit in a row, at most 32.
#[must_use]
pub fn bits(width: u32) -> u32 {
    (width / SQUARE).min(32)
}

/// The source that `test` describes, from sample number `start` on.
pub(super) fn open(test: &Test, modality: Modality, start: u64) -> Result<Box<dyn Source>> {
    let clock = |period| Clock { period, next: start, total: (test.count > 0).then_some(test.count), due: None };
    Ok(match modality {
        Modality::Image => {
            let period = (test.fps > 0.0).then(|| Duration::from_secs_f64(1.0 / test.fps));
            Box::new(Pictures {
                clock: clock(period),
                pattern: Pattern::new(test.width, test.height)?,
                pool: Pool::default(),
            })
        }
        Modality::Audio => {
            let block = Duration::from_millis(test.block_ms.into());
            let frames = u64::from(test.sample_rate) * u64::from(test.block_ms) / 1000;
            let period = (test.fps > 0.0).then_some(block);
            Box::new(Tone { rate: test.sample_rate, frames, clock: clock(period) })
        }
    })
}

/// When which sample is there.
struct Clock {
    /// None: whenever it is asked for.
    period: Option<Duration>,
    next: u64,
    total: Option<u64>,
    /// When sample `next` is there.
    due: Option<Instant>,
}

impl Clock {
    /// The next sample, once it is there.
    fn tick(&mut self, stop: &Stop) -> Option<Tick> {
        if stop.is_set() || self.total.is_some_and(|total| self.next >= total) {
            return None;
        }
        let mut dropped = 0;
        let mut time = None;
        if let Some(period) = self.period {
            let now = Instant::now();
            let mut due = self.due.unwrap_or(now + period);
            let late = now.saturating_duration_since(due).as_nanos() / period.as_nanos().max(1);
            let late = u64::try_from(late).unwrap_or(u64::MAX);
            if late > BUFFERS {
                // What does not fit in the buffers is gone; the end of the stream is not passed.
                let left = self.total.map_or(u64::MAX, |total| total - 1 - self.next);
                dropped = (late - BUFFERS).min(left);
                due += period * u32::try_from(dropped).unwrap_or(u32::MAX);
            }
            if stop.sleep(due.saturating_duration_since(now)) {
                return None;
            }
            time = Some(Time::now().before(due.elapsed()));
            self.due = Some(due + period);
        }
        self.next += dropped;
        let number = self.next;
        self.next += 1;
        Some(Tick { number, dropped, time: time.unwrap_or_else(Time::now) })
    }
}

/// A sample that is there.
struct Tick {
    number: u64,
    /// How many were dropped before it.
    dropped: u64,
    /// When it was there.
    time: Time,
}

fn captured(Tick { number, dropped, time }: Tick, missing: u64, sample: Result<Arc<Sample>>) -> Captured {
    let before = (dropped > 0).then(|| Gap {
        missing,
        reason: format!("{} to {} came while the agent was busy", number - dropped, number - 1),
    });
    let content = Content::from(sample);
    let position = Some(number + 1);
    Captured { time, frame: Some(number), position, before, ..Captured::now(content) }
}

/// Numbered YUYV frames: a pattern that scrolls down by a row a frame.
pub struct Pattern {
    layout: RawLayout,
    width: u32,
    height: u32,
    still: Vec<u8>,
    raw: Vec<u8>,
}

impl Pattern {
    /// Frames of `width` x `height` pixels.
    ///
    /// # Errors
    /// [`Code::Config`](afferent_media::Code::Config) for a size that cannot be.
    pub fn new(width: u32, height: u32) -> Result<Self> {
        let layout = RawLayout::new(RawFormat::Yuyv, width, height, 0, Range::Full)?;
        let row = RawFormat::Yuyv.row(width);
        let mut still = Vec::with_capacity(layout.length());
        for y in 0..height as usize {
            for x in 0..row / 4 {
                let wave = |step: usize| ((x * step) ^ (y * 3)) as u8;
                still.extend([wave(2) / 2 + 64, (x / 2) as u8, wave(2) / 2 + 66, (y / 2) as u8]);
            }
        }
        Ok(Self { layout, width, height, raw: still.clone(), still })
    }

    /// How the frames are laid out.
    #[must_use]
    pub fn layout(&self) -> &RawLayout {
        &self.layout
    }

    /// Draws frame `number` as a camera would deliver it.
    pub fn draw(&mut self, number: u64) -> &[u8] {
        let row = RawFormat::Yuyv.row(self.width);
        let shift = (number % u64::from(self.height)) as usize * row;
        let (above, below) = self.raw.split_at_mut(shift);
        let split = self.still.len() - shift;
        above.copy_from_slice(&self.still[split..]);
        below.copy_from_slice(&self.still[..split]);
        let bits = bits(self.width);
        for line in self.raw.chunks_exact_mut(row).take(SQUARE as usize) {
            for (bit, square) in (0..bits).rev().zip(line.chunks_exact_mut(SQUARE as usize * 2)) {
                let luma = if number >> bit & 1 == 1 { 255 } else { 0 };
                square.as_chunks_mut::<2>().0.iter_mut().for_each(|pixel| *pixel = [luma, 128]);
            }
        }
        &self.raw
    }
}

/// The number that a decoded frame shows.
#[must_use]
pub fn number(image: &Image) -> u64 {
    let row = image.view().row(SQUARE.min(image.height()) / 2);
    (0..bits(image.width())).fold(0, |number, bit| {
        let pixel = (bit * SQUARE + SQUARE / 2) as usize * image.format().channels();
        number << 1 | u64::from(row[pixel] > 127)
    })
}

/// The pattern at a camera's pace.
struct Pictures {
    clock: Clock,
    pattern: Pattern,
    pool: Pool,
}

impl Source for Pictures {
    fn next(&mut self, stop: &Stop) -> Option<Captured> {
        let tick = self.clock.tick(stop)?;
        let missing = tick.dropped;
        let layout = *self.pattern.layout();
        let raw = self.pattern.draw(tick.number);
        let sample = self.pool.image(|image| layout.split(raw, image));
        Some(captured(tick, missing, sample))
    }
}

/// The pitch of a block of the tone, in Hz, which tells its number: 200 Hz, and 50 Hz more
/// for each block up to the thirty-second.
#[must_use]
pub fn hertz(number: u64) -> u64 {
    200 + 50 * (number % 32)
}

/// A numbered tone.
struct Tone {
    rate: u32,
    frames: u64,
    clock: Clock,
}

impl Source for Tone {
    #[allow(clippy::cast_precision_loss)]
    fn next(&mut self, stop: &Stop) -> Option<Captured> {
        let Tick { number, dropped, time } = self.clock.tick(stop)?;
        let hertz = hertz(number) as f32;
        let step = TAU * hertz / self.rate as f32;
        let data = (0..self.frames).map(|n| 0.5 * (step * n as f32).sin()).collect();
        let length = self.clock.period.unwrap_or_default();
        let audio = Audio::new(self.rate, 1, data).map(|audio| Arc::new(Sample::Audio(audio)));
        // A sample of sound is there at its end.
        let time = time.before(length);
        Some(captured(Tick { number, dropped, time }, dropped * self.frames, audio))
    }
}
