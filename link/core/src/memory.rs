//! A link in memory, with a seeded fault injector.
//!
//! For tests, for sweeps that need no network, and for trying a configuration
//! against a bad day. Time is the caller's and may be virtual; one seed gives
//! one run, for ever.
//!
//! ```
//! use afferent_link::memory::{Arrival, End, Faults, Link};
//! let mut link = Link::new(Faults { delay_us: 20_000..=20_000, ..Faults::NONE }, 1);
//! assert!(link.connect(0));
//! assert_eq!(link.receive(End::Server, 0), Some(Arrival::Connected));
//! link.send(End::Agent, b"hello", 0);
//! assert_eq!(link.receive(End::Server, 19_999), None);
//! assert_eq!(link.next(End::Server), Some(20_000));
//! assert_eq!(link.receive(End::Server, 20_000), Some(Arrival::Frame(b"hello".to_vec())));
//! ```

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

/// What may befall frames. Probabilities are per frame, from 0 to 1.
#[derive(Debug, Clone, PartialEq)]
pub struct Faults {
    /// Time on the way, in microseconds.
    pub delay_us: RangeInclusive<u64>,
    /// Frames keep their order but for this share, which comes late.
    pub reorder: f64,
    /// Lost.
    pub loss: f64,
    /// Delivered twice.
    pub duplicate: f64,
    /// Delivered with a few flipped bits.
    pub corrupt: f64,
    /// Mean time between cuts in microseconds: both directions are dead and
    /// what is on its way is lost, which both ends notice.
    pub cut_every_us: Option<u64>,
    /// Length of a cut in microseconds.
    pub cut_us: RangeInclusive<u64>,
    /// Bytes per second of each direction; unlimited where `None`.
    pub bytes_per_second: Option<u64>,
    /// Bytes on the way in each direction; a frame beyond them is lost.
    pub queue_bytes: u64,
}

impl Faults {
    /// None: an instant, perfect link of 64 MiB.
    pub const NONE: Self = Self {
        delay_us: 0..=0,
        reorder: 0.0,
        loss: 0.0,
        duplicate: 0.0,
        corrupt: 0.0,
        cut_every_us: None,
        cut_us: 0..=0,
        bytes_per_second: None,
        queue_bytes: 64 << 20,
    };
}

/// One end of the link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// The board.
    Agent,
    /// The server.
    Server,
}

impl End {
    const fn index(self) -> usize {
        self as usize
    }

    const fn other(self) -> Self {
        match self {
            Self::Agent => Self::Server,
            Self::Server => Self::Agent,
        }
    }
}

/// What came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Arrival {
    /// A connection is up.
    Connected,
    /// A frame, perhaps damaged.
    Frame(Vec<u8>),
    /// The connection is cut.
    Disconnected,
}

/// What one end sent and received, lost and repeated frames included.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Wire {
    /// Frames sent.
    pub tx_frames: u64,
    /// Bytes sent.
    pub tx_bytes: u64,
    /// Frames received.
    pub rx_frames: u64,
    /// Bytes received.
    pub rx_bytes: u64,
}

/// What is on its way to one end.
#[derive(Default)]
struct Way {
    /// By time of arrival, then by order of sending.
    frames: BTreeMap<(u64, u64), Arrival>,
    bytes: u64,
    /// When the sender's interface has sent all it was given.
    busy_until: u64,
    /// The last arrival among frames that keep their order.
    last: u64,
}

/// A link between one agent and one server.
pub struct Link {
    faults: Faults,
    random: Random,
    up: bool,
    dead_until: u64,
    next_cut: Option<u64>,
    ways: [Way; 2],
    wires: [Wire; 2],
    serial: u64,
}

impl Link {
    /// A link that is not connected, with these faults drawn from `seed`.
    #[must_use]
    pub fn new(faults: Faults, seed: u64) -> Self {
        Self {
            faults,
            random: Random(seed),
            up: false,
            dead_until: 0,
            next_cut: None,
            ways: Default::default(),
            wires: Default::default(),
            serial: 0,
        }
    }

    /// The agent dials. Returns whether a connection is up now; during a cut it
    /// is not. A connection that was up is replaced: what was on its way is lost.
    pub fn connect(&mut self, now: u64) -> bool {
        self.advance(now);
        if now < self.dead_until {
            return false;
        }
        self.up = true;
        self.next_cut = self.faults.cut_every_us.map(|mean| now + self.random.within(&(0..=mean.saturating_mul(2))));
        for end in [End::Agent, End::Server] {
            self.restart(end, now, Arrival::Connected);
        }
        true
    }

    /// Cuts the connection now, for `length_us`.
    pub fn cut(&mut self, now: u64, length_us: u64) {
        self.up = false;
        self.next_cut = None;
        self.dead_until = now.saturating_add(length_us);
        for end in [End::Agent, End::Server] {
            self.restart(end, now, Arrival::Disconnected);
        }
    }

    /// Ends all faults but delay and rate; a cut ends when its time is over.
    pub fn heal(&mut self) {
        let Faults { delay_us, bytes_per_second, queue_bytes, .. } = self.faults.clone();
        self.faults = Faults { delay_us, bytes_per_second, queue_bytes, ..Faults::NONE };
        self.next_cut = None;
    }

    /// Sends a frame from one end; without a connection it is lost.
    pub fn send(&mut self, from: End, frame: &[u8], now: u64) {
        self.advance(now);
        if !self.up {
            return;
        }
        let wire = &mut self.wires[from.index()];
        wire.tx_frames += 1;
        wire.tx_bytes += frame.len() as u64;
        let way = &mut self.ways[from.other().index()];
        if let Some(rate) = self.faults.bytes_per_second {
            let length_us = (frame.len() as u64).saturating_mul(1_000_000) / rate.max(1);
            way.busy_until = way.busy_until.max(now).saturating_add(length_us);
        }
        if self.random.hits(self.faults.loss) {
            return;
        }
        let copies = 1 + u32::from(self.random.hits(self.faults.duplicate));
        for _ in 0..copies {
            let way = &mut self.ways[from.other().index()];
            if way.bytes + frame.len() as u64 > self.faults.queue_bytes {
                return;
            }
            let mut at = now.max(way.busy_until).saturating_add(self.random.within(&self.faults.delay_us));
            if self.random.hits(self.faults.reorder) {
                at = at.saturating_add(self.random.within(&(0..=self.faults.delay_us.end().saturating_mul(4))));
            } else {
                at = at.max(way.last);
                way.last = at;
            }
            let mut frame = frame.to_vec();
            if self.random.hits(self.faults.corrupt) {
                for _ in 0..=self.random.within(&(0..=2)) {
                    let bit = self.random.within(&(0..=frame.len() as u64 * 8)) as usize;
                    if let Some(byte) = frame.get_mut(bit / 8) {
                        *byte ^= 1 << (bit % 8);
                    }
                }
            }
            way.bytes += frame.len() as u64;
            way.frames.insert((at, self.serial), Arrival::Frame(frame));
            self.serial += 1;
        }
    }

    /// What has come to one end by now; to be asked until it is `None`.
    pub fn receive(&mut self, at: End, now: u64) -> Option<Arrival> {
        self.advance(now);
        let way = &mut self.ways[at.index()];
        let first = way.frames.first_entry().filter(|first| first.key().0 <= now)?;
        let arrival = first.remove();
        if let Arrival::Frame(frame) = &arrival {
            way.bytes -= frame.len() as u64;
            let wire = &mut self.wires[at.index()];
            wire.rx_frames += 1;
            wire.rx_bytes += frame.len() as u64;
        }
        Some(arrival)
    }

    /// When something comes to one end next, as far as it is known, or a cut begins.
    #[must_use]
    pub fn next(&self, at: End) -> Option<u64> {
        let first = self.ways[at.index()].frames.first_key_value().map(|(key, _)| key.0);
        [first, self.next_cut].into_iter().flatten().min()
    }

    /// Whether a connection is up.
    #[must_use]
    pub fn is_up(&self) -> bool {
        self.up
    }

    /// What one end sent and received.
    #[must_use]
    pub fn wire(&self, end: End) -> Wire {
        self.wires[end.index()]
    }

    fn advance(&mut self, now: u64) {
        if let Some(at) = self.next_cut.filter(|&at| self.up && now >= at) {
            let length = self.random.within(&self.faults.cut_us);
            self.cut(at, length);
        }
    }

    /// Loses what is on its way to `end` and tells it why.
    fn restart(&mut self, end: End, now: u64, arrival: Arrival) {
        let way = &mut self.ways[end.index()];
        *way = Way { last: now, ..Way::default() };
        way.frames.insert((now, self.serial), arrival);
        self.serial += 1;
    }
}

/// SplitMix64 (Steele, Lea and Flood, 2014): small, and the same for ever, so
/// that a failing seed can be replayed.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn within(&mut self, range: &RangeInclusive<u64>) -> u64 {
        let span = range.end().saturating_sub(*range.start());
        range.start() + self.next().checked_rem(span.saturating_add(1)).unwrap_or_default()
    }

    #[allow(clippy::cast_precision_loss)]
    fn hits(&mut self, probability: f64) -> bool {
        ((self.next() >> 11) as f64) < probability * (1u64 << 53) as f64
    }
}
