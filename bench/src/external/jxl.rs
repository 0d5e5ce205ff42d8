//! JPEG XL, by libjxl's `cjxl` and `djxl`, one process per image, one thread each.
//!
//! Presets are the encoder's efforts: `e7` (default, its own), `e3`, `e9`. The knob
//! is its target distance (butteraugli), 0 to 15: lower is better, 1 is about
//! visually lossless, 0 is lossless. Colour is coded as XYB, unless lossless; grey
//! stays grey.
//!
//! Rate parts: the signature (2 bytes) is codec header. What follows is a bare
//! codestream, whose headers are packed bit by bit with the coded picture: payload.
//!
//! The decoder takes what the encoder writes and reads the size from its beginning,
//! so that an image above the limits starts no process. What `djxl` itself takes
//! for a hostile file, nobody bounds: give it your own.

use afferent_codec::{
    Chunk, Codec, ContainerWriter, Descriptor, Exactness, Family, ImageDecoder, ImageEncoder, Knob, Limits, Settings,
    Simd, Tier,
};
use afferent_media::{Bytes, Code, Error, Image, ImageView, Modality, PixelFormat, Result};
use std::io::Write;
use std::process::Command;
use tempfile::TempDir;

/// What a bare codestream begins with.
const SIGNATURE: [u8; 2] = [0xff, 0x0a];

/// The JPEG XL codec.
#[derive(Debug)]
pub struct Jxl(Descriptor);

impl Jxl {
    /// The codec, if both tools are on the path.
    #[must_use]
    pub fn find() -> Option<Self> {
        let (encoder, decoder) = (version("cjxl")?, version("djxl")?);
        // Each names the instruction sets that it chooses from: `cjxl v0.7.0 [AVX2,SSE4]`.
        let vectors = [&encoder, &decoder].iter().all(|line| line.contains("AVX2") || line.contains("NEON"));
        let name = |line: &str| line.split(" [").next().unwrap_or_default().trim().to_owned();
        Some(Self(Descriptor {
            id: "jxl",
            version: 1,
            modality: Modality::Image,
            family: Family::Conventional,
            // Its pixels are computed in floating point.
            exactness: Exactness::SameBuild,
            tier: Tier::Software,
            implementation: format!("{}, {} (subprocess)", name(&encoder), name(&decoder)),
            simd: if vectors { Simd::Yes } else { Simd::No },
            external: true,
            delay_samples: 0,
            frame_samples: 0,
            macs_per_unit: None,
            knob: Some(Knob {
                name: "distance",
                unit: "",
                min: 0.0,
                max: 15.0,
                default: 1.0,
                whole: false,
                points: [10.0, 4.0, 1.0],
            }),
            progressive: false,
            synthesis: false,
            presets: &["e7", "e3", "e9"],
            licence: "BSD-3-Clause",
            extension: "jxl",
        }))
    }
}

/// The line in which `tool` states its version; `None` if it cannot be run.
fn version(tool: &str) -> Option<String> {
    let output = Command::new(tool).arg("--version").output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    text.lines().next().filter(|line| line.starts_with(tool)).map(str::to_owned)
}

impl Codec for Jxl {
    fn descriptor(&self) -> &Descriptor {
        &self.0
    }

    fn settings_note(&self, preset: &str) -> String {
        format!("effort={} chroma=444 matrix=xyb range=full", effort(preset))
    }

    fn image_encoder(&self, settings: &Settings) -> Result<Box<dyn ImageEncoder>> {
        let (preset, distance) = settings.resolve(&self.0)?;
        Ok(Box::new(Encoder { effort: effort(preset), distance: distance.unwrap_or(1.0), folder: folder()? }))
    }

    fn image_decoder(&self, limits: &Limits) -> Result<Box<dyn ImageDecoder>> {
        Ok(Box::new(Decoder { limits: *limits, folder: folder()? }))
    }
}

/// `cjxl`'s effort of a preset.
fn effort(preset: &str) -> &'static str {
    match preset {
        "e3" => "3",
        "e9" => "9",
        _ => "7",
    }
}

/// A folder for the files that pass, removed with its owner.
fn folder() -> Result<TempDir> {
    TempDir::with_prefix("afferent-jxl-").map_err(|e| Error::io("a folder for temporary files", e))
}

/// Runs `tool` in `folder`; `Some` words are what it said when it failed.
fn run(tool: &str, folder: &TempDir, args: &[&str]) -> Result<Option<String>> {
    let output = Command::new(tool)
        .args(args)
        .args(["--num_threads=1", "--quiet"])
        .current_dir(folder)
        .output()
        .map_err(|e| Error::io(format!("{tool} cannot be started"), e))?;
    let said = || String::from_utf8_lossy(&output.stderr).trim().to_owned();
    Ok((!output.status.success()).then(said))
}

struct Encoder {
    effort: &'static str,
    distance: f32,
    folder: TempDir,
}

impl ImageEncoder for Encoder {
    fn encode(&mut self, image: ImageView<'_>, out: &mut ContainerWriter) -> Result<()> {
        let magic = match image.format() {
            PixelFormat::Rgb8 => "P6",
            PixelFormat::Gray8 => "P5",
            other => {
                let what = format!("this codec does not take {other:?}");
                return Err(Error::new(Code::Unsupported, what, "convert the image to RGB or grey"));
            }
        };
        let failed = |e| Error::io("a temporary image", e);
        let mut file = std::fs::File::create(self.folder.path().join("in.ppm")).map_err(failed)?;
        write!(file, "{magic}\n{} {}\n255\n", image.width(), image.height()).map_err(failed)?;
        file.write_all(&image.packed()).map_err(failed)?;
        let distance = self.distance.to_string();
        let args = ["in.ppm", "out.jxl", "--container=0", "-d", &distance, "-e", self.effort];
        if let Some(said) = run("cjxl", &self.folder, &args)? {
            return Err(Error::new(Code::Internal, format!("cjxl failed: {said}"), "run it by hand on this image"));
        }
        let file = std::fs::read(self.folder.path().join("out.jxl")).map_err(failed)?;
        if size(&file) != Some((image.width(), image.height())) {
            return Err(Error::new(Code::Internal, "cjxl wrote another picture", "report this with the image"));
        }
        out.push(&file, Bytes(0), Bytes(SIGNATURE.len() as u64))
    }
}

struct Decoder {
    limits: Limits,
    folder: TempDir,
}

impl ImageDecoder for Decoder {
    fn decode(&mut self, chunks: &[Chunk<'_>], out: &mut Image) -> Result<()> {
        let corrupt = |what: String| Error::new(Code::Corrupt, what, "get the file or packet again from its source");
        let [chunk] = chunks else {
            return Err(corrupt(format!("an image needs exactly one intact chunk, there are {}", chunks.len())));
        };
        let (width, height) =
            size(chunk.bytes).ok_or_else(|| corrupt("this is no bare JPEG XL codestream".to_owned()))?;
        self.limits.check_image(width, height)?;
        let failed = |e| Error::io("a temporary image", e);
        std::fs::write(self.folder.path().join("in.jxl"), chunk.bytes).map_err(failed)?;
        if let Some(said) = run("djxl", &self.folder, &["in.jxl", "out.ppm"])? {
            return Err(corrupt(format!("djxl refuses the bitstream: {said}")));
        }
        let file = std::fs::read(self.folder.path().join("out.ppm")).map_err(failed)?;
        for (magic, format) in [("P6", PixelFormat::Rgb8), ("P5", PixelFormat::Gray8)] {
            let header = format!("{magic}\n{width} {height}\n255\n");
            if let Some(pixels) = file.strip_prefix(header.as_bytes()) {
                let room = out.reset(width, height, format)?;
                if room.len() == pixels.len() {
                    room.copy_from_slice(pixels);
                    return Ok(());
                }
            }
        }
        Err(corrupt("djxl wrote other than the picture that the bitstream announces".to_owned()))
    }
}

/// Width and height that a bare codestream announces.
fn size(file: &[u8]) -> Option<(u32, u32)> {
    let body = file.strip_prefix(&SIGNATURE)?;
    let mut first = [0; 16];
    let known = body.len().min(first.len());
    first[..known].copy_from_slice(&body[..known]);
    let mut bits = u128::from_le_bytes(first);
    let mut take = |count: u32| {
        let value = bits & ((1 << count) - 1);
        bits >>= count;
        value as u64
    };
    let in_eights = take(1) == 1;
    let side = |take: &mut dyn FnMut(u32) -> u64| match in_eights {
        true => 8 * (take(5) + 1),
        false => {
            let count = [9, 13, 18, 30][take(2) as usize];
            take(count) + 1
        }
    };
    let height = side(&mut take);
    let width = match take(3) {
        0 => side(&mut take),
        ratio => {
            let (across, down) = [(1, 1), (12, 10), (4, 3), (3, 2), (16, 9), (5, 4), (2, 1)][ratio as usize - 1];
            height * across / down
        }
    };
    Some((u32::try_from(width).ok()?, u32::try_from(height).ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use afferent_codec::{Container, SampleDecoder, SampleEncoder};
    use afferent_media::Sample;

    fn picture(width: u32, height: u32, format: PixelFormat) -> Image {
        let row = width as usize * format.channels();
        let data = (0..row * height as usize).map(|i| (i / row * 2 + i % row) as u8).collect();
        Image::new(width, height, format, data).unwrap()
    }

    #[test]
    fn sizes_are_read_as_the_format_packs_them() {
        // As cjxl 0.7 wrote them: 161x121, 1x1; and 64x64 in eights with ratio 1.
        assert_eq!(size(&[0xff, 0x0a, 0xc0, 0x33, 0x90, 0x50]), Some((161, 121)));
        assert_eq!(size(&[0xff, 0x0a, 0x00, 0x10, 0x90, 0x50]), Some((1, 1)));
        assert_eq!(size(&[0xff, 0x0a, 0b0100_1111, 0]), Some((64, 64)));
        assert_eq!(size(&[0xff, 0x0b, 0, 0]), None);
        assert_eq!(size(&[0xff]), None);
    }

    #[test]
    fn pictures_go_through_the_tools() {
        let Some(codec) = Jxl::find() else {
            eprintln!("skipped: cjxl and djxl are not on this machine");
            return;
        };
        let mut registry = afferent_codec::Registry::new();
        crate::external::register(&mut registry);
        let mut decoder = SampleDecoder::new(registry, Limits::default());
        for format in [PixelFormat::Rgb8, PixelFormat::Gray8] {
            for (width, height) in [(1, 1), (3, 5), (120, 90), (64, 64)] {
                let image = Sample::Image(picture(width, height, format));
                let mut sizes = Vec::new();
                for distance in [10.0, 0.0] {
                    let mut settings = Settings { preset: Some("e3".to_owned()), ..Settings::default() };
                    settings.knob = Some(distance);
                    let mut file = Vec::new();
                    let parts = SampleEncoder::new(&codec, &settings).unwrap().encode(&image, &mut file).unwrap();
                    assert_eq!(parts.header, Bytes(2));
                    let back = decoder.decode(&Container::parse(&file).unwrap()).unwrap();
                    assert!(back == image || distance > 0.0, "{width}x{height} {format:?}");
                    sizes.push(file.len());
                }
                assert!(width < 8 || sizes[0] < sizes[1], "{sizes:?}");
            }
        }
    }

    #[test]
    fn damage_and_size_are_refused() {
        let Some(codec) = Jxl::find() else {
            eprintln!("skipped: cjxl and djxl are not on this machine");
            return;
        };
        let image = picture(120, 90, PixelFormat::Rgb8);
        let mut writer = ContainerWriter::new();
        codec.image_encoder(&Settings::default()).unwrap().encode(image.view(), &mut writer).unwrap();
        let header = afferent_codec::Header {
            codec: "jxl".into(),
            codec_version: 1,
            preset: String::new(),
            knob: None,
            geometry: afferent_codec::Geometry::Audio(afferent_codec::AudioShape { rate: 1, channels: 1, frames: 0 }),
            weights: None,
        };
        let mut file = Vec::new();
        writer.seal(&header, &mut file).unwrap();
        let container = Container::parse(&file).unwrap();
        let whole = container.chunks[0];
        let decode = |bytes, max_pixels| {
            let mut out = Image::default();
            let limits = Limits { max_pixels, ..Limits::default() };
            codec.image_decoder(&limits).unwrap().decode(&[Chunk { bytes, ..whole }], &mut out).map(|()| out)
        };
        assert_eq!(decode(whole.bytes, 120 * 90).unwrap().width(), 120);
        assert_eq!(decode(whole.bytes, 120 * 90 - 1).unwrap_err().code(), Code::Limit);
        for cut in [0, 1, 2, 5, whole.bytes.len() / 2, whole.bytes.len() - 1] {
            let error = decode(&whole.bytes[..cut], 1 << 20).unwrap_err();
            assert_eq!(error.code(), Code::Corrupt, "cut to {cut}: {error}");
        }
    }
}
