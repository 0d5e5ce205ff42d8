//! From power now and then to energy since the start.
//!
//! Energy is the integral of power by the trapezoid rule: between two readings
//! the power is taken to have changed evenly. Where a reading is missing or
//! late, the time until the next one is a **gap**: it is counted, and nothing
//! is made up for it.

use crate::meter::{Meter, MeterConfig};
use crate::reading::{Missing, Why};
use crate::sysfs::Root;
use std::time::Duration;

/// A reading later than this many periods leaves a gap.
const LATE: u32 = 3;

/// Energy since the start, by a meter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Energy {
    /// Microjoules over the metered time.
    pub microjoules: u64,
    /// The time that was metered: the rest are gaps.
    pub metered: Duration,
    /// Time in gaps, since the first reading.
    pub gap: Duration,
    /// Readings that were missed: failed ones and those of late rounds.
    pub missed: u64,
    /// The meter's name.
    pub meter: String,
    /// Time between two readings as configured.
    pub period: Duration,
}

/// What two readings in a row have metered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Interval {
    /// When the first reading was taken.
    pub from: Duration,
    /// When the second reading was taken.
    pub to: Duration,
    /// Energy between them, in picojoules (microwatts times microseconds).
    pub picojoules: u128,
}

/// Integrates power to energy. No meter and no clock: both are passed in.
#[derive(Debug, Clone)]
pub struct Integrator {
    period: Duration,
    /// The last good reading: when, and microwatts.
    last: Option<(Duration, u64)>,
    /// When the gap that is open began.
    gap_from: Option<Duration>,
    picojoules: u128,
    metered: Duration,
    gap: Duration,
    missed: u64,
}

impl Integrator {
    /// An integrator of readings that should come every `period`.
    #[must_use]
    pub fn new(period: Duration) -> Self {
        Self {
            period,
            last: None,
            gap_from: None,
            picojoules: 0,
            metered: Duration::ZERO,
            gap: Duration::ZERO,
            missed: 0,
        }
    }

    /// Takes the reading of `microwatts` at `now`, or `None` for one that failed.
    /// Returns what has been metered since the reading before, if no gap is between.
    pub fn take(&mut self, now: Duration, microwatts: Option<u64>) -> Option<Interval> {
        let Some(microwatts) = microwatts else {
            self.missed += 1;
            if let Some((at, _)) = self.last.take() {
                self.gap_from = Some(at);
            }
            return None;
        };
        let last = self.last.replace((now, microwatts));
        if let Some(from) = self.gap_from.take() {
            self.gap += now.saturating_sub(from);
            return None;
        }
        let (from, before) = last?;
        // Also for a clock that stood still or went back.
        let span = now.checked_sub(from).filter(|span| !span.is_zero())?;
        if span > self.period * LATE {
            self.gap += span;
            let rounds = span.as_micros() / self.period.as_micros().max(1);
            self.missed += u64::try_from(rounds).unwrap_or(u64::MAX).saturating_sub(1);
            return None;
        }
        let picojoules = (u128::from(before) + u128::from(microwatts)) * span.as_micros() / 2;
        self.picojoules += picojoules;
        self.metered += span;
        Some(Interval { from, to: now, picojoules })
    }

    /// The energy so far; `None` if no two readings in a row have come yet.
    #[must_use]
    pub fn energy(&self, meter: &str) -> Option<Energy> {
        (!self.metered.is_zero()).then(|| Energy {
            microjoules: u64::try_from(self.picojoules / 1_000_000).unwrap_or(u64::MAX),
            metered: self.metered,
            gap: self.gap,
            missed: self.missed,
            meter: meter.to_owned(),
            period: self.period,
        })
    }
}

/// A meter that is opened, read, and opened again when it vanished.
pub struct Sampler {
    name: String,
    open: Box<dyn FnMut() -> Result<Box<dyn Meter>, Missing> + Send>,
    meter: Option<Box<dyn Meter>>,
    integrator: Integrator,
    /// Why the last reading failed.
    missing: Option<Missing>,
    power: Option<u64>,
}

impl Sampler {
    /// A sampler of the meter that `config` names, to be pulled every `period`.
    /// The meter is opened at the first pull.
    #[must_use]
    pub fn new(config: &MeterConfig, root: &Root, period: Duration) -> Self {
        let (name, config, root) = (config.to_string(), config.clone(), root.clone());
        Self::opening(name, period, move || config.open(&root))
    }

    /// A sampler of the meter `name` that `open` opens.
    pub fn opening(
        name: impl Into<String>,
        period: Duration,
        open: impl FnMut() -> Result<Box<dyn Meter>, Missing> + Send + 'static,
    ) -> Self {
        Self {
            name: name.into(),
            open: Box::new(open),
            meter: None,
            integrator: Integrator::new(period),
            missing: None,
            power: None,
        }
    }

    /// The meter's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Reads the meter. `now` says the time once the reading is there, on a
    /// monotonic clock of the caller's. A meter that failed is opened anew at the
    /// next pull. Returns what was metered since the last pull, if no gap is
    /// between.
    pub fn pull(&mut self, now: impl FnOnce() -> Duration) -> Option<Interval> {
        let read = match &mut self.meter {
            Some(meter) => meter.microwatts(),
            None => (self.open)().and_then(|meter| self.meter.insert(meter).microwatts()),
        };
        let interval = self.integrator.take(now(), read.as_ref().ok().copied());
        self.power = read.as_ref().ok().copied();
        self.missing = read.err();
        if self.missing.is_some() {
            self.meter = None;
        }
        interval
    }

    /// Power at the last pull in microwatts, or why there is none.
    ///
    /// # Errors
    /// What kept the meter from being read.
    pub fn microwatts(&self) -> Result<u64, Missing> {
        self.power.ok_or_else(|| self.reason())
    }

    /// Energy since the first pull, or why there is none. A meter that was read
    /// and has vanished leaves what it metered, and a growing count of gaps.
    ///
    /// # Errors
    /// What kept the meter from being read twice in a row.
    pub fn energy(&self) -> Result<Energy, Missing> {
        self.integrator.energy(&self.name).ok_or_else(|| self.reason())
    }

    /// Why the last pull read nothing; `None` if it read something.
    #[must_use]
    pub fn missing(&self) -> Option<&Missing> {
        self.missing.as_ref()
    }

    fn reason(&self) -> Missing {
        self.missing.clone().unwrap_or_else(|| Missing {
            why: Why::Failed,
            what: format!("{} was not read twice yet", self.name),
            remedy: "wait for two of its periods".into(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::VecDeque;

    const fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn power_becomes_energy_by_the_trapezoid_rule() {
        let mut integrator = Integrator::new(ms(100));
        assert_eq!(integrator.energy("m"), None);
        assert_eq!(integrator.take(ms(0), Some(1_000_000)), None);
        // From 1 W to 3 W within 0.1 s: 0.2 J.
        let interval = integrator.take(ms(100), Some(3_000_000)).unwrap();
        assert_eq!((interval.from, interval.to, interval.picojoules), (ms(0), ms(100), 200_000_000_000));
        integrator.take(ms(250), Some(3_000_000)).unwrap();
        let energy = integrator.energy("m").unwrap();
        assert_eq!((energy.microjoules, energy.metered, energy.missed), (650_000, ms(250), 0));
    }

    #[test]
    fn a_gap_is_counted_and_not_filled() {
        let mut integrator = Integrator::new(ms(100));
        integrator.take(ms(0), Some(1_000_000));
        integrator.take(ms(100), Some(1_000_000)).unwrap();
        // Two failed readings: from the last good one to the next is a gap.
        assert_eq!(integrator.take(ms(200), None), None);
        assert_eq!(integrator.take(ms(300), None), None);
        assert_eq!(integrator.take(ms(400), Some(9_000_000)), None);
        integrator.take(ms(500), Some(1_000_000)).unwrap();
        // A second late: nine readings did not come.
        assert_eq!(integrator.take(ms(1500), Some(1_000_000)), None);
        // The clock stood still.
        assert_eq!(integrator.take(ms(1500), Some(1_000_000)), None);
        let energy = integrator.energy("m").unwrap();
        assert_eq!((energy.microjoules, energy.metered), (100_000 + 500_000, ms(200)));
        assert_eq!((energy.gap, energy.missed), (ms(300) + ms(1000), 2 + 9));
    }

    #[test]
    fn readings_that_never_succeed_are_no_energy() {
        let mut integrator = Integrator::new(ms(100));
        for round in 0..5 {
            integrator.take(ms(round * 100), None);
        }
        assert_eq!(integrator.energy("m"), None);
        assert_eq!(integrator.take(ms(600), Some(5)), None);
        assert_eq!(integrator.energy("m"), None);
        assert_eq!(integrator.gap, Duration::ZERO, "gaps are since the first reading");
    }

    struct Scripted(VecDeque<Result<u64, Missing>>);

    impl Meter for Scripted {
        fn microwatts(&mut self) -> Result<u64, Missing> {
            self.0.pop_front().unwrap_or_else(|| Err(Missing::failed("unplugged", "plug it in")))
        }
    }

    #[test]
    fn a_meter_vanishes_and_returns() {
        let mut opened = 0;
        let mut sampler = Sampler::opening("bench meter", ms(100), move || {
            opened += 1;
            match opened {
                // Found, then gone after two readings; away once; back.
                2 => Err(Missing::none("nothing answers", "plug it in")),
                _ => Ok(Box::new(Scripted([Ok(1_000_000), Ok(1_000_000)].into())) as Box<dyn Meter>),
            }
        });
        assert_eq!(sampler.energy().unwrap_err().what, "bench meter was not read twice yet");
        let pull = |sampler: &mut Sampler, at| sampler.pull(|| ms(at)).is_some();
        assert_eq!([0, 100, 200].map(|at| pull(&mut sampler, at)), [false, true, false]);
        assert_eq!(sampler.missing().unwrap().what, "unplugged");
        assert_eq!(sampler.microwatts().unwrap_err().what, "unplugged");
        assert!(!pull(&mut sampler, 300));
        assert_eq!(sampler.missing().unwrap().why, Why::None);
        assert_eq!([400, 500].map(|at| pull(&mut sampler, at)), [false, true]);
        assert_eq!((sampler.missing(), sampler.microwatts()), (None, Ok(1_000_000)));
        let energy = sampler.energy().unwrap();
        assert_eq!((energy.microjoules, energy.missed, energy.gap), (200_000, 2, ms(300)));
        assert_eq!(energy.meter, "bench meter");
    }
}
