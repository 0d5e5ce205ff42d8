//! Other programs, run within bounds: each in a process group of its own, which is
//! ended with it, and what it says on its standard error is logged and kept in part.

use rustix::io::retry_on_intr;
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process_group, waitid};
use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Error, ErrorKind, Read, Result};
use std::os::unix::process::CommandExt;
use std::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command, ExitStatus};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// How long a program has to end when it is asked to.
const GRACE: Duration = Duration::from_millis(500);
/// How long it has once it is killed: inside a driver even that may wait, for ever.
const DEATH: Duration = Duration::from_secs(2);
/// Lines of a program's standard error that are logged each minute, and their longest.
const LINES: u32 = 20;
const LINE: u64 = 300;
/// Lines that are kept for the error of a program that failed.
const KEPT: usize = 3;
/// How long they are waited for.
const LAG: Duration = Duration::from_millis(200);

/// A running program. Dropped, it is ended together with every process that it started.
#[derive(Debug)]
pub struct Program {
    child: Child,
    /// Its end was taken note of, or is by another thread: its number may be another's
    /// from here on.
    reaped: bool,
    /// It has not died of being killed.
    stuck: bool,
}

impl Program {
    /// Starts `command` in a process group of its own.
    ///
    /// # Errors
    /// Those of the system: there is no such program, or it cannot be started.
    pub fn start(command: &mut Command) -> Result<Self> {
        Ok(Self { child: command.process_group(0).spawn()?, reaped: false, stuck: false })
    }

    /// Its standard input, once, if the command has piped it.
    pub fn stdin(&mut self) -> Option<ChildStdin> {
        self.child.stdin.take()
    }

    /// Its standard output, once, if the command has piped it.
    pub fn stdout(&mut self) -> Option<ChildStdout> {
        self.child.stdout.take()
    }

    /// Its standard error, once, if the command has piped it.
    pub fn stderr(&mut self) -> Option<ChildStderr> {
        self.child.stderr.take()
    }

    /// Waits for the program's end, which it may be `asked` for, and after half a
    /// second kills what is left of it and of what it started. It takes at most 2.5 s: what
    /// the system cannot kill by then is left to a thread that waits for its end.
    ///
    /// # Errors
    /// [`ErrorKind::TimedOut`] if it cannot be killed, and those of waiting.
    pub fn end(&mut self, asked: bool) -> Result<ExitStatus> {
        // Once reaped, its number is not its own; `wait` answers from memory then.
        if !self.reaped
            && let Some(group) = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw)
        {
            // That there is no such process any more is what is wanted.
            if asked {
                let _ = kill_process_group(group, Signal::TERM);
            }
            runs_after(group, GRACE);
            let _ = kill_process_group(group, Signal::KILL);
            self.stuck = runs_after(group, DEATH);
            if self.stuck {
                thread::spawn(move || retry_on_intr(|| waitid(WaitId::Pid(group), WaitIdOptions::EXITED)));
            }
        }
        self.reaped = true;
        if self.stuck {
            return Err(Error::new(ErrorKind::TimedOut, "it was killed and has not ended: a driver holds it"));
        }
        self.child.wait()
    }
}

/// Waits at most so long for a program's end, and returns whether it still runs. It stays
/// a zombie, so that its number is nobody else's.
fn runs_after(program: Pid, patience: Duration) -> bool {
    let since = Instant::now();
    let watch = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
    loop {
        if !matches!(waitid(WaitId::Pid(program), watch), Ok(None)) {
            return false;
        }
        if since.elapsed() >= patience {
            return true;
        }
        thread::sleep(Duration::from_millis(5));
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        if !self.reaped {
            let _ = self.end(true);
        }
    }
}

/// The last that a program has said on its standard error.
#[derive(Debug, Clone, Default)]
pub struct Words(Arc<(Mutex<Said>, Condvar)>);

#[derive(Debug, Default)]
struct Said {
    lines: VecDeque<String>,
    /// There may be more to come.
    open: bool,
}

impl Words {
    /// Its last lines as one; `it said nothing` where there are none. Waits up to 0.2 s
    /// for the end of the stream: a program's last words may come after its end.
    #[must_use]
    pub fn last(&self) -> String {
        let (said, change) = &*self.0;
        let said = said.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = change.wait_timeout_while(said, LAG, |said| said.open);
        let lines = &waited.unwrap_or_else(PoisonError::into_inner).0.lines;
        if lines.is_empty() { "it said nothing".to_owned() } else { Vec::from_iter(lines.iter().cloned()).join("; ") }
    }

    fn open(&self, open: bool) {
        self.0.0.lock().unwrap_or_else(PoisonError::into_inner).open = open;
        self.0.1.notify_all();
    }

    fn keep(&self, line: &str) {
        let mut said = self.0.0.lock().unwrap_or_else(PoisonError::into_inner);
        if said.lines.len() == KEPT {
            said.lines.pop_front();
        }
        said.lines.push_back(line.to_owned());
    }
}

/// Logs what `name` says, so many lines a minute, counts the others, and keeps the last,
/// on a thread that ends with the stream.
pub fn listen(name: String, stderr: impl Read + Send + 'static) -> Words {
    let words = Words::default();
    thread::spawn({
        let words = words.clone();
        words.open(true);
        move || {
            log_lines(&name, stderr, &words);
            words.open(false);
        }
    });
    words
}

fn log_lines(name: &str, stderr: impl Read, words: &Words) {
    let mut stderr = BufReader::new(stderr);
    let mut line = Vec::new();
    let (mut minute, mut lines, mut unsaid) = (Instant::now(), 0, 0u64);
    loop {
        line.clear();
        // A longer line is logged in pieces, which count as lines.
        match stderr.by_ref().take(LINE).read_until(b'\n', &mut line) {
            Ok(0) | Err(_) => break,
            Ok(_) => {}
        }
        let said = String::from_utf8_lossy(&line);
        let said = said.trim();
        if said.is_empty() {
            continue;
        }
        words.keep(said);
        if minute.elapsed() >= Duration::from_secs(60) {
            if unsaid > 0 {
                log::info!("{name}: {unsaid} more lines");
            }
            (minute, lines, unsaid) = (Instant::now(), 0, 0);
        }
        if lines < LINES {
            lines += 1;
            log::info!("{name}: {said}");
        } else {
            unsaid += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Stdio;

    #[test]
    fn a_program_ends_with_all_it_started() {
        // The shell does not wait for its child, which would run for a minute.
        let mut command = Command::new("sh");
        command.args(["-c", "sleep 60 & echo $!; exec sleep 60"]).stdout(Stdio::piped());
        let mut program = Program::start(&mut command).unwrap();
        let mut line = String::new();
        BufReader::new(program.stdout().unwrap()).read_line(&mut line).unwrap();
        drop(program);
        let inner = Pid::from_raw(line.trim().parse().unwrap()).unwrap();
        let since = Instant::now();
        // Whoever inherits it takes note of its end in its own time.
        let gone = |pid: Pid| {
            let stat = std::fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero()));
            stat.map_or(true, |stat| stat.contains(") Z "))
        };
        while !gone(inner) && since.elapsed() < Duration::from_secs(5) {
            thread::sleep(Duration::from_millis(5));
        }
        assert!(gone(inner));
    }

    #[test]
    fn a_program_that_runs_is_seen_to_run() {
        let mut program = Program::start(Command::new("sleep").arg("60")).unwrap();
        let number = Pid::from_raw(program.child.id().try_into().unwrap()).unwrap();
        assert!(runs_after(number, Duration::from_millis(20)));
        let since = Instant::now();
        assert!(!program.end(true).unwrap().success() && since.elapsed() < DEATH);
        // Its end is remembered.
        assert!(!program.end(true).unwrap().success());
    }

    #[test]
    fn its_last_words_are_waited_for() {
        let mut command = Command::new("sh");
        command.args(["-c", "sleep 0.05; echo no device >&2"]).stderr(Stdio::piped());
        let mut program = Program::start(&mut command).unwrap();
        assert_eq!(listen("test".into(), program.stderr().unwrap()).last(), "no device");
    }

    #[test]
    fn its_last_words_are_kept_within_bounds() {
        assert_eq!(Words::default().last(), "it said nothing");
        let words = Words::default();
        let said = format!("a\nb\n\nc\nd\n{}", "x".repeat(1000));
        log_lines("test", said.as_bytes(), &words);
        assert_eq!(words.last(), format!("{0}; {0}; {1}", "x".repeat(300), "x".repeat(100)));
    }
}
