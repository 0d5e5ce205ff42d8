//! The board's body: status LED and trigger pins, energy meters over I2C,
//! temperature, clocks, throttle and under-voltage flags. A measurement is a
//! value with its meter or the reason why there is none; it reaches the rows
//! as that, never as a zero.
//!
//! Pins and meters arrive with capture from real devices; until then every row
//! says that no meter is there.
