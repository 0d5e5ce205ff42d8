//! Any bytes answer a bounded walk of decisions; any decisions come back from their bytes.
#![no_main]

use afferent_codec::entropy::{Adaptive, BitCoder, Decoder, Encoder, Even};

/// Most decisions of one input.
const MOST: usize = 4096;

/// One decision after another: `plan` says of what kind each is, `asked` what it is.
fn walk(coder: &mut impl BitCoder, plan: &[u8], asked: impl Fn(usize) -> u32) -> Vec<u32> {
    let mut models: [Adaptive; 16] = std::array::from_fn(|at| Adaptive::from_bits((at * 4369) as u16));
    (0..MOST.min(plan.len() * 16))
        .map(|at| {
            let kind = plan[at % plan.len()];
            match kind >> 4 {
                15 => coder.escape(asked(at)),
                14 => coder.bit(&mut Even, asked(at) & 1 == 1).into(),
                _ => coder.bit(&mut models[usize::from(kind & 15)], asked(at) & 1 == 1).into(),
            }
        })
        .collect()
}

/// These decisions, written and read again.
fn round_trip(plan: &[u8], decisions: &[u32]) {
    let mut bytes = Vec::new();
    let mut encoder = Encoder::new(&mut bytes);
    walk(&mut encoder, plan, |at| decisions[at]);
    encoder.finish();
    let mut decoder = Decoder::new(&bytes);
    assert_eq!(walk(&mut decoder, plan, |_| 0), decisions);
    assert!(decoder.overrun() <= 4);
}

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    let Some((&length, rest)) = input.split_first() else { return };
    let (plan, data) = rest.split_at((1 + usize::from(length) % 64).min(rest.len()));
    if plan.is_empty() {
        return;
    }
    // As a stream: whatever it answers is a sequence of decisions like any other.
    let answered = walk(&mut Decoder::new(data), plan, |_| 0);
    round_trip(plan, &answered);
    // As decisions.
    let count = answered.len();
    let asked: Vec<u32> = (0..count)
        .map(|at| {
            let byte = |at: usize| data.get(at % data.len().max(1)).copied().map_or(0, u32::from);
            match plan[at % plan.len()] >> 4 {
                15 => byte(at) << 8 | byte(at + 1),
                _ => byte(at / 8) >> (at % 8) & 1,
            }
        })
        .collect();
    round_trip(plan, &asked);
});
