//! Texas Instruments INA260, by its data sheet SBOS656.

use super::register::Chip;
use super::{Meter, drawn};
use crate::reading::Missing;
use embedded_hal::i2c::I2c;

/// `Current Register`: two's complement, 1.25 mA a step.
const CURRENT: u8 = 0x01;
/// `Bus Voltage Register`: 1.25 mV a step.
const BUS_VOLTAGE: u8 = 0x02;
/// `Die ID Register`: device id 227h in bits 15 to 4, then the revision.
const DIE: (u16, u16) = (0x2270, 0xfff0);

/// An INA260. Its power register has steps of 10 mW; current times voltage is
/// finer.
pub struct Ina260<I>(Chip<I>);

impl<I: I2c> Ina260<I> {
    /// The chip called `name` at `address` of `bus`.
    ///
    /// # Errors
    /// `None` if nothing answers, `Failed` for another chip or one that sleeps.
    pub fn new(bus: I, name: String, address: u8) -> Result<Self, Missing> {
        let mut chip = Chip::new(bus, name, address);
        chip.identify(DIE.0, DIE.1)?;
        Ok(Self(chip))
    }
}

impl<I: I2c + Send> Meter for Ina260<I> {
    fn microwatts(&mut self) -> Result<u64, Missing> {
        let current = self.0.read_signed(CURRENT)?;
        let voltage = self.0.read(BUS_VOLTAGE)?;
        // 1.25 mA times 1.25 mV is 25/16 of a microwatt.
        drawn(&self.0.name, i64::from(current) * i64::from(voltage) * 25 / 16)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reading::Why;
    use embedded_hal::i2c::{ErrorKind, NoAcknowledgeSource};
    use embedded_hal_mock::eh1::i2c::{Mock, Transaction};

    fn reads(register: u8, value: u16) -> Transaction {
        Transaction::write_read(0x40, vec![register], value.to_be_bytes().to_vec())
    }

    fn identified() -> Vec<Transaction> {
        vec![reads(0xfe, 0x5449), reads(0xff, 0x2270), reads(0x00, 0x6127)]
    }

    #[test]
    fn current_times_voltage_is_power() {
        // 0.8 A at 5.1 V: 4.08 W. Then a current the other way. Then it is gone.
        let nobody = Transaction::write_read(0x40, vec![CURRENT], vec![0, 0])
            .with_error(ErrorKind::NoAcknowledge(NoAcknowledgeSource::Address));
        let readings =
            [reads(CURRENT, 640), reads(BUS_VOLTAGE, 4080), reads(CURRENT, 0xfffe), reads(BUS_VOLTAGE, 4080)];
        let expected: Vec<_> = identified().into_iter().chain(readings).chain([nobody]).collect();
        let mut bus = Mock::new(&expected);
        let mut meter = Ina260::new(bus.clone(), "meter".into(), 0x40).unwrap();
        assert_eq!(meter.microwatts(), Ok(4_080_000));
        let reversed = meter.microwatts().unwrap_err();
        assert!(reversed.what.contains("negative") && reversed.why == Why::Failed, "{reversed}");
        let gone = meter.microwatts().unwrap_err();
        assert!(gone.what.contains("nothing answers") && gone.why == Why::None, "{gone}");
        bus.done();
    }

    #[test]
    fn another_chip_and_a_sleeping_one_are_refused() {
        // An INA3221 where an INA260 should be; an INA260 in power-down.
        let other = vec![reads(0xfe, 0x5449), reads(0xff, 0x3220)];
        let asleep = vec![reads(0xfe, 0x5449), reads(0xff, 0x2271), reads(0x00, 0x6120)];
        for (expected, said) in [(other, "another chip answers"), (asleep, "all the time")] {
            let mut bus = Mock::new(&expected);
            let missing = Ina260::new(bus.clone(), "meter".into(), 0x40).err().unwrap();
            assert!(missing.what.contains(said) && missing.why == Why::Failed, "{missing}");
            bus.done();
        }
    }
}
