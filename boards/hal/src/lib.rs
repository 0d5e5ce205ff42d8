//! The board's body: status LED and trigger pins, energy meters over I2C,
//! temperature, clocks, throttle and under-voltage flags, disk wear.
//!
//! A reading is a value with its source, or the [`Missing`] reason why there is
//! none; it reaches the rows as that, never as a zero. Nothing is probed: every
//! bus, chip, zone and line is named by a configuration (the serde structs of
//! this crate, which board files and the agent's configuration hold).
//!
//! Every path is read under a [`Root`], so that trees that were recorded on a
//! board are read like the board itself, and time is passed in, so that tests
//! need no clock. Chips and pins are behind `embedded-hal` 1.0's traits.
//!
//! # Which crates, and why
//!
//! - **GPIO**: `gpiocdev`, pure Rust over the kernel's character device, on every
//!   board. `rppal` was retired by its author in July 2025; what it has beyond
//!   the character device (registers mapped into memory for speed, alternate pin
//!   functions, hardware PWM) a status LED and a trigger do not need.
//! - **INA219**: the crate `ina219`, `embedded-hal` 1.0. It resets the chip and
//!   checks what every register holds then: the chip has no identification.
//! - **INA260, INA3221**: the crate `ina260` is of 2019 and for `embedded-hal`
//!   0.2, `ina3221` of 2023 and for an alpha version of 1.0. The few registers
//!   that are needed are read here, by the names of Texas Instruments' data
//!   sheets (SBOS656, SBOS576).

pub mod health;
pub mod led;
pub mod meter;
pub mod reading;
pub mod sampler;
pub mod sysfs;
pub mod throttle;
pub mod trigger;

pub use led::{LedConfig, Status, StatusLed};
pub use meter::{Meter, MeterConfig};
pub use reading::{Measured, Missing, Reading, Why};
pub use sampler::{Energy, Sampler};
pub use sysfs::Root;
pub use throttle::{Throttle, ThrottleConfig};
pub use trigger::{Trigger, TriggerConfig};
