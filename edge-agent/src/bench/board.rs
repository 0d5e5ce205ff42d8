//! The machine and its body while it is measured.

use crate::config;
use crate::stop::Stop;
use afferent_boards_hal::throttle::Watch;
use afferent_boards_hal::{MeterConfig, Root, Sampler, Throttle, ThrottleConfig, health};
use afferent_boards_spec::benchmark::{Agent, Body, Course, Machine};
use afferent_boards_spec::{Board, Evidence, Level, examine, recognise};
use sha2::{Digest, Sha256};
use std::io::Read;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// How often the throttling flags are read within a turn: the kernel may keep them for two
/// seconds.
const FLAGS_EVERY: Duration = Duration::from_secs(1);

/// This machine, and who watches its body: by what `config` names, and where it names
/// nothing, by what the board's file says.
pub(super) fn find(config: &config::Body) -> (Machine, Watcher) {
    let board = recognise(&config.root).ok().map(|recognised| recognised.board);
    let (recognised, contradictions, model) = match examine(None, &config.root) {
        Ok(report) => {
            let contradicts = report.findings.into_iter().filter(|finding| finding.level == Level::Contradicts);
            let contradictions = contradicts.map(|finding| format!("{}: {}", finding.about, finding.what)).collect();
            (report.by.to_string(), contradictions, report.model)
        }
        Err(error) => (error.what().to_owned(), Vec::new(), None),
    };
    let root = Root::new(&config.root);
    let machine = Machine {
        board: board.as_ref().map(|board| board.name.clone()),
        recognised,
        contradictions,
        model,
        kernel: root.text("/proc/sys/kernel/osrelease").ok(),
        architecture: std::env::consts::ARCH.to_owned(),
        cores: std::thread::available_parallelism().map_or(1, |cores| u32::try_from(cores.get()).unwrap_or(u32::MAX)),
        features: features(),
    };
    let board = board.as_ref();
    let zone = config.thermal_zone.clone().or_else(|| zone(board?, &root));
    let throttle = config.throttle.clone().or_else(|| throttle(board?, &root));
    let meter = config.meter.clone().or_else(|| meter(board?));
    let period = Duration::from_millis(config.meter_period_ms.into());
    let watcher = Watcher {
        temperature: Err(unnamed("a thermal zone")),
        clock: Err(unnamed("a clock")),
        flags: throttle.map(|source| Arc::new(Flags::new(source, root.clone()))),
        zone,
        meter,
        period,
        root,
        joined: Throttle::default(),
        throttled: None,
        temperature_c: None,
        clock_mhz: None,
    };
    (machine, watcher)
}

/// Why nothing is read.
fn unnamed(what: &str) -> String {
    format!("neither the configuration nor the board's file names {what}")
}

/// Vector instructions of this processor, of those that codecs use.
fn features() -> Vec<String> {
    #[cfg(target_arch = "x86_64")]
    let known = [
        ("sse2", std::is_x86_feature_detected!("sse2")),
        ("ssse3", std::is_x86_feature_detected!("ssse3")),
        ("sse4.1", std::is_x86_feature_detected!("sse4.1")),
        ("avx2", std::is_x86_feature_detected!("avx2")),
    ];
    #[cfg(target_arch = "aarch64")]
    let known = [
        ("neon", std::arch::is_aarch64_feature_detected!("neon")),
        ("dotprod", std::arch::is_aarch64_feature_detected!("dotprod")),
    ];
    #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
    let known: [(&str, bool); 0] = [];
    known.into_iter().filter(|(_, has)| *has).map(|(name, _)| name.to_owned()).collect()
}

/// What a board's file shows of its throttling.
fn evidence(board: &Board) -> impl Iterator<Item = &Evidence> {
    board.throttles.iter().flat_map(|throttle| &throttle.seen)
}

/// The type of the first thermal zone that the board's file names and the machine has.
fn zone(board: &Board, root: &Root) -> Option<String> {
    const FOLDER: &str = "/sys/class/thermal";
    let names = root.names(FOLDER, "thermal_zone").ok()?;
    let types: Vec<String> =
        names.iter().filter_map(|name| root.text(Path::new(FOLDER).join(name).join("type")).ok()).collect();
    evidence(board).find_map(|evidence| {
        let Evidence::ThermalZone(pattern) = evidence else { return None };
        let fits = |kind: &&String| match pattern.strip_suffix('*') {
            Some(start) => kind.starts_with(start),
            None => *kind == pattern,
        };
        types.iter().find(fits).cloned()
    })
}

/// The source of throttling flags that the board's file names and that can be read.
fn throttle(board: &Board, root: &Root) -> Option<ThrottleConfig> {
    let named = |evidence: &Evidence| match evidence {
        Evidence::File(path) if path.ends_with("/get_throttled") => Some(ThrottleConfig::RaspberryPi),
        Evidence::Hwmon(hwmon) if hwmon.chip == "rpi_volt" => Some(ThrottleConfig::RpiVolt),
        Evidence::Hwmon(hwmon) if hwmon.chip == "soctherm_oc" => Some(ThrottleConfig::Jetson { cooling: Vec::new() }),
        _ => None,
    };
    let mut can: Vec<ThrottleConfig> =
        evidence(board).filter_map(named).filter(|config| config.read(root).is_ok()).collect();
    // The firmware says more than the alarm of the kernel's driver.
    can.sort_by_key(|config| *config == ThrottleConfig::RpiVolt);
    can.into_iter().next()
}

/// The meter of the whole board, if its file names one.
fn meter(board: &Board) -> Option<MeterConfig> {
    let total = board.meters.iter().find(|meter| meter.total)?;
    Some(MeterConfig::Hwmon { chip: total.chip.clone(), rails: vec![total.label.clone()] })
}

/// This program.
pub(super) fn agent() -> Agent {
    let sha256 = || {
        let mut file = std::fs::File::open(std::env::current_exe().ok()?).ok()?;
        let (mut hash, mut buffer) = (Sha256::new(), vec![0; 1 << 16]);
        loop {
            match file.read(&mut buffer).ok()? {
                0 => return Some(hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()),
                length => hash.update(&buffer[..length]),
            }
        }
    };
    Agent { version: env!("CARGO_PKG_VERSION").to_owned(), sha256: sha256(), optimised: !cfg!(debug_assertions) }
}

/// What the body said at one moment; `None` where it says nothing.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Look {
    pub(super) temperature_c: Option<f64>,
    pub(super) clock_mhz: Option<f64>,
    /// Since the look before.
    pub(super) throttled: Option<bool>,
}

/// The throttling flags. Two threads read them: one at the end of every turn, the other
/// within it.
pub(super) struct Flags {
    from: ThrottleConfig,
    root: Root,
    seen: Mutex<Seen>,
}

struct Seen {
    watch: Watch,
    /// Where the flags are from, or why they are not known.
    source: Result<String, String>,
}

impl Flags {
    fn new(from: ThrottleConfig, root: Root) -> Self {
        let seen = Seen { watch: Watch::default(), source: Err("the flags were not read yet".to_owned()) };
        Self { from, root, seen: Mutex::new(seen) }
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn read(&self) {
        // Under the lock: the watch compares each reading with the one before.
        let mut seen = self.seen();
        let reading = self.from.read(&self.root);
        seen.source = reading.as_ref().map(|measured| measured.source.clone()).map_err(|e| e.what.clone());
        seen.watch.take(reading);
    }

    /// Where they are from and that they said `joined`, or why they are not known.
    fn said(&self, joined: Throttle) -> String {
        let blind = if self.from.says_heat() { "" } else { "; it says nothing of heat" };
        match &self.seen().source {
            Ok(source) => format!("{source} says: {joined}{blind}"),
            Err(why) => why.clone(),
        }
    }
}

/// Watches temperature, clock and throttling.
pub(super) struct Watcher {
    root: Root,
    zone: Option<String>,
    flags: Option<Arc<Flags>>,
    meter: Option<MeterConfig>,
    pub(super) period: Duration,
    /// Where each is from, or why it is not known.
    temperature: Result<String, String>,
    clock: Result<String, String>,
    joined: Throttle,
    throttled: Option<bool>,
    temperature_c: Option<Course>,
    clock_mhz: Option<Course>,
}

/// Goes on with `course`; what is worse, `worst` says.
fn go_on(course: &mut Option<Course>, now: f64, worst: fn(f64, f64) -> f64) {
    *course = Some(match *course {
        None => Course { start: now, end: now, worst: now },
        Some(before) => Course { end: now, worst: worst(before.worst, now), ..before },
    });
}

impl Watcher {
    /// The sampler of the meter, if there is one.
    pub(super) fn sampler(&self) -> Option<Sampler> {
        self.meter.as_ref().map(|meter| Sampler::new(meter, &self.root, self.period))
    }

    /// The flags, for another thread to read them too.
    pub(super) fn flags(&self) -> Option<Arc<Flags>> {
        self.flags.clone()
    }

    /// Reads everything.
    pub(super) fn look(&mut self) -> Look {
        let mut look = Look::default();
        if let Some(zone) = &self.zone {
            match health::temperature_mc(&self.root, zone) {
                Ok(measured) => {
                    let now = f64::from(measured.value) / 1000.0;
                    go_on(&mut self.temperature_c, now, f64::max);
                    look.temperature_c = Some(now);
                    self.temperature = Ok(format!("{zone}, {}", measured.source));
                }
                Err(missing) => self.temperature = Err(missing.what),
            }
        }
        match health::clocks(&self.root) {
            Ok(measured) => {
                let fastest = measured.value.iter().map(|clock| clock.khz).max().unwrap_or_default();
                let now = f64::from(fastest) / 1000.0;
                go_on(&mut self.clock_mhz, now, f64::min);
                look.clock_mhz = Some(now);
                self.clock = Ok(measured.source);
            }
            Err(missing) => self.clock = Err(missing.what),
        }
        if let Some(flags) = &self.flags {
            flags.read();
        }
        look.throttled = self.throttled();
        look
    }

    /// Whether the board was throttled, by what either thread has read since this was last
    /// asked; `None` if that is not known.
    fn throttled(&mut self) -> Option<bool> {
        let flags = self.flags.as_ref()?;
        let (joined, throttled) = flags.seen().watch.report()?;
        self.joined = Throttle(self.joined.0 | joined.0);
        // Without a word of heat, no flag is not the answer no.
        let throttled = (throttled || flags.from.says_heat()).then_some(throttled);
        self.throttled = self.throttled.max(throttled);
        throttled
    }

    /// All of it, with the meter's `energy`.
    pub(super) fn body(&mut self, energy: String, peak_memory_mib: Option<f64>) -> Body {
        // What was read since the last look.
        self.throttled();
        let said = |said: &Result<String, String>| said.clone().unwrap_or_else(|why| why);
        Body {
            temperature_c: self.temperature_c,
            temperature: said(&self.temperature),
            clock_mhz: self.clock_mhz,
            clock: said(&self.clock),
            throttled: self.throttled,
            throttle: match &self.flags {
                Some(flags) => flags.said(self.joined),
                None => unnamed("where throttling flags come from"),
            },
            energy,
            peak_memory_mib,
        }
    }
}

/// The program's memory, by `/proc/self`.
#[derive(Default)]
pub(super) struct Memory {
    /// KiB when the last measurement began, if the kernel forgot the peak before it.
    before: Option<u64>,
    /// KiB, the highest peak that was read.
    peak: Option<u64>,
}

impl Memory {
    fn read(key: &str) -> Option<u64> {
        let status = std::fs::read_to_string("/proc/self/status").ok()?;
        let line = status.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(':'))?;
        line.trim().strip_suffix("kB")?.trim().parse().ok()
    }

    fn take_peak(&mut self) -> Option<u64> {
        let peak = Self::read("VmHWM");
        self.peak = self.peak.max(peak);
        peak
    }

    /// Begins a measurement.
    pub(super) fn begin(&mut self) {
        self.take_peak();
        // 5 makes the kernel forget the peak (proc_pid_clear_refs(5)).
        let forgets = std::fs::write("/proc/self/clear_refs", "5").is_ok();
        self.before = if forgets { Self::read("VmRSS") } else { None };
    }

    /// MiB by which the memory grew at the most since then.
    #[allow(clippy::cast_precision_loss)]
    pub(super) fn grown_mib(&mut self) -> Option<f64> {
        let peak = self.take_peak();
        Some(peak?.saturating_sub(self.before?) as f64 / 1024.0)
    }

    /// MiB at the highest peak until now.
    #[allow(clippy::cast_precision_loss)]
    pub(super) fn peak_mib(&mut self) -> Option<f64> {
        self.take_peak();
        self.peak.map(|kib| kib as f64 / 1024.0)
    }
}

/// What the meter saw while one point had its turns.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Power {
    picojoules: u128,
    time: Duration,
}

impl Power {
    /// Mean power in watts, if two readings in a row fell into a turn.
    #[allow(clippy::cast_precision_loss)]
    pub(super) fn watts(self) -> Option<f64> {
        (!self.time.is_zero()).then(|| self.picojoules as f64 / 1e12 / self.time.as_secs_f64())
    }
}

/// What the meter saw, by point.
pub(super) struct Metered {
    /// The point whose turn it is, and since when.
    turn: Option<(usize, Duration)>,
    pub(super) powers: Vec<Power>,
    /// The meter and the rule, or why there is none.
    pub(super) energy: String,
}

/// Reads the meter and the flags beside the measurement.
pub(super) struct Metering {
    start: Instant,
    pub(super) metered: Mutex<Metered>,
}

/// A turn, until this is dropped.
pub(super) struct Turn<'a>(&'a Metering);

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.0.metered().turn = None;
    }
}

impl Metering {
    /// For `points` operating points.
    pub(super) fn new(points: usize) -> Self {
        let metered = Metered { turn: None, powers: vec![Power::default(); points], energy: unnamed("a meter") };
        Self { start: Instant::now(), metered: Mutex::new(metered) }
    }

    fn metered(&self) -> MutexGuard<'_, Metered> {
        self.metered.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Says whose turn it is, until what is returned is dropped.
    pub(super) fn turn(&self, point: usize) -> Turn<'_> {
        self.metered().turn = Some((point, self.start.elapsed()));
        Turn(self)
    }

    fn meter(&self, sampler: &mut Sampler) {
        // Without the lock: a slow bus holds nobody up.
        let interval = sampler.pull(|| self.start.elapsed());
        let mut metered = self.metered();
        // An interval counts only if it lies within one turn.
        if let (Some(interval), Some((point, since))) = (interval, metered.turn)
            && since <= interval.from
            && let Some(power) = metered.powers.get_mut(point)
        {
            power.picojoules += interval.picojoules;
            power.time += interval.to.saturating_sub(interval.from);
        }
    }

    /// Reads the meter every `period` and the flags every second, as far as there are any,
    /// until `ended`.
    pub(super) fn run(&self, mut sampler: Option<Sampler>, period: Duration, flags: Option<&Flags>, ended: &Stop) {
        let mut due_meter = sampler.is_some().then(|| self.start.elapsed());
        let mut due_flags = flags.is_some().then(|| self.start.elapsed());
        while let Some(due) = [due_meter, due_flags].into_iter().flatten().min() {
            if ended.sleep(due.saturating_sub(self.start.elapsed())) {
                break;
            }
            let now = self.start.elapsed();
            if let Some(sampler) = &mut sampler
                && due_meter.is_some_and(|due| due <= now)
            {
                self.meter(sampler);
                due_meter = Some(self.start.elapsed() + period);
            }
            if let Some(flags) = flags
                && due_flags.is_some_and(|due| due <= now)
            {
                flags.read();
                due_flags = Some(self.start.elapsed() + FLAGS_EVERY);
            }
        }
        let Some(sampler) = sampler else { return };
        self.metered().energy = match sampler.energy() {
            Ok(energy) => format!(
                "{}, every {} ms, {} readings missed: mean power within a point's turns times the mean time of a sample, idle share included",
                energy.meter,
                period.as_millis(),
                energy.missed
            ),
            Err(missing) => missing.to_string(),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use afferent_boards_hal::{Meter, Missing};

    fn write(root: &Path, path: &str, text: &str) {
        let path = root.join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    const GET_THROTTLED: &str = "sys/devices/platform/soc@107c000000/soc@107c000000:firmware/get_throttled";
    const ALARM: &str = "sys/class/hwmon/hwmon2/in0_lcrit_alarm";

    /// A Pi 5 with a file of throttling flags, and who watches it.
    fn pi5(flags: (&str, &str)) -> (tempfile::TempDir, Machine, Watcher) {
        let folder = tempfile::tempdir().unwrap();
        for (path, text) in [
            ("proc/device-tree/compatible", "raspberrypi,5-model-b\0brcm,bcm2712\0"),
            ("proc/device-tree/model", "Raspberry Pi 5 Model B Rev 1.0\0"),
            ("sys/class/thermal/thermal_zone0/type", "cpu-thermal\n"),
            ("sys/class/thermal/thermal_zone0/temp", "61000\n"),
            ("sys/class/hwmon/hwmon2/name", "rpi_volt\n"),
            flags,
            ("sys/devices/system/cpu/cpufreq/policy0/affected_cpus", "0 1 2 3\n"),
            ("sys/devices/system/cpu/cpufreq/policy0/scaling_cur_freq", "2400000\n"),
            ("sys/devices/system/cpu/cpufreq/policy0/cpuinfo_max_freq", "2400000\n"),
        ] {
            write(folder.path(), path, text);
        }
        let config = config::Body { root: folder.path().to_owned(), ..config::Body::default() };
        let (machine, watcher) = find(&config);
        (folder, machine, watcher)
    }

    #[test]
    fn what_the_configuration_does_not_name_is_taken_from_the_boards_file() {
        let (folder, machine, mut watcher) = pi5((GET_THROTTLED, "0\n"));
        assert_eq!((machine.board.as_deref(), machine.model.is_some()), (Some("rpi5"), true));
        let look = watcher.look();
        assert_eq!((look.temperature_c, look.clock_mhz, look.throttled), (Some(61.0), Some(2400.0), Some(false)));
        write(folder.path(), "sys/class/thermal/thermal_zone0/temp", "84500\n");
        write(folder.path(), GET_THROTTLED, "20002\n");
        write(folder.path(), "sys/devices/system/cpu/cpufreq/policy0/scaling_cur_freq", "1500000\n");
        assert_eq!(watcher.look().throttled, Some(true));
        write(folder.path(), "sys/class/thermal/thermal_zone0/temp", "70000\n");
        watcher.look();
        let body = watcher.body(String::new(), None);
        assert_eq!(body.temperature_c, Some(Course { start: 61.0, end: 70.0, worst: 84.5 }));
        assert_eq!(body.clock_mhz.map(|clock| clock.worst), Some(1500.0));
        assert_eq!(body.throttled, Some(true));
        assert!(body.throttle.contains("frequency capped"), "{}", body.throttle);
        assert!(watcher.sampler().is_none());
    }

    #[test]
    fn the_alarm_of_the_voltage_is_no_proof_that_the_board_was_not_throttled() {
        let (folder, _, mut watcher) = pi5((ALARM, "0\n"));
        assert_eq!(watcher.look().throttled, None);
        let body = watcher.body(String::new(), None);
        assert_eq!(body.throttled, None);
        assert!(body.throttle.ends_with("in0_lcrit_alarm says: none; it says nothing of heat"), "{}", body.throttle);
        write(folder.path(), ALARM, "1\n");
        assert_eq!(watcher.look().throttled, Some(true));
        write(folder.path(), ALARM, "0\n");
        assert_eq!(watcher.look().throttled, None);
        assert_eq!(watcher.body(String::new(), None).throttled, Some(true));
    }

    #[test]
    fn flags_within_a_turn_are_known_at_its_end() {
        let (folder, _, mut watcher) = pi5((GET_THROTTLED, "0\n"));
        watcher.look();
        write(folder.path(), GET_THROTTLED, "4\n");
        let flags = watcher.flags().unwrap();
        // Until the other thread has read them.
        flags.seen().source = Err(String::new());
        let (metering, ended) = (Metering::new(1), Stop::default());
        std::thread::scope(|scope| {
            scope.spawn(|| metering.run(None, Duration::from_millis(5), Some(flags.as_ref()), &ended));
            while flags.seen().source.is_err() {
                std::thread::sleep(Duration::from_millis(1));
            }
            ended.set();
        });
        write(folder.path(), GET_THROTTLED, "0\n");
        assert_eq!(watcher.look().throttled, Some(true));
        assert_eq!(watcher.look().throttled, Some(false));
        assert_eq!(watcher.body(String::new(), None).throttled, Some(true));
    }

    #[test]
    fn what_no_one_names_has_a_reason() {
        let folder = tempfile::tempdir().unwrap();
        let config = config::Body { root: folder.path().to_owned(), ..config::Body::default() };
        let (machine, mut watcher) = find(&config);
        assert!(machine.board.is_none() && machine.recognised.contains("no board file"), "{machine:?}");
        watcher.look();
        let body = watcher.body(String::new(), None);
        assert_eq!((body.temperature_c, body.clock_mhz, body.throttled), (None, None, None));
        assert!(body.temperature.contains("thermal zone") && body.throttle.contains("throttling flags"), "{body:?}");
    }

    struct Watts(u64);

    impl Meter for Watts {
        fn microwatts(&mut self) -> Result<u64, Missing> {
            Ok(self.0 * 1_000_000)
        }
    }

    #[test]
    fn power_is_that_of_the_point_whose_turn_it_is() {
        let metering = Metering::new(2);
        let ended = Stop::default();
        let period = Duration::from_millis(5);
        let sampler = Sampler::opening("three watts", period, || Ok(Box::new(Watts(3)) as Box<dyn Meter>));
        std::thread::scope(|scope| {
            scope.spawn(|| metering.run(Some(sampler), period, None, &ended));
            let turn = metering.turn(1);
            while metering.metered().powers[1].time < Duration::from_millis(5) {
                std::thread::sleep(period);
            }
            drop(turn);
            ended.set();
        });
        let metered = metering.metered.into_inner().unwrap();
        assert!(metered.powers[0].watts().is_none());
        // Time is counted in whole microseconds.
        assert!((metered.powers[1].watts().unwrap() - 3.0).abs() < 0.01);
        assert!(metered.energy.starts_with("three watts, every 5 ms"), "{}", metered.energy);
    }
}
