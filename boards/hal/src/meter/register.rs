//! The 16-bit registers, most significant byte first, that Texas Instruments'
//! power monitors have in common.

use super::bus_error;
use crate::reading::Missing;
use embedded_hal::i2c::{Error as _, I2c};

/// `Manufacturer ID Register`, and what it holds: "TI".
const MANUFACTURER_ID: (u8, u16) = (0xfe, 0x5449);
/// `Die ID Register`.
const DIE_ID: u8 = 0xff;
/// `Configuration Register`; its lowest three bits are the operating mode.
const CONFIGURATION: u8 = 0x00;
/// Operating mode: shunt (current) and bus voltage, continuous.
const CONTINUOUS: u16 = 0b111;

/// A chip at an address of a bus.
pub(super) struct Chip<I> {
    bus: I,
    address: u8,
    pub(super) name: String,
}

impl<I: I2c> Chip<I> {
    pub(super) fn new(bus: I, name: String, address: u8) -> Self {
        Self { bus, address, name }
    }

    /// Reads a register.
    pub(super) fn read(&mut self, register: u8) -> Result<u16, Missing> {
        let mut bytes = [0; 2];
        self.bus
            .write_read(self.address, &[register], &mut bytes)
            .map_err(|error| bus_error(&self.name, error.kind()))?;
        Ok(u16::from_be_bytes(bytes))
    }

    /// Reads a register that holds a number in two's complement.
    pub(super) fn read_signed(&mut self, register: u8) -> Result<i16, Missing> {
        self.read(register).map(u16::cast_signed)
    }

    /// Checks that this is the die `die` (under `mask`) of Texas Instruments and
    /// that it measures all the time; its configuration register.
    pub(super) fn identify(&mut self, die: u16, mask: u16) -> Result<u16, Missing> {
        let (manufacturer, is) = (self.read(MANUFACTURER_ID.0)?, self.read(DIE_ID)?);
        if manufacturer != MANUFACTURER_ID.1 || is & mask != die {
            return Err(Missing::failed(
                format!("{}: another chip answers: manufacturer {manufacturer:#06x}, die {is:#06x}", self.name),
                "check the address and the kind of the meter",
            ));
        }
        let configuration = self.read(CONFIGURATION)?;
        if configuration & CONTINUOUS != CONTINUOUS {
            return Err(Missing::failed(
                format!("{}: it does not measure all the time (configuration {configuration:#06x})", self.name),
                "another program has set it so: power the board off and on",
            ));
        }
        Ok(configuration)
    }
}
