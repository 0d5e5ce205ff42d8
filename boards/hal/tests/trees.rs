//! Readings from trees of the kernel's files, one for each kind of board.

#![allow(clippy::unwrap_used)]

use afferent_boards_hal::health::{Clock, Spare, Wear, clocks, disk_wear, temperature_mc};
use afferent_boards_hal::throttle::{OVER_CURRENT, PAST, SOFT_TEMPERATURE_LIMIT, THROTTLED, UNDER_VOLTAGE};
use afferent_boards_hal::{LedConfig, MeterConfig, Root, Sampler, Status, StatusLed, Throttle, ThrottleConfig, Why};
use std::path::Path;
use std::time::Duration;

fn tree(name: &str) -> Root {
    Root::new(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/trees").join(name))
}

fn hwmon(chip: &str, rails: &[&str]) -> MeterConfig {
    MeterConfig::Hwmon { chip: chip.into(), rails: rails.iter().map(|rail| (*rail).to_owned()).collect() }
}

#[test]
fn a_raspberry_pi_says_its_health() {
    let root = tree("rpi4");
    let temperature = temperature_mc(&root, "cpu-thermal").unwrap();
    assert_eq!((temperature.value, temperature.source.as_str()), (52_582, "/sys/class/thermal/thermal_zone0"));
    let clock = Clock { processors: "0 1 2 3".into(), khz: 600_000, highest_khz: 1_800_000 };
    assert_eq!(clocks(&root).unwrap().value, [clock]);
    let flags = ThrottleConfig::RaspberryPi.read(&root).unwrap().value;
    assert_eq!(flags, Throttle(UNDER_VOLTAGE | THROTTLED | (UNDER_VOLTAGE | THROTTLED) << PAST));
    let alarm = ThrottleConfig::RpiVolt.read(&root).unwrap();
    assert_eq!((alarm.value, alarm.source.as_str()), (Throttle(1), "/sys/class/hwmon/hwmon1/in0_lcrit_alarm"));
}

#[test]
fn a_jetson_says_its_health() {
    let root = tree("jetson-orin-nano");
    assert_eq!(temperature_mc(&root, "gpu-thermal").unwrap().value, 47_843);
    let clocks = clocks(&root).unwrap().value;
    assert_eq!((clocks.len(), clocks[1].khz, clocks[1].processors.as_str()), (2, 729_600, "4 5"));
    let read = |cooling: &[&str]| {
        let cooling = cooling.iter().map(|kind| (*kind).to_owned()).collect();
        ThrottleConfig::Jetson { cooling }.read(&root).map(|measured| measured.value)
    };
    let past = Throttle((OVER_CURRENT | THROTTLED) << PAST);
    assert_eq!(read(&["cpu-throttle-alert"]), Ok(past));
    assert_eq!(read(&["hot-surface-alert"]), Ok(Throttle(past.0 | THROTTLED | SOFT_TEMPERATURE_LIMIT)));
    assert!(read(&["fan"]).unwrap_err().what.contains("`fan`"));
}

#[test]
fn disks_say_their_wear_or_why_not() {
    let wear = disk_wear(&tree("jetson-orin-nano"), "mmcblk0").unwrap();
    assert_eq!(wear.value, Wear { tenths: 2, spare: Spare::Normal });
    let root = tree("rpi4");
    for (disk, said) in [
        ("mmcblk0", "a disk of SD does not say"),
        ("nvme0n1", "NVMe"),
        ("sda", "there is no disk sda"),
        ("../../etc", "is no disk"),
    ] {
        let missing = disk_wear(&root, disk).unwrap_err();
        assert!(missing.what.contains(said) && missing.why == Why::None, "{missing}");
    }
}

#[test]
fn rails_are_summed_over_chips_of_one_name() {
    let mut meter = hwmon("ina3221", &["VDD_IN"]).open(&tree("jetson-orin-nano")).unwrap();
    assert_eq!(meter.microwatts(), Ok(5048 * 944));
    let rails = ["VDD_GPU_SOC", "VDD_CPU_CV", "VIN_SYS_5V0", "VDDQ_VDD2_1V8AO"];
    let mut meter = hwmon("ina3221", &rails).open(&tree("jetson-agx-orin")).unwrap();
    assert_eq!(meter.microwatts(), Ok(19112 * (160 + 40) + 4968 * (680 + 120)));
    let mut meter = hwmon("ina260", &["supply"]).open(&tree("power")).unwrap();
    assert_eq!(meter.microwatts(), Ok(4_080_000));
}

#[test]
fn what_is_not_there_is_a_reason_with_its_remedy() {
    let root = tree("rpi4");
    for (missing, said) in [
        (temperature_mc(&root, "gpu").err(), "nothing in /sys/class/thermal has the type `gpu`"),
        (clocks(&tree("power")).err(), "scales no clock"),
        (ThrottleConfig::RaspberryPi.read(&tree("power")).err(), "get_throttled"),
        (hwmon("ina3221", &["VDD_IN"]).open(&root).err(), "has the name `ina3221`"),
        (hwmon("ina3221", &["VIN"]).open(&tree("jetson-orin-nano")).err(), "the label `VIN`"),
        // A label of a voltage that has no current.
        (hwmon("ina3221", &["sum of shunt voltages"]).open(&tree("jetson-orin-nano")).err(), "it has no current"),
        (MeterConfig::Ina260 { bus: "/dev/i2c-1".into(), address: 0x40 }.open(&root).err(), "/dev/i2c-1"),
    ] {
        let missing = missing.unwrap();
        assert!(missing.what.contains(said) && missing.why == Why::None, "{missing}");
        assert!(missing.to_string().contains("(to do: "), "{missing}");
    }
}

#[test]
fn a_configuration_is_checked() {
    let bus = || "/dev/i2c-1".into();
    for (config, said) in [
        (MeterConfig::Ina260 { bus: bus(), address: 0x20 }, "no such address"),
        (MeterConfig::Ina219 { bus: bus(), address: 0x40, shunt_microohm: 0 }, "no resistance"),
        (
            MeterConfig::Ina3221 { bus: bus(), address: 0x40, channels: vec![1, 1], shunt_microohm: 5000 },
            "the channels are wrong",
        ),
        (
            MeterConfig::Ina3221 { bus: bus(), address: 0x48, channels: vec![1], shunt_microohm: 5000 },
            "no such address",
        ),
        (hwmon("ina3221", &[]), "no rail"),
    ] {
        let missing = config.check().unwrap_err();
        assert!(missing.what.contains(said), "{missing}");
    }
    let text = "kind = 'ina3221'\nbus = '/dev/i2c-7'\naddress = 0x41\nchannels = [1, 3]\nshunt_microohm = 5000";
    let config: MeterConfig = toml::from_str(text).unwrap();
    assert_eq!(config.to_string(), "INA3221 at 0x41 on /dev/i2c-7, channels [1, 3]");
    assert!(toml::from_str::<MeterConfig>(&format!("{text}\nshunt = 1")).is_err());
    assert!(toml::from_str::<ThrottleConfig>("kind = 'raspberry-pi'").is_ok());
}

/// A tree that may be changed.
fn copied(name: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let from = tree(name).path("/");
    let mut folders = vec![from.clone()];
    while let Some(next) = folders.pop() {
        let to = folder.path().join(next.strip_prefix(&from).unwrap());
        std::fs::create_dir_all(&to).unwrap();
        for entry in std::fs::read_dir(&next).unwrap() {
            let entry = entry.unwrap();
            if entry.file_type().unwrap().is_dir() {
                folders.push(entry.path());
            } else {
                std::fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
            }
        }
    }
    folder
}

#[test]
fn a_meter_that_vanishes_and_returns_elsewhere_leaves_a_gap() {
    let folder = copied("jetson-orin-nano");
    let hwmons = folder.path().join("sys/class/hwmon");
    let mut sampler =
        Sampler::new(&hwmon("ina3221", &["VDD_IN"]), &Root::new(folder.path()), Duration::from_millis(100));
    let mut pull = |at| sampler.pull(|| Duration::from_millis(at)).is_some();
    assert_eq!([pull(0), pull(100)], [false, true]);
    // The driver is unloaded, and loaded again under another number.
    std::fs::rename(hwmons.join("hwmon1"), folder.path().join("away")).unwrap();
    assert_eq!([pull(200), pull(300)], [false, false]);
    std::fs::rename(folder.path().join("away"), hwmons.join("hwmon12")).unwrap();
    assert_eq!([pull(400), pull(500)], [false, true]);
    let energy = sampler.energy().unwrap();
    assert_eq!(energy.microjoules, 2 * 5048 * 944 / 10);
    assert_eq!((energy.missed, energy.gap), (2, Duration::from_millis(300)));
    assert_eq!(energy.meter, "hwmon ina3221, VDD_IN");
}

#[test]
fn an_led_is_taken_from_the_kernel_and_lit() {
    let folder = copied("rpi4");
    let said = |file: &str| std::fs::read_to_string(folder.path().join("sys/class/leds/ACT").join(file)).unwrap();
    let root = Root::new(folder.path());
    let mut led = StatusLed::new(LedConfig::Class { name: "ACT".into() }.open(&root).unwrap());
    // A recorded file keeps what follows the written text; the kernel's does not.
    assert!(said("trigger").starts_with("none"));
    assert!(said("brightness").starts_with('0'));
    led.show(Status::Error, Duration::ZERO).unwrap();
    assert!(said("brightness").starts_with("255"));
    led.show(Status::Error, Duration::from_millis(100)).unwrap();
    assert!(said("brightness").starts_with('0'));
    for name in ["PWR", "../ACT", ""] {
        assert_eq!(LedConfig::Class { name: name.into() }.open(&root).err().unwrap().why, Why::None);
    }
    let line = LedConfig::Line { chip: "/dev/gpiochip0".into(), line: 17, active_low: true };
    assert!(line.open(&root).err().unwrap().what.contains("/dev/gpiochip0"));
}
