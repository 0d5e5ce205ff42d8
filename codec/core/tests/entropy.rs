//! What the entropy coder promises: every sequence of decisions comes back, at the cost
//! that its probabilities say, and any bytes decode to something.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use afferent_codec::entropy::{Adaptive, BitCoder, Decoder, Encoder, Even, MIN_PROBABILITY, Meter, Predictor};
use proptest::prelude::*;

/// A probability of 0 that never learns.
#[derive(Clone)]
struct Fixed(u32);

impl Predictor for Fixed {
    fn zero(&self) -> u32 {
        self.0
    }

    fn learn(&mut self, _: bool) {}
}

const SURE_OF_ZERO: Fixed = Fixed(65_536 - MIN_PROBABILITY);
const SURE_OF_ONE: Fixed = Fixed(MIN_PROBABILITY);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    /// A decision by one of the adaptive predictors.
    Adaptive(usize, bool),
    Even(bool),
    /// A decision at a probability of 0 that never changes.
    Fixed(u32, bool),
    Escape(u32),
}

/// The decisions of `steps`, written, answered or weighed.
fn walk(coder: &mut impl BitCoder, starts: &[u16], steps: &[Step]) -> Vec<Step> {
    let mut models: Vec<_> = starts.iter().map(|&start| Adaptive::from_bits(start)).collect();
    steps
        .iter()
        .map(|&step| match step {
            Step::Adaptive(at, bit) => Step::Adaptive(at, coder.bit(&mut models[at % starts.len()], bit)),
            Step::Even(bit) => Step::Even(coder.bit(&mut Even, bit)),
            Step::Fixed(zero, bit) => Step::Fixed(zero, coder.bit(&mut Fixed(zero), bit)),
            Step::Escape(value) => Step::Escape(coder.escape(value)),
        })
        .collect()
}

/// The same kinds of decisions, with nothing known of their outcome.
fn blank(steps: &[Step]) -> Vec<Step> {
    steps
        .iter()
        .map(|&step| match step {
            Step::Adaptive(at, _) => Step::Adaptive(at, false),
            Step::Even(_) => Step::Even(false),
            Step::Fixed(zero, _) => Step::Fixed(zero, false),
            Step::Escape(_) => Step::Escape(0),
        })
        .collect()
}

fn encoded(starts: &[u16], steps: &[Step]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut encoder = Encoder::new(&mut bytes);
    assert_eq!(walk(&mut encoder, starts, steps), steps);
    encoder.finish();
    bytes
}

/// Encodes, decodes, compares; returns the bytes and the ideal cost in bits.
fn round_trip(starts: &[u16], steps: &[Step]) -> (Vec<u8>, f64) {
    let bytes = encoded(starts, steps);
    assert_eq!(walk(&mut Decoder::new(&bytes), starts, &blank(steps)), steps);
    let mut meter = Meter::default();
    walk(&mut meter, starts, steps);
    (bytes, meter.bits())
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => (0..7_usize, any::<bool>()).prop_map(|(at, bit)| Step::Adaptive(at, bit)),
        4 => (7..9_usize, proptest::bool::weighted(0.03)).prop_map(|(at, bit)| Step::Adaptive(at, bit)),
        2 => any::<bool>().prop_map(Step::Even),
        2 => (MIN_PROBABILITY..=65_536 - MIN_PROBABILITY, any::<bool>()).prop_map(|(p, bit)| Step::Fixed(p, bit)),
        1 => (0..=u32::from(u16::MAX)).prop_map(Step::Escape),
        1 => (0..40_u32).prop_map(Step::Escape),
    ]
}

proptest! {
    #[test]
    fn decisions_of_any_mix_come_back(
        starts in proptest::collection::vec(any::<u16>(), 9),
        steps in proptest::collection::vec(step(), 0..600),
    ) {
        let (bytes, bits) = round_trip(&starts, &steps);
        prop_assert!(bytes.len() as f64 <= bits / 8.0 * 1.01 + 3.0, "{} bytes for {bits} bits", bytes.len());
    }

    #[test]
    fn what_lies_before_a_stream_stays(
        before in proptest::collection::vec(prop_oneof![Just(0_u8), Just(0xff), any::<u8>()], 0..9),
        steps in proptest::collection::vec(step(), 0..60),
    ) {
        let starts = [1 << 15; 9];
        let mut bytes = before.clone();
        let mut encoder = Encoder::new(&mut bytes);
        walk(&mut encoder, &starts, &steps);
        encoder.finish();
        prop_assert_eq!(&bytes[..before.len()], &before[..]);
        prop_assert_eq!(&bytes[before.len()..], &encoded(&starts, &steps)[..]);
    }

    /// A decoder of any bytes gives decisions; encoded, they come back. This reaches
    /// carries and runs that decisions chosen at random never would.
    #[test]
    fn any_bytes_are_a_stream(
        starts in proptest::collection::vec(any::<u16>(), 9),
        steps in proptest::collection::vec(step(), 0..300),
        bytes in proptest::collection::vec(prop_oneof![Just(0_u8), Just(0xff), any::<u8>()], 0..200),
    ) {
        let mut decoder = Decoder::new(&bytes);
        let decisions = walk(&mut decoder, &starts, &blank(&steps));
        // No decision takes more than two bytes, an escape 33 decisions at most.
        prop_assert!(decoder.overrun() <= 4 + 2 * 33 * steps.len());
        round_trip(&starts, &decisions);
    }

    #[test]
    fn every_truncation_decodes_to_something(
        starts in proptest::collection::vec(any::<u16>(), 9),
        steps in proptest::collection::vec(step(), 1..60),
    ) {
        let bytes = encoded(&starts, &steps);
        for cut in 0..bytes.len() {
            let decisions = walk(&mut Decoder::new(&bytes[..cut]), &starts, &blank(&steps));
            prop_assert_eq!(decisions.len(), steps.len());
        }
        // Zeros behind the end change nothing.
        let mut longer = bytes;
        longer.extend([0; 7]);
        prop_assert_eq!(walk(&mut Decoder::new(&longer), &starts, &blank(&steps)), steps);
    }
}

#[test]
fn no_decision_takes_no_byte() {
    let (bytes, bits) = round_trip(&[], &[]);
    assert!(bytes.is_empty() && bits == 0.0);
    assert_eq!(Decoder::new(&[]).overrun(), 4);
    assert_eq!(Decoder::new(&[1, 2, 3, 4]).overrun(), 0);
}

#[test]
fn one_decision_of_any_kind_comes_back() {
    for bit in [false, true] {
        round_trip(&[], &[Step::Even(bit)]);
        for zero in (MIN_PROBABILITY..=65_536 - MIN_PROBABILITY).step_by(31) {
            let (bytes, _) = round_trip(&[], &[Step::Fixed(zero, bit)]);
            assert!(bytes.len() <= 2, "{zero} {bit}: {bytes:?}");
        }
        for start in (0..=u16::MAX).step_by(97) {
            round_trip(&[start], &[Step::Adaptive(0, bit)]);
        }
    }
}

#[test]
fn every_escape_comes_back_at_its_cost() {
    for value in 0..=u32::from(u16::MAX) {
        let (_, bits) = round_trip(&[], &[Step::Escape(value)]);
        let length = (value + 1).ilog2();
        // The sixteenth "longer" is the last: nothing follows it.
        assert_eq!(bits, f64::from(length + (length + 1).min(16)), "{value}");
    }
    // What is above the largest value is the largest.
    let mut bytes = Vec::new();
    let mut encoder = Encoder::new(&mut bytes);
    assert_eq!(encoder.escape(u32::MAX), u32::from(u16::MAX));
    encoder.finish();
    assert_eq!(Decoder::new(&bytes).escape(0), u32::from(u16::MAX));
    // All ones ask for more than there is.
    assert!(Decoder::new(&[0xff; 9]).escape(0) <= u32::from(u16::MAX));
}

#[test]
fn long_runs_of_one_outcome_come_back() {
    for bit in [false, true] {
        for count in [1, 100, 100_000] {
            let (bytes, bits) = round_trip(&[], &vec![Step::Even(bit); count]);
            assert!(bytes.len() as f64 <= bits / 8.0 * 1.01 + 3.0, "{bit} {count}");
            let (bytes, bits) = round_trip(&[1 << 15], &vec![Step::Adaptive(0, bit); count]);
            // Near certainty the coder's 16-bit products cost more than 1 %.
            assert!(bytes.len() as f64 <= bits / 8.0 * 1.4 + 3.0, "{bit} {count}: {} for {bits}", bytes.len());
            for Fixed(zero) in [SURE_OF_ZERO, SURE_OF_ONE] {
                round_trip(&[], &vec![Step::Fixed(zero, bit); count.min(10_000)]);
            }
        }
    }
}

/// The decisions that `target` stands for, among `count` of one kind.
fn decisions_of(target: &[u8], kinds: &[Step]) -> Vec<Step> {
    walk(&mut Decoder::new(target), &[1 << 15; 9], kinds)
}

#[test]
fn carries_run_through_hundreds_of_pending_bytes() {
    let even = vec![Step::Even(false); 8 * 330];
    let skewed: Vec<_> = (0..8 * 500).map(|at| Step::Fixed(9000 + at % 48_000, false)).collect();
    let adaptive: Vec<_> = (0..8 * 500).map(|at| Step::Adaptive(at % 9, false)).collect();
    for run in [1, 2, 3, 4, 5, 7, 8, 100, 300] {
        for kinds in [&even, &skewed, &adaptive] {
            // Just below a boundary, just above it, and so close that only the end tells.
            for (fill, last) in [(0xff, 0xfe), (0xff, 0x01), (0x00, 0x01), (0x00, 0xff)] {
                for head in [&[0x12, 0x35][..], &[], &[0xff], &[0x00, 0xff], &[0xff, 0x00]] {
                    let mut target = head.to_vec();
                    target.extend(vec![fill; run]);
                    target.extend([last, 0x80, 0x55]);
                    let decisions = decisions_of(&target, kinds);
                    let (bytes, bits) = round_trip(&[1 << 15; 9], &decisions);
                    // The target lies within the interval that the decisions leave.
                    let sure = (bits / 8.0) as usize;
                    // Four bytes of 255 lie just outside of the first range.
                    if sure > target.len() + 1 && !target.starts_with(&[0xff; 4]) {
                        assert_eq!(bytes[..target.len()], target[..], "{run} {fill:#x} {last:#x} {head:?}");
                    }
                }
            }
        }
    }
}

#[test]
fn an_improbable_decision_after_many_sure_ones_comes_back() {
    for count in [0, 1, 10, 100, 1000, 100_000] {
        for (Fixed(zero), bit) in [(SURE_OF_ZERO, false), (SURE_OF_ONE, true)] {
            for first in [false, true] {
                let mut steps = vec![Step::Even(first)];
                steps.extend(vec![Step::Fixed(zero, bit); count]);
                steps.push(Step::Fixed(zero, !bit));
                steps.extend(vec![Step::Fixed(zero, bit); count]);
                steps.push(Step::Even(!first));
                round_trip(&[], &steps);
            }
        }
    }
}

#[test]
fn an_intact_stream_is_read_at_most_four_bytes_beyond() {
    let overrun = |starts: &[u16], steps: &[Step]| {
        let bytes = encoded(starts, steps);
        let mut decoder = Decoder::new(&bytes);
        walk(&mut decoder, starts, &blank(steps));
        decoder.overrun()
    };
    for count in 0..400 {
        for bit in [false, true] {
            assert!(overrun(&[], &vec![Step::Even(bit); count]) <= 4, "{count} even chances of {bit}");
            assert!(overrun(&[1 << 15], &vec![Step::Adaptive(0, bit); count]) <= 4, "{count} times {bit}");
            // A picture's last blocks are often empty.
            let mut steps = vec![Step::Even(!bit); 9];
            steps.extend(vec![Step::Even(bit); count]);
            assert!(overrun(&[], &steps) <= 4, "{count} even chances of {bit} at the end");
        }
    }
}

#[test]
fn the_meter_adds_up_probabilities() {
    let mut meter = Meter::default();
    assert_eq!(meter.bits(), 0.0);
    meter.bit(&mut Even, true);
    meter.bit(&mut Even, false);
    assert_eq!(meter.bits(), 2.0);
    meter.bit(&mut SURE_OF_ZERO.clone(), true);
    assert_eq!(meter.bits(), 13.0);
    // A uniform source at its own probability costs its entropy.
    let mut varied = Varied(3);
    let mut meter = Meter::default();
    let count = 200_000;
    for _ in 0..count {
        meter.bit(&mut Fixed(6554), varied.below(65_536) >= 6554);
    }
    let entropy = -(0.1_f64 * 0.1_f64.log2() + 0.9 * 0.9_f64.log2());
    assert!((meter.bits() / f64::from(count) / entropy - 1.0).abs() < 0.02);
}

#[test]
fn an_adaptive_probability_learns_and_stays_within_its_bounds() {
    for start in [0.0, 0.3, 1.0, -1.0, 2.0, f64::NAN] {
        let mut model = Adaptive::new(start);
        for bit in [false, true, false] {
            for _ in 0..3000 {
                assert!((MIN_PROBABILITY..=65_536 - MIN_PROBABILITY).contains(&model.zero()));
                model.learn(bit);
            }
            assert_eq!(model.zero() > 1 << 15, !bit, "{start}");
            let least = if bit { model.zero() } else { 65_536 - model.zero() };
            assert!(least < 100, "{start}: {least}");
        }
    }
}

/// A small generator of numbers that only need to be varied, the same on every run.
struct Varied(u64);

impl Varied {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        self.0 >> 33
    }

    fn below(&mut self, end: usize) -> usize {
        self.next() as usize % end
    }
}

/// A seeded walk over every kind of decision.
fn golden_steps() -> Vec<Step> {
    let mut varied = Varied(2026);
    (0..160)
        .map(|at| match at % 8 {
            0 => Step::Even(varied.below(2) == 1),
            1 => Step::Fixed(32 + varied.below(65_473) as u32, varied.below(2) == 1),
            2 if at % 16 == 2 => Step::Escape(varied.below(20) as u32),
            kind => Step::Adaptive(kind, varied.below(10) > kind),
        })
        .collect()
}

/// These bytes are the format: they may change only with the version of every codec
/// that stands on the coder.
#[test]
fn the_bytes_are_always_these() {
    let starts = [40_000, 30_000, 20_000, 10_000, 65_535, 0, 50_000, 60_000, 32_768];
    assert_eq!(hex(&round_trip(&starts, &golden_steps()).0), GOLDEN);
    let zeros = [Step::Adaptive(5, false); 300];
    assert_eq!(
        hex(&round_trip(&starts, &[&[Step::Even(true)][..], &zeros, &[Step::Even(true)]].concat()).0),
        GOLDEN_RUN
    );
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

const GOLDEN: &str = "e7af6ff0ef5254480ca381a8f7a85858c1b4978df3975938dd49e314c62b4fbac840";
const GOLDEN_RUN: &str = "7fffffff000000000000000000000000000000000080";
