//! The board's body, as the agent sees it: what the energy meter, the thermal
//! zone and the throttling flags say while it works, and the status LED.
//!
//! # What a sample cost
//!
//! A meter measures the whole board, not one encoder. So the energy that a
//! sample is given follows a rule: what the board drew while at least one
//! encoder worked, idle share included, is divided among the samples in
//! proportion to the time that their encoders took. Where two encoders work at
//! once, each has its part. The energy between two readings of the meter is
//! taken to have been drawn evenly; what falls into a gap of the meter counts
//! neither as energy nor as time.

use crate::config;
use crate::source::wall_us;
use crate::spool::Standing;
use crate::stop::Stop;
use afferent_boards_hal::sampler::Interval;
use afferent_boards_hal::throttle::Watch;
use afferent_boards_hal::{
    Energy, Measured, Missing, Reading, Root, Sampler, Status, StatusLed, Throttle, Why, health,
};
use afferent_link::message::NoEnergy;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// How often the throttling flags are read: the kernel may keep them for two seconds.
const FLAGS_EVERY: Duration = Duration::from_secs(1);
/// The spool fills from this part of its limit on.
const FULL: f64 = 0.8;

/// How the link is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Link {
    /// The server is reached.
    Up,
    /// It is not.
    Down,
    /// It refuses this device.
    Refused,
}

/// For how long encoders worked. Time is passed in.
#[derive(Debug, Default)]
struct Work {
    active: u32,
    at: Duration,
    /// While at least one worked.
    any: Duration,
    /// Each one counted.
    all: Duration,
}

impl Work {
    /// Counts up to `now`.
    fn advance(&mut self, now: Duration) {
        let span = now.saturating_sub(self.at);
        if self.active > 0 {
            self.any += span;
            self.all += span * self.active;
        }
        self.at = now.max(self.at);
    }
}

/// What was metered while encoders worked.
#[derive(Debug, Default)]
struct Metered {
    /// What the encoders had worked at the last reading.
    any: Duration,
    all: Duration,
    /// Since the meter's first interval.
    encode: Duration,
    picojoules: u128,
    from_us: u64,
}

impl Metered {
    /// Takes what the meter says of the time since the last reading, by the end
    /// of which encoders had worked `work`; `None` for a gap.
    fn take(&mut self, interval: Option<Interval>, work: &Work, wall_us: u64) {
        let any = work.any.saturating_sub(self.any);
        let all = work.all.saturating_sub(self.all);
        (self.any, self.all) = (work.any, work.all);
        let Some(interval) = interval else { return };
        let span = interval.to.saturating_sub(interval.from).as_nanos().max(1);
        if self.from_us == 0 {
            let span_us = u64::try_from(span / 1000).unwrap_or(0);
            self.from_us = wall_us.saturating_sub(span_us).max(1);
        }
        self.encode += all;
        // The meter's interval and the encoders' end at readings of one clock.
        self.picojoules += interval.picojoules * any.as_nanos().min(span) / span;
    }
}

struct State {
    work: Work,
    metered: Metered,
    /// As of the last reading.
    energy: Result<Energy, Missing>,
    flags: Watch,
    link: Link,
}

/// The board's body. Threads share it.
pub struct Body {
    config: config::Body,
    root: Root,
    start: Instant,
    state: Mutex<State>,
}

/// An encoder at work, until this is dropped.
pub struct Encoding<'a>(&'a Body);

impl Drop for Encoding<'_> {
    fn drop(&mut self) {
        let mut state = self.0.state();
        state.work.advance(self.0.now());
        state.work.active = state.work.active.saturating_sub(1);
    }
}

/// How the body is, for the link's telemetry.
#[derive(Debug, Clone)]
pub struct Report {
    /// Thousandths of a degree Celsius, if a thermal zone is named and says so.
    pub temperature_mc: Option<i32>,
    /// Whether the board was throttled since the last report.
    pub throttled: Option<bool>,
    /// The flags that were read since the last report, joined.
    pub throttle_flags: Option<u32>,
    /// Microjoules since the start.
    pub energy_uj: Option<u64>,
    /// Why there is none.
    pub no_energy: NoEnergy,
    /// The meter's name, or why there is no reading.
    pub meter: String,
    /// When metering began, microseconds since 1970; 0 if it has not.
    pub metered_from_us: u64,
    /// Microjoules while encoders worked.
    pub encode_uj: u64,
    /// Microseconds that encoders worked while the energy was metered.
    pub encode_us: u64,
}

impl Body {
    /// The body that `config` names. Nothing is opened yet.
    #[must_use]
    pub fn new(config: &config::Body) -> Self {
        let none = || Missing::none("no meter is configured", "name it in [body.meter]");
        let root = Root::new(&config.root);
        let state = State {
            work: Work::default(),
            metered: Metered::default(),
            energy: sampler(config, &root).map_or_else(|| Err(none()), |sampler| sampler.energy()),
            flags: Watch::default(),
            link: Link::Down,
        };
        Self { config: config.clone(), root, start: Instant::now(), state: Mutex::new(state) }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now(&self) -> Duration {
        self.start.elapsed()
    }

    /// Says that an encoder works, until what is returned is dropped.
    #[must_use]
    pub fn encoding(&self) -> Encoding<'_> {
        let mut state = self.state();
        state.work.advance(self.now());
        state.work.active += 1;
        Encoding(self)
    }

    /// Says how the link is.
    pub fn link(&self, link: Link) {
        self.state().link = link;
    }

    /// How the body is. What is joined until a report begins anew.
    #[must_use]
    pub fn report(&self) -> Report {
        let temperature = self.config.thermal_zone.as_ref().map(|zone| health::temperature_mc(&self.root, zone));
        let mut state = self.state();
        let flags = state.flags.report();
        let State { metered, energy, .. } = &*state;
        let small = |number: u128| u64::try_from(number).unwrap_or(u64::MAX);
        Report {
            temperature_mc: temperature.and_then(Result::ok).map(|measured| measured.value),
            throttled: flags.map(|(_, throttled)| throttled),
            throttle_flags: flags.map(|(flags, _)| flags.0),
            energy_uj: energy.as_ref().ok().map(|energy| energy.microjoules),
            no_energy: match energy {
                Ok(_) => NoEnergy::Unsaid,
                Err(missing) => match missing.why {
                    Why::None => NoEnergy::NoMeter,
                    Why::NoAccess => NoEnergy::NoAccess,
                    Why::Failed => NoEnergy::Failed,
                },
            },
            meter: match energy {
                Ok(energy) if energy.missed > 0 => {
                    let gap = energy.gap.as_secs_f64();
                    format!(
                        "{}, every {} ms, {} readings missed ({gap:.1} s not metered)",
                        energy.meter,
                        energy.period.as_millis(),
                        energy.missed
                    )
                }
                Ok(energy) => format!("{}, every {} ms", energy.meter, energy.period.as_millis()),
                Err(missing) => missing.what.clone(),
            },
            metered_from_us: metered.from_us,
            encode_uj: small(metered.picojoules / 1_000_000),
            encode_us: small(metered.encode.as_micros()),
        }
    }

    /// Reads the meter and the flags, and shows the status, until `stop` is set.
    /// `standing` says how the spool stands.
    pub fn run(&self, standing: impl Fn() -> Standing, spool_bytes: u64, stop: &Stop) {
        self.say_once();
        let mut led = self.open_led();
        let period = Duration::from_millis(self.config.meter_period_ms.into());
        let mut sampler = sampler(&self.config, &self.root);
        let mut due_meter = sampler.is_some().then(|| self.now());
        let mut due_flags = self.config.throttle.is_some().then(|| self.now());
        let mut due_led = led.is_some().then(|| self.now());
        loop {
            let Some(due) = [due_meter, due_flags, due_led].into_iter().flatten().min() else { return };
            if stop.sleep(due.saturating_sub(self.now())) {
                return;
            }
            let now = self.now();
            if let Some(sampler) = &mut sampler
                && due_meter.is_some_and(|due| due <= now)
            {
                self.meter(sampler);
                due_meter = due_meter.map(|due| next(due, period, self.now()));
            }
            if let Some(throttle) = &self.config.throttle
                && due_flags.is_some_and(|due| due <= now)
            {
                self.flags(throttle.read(&self.root));
                due_flags = due_flags.map(|due| next(due, FLAGS_EVERY, self.now()));
            }
            if let Some(shown) = &mut led
                && due_led.is_some_and(|due| due <= now)
            {
                let status = status(self.state().link, standing().disk.0, spool_bytes);
                match shown.show(status, self.now()) {
                    // Not longer than this without looking whether the status is another one.
                    Ok(stays) => due_led = Some(self.now() + stays.min(Duration::from_millis(250))),
                    Err(missing) => {
                        log::warn!("{missing}; the status is not shown any more");
                        (led, due_led) = (None, None);
                    }
                }
            }
        }
    }

    /// Says in the log what is named and cannot be read.
    fn say_once(&self) {
        if let Some(zone) = &self.config.thermal_zone
            && let Err(missing) = health::temperature_mc(&self.root, zone)
        {
            log::warn!("the temperature is not known: {missing}");
        }
    }

    fn open_led(&self) -> Option<StatusLed<afferent_boards_hal::led::LedPin>> {
        match self.config.led.as_ref()?.open(&self.root) {
            Ok(pin) => Some(StatusLed::new(pin)),
            Err(missing) => {
                log::warn!("the status is not shown: {missing}");
                None
            }
        }
    }

    fn meter(&self, sampler: &mut Sampler) {
        let before = sampler.missing().cloned();
        // Without the lock: a slow bus holds nobody up.
        let interval = sampler.pull(|| self.now());
        match (&before, sampler.missing()) {
            (None, Some(missing)) => log::warn!("the energy is not metered: {missing}"),
            (Some(_), None) => log::info!("{} is read again", sampler.name()),
            _ => {}
        }
        let mut state = self.state();
        let State { work, metered, .. } = &mut *state;
        work.advance(interval.map_or_else(|| self.now(), |interval| interval.to));
        metered.take(interval, work, u64::try_from(wall_us()).unwrap_or(0));
        state.energy = sampler.energy();
    }

    fn flags(&self, reading: Reading<Throttle>) {
        let mut state = self.state();
        match (&reading, state.flags.missing()) {
            (Err(missing), None) => log::warn!("throttling is not known: {missing}"),
            (Ok(Measured { source, .. }), Some(_)) => log::info!("{source} is read again"),
            _ => {}
        }
        state.flags.take(reading);
    }
}

/// The sampler of the meter that is named.
fn sampler(config: &config::Body, root: &Root) -> Option<Sampler> {
    let period = Duration::from_millis(config.meter_period_ms.into());
    config.meter.as_ref().map(|meter| Sampler::new(meter, root, period))
}

/// When what was due at `due` is due again: at the period's beat, and not in the past.
fn next(due: Duration, period: Duration, now: Duration) -> Duration {
    (due + period).max(now)
}

fn status(link: Link, spooled: u64, spool: u64) -> Status {
    #[allow(clippy::cast_precision_loss)]
    let full = spooled as f64 >= FULL * spool as f64;
    match link {
        Link::Refused => Status::Error,
        _ if full => Status::SpoolFilling,
        Link::Down => Status::NoLink,
        Link::Up => Status::Capturing,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use afferent_boards_hal::{MeterConfig, ThrottleConfig};
    use std::path::Path;

    const fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    fn interval(from: u64, to: u64, watts: u128) -> Option<Interval> {
        let picojoules = watts * 1_000_000 * u128::from(to - from) * 1000;
        Some(Interval { from: ms(from), to: ms(to), picojoules })
    }

    #[test]
    fn energy_is_shared_among_encoders_by_their_time() {
        let (mut work, mut metered) = (Work::default(), Metered::default());
        // One encoder from 20 to 70 ms, another from 40 to 60 ms, at 2 W.
        for (at, change) in [(20, 1), (40, 1), (60, -1), (70, -1)] {
            work.advance(ms(at));
            work.active = work.active.checked_add_signed(change).unwrap();
        }
        work.advance(ms(100));
        metered.take(interval(0, 100, 2), &work, 1_000_000);
        assert_eq!((metered.picojoules / 1_000_000, metered.encode), (100_000, ms(70)));
        assert_eq!(metered.from_us, 900_000);
        // An encoder that works through a gap of the meter is not counted there.
        work.active = 1;
        work.advance(ms(200));
        metered.take(None, &work, 1_100_000);
        work.advance(ms(300));
        metered.take(interval(200, 300, 4), &work, 1_200_000);
        assert_eq!((metered.picojoules / 1_000_000, metered.encode), (500_000, ms(170)));
        assert_eq!(metered.from_us, 900_000);
    }

    fn write(root: &Path, path: &str, text: &str) {
        let path = root.join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    #[test]
    fn a_named_body_reports_values_and_an_unnamed_one_reasons() {
        let folder = tempfile::tempdir().unwrap();
        for (path, text) in [
            ("sys/class/hwmon/hwmon3/name", "ina3221\n"),
            ("sys/class/hwmon/hwmon3/in1_label", "VDD_IN\n"),
            ("sys/class/hwmon/hwmon3/in1_input", "5000\n"),
            ("sys/class/hwmon/hwmon3/curr1_input", "1000\n"),
            ("sys/class/thermal/thermal_zone0/type", "cpu-thermal\n"),
            ("sys/class/thermal/thermal_zone0/temp", "48312\n"),
            ("sys/devices/platform/soc/soc:firmware/get_throttled", "5\n"),
            ("sys/class/leds/ACT/max_brightness", "255\n"),
            ("sys/class/leds/ACT/trigger", "mmc0\n"),
            ("sys/class/leds/ACT/brightness", "0\n"),
        ] {
            write(folder.path(), path, text);
        }
        let config = config::Body {
            root: folder.path().to_owned(),
            meter_period_ms: 50,
            meter: Some(MeterConfig::Hwmon { chip: "ina3221".into(), rails: vec!["VDD_IN".into()] }),
            led: Some(afferent_boards_hal::LedConfig::Class { name: "ACT".into() }),
            thermal_zone: Some("cpu-thermal".into()),
            throttle: Some(ThrottleConfig::RaspberryPi),
        };
        let body = Body::new(&config);
        assert_eq!(body.report().meter, "hwmon ina3221, VDD_IN was not read twice yet");
        let stop = Stop::default();
        std::thread::scope(|scope| {
            scope.spawn(|| body.run(Standing::default, 1, &stop));
            let _encoding = body.encoding();
            // Each of the body's parts has had its turn.
            while body.report().encode_us < 20_000 {
                std::thread::sleep(ms(1));
            }
            stop.set();
        });
        let trigger = std::fs::read_to_string(folder.path().join("sys/class/leds/ACT/trigger")).unwrap();
        assert_eq!(trigger, "none\n");
        let report = body.report();
        assert_eq!((report.temperature_mc, report.no_energy), (Some(48_312), NoEnergy::Unsaid));
        assert!(report.meter.starts_with("hwmon ina3221, VDD_IN, every 50 ms"), "{}", report.meter);
        // 5 W all the time: what is metered while an encoder works is energy over time.
        let watts = report.encode_uj as f64 / report.encode_us as f64;
        assert!((watts - 5.0).abs() < 0.01, "{report:?}");
        assert!(report.energy_uj >= Some(report.encode_uj) && report.metered_from_us > 0);

        let body = Body::new(&config::Body { meter: None, thermal_zone: None, throttle: None, led: None, ..config });
        body.run(Standing::default, 1, &Stop::default());
        let report = body.report();
        assert_eq!((report.energy_uj, report.no_energy), (None, NoEnergy::NoMeter));
        assert_eq!((report.temperature_mc, report.throttled, report.throttle_flags), (None, None, None));
        assert_eq!(report.meter, "no meter is configured");
    }

    #[test]
    fn the_flags_reach_one_report() {
        let body = Body::new(&config::Body::default());
        body.flags(Ok(Measured { value: Throttle(0x50005), source: "here".into() }));
        let report = body.report();
        assert_eq!((report.throttled, report.throttle_flags), (Some(true), Some(0x50005)));
        assert_eq!(body.report().throttled, None);
    }

    #[test]
    fn the_most_urgent_status_is_shown() {
        assert_eq!(status(Link::Up, 10, 100), Status::Capturing);
        assert_eq!(status(Link::Down, 10, 100), Status::NoLink);
        assert_eq!(status(Link::Down, 80, 100), Status::SpoolFilling);
        assert_eq!(status(Link::Refused, 80, 100), Status::Error);
    }
}
