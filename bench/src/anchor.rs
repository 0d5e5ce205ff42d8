//! What a stream of pictures that each stand alone pays beside a video codec.
//!
//! The same frames are coded one by one by codecs of the registry, and as a video by
//! x264 and SVT-AV1, which run as `ffmpeg`. Every way starts from the same RGB frames
//! and is held against them by the same metric, frame by frame. The bytes of the
//! container (ours, or MP4) and of the coded frames alone are stated apart; rates and
//! BD-rates are of the former.
//!
//! Video codecs are tuned for PSNR, by which they are judged: x264 without psycho-visual
//! decisions and adaptive quantisation, SVT-AV1 by its tune 1. The registry's codecs run
//! as they are; of these WebP has libwebp's default spatial noise shaping, which costs PSNR.
//!
//! Video codecs get 4:2:0 at limited range, which is made from RGB once, before, and is
//! no part of their time; an own codec's time has its conversion in it. All run on one
//! thread.

use crate::agent::cpu;
use crate::folder;
use afferent_codec::{Container, Limits, Registry, SampleDecoder, SampleEncoder, Settings};
use afferent_codec_conventional::open;
use afferent_measure::metrics::image;
use afferent_measure::stats::bd::{Interpolation, bd_rate};
use afferent_measure::stats::{Curve, Point};
use afferent_media::manifest::Manifest;
use afferent_media::resize::{Filter, resize};
use afferent_media::{Code, Error, Image, Modality, PixelFormat, Result, Sample};
use comfy_table::{Table, presets};
use rustix::time::ClockId;
use serde::Serialize;
use std::io::{BufWriter, Read, Write};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Frames between two intra frames of the video codecs, at most: two seconds at 30 a second.
const GOP: u32 = 60;
/// How RGB becomes 4:2:0 for the video codecs, and RGB again.
const TO_YUV: &str = "scale=out_color_matrix=bt601:out_range=tv:flags=bicubic+accurate_rnd+full_chroma_inp";
const TO_RGB: &str = "scale=in_color_matrix=bt601:in_range=tv:out_range=pc:flags=bicubic+accurate_rnd+full_chroma_int";
/// Most frames of a sequence, all of which are kept in memory.
const MAX_FRAMES: usize = 300;
/// Photographs of the moving test sequence.
const PHOTOGRAPHS: [&str; 3] = ["brook.jpg", "bridge.jpg", "room.jpg"];

/// What is measured.
#[derive(Debug, Clone)]
pub struct Options {
    /// A folder of pictures in order of their names; the moving test sequence without.
    pub frames: Option<PathBuf>,
    /// What to call the sequence: it names the result file.
    pub name: String,
    /// Where the frames are from, for the result file.
    pub source: Option<String>,
    /// Frames per second.
    pub fps: u32,
    /// At most so many frames.
    pub count: usize,
    /// Codecs of the registry.
    pub codecs: Vec<String>,
    /// Folder for everything else it writes; it is emptied first.
    pub work: PathBuf,
    /// Folder for the result file.
    pub out: PathBuf,
}

/// A way to code video.
struct Video {
    name: &'static str,
    /// Arguments of ffmpeg.
    arguments: &'static [&'static str],
    gop: u32,
    /// Constant rate factors, low rate first.
    crfs: [u32; 6],
    latency_frames: u32,
    latency_note: &'static str,
}

const X264_CRFS: [u32; 6] = [43, 38, 33, 28, 23, 18];
const SVT_CRFS: [u32; 6] = [63, 56, 48, 40, 32, 24];

/// Latencies are those of the settings, in frames that the encoder takes before it gives
/// the first.
const VIDEOS: [Video; 5] = [
    Video {
        name: "x264 intra",
        arguments: &["-c:v", "libx264", "-preset", "medium", "-tune", "psnr,zerolatency"],
        gop: 1,
        crfs: X264_CRFS,
        latency_frames: 0,
        latency_note: "every frame an IDR frame",
    },
    Video {
        name: "x264 zerolatency",
        arguments: &["-c:v", "libx264", "-preset", "medium", "-tune", "psnr,zerolatency"],
        gop: GOP,
        crfs: X264_CRFS,
        latency_frames: 0,
        latency_note: "no B-frames, no lookahead",
    },
    Video {
        name: "x264 B-frames",
        arguments: &["-c:v", "libx264", "-preset", "medium", "-tune", "psnr", "-bf", "3", "-rc-lookahead", "40"],
        gop: GOP,
        crfs: X264_CRFS,
        latency_frames: 40,
        latency_note: "rc-lookahead 40, 3 B-frames as a pyramid",
    },
    Video {
        name: "SVT-AV1 low delay",
        arguments: &["-c:v", "libsvtav1", "-preset", "8", "-svtav1-params", "tune=1:lp=1:pred-struct=1:lookahead=0"],
        gop: GOP,
        crfs: SVT_CRFS,
        latency_frames: 0,
        latency_note: "pred-struct 1 (low delay), lookahead 0",
    },
    Video {
        name: "SVT-AV1 random access",
        arguments: &["-c:v", "libsvtav1", "-preset", "8", "-svtav1-params", "tune=1:lp=1:pred-struct=2:lookahead=32"],
        gop: GOP,
        crfs: SVT_CRFS,
        latency_frames: 48,
        latency_note: "pred-struct 2 (a pyramid of 16 frames), lookahead 32",
    },
];

/// One way at one point of its knob.
#[derive(Debug, Clone, Serialize)]
struct Measured {
    knob: f32,
    /// Bytes of the containers.
    container_bytes: u64,
    /// Bytes of the coded frames alone; of a video's, its packets, without the parameter
    /// sets that MP4 keeps in its own head.
    bitstream_bytes: u64,
    /// Of the container, at the sequence's frame rate.
    kbps: f64,
    /// Of the container, per pixel of the sequence.
    bpp: f64,
    /// Mean over frames of PSNR of luma, dB.
    psnr_y_db: f64,
    /// Mean over frames of PSNR over R, G and B, dB.
    psnr_db: f64,
    /// The worst frame's PSNR of luma, dB.
    psnr_y_min_db: f64,
    /// CPU time of the encoder per frame, milliseconds; none for a codec that is
    /// a program of its own.
    encode_cpu_ms: Option<f64>,
}

/// One way.
#[derive(Debug, Clone, Serialize)]
struct Way {
    name: String,
    settings: String,
    /// Every frame stands alone.
    intra_only: bool,
    /// Frames that the encoder takes before it gives the first.
    latency_frames: u32,
    latency_note: String,
    points: Vec<Measured>,
    /// Beside each anchor: what it takes at equal luma PSNR.
    bd_rate: Vec<Beside>,
}

/// BD-rate beside an anchor.
#[derive(Debug, Clone, Serialize)]
struct Beside {
    anchor: String,
    /// None where the two have no quality in common.
    percent: Option<f64>,
    /// Common part of the two ranges of quality.
    overlap: Option<f64>,
}

/// What the command writes.
#[derive(Debug, Clone, Serialize)]
struct Figures {
    what: &'static str,
    sequence: String,
    source: String,
    frames: usize,
    width: u32,
    height: u32,
    fps: u32,
    gop: u32,
    /// Versions of what ran.
    tools: Vec<String>,
    ways: Vec<Way>,
}

/// Measures, prints a table, and writes `anchor-NAME.json` into `out`.
///
/// # Errors
/// [`Code::NotFound`] if `ffmpeg` or one of its encoders is missing; otherwise whatever
/// fails on the way.
pub fn run(options: &Options, registry: &Registry) -> Result<()> {
    if options.fps == 0 || !(2..=MAX_FRAMES).contains(&options.count) {
        let what = format!("{} frames at {} frames/s cannot be measured", options.count, options.fps);
        return Err(Error::new(Code::Config, what, format!("give a rate above zero, and 2 to {MAX_FRAMES} frames")));
    }
    if options.name.is_empty() || !options.name.chars().all(|c| c.is_ascii_alphanumeric() || c == '-') {
        let what = format!("`{}` is no name of a sequence", options.name);
        return Err(Error::new(Code::Config, what, "use letters, digits and hyphens"));
    }
    let tools = tools()?;
    let work = &folder::fresh(&options.work)?;
    let frames = match &options.frames {
        Some(folder) => pictures(folder, options.count)?,
        None => moving(&crate::bundled::unpack(&work.join("media"))?.join("images"), options.count)?,
    };
    let sequence = Sequence::new(frames, options.fps, work)?;
    let mut ways = Vec::new();
    for id in &options.codecs {
        ways.push(sequence.own(registry, id)?);
    }
    for video in &VIDEOS {
        ways.push(sequence.video(video)?);
    }
    let curves = ways.iter().map(curve).collect::<Result<Vec<_>>>()?;
    for (way, test) in ways.iter_mut().zip(&curves) {
        for (anchor, base) in options.codecs.iter().zip(&curves) {
            // Ranges of quality that do not meet are no failure: there is no figure.
            let delta = bd_rate(base, test, Interpolation::Pchip).ok();
            way.bd_rate.push(Beside {
                anchor: anchor.clone(),
                percent: delta.map(|delta| delta.percent()),
                overlap: delta.map(|delta| delta.overlap),
            });
        }
    }
    let (width, height) = sequence.size();
    let figures = Figures {
        what: "one sequence coded frame by frame, each alone, and as a video: bytes of container and bitstream, mean \
               PSNR over frames, latency in frames, BD-rate (PCHIP, container bytes, luma PSNR)",
        sequence: options.name.clone(),
        source: match (&options.source, &options.frames) {
            (Some(source), _) => source.clone(),
            (None, Some(folder)) => folder.display().to_string(),
            (None, None) => format!(
                "{}, bundled photographs, panned and zoomed under noise: it flatters motion compensation",
                PHOTOGRAPHS.join(", ")
            ),
        },
        frames: sequence.frames.len(),
        width,
        height,
        fps: options.fps,
        gop: GOP,
        tools,
        ways,
    };
    println!("{}", table(&figures, &options.codecs));
    let json = serde_json::to_string_pretty(&figures)
        .map_err(|e| Error::new(Code::Internal, "the figures cannot be written", "report this").caused_by(e))?;
    let file = options.out.join(format!("anchor-{}.json", options.name));
    std::fs::create_dir_all(&options.out)
        .and_then(|()| std::fs::write(&file, json + "\n"))
        .map_err(|e| Error::io(file.display().to_string(), e))?;
    println!("written to {}", file.display());
    Ok(())
}

fn curve(way: &Way) -> Result<Curve> {
    let points: Vec<Point> = way.points.iter().map(|point| Point::new(point.kbps, point.psnr_y_db)).collect();
    Curve::front(&points).map_err(|e| e.at(&way.name))
}

/// Runs ffmpeg in `folder` and returns what it said.
fn ffmpeg(folder: &Path, arguments: &[&str]) -> Result<String> {
    let output = Command::new("ffmpeg")
        .args(["-hide_banner", "-nostdin", "-nostats", "-y"])
        .args(arguments)
        .current_dir(folder)
        .env("LC_ALL", "C")
        .output()
        .map_err(no_ffmpeg)?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    if output.status.success() {
        return Ok(said);
    }
    let last: Vec<&str> = said.lines().rev().take(3).collect();
    Err(Error::new(
        Code::Io,
        format!("ffmpeg {} failed: {}", arguments.join(" "), last.join("; ")),
        "try it by hand in the folder of this run",
    ))
}

fn no_ffmpeg(cause: std::io::Error) -> Error {
    if cause.kind() == std::io::ErrorKind::NotFound {
        return Error::new(Code::NotFound, "ffmpeg is not on this machine", "install it (Debian: ffmpeg)")
            .caused_by(cause);
    }
    Error::io("starting ffmpeg", cause)
}

/// The versions of ffmpeg and its encoders, all of which must be there.
fn tools() -> Result<Vec<String>> {
    let asked = |argument: &str| {
        let output = Command::new("ffmpeg").args(["-hide_banner", argument]).output().map_err(no_ffmpeg)?;
        Ok::<_, Error>(String::from_utf8_lossy(&output.stdout).into_owned())
    };
    let encoders = asked("-encoders")?;
    for encoder in ["libx264", "libsvtav1"] {
        if !encoders.split_whitespace().any(|word| word == encoder) {
            let what = format!("this machine's ffmpeg has no {encoder}");
            return Err(Error::new(Code::NotFound, what, "install an ffmpeg that has it (Debian's has)"));
        }
    }
    let version = asked("-version")?;
    let version = version.lines().next().unwrap_or("ffmpeg of an unknown version");
    Ok(vec![version.split(" Copyright").next().unwrap_or(version).to_owned()])
}

/// The pictures of a folder in order of their names, all of one size, sides made even.
fn pictures(folder: &Path, count: usize) -> Result<Vec<Image>> {
    let manifest = Manifest::open(folder, open::extensions(Modality::Image))?;
    let mut frames: Vec<Image> = Vec::new();
    for entry in manifest.entries().iter().take(count) {
        let path = manifest.path(entry);
        let frame = even(&open::image(&path, &Limits::default())?.into_rgb())?;
        if frames.first().is_some_and(|first| (first.width(), first.height()) != (frame.width(), frame.height())) {
            let what = format!("{} has another size than the frames before it", path.display());
            return Err(Error::new(Code::Config, what, "give frames of one size"));
        }
        frames.push(frame);
    }
    if frames.len() < 2 {
        let what = format!("{} holds {} pictures", folder.display(), frames.len());
        return Err(Error::new(Code::Config, what, "give a folder of numbered frames"));
    }
    Ok(frames)
}

/// The picture without its last column and row where sides are odd.
fn even(image: &Image) -> Result<Image> {
    let (width, height) = (image.width() & !1, image.height() & !1);
    let rows = image.view().rows().take(height as usize).flat_map(|row| &row[..width as usize * 3]).copied().collect();
    Image::new(width, height, PixelFormat::Rgb8, rows)
}

/// A moving test sequence: a window that pans and zooms over photographs, one after the
/// other, under noise that differs from frame to frame. It flatters motion compensation:
/// nothing moves by itself, covers another or is blurred.
fn moving(folder: &Path, count: usize) -> Result<Vec<Image>> {
    const WIDTH: u32 = 384;
    const HEIGHT: u32 = 288;
    // Standard deviation of the noise, which is that of a good camera in daylight.
    const SIGMA: f32 = 1.5;
    let mut noise = Noise(1);
    let mut frames = Vec::new();
    let scenes = PHOTOGRAPHS.len().min(count);
    for (scene, name) in PHOTOGRAPHS[..scenes].iter().enumerate() {
        let photograph = open::image(&folder.join(name), &Limits::default())?.into_rgb();
        // All of one scale, with room to move.
        let scale = (576.0 / photograph.width() as f32).max(432.0 / photograph.height() as f32);
        let size = |side: u32| (side as f32 * scale).ceil() as u32;
        let (width, height) = (size(photograph.width()), size(photograph.height()));
        let photograph = resize(photograph.view(), None, width, height, Filter::Bicubic)?;
        let length = (count * (scene + 1)).div_ceil(scenes) - (count * scene).div_ceil(scenes);
        for at in 0..length {
            let t = at as f32 / length as f32;
            let zoom = 1.0 + 0.25 * t;
            let (across, down) = (width as f32 - WIDTH as f32 * zoom, height as f32 - HEIGHT as f32 * zoom);
            let (left, top) =
                (0.5 * across * (1.0 + 0.8 * (3.0 * t).sin()), 0.5 * down * (1.0 + 0.8 * (2.0 * t).cos()));
            let mut pixels = Vec::with_capacity((WIDTH * HEIGHT * 3) as usize);
            for y in 0..HEIGHT {
                for x in 0..WIDTH {
                    let place = (left + zoom * x as f32, top + zoom * y as f32);
                    for value in sample(&photograph, place) {
                        pixels.push((value + SIGMA * noise.next()).round().clamp(0.0, 255.0) as u8);
                    }
                }
            }
            frames.push(Image::new(WIDTH, HEIGHT, PixelFormat::Rgb8, pixels)?);
        }
    }
    Ok(frames)
}

/// The value of an RGB image between its pixels, bilinear.
fn sample(image: &Image, (x, y): (f32, f32)) -> [f32; 3] {
    let (width, height) = (image.width() as usize, image.height() as usize);
    let (x, y) = (x.clamp(0.0, (width - 1) as f32), y.clamp(0.0, (height - 1) as f32));
    let (left, top) = (x as usize, y as usize);
    let (right, below) = ((left + 1).min(width - 1), (top + 1).min(height - 1));
    let (u, v) = (x.fract(), y.fract());
    std::array::from_fn(|c| {
        let at = |x: usize, y: usize| f32::from(image.data()[(y * width + x) * 3 + c]);
        let upper = at(left, top) * (1.0 - u) + at(right, top) * u;
        let lower = at(left, below) * (1.0 - u) + at(right, below) * u;
        upper * (1.0 - v) + lower * v
    })
}

/// Noise of about a normal distribution, the same in every run: Knuth's MMIX generator,
/// summed.
struct Noise(u64);

impl Noise {
    fn next(&mut self) -> f32 {
        // The sum of 3 values from -1 to 1 has a variance of 1.
        (0..3).fold(0.0, |sum, _| {
            self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            sum + (self.0 >> 40) as f32 / (1u64 << 23) as f32 - 1.0
        })
    }
}

/// The frames, and where ffmpeg finds them.
struct Sequence {
    frames: Vec<Image>,
    fps: u32,
    work: PathBuf,
}

/// Sums over the frames of one point.
#[derive(Default)]
struct Quality {
    psnr_y: f64,
    psnr: f64,
    worst: Option<f64>,
}

impl Quality {
    fn add(&mut self, pristine: &Image, decoded: &Image) -> Result<()> {
        let errors = image::errors(pristine.view(), decoded.view())?;
        let luma = errors.psnr_y_db();
        self.psnr_y += luma;
        self.psnr += errors.psnr_db();
        self.worst = Some(self.worst.map_or(luma, |worst| worst.min(luma)));
        Ok(())
    }
}

impl Sequence {
    fn new(frames: Vec<Image>, fps: u32, work: &Path) -> Result<Self> {
        let sequence = Self { frames, fps, work: work.to_path_buf() };
        let place = work.join("frames.rgb");
        let failed = |e| Error::io(place.display().to_string(), e);
        let mut file = BufWriter::new(std::fs::File::create(&place).map_err(failed)?);
        sequence.frames.iter().try_for_each(|frame| file.write_all(frame.data())).map_err(failed)?;
        file.flush().map_err(failed)?;
        let (size, fps) = (sequence.size_word(), fps.to_string());
        let raw = ["-f", "rawvideo", "-pix_fmt", "rgb24", "-s", &size, "-r", &fps, "-i", "frames.rgb"];
        ffmpeg(work, &[&raw[..], &["-vf", TO_YUV, "-pix_fmt", "yuv420p", "-f", "rawvideo", "frames.yuv"]].concat())?;
        Ok(sequence)
    }

    fn size(&self) -> (u32, u32) {
        self.frames.first().map_or((0, 0), |frame| (frame.width(), frame.height()))
    }

    fn size_word(&self) -> String {
        let (width, height) = self.size();
        format!("{width}x{height}")
    }

    fn measured(&self, knob: f32, bytes: [u64; 2], quality: &Quality, cpu_s: Option<f64>) -> Measured {
        let count = self.frames.len() as f64;
        let (width, height) = self.size();
        let [container_bytes, bitstream_bytes] = bytes;
        let bits = container_bytes as f64 * 8.0;
        Measured {
            knob,
            container_bytes,
            bitstream_bytes,
            kbps: bits * f64::from(self.fps) / count / 1000.0,
            bpp: bits / (f64::from(width) * f64::from(height) * count),
            psnr_y_db: quality.psnr_y / count,
            psnr_db: quality.psnr / count,
            psnr_y_min_db: quality.worst.unwrap_or_default(),
            encode_cpu_ms: cpu_s.map(|cpu| cpu * 1000.0 / count),
        }
    }

    /// Each frame alone, by a codec of the registry at six points of its knob.
    fn own(&self, registry: &Registry, id: &str) -> Result<Way> {
        let codec = registry.get(id)?;
        let descriptor = codec.descriptor();
        let (Some(knob), Modality::Image) = (&descriptor.knob, descriptor.modality) else {
            let what = format!("{id} is no image codec with a knob");
            return Err(Error::new(Code::Config, what, "choose one that has (`afferent codecs` lists them)"));
        };
        // From the first of the demo's points to half as far again beyond the last; the very
        // end of a knob is often lossless.
        let [low, _, high] = knob.points;
        let (start, end) = if high > low { (knob.min, knob.max) } else { (knob.max, knob.min) };
        let top = high + 0.5 * (high - low);
        let most = start + 0.95 * (end - start);
        let top = if high > low { top.min(most) } else { top.max(most) };
        let mut decoder = SampleDecoder::new(registry.clone(), Limits::default());
        let mut points = Vec::new();
        for step in 0..6 {
            let value = low + (top - low) * step as f32 / 5.0;
            let value = if knob.whole { value.round() } else { value };
            let settings = Settings { knob: Some(value), ..Settings::default() };
            let mut encoder = SampleEncoder::new(codec.as_ref(), &settings)?;
            let (mut bytes, mut quality, mut spent) = ([0, 0], Quality::default(), 0.0);
            for frame in &self.frames {
                let sample = Sample::Image(frame.clone());
                let mut file = Vec::new();
                let start = cpu(ClockId::ThreadCPUTime);
                let parts = encoder.encode(&sample, &mut file)?;
                spent += cpu(ClockId::ThreadCPUTime) - start;
                bytes[0] += parts.storage().0;
                bytes[1] += parts.codec().0;
                if let Sample::Image(decoded) = decoder.decode(&Container::parse(&file)?)? {
                    quality.add(frame, &decoded)?;
                }
            }
            let spent = (!descriptor.external).then_some(spent);
            points.push(self.measured(value, bytes, &quality, spent));
        }
        let preset = descriptor.presets.first().copied().unwrap_or_default();
        Ok(Way {
            name: id.to_owned(),
            settings: format!("{} preset={preset} {}", descriptor.implementation, codec.settings_note(preset)),
            intra_only: true,
            latency_frames: 0,
            latency_note: "every frame stands alone".to_owned(),
            points,
            bd_rate: Vec::new(),
        })
    }

    /// All frames as a video.
    fn video(&self, video: &Video) -> Result<Way> {
        let (size, fps, gop) = (self.size_word(), self.fps.to_string(), video.gop.to_string());
        let length = |name: &str| {
            let path = self.work.join(name);
            std::fs::metadata(&path).map(|data| data.len()).map_err(|e| Error::io(path.display().to_string(), e))
        };
        let mut points = Vec::new();
        for crf in video.crfs {
            let crf_word = crf.to_string();
            let raw = ["-benchmark", "-f", "rawvideo", "-pix_fmt", "yuv420p", "-s", &size, "-r", &fps];
            let rest = ["-threads", "1", "-g", &gop, "-crf", &crf_word, "out.mp4"];
            let said = ffmpeg(&self.work, &[&raw[..], &["-i", "frames.yuv"], video.arguments, &rest].concat())?;
            ffmpeg(&self.work, &["-i", "out.mp4", "-c", "copy", "-f", "rawvideo", "out.bare"])?;
            let back = ["-i", "out.mp4", "-fps_mode", "passthrough", "-vf", TO_RGB];
            let raw = ["-pix_fmt", "rgb24", "-f", "rawvideo", "out.rgb"];
            ffmpeg(&self.work, &[&back[..], &raw].concat())?;
            let bytes = [length("out.mp4")?, length("out.bare")?];
            points.push(self.measured(crf as f32, bytes, &self.decoded()?, cpu_time(&said)));
        }
        Ok(Way {
            name: video.name.to_owned(),
            settings: format!("ffmpeg {} -threads 1 -g {gop}, MP4", video.arguments.join(" ")),
            intra_only: video.gop == 1,
            latency_frames: video.latency_frames,
            latency_note: video.latency_note.to_owned(),
            points,
            bd_rate: Vec::new(),
        })
    }

    /// How like `out.rgb` is to the frames.
    fn decoded(&self) -> Result<Quality> {
        let failed = |e| Error::io("reading the decoded video", e);
        let mut file = std::fs::File::open(self.work.join("out.rgb")).map_err(failed)?;
        let whole = self.frames.iter().map(|frame| frame.data().len() as u64).sum::<u64>();
        if file.metadata().map_err(failed)?.len() != whole {
            let what = "the decoded video has another number of frames than the sequence";
            return Err(Error::new(Code::Internal, what, "report this with ffmpeg's version"));
        }
        let (width, height) = self.size();
        let mut quality = Quality::default();
        let mut decoded = Image::default();
        for frame in &self.frames {
            file.read_exact(decoded.reset(width, height, PixelFormat::Rgb8)?).map_err(failed)?;
            quality.add(frame, &decoded)?;
        }
        Ok(quality)
    }
}

/// The CPU time of a run of ffmpeg with `-benchmark`, in seconds: `bench: utime=0.3s stime=0.1s rtime=…`.
fn cpu_time(said: &str) -> Option<f64> {
    let line = said.lines().find_map(|line| line.strip_prefix("bench: utime="))?;
    let mut parts = line.split("s ");
    let user: f64 = parts.next()?.parse().ok()?;
    let system: f64 = parts.next()?.strip_prefix("stime=")?.parse().ok()?;
    Some(user + system)
}

fn table(figures: &Figures, anchors: &[String]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::UTF8_HORIZONTAL_ONLY);
    let mut head: Vec<String> =
        ["coded by", "latency, frames", "kb/s", "luma PSNR, dB", "container, %", "CPU, ms/frame"]
            .map(str::to_owned)
            .to_vec();
    head.extend(anchors.iter().map(|anchor| format!("BD-rate to {anchor}")));
    table.set_header(head);
    for way in &figures.ways {
        let lines = |of: &dyn Fn(&Measured) -> String| way.points.iter().map(of).collect::<Vec<_>>().join("\n");
        let mut row = vec![
            way.name.clone(),
            way.latency_frames.to_string(),
            lines(&|point| format!("{:.0}", point.kbps)),
            lines(&|point| format!("{:.2}", point.psnr_y_db)),
            lines(&|point| {
                let around = point.container_bytes.saturating_sub(point.bitstream_bytes);
                format!("{:.1}", 100.0 * around as f64 / point.container_bytes as f64)
            }),
            lines(&|point| point.encode_cpu_ms.map_or("-".to_owned(), |cpu| format!("{cpu:.1}"))),
        ];
        row.extend(way.bd_rate.iter().map(|beside| match beside.percent {
            Some(percent) => format!("{percent:+.1} %"),
            None => "no common quality".to_owned(),
        }));
        table.add_row(row);
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_test_sequence_moves_and_is_the_same_each_time() {
        let folder = tempfile::tempdir().unwrap();
        let images = crate::bundled::unpack(folder.path()).unwrap().join("images");
        let frames = moving(&images, 7).unwrap();
        assert_eq!(frames.len(), 7);
        assert!(frames.windows(2).all(|pair| pair[0] != pair[1]));
        assert_eq!(frames, moving(&images, 7).unwrap());
    }

    #[test]
    fn noise_has_the_spread_it_says() {
        let mut noise = Noise(1);
        let values: Vec<f32> = (0..10_000).map(|_| noise.next()).collect();
        let mean = values.iter().sum::<f32>() / 10_000.0;
        let variance = values.iter().map(|value| value * value).sum::<f32>() / 10_000.0;
        assert!(mean.abs() < 0.05 && (variance - 1.0).abs() < 0.05, "{mean} {variance}");
    }

    #[test]
    fn cpu_time_is_read() {
        assert_eq!(cpu_time("x\nbench: utime=1.250s stime=0.250s rtime=9.000s\nbench: maxrss=1kB"), Some(1.5));
        assert_eq!(cpu_time("nothing"), None);
    }

    #[test]
    fn a_video_codec_is_measured_beside_ours() {
        if let Err(error) = tools() {
            eprintln!("SKIPPED, nothing is proven: {error}");
            return;
        }
        let folder = tempfile::tempdir().unwrap();
        let options = Options {
            frames: None,
            name: "test".into(),
            source: None,
            fps: 30,
            count: 6,
            codecs: vec!["jpeg".into()],
            work: folder.path().join("work"),
            out: folder.path().join("out"),
        };
        run(&options, &afferent_codec_conventional::registry()).unwrap();
        let text = std::fs::read_to_string(folder.path().join("out/anchor-test.json")).unwrap();
        let figures: serde_json::Value = serde_json::from_str(&text).unwrap();
        let ways = figures["ways"].as_array().unwrap();
        assert_eq!(ways.len(), 1 + VIDEOS.len());
        for way in ways {
            let points = way["points"].as_array().unwrap();
            assert_eq!(points.len(), 6);
            for pair in points.windows(2) {
                assert!(pair[0]["container_bytes"].as_u64() < pair[1]["container_bytes"].as_u64(), "{way}");
                assert!(pair[0]["psnr_y_db"].as_f64() < pair[1]["psnr_y_db"].as_f64(), "{way}");
            }
            assert!(points.iter().all(|p| p["bitstream_bytes"].as_u64() < p["container_bytes"].as_u64()), "{way}");
        }
        let wrong = Options { name: "a/b".into(), ..options };
        assert_eq!(run(&wrong, &afferent_codec_conventional::registry()).unwrap_err().code(), Code::Config);
    }
}
