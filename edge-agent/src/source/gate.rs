//! What a stream keeps of what its source delivers: what a trigger asks for, fewer
//! samples, those of certain hours, those in which something moves or is heard.
//!
//! What is withheld is counted by its reason. The counts become a gap before a kept
//! sample or, where nothing is kept, in its place: at most one every
//! [`RECORD_EVERY`], and one when the source ends.

use super::trigger::{Shutter, Verdict};
use super::{Captured, Coded, Content, Source};
use crate::config::{Motion, Stream, Voice, Window};
use crate::stop::Stop;
use afferent_codec::Gap;
use afferent_codec_conventional::jpeg;
use afferent_media::resize::{Filter, resize};
use afferent_media::{AudioView, Code, Error, Image, ImageView, Modality, PixelFormat, Result, Sample};
use std::collections::VecDeque;
use std::time::Duration;

/// Time between two gaps that say what was withheld.
pub const RECORD_EVERY: Duration = Duration::from_secs(10);

/// By how much motion makes pictures smaller, along each side.
const SHRINK: u32 = 8;

/// `source` behind the gate of `stream`; the source itself where there is none.
///
/// # Errors
/// [`Code::Config`] for motion of sound and for voice in pictures.
pub(super) fn closed_by(stream: &Stream, modality: Modality, source: Box<dyn Source>) -> Result<Box<dyn Source>> {
    let mut rules: Vec<Box<dyn Rule>> = Vec::new();
    // The cheapest first: what one withholds, the next need not look at.
    if !stream.schedule.is_empty() {
        rules.push(Box::new(Schedule(stream.schedule.clone())));
    }
    if stream.every > 1 {
        rules.push(Box::new(Every { every: stream.every, seen: 0 }));
    }
    if stream.max_per_s > 0.0 {
        rules.push(Box::new(Rate { period_us: (1e6 / stream.max_per_s) as u64, next_us: 0 }));
    }
    let of = |key: &str, wanted: Modality| {
        if modality == wanted {
            return Ok(());
        }
        Err(Error::new(
            Code::Config,
            format!("`{key}` looks at {wanted}, codec `{}` takes {modality}", stream.codec),
            format!("leave [stream.{key}] out, or choose a codec for {wanted}"),
        ))
    };
    if let Some(motion) = &stream.motion {
        of("motion", Modality::Image)?;
        rules.push(Box::new(Movement::new(motion)));
    }
    if let Some(voice) = &stream.voice {
        of("voice", Modality::Audio)?;
        rules.push(Box::new(Activity::new(voice)));
    }
    // Before all others: the trigger stands for the camera's own.
    let trigger = stream.trigger.as_ref().map(Shutter::new);
    if rules.is_empty() && trigger.is_none() {
        return Ok(source);
    }
    Ok(Box::new(Gate {
        source,
        trigger,
        rules,
        withheld: Vec::new(),
        recorded_us: None,
        position: None,
        ready: VecDeque::new(),
        ended: false,
    }))
}

/// One reason to withhold samples.
trait Rule: Send {
    /// What to call it in the gap.
    fn name(&self) -> &'static str;

    /// Whether the sample is kept.
    fn keeps(&mut self, captured: &Captured) -> bool;
}

struct Gate {
    source: Box<dyn Source>,
    trigger: Option<Shutter>,
    rules: Vec<Box<dyn Rule>>,
    /// By whom how much was withheld since the last record: images, or samples of sound.
    withheld: Vec<(&'static str, u64)>,
    recorded_us: Option<u64>,
    /// Where the source goes on after what was looked at last.
    position: Option<u64>,
    /// What comes next.
    ready: VecDeque<Captured>,
    ended: bool,
}

impl Gate {
    /// The gap of what was withheld, if anything was.
    fn record(&mut self) -> Option<Gap> {
        let missing = self.withheld.iter().map(|(_, count)| count).sum();
        if missing == 0 {
            return None;
        }
        let reasons: Vec<String> = self.withheld.drain(..).map(|(by, count)| format!("{count} by {by}")).collect();
        Some(Gap { missing, reason: format!("withheld as configured: {}", reasons.join(", ")) })
    }

    fn withhold(&mut self, by: &'static str, units: u64) {
        match self.withheld.iter_mut().find(|(known, _)| *known == by) {
            Some((_, count)) => *count += units,
            None => self.withheld.push((by, units)),
        }
    }

    /// Readies what becomes of a sample that the trigger has let through, or has not.
    fn judge(&mut self, captured: Captured, verdict: Verdict) {
        // A gap of the source itself is never withheld.
        let Some(units) = captured.content.units() else { return self.ready.push_back(captured) };
        let by = match verdict {
            Verdict::Kept => self.rules.iter_mut().find_map(|rule| (!rule.keeps(&captured)).then(|| rule.name())),
            Verdict::Withheld => Some("the trigger"),
            Verdict::Unread => Some("a trigger that cannot be read"),
        };
        if let Some(by) = by {
            self.withhold(by, units);
            self.position = captured.position;
        }
        let time = captured.time;
        let since_us = time.monotonic_us.saturating_sub(*self.recorded_us.get_or_insert(time.monotonic_us));
        if u128::from(since_us) >= RECORD_EVERY.as_micros() {
            self.recorded_us = Some(time.monotonic_us);
            let position = self.position;
            let gap = self.record().map(|gap| Captured { time, position, ..Captured::now(Content::Missing(gap)) });
            self.ready.extend(gap);
        }
        self.position = captured.position;
        if by.is_none() {
            self.ready.push_back(captured);
        }
    }
}

impl Source for Gate {
    fn next(&mut self, stop: &Stop) -> Option<Captured> {
        while self.ready.is_empty() && !self.ended {
            let captured = self.source.next(stop);
            self.ended = captured.is_none();
            if let Some(trigger) = &mut self.trigger {
                trigger.take(captured);
                while let Some((captured, verdict)) = self.trigger.as_mut().and_then(Shutter::decided) {
                    self.judge(captured, verdict);
                }
            } else if let Some(captured) = captured {
                self.judge(captured, Verdict::Kept);
            }
            if self.ended {
                let position = self.position;
                let gap = self.record().map(|gap| Captured { position, ..Captured::now(Content::Missing(gap)) });
                self.ready.extend(gap);
            }
        }
        self.ready.pop_front()
    }
}

/// The hours of the day.
struct Schedule(Vec<Window>);

impl Rule for Schedule {
    fn name(&self) -> &'static str {
        "the schedule"
    }

    fn keeps(&mut self, captured: &Captured) -> bool {
        let minute = captured.time.wall_us.div_euclid(60_000_000).rem_euclid(24 * 60);
        self.0.iter().any(|window| window.holds(minute as u16))
    }
}

/// Every so many samples one.
struct Every {
    every: u32,
    seen: u64,
}

impl Rule for Every {
    fn name(&self) -> &'static str {
        "`every`"
    }

    fn keeps(&mut self, _: &Captured) -> bool {
        self.seen += 1;
        (self.seen - 1).is_multiple_of(self.every.into())
    }
}

/// At most so many samples a second, evenly.
struct Rate {
    period_us: u64,
    next_us: u64,
}

impl Rule for Rate {
    fn name(&self) -> &'static str {
        "`max_per_s`"
    }

    fn keeps(&mut self, captured: &Captured) -> bool {
        let now = captured.time.monotonic_us;
        // A frame that comes a little early keeps its place.
        if now + self.period_us / 8 < self.next_us {
            return false;
        }
        // One in its place keeps the grid; one after a pause, or the first, begins another.
        let next = self.next_us + self.period_us;
        self.next_us = if next > now { next } else { now + self.period_us };
        true
    }
}

/// Whether the picture differs from the last one that was kept: the mean absolute
/// difference of luma at an eighth of the size.
struct Movement {
    threshold: f32,
    hold_us: u64,
    kept: Option<Image>,
    /// Until when everything is kept.
    until_us: Option<u64>,
}

impl Movement {
    fn new(motion: &Motion) -> Self {
        let hold_us = u64::from(motion.hold_ms) * 1000;
        Self { threshold: motion.threshold, hold_us, kept: None, until_us: None }
    }

    fn luma(content: &Content) -> Result<Option<Image>> {
        match content {
            Content::Coded(Coded { file, .. }) => jpeg::eighth(file).map(Some),
            Content::Sample(sample) => match &**sample {
                Sample::Image(image) => eighth(image.view()).map(Some),
                Sample::Audio(_) => Ok(None),
            },
            Content::Missing(_) => Ok(None),
        }
    }
}

/// Luma at an eighth of the size.
fn eighth(image: ImageView<'_>) -> Result<Image> {
    let mut converted = Image::default();
    let image = match (image.format(), image.planes().next()) {
        (PixelFormat::I420 | PixelFormat::I422, Some(luma)) => {
            ImageView::new(luma.width, luma.height, luma.stride, PixelFormat::Gray8, luma.data)?
        }
        _ => {
            image.interleave(&mut converted)?;
            converted.view()
        }
    };
    let side = |side: u32| side.div_ceil(SHRINK);
    let small = resize(image, None, side(image.width()), side(image.height()), Filter::Box)?;
    if small.format() == PixelFormat::Gray8 {
        return Ok(small);
    }
    let luma = |rgb: &[u8; 3]| ((u32::from(rgb[0]) * 77 + u32::from(rgb[1]) * 150 + u32::from(rgb[2]) * 29) >> 8) as u8;
    Image::new(
        small.width(),
        small.height(),
        PixelFormat::Gray8,
        small.data().as_chunks::<3>().0.iter().map(luma).collect(),
    )
}

impl Rule for Movement {
    fn name(&self) -> &'static str {
        "motion"
    }

    #[allow(clippy::cast_precision_loss)]
    fn keeps(&mut self, captured: &Captured) -> bool {
        let now = captured.time.monotonic_us;
        // A picture that cannot be read is not withheld: what is wrong with it shall be seen.
        let Ok(Some(luma)) = Self::luma(&captured.content) else { return true };
        let moved = match &self.kept {
            Some(kept) if (kept.width(), kept.height()) == (luma.width(), luma.height()) => {
                let pairs = kept.data().iter().zip(luma.data());
                let sum: u64 = pairs.map(|(&a, &b)| u64::from(a.abs_diff(b))).sum();
                sum as f32 / luma.data().len() as f32 >= self.threshold
            }
            _ => true,
        };
        if moved {
            self.until_us = Some(now + self.hold_us);
        }
        let keep = moved || self.until_us.is_some_and(|until| now < until);
        if keep {
            self.kept = Some(luma);
        }
        keep
    }
}

/// Whether the block is loud enough, or follows one that was: the root mean square of
/// its loudest 20 ms, in decibels below full scale.
struct Activity {
    threshold: f32,
    hangover_us: u64,
    until_us: Option<u64>,
}

impl Activity {
    fn new(voice: &Voice) -> Self {
        Self {
            threshold: 10f32.powf(voice.threshold_db / 20.0),
            hangover_us: u64::from(voice.hangover_ms) * 1000,
            until_us: None,
        }
    }
}

/// The root mean square of the loudest 20 ms of any channel, full scale at 1.
#[allow(clippy::cast_precision_loss)]
fn loudest(audio: AudioView<'_>) -> f32 {
    let window = (audio.rate() as usize / 50).max(1);
    let windows = (0..audio.channels()).flat_map(|channel| audio.channel(channel).chunks(window));
    let powers = windows.map(|window| window.iter().map(|v| v * v).sum::<f32>() / window.len() as f32);
    powers.fold(0.0, f32::max).sqrt()
}

impl Rule for Activity {
    fn name(&self) -> &'static str {
        "voice activity"
    }

    fn keeps(&mut self, captured: &Captured) -> bool {
        let Content::Sample(sample) = &captured.content else { return true };
        let Sample::Audio(audio) = &**sample else { return true };
        let now = captured.time.monotonic_us;
        if loudest(audio.view()) >= self.threshold {
            self.until_us = captured.end_us().map(|end| end + self.hangover_us);
            return true;
        }
        self.until_us.is_some_and(|until| now < until)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::Time;
    use afferent_media::Audio;
    use std::sync::Arc;

    /// Samples as they are listed, one each `period_us`.
    struct Listed {
        samples: Vec<Sample>,
        /// When the first comes.
        start_us: u64,
        period_us: u64,
        next: usize,
    }

    impl Source for Listed {
        fn next(&mut self, _: &Stop) -> Option<Captured> {
            let sample = self.samples.get(self.next)?.clone();
            let since_us = self.next as u64 * self.period_us;
            self.next += 1;
            let time = Time { wall_us: since_us as i64, monotonic_us: self.start_us + since_us };
            let frame = Some(self.next as u64 - 1);
            Some(Captured { time, frame, ..Captured::now(Content::Sample(Arc::new(sample))) })
        }
    }

    /// The frames that were kept, and the reasons of the gaps with what they count.
    fn run(config: &str, samples: Vec<Sample>, period_us: u64) -> (Vec<u64>, Vec<(u64, String)>) {
        run_from(0, config, samples, period_us)
    }

    fn run_from(start_us: u64, config: &str, samples: Vec<Sample>, period_us: u64) -> (Vec<u64>, Vec<(u64, String)>) {
        let stream: Stream = toml::from_str(&format!("name = 'a'\ncodec = 'x'\n{config}")).unwrap();
        let modality = samples[0].modality();
        let source = Box::new(Listed { samples, start_us, period_us, next: 0 });
        let mut source = closed_by(&stream, modality, source).unwrap();
        let (mut kept, mut gaps) = (Vec::new(), Vec::new());
        while let Some(captured) = source.next(&Stop::default()) {
            match captured.content {
                Content::Missing(gap) => gaps.push((gap.missing, gap.reason)),
                _ => kept.push(captured.frame.unwrap()),
            }
        }
        assert!(source.next(&Stop::default()).is_none());
        (kept, gaps)
    }

    fn grey(value: u8) -> Sample {
        Sample::Image(Image::new(20, 10, PixelFormat::Gray8, vec![value; 200]).unwrap())
    }

    #[test]
    fn everything_is_kept_or_counted() {
        let (kept, gaps) = run("every = 3", vec![grey(0); 10], 1000);
        assert_eq!(kept, [0, 3, 6, 9]);
        assert_eq!(gaps, [(6, "withheld as configured: 6 by `every`".into())]);
        // 30 frames a second, for 21 seconds: a record after 10 and 20 s, and one at the end.
        let (kept, gaps) = run("max_per_s = 2.0", vec![grey(0); 630], 33_333);
        assert_eq!(kept.len(), 43);
        assert!(kept.windows(2).all(|pair| (14..=16).contains(&(pair[1] - pair[0]))), "{kept:?}");
        assert_eq!(gaps.len(), 3);
        assert_eq!(kept.len() as u64 + gaps.iter().map(|(missing, _)| missing).sum::<u64>(), 630);
    }

    #[test]
    fn a_rate_holds_from_the_first_sample_on_and_after_a_pause() {
        let kept = run_from(1_000_000_000, "max_per_s = 2.0", vec![grey(0); 91], 33_333).0;
        assert_eq!(kept, [0, 14, 29, 44, 59, 74, 89]);
        let mut rate = Rate { period_us: 500_000, next_us: 0 };
        let mut keeps = |monotonic_us| {
            let time = Time { wall_us: 0, monotonic_us };
            rate.keeps(&Captured { time, ..Captured::now(Content::Missing(Gap::one(""))) })
        };
        let kept = [1_000_000, 1_033_000, 9_000_000, 9_033_000, 9_480_000, 10_010_000].map(&mut keeps);
        assert_eq!(kept, [true, false, true, false, true, true]);
    }

    #[test]
    fn only_what_moves_is_kept() {
        let values = [10, 10, 11, 60, 60, 60, 61, 10];
        let frames: Vec<Sample> = values.iter().map(|&value| grey(value)).collect();
        let (kept, gaps) = run("motion = { threshold = 2.0, hold_ms = 0 }", frames.clone(), 1000);
        assert_eq!(kept, [0, 3, 7]);
        assert_eq!(gaps, [(5, "withheld as configured: 5 by motion".into())]);
        // The picture after the movement is kept too.
        assert_eq!(run("motion = { threshold = 2.0, hold_ms = 1 }", frames.clone(), 999).0, [0, 1, 3, 4, 7]);
        let coloured = frames.into_iter().map(|sample| match sample {
            Sample::Image(image) => Sample::Image(image.into_rgb()),
            other => other,
        });
        assert_eq!(run("motion = { threshold = 2.0, hold_ms = 0 }", coloured.collect(), 1000).0, [0, 3, 7]);
    }

    #[test]
    fn silence_is_withheld_after_the_hangover() {
        let block = |value: f32| Sample::Audio(Audio::new(1000, 1, vec![value; 100]).unwrap());
        let blocks = [0.0, 0.5, 0.0, 0.0, 0.0, 0.001].map(block).to_vec();
        let (kept, gaps) = run("voice = { threshold_db = -40, hangover_ms = 150 }", blocks, 100_000);
        assert_eq!(kept, [1, 2, 3]);
        assert_eq!(gaps, [(300, "withheld as configured: 300 by voice activity".into())]);
    }

    #[test]
    fn a_rule_of_another_modality_is_refused() {
        for (key, modality) in [("motion", Modality::Audio), ("voice", Modality::Image)] {
            let stream: Stream = toml::from_str(&format!("name = 'a'\ncodec = 'x'\n{key} = {{}}")).unwrap();
            let source = Box::new(Listed { samples: Vec::new(), start_us: 0, period_us: 1, next: 0 });
            let Err(error) = closed_by(&stream, modality, source) else { panic!() };
            assert!(error.code() == Code::Config && error.what().contains(key), "{error}");
        }
    }

    #[test]
    fn what_a_trigger_does_not_ask_for_is_withheld() {
        let config = "every = 2\ntrigger = { gpio = { chip = '/dev/gpiochip-none', line = 3 }, before_ms = 5 }";
        let (kept, gaps) = run(config, vec![grey(0); 9], 1000);
        assert!(kept.is_empty(), "{kept:?}");
        assert_eq!(gaps, [(9, "withheld as configured: 9 by a trigger that cannot be read".into())]);
    }

    #[test]
    fn only_the_hours_of_the_schedule_are_kept() {
        // A frame an hour.
        let (kept, _) = run("schedule = ['02:00-04:00', '23:00-01:00']", vec![grey(0); 25], 3_600_000_000);
        assert_eq!(kept, [0, 2, 3, 23, 24]);
    }
}
