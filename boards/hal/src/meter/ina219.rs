//! Texas Instruments INA219, through the crate `ina219`.

use super::{Meter, bus_error, drawn, shunt_microwatts};
use crate::reading::Missing;
use ::ina219::SyncIna219;
use ::ina219::address::Address;
use ::ina219::calibration::UnCalibrated;
use ::ina219::errors::{BusVoltageReadError, InitializationErrorReason, ShuntVoltageReadError};
use embedded_hal::i2c::{Error as _, I2c};

/// An INA219. Power is computed from its two voltages, so that it needs no
/// calibration.
pub struct Ina219<I> {
    chip: SyncIna219<I, UnCalibrated>,
    name: String,
    shunt_microohm: u32,
}

impl<I: I2c> Ina219<I> {
    /// The chip called `name` at `address` of `bus`, which is reset: then it
    /// measures up to 32 V, and up to 320 mV over its shunt, every millisecond.
    ///
    /// # Errors
    /// `None` if nothing answers, `Failed` for a chip that does not look like an
    /// INA219 after a reset.
    pub fn new(bus: I, name: String, address: u8, shunt_microohm: u32) -> Result<Self, Missing> {
        let place = Address::from_byte(address).map_err(|_| {
            Missing::failed(format!("{name}: the chip has no such address"), "give its address, 0x40 to 0x4f")
        })?;
        match SyncIna219::new(bus, place) {
            Ok(chip) => Ok(Self { chip, name, shunt_microohm }),
            Err(error) => Err(match error.reason {
                InitializationErrorReason::I2cError(error) => bus_error(&name, error.kind()),
                reason => Missing::failed(
                    format!("{name}: another chip answers: {reason:?}"),
                    "check the address and the kind of the meter",
                ),
            }),
        }
    }
}

impl<I: I2c + Send> Meter for Ina219<I> {
    fn microwatts(&mut self) -> Result<u64, Missing> {
        let range = |name: &str| {
            Missing::failed(format!("{name}: a voltage is out of its range"), "check the wiring, and its supply")
        };
        let shunt = self.chip.shunt_voltage().map_err(|error| match error {
            ShuntVoltageReadError::I2cError(error) => bus_error(&self.name, error.kind()),
            ShuntVoltageReadError::ShuntVoltageOutOfRange { .. } => range(&self.name),
        })?;
        let bus = self.chip.bus_voltage().map_err(|error| match error {
            BusVoltageReadError::I2cError(error) => bus_error(&self.name, error.kind()),
            BusVoltageReadError::BusVoltageOutOfRange { .. } => range(&self.name),
        })?;
        drawn(&self.name, shunt_microwatts(shunt.shunt_voltage_uv(), self.shunt_microohm, bus.voltage_mv()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reading::Why;
    use embedded_hal_mock::eh1::i2c::{Mock, Transaction};

    const ADDRESS: u8 = 0x45;

    fn reads(register: u8, value: u16) -> Transaction {
        Transaction::write_read(ADDRESS, vec![register], value.to_be_bytes().to_vec())
    }

    /// The reset, then every register as the data sheet says that it is then.
    fn opened() -> Vec<Transaction> {
        vec![
            Transaction::write(ADDRESS, [&[0x00][..], &0xb99fu16.to_be_bytes()].concat()),
            reads(0x00, 0x399f),
            reads(0x05, 0),
            reads(0x04, 0),
            reads(0x03, 0),
            reads(0x01, 0),
            reads(0x02, 0),
        ]
    }

    #[test]
    fn two_voltages_are_power() {
        // 64 mV over 0.1 Ω (640 mA) at 5.120 V.
        let expected: Vec<_> =
            opened().into_iter().chain([reads(0x01, 6400), reads(0x02, (1280 << 3) | 0b10)]).collect();
        let mut bus = Mock::new(&expected);
        let mut meter = Ina219::new(bus.clone(), "meter".into(), ADDRESS, 100_000).unwrap();
        assert_eq!(meter.microwatts(), Ok(3_276_800));
        bus.done();
    }

    #[test]
    fn another_chip_is_refused() {
        let mut expected = opened();
        expected[2] = reads(0x05, 0x1234);
        expected.truncate(3);
        let mut bus = Mock::new(&expected);
        let missing = Ina219::new(bus.clone(), "meter".into(), ADDRESS, 100_000).err().unwrap();
        assert!(missing.what.contains("another chip") && missing.why == Why::Failed, "{missing}");
        bus.done();
    }
}
