//! Sound as it comes from a device, cut into blocks, with every sample accounted for.

use super::{Captured, Content, Time};
use afferent_codec::Gap;
use afferent_media::{Audio, Result, Sample};
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

const BUSY: &str = "the agent was busy";

/// A stretch of sound as a device hands it over.
pub(super) struct Piece {
    /// Interleaved samples, full scale at ±1.
    pub(super) samples: Vec<f32>,
    /// The device's clock at the first of them.
    pub(super) clock: Duration,
    /// When that was.
    pub(super) time: Time,
    /// The device overran before it: how much it lost is what its clock went on by.
    pub(super) overrun: bool,
    /// Samples per channel that were dropped before it because the agent was busy.
    pub(super) dropped: u64,
}

/// Gathers pieces and hands on blocks.
pub(super) struct Blocks {
    rate: u32,
    channels: u16,
    /// Samples per channel of a block.
    frames: usize,
    /// Interleaved; the start of the next block.
    gathered: Vec<f32>,
    /// When the first gathered sample was captured.
    time: Time,
    /// What was lost before it.
    before: Option<Gap>,
    /// The device's clock after the last piece.
    expected: Option<Duration>,
    /// Samples per channel handed on or lost so far: the number of the first gathered one.
    position: u64,
    ready: VecDeque<Captured>,
}

impl Blocks {
    pub(super) fn new(rate: u32, channels: u16, frames: usize) -> Self {
        Self {
            rate,
            channels,
            frames: frames.max(1),
            gathered: Vec::new(),
            time: Time::now(),
            before: None,
            expected: None,
            position: 0,
            ready: VecDeque::new(),
        }
    }

    /// The next whole block, or the shorter one that a loss has ended.
    pub(super) fn next(&mut self) -> Option<Captured> {
        self.ready.pop_front()
    }

    /// Takes the next piece.
    pub(super) fn push(&mut self, piece: &Piece) -> Result<()> {
        let channels = usize::from(self.channels);
        if let Some(gap) = self.lost(piece) {
            self.flush()?;
            self.position += gap.missing;
            self.before = Some(gap);
        }
        let frames = piece.samples.len() / channels;
        self.expected = Some(piece.clock + self.length(frames));
        let mut taken = 0;
        while taken < frames {
            if self.gathered.is_empty() {
                let later = self.length(taken);
                self.time = Time {
                    wall_us: piece.time.wall_us.saturating_add_unsigned(later.as_micros() as u64),
                    monotonic_us: piece.time.monotonic_us.saturating_add(later.as_micros() as u64),
                };
            }
            let room = self.frames - self.gathered.len() / channels;
            let take = room.min(frames - taken);
            self.gathered.extend_from_slice(&piece.samples[taken * channels..(taken + take) * channels]);
            taken += take;
            if take == room {
                self.flush()?;
            }
        }
        Ok(())
    }

    /// Ends the block, however short it is.
    pub(super) fn flush(&mut self) -> Result<()> {
        if self.gathered.is_empty() {
            return Ok(());
        }
        let audio = Audio::from_interleaved(self.rate, self.channels, &self.gathered)?;
        self.gathered.clear();
        let (frame, before) = (Some(self.position), self.before.take());
        self.position += audio.view().frames() as u64;
        let content = Content::Sample(Arc::new(Sample::Audio(audio)));
        self.ready.push_back(Captured { time: self.time, frame, before, ..Captured::now(content) });
        Ok(())
    }

    /// Ends the sound: what is gathered, then the `dropped` samples per channel that no
    /// piece came after.
    pub(super) fn finish(&mut self, dropped: u64) -> Result<()> {
        self.flush()?;
        if dropped > 0 {
            self.position += dropped;
            self.ready.push_back(Captured::now(Content::Missing(gap(dropped, BUSY))));
        }
        Ok(())
    }

    /// What was lost before `piece`.
    fn lost(&self, piece: &Piece) -> Option<Gap> {
        let overran = match (piece.overrun, self.expected) {
            // What was dropped here lies in the time that the clock went on by, too.
            (true, Some(expected)) => {
                let went_on = piece.clock.saturating_sub(expected).as_secs_f64();
                Some(((went_on * f64::from(self.rate)).round() as u64).max(piece.dropped))
            }
            (true, None) => Some(piece.dropped),
            (false, _) => None,
        };
        let (missing, why) = match overran {
            Some(missing) => (missing, "the device overran"),
            None => (piece.dropped, BUSY),
        };
        (missing > 0).then(|| gap(missing, why))
    }

    /// The time that `frames` samples per channel take.
    fn length(&self, frames: usize) -> Duration {
        Duration::from_nanos(frames as u64 * 1_000_000_000 / u64::from(self.rate.max(1)))
    }
}

fn gap(missing: u64, why: &str) -> Gap {
    Gap { missing, reason: format!("{why}: {missing} samples of each channel are lost") }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Numbers what comes, gaps included; the lengths of blocks, and of gaps as negatives.
    fn accounted(blocks: &mut Blocks) -> Vec<i64> {
        let mut seen = Vec::new();
        while let Some(captured) = blocks.next() {
            if let Some(gap) = captured.before {
                seen.push(-(gap.missing as i64));
            }
            let Content::Sample(sample) = captured.content else { panic!() };
            let Sample::Audio(audio) = &*sample else { panic!() };
            let before: i64 = seen.iter().map(|n| n.abs()).sum();
            // Each sample's value is its number.
            assert_eq!(audio.data()[0], before as f32);
            assert_eq!(captured.frame, Some(before as u64));
            assert_eq!(captured.time.monotonic_us, before as u64 * 1000);
            seen.push(audio.view().frames() as i64);
        }
        seen
    }

    /// A piece of stereo at 1 kHz: samples `from` to `to`.
    fn piece(from: u64, to: u64, overrun: bool, dropped: u64) -> Piece {
        let time = Time { wall_us: from as i64 * 1000, monotonic_us: from * 1000 };
        let samples = (from..to).flat_map(|n| [n as f32; 2]).collect();
        Piece { samples, clock: Duration::from_millis(from), time, overrun, dropped }
    }

    #[test]
    fn pieces_become_blocks_and_losses_gaps() {
        let mut blocks = Blocks::new(1000, 2, 10);
        for piece in [
            piece(0, 7, false, 0),
            piece(7, 14, false, 0),
            piece(14, 35, false, 0),
            // 5 lost by an overrun, 3 dropped by the agent.
            piece(40, 42, true, 0),
            piece(45, 55, false, 3),
        ] {
            blocks.push(&piece).unwrap();
        }
        blocks.flush().unwrap();
        assert_eq!(accounted(&mut blocks), [10, 10, 10, 5, -5, 2, -3, 10]);
    }

    #[test]
    fn what_no_piece_came_after_is_lost_at_the_end() {
        let mut blocks = Blocks::new(1000, 2, 10);
        blocks.push(&piece(0, 7, false, 0)).unwrap();
        blocks.finish(5).unwrap();
        assert_eq!(blocks.next().unwrap().frame, Some(0));
        let Content::Missing(gap) = blocks.next().unwrap().content else { panic!() };
        assert_eq!(gap.missing, 5);
        assert!(blocks.next().is_none());
    }

    #[test]
    fn an_overrun_that_lost_nothing_is_no_gap() {
        let mut blocks = Blocks::new(1000, 2, 4);
        blocks.push(&piece(0, 4, true, 0)).unwrap();
        blocks.push(&piece(4, 8, true, 0)).unwrap();
        assert_eq!(accounted(&mut blocks), [4, 4]);
    }
}
