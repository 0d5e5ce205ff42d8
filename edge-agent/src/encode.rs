//! The encoding stage: samples in, packet bodies out.

use crate::config;
use crate::source::{Captured, Coded, Content};
use crate::spool::Meta;
use afferent_codec::{Chunk, Gap, ImageDecoder, Limits, Registry, SampleEncoder, gap};
use afferent_codec_gstreamer::element::Element;
use afferent_link::frame::MAX_FRAME;
use afferent_media::{Bytes, Code, Error, Image, Modality, RateParts, Result, Sample};
use std::time::{Duration, Instant};

/// An encoded sample on its way to the spool.
pub struct Encoded {
    /// Number of the stream.
    pub stream: u32,
    /// What is known of it.
    pub meta: Meta,
    /// Its container, or a gap.
    pub body: Vec<u8>,
    /// When a sample was there as a whole (sound: its end), on the monotonic clock in
    /// microseconds; `None` for a gap.
    pub whole_us: Option<u64>,
}

impl Encoded {
    /// A gap of a stream, from what was captured at `captured_us` on.
    pub(crate) fn gap(stream: u32, captured_us: i64, gap: &Gap) -> Self {
        let mut body = Vec::new();
        let parts = record(gap, &mut body);
        Self { stream, meta: Meta { captured_us, parts, ..Meta::default() }, body, whole_us: None }
    }
}

/// How often a stream whose samples cannot be encoded is logged.
const QUIET: Duration = Duration::from_secs(10);

/// The longest body that a frame of the link holds, with room for its header.
const MAX_BODY: u64 = (MAX_FRAME - 1024) as u64;

/// What is accepted will be sent until it arrives, so what no frame can hold
/// must not be accepted.
fn fits(parts: RateParts) -> Result<RateParts> {
    let bytes = parts.storage().0;
    if bytes <= MAX_BODY {
        return Ok(parts);
    }
    Err(Error::new(
        Code::Limit,
        format!("the sample takes {bytes} bytes, a packet holds {MAX_BODY}"),
        "choose another codec or a lower knob, or smaller samples",
    ))
}

/// Encodes the samples of one stream at its operating point.
pub struct StreamEncoder {
    stream: u32,
    backfill: bool,
    encoder: SampleEncoder,
    modality: Modality,
    /// Whether what a camera has coded passes as it is.
    adopts: bool,
    /// Decodes what a camera has coded and must not pass as it is.
    registry: Registry,
    decoder: Option<(&'static str, Box<dyn ImageDecoder>)>,
    /// Size of the last body: a good guess of the next one's.
    guess: usize,
    dropped: u64,
    /// When a failure was last logged, and how many there were since.
    said: Option<Instant>,
    unsaid: u64,
}

impl StreamEncoder {
    /// The encoder of stream number `stream`.
    ///
    /// # Errors
    /// Those of the registry and the codec: an unknown id, preset or knob.
    pub fn new(stream: u32, config: &config::Stream, registry: &Registry) -> Result<Self> {
        let codec = registry.get(&config.codec).map_err(|error| {
            let encoders: Vec<_> = Element::of(&config.codec).collect();
            let error = if encoders.is_empty() {
                error
            } else {
                Error::new(
                    Code::Config,
                    format!("codec `{}` has no encoder of its own", config.codec),
                    format!("name one in encode.gstreamer: {}", encoders.join(", ")),
                )
            };
            error.at(format!("stream `{}`", config.name))
        })?;
        let settings = config.settings();
        let encoder =
            SampleEncoder::new(codec.as_ref(), &settings).map_err(|e| e.at(format!("stream `{}`", config.name)))?;
        Ok(Self {
            stream,
            backfill: config.class == config::Class::Backfill,
            encoder,
            modality: codec.descriptor().modality,
            adopts: config.adopts(),
            registry: registry.clone(),
            decoder: None,
            guess: 0,
            dropped: 0,
            said: None,
            unsaid: 0,
        })
    }

    /// The modality that the stream's codec takes.
    #[must_use]
    pub fn modality(&self) -> Modality {
        self.modality
    }

    /// How long the last sample took to be made smaller; `None` if nothing was resized.
    #[must_use]
    pub fn resized_in(&self) -> Option<std::time::Duration> {
        self.encoder.resized_in()
    }

    /// How much of the last sample could not be encoded: images, or samples of sound
    /// per channel.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.dropped
    }

    /// Encodes a sample. One that could not be captured or encoded becomes a gap.
    pub fn encode(&mut self, captured: Captured) -> Encoded {
        let start = Instant::now();
        let mut body = Vec::with_capacity(self.guess + self.guess / 8);
        let units = captured.content.units().unwrap_or(0);
        let whole_us = captured.end_us();
        self.dropped = 0;
        let encoded = match captured.content {
            Content::Sample(sample) => self.encoder.encode(&sample, &mut body),
            Content::Coded(coded) => self.encode_coded(&coded, &mut body),
            Content::Missing(gap) => {
                log::info!("stream {}: {} missing: {}", self.stream, gap.missing, gap.reason);
                Ok(record(&gap, &mut body))
            }
        };
        let encode_us = u32::try_from(start.elapsed().as_micros()).unwrap_or(u32::MAX);
        let parts = encoded.and_then(fits).unwrap_or_else(|error| {
            self.say(&error);
            self.dropped = units;
            let missing = units.max(1);
            record(&Gap { missing, reason: format!("{}: {}", error.code(), error.what()) }, &mut body)
        });
        self.guess = body.len();
        let meta = Meta {
            sample_id: captured.sample_id,
            backfill: self.backfill,
            captured_us: captured.time.wall_us,
            encode_us,
            parts,
            position: captured.position,
        };
        let whole_us = whole_us.filter(|_| self.dropped == 0);
        Encoded { stream: self.stream, meta, body, whole_us }
    }

    /// Logs a failure, unless another was just logged: every one is in its gap.
    fn say(&mut self, error: &Error) {
        if self.said.is_some_and(|said| said.elapsed() < QUIET) {
            self.unsaid += 1;
            return;
        }
        match std::mem::take(&mut self.unsaid) {
            0 => log::warn!("stream {}: {error}", self.stream),
            more => log::warn!("stream {}: {error} (and {more} failures before it that were not logged)", self.stream),
        }
        self.said = Some(Instant::now());
    }

    fn encode_coded(&mut self, coded: &Coded, body: &mut Vec<u8>) -> Result<RateParts> {
        if self.adopts {
            return self.encoder.adopt(&coded.file, body);
        }
        let decoder = match &mut self.decoder {
            Some((codec, decoder)) if *codec == coded.codec => decoder,
            other => {
                let decoder = self.registry.get(coded.codec)?.image_decoder(&Limits::default())?;
                &mut other.insert((coded.codec, decoder)).1
            }
        };
        let mut image = Image::default();
        let chunk = Chunk { index: 0, bytes: &coded.file, side: Bytes(0), header: Bytes(0) };
        decoder.decode(&[chunk], &mut image)?;
        self.encoder.encode(&Sample::Image(image), body)
    }
}

/// Makes `body` that of a gap.
fn record(gap: &Gap, body: &mut Vec<u8>) -> RateParts {
    *body = gap::write(gap);
    RateParts { container: Bytes(body.len() as u64), ..RateParts::default() }
}
