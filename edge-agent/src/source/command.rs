//! A program that writes frames to its standard output: what the cameras of the
//! Raspberry Pi and the Jetson, which have no plain V4L2 device, are read by.
//!
//! It is started again when it ends or falls silent, what it says on its standard
//! error goes to the log within bounds, and it is ended together with every process
//! that it started.

use super::device::{Device, Kept, Step};
use super::pool::Pool;
use super::{Captured, Coded, Content, Source, Time};
use crate::config::{Command as Config, Frames};
use crate::stop::Stop;
use afferent_codec::Gap;
use afferent_codec_conventional::jpeg::{Finder, Found};
use afferent_media::frame::RawLayout;
use afferent_media::process;
use afferent_media::{Code, Error, Result};
use std::collections::VecDeque;
use std::io::Read;
use std::process::{ChildStdout, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

/// The longest JPEG frame that is waited for, and the most that is skipped before one, in bytes.
const MAX_FRAME: usize = 64 << 20;
/// Bytes of one read, and how many reads may wait.
const CHUNK: usize = 64 << 10;
const CHUNKS: usize = 16;
/// How often a wait looks at the stop.
const PATIENCE: Duration = Duration::from_millis(100);

/// The frames of a program.
pub struct CommandSource(Kept<Program>);

impl CommandSource {
    /// The source that `config` describes. The program is started by the first read.
    ///
    /// # Errors
    /// [`Code::Config`] for a geometry that cannot be.
    pub fn new(config: &Config) -> Result<Self> {
        let layout = match config.format {
            Frames::Mjpeg => None,
            Frames::Raw(format) => {
                let layout = RawLayout::new(format, config.width, config.height, config.stride, config.range)?;
                Some(layout.with_bits(config.bits)?)
            }
        };
        let name = format!("command `{}`", config.run.first().map_or("", String::as_str));
        Ok(Self(Kept::new(Program { config: config.clone(), name, layout })))
    }
}

impl Source for CommandSource {
    fn next(&mut self, stop: &Stop) -> Option<Captured> {
        self.0.next(stop)
    }
}

struct Program {
    config: Config,
    name: String,
    /// None for JPEG files.
    layout: Option<RawLayout>,
}

/// A running program.
struct Running {
    program: process::Program,
    output: Receiver<(Time, Vec<u8>)>,
    /// What was read and is not yet a frame.
    buffer: Vec<u8>,
    pool: Pool,
    /// When the parts of the buffer came, with their lengths.
    parts: VecDeque<(usize, Time)>,
    /// Looks for the end of the JPEG frame in the buffer.
    finder: Finder,
    /// Bytes since the last frame that are none, and whether they are more than zeros.
    skipped: usize,
    noise: bool,
    frames: u64,
    /// When it last wrote anything.
    heard: Instant,
    /// It has closed its output.
    ended: bool,
}

impl Device for Program {
    type Session = Running;

    fn name(&self) -> &str {
        &self.name
    }

    fn open(&mut self) -> Result<Running> {
        let (program, arguments) = self
            .config
            .run
            .split_first()
            .ok_or_else(|| Error::new(Code::Config, "command.run is empty", "name a program and its arguments"))?;
        let mut command = Command::new(program);
        command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut program = process::Program::start(&mut command)
            .map_err(|e| Error::new(Code::Io, "it cannot be started", "check command.run and the PATH").caused_by(e))?;
        let (sender, output) = sync_channel(CHUNKS);
        if let Some(stdout) = program.stdout() {
            thread::spawn(move || read(stdout, &sender));
        }
        if let Some(stderr) = program.stderr() {
            process::listen(self.name.clone(), stderr);
        }
        Ok(Running {
            program,
            output,
            buffer: Vec::new(),
            pool: Pool::default(),
            parts: VecDeque::new(),
            finder: Finder::default(),
            skipped: 0,
            noise: false,
            frames: 0,
            heard: Instant::now(),
            ended: false,
        })
    }

    fn read(&mut self, running: &mut Running, stop: &Stop) -> Result<Step> {
        let silence = Duration::from_secs(self.config.timeout_s.into());
        loop {
            if let Some(captured) = self.cut(running)? {
                return Ok(Step::Captured(captured));
            }
            if stop.is_set() {
                return Ok(Step::End);
            }
            if running.ended {
                if let Some(gap) = running.noise() {
                    return Ok(Step::Captured(gap));
                }
                return self.end(running);
            }
            match running.output.recv_timeout(PATIENCE) {
                Ok((time, chunk)) => {
                    running.parts.push_back((chunk.len(), time));
                    running.buffer.extend_from_slice(&chunk);
                    running.heard = Instant::now();
                }
                Err(RecvTimeoutError::Disconnected) => running.ended = true,
                Err(RecvTimeoutError::Timeout) if running.heard.elapsed() >= silence => {
                    return Err(Error::new(
                        Code::Io,
                        format!("it wrote nothing for {} s", silence.as_secs()),
                        "see what it logged, or raise command.timeout_s",
                    ));
                }
                Err(RecvTimeoutError::Timeout) => {}
            }
        }
    }
}

impl Program {
    /// The first frame of what was read, if it is whole, or what is there instead.
    fn cut(&self, running: &mut Running) -> Result<Option<Captured>> {
        if let Some(layout) = &self.layout {
            if running.buffer.len() < layout.length() {
                return Ok(None);
            }
            let buffer = &running.buffer;
            let sample = running.pool.image(|image| layout.split(buffer, image))?;
            let (time, _) = running.take(layout.length());
            return Ok(Some(running.frame(time, Content::Sample(sample))));
        }
        let endless = |what: &str| {
            Error::new(
                Code::Limit,
                format!("{what} after {MAX_FRAME} bytes"),
                "check command.format and what the program writes",
            )
        };
        loop {
            let found = running.finder.find(&running.buffer);
            if matches!(found, Found::File(_) | Found::Cut(_))
                && let Some(gap) = running.noise()
            {
                return Ok(Some(gap));
            }
            match found {
                Found::File(length) => {
                    let (time, file) = running.take(length);
                    return Ok(Some(running.frame(time, Content::Coded(Coded { codec: "jpeg", file }))));
                }
                Found::Cut(length) => {
                    let (time, _) = running.take(length);
                    let gap = Gap::one(format!("a JPEG frame is cut after {length} bytes"));
                    return Ok(Some(running.frame(time, Content::Missing(gap))));
                }
                Found::Start if running.buffer.len() > MAX_FRAME => return Err(endless("a JPEG frame has no end")),
                Found::Start => return Ok(None),
                Found::Other(length) => {
                    let (_, bytes) = running.take(length);
                    running.skipped += length;
                    running.noise |= bytes.iter().any(|byte| *byte != 0);
                    if running.skipped > MAX_FRAME {
                        return Err(endless("there is no JPEG frame"));
                    }
                }
            }
        }
    }

    /// What it means that the program has closed its output.
    fn end(&self, running: &mut Running) -> Result<Step> {
        let status = running.program.end(false).map_err(|e| Error::io("waiting for its end", e))?;
        let rest = running.buffer.len();
        if status.success() && rest == 0 && !self.config.repeat {
            return Ok(Step::End);
        }
        if status.success() && rest == 0 && running.frames > 0 {
            return Ok(Step::Again);
        }
        Err(Error::new(
            Code::Io,
            format!("it ended with {status} after {} frames and {rest} bytes of another", running.frames),
            "see what it logged, and try the command by hand",
        ))
    }
}

impl Running {
    /// The first `length` bytes of the buffer, and when the first of them came.
    fn take(&mut self, length: usize) -> (Time, Vec<u8>) {
        self.finder = Finder::default();
        let time = self.parts.front().map_or_else(Time::now, |(_, time)| *time);
        let mut left = length;
        while let Some((part, _)) = self.parts.front_mut() {
            if *part > left {
                *part -= left;
                break;
            }
            left -= *part;
            self.parts.pop_front();
        }
        let rest = self.buffer.split_off(length);
        (time, std::mem::replace(&mut self.buffer, rest))
    }

    /// The next frame.
    fn frame(&mut self, time: Time, content: Content) -> Captured {
        (self.skipped, self.noise) = (0, false);
        let frame = Some(self.frames);
        self.frames += 1;
        Captured { time, frame, ..Captured::now(content) }
    }

    /// The gap of the bytes that were skipped, unless they are padding.
    fn noise(&mut self) -> Option<Captured> {
        if !std::mem::take(&mut self.noise) {
            return None;
        }
        let gap = Gap::one(format!("{} bytes that are no JPEG frame", self.skipped));
        Some(Captured::now(Content::Missing(gap)))
    }
}

/// Passes on what the program writes, until it ends or nobody wants it any more.
fn read(mut stdout: ChildStdout, output: &SyncSender<(Time, Vec<u8>)>) {
    loop {
        let mut chunk = vec![0; CHUNK];
        match stdout.read(&mut chunk) {
            Ok(0) => return,
            Ok(length) => {
                chunk.truncate(length);
                // Stamped here: it may wait for an agent that is busy.
                if output.send((Time::now(), chunk)).is_err() {
                    return;
                }
            }
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(_) => return,
        }
    }
}
