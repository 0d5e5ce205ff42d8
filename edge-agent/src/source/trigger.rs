//! What a trigger line asks for: samples around its edges.
//!
//! Edges and samples carry times of one clock, the monotonic one, so it does not matter
//! when which of them is read. An edge asks for the sample within which it falls (sound),
//! or the next one (pictures), and for what lies as long before and after it as is
//! configured. What may still be asked for waits here.

use super::{Captured, Content, Time};
use crate::config;
use crate::stop::Stop;
use afferent_boards_hal::trigger::Edge;
use afferent_boards_hal::{Missing, Root, Trigger};
use afferent_media::Sample;
use std::collections::VecDeque;
use std::sync::mpsc::{Receiver, TryRecvError, sync_channel};
use std::thread;
use std::time::Duration;

/// Most bytes of samples that wait.
const MAX_WAITING: usize = 64 << 20;
/// Most edges that wait for their samples, and most that are read at a time.
const MAX_EDGES: usize = 1024;
/// How long a line that fails is left alone.
const RETRY_US: u64 = 10_000_000;

/// Edges of a line.
pub(super) trait Line: Send {
    /// The next edge that there has been until now; does not wait for one.
    ///
    /// # Errors
    /// Why the line cannot be read; it is opened anew then.
    fn next(&mut self) -> Result<Option<Edge>, Missing>;
}

impl Line for afferent_boards_hal::trigger::EventLine {
    fn next(&mut self) -> Result<Option<Edge>, Missing> {
        Self::next(self, Duration::ZERO)
    }
}

/// A line that a thread polls.
struct PolledLine {
    edges: Receiver<Result<Edge, Missing>>,
    stop: Stop,
}

impl PolledLine {
    /// Calls `poll` with the time every `period`, until this is dropped or it fails.
    fn new(period: Duration, mut poll: impl FnMut(Duration) -> Result<Option<Edge>, Missing> + Send + 'static) -> Self {
        let (inlet, edges) = sync_channel(MAX_EDGES);
        let stop = Stop::default();
        let ends = stop.clone();
        thread::spawn(move || {
            while !ends.sleep(period) {
                let Some(polled) = poll(Duration::from_micros(Time::now().monotonic_us)).transpose() else { continue };
                let failed = polled.is_err();
                // Where nobody takes the edges, more of them ask for nothing more.
                let _ = inlet.try_send(polled);
                if failed {
                    break;
                }
            }
        });
        Self { edges, stop }
    }
}

impl Drop for PolledLine {
    fn drop(&mut self) {
        self.stop.set();
    }
}

impl Line for PolledLine {
    fn next(&mut self) -> Result<Option<Edge>, Missing> {
        match self.edges.try_recv() {
            Ok(edge) => edge.map(Some),
            Err(TryRecvError::Empty) => Ok(None),
            Err(TryRecvError::Disconnected) => {
                Err(Missing::failed("the trigger is not polled any more", "report this"))
            }
        }
    }
}

/// Opens a line.
type Open = Box<dyn FnMut() -> Result<Box<dyn Line>, Missing> + Send>;

/// What becomes of a sample.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// An edge asks for it; or it is a gap of the source.
    Kept,
    /// None does.
    Withheld,
    /// The line cannot be read.
    Unread,
}

/// Decides by the edges of a line which samples are kept, in their order.
pub(super) struct Shutter {
    open: Open,
    line: Option<Box<dyn Line>>,
    /// When the line may be opened again.
    retry_us: u64,
    before_us: u64,
    hold_us: u64,
    samples: u32,
    /// Edges after the samples that are decided, in order.
    edges: VecDeque<u64>,
    /// Until when everything is kept, and how many samples more.
    until_us: Option<u64>,
    left: u32,
    waiting: VecDeque<Captured>,
    /// Of the samples that wait.
    bytes: usize,
    /// How much later than its time an edge may be reported.
    late_us: u64,
    /// Until when all edges are known.
    known_us: u64,
    ended: bool,
    /// Whether it was said that edges were lost, and that memory is full.
    said_lost: bool,
    said_full: bool,
}

/// When it ends, on the monotonic clock.
fn end(captured: &Captured) -> u64 {
    captured.end_us().unwrap_or(captured.time.monotonic_us)
}

fn bytes(captured: &Captured) -> usize {
    match &captured.content {
        Content::Sample(sample) => match &**sample {
            Sample::Audio(audio) => size_of_val(audio.data()),
            Sample::Image(image) => image.data().len(),
        },
        Content::Coded(coded) => coded.file.len(),
        Content::Missing(_) => 0,
    }
}

/// Warns of `what`, unless that was `said`.
fn say_once(said: &mut bool, what: &str) {
    if !std::mem::replace(said, true) {
        log::warn!("{what}; this is said once");
    }
}

impl Shutter {
    /// The shutter that `config` describes. The line is opened with the first sample.
    pub(super) fn new(config: &config::Trigger) -> Self {
        let gpio = config.gpio.clone();
        let open = move || {
            Ok(match gpio.open(&Root::default())? {
                Trigger::Events(line) => Box::new(line) as Box<dyn Line>,
                Trigger::Polled(mut line) => {
                    let period = Duration::from_micros(gpio.poll_us.into());
                    Box::new(PolledLine::new(period, move |now| line.poll(now)))
                }
            })
        };
        Self::opening(config, Box::new(open))
    }

    fn opening(config: &config::Trigger, open: Open) -> Self {
        let gpio = &config.gpio;
        // The kernel's edges are there at once. A polled one has the time of its first
        // sight, and is reported by the first poll after its level has held.
        let late_us = if gpio.poll_us > 0 { u64::from(gpio.debounce_us) + u64::from(gpio.poll_us) } else { 0 };
        Self {
            open,
            line: None,
            retry_us: 0,
            before_us: u64::from(config.before_ms) * 1000,
            hold_us: u64::from(config.hold_ms) * 1000,
            samples: config.samples,
            edges: VecDeque::new(),
            until_us: None,
            left: 0,
            waiting: VecDeque::new(),
            bytes: 0,
            late_us,
            known_us: 0,
            ended: false,
            said_lost: false,
            said_full: false,
        }
    }

    /// Takes the next sample, or the end of the source.
    pub(super) fn take(&mut self, captured: Option<Captured>) {
        let now = captured.as_ref().map_or(self.known_us, end);
        // A sample is handed on after its end: edges until then are there to be read, but
        // for what is still debounced.
        self.read(now);
        self.known_us = self.known_us.max(now.saturating_sub(self.late_us));
        match captured {
            Some(captured) => {
                self.bytes += bytes(&captured);
                self.waiting.push_back(captured);
            }
            None => self.ended = true,
        }
    }

    /// Reads the edges until now.
    fn read(&mut self, now_us: u64) {
        if self.line.is_none() && now_us >= self.retry_us {
            match (self.open)() {
                Ok(line) => self.line = Some(line),
                Err(missing) => self.fail(now_us, &missing),
            }
        }
        for _ in 0..MAX_EDGES {
            let Some(line) = &mut self.line else { return };
            match line.next() {
                Ok(None) => return,
                Ok(Some(edge)) => self.edge(&edge),
                Err(missing) => self.fail(now_us, &missing),
            }
        }
    }

    fn fail(&mut self, now_us: u64, missing: &Missing) {
        log::warn!("nothing is triggered: {missing}");
        self.line = None;
        self.retry_us = now_us.saturating_add(RETRY_US);
    }

    fn edge(&mut self, edge: &Edge) {
        if edge.lost > 0 {
            say_once(
                &mut self.said_lost,
                &format!("{} edges of the trigger came faster than samples, and were lost", edge.lost),
            );
        }
        if self.edges.len() == MAX_EDGES {
            self.edges.pop_back();
        }
        self.edges.push_back(u64::try_from(edge.at.as_micros()).unwrap_or(u64::MAX));
    }

    /// The next sample of which is known what becomes of it.
    pub(super) fn decided(&mut self) -> Option<(Captured, Verdict)> {
        let first = self.waiting.front()?;
        let verdict = match first.content {
            Content::Missing(_) => Verdict::Kept,
            Content::Sample(_) | Content::Coded(_) => {
                let (from, to) = (first.time.monotonic_us, end(first));
                while let Some(&edge) = self.edges.front().filter(|edge| **edge <= to) {
                    self.edges.pop_front();
                    self.until_us = self.until_us.max(Some(edge.saturating_add(self.hold_us)));
                    self.left = self.samples;
                }
                let soon = self.edges.front().is_some_and(|edge| edge.saturating_sub(self.before_us) <= to);
                let full = self.bytes > MAX_WAITING;
                if self.left > 0 || soon || self.until_us.is_some_and(|until| from <= until) {
                    self.left = self.left.saturating_sub(1);
                    Verdict::Kept
                } else if to.saturating_add(self.before_us) > self.known_us && !self.ended && !full {
                    return None;
                } else if self.line.is_none() {
                    Verdict::Unread
                } else {
                    if full {
                        let mib = MAX_WAITING >> 20;
                        let what = format!("what the trigger may still ask for is more than {mib} MiB of samples");
                        say_once(&mut self.said_full, &what);
                    }
                    Verdict::Withheld
                }
            }
        };
        let captured = self.waiting.pop_front()?;
        self.bytes -= bytes(&captured);
        Some((captured, verdict))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use afferent_codec::Gap;
    use afferent_media::{Audio, Image, PixelFormat};
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU64, Ordering};

    /// Edges at these times, in ms, each there once the clock is `reported` ms past it.
    struct Mock {
        edges: VecDeque<u64>,
        reported: u64,
        clock_ms: Arc<AtomicU64>,
    }

    impl Line for Mock {
        fn next(&mut self) -> Result<Option<Edge>, Missing> {
            match self.edges.front() {
                // A line that broke.
                Some(0) => {
                    self.edges.pop_front();
                    Err(Missing::failed("broken", "mend it"))
                }
                Some(&at) if at + self.reported <= self.clock_ms.load(Ordering::SeqCst) => {
                    self.edges.pop_front();
                    Ok(Some(Edge { at: Duration::from_millis(at), rising: true, lost: 0 }))
                }
                _ => Ok(None),
            }
        }
    }

    fn picture() -> Content {
        Content::Sample(Arc::new(Sample::Image(Image::new(1, 1, PixelFormat::Gray8, vec![0]).unwrap())))
    }

    /// What becomes of samples every 10 ms from 10 ms on, each handed on `late` ms after
    /// its time: numbers of the kept ones, in order, and how many were withheld and unread.
    fn run(
        config: &str,
        edges: &[u64],
        count: u64,
        late: u64,
        content: impl Fn(u64) -> Content,
    ) -> (Vec<u64>, usize, usize) {
        run_on("", 0, config, edges, count, late, content)
    }

    /// The same on a line with these further keys, whose edges are `reported` so many ms
    /// after their time.
    fn run_on(
        gpio: &str,
        reported: u64,
        config: &str,
        edges: &[u64],
        count: u64,
        late: u64,
        content: impl Fn(u64) -> Content,
    ) -> (Vec<u64>, usize, usize) {
        let text = format!("gpio = {{ chip = 'c', line = 1{gpio} }}\n{config}");
        let config: config::Trigger = toml::from_str(&text).unwrap();
        let clock_ms = Arc::new(AtomicU64::new(0));
        let mut lines =
            vec![Mock { edges: edges.iter().copied().collect(), reported, clock_ms: Arc::clone(&clock_ms) }];
        let open = move || match lines.pop() {
            Some(line) => Ok(Box::new(line) as Box<dyn Line>),
            None => Err(Missing::none("gone", "look")),
        };
        let mut shutter = Shutter::opening(&config, Box::new(open));
        let mut kept = Vec::new();
        let (mut withheld, mut unread) = (0, 0);
        for number in 1..=count + 1 {
            clock_ms.store(number * 10 + late, Ordering::SeqCst);
            let time = Time { wall_us: 0, monotonic_us: number * 10_000 };
            shutter.take((number <= count).then(|| Captured {
                time,
                frame: Some(number),
                ..Captured::now(content(number))
            }));
            while let Some((captured, verdict)) = shutter.decided() {
                match verdict {
                    Verdict::Kept => kept.push(captured.frame.unwrap()),
                    Verdict::Withheld => withheld += 1,
                    Verdict::Unread => unread += 1,
                }
            }
        }
        assert!(shutter.waiting.is_empty() && shutter.bytes == 0);
        assert_eq!(kept.len() + withheld + unread, count as usize);
        (kept, withheld, unread)
    }

    #[test]
    fn the_next_pictures_after_an_edge_are_kept() {
        let of = |config, edges: &[u64]| run(config, edges, 10, 0, |_| picture()).0;
        assert_eq!(of("", &[25, 60]), [3, 6]);
        assert_eq!(of("samples = 3", &[25, 41]), [3, 4, 5, 6, 7]);
        assert_eq!(of("samples = 0\nhold_ms = 20", &[25, 60]), [3, 4, 6, 7, 8]);
        assert_eq!(of("", &[]), Vec::<u64>::new());
        // Two edges before one picture ask for that one.
        assert_eq!(of("", &[22, 24, 26]), [3]);
    }

    #[test]
    fn pictures_before_an_edge_are_kept_and_all_stay_in_order() {
        for late in [0, 7, 35] {
            let (kept, withheld, _) = run("before_ms = 25", &[62], 10, late, |_| picture());
            assert_eq!((kept, withheld), (vec![4, 5, 6, 7], 6), "{late}");
        }
        // A gap of the source keeps its place among them.
        let content = |number| if number == 5 { Content::Missing(Gap::one("cable")) } else { picture() };
        assert_eq!(run("before_ms = 15\nsamples = 0", &[62], 10, 0, content).0, [5, 6]);
    }

    #[test]
    fn the_block_within_which_an_edge_falls_is_kept() {
        let block = |_| Content::Sample(Arc::new(Sample::Audio(Audio::new(1000, 1, vec![0.0; 10]).unwrap())));
        assert_eq!(run("", &[25], 10, 10, block).0, [2]);
        assert_eq!(run("hold_ms = 10\nbefore_ms = 10", &[45], 10, 10, block).0, [3, 4, 5]);
    }

    #[test]
    fn a_polled_line_is_waited_for_until_its_edges_are_debounced() {
        let polled = ", debounce_us = 20000, poll_us = 5000";
        let of = |config, late| run_on(polled, 25, config, &[25, 61], 10, late, |_| picture());
        for late in [0, 7] {
            assert_eq!(of("", late), (vec![3, 7], 8, 0), "{late}");
            assert_eq!(of("before_ms = 10", late).0, [2, 3, 6, 7], "{late}");
        }
        let block = |_| Content::Sample(Arc::new(Sample::Audio(Audio::new(1000, 1, vec![0.0; 10]).unwrap())));
        assert_eq!(run_on(polled, 25, "", &[25], 10, 10, block).0, [2]);
    }

    #[test]
    fn a_line_that_fails_is_told_from_one_that_is_still() {
        let (kept, withheld, unread) = run("", &[25, 0, 60], 10, 0, |_| picture());
        // It broke after the edge at 25 ms, and did not come back.
        assert_eq!((kept, withheld, unread), (vec![3], 2, 7));
    }

    #[test]
    fn what_waits_is_bounded() {
        let big = || Sample::Image(Image::new(4096, 1024, PixelFormat::Gray8, vec![0; 4 << 20]).unwrap());
        let shared = Arc::new(big());
        let (kept, withheld, _) = run("before_ms = 5000", &[400], 50, 0, |_| Content::Sample(Arc::clone(&shared)));
        // 64 MiB of 4 MiB each, and the one that the edge asks for.
        assert_eq!((kept, withheld), ((24..=40).collect(), 33));
    }

    #[test]
    fn a_polled_line_hands_its_edges_on_and_ends_with_its_owner() {
        let alive = Arc::new(());
        let held = Arc::clone(&alive);
        let mut number = 0;
        let mut line = PolledLine::new(Duration::from_micros(100), move |now| {
            let _held = &held;
            number += 1;
            match number {
                2 | 4 => Ok(Some(Edge { at: now, rising: number == 2, lost: 0 })),
                6 => Err(Missing::failed("gone", "look")),
                _ => Ok(None),
            }
        });
        let mut next = || loop {
            match line.next() {
                Ok(None) => thread::sleep(Duration::from_micros(50)),
                other => return other,
            }
        };
        let (first, second) = (next().unwrap().unwrap(), next().unwrap().unwrap());
        assert!(first.rising && !second.rising && first.at <= second.at);
        assert!(next().is_err());
        drop(line);
        while Arc::strong_count(&alive) > 1 {
            thread::sleep(Duration::from_millis(1));
        }
    }
}
