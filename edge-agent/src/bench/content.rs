//! What is encoded: photographs as a camera delivers them, and speech in blocks. The
//! cost and the rate of most codecs depend on the content: neither noise nor test
//! patterns stand for it.

use crate::config::Replay;
use crate::source::{Content, ReplaySource, Source};
use crate::stop::Stop;
use afferent_boards_spec::benchmark::Input;
use afferent_codec::{Chunk, Limits, Registry};
use afferent_media::frame::{Range, RawFormat, RawLayout};
use afferent_media::{Audio, AudioView, Bytes, Code, Error, Image, Modality, PixelFormat, Result, Sample};
use std::f32::consts::TAU;
use std::path::Path;
use std::sync::Arc;

/// A photograph of fine and smooth places, 640x617 (CC0-1.0; data/demo/ATTRIBUTION.md).
const PHOTOGRAPH: &[u8] = include_bytes!("../../../data/demo/images/dandelion.jpg");
/// Height of the parts of the photograph, whose width is that of a VGA frame.
const PART: u32 = 480;
/// Parts, evenly from top to bottom.
const PARTS: u32 = 4;

/// Most pictures of a user's own.
const MAX_PICTURES: usize = 64;
/// Most pixels of all of them.
const MAX_PIXELS: u64 = 32_000_000;
/// Most seconds of a user's own sound.
const MAX_SECONDS: f64 = 300.0;

/// Samples of one modality.
pub(super) struct Material {
    pub(super) modality: Modality,
    /// Each with its megapixels, or its seconds of sound. Not empty.
    pub(super) samples: Vec<(Arc<Sample>, f64)>,
    pub(super) described: Input,
}

impl Material {
    fn new(modality: Modality, content: String, samples: Vec<Sample>) -> Result<Self> {
        if samples.is_empty() {
            return Err(Error::new(
                Code::NotFound,
                format!("{content}: nothing to encode"),
                "name a folder with pictures, or with sound of a second and longer",
            ));
        }
        let units = |sample: &Sample| match sample {
            Sample::Image(image) => image.view().pixels().0,
            Sample::Audio(audio) => audio.data().len() as u64,
        };
        #[allow(clippy::cast_precision_loss)]
        let amount = |sample: &Sample| match sample {
            Sample::Image(image) => image.view().pixels().0 as f64 / 1e6,
            Sample::Audio(audio) => audio.view().seconds(),
        };
        let described = Input {
            modality: modality.to_string(),
            content,
            samples: samples.len() as u64,
            units: samples.iter().map(units).sum(),
        };
        let samples = samples.into_iter().map(|sample| (amount(&sample), Arc::new(sample)));
        Ok(Self { modality, samples: samples.map(|(amount, sample)| (sample, amount)).collect(), described })
    }
}

/// Pictures of `path`, or the bundled ones.
pub(super) fn pictures(path: Option<&Path>, registry: &Registry) -> Result<Material> {
    let Some(path) = path else {
        let content = format!(
            "{PARTS} parts, 640x{PART}, of the photograph `seeding` by Clemens Engelhardt (CC0-1.0), as planar 4:2:2 of a YUYV camera"
        );
        return Material::new(Modality::Image, content, bundled(registry)?);
    };
    let content = format!("{}, as planar 4:2:2 of a YUYV camera", path.display());
    Material::new(Modality::Image, content, own_pictures(path, MAX_PIXELS)?)
}

/// The first pictures of `path`, at most `most` pixels together.
fn own_pictures(path: &Path, most: u64) -> Result<Vec<Sample>> {
    let mut frames = Vec::new();
    let mut pixels = 0;
    for sample in recorded(path, Modality::Image)?.take(MAX_PICTURES) {
        let Sample::Image(image) = &*sample? else { continue };
        pixels += image.view().pixels().0;
        if pixels > most {
            if frames.is_empty() {
                return Err(Error::new(
                    Code::Limit,
                    format!("{}: the first picture has {pixels} pixels, above the limit of {most}", path.display()),
                    "make it smaller, or begin with another one",
                ));
            }
            break;
        }
        frames.push(Sample::Image(as_camera(image)?));
    }
    Ok(frames)
}

/// Parts of the bundled photograph.
fn bundled(registry: &Registry) -> Result<Vec<Sample>> {
    let mut photograph = Image::default();
    let file = Chunk { index: 0, bytes: PHOTOGRAPH, side: Bytes(0), header: Bytes(0) };
    registry.get("jpeg")?.image_decoder(&Limits::default())?.decode(&[file], &mut photograph)?;
    let row = photograph.view().stride();
    let last = photograph.height().saturating_sub(PART);
    let part = |number: u32| {
        let top = (last * number / (PARTS - 1)) as usize * row;
        let rows = photograph.data().get(top..top + PART as usize * row).unwrap_or_default();
        as_camera(&Image::new(photograph.width(), PART, photograph.format(), rows.to_vec())?).map(Sample::Image)
    };
    (0..PARTS).map(part).collect()
}

/// `image` as a YUYV camera delivers it; grey stays grey.
fn as_camera(image: &Image) -> Result<Image> {
    if image.format() != PixelFormat::Rgb8 {
        return Ok(image.clone());
    }
    let view = image.view();
    let mut raw = Vec::with_capacity(RawFormat::Yuyv.row(view.width()) * view.height() as usize);
    for row in view.rows() {
        for pair in row.chunks(6) {
            let (first, second) = pair.split_at(3);
            // The last column of an odd width stands for the one that is not there.
            let second = if second.is_empty() { first } else { second };
            let ([y0, u0, v0], [y1, u1, v1]) = (yuv(first), yuv(second));
            raw.extend([y0, f32::midpoint(u0, u1), y1, f32::midpoint(v0, v1)].map(|value| value.round() as u8));
        }
    }
    let mut frame = Image::default();
    RawLayout::new(RawFormat::Yuyv, view.width(), view.height(), 0, Range::Full)?.split(&raw, &mut frame)?;
    Ok(frame)
}

/// One pixel by JFIF's equations.
fn yuv(rgb: &[u8]) -> [f32; 3] {
    let part = |n: usize| rgb.get(n).copied().map_or(0.0, f32::from);
    let (r, g, b) = (part(0), part(1), part(2));
    [
        0.299 * r + 0.587 * g + 0.114 * b,
        128.0 - 0.168_736 * r - 0.331_264 * g + 0.5 * b,
        128.0 + 0.5 * r - 0.418_688 * g - 0.081_312 * b,
    ]
}

/// Sound of `path`, or made, in blocks of a second.
pub(super) fn sound(path: Option<&Path>) -> Result<Material> {
    let Some(path) = path else {
        let audio = Audio::new(RATE, 1, speech())?;
        let content = format!("{SECONDS} s like speech, made by rule, {RATE} Hz, mono, in blocks of 1 s");
        return Material::new(Modality::Audio, content, blocks(audio.view())?);
    };
    let mut all = Vec::new();
    let mut seconds = 0.0;
    for sample in recorded(path, Modality::Audio)? {
        let Sample::Audio(audio) = &*sample? else { continue };
        let left = MAX_SECONDS - seconds;
        all.extend(blocks(audio.view())?.into_iter().take(left as usize));
        seconds += audio.view().seconds();
        if seconds >= MAX_SECONDS {
            break;
        }
    }
    Material::new(Modality::Audio, format!("{}, in blocks of 1 s", path.display()), all)
}

/// The whole seconds of `audio`, one by one.
fn blocks(audio: AudioView<'_>) -> Result<Vec<Sample>> {
    let second = audio.rate() as usize;
    let block = |number: usize| {
        let channels = (0..audio.channels()).map(|channel| &audio.channel(channel)[number * second..][..second]);
        Audio::new(audio.rate(), audio.channels(), channels.flatten().copied().collect()).map(Sample::Audio)
    };
    (0..audio.frames() / second).map(block).collect()
}

/// What the files of `path` hold, once.
fn recorded(path: &Path, modality: Modality) -> Result<impl Iterator<Item = Result<Arc<Sample>>>> {
    let replay = Replay { path: path.to_owned(), pace: Default::default(), period_ms: 0, repeat: 1 };
    let mut source = ReplaySource::new(&replay, modality, 0)?;
    let stop = Stop::default();
    Ok(std::iter::from_fn(move || match source.next(&stop)?.content {
        Content::Sample(sample) => Some(Ok(sample)),
        Content::Missing(gap) => Some(Err(Error::new(Code::Corrupt, gap.reason, "remove the file, or mend it"))),
        Content::Coded(_) => None,
    }))
}

/// Sampling rate of the sound that is made.
const RATE: u32 = 16_000;
/// Its length.
const SECONDS: usize = 8;
/// Formants of the vowels a, e, i, o and u of a man's voice, in hertz (Peterson and
/// Barney, 1952, rounded).
const VOWELS: [[f32; 3]; 5] = [
    [730.0, 1090.0, 2440.0],
    [530.0, 1840.0, 2480.0],
    [270.0, 2290.0, 3010.0],
    [570.0, 840.0, 2410.0],
    [300.0, 870.0, 2240.0],
];

/// A resonance of two poles.
#[derive(Default)]
struct Resonance([f32; 2]);

impl Resonance {
    /// Takes one sample; `width` is its bandwidth in hertz.
    fn pass(&mut self, input: f32, hertz: f32, width: f32) -> f32 {
        let radius = (-std::f32::consts::PI * width / RATE as f32).exp();
        let turn = 2.0 * radius * (TAU * hertz / RATE as f32).cos();
        let output = (1.0 - turn + radius * radius) * input + turn * self.0[0] - radius * radius * self.0[1];
        self.0 = [output, self.0[0]];
        output
    }
}

/// Syllables of a consonant of noise and a vowel of a falling voice, with pauses: the
/// source-filter model of speech.
#[allow(clippy::cast_precision_loss)]
fn speech() -> Vec<f32> {
    /// Length of a syllable and of its consonant, in samples.
    const SYLLABLE: usize = 3600;
    const CONSONANT: usize = 1100;
    let mut formants: [Resonance; 3] = Default::default();
    let mut hiss = Resonance::default();
    let (mut phase, mut seed) = (0.0f32, 1u32);
    let length = RATE as usize * SECONDS;
    let mut sound: Vec<f32> = (0..length)
        .map(|n| {
            let (number, at) = (n / SYLLABLE, n % SYLLABLE);
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let noise = (seed >> 8) as f32 / (1 << 23) as f32 - 1.0;
            let pause = number % 7 == 6;
            let voiced = !pause && at >= CONSONANT;
            // The voice falls through a phrase of six syllables, and swells in each.
            let hertz = 130.0 - 7.0 * (number % 7) as f32 + 6.0 * (at as f32 / 900.0).sin();
            phase = (phase + hertz / RATE as f32).fract();
            let swell =
                (std::f32::consts::PI * (at.saturating_sub(CONSONANT)) as f32 / (SYLLABLE - CONSONANT) as f32).sin();
            let mut voice = if voiced { swell * (1.0 - 2.0 * phase) } else { 0.0 } + 0.002 * noise;
            for (formant, &hertz) in formants.iter_mut().zip(&VOWELS[number * 3 % 5]) {
                voice = formant.pass(voice, hertz, 50.0 + hertz / 20.0);
            }
            let hissed = hiss.pass(noise, 4500.0, 1500.0);
            let burst = if pause || voiced { 0.0 } else { (std::f32::consts::PI * at as f32 / CONSONANT as f32).sin() };
            voice + 0.05 * burst * hissed
        })
        .collect();
    let highest = sound.iter().fold(f32::MIN_POSITIVE, |highest, value| highest.max(value.abs()));
    sound.iter_mut().for_each(|value| *value *= 0.5 / highest);
    sound
}

#[cfg(test)]
mod tests {
    use super::*;
    use afferent_codec_conventional::open;

    #[test]
    fn the_bundled_pictures_are_frames_of_a_camera() {
        let material = pictures(None, &crate::registry()).unwrap();
        assert_eq!((material.described.samples, material.described.units), (4, 4 * 640 * 480));
        let frames: Vec<&Image> = material
            .samples
            .iter()
            .map(|(sample, _)| match &**sample {
                Sample::Image(image) => image,
                Sample::Audio(_) => panic!(),
            })
            .collect();
        assert!(frames.iter().all(|frame| frame.format() == PixelFormat::I422));
        assert!(frames.windows(2).all(|pair| pair[0] != pair[1]));
    }

    #[test]
    fn rgb_becomes_what_a_camera_would_have_said() {
        let image = Image::new(3, 1, PixelFormat::Rgb8, vec![255, 0, 0, 255, 0, 0, 10, 10, 10]).unwrap();
        assert_eq!(as_camera(&image).unwrap().data(), [76, 76, 10, 85, 128, 255, 128]);
    }

    #[test]
    fn sound_has_voice_hiss_and_pauses() {
        let material = sound(None).unwrap();
        assert_eq!((material.samples.len(), material.described.units), (SECONDS, RATE as u64 * SECONDS as u64));
        let speech = speech();
        let loudness = |part: &[f32]| (part.iter().map(|v| v * v).sum::<f32>() / part.len() as f32).sqrt();
        let windows: Vec<f32> = speech.chunks(320).map(loudness).collect();
        assert!(windows.iter().copied().fold(0.0, f32::max) > 0.05);
        assert!(windows.iter().filter(|&&loudness| loudness < 0.003).count() > 30, "{windows:?}");
    }

    #[test]
    fn a_first_picture_above_the_limit_is_named() {
        let folder = tempfile::tempdir().unwrap();
        for (name, width) in [("a.png", 4), ("b.png", 5)] {
            let image = Image::new(width, 1, PixelFormat::Gray8, vec![7; width as usize]).unwrap();
            open::write(&Sample::Image(image), &folder.path().join(name)).unwrap();
        }
        let of = |most| own_pictures(folder.path(), most);
        assert_eq!((of(9).unwrap().len(), of(8).unwrap().len()), (2, 1));
        let error = of(3).unwrap_err();
        assert!(error.code() == Code::Limit && error.what().contains("4 pixels, above the limit of 3"), "{error}");
    }

    #[test]
    fn nothing_to_encode_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        assert!(pictures(Some(folder.path()), &crate::registry()).is_err());
        assert!(sound(Some(&folder.path().join("none"))).is_err());
    }
}
