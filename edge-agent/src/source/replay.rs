//! Replay of recorded media.

use super::{Captured, Content, Source};
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
        if self.pace == Pace::Real {
            let now = Instant::now();
            let due = self.due.unwrap_or(now);
            // Sound is there once it has been said.
            let length = match &sample {
                Ok(Sample::Audio(audio)) => Duration::from_secs_f64(audio.view().seconds()),
                _ => self.period,
            };
            let wait = if self.modality == Modality::Audio { due + length } else { due };
            if stop.sleep(wait.saturating_duration_since(now)) {
                return None;
            }
            self.due = Some(due + length);
        }
        // Named by its id: the board's paths stay on the board.
        let content = sample.map(Arc::new).map_err(|e| {
            let what = e.what().replace(&path.display().to_string(), &entry.id);
            Error::new(e.code(), what, "check the file")
        });
        let content = Content::from(content);
        Some(Captured { sample_id: entry.id.clone(), position: Some(self.next), ..Captured::now(content) })
    }
}
