//! Replay of recorded media.

use super::{Captured, Content, Source, Time};
use crate::config::{Pace, Replay};
use crate::stop::Stop;
use afferent_codec::Limits;
use afferent_codec_conventional::open;
use afferent_media::manifest::Manifest;
use afferent_media::{Error, Modality, Result, Sample};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Replays a folder or manifest of media files.
pub struct ReplaySource {
    manifest: Manifest,
    modality: Modality,
    pace: Pace,
    period: Duration,
    next: u64,
    total: Option<u64>,
    due: Option<Instant>,
}

impl ReplaySource {
    /// A replay of what `replay` names, as samples of `modality`, from sample
    /// number `start` on: so that an agent goes on where its spool ends.
    ///
    /// # Errors
    /// As [`Manifest::open`].
    pub fn new(replay: &Replay, modality: Modality, start: u64) -> Result<Self> {
        let extensions = open::extensions(modality);
        let manifest = Manifest::open(&replay.path, extensions)?.only(extensions)?;
        let length = manifest.entries().len() as u64;
        if replay.repeat > 0 && start >= length.saturating_mul(replay.repeat.into()) {
            log::warn!(
                "{} was replayed to its end before: give another spool.folder, or a higher repeat, to send it again",
                replay.path.display()
            );
        }
        Ok(Self {
            total: (replay.repeat > 0).then(|| length.saturating_mul(replay.repeat.into())),
            manifest,
            modality,
            pace: replay.pace,
            period: Duration::from_millis(replay.period_ms.into()),
            next: start,
            due: None,
        })
    }

    /// How many samples the replay has in all; `None` if it has no end.
    #[must_use]
    pub fn total(&self) -> Option<u64> {
        self.total
    }
}

impl Source for ReplaySource {
    fn next(&mut self, stop: &Stop) -> Option<Captured> {
        if stop.is_set() || self.total.is_some_and(|total| self.next >= total) {
            return None;
        }
        let entries = self.manifest.entries();
        let entry = &entries[(self.next % entries.len() as u64) as usize];
        self.next += 1;
        let path = self.manifest.path(entry);
        let limits = Limits::default();
        let sample = match self.modality {
            Modality::Image => open::image(&path, &limits).map(Sample::Image),
            Modality::Audio => open::audio(&path, &limits).map(Sample::Audio),
        };
        let length = match &sample {
            Ok(Sample::Audio(audio)) => Some(Duration::from_secs_f64(audio.view().seconds())),
            _ => None,
        };
        if self.pace == Pace::Real {
            let now = Instant::now();
            let due = self.due.unwrap_or(now);
            let next = due + length.unwrap_or(self.period);
            // Sound is there once it has been said.
            let there = if self.modality == Modality::Audio { next } else { due };
            if stop.sleep(there.saturating_duration_since(now)) {
                return None;
            }
            self.due = Some(next);
        }
        // Named by its id: the board's paths stay on the board.
        let content = sample.map(Arc::new).map_err(|e| {
            let what = e.what().replace(&path.display().to_string(), &entry.id);
            Error::new(e.code(), what, "check the file")
        });
        let content = Content::from(content);
        let time = Time::now().before(length.unwrap_or_default());
        Some(Captured { sample_id: entry.id.clone(), time, position: Some(self.next), ..Captured::now(content) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use afferent_media::Audio;

    #[test]
    fn sound_was_captured_before_it_is_there() {
        let folder = tempfile::tempdir().unwrap();
        let sound = Sample::Audio(Audio::new(16_000, 1, vec![0.25; 32_000]).unwrap());
        open::write(&sound, &folder.path().join("a.wav")).unwrap();
        let replay = Replay { path: folder.path().into(), pace: Pace::Fast, period_ms: 0, repeat: 1 };
        let before = Time::now();
        let captured = ReplaySource::new(&replay, Modality::Audio, 0).unwrap().next(&Stop::default()).unwrap();
        assert!(captured.time.monotonic_us < before.monotonic_us);
        assert!((before.monotonic_us..=Time::now().monotonic_us).contains(&captured.end_us().unwrap()));
    }
}
