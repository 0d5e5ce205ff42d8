//! A running `gst-launch-1.0`: frames in, as many frames out.

use crate::element::{Tools, not_started};
use crate::framing::{BOUNDARY, Framing};
use afferent_media::process::{Program, Words, listen};
use afferent_media::{Code, Error, ImageView, PixelFormat, Result};
use std::io::{Read, Write};
use std::process::{Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

/// How much longer the first frame may take: an encoder starts its device. GStreamer has
/// read its plugins by then, when the element was checked. Whoever stops the agent waits
/// for the frame in the encoder: about 13 s at worst for each stream that shares the
/// encoder thread, of the 60 s that systemd leaves it.
const START: Duration = Duration::from_secs(5);
/// Bytes of one read, and how many reads may wait.
const CHUNK: usize = 64 << 10;
const CHUNKS: usize = 16;
/// How long a program that failed is left alone: doubles from failure to failure.
const REST: Duration = Duration::from_millis(250);
const LONGEST_REST: Duration = Duration::from_secs(30);

/// The geometry of the raw frames that go in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Raw {
    pub(crate) width: u32,
    pub(crate) height: u32,
    pub(crate) format: PixelFormat,
}

/// Whether a pipeline reads frames of this format.
pub(crate) fn takes(format: PixelFormat) -> bool {
    matches!(format, PixelFormat::Rgb8 | PixelFormat::Gray8 | PixelFormat::I420 | PixelFormat::I422)
}

/// One plane of packed raw frames, in bytes.
struct Room {
    row: usize,
    rows: usize,
    /// Bytes of a pixel.
    step: usize,
}

impl Raw {
    /// The geometry of `image`; with `even`, sides are made even by one more row or column.
    pub(crate) fn of(image: &ImageView<'_>, even: bool) -> Result<Self> {
        let side = |side: u32| if even { side.next_multiple_of(2) } else { side };
        if image.width() == 0 || image.height() == 0 || !takes(image.format()) {
            let what = format!("this codec does not take {}x{} {:?}", image.width(), image.height(), image.format());
            return Err(Error::new(Code::Unsupported, what, "convert the image to RGB or grey"));
        }
        Ok(Self { width: side(image.width()), height: side(image.height()), format: image.format() })
    }

    fn rooms(self) -> Vec<Room> {
        let (width, height) = (self.width as usize, self.height as usize);
        let step = if self.format == PixelFormat::Rgb8 { 3 } else { 1 };
        let chroma_rows = match self.format {
            PixelFormat::I420 => height.div_ceil(2),
            PixelFormat::I422 => height,
            _ => 0,
        };
        let mut rooms = vec![Room { row: width * step, rows: height, step }];
        if chroma_rows > 0 {
            rooms.extend([(); 2].map(|()| Room { row: width.div_ceil(2), rows: chroma_rows, step }));
        }
        rooms
    }

    /// The planes of `image`, packed, each continued by its last row and column.
    pub(crate) fn pack(self, image: &ImageView<'_>) -> Vec<u8> {
        let rooms = self.rooms();
        let mut packed = Vec::with_capacity(rooms.iter().map(|room| room.row * room.rows).sum());
        for (room, plane) in rooms.iter().zip(image.planes()) {
            let used = plane.width as usize * room.step;
            for y in 0..room.rows {
                let start = y.min(plane.height as usize - 1) * plane.stride;
                let row = &plane.data[start..start + used];
                packed.extend_from_slice(row);
                for _ in (used..room.row).step_by(room.step) {
                    packed.extend_from_slice(&row[used - room.step..]);
                }
            }
        }
        packed
    }

    /// The stages that read such frames.
    fn stages(self) -> Vec<String> {
        let rooms = self.rooms();
        let list = |values: Vec<usize>| values.iter().map(usize::to_string).collect::<Vec<_>>().join(",");
        let mut length = 0;
        let mut offsets = Vec::new();
        for room in &rooms {
            offsets.push(length);
            length += room.row * room.rows;
        }
        let format = match self.format {
            PixelFormat::Rgb8 => "rgb",
            PixelFormat::I420 => "i420",
            PixelFormat::I422 => "y42b",
            _ => "gray8",
        };
        let mut stages: Vec<String> = vec![
            "fdsrc".into(),
            "fd=0".into(),
            format!("blocksize={length}"),
            "!".into(),
            "rawvideoparse".into(),
            format!("format={format}"),
            format!("width={}", self.width),
            format!("height={}", self.height),
            // Nothing depends on it, but some encoders want one.
            "framerate=30/1".into(),
            format!("plane-strides=<{}>", list(rooms.iter().map(|room| room.row).collect())),
            format!("plane-offsets=<{}>", list(offsets)),
            format!("frame-size={length}"),
        ];
        if matches!(self.format, PixelFormat::I420 | PixelFormat::I422) {
            stages.push("colorimetry=1:4:7:1".into());
        }
        stages.push("!".into());
        stages
    }
}

/// A running program.
pub(crate) struct Pipeline {
    name: String,
    patience: Duration,
    program: Program,
    /// None once there is nothing more to come.
    input: Option<SyncSender<Vec<u8>>>,
    output: Receiver<Vec<u8>>,
    framing: Framing,
    words: Words,
}

impl Pipeline {
    /// How long a frame may take.
    pub(crate) const PATIENCE: Duration = Duration::from_secs(5);

    /// Starts the pipeline that codes `raw` frames by `stages`.
    pub(crate) fn encoder(tools: &Tools, name: &str, raw: Raw, stages: Vec<String>) -> Result<Self> {
        let whole = raw.rooms().iter().map(|room| room.row * room.rows).sum::<usize>();
        // The worst that an encoder makes of a frame is little more than the frame.
        Self::start(tools, name, [raw.stages(), stages].concat(), 2 * whole + CHUNK)
    }

    /// Starts the pipeline of `stages`, whose frames are at most `limit` bytes long.
    pub(crate) fn start(tools: &Tools, name: &str, stages: Vec<String>, limit: usize) -> Result<Self> {
        let mut command = Command::new(&tools.launch);
        command.arg("-q").args(stages).args(["!", "multipartmux", &format!("boundary={BOUNDARY}"), "!"]);
        command.args(["fdsink", "fd=1", "sync=false", "async=false"]).env("LC_ALL", "C");
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut program = Program::start(&mut command).map_err(|e| not_started(&tools.launch, e))?;
        let words = program.stderr().map(|stderr| listen(format!("gst-launch-1.0 {name}"), stderr)).unwrap_or_default();
        let (input, frames) = sync_channel::<Vec<u8>>(1);
        if let Some(mut stdin) = program.stdin() {
            thread::spawn(move || {
                // A program that has ended says so by its output.
                while let Ok(frame) = frames.recv()
                    && stdin.write_all(&frame).is_ok()
                {}
            });
        }
        let (sender, output) = sync_channel(CHUNKS);
        if let Some(mut stdout) = program.stdout() {
            thread::spawn(move || {
                let mut chunk = vec![0; CHUNK];
                while let Ok(length @ 1..) = read(&mut stdout, &mut chunk)
                    && sender.send(chunk[..length].to_vec()).is_ok()
                {}
            });
        }
        Ok(Self {
            name: name.to_owned(),
            patience: tools.patience + START.min(tools.patience),
            program,
            input: Some(input),
            output,
            framing: Framing::new(limit),
            words,
        })
    }

    /// Gives `frame` to the program, and returns what it makes of it.
    ///
    /// After an error the pipeline is of no more use.
    pub(crate) fn exchange(&mut self, frame: Vec<u8>, patience: Duration) -> Result<Vec<u8>> {
        // The line break after the last frame may still be on its way, and nothing else:
        // a program that never stops writing is not read on.
        loop {
            if !self.framing.is_idle() {
                return Err(self.wrong("wrote more frames than it was given"));
            }
            match self.output.try_recv() {
                Ok(chunk) => self.framing.push(&chunk),
                Err(_) => break,
            }
        }
        match self.input.as_ref().map(|input| input.try_send(frame)) {
            Some(Ok(())) => {}
            Some(Err(TrySendError::Full(_))) => return Err(self.wrong("does not take the frames that it is given")),
            Some(Err(TrySendError::Disconnected(_))) | None => return Err(self.ended()),
        }
        let frame = self.receive()?.ok_or_else(|| self.ended())?;
        self.patience = patience;
        Ok(frame)
    }

    /// Says that `last` is the only frame to come, and returns what the program makes of
    /// it, or why it ended without.
    pub(crate) fn finish(mut self, last: Vec<u8>) -> Result<Result<Vec<u8>>> {
        if let Some(input) = self.input.take() {
            // A program that has ended says so by its output.
            let _ = input.try_send(last);
        }
        Ok(self.receive()?.ok_or_else(|| self.ended()))
    }

    /// The next frame; `None` if the program has ended.
    fn receive(&mut self) -> Result<Option<Vec<u8>>> {
        let since = Instant::now();
        loop {
            if let Some(frame) = self.framing.cut().map_err(|e| e.at(self.name.clone()))? {
                return Ok(Some(frame));
            }
            match self.output.recv_timeout(self.patience.saturating_sub(since.elapsed())) {
                Ok(chunk) => self.framing.push(&chunk),
                Err(RecvTimeoutError::Disconnected) => return Ok(None),
                Err(RecvTimeoutError::Timeout) => {
                    let waited = self.patience.as_secs_f32();
                    return Err(self.wrong(&format!(
                        "made nothing of a frame within {waited:.1} s (an encoder that waits for later frames cannot be used)"
                    )));
                }
            }
        }
    }

    fn ended(&mut self) -> Error {
        let status = self.program.end(false).map_or_else(|e| e.to_string(), |status| status.to_string());
        self.wrong(&format!("ended with {status}"))
    }

    fn wrong(&self, what: &str) -> Error {
        Error::new(
            Code::Io,
            format!("gst-launch-1.0 {} {what}; its last words: {}", self.name, self.words.last()),
            "check that the element works here and that nobody else uses its device",
        )
    }
}

fn read(stdout: &mut impl Read, chunk: &mut [u8]) -> std::io::Result<usize> {
    loop {
        match stdout.read(chunk) {
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            other => return other,
        }
    }
}

/// A pipeline that is started when a frame needs it, and again after it has failed.
pub(crate) struct Kept {
    name: &'static str,
    tools: Tools,
    running: Option<(Raw, Pipeline)>,
    failures: u32,
    /// When it last failed.
    failed: Option<Instant>,
}

impl Kept {
    pub(crate) fn new(name: &'static str, tools: Tools) -> Self {
        Self { name, tools, running: None, failures: 0, failed: None }
    }

    /// Codes one frame of this geometry.
    pub(crate) fn code(&mut self, raw: Raw, frame: Vec<u8>, stages: impl FnOnce() -> Vec<String>) -> Result<Vec<u8>> {
        let rest = (REST * 2u32.saturating_pow(self.failures.saturating_sub(1).min(16))).min(LONGEST_REST);
        if self.failed.is_some_and(|failed| failed.elapsed() < rest) {
            return Err(Error::new(
                Code::Io,
                format!("{} has failed {} times and is left alone for {rest:?}", self.name, self.failures),
                "see in the log why it failed",
            ));
        }
        let coded = self.attempt(raw, frame, stages);
        match coded {
            Ok(_) => (self.failures, self.failed) = (0, None),
            Err(_) => {
                self.running = None;
                self.failures = self.failures.saturating_add(1);
                self.failed = Some(Instant::now());
            }
        }
        coded
    }

    fn attempt(&mut self, raw: Raw, frame: Vec<u8>, stages: impl FnOnce() -> Vec<String>) -> Result<Vec<u8>> {
        let pipeline = match &mut self.running {
            Some((of, pipeline)) if *of == raw => pipeline,
            other => {
                // A device has often room for one user: the old one goes first.
                *other = None;
                &mut other.insert((raw, Pipeline::encoder(&self.tools, self.name, raw, stages())?)).1
            }
        };
        pipeline.exchange(frame, self.tools.patience)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;
    use tempfile::TempDir;

    const RAW: Raw = Raw { width: 4, height: 2, format: PixelFormat::Gray8 };

    /// A program of this name that stands for `gst-launch-1.0`.
    fn tool(script: &str) -> (TempDir, Tools) {
        let folder = tempfile::tempdir().unwrap();
        let launch = folder.path().join("launch");
        std::fs::write(&launch, format!("#!/bin/sh\n{script}\n")).unwrap();
        std::fs::set_permissions(&launch, std::fs::Permissions::from_mode(0o755)).unwrap();
        let tools = Tools { launch: launch.into(), patience: Duration::from_millis(300), ..Tools::default() };
        (folder, tools)
    }

    fn one(script: &str) -> Result<Vec<u8>> {
        let (_folder, tools) = tool(script);
        Pipeline::encoder(&tools, "x", RAW, Vec::new())?.exchange(vec![7; 8], Duration::from_millis(300))
    }

    #[test]
    fn frames_are_packed_and_continued() {
        let image = afferent_media::Image::new(3, 1, PixelFormat::Rgb8, (1..=9).collect()).unwrap();
        let raw = Raw::of(&image.view(), true).unwrap();
        assert_eq!((raw.width, raw.height), (4, 2));
        let row = [1, 2, 3, 4, 5, 6, 7, 8, 9, 7, 8, 9];
        assert_eq!(raw.pack(&image.view()), [row, row].concat());
        let image = afferent_media::Image::new(3, 3, PixelFormat::I420, (1..=17).collect()).unwrap();
        let raw = Raw::of(&image.view(), true).unwrap();
        let luma = [1, 2, 3, 3, 4, 5, 6, 6, 7, 8, 9, 9, 7, 8, 9, 9];
        assert_eq!(raw.pack(&image.view()), [&luma[..], &[10, 11, 12, 13, 14, 15, 16, 17]].concat());
        assert_eq!(Raw::of(&image.view(), false).unwrap().pack(&image.view()), image.data());
    }

    #[test]
    fn one_frame_in_is_one_frame_out() {
        let (_folder, tools) = tool(
            "for i in 1 2 3; do head -c 8 > /dev/null; printf -- '--frame\\r\\nContent-Length: 2\\r\\n\\r\\nA'$i'\\r\\n'; done",
        );
        let mut kept = Kept::new("x", tools);
        for i in 1..=3 {
            let frame = kept.code(RAW, vec![0; 8], Vec::new).unwrap();
            assert_eq!(frame, format!("A{i}").as_bytes());
        }
    }

    #[test]
    fn a_program_that_fails_is_an_error_with_its_last_words() {
        let error = one("head -c 8 > /dev/null; echo no device >&2; exit 3").unwrap_err();
        assert!(error.what().contains("exit status: 3") && error.what().contains("no device"), "{error}");
        let error = one("sleep 60").unwrap_err();
        assert!(error.what().contains("made nothing"), "{error}");
        let error = one("head -c 8 > /dev/null; echo hello, world, this is no frame; sleep 60").unwrap_err();
        assert_eq!(error.code(), Code::Corrupt, "{error}");
        let error = one("printf -- '--frame\\r\\nContent-Length: 99999999\\r\\n\\r\\n'; sleep 60").unwrap_err();
        assert_eq!(error.code(), Code::Limit, "{error}");
        let two = "printf -- '--frame\\r\\nContent-Length: 1\\r\\n\\r\\nA\\r\\n--frame\\r\\nContent-Length: 1\\r\\n\\r\\nB'; sleep 60";
        let (_folder, tools) = tool(two);
        let mut pipeline = Pipeline::encoder(&tools, "x", RAW, Vec::new()).unwrap();
        assert_eq!(pipeline.exchange(vec![0; 8], Duration::from_millis(300)).unwrap(), b"A");
        let error = pipeline.exchange(vec![0; 8], Duration::from_millis(300)).unwrap_err();
        assert!(error.what().contains("more frames"), "{error}");
        let missing = Tools { launch: "no-such-tool".into(), ..Tools::default() };
        let error = Pipeline::encoder(&missing, "x", RAW, Vec::new()).err().unwrap();
        assert!(error.code() == Code::NotFound && error.remedy().contains("gstreamer1.0-tools"), "{error}");
    }

    #[test]
    fn a_program_that_failed_rests_and_is_started_again() {
        let folder = tempfile::tempdir().unwrap();
        let mark = folder.path().join("mark");
        let (_folder, tools) = tool(&format!(
            "head -c 8 > /dev/null; [ -e {0} ] || {{ touch {0}; exit 1; }}; printf -- '--frame\\r\\nContent-Length: 1\\r\\n\\r\\nA'",
            mark.display()
        ));
        let mut kept = Kept::new("x", tools);
        assert!(kept.code(RAW, vec![0; 8], Vec::new).unwrap_err().what().contains("exit status: 1"));
        assert!(kept.code(RAW, vec![0; 8], Vec::new).unwrap_err().what().contains("left alone"));
        thread::sleep(REST);
        assert_eq!(kept.code(RAW, vec![0; 8], Vec::new).unwrap(), b"A");
    }
}
