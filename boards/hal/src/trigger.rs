//! The trigger input: edges of a GPIO line, with the kernel's time of each.

use crate::reading::Missing;
use crate::sysfs::Root;
use embedded_hal::digital::{Error as _, InputPin};
use gpiocdev::line::{Bias, EdgeDetection, EdgeKind};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Which line triggers, and how.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TriggerConfig {
    /// The chip, for example `/dev/gpiochip0`.
    pub chip: PathBuf,
    /// The line's number on the chip.
    pub line: u32,
    /// The edges that trigger.
    #[serde(default)]
    pub edge: Edges,
    /// The resistor inside the chip that holds an open line.
    #[serde(default)]
    pub pull: Pull,
    /// Levels shorter than this many microseconds are bounces.
    #[serde(default = "default_debounce_us")]
    pub debounce_us: u32,
    /// The line is read every so many microseconds: for a line that cannot
    /// interrupt, as of some port expanders. 0: it interrupts.
    #[serde(default)]
    pub poll_us: u32,
}

/// Events that the kernel keeps for a late reader; a block of sound may last for seconds.
const EVENTS: u32 = 256;

const fn default_debounce_us() -> u32 {
    5000
}

/// Edges of a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Edges {
    /// From low to high.
    #[default]
    Rising,
    /// From high to low.
    Falling,
    /// Both.
    Both,
}

/// What holds an open line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Pull {
    /// As the board has set it.
    #[default]
    Unchanged,
    /// Nothing.
    None,
    /// High.
    Up,
    /// Low.
    Down,
}

/// One edge.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Edge {
    /// When, on the monotonic clock, by the kernel at the interrupt. Where the
    /// line is polled: when the new level had been seen first.
    pub at: Duration,
    /// Whether the line went high.
    pub rising: bool,
    /// Edges before this one that were lost, because nobody took them in time.
    pub lost: u32,
}

/// The trigger input.
pub enum Trigger {
    /// A line that interrupts; the kernel debounces it.
    Events(EventLine),
    /// A line that is read again and again.
    Polled(Polled<gpiocdev_embedded_hal::InputPin>),
}

/// A line whose edges the kernel reports.
pub struct EventLine {
    request: gpiocdev::Request,
    sequence: Sequence,
    place: String,
}

impl TriggerConfig {
    /// Opens the line.
    ///
    /// # Errors
    /// `None` if there is no such chip or line, `NoAccess` if a permission is
    /// missing or the line is in use, `Failed` if it cannot do what is asked.
    pub fn open(&self, root: &Root) -> Result<Trigger, Missing> {
        let missing = |e: &gpiocdev::Error| line_missing(root, &self.chip, self.line, e);
        let mut builder = gpiocdev::Request::builder();
        builder.on_chip(root.path(&self.chip)).with_consumer("afferent").with_line(self.line).as_input();
        builder.with_bias(match self.pull {
            Pull::Unchanged => None,
            Pull::None => Some(Bias::Disabled),
            Pull::Up => Some(Bias::PullUp),
            Pull::Down => Some(Bias::PullDown),
        });
        if self.poll_us == 0 {
            builder.with_edge_detection(match self.edge {
                Edges::Rising => EdgeDetection::RisingEdge,
                Edges::Falling => EdgeDetection::FallingEdge,
                Edges::Both => EdgeDetection::BothEdges,
            });
            builder.with_kernel_event_buffer_size(EVENTS);
            if self.debounce_us > 0 {
                builder.with_debounce_period(Duration::from_micros(self.debounce_us.into()));
            }
            let request = builder.request().map_err(|e| missing(&e))?;
            let place = format!("{}: line {}", self.chip.display(), self.line);
            return Ok(Trigger::Events(EventLine { request, sequence: Sequence::default(), place }));
        }
        let request = builder.request().map_err(|e| missing(&e))?;
        let pin = gpiocdev_embedded_hal::InputPin::try_from(request).map_err(|e| {
            Missing::failed(format!("{}: line {}: {e}", self.chip.display(), self.line), "use another line")
        })?;
        Ok(Trigger::Polled(Polled::new(pin, self.edge, Duration::from_micros(self.debounce_us.into()))))
    }
}

impl EventLine {
    /// The next edge, within `patience`.
    ///
    /// # Errors
    /// `Failed` if the line fails; open it anew.
    pub fn next(&mut self, patience: Duration) -> Result<Option<Edge>, Missing> {
        let failed = |e: gpiocdev::Error| Missing::failed(format!("{}: {e}", self.place), "open the line anew");
        if !self.request.wait_edge_event(patience).map_err(failed)? {
            return Ok(None);
        }
        let event = self.request.read_edge_event().map_err(failed)?;
        Ok(Some(Edge {
            at: Duration::from_nanos(event.timestamp_ns),
            rising: event.kind == EdgeKind::Rising,
            lost: self.sequence.lost(event.line_seqno),
        }))
    }
}

/// Counts events by the numbers that the kernel gives them, from 1 on.
#[derive(Debug, Default)]
struct Sequence(u32);

impl Sequence {
    /// How many events between the last one and number `number` were lost.
    fn lost(&mut self, number: u32) -> u32 {
        let last = std::mem::replace(&mut self.0, number);
        number.wrapping_sub(last).saturating_sub(1)
    }
}

/// A pin that is read again and again, debounced here. Time is passed in.
pub struct Polled<P: InputPin> {
    pin: P,
    edges: Edges,
    debounce: Duration,
    /// The level that holds; `None` before the first reading.
    level: Option<bool>,
    /// Since when the pin has had the other level.
    changed: Option<Duration>,
}

impl<P: InputPin> Polled<P> {
    /// Reports `edges` of `pin`; levels shorter than `debounce` are bounces.
    pub fn new(pin: P, edges: Edges, debounce: Duration) -> Self {
        Self { pin, edges, debounce, level: None, changed: None }
    }

    /// Reads the pin at `now`, on the monotonic clock; an edge once its new level
    /// has held.
    ///
    /// # Errors
    /// `Failed` if the pin cannot be read.
    pub fn poll(&mut self, now: Duration) -> Result<Option<Edge>, Missing> {
        let high = self.pin.is_high().map_err(|error| {
            Missing::failed(format!("the trigger cannot be read: {}", error.kind()), "see the kernel's log")
        })?;
        if high == *self.level.get_or_insert(high) {
            self.changed = None;
            return Ok(None);
        }
        let at = *self.changed.get_or_insert(now);
        if now.saturating_sub(at) < self.debounce {
            return Ok(None);
        }
        self.level = Some(high);
        self.changed = None;
        let wanted = match self.edges {
            Edges::Rising => high,
            Edges::Falling => !high,
            Edges::Both => true,
        };
        Ok(wanted.then_some(Edge { at, rising: high, lost: 0 }))
    }
}

/// Why line `line` of `chip` cannot be had.
pub(crate) fn line_missing(root: &Root, chip: &Path, line: u32, error: &gpiocdev::Error) -> Missing {
    let path = root.path(chip);
    // The kernel's answer to opening the chip says more than the library's.
    if let Err(error) = std::fs::OpenOptions::new().read(true).write(true).open(&path) {
        return Missing::device(chip.display(), &error, "gpio");
    }
    let place = format!("{}: line {line}", chip.display());
    let error = error.to_string();
    // The library keeps the type of the kernel's answer to itself, not its text (EBUSY).
    if error.contains("(os error 16)") {
        return Missing::no_access(
            format!("{place} is in use"),
            "`gpioinfo` says by whom: free it, or use another line",
        );
    }
    Missing::failed(format!("{place}: {error}"), "check the line's number, and what it can do")
}

#[cfg(test)]
mod tests {
    use super::*;
    use embedded_hal_mock::eh1::digital::{Mock, State, Transaction};

    #[test]
    fn a_polled_line_is_debounced() {
        let levels = "lhlhhhhllhlllh";
        let expected: Vec<Transaction> =
            levels.chars().map(|level| Transaction::get(if level == 'h' { State::High } else { State::Low })).collect();
        let mut pin = Mock::new(&expected);
        let mut line = Polled::new(pin.clone(), Edges::Both, Duration::from_millis(2));
        let seen: Vec<(u64, Edge)> = (0..levels.len() as u64)
            .filter_map(|ms| line.poll(Duration::from_millis(ms)).unwrap().map(|edge| (ms, edge)))
            .collect();
        let edge = |ms, rising| Edge { at: Duration::from_millis(ms), rising, lost: 0 };
        // The time is that of the first reading of a level that held.
        assert_eq!(seen, [(5, edge(3, true)), (12, edge(10, false))]);
        pin.done();
    }

    #[test]
    fn the_level_at_the_start_is_no_edge_and_only_wanted_edges_count() {
        let expected = [State::High, State::Low, State::High].map(Transaction::get);
        let mut pin = Mock::new(&expected);
        let mut line = Polled::new(pin.clone(), Edges::Rising, Duration::ZERO);
        let seen = [0, 1, 2].map(|ms| line.poll(Duration::from_millis(ms)).unwrap().is_some());
        assert_eq!(seen, [false, false, true]);
        pin.done();
    }

    #[test]
    fn lost_edges_are_counted() {
        let mut sequence = Sequence::default();
        assert_eq!([1, 2, 5, 6].map(|number| sequence.lost(number)), [0, 0, 2, 0]);
        let mut wraps = Sequence(u32::MAX);
        assert_eq!((wraps.lost(1), wraps.lost(2)), (1, 0));
    }

    #[test]
    fn a_chip_that_is_not_there_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let config: TriggerConfig = toml::from_str("chip = '/dev/gpiochip9'\nline = 4\nedge = 'falling'").unwrap();
        let missing = config.open(&Root::new(folder.path())).err().unwrap();
        assert!(missing.what.contains("/dev/gpiochip9") && missing.why == crate::Why::None, "{missing}");
    }
}
