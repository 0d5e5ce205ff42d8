//! Whether the board slows its processor down, or its supply is too weak.
//!
//! The flags are those of the Raspberry Pi's firmware, as its documentation of
//! `vcgencmd get_throttled` gives them: bits 0 to 3 for now, bits 16 to 19 for
//! what has happened since the start. Other boards' sources are told by the same
//! bits; bits 4 and 20, which the firmware does not use, say over-current.
//!
//! Where the kernel has the driver `raspberrypi-hwmon`, it asks the firmware
//! every two seconds and clears the bits of the past as it does: then those mean
//! "within the last two seconds". So a source should be read at least that
//! often, and what it said be joined ([`Watch`]).

use crate::reading::{Measured, Missing, Reading};
use crate::sysfs::Root;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::path::{Path, PathBuf};

/// The supply's voltage is too low.
pub const UNDER_VOLTAGE: u32 = 1;
/// The processor's frequency is capped.
pub const FREQUENCY_CAPPED: u32 = 1 << 1;
/// The processor is throttled.
pub const THROTTLED: u32 = 1 << 2;
/// The soft limit of temperature is reached.
pub const SOFT_TEMPERATURE_LIMIT: u32 = 1 << 3;
/// The current is too high (no flag of the Raspberry Pi's).
pub const OVER_CURRENT: u32 = 1 << 4;
/// By how many bits the flag of the past is above the flag of now.
pub const PAST: u32 = 16;

const FLAGS: [(u32, &str); 5] = [
    (UNDER_VOLTAGE, "under-voltage"),
    (FREQUENCY_CAPPED, "frequency capped"),
    (THROTTLED, "throttled"),
    (SOFT_TEMPERATURE_LIMIT, "soft temperature limit"),
    (OVER_CURRENT, "over-current"),
];
const NOW: u32 = 0x1f;

/// Flags as they were read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Throttle(pub u32);

impl Throttle {
    /// Whether anything is wrong now.
    #[must_use]
    pub const fn now(self) -> bool {
        self.0 & NOW != 0
    }

    /// What was wrong in the past, as flags of now.
    #[must_use]
    pub const fn past(self) -> u32 {
        (self.0 >> PAST) & NOW
    }
}

impl fmt::Display for Throttle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let now = FLAGS.iter().filter(|(flag, _)| self.0 & flag != 0).map(|(_, name)| (*name).to_owned());
        let past = FLAGS.iter().filter(|(flag, _)| self.past() & flag != 0).map(|(_, name)| format!("{name} before"));
        let said: Vec<String> = now.chain(past).collect();
        f.write_str(if said.is_empty() { "none" } else { "" })?;
        f.write_str(&said.join(", "))
    }
}

/// Where the flags come from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum ThrottleConfig {
    /// The Raspberry Pi's firmware, by the file `get_throttled` of its device.
    RaspberryPi,
    /// The alarm of the kernel's driver `raspberrypi-hwmon` (`rpi_volt`), where
    /// there is no `get_throttled`: under-voltage alone.
    RpiVolt,
    /// The over-current events of a Jetson Orin (`soctherm_oc`: event 1 is
    /// under-voltage, the others are over-current; each throttles the processor
    /// for a moment), and the states of the cooling devices of the types named,
    /// which throttle it for heat.
    Jetson {
        /// Types of cooling devices, for example `cpu-throttle-alert`.
        #[serde(default)]
        cooling: Vec<String>,
    },
}

impl ThrottleConfig {
    /// Whether it says that the processor is throttled for heat. Of a source that
    /// does not, no flag is no proof that nothing slowed the board down.
    #[must_use]
    pub fn says_heat(&self) -> bool {
        match self {
            Self::RaspberryPi => true,
            Self::RpiVolt => false,
            Self::Jetson { cooling } => !cooling.is_empty(),
        }
    }

    /// The flags now.
    ///
    /// # Errors
    /// Why they cannot be read.
    pub fn read(&self, root: &Root) -> Reading<Throttle> {
        match self {
            Self::RaspberryPi => {
                let file = firmware(root)?;
                let flags = root.hexadecimal(&file)?;
                Ok(Measured { value: Throttle(flags), source: file.display().to_string() })
            }
            Self::RpiVolt => {
                let chip = first(root.find("/sys/class/hwmon", "name", "rpi_volt")?);
                let alarm = chip.join("in0_lcrit_alarm");
                let low: u8 = root.number(&alarm)?;
                let flags = if low == 0 { 0 } else { UNDER_VOLTAGE };
                Ok(Measured { value: Throttle(flags), source: alarm.display().to_string() })
            }
            Self::Jetson { cooling } => {
                let chip = first(root.find("/sys/class/hwmon", "name", "soctherm_oc")?);
                let mut flags = 0;
                let counters = root.names(&chip, "oc")?.into_iter().filter(|name| name.ends_with("_event_cnt"));
                for counter in counters {
                    if root.number::<u64>(chip.join(&counter))? > 0 {
                        let cause = if counter == "oc1_event_cnt" { UNDER_VOLTAGE } else { OVER_CURRENT };
                        flags |= (cause | THROTTLED) << PAST;
                    }
                }
                for kind in cooling {
                    for device in root.find("/sys/class/thermal", "type", kind)? {
                        if root.number::<u64>(device.join("cur_state"))? > 0 {
                            flags |= THROTTLED | SOFT_TEMPERATURE_LIMIT;
                        }
                    }
                }
                Ok(Measured { value: Throttle(flags), source: chip.display().to_string() })
            }
        }
    }
}

/// The file of the Raspberry Pi's firmware. Its folders are called after nodes of the
/// device tree: `soc` and `soc:firmware` up to the Pi 4, and with an address on a Pi 5.
fn firmware(root: &Root) -> Result<PathBuf, Missing> {
    const PLATFORM: &str = "/sys/devices/platform";
    // What cannot be listed holds no such file.
    let names = |folder: &Path, prefix: &str| root.names(folder, prefix).unwrap_or_default();
    for soc in names(Path::new(PLATFORM), "soc") {
        let soc = Path::new(PLATFORM).join(soc);
        for device in names(&soc, "").iter().filter(|device| device.ends_with("firmware")) {
            let file = soc.join(device).join("get_throttled");
            if root.path(&file).exists() {
                return Ok(file);
            }
        }
    }
    Err(Missing::none(
        format!("there is no {PLATFORM}/soc*/*firmware/get_throttled"),
        "only Raspberry Pi's own kernel has it, and not on every model: without it, take the kind `rpi-volt`, \
         which says under-voltage alone",
    ))
}

fn first(folders: Vec<PathBuf>) -> PathBuf {
    // `find` returns at least one.
    folders.into_iter().next().unwrap_or_default()
}

/// Joins what a source says between two reports.
#[derive(Debug, Clone, Default)]
pub struct Watch {
    /// What the past was when it was last read; `None` before the first time.
    past: Option<u32>,
    joined: Option<Throttle>,
    /// Whether anything was wrong now, or joined the past, since the last report.
    throttled: bool,
    missing: Option<Missing>,
}

impl Watch {
    /// Takes a reading.
    pub fn take(&mut self, reading: Reading<Throttle>) {
        match reading {
            Ok(Measured { value, .. }) => {
                // What had happened before the first reading is not of this time.
                let past = self.past.replace(value.past()).unwrap_or(value.past());
                self.throttled |= value.now() || value.past() & !past != 0;
                self.joined = Some(Throttle(self.joined.unwrap_or_default().0 | value.0));
                self.missing = None;
            }
            Err(missing) => self.missing = Some(missing),
        }
    }

    /// All flags that were read since the last report, and whether the board was
    /// throttled within that time; `None` if nothing was read.
    pub fn report(&mut self) -> Option<(Throttle, bool)> {
        let throttled = std::mem::take(&mut self.throttled);
        self.joined.take().map(|joined| (joined, throttled))
    }

    /// Why the last reading failed.
    #[must_use]
    pub fn missing(&self) -> Option<&Missing> {
        self.missing.as_ref()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reading::Why;

    fn read(flags: u32) -> Reading<Throttle> {
        Ok(Measured { value: Throttle(flags), source: String::new() })
    }

    #[test]
    fn flags_have_the_firmwares_meaning() {
        let flags = Throttle(0x50005);
        assert_eq!(flags.to_string(), "under-voltage, throttled, under-voltage before, throttled before");
        assert_eq!(Throttle(0).to_string(), "none");
        assert!(flags.now() && !Throttle(0xf0000).now());
    }

    #[test]
    fn the_firmwares_file_is_found_below_the_soc_of_each_model() {
        for path in [
            "/sys/devices/platform/soc/soc:firmware/get_throttled",
            "/sys/devices/platform/soc@107c000000/soc@107c000000:firmware/get_throttled",
        ] {
            let folder = tempfile::tempdir().unwrap();
            let root = Root::new(folder.path());
            let file = root.path(path);
            // A firmware without the file, and a file where a folder is looked for.
            let device = file.parent().unwrap();
            std::fs::create_dir_all(device).unwrap();
            std::fs::write(folder.path().join("sys/devices/platform/socket"), "").unwrap();
            let missing = ThrottleConfig::RaspberryPi.read(&root).unwrap_err();
            assert_eq!(missing.why, Why::None);
            assert!(missing.what.contains("/sys/devices/platform/soc*/*firmware/get_throttled"), "{missing}");
            assert!(missing.remedy.contains("rpi-volt"), "{missing}");
            std::fs::write(&file, "50005\n").unwrap();
            let flags = ThrottleConfig::RaspberryPi.read(&root).unwrap();
            assert_eq!((flags.value, flags.source.as_str()), (Throttle(0x50005), path));
        }
    }

    #[test]
    fn what_happened_between_two_reports_is_reported_once() {
        let mut watch = Watch::default();
        assert_eq!(watch.report(), None);
        // The start's history is kept as flags, but did not happen now.
        watch.take(read(0x50000));
        assert_eq!(watch.report(), Some((Throttle(0x50000), false)));
        // A moment between two readings is seen by what the past gained.
        watch.take(read(0xd0000));
        watch.take(read(0xd0000));
        assert_eq!(watch.report(), Some((Throttle(0xd0000), true)));
        watch.take(read(0xd0001));
        watch.take(Err(Missing::failed("gone", "look")));
        watch.take(read(0xd0000));
        assert_eq!(watch.report(), Some((Throttle(0xd0001), true)));
        watch.take(Err(Missing::failed("gone", "look")));
        assert_eq!((watch.report(), watch.missing().unwrap().what.as_str()), (None, "gone"));
    }
}
