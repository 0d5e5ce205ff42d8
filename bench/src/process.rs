//! Child processes of a benchmark: their events, their logs, their cost, their end.

use afferent_media::{Code, Error, Result};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

/// A child process that prints one JSON object per event on its standard
/// output (other lines are passed over) and logs to a file. It is killed when
/// dropped.
pub struct Process {
    name: &'static str,
    child: Child,
    events: Receiver<Value>,
    log: PathBuf,
}

/// In which Linux tells programs the CPU time of a process, on x86 and on ARM (`USER_HZ`).
const TICKS_PER_S: f64 = 100.0;

/// What a process has cost since its start.
#[derive(Debug, Clone, Copy, Default)]
pub struct Cost {
    /// CPU time of all its threads, user and system, seconds.
    pub cpu_s: f64,
    /// Highest resident set, MiB.
    pub resident_mib: f64,
}

impl Process {
    /// Starts `command`, logging to `<folder>/<name>.log`.
    ///
    /// # Errors
    /// [`Code::NotFound`] if the binary is missing, [`Code::Io`] otherwise.
    pub fn start(name: &'static str, command: &mut Command, folder: &Path) -> Result<Self> {
        let log = folder.join(format!("{name}.log"));
        let file = std::fs::File::create(&log).map_err(|e| Error::io(log.display().to_string(), e))?;
        let program = command.get_program().to_string_lossy().into_owned();
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(file)
            .spawn()
            .map_err(|e| Error::io(format!("starting {program}"), e))?;
        let (sender, events) = channel();
        if let Some(stdout) = child.stdout.take() {
            std::thread::spawn(move || {
                for line in BufReader::new(stdout).lines().map_while(std::result::Result::ok) {
                    if let Ok(event @ Value::Object(_)) = serde_json::from_str(&line)
                        && sender.send(event).is_err()
                    {
                        return;
                    }
                }
            });
        }
        Ok(Self { name, child, events, log })
    }

    /// The number of the process.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// What the process has cost so far; `None` once it is gone. Its CPU time is exact
    /// to a tick of the kernel's clock.
    #[must_use]
    pub fn cost(&self) -> Option<Cost> {
        let read = |name: &str| std::fs::read_to_string(format!("/proc/{}/{name}", self.id())).ok();
        let status = read("status")?;
        let kib = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?.split_whitespace().next()?;
        let stat = read("stat")?;
        // The name, in brackets, may hold anything; user and system time are the 12th and
        // 13th field after it.
        let (_, fields) = stat.rsplit_once(')')?;
        let ticks: Vec<u64> =
            fields.split_whitespace().skip(11).take(2).map_while(|field| field.parse().ok()).collect();
        let [user, system] = ticks[..] else { return None };
        Some(Cost { cpu_s: (user + system) as f64 / TICKS_PER_S, resident_mib: kib.parse::<f64>().ok()? / 1024.0 })
    }

    fn failed(&self, what: &str) -> Error {
        let log = std::fs::read_to_string(&self.log).unwrap_or_default();
        let last = log.lines().last().unwrap_or("it logged nothing").to_owned();
        Error::new(
            Code::Internal,
            format!("the {} {what}; its last word: {last}", self.name),
            format!("see {}", self.log.display()),
        )
    }

    /// The next event within `patience`.
    ///
    /// # Errors
    /// [`Code::Internal`] if the process has ended, with its last word.
    pub fn event(&mut self, patience: Duration) -> Result<Option<Value>> {
        match self.events.recv_timeout(patience) {
            Ok(event) => Ok(Some(event)),
            Err(RecvTimeoutError::Timeout) => Ok(None),
            Err(RecvTimeoutError::Disconnected) => Err(self.failed("ended early")),
        }
    }

    /// The next event of this kind, passing over others.
    ///
    /// # Errors
    /// [`Code::Internal`] if the process ends or `patience` does.
    pub fn wait_for(&mut self, kind: &str, patience: Duration) -> Result<Value> {
        let start = Instant::now();
        while let Some(left) = patience.checked_sub(start.elapsed()) {
            if let Some(event) = self.event(left)?
                && event["event"] == kind
            {
                return Ok(event);
            }
        }
        Err(self.failed(&format!("did not say `{kind}` in {} s", patience.as_secs())))
    }

    /// Whether the process has not ended.
    pub fn running(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Checks that the process has not failed.
    ///
    /// # Errors
    /// [`Code::Internal`] if it ended with an error, with its last word.
    pub fn check(&mut self) -> Result<()> {
        match self.child.try_wait() {
            Ok(Some(status)) if !status.success() => Err(self.failed(&format!("ended with {status}"))),
            Ok(_) => Ok(()),
            Err(e) => Err(Error::io(format!("waiting for the {}", self.name), e)),
        }
    }

    /// Asks the process to end (SIGTERM).
    ///
    /// # Errors
    /// [`Code::Io`] if it cannot be asked.
    pub fn terminate(&mut self) -> Result<()> {
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw);
        match pid.map(|pid| kill_process(pid, Signal::TERM)) {
            Some(Err(e)) if e != rustix::io::Errno::SRCH => {
                Err(Error::io(format!("ending the {}", self.name), e.into()))
            }
            _ => Ok(()),
        }
    }

    /// Kills the process outright (SIGKILL) and waits until it is gone.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Waits until the process has ended by itself.
    ///
    /// # Errors
    /// [`Code::Internal`] if it ends with an error or not within `patience`.
    pub fn wait(&mut self, patience: Duration) -> Result<ExitStatus> {
        let start = Instant::now();
        loop {
            match self.child.try_wait().map_err(|e| Error::io(format!("waiting for the {}", self.name), e))? {
                Some(status) if status.success() => return Ok(status),
                Some(status) => return Err(self.failed(&format!("ended with {status}"))),
                None if start.elapsed() > patience => {
                    return Err(self.failed(&format!("did not end in {} s", patience.as_secs())));
                }
                None => std::thread::sleep(Duration::from_millis(20)),
            }
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}
