//! The media files that people have, read and written.
//!
//! | extension | read as | written |
//! |---|---|---|
//! | `.jpg`, `.jpeg` | RGB or grey, the pixels that every program on libjpeg-turbo shows | no |
//! | `.png` | RGB or grey | yes |
//! | `.webp` | RGB, stills only | no |
//! | `.wav`, `.flac` | planar f32, full scale at ±1 | `.wav`, 16 bits |
//!
//! Images become 8-bit RGB or grey: palettes are expanded, of 16 bits the upper 8
//! are kept, alpha is dropped without blending (what lies under transparent pixels
//! shows). [`indices`] reads masks, where a palette's indices are what counts. EXIF orientation and colour profiles are ignored: pixels come as they
//! are stored. CMYK is refused.
//!
//! A JPEG file with damage that libjpeg-turbo can read over is opened with a
//! warning in the log, as most programs do in silence; one that ends too early
//! is refused.

use crate::{corrupt, jpeg, pcm, png, webp};
use afferent_codec::Limits;
use afferent_media::{Audio, Code, Error, Image, Modality, Result, Sample};
use std::fs::File;
use std::io::Read;
use std::path::Path;
use symphonia::core::codecs::audio::AudioDecoderOptions;
use symphonia::core::errors::Error as SymphoniaError;
use symphonia::core::formats::probe::Hint;
use symphonia::core::formats::{FormatOptions, TrackType};
use symphonia::core::io::MediaSourceStream;
use symphonia::core::meta::MetadataOptions;

/// Extensions of the image files that can be read, in lower case.
pub const IMAGE_EXTENSIONS: &[&str] = &["jpg", "jpeg", "png", "webp"];

/// Extensions of the sound files that can be read, in lower case.
pub const AUDIO_EXTENSIONS: &[&str] = &["wav", "flac"];

/// Extensions of all files that can be read, in lower case.
pub const EXTENSIONS: &[&str] = &["jpg", "jpeg", "png", "webp", "wav", "flac"];

/// The extensions of the files that hold samples of a modality.
#[must_use]
pub fn extensions(modality: Modality) -> &'static [&'static str] {
    match modality {
        Modality::Image => IMAGE_EXTENSIONS,
        Modality::Audio => AUDIO_EXTENSIONS,
    }
}

/// The longest image file that is read.
pub const MAX_IMAGE_FILE_BYTES: u64 = 512 << 20;

/// Reads an image or a sound, whichever the extension says.
///
/// # Errors
/// As [`image`] and [`audio`].
pub fn sample(path: &Path, limits: &Limits) -> Result<Sample> {
    if AUDIO_EXTENSIONS.contains(&extension(path).as_str()) {
        audio(path, limits).map(Sample::Audio)
    } else {
        image(path, limits).map(Sample::Image)
    }
}

/// Reads an image file.
///
/// # Errors
/// [`Code::NotFound`] or [`Code::Io`] if it cannot be read, [`Code::Unsupported`]
/// for another kind of file, CMYK or an animation, [`Code::Corrupt`] if it is
/// damaged, [`Code::Limit`] above [`MAX_IMAGE_FILE_BYTES`] or, before memory is
/// taken for its pixels, above `limits`.
pub fn image(path: &Path, limits: &Limits) -> Result<Image> {
    read_image(path, limits).map_err(|e| e.at(path.display()))
}

/// Reads a PNG file whose pixels are numbers, such as a mask of class ids: its
/// width, its height and one number per pixel, row by row. Of a file with a
/// palette these are the indices, not the colours; grey values of 1, 2 or 4 bits
/// are not stretched to 8.
///
/// # Errors
/// As [`image`]; [`Code::Unsupported`] for a file that is no PNG, for colours
/// without a palette, alpha, or 16 bits.
pub fn indices(path: &Path, limits: &Limits) -> Result<(u32, u32, Vec<u8>)> {
    let read = || match extension(path).as_str() {
        "png" => png::indices(&file(path)?, limits),
        other => Err(foreign(other, "a mask", &["png"])),
    };
    read().map_err(|e| e.at(path.display()))
}

/// The bytes of an image file.
fn file(path: &Path) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(|e| Error::io("the file cannot be opened", e))?;
    file.take(MAX_IMAGE_FILE_BYTES + 1).read_to_end(&mut bytes).map_err(|e| Error::io("the file cannot be read", e))?;
    if bytes.len() as u64 > MAX_IMAGE_FILE_BYTES {
        return Err(Error::new(
            Code::Limit,
            format!("the file exceeds {MAX_IMAGE_FILE_BYTES} bytes"),
            "scale the image or compress it better",
        ));
    }
    Ok(bytes)
}

fn read_image(path: &Path, limits: &Limits) -> Result<Image> {
    let extension = extension(path);
    if !IMAGE_EXTENSIONS.contains(&extension.as_str()) {
        return Err(foreign(&extension, "an image", IMAGE_EXTENSIONS));
    }
    let bytes = file(path)?;
    let mut image = Image::default();
    match extension.as_str() {
        "png" => png::read(&bytes, limits, &mut Vec::new(), &mut image)?,
        "webp" => webp::read(&bytes, limits, &mut image)?,
        _ => {
            if let Some(damage) = jpeg::Reader::new(limits).read(&bytes, &mut image)? {
                log::warn!("{}: opened with damage: {damage}", path.display());
            }
        }
    }
    Ok(image)
}

/// Reads a sound file.
///
/// # Errors
/// [`Code::NotFound`] or [`Code::Io`] if it cannot be read, [`Code::Unsupported`]
/// for another kind of file or coding, [`Code::Corrupt`] if it is damaged or ends
/// before its header says, [`Code::Limit`] above `limits`: for a header that asks
/// for too much, before memory is taken.
pub fn audio(path: &Path, limits: &Limits) -> Result<Audio> {
    read_audio(path, limits).map_err(|e| e.at(path.display()))
}

fn read_audio(path: &Path, limits: &Limits) -> Result<Audio> {
    let extension = extension(path);
    if !AUDIO_EXTENSIONS.contains(&extension.as_str()) {
        return Err(foreign(&extension, "sound", AUDIO_EXTENSIONS));
    }
    let file = File::open(path).map_err(|e| Error::io("the file cannot be opened", e))?;
    let source = MediaSourceStream::new(Box::new(file), Default::default());
    let mut format = symphonia::default::get_probe()
        .probe(Hint::new().with_extension(&extension), source, FormatOptions::default(), MetadataOptions::default())
        .map_err(undecoded)?;
    let track = format.default_track(TrackType::Audio).ok_or_else(|| corrupt("the file holds no sound"))?;
    let (id, announced) = (track.id, track.num_frames);
    let parameters = track
        .codec_params
        .as_ref()
        .and_then(|parameters| parameters.audio())
        .ok_or_else(|| corrupt("the file does not say how its sound is coded"))?;
    let rate = parameters.sample_rate.ok_or_else(|| corrupt("the file states no sampling rate"))?;
    let channels = parameters.channels.as_ref().map_or(0, |channels| channels.count());
    let channels = u16::try_from(channels).unwrap_or(u16::MAX);
    limits.check_audio(rate, channels, announced.unwrap_or(0))?;
    let mut decoder = symphonia::default::get_codecs()
        .make_audio_decoder(parameters, &AudioDecoderOptions::default().verify(true))
        .map_err(undecoded)?;

    let mut planes = vec![Vec::new(); usize::from(channels)];
    let mut packet_planes: Vec<Vec<f32>> = Vec::new();
    while let Some(packet) = format.next_packet().map_err(undecoded)? {
        if packet.track_id != id {
            continue;
        }
        let sound = decoder.decode(&packet).map_err(undecoded)?;
        if (sound.spec().rate(), sound.spec().channels().count()) != (rate, planes.len()) {
            return Err(corrupt("the sound changes its rate or channels on the way"));
        }
        sound.copy_to_vecs_planar(&mut packet_planes);
        let frames = planes[0].len() + sound.frames();
        limits.check_audio(rate, channels, frames as u64)?;
        for (plane, more) in planes.iter_mut().zip(&packet_planes) {
            plane.extend_from_slice(more);
        }
    }
    if decoder.finalize().verify_ok == Some(false) {
        return Err(corrupt("the checksum of the sound differs"));
    }
    let frames = planes[0].len() as u64;
    if announced.is_some_and(|announced| frames < announced) {
        return Err(corrupt(format!("the sound ends after {frames} of {} frames", announced.unwrap_or(0))));
    }
    Audio::new(rate, channels, planes.concat())
}

/// Writes `sample` to `path`: images as `.png`, sound as `.wav` of 16 bits
/// (rounded and clipped as [`pcm`] does).
///
/// # Errors
/// [`Code::Unsupported`] for another extension, [`Code::Io`] if it cannot be written.
pub fn write(sample: &Sample, path: &Path) -> Result<()> {
    let written = match (sample, extension(path).as_str()) {
        (Sample::Image(image), "png") => write_png(image, path),
        (Sample::Audio(audio), "wav") => write_wav(audio, path),
        (Sample::Image(_), other) => Err(foreign(other, "an image", &["png"])),
        (Sample::Audio(_), other) => Err(foreign(other, "sound", &["wav"])),
    };
    written.map_err(|e| e.at(path.display()))
}

fn write_png(image: &Image, path: &Path) -> Result<()> {
    let mut file = Vec::new();
    png::write(image.view(), ::png::Compression::Balanced, &mut file)?;
    std::fs::write(path, file).map_err(|e| Error::io("the file cannot be written", e))
}

fn write_wav(audio: &Audio, path: &Path) -> Result<()> {
    let failed = |cause: hound::Error| match cause {
        hound::Error::IoError(cause) => Error::io("the file cannot be written", cause),
        other => Error::new(Code::Unsupported, "WAV cannot hold this sound", "cut it shorter").caused_by(other),
    };
    let view = audio.view();
    let spec = hound::WavSpec {
        channels: view.channels(),
        sample_rate: view.rate(),
        bits_per_sample: 16,
        sample_format: hound::SampleFormat::Int,
    };
    let mut writer = hound::WavWriter::create(path, spec).map_err(failed)?;
    for frame in 0..view.frames() {
        for channel in 0..view.channels() {
            writer.write_sample(pcm::quantise(view.channel(channel)[frame])).map_err(failed)?;
        }
    }
    writer.finalize().map_err(failed)
}

/// The extension of `path`, in lower case; empty if there is none.
fn extension(path: &Path) -> String {
    path.extension().and_then(|e| e.to_str()).unwrap_or_default().to_ascii_lowercase()
}

fn foreign(extension: &str, what: &str, known: &[&str]) -> Error {
    Error::new(
        Code::Unsupported,
        format!("`{extension}` is no extension of {what} that this build knows"),
        format!("use one of: {}", known.join(", ")),
    )
}

fn undecoded(cause: SymphoniaError) -> Error {
    match cause {
        SymphoniaError::Unsupported(what) => {
            Error::new(Code::Unsupported, format!("this build cannot read {what}"), "convert it to 16-bit WAV or FLAC")
        }
        SymphoniaError::IoError(cause) if cause.kind() != std::io::ErrorKind::UnexpectedEof => {
            Error::io("the file cannot be read", cause)
        }
        other => corrupt("the sound file is damaged").caused_by(other),
    }
}
