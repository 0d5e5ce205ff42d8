//! Devices that fail and come back.
//!
//! A device that cannot be opened or read is tried again, with growing patience, for
//! as long as the agent runs. The first failure of each outage is recorded as a gap; of
//! sound, another says at the outage's end how much it took, told by the clock (of an
//! outage that lasts until the stop, nobody knows).

use super::{Captured, Content, Source, Time};
use crate::stop::Stop;
use afferent_codec::Gap;
use afferent_media::Result;
use std::time::{Duration, Instant};

const SHORTEST: Duration = Duration::from_millis(250);
/// The longest pause, and how long a device must deliver to count as sound again.
const LONGEST: Duration = Duration::from_secs(10);

/// A device, as the sources over it see it.
pub(super) trait Device: Send {
    /// The device while it is open; dropping it closes it.
    type Session: Send;

    /// How the device is called in logs and gaps.
    fn name(&self) -> &str;

    /// How many samples (per channel) it delivers in a second, if that is known: frames of
    /// a camera come as light and driver allow.
    fn rate(&self) -> Option<u32> {
        None
    }

    /// Opens it.
    fn open(&mut self) -> Result<Self::Session>;

    /// Waits for the next sample of it. Once the stop is set: what it still holds of sound,
    /// at most one sample a call, then [`Step::End`]; frames on their way are not taken.
    fn read(&mut self, session: &mut Self::Session, stop: &Stop) -> Result<Step>;
}

/// What came of a read.
pub(super) enum Step {
    /// A sample.
    Captured(Captured),
    /// The session ended as it should, and another may follow.
    Again,
    /// The source has ended, or the stop is set.
    End,
}

/// A device that is opened again whenever it fails.
pub(super) struct Kept<D: Device> {
    device: D,
    /// The open device, and since when it is open.
    session: Option<(Instant, D::Session)>,
    /// Not opened again before this.
    due: Option<Instant>,
    /// The last pause after a failure; none where nothing failed.
    patience: Option<Duration>,
    /// When the last sample ended, monotonic, in microseconds.
    end_us: Option<u64>,
    /// It has delivered nothing since it failed, and since this moment, likewise.
    out_us: Option<u64>,
}

impl<D: Device> Kept<D> {
    pub(super) fn new(device: D) -> Self {
        Self { device, session: None, due: None, patience: None, end_us: None, out_us: None }
    }

    fn step(&mut self, stop: &Stop) -> Result<Step> {
        let session = match &mut self.session {
            Some(session) => session,
            none => none.insert((Instant::now(), self.device.open()?)),
        };
        self.device.read(&mut session.1, stop)
    }

    /// `captured` is the first after an outage that began at `since`.
    fn end_outage(&self, since: u64, captured: &mut Captured) {
        let lasted = Duration::from_micros(captured.time.monotonic_us.saturating_sub(since));
        log::info!("{} delivers again, after {:.1} s", self.device.name(), lasted.as_secs_f64());
        let Some(rate) = self.device.rate() else { return };
        // One is in the gap that told of the outage; what comes now may be a gap, too.
        let told = if let Content::Missing(gap) = &captured.content { gap.missing } else { 0 };
        let lost = (lasted.as_secs_f64() * f64::from(rate)).round() as u64;
        let missing = lost.saturating_sub(1).saturating_sub(told);
        if missing > 0 {
            // What a gap of its own tells lies in that time, too.
            let told = captured.before.take().map_or(0, |gap| gap.missing);
            let reason = format!("{} was out for {:.1} s", self.device.name(), lasted.as_secs_f64());
            captured.before = Some(Gap { missing: missing.max(told), reason });
        }
    }
}

impl<D: Device> Source for Kept<D> {
    fn next(&mut self, stop: &Stop) -> Option<Captured> {
        loop {
            // An open device may still hold a part of a sample.
            if stop.is_set() && self.session.is_none() {
                return None;
            }
            // However short its sessions, no device takes the whole processor.
            if let Some(due) = self.due.take()
                && stop.sleep(due.saturating_duration_since(Instant::now()))
            {
                return None;
            }
            match self.step(stop) {
                Ok(Step::Captured(mut captured)) => {
                    if let Some(since) = self.out_us.take() {
                        self.end_outage(since, &mut captured);
                    }
                    self.end_us = captured.end_us().or(Some(captured.time.monotonic_us));
                    // One that fails after every frame shall not be opened ever so often.
                    if self.session.as_ref().is_some_and(|(since, _)| since.elapsed() >= LONGEST) {
                        self.patience = None;
                    }
                    return Some(captured);
                }
                Ok(Step::Again) => {
                    self.session = None;
                    self.due = Some(Instant::now() + SHORTEST);
                }
                Ok(Step::End) => {
                    self.session = None;
                    return None;
                }
                Err(error) => {
                    self.session = None;
                    let first = self.out_us.is_none();
                    self.out_us.get_or_insert(self.end_us.unwrap_or_else(|| Time::now().monotonic_us));
                    let patience = self.patience.map_or(SHORTEST, |before| (before * 2).min(LONGEST));
                    self.patience = Some(patience);
                    self.due = Some(Instant::now() + patience);
                    log::warn!("{}: {error}; next attempt in {} ms", self.device.name(), patience.as_millis());
                    let gap = Gap::one(format!("{}: {}: {}", error.code(), self.device.name(), error.what()));
                    if first {
                        return Some(Captured::now(Content::Missing(gap)));
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use afferent_media::{Audio, Code, Error, Sample};
    use std::sync::Arc;

    #[test]
    fn a_device_that_fails_after_every_frame_is_not_hurried() {
        // Popped from the end: a frame, then a failure, three times.
        let mut source = Kept::new(Flaky([false, true].repeat(3)));
        let since = Instant::now();
        let count = std::iter::from_fn(|| source.next(&Stop::default())).count();
        assert_eq!(count, 6);
        assert!(since.elapsed() >= SHORTEST * 7, "{:?}", since.elapsed());
    }

    /// Fails as often as it is told to, then delivers one gap named `sample`.
    struct Flaky(Vec<bool>);

    impl Device for Flaky {
        type Session = ();

        fn name(&self) -> &str {
            "flaky"
        }

        fn open(&mut self) -> Result<()> {
            Ok(())
        }

        fn read(&mut self, (): &mut (), _: &Stop) -> Result<Step> {
            match self.0.pop() {
                Some(true) => Ok(Step::Captured(Captured::now(Content::Missing(Gap::one("sample"))))),
                Some(false) => Err(Error::new(Code::NotFound, "gone", "plug it in")),
                None => Ok(Step::End),
            }
        }
    }

    /// A microphone of 1 kHz; otherwise as [`Flaky`], with blocks of 10 ms.
    struct Ear(Vec<bool>);

    impl Device for Ear {
        type Session = ();

        fn name(&self) -> &str {
            "ear"
        }

        fn rate(&self) -> Option<u32> {
            Some(1000)
        }

        fn open(&mut self) -> Result<()> {
            Ok(())
        }

        fn read(&mut self, (): &mut (), _: &Stop) -> Result<Step> {
            match self.0.pop() {
                Some(true) => {
                    let sound = Sample::Audio(Audio::new(1000, 1, vec![0.0; 10])?);
                    let time = Time::now().before(Duration::from_millis(10));
                    let content = Content::Sample(Arc::new(sound));
                    Ok(Step::Captured(Captured { time, ..Captured::now(content) }))
                }
                Some(false) => Err(Error::new(Code::NotFound, "gone", "plug it in")),
                None => Ok(Step::End),
            }
        }
    }

    #[test]
    fn the_sound_of_an_outage_is_counted() {
        let mut source = Kept::new(Ear(vec![true, false, true]));
        let stop = Stop::default();
        let before = source.next(&stop).unwrap();
        let told = source.next(&stop).unwrap();
        let after = source.next(&stop).unwrap();
        let Content::Missing(gap) = told.content else { panic!() };
        let missing = gap.missing + after.before.unwrap().missing;
        // A sample a millisecond.
        let lasted_us = after.time.monotonic_us - before.end_us().unwrap();
        assert!(missing >= 240 && missing.abs_diff(lasted_us / 1000) <= 1, "{missing} in {lasted_us} us");
    }

    #[test]
    fn an_outage_is_one_gap_and_then_it_goes_on() {
        let mut source = Kept::new(Flaky(vec![true, false, false, true]));
        let stop = Stop::default();
        let mut seen = Vec::new();
        while let Some(captured) = source.next(&stop) {
            let Content::Missing(gap) = captured.content else { panic!() };
            seen.push(gap.reason);
        }
        assert_eq!(seen, ["sample", "AFF-NOT-FOUND: flaky: gone", "sample"]);
        assert!(
            Kept::new(Flaky(vec![true]))
                .next(&{
                    stop.set();
                    stop
                })
                .is_none()
        );
    }
}
