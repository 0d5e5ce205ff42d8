//! Boards are data: one file per board says how to recognise it, where its
//! cameras and microphones are, which hardware encoders and accelerators it
//! really has, its pins, meters, throttle sources and image recipe, what is not
//! there although people expect it, and the source of each of these facts.
//!
//! - [`Board`]: the schema, and the files of `boards/spec/boards/`, compiled in.
//!   `docs/boards.md` documents every key; a test makes that page of the types.
//! - [`recognise`]: which of the files describes this machine;
//! - [`check`]: what the machine shows of what the file says;
//! - [`examine`]: both, as a report to print;
//! - [`benchmark`]: what codecs cost on a machine, as the agent measures it there.
//!
//! A machine is read, never probed: names in sysfs and procfs and the existence
//! of files. No device is opened, no bus is scanned, no command is run.

pub mod benchmark;
mod board;
mod check;
mod evidence;
mod recognise;
#[cfg(test)]
mod schema;

pub use board::{
    Absent, Accelerator, Architecture, Board, Camera, Capture, Condition, Cpu, Element, Encoder, Header, I2c, Image,
    Kind, Led, Meter, Microphone, Provider, Software, Source, Throttle, Trap,
};
pub use check::{Finding, Level, Report, check, examine};
pub use evidence::{Evidence, Hwmon};
pub use recognise::{By, Recognised, recognise};
