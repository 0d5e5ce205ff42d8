//! Texas Instruments INA3221, by its data sheet SBOS576.

use super::register::Chip;
use super::{Meter, drawn, shunt_microwatts};
use crate::reading::Missing;
use embedded_hal::i2c::I2c;

/// `Channel-1 Shunt-Voltage Register`; channels follow at steps of two. Two's
/// complement in bits 15 to 3, 40 µV a step: the whole register is in 5 µV.
const SHUNT_VOLTAGE: u8 = 0x01;
const SHUNT_STEP_UV: i32 = 5;
/// `Channel-1 Bus-Voltage Register`. Bits 15 to 3, 8 mV a step: the whole
/// register, its lowest bits cleared, is in millivolts.
const BUS_VOLTAGE: u8 = 0x02;
const VALUE: u16 = !0b111;
/// `Die ID Register`.
const DIE: u16 = 0x3220;
/// `Configuration Register`: bit 14 enables channel 1, then 13 and 12.
const ENABLE_1: u16 = 1 << 14;

/// Channels of an INA3221, summed.
pub struct Ina3221<I> {
    chip: Chip<I>,
    channels: Vec<u8>,
    shunt_microohm: u32,
}

impl<I: I2c> Ina3221<I> {
    /// The chip called `name` at `address` of `bus`, whose `channels` (1 to 3)
    /// have shunts of `shunt_microohm`.
    ///
    /// # Errors
    /// `None` if nothing answers, `Failed` for another chip, one that sleeps, or
    /// a channel that is off.
    pub fn new(bus: I, name: String, address: u8, channels: &[u8], shunt_microohm: u32) -> Result<Self, Missing> {
        let mut chip = Chip::new(bus, name, address);
        let configuration = chip.identify(DIE, u16::MAX)?;
        let off = |channel: &&u8| configuration & (ENABLE_1 >> (**channel - 1)) == 0;
        if let Some(channel) = channels.iter().find(off) {
            return Err(Missing::failed(
                format!("{}: channel {channel} is off", chip.name),
                "name a channel that is on, or power the board off and on",
            ));
        }
        Ok(Self { chip, channels: channels.to_vec(), shunt_microohm })
    }
}

impl<I: I2c + Send> Meter for Ina3221<I> {
    fn microwatts(&mut self) -> Result<u64, Missing> {
        let mut sum = 0;
        for channel in &self.channels {
            let offset = 2 * (channel - 1);
            let shunt = self.chip.read(SHUNT_VOLTAGE + offset)? & VALUE;
            let bus_mv = self.chip.read(BUS_VOLTAGE + offset)? & VALUE;
            sum += shunt_microwatts(i32::from(shunt.cast_signed()) * SHUNT_STEP_UV, self.shunt_microohm, bus_mv);
        }
        drawn(&self.chip.name, sum)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use embedded_hal_mock::eh1::i2c::{Mock, Transaction};

    fn reads(register: u8, value: u16) -> Transaction {
        Transaction::write_read(0x41, vec![register], value.to_be_bytes().to_vec())
    }

    #[test]
    fn channels_are_summed() {
        // Channel 1: 10 mV over 5 mΩ (2 A) at 5.000 V. Channel 3: 0.4 mV (80 mA) at 3.304 V.
        let expected = [
            reads(0xfe, 0x5449),
            reads(0xff, 0x3220),
            reads(0x00, 0x7127),
            reads(0x01, 250 << 3),
            reads(0x02, 625 << 3),
            reads(0x05, 10 << 3),
            reads(0x06, (413 << 3) | 0b110),
        ];
        let mut bus = Mock::new(&expected);
        let mut meter = Ina3221::new(bus.clone(), "meter".into(), 0x41, &[1, 3], 5000).unwrap();
        assert_eq!(meter.microwatts(), Ok(10_000_000 + 264_320));
        bus.done();
    }

    #[test]
    fn a_channel_that_is_off_is_refused() {
        let mut bus = Mock::new(&[reads(0xfe, 0x5449), reads(0xff, 0x3220), reads(0x00, 0x6127)]);
        let missing = Ina3221::new(bus.clone(), "meter".into(), 0x41, &[1, 3], 5000).err().unwrap();
        assert!(missing.what.contains("channel 3 is off"), "{missing}");
        bus.done();
    }
}
