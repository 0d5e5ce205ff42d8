//! Energy meters: chips on an I2C bus, and chips that a kernel driver reads.

pub mod hwmon;
pub mod ina219;
pub mod ina260;
pub mod ina3221;
mod register;

use crate::reading::{Missing, Why};
use crate::sysfs::Root;
use linux_embedded_hal::I2cdev;
use linux_embedded_hal::i2cdev::linux::{LinuxI2CDevice, LinuxI2CError};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::path::{Path, PathBuf};

/// Something that measures the power that the board draws.
pub trait Meter: Send {
    /// The power now, in microwatts. The meter's own conversion is at most some
    /// milliseconds old.
    ///
    /// # Errors
    /// Why there is no reading: the meter may be gone, or its current negative.
    fn microwatts(&mut self) -> Result<u64, Missing>;
}

/// Which meter measures the board, and where it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase", deny_unknown_fields)]
pub enum MeterConfig {
    /// Texas Instruments INA219 on an I2C bus. It is reset when it is opened.
    Ina219 {
        /// The bus, for example `/dev/i2c-1`.
        bus: PathBuf,
        /// The chip's address, 0x40 to 0x4f.
        address: u8,
        /// The shunt's resistance in millionths of an ohm.
        shunt_microohm: u32,
    },
    /// Texas Instruments INA260 on an I2C bus; its shunt is inside.
    Ina260 {
        /// The bus, for example `/dev/i2c-1`.
        bus: PathBuf,
        /// The chip's address, 0x40 to 0x4f.
        address: u8,
    },
    /// Texas Instruments INA3221 on an I2C bus.
    Ina3221 {
        /// The bus, for example `/dev/i2c-1`.
        bus: PathBuf,
        /// The chip's address, 0x40 to 0x43.
        address: u8,
        /// The channels whose sum is the board's power, 1 to 3.
        channels: Vec<u8>,
        /// Each channel's shunt in millionths of an ohm.
        shunt_microohm: u32,
    },
    /// A chip that the kernel's hwmon drivers read, as the INA3221 on a Jetson.
    Hwmon {
        /// What the chip's file `name` says, for example `ina3221`.
        chip: String,
        /// Labels of the rails whose sum is the board's power, for example
        /// `VDD_IN`: those of `in*_label` (voltage times current) or of
        /// `power*_label`.
        rails: Vec<String>,
    },
}

impl fmt::Display for MeterConfig {
    /// The meter's name in rows and messages.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ina219 { bus, address, .. } => write!(f, "INA219 at {address:#04x} on {}", bus.display()),
            Self::Ina260 { bus, address } => write!(f, "INA260 at {address:#04x} on {}", bus.display()),
            Self::Ina3221 { bus, address, channels, .. } => {
                write!(f, "INA3221 at {address:#04x} on {}, channels {channels:?}", bus.display())
            }
            Self::Hwmon { chip, rails } => write!(f, "hwmon {chip}, {}", rails.join(" + ")),
        }
    }
}

impl MeterConfig {
    /// Checks what types cannot: addresses, channels, shunts.
    ///
    /// # Errors
    /// What is wrong with the configuration.
    pub fn check(&self) -> Result<(), Missing> {
        let wrong = |what: &str, remedy: &'static str| Err(Missing::failed(format!("{self}: {what}"), remedy));
        let (Self::Ina219 { address, .. } | Self::Ina260 { address, .. } | Self::Ina3221 { address, .. }) = self else {
            return match self {
                Self::Hwmon { rails, .. } if rails.is_empty() => {
                    wrong("no rail is named", "name the rail that feeds the board, for example VDD_IN")
                }
                _ => Ok(()),
            };
        };
        let last = if matches!(self, Self::Ina3221 { .. }) { 0x43 } else { 0x4f };
        if !(0x40..=last).contains(address) {
            return wrong("the chip has no such address", "give the address that its pins set, from 0x40 on");
        }
        if let Self::Ina219 { shunt_microohm: 0, .. } | Self::Ina3221 { shunt_microohm: 0, .. } = self {
            return wrong("the shunt has no resistance", "give shunt_microohm, for example 100000 for R100");
        }
        if let Self::Ina3221 { channels, .. } = self
            && (channels.is_empty()
                || channels.iter().enumerate().any(|(i, c)| !(1..=3).contains(c) || channels[..i].contains(c)))
        {
            return wrong("the channels are wrong", "name each of the channels 1 to 3 at most once");
        }
        Ok(())
    }

    /// Opens the meter: checks that it is the chip that the configuration says,
    /// where the chip can tell, and that it measures all the time.
    ///
    /// # Errors
    /// `None` where no bus is or nothing answers, `NoAccess` where a permission
    /// is missing or a kernel driver holds the chip, `Failed` for another chip.
    pub fn open(&self, root: &Root) -> Result<Box<dyn Meter>, Missing> {
        self.check()?;
        Ok(match self {
            Self::Ina219 { bus, address, shunt_microohm } => {
                Box::new(ina219::Ina219::new(i2c(root, bus, *address)?, self.to_string(), *address, *shunt_microohm)?)
            }
            Self::Ina260 { bus, address } => {
                Box::new(ina260::Ina260::new(i2c(root, bus, *address)?, self.to_string(), *address)?)
            }
            Self::Ina3221 { bus, address, channels, shunt_microohm } => {
                let bus = i2c(root, bus, *address)?;
                Box::new(ina3221::Ina3221::new(bus, self.to_string(), *address, channels, *shunt_microohm)?)
            }
            Self::Hwmon { chip, rails } => Box::new(hwmon::Hwmon::new(root, chip, rails)?),
        })
    }
}

/// The bus, once its device file could be opened and the address is free.
fn i2c(root: &Root, bus: &Path, address: u8) -> Result<I2cdev, Missing> {
    const EBUSY: i32 = 16;
    let path = root.path(bus);
    let missing = |error| {
        let error = match error {
            LinuxI2CError::Io(error) => error,
            LinuxI2CError::Errno(number) => std::io::Error::from_raw_os_error(number),
        };
        if error.raw_os_error() == Some(EBUSY) {
            return Missing::no_access(
                format!("{}: a kernel driver holds the chip at {address:#04x}", bus.display()),
                "read it through the driver: a meter of the kind hwmon",
            );
        }
        match Missing::device(bus.display(), &error, "i2c") {
            missing if missing.why == Why::None => Missing {
                remedy: "turn the bus on (raspi-config, or dtparam=i2c_arm=on), and load the module i2c-dev".into(),
                ..missing
            },
            missing => missing,
        }
    };
    // The address is claimed once before: the claim tells a chip that a kernel
    // driver holds from one that does not answer.
    LinuxI2CDevice::new(&path, address.into()).map_err(missing)?;
    I2cdev::new(&path).map_err(missing)
}

/// What a bus error of `kind` says of the meter `name`.
fn bus_error(name: &str, kind: embedded_hal::i2c::ErrorKind) -> Missing {
    use embedded_hal::i2c::ErrorKind;
    match kind {
        ErrorKind::NoAcknowledge(_) => {
            Missing::none(format!("{name}: nothing answers"), "check its wiring, supply and address (`i2cdetect -y`)")
        }
        kind => Missing::failed(format!("{name}: the bus failed: {kind}"), "check its wiring and pull-ups"),
    }
}

/// Power as it may be: a board draws current, it does not give any.
fn drawn(name: &str, microwatts: i64) -> Result<u64, Missing> {
    u64::try_from(microwatts).map_err(|_| {
        Missing::failed(
            format!("{name}: the current is negative"),
            "the shunt is wired the other way round: swap IN+ and IN-, or name another channel",
        )
    })
}

/// Power in microwatts from a shunt's voltage in microvolts, its resistance in
/// microohm and the bus voltage in millivolts, rounded towards zero.
fn shunt_microwatts(shunt_uv: i32, shunt_microohm: u32, bus_mv: u16) -> i64 {
    i64::from(shunt_uv) * i64::from(bus_mv) * 1000 / i64::from(shunt_microohm.max(1))
}
