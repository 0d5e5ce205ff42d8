//! Temperature, clocks and disk wear, from the kernel's files.

use crate::reading::{Measured, Missing, Reading};
use crate::sysfs::{Root, hexadecimal};
use std::path::Path;

/// Temperature of the thermal zone of type `zone` (for example `cpu-thermal`),
/// in thousandths of a degree Celsius.
///
/// # Errors
/// Why it cannot be read: `None` where no zone has the type.
pub fn temperature_mc(root: &Root, zone: &str) -> Reading<i32> {
    let mut missing = None;
    // Several zones may have one type; one that is off fails to be read.
    for folder in root.find("/sys/class/thermal", "type", zone)? {
        match root.number(folder.join("temp")) {
            Ok(value) => return Ok(Measured { value, source: folder.display().to_string() }),
            Err(error) => missing = Some(error),
        }
    }
    Err(missing.unwrap_or_else(|| Missing::none(format!("no thermal zone `{zone}`"), "check its name")))
}

/// The clock of processors that share one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Clock {
    /// Numbers of the processors, as the kernel lists them, for example `0 1 2 3`.
    pub processors: String,
    /// The clock now in kilohertz, as the governor has set it.
    pub khz: u32,
    /// The highest that the hardware can, in kilohertz.
    pub highest_khz: u32,
}

/// The processors' clocks.
///
/// # Errors
/// Why they cannot be read: `None` where the kernel scales no clock, as in most
/// virtual machines.
pub fn clocks(root: &Root) -> Reading<Vec<Clock>> {
    const FOLDER: &str = "/sys/devices/system/cpu/cpufreq";
    let none = || Missing::none(format!("{FOLDER}: the kernel scales no clock"), "load the board's cpufreq driver");
    let policies = root.names(FOLDER, "policy").map_err(|_| none())?;
    if policies.is_empty() {
        return Err(none());
    }
    let clock = |policy: String| {
        let folder = Path::new(FOLDER).join(policy);
        Ok(Clock {
            processors: root.text(folder.join("affected_cpus"))?,
            khz: root.number(folder.join("scaling_cur_freq"))?,
            highest_khz: root.number(folder.join("cpuinfo_max_freq"))?,
        })
    };
    let value = policies.into_iter().map(clock).collect::<Result<_, Missing>>()?;
    Ok(Measured { value, source: FOLDER.to_owned() })
}

/// How worn an eMMC says it is (JEDEC JESD84-B51, `EXT_CSD`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wear {
    /// Tenths of its rated life that are used, rounded up, by the more worn of
    /// its two kinds of memory: 1 is up to 10 %, 11 is beyond its life.
    pub tenths: u8,
    /// What is left of its spare blocks.
    pub spare: Spare,
}

/// What is left of the spare blocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Spare {
    /// It does not say.
    Unsaid,
    /// Enough.
    Normal,
    /// 80 % are used.
    Warning,
    /// 90 % are used.
    Urgent,
}

/// The wear of the disk `name`, for example `mmcblk0`.
///
/// # Errors
/// Why it cannot be read: `None` for disks whose files say none.
pub fn disk_wear(root: &Root, name: &str) -> Reading<Wear> {
    if name.is_empty() || name.contains(['/', '.']) {
        return Err(Missing::none(format!("`{name}` is no disk"), "name it as in /sys/block, for example mmcblk0"));
    }
    let disk = Path::new("/sys/block").join(name);
    if !root.path(&disk).exists() {
        return Err(Missing::none(format!("there is no disk {name}"), "`ls /sys/block` on the board lists the disks"));
    }
    if name.starts_with("nvme") {
        return Err(Missing::none(
            format!("{name}: the kernel has no file for an NVMe disk's wear"),
            "ask the disk: `nvme smart-log`",
        ));
    }
    let device = disk.join("device");
    let life = device.join("life_time");
    if !root.path(&life).exists() {
        let kind = root.text(device.join("type")).unwrap_or_else(|_| "this kind".to_owned());
        return Err(Missing::none(
            format!("{name}: a disk of {kind} does not say its wear"),
            "only eMMC says it: keep the spool on one, or replace the card by the clock",
        ));
    }
    let text = root.text(&life)?;
    let tenths = text.split_whitespace().filter_map(hexadecimal).max().filter(|tenths| (1..=11).contains(tenths));
    let Some(tenths) = tenths.and_then(|tenths| u8::try_from(tenths).ok()) else {
        return Err(Missing::none(
            format!("{}: `{text}` says nothing", life.display()),
            "the disk does not keep count of its wear",
        ));
    };
    let spare = match root.hexadecimal(device.join("pre_eol_info")) {
        Ok(1) => Spare::Normal,
        Ok(2) => Spare::Warning,
        Ok(3) => Spare::Urgent,
        _ => Spare::Unsaid,
    };
    Ok(Measured { value: Wear { tenths, spare }, source: life.display().to_string() })
}
