//! The status LED: what it shows, and how it is lit.

use crate::reading::Missing;
use crate::sysfs::Root;
use embedded_hal::digital::{Error as _, ErrorKind, ErrorType, OutputPin};
use gpiocdev::line::Value;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Which LED.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase", deny_unknown_fields)]
pub enum LedConfig {
    /// An LED that the kernel knows, by its name in `/sys/class/leds`, for
    /// example `ACT`. The kernel's own use of it ends.
    Class {
        /// The name.
        name: String,
    },
    /// An LED at a GPIO line.
    Line {
        /// The chip, for example `/dev/gpiochip0`.
        chip: PathBuf,
        /// The line's number on the chip.
        line: u32,
        /// Whether the LED is lit when the line is low.
        #[serde(default)]
        active_low: bool,
    },
}

/// What the LED says, in rising order of urgency.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Status {
    /// All is well: a short flash every two seconds.
    Capturing,
    /// The server is not reached: two short flashes every two seconds.
    NoLink,
    /// The spool fills: half a second lit, half a second dark.
    SpoolFilling,
    /// A person is needed: a tenth of a second lit, a tenth dark.
    Error,
}

impl Status {
    /// For how long the LED is lit, dark, lit, ... before that begins anew; milliseconds.
    const fn pattern(self) -> &'static [u64] {
        match self {
            Self::Capturing => &[50, 1950],
            Self::NoLink => &[50, 200, 50, 1700],
            Self::SpoolFilling => &[500, 500],
            Self::Error => &[100, 100],
        }
    }

    /// Whether the LED is lit `shown` after this status was first shown, and how
    /// long that stays so.
    #[must_use]
    pub fn lit(self, shown: Duration) -> (bool, Duration) {
        let whole: u64 = self.pattern().iter().sum();
        let mut rest = u64::try_from(shown.as_micros()).unwrap_or(u64::MAX) % (whole * 1000);
        let mut lit = true;
        for step in self.pattern() {
            if rest < step * 1000 {
                return (lit, Duration::from_micros(step * 1000 - rest));
            }
            rest -= step * 1000;
            lit = !lit;
        }
        // Not reached: `rest` is below the sum of the steps.
        (false, Duration::from_millis(whole))
    }
}

/// Shows a status on a pin. Time is passed in. The LED is dark once this is dropped.
pub struct StatusLed<P: OutputPin> {
    pin: P,
    /// What is shown since when, and whether it is lit.
    shown: Option<(Status, Duration)>,
    lit: Option<bool>,
}

impl<P: OutputPin> StatusLed<P> {
    /// A status LED on `pin`, which is high when lit.
    pub fn new(pin: P) -> Self {
        Self { pin, shown: None, lit: None }
    }

    /// Shows `status` at `now`; how long it may be until the next call.
    ///
    /// # Errors
    /// `Failed` if the pin cannot be set; it is tried again at the next call.
    pub fn show(&mut self, status: Status, now: Duration) -> Result<Duration, Missing> {
        let since = match self.shown {
            Some((shown, since)) if shown == status => since,
            _ => now,
        };
        self.shown = Some((status, since));
        let (lit, stays) = status.lit(now.saturating_sub(since));
        if self.lit != Some(lit) {
            self.lit = None;
            self.pin.set_state(lit.into()).map_err(|error| {
                Missing::failed(format!("the status LED cannot be set: {}", error.kind()), "see the kernel's log")
            })?;
            self.lit = Some(lit);
        }
        Ok(stays)
    }
}

impl<P: OutputPin> Drop for StatusLed<P> {
    fn drop(&mut self) {
        // An LED that stays lit would say what is no longer so.
        let _ = self.pin.set_low();
    }
}

/// An LED's pin.
pub enum LedPin {
    /// Of the kernel's LED class.
    Class(ClassLed),
    /// At a GPIO line.
    Line(gpiocdev_embedded_hal::OutputPin),
}

/// An LED of the kernel's class as a pin.
pub struct ClassLed {
    root: Root,
    brightness: PathBuf,
    highest: String,
}

/// Why a pin could not be set.
#[derive(Debug)]
pub struct PinError(String);

impl fmt::Display for PinError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl embedded_hal::digital::Error for PinError {
    fn kind(&self) -> ErrorKind {
        ErrorKind::Other
    }
}

impl ErrorType for LedPin {
    type Error = PinError;
}

impl LedPin {
    fn set(&mut self, lit: bool) -> Result<(), PinError> {
        match self {
            Self::Class(led) => {
                let text = if lit { &led.highest } else { "0" };
                led.root.write(&led.brightness, text).map_err(|missing| PinError(missing.what))
            }
            Self::Line(pin) => pin.set_state(lit.into()).map_err(|error| PinError(error.to_string())),
        }
    }
}

impl OutputPin for LedPin {
    fn set_low(&mut self) -> Result<(), PinError> {
        self.set(false)
    }

    fn set_high(&mut self) -> Result<(), PinError> {
        self.set(true)
    }
}

impl LedConfig {
    /// The LED's pin, dark.
    ///
    /// # Errors
    /// `None` if there is no such LED, chip or line, `NoAccess` if a permission
    /// is missing, /sys is mounted read-only or the line is in use.
    pub fn open(&self, root: &Root) -> Result<LedPin, Missing> {
        match self {
            Self::Class { name } => {
                if name.is_empty() || name.contains('/') || name.starts_with('.') {
                    return Err(Missing::none(format!("`{name}` is no LED"), "name it as in /sys/class/leds"));
                }
                let folder = Path::new("/sys/class/leds").join(name);
                let highest: u32 = root.number(folder.join("max_brightness"))?;
                let brightness = folder.join("brightness");
                // The kernel's own use of the LED would go on blinking it.
                let trigger = folder.join("trigger");
                if root.path(&trigger).exists() {
                    root.write(&trigger, "none")?;
                }
                root.write(&brightness, "0")?;
                Ok(LedPin::Class(ClassLed { root: root.clone(), brightness, highest: highest.to_string() }))
            }
            Self::Line { chip, line, active_low } => {
                let mut builder = gpiocdev::Request::builder();
                builder.on_chip(root.path(chip)).with_consumer("afferent").with_line(*line);
                if *active_low {
                    builder.as_active_low();
                }
                let request = builder.as_output(Value::Inactive).request();
                let request = request.map_err(|e| crate::trigger::line_missing(root, chip, *line, &e))?;
                gpiocdev_embedded_hal::OutputPin::try_from(request)
                    .map(LedPin::Line)
                    .map_err(|e| Missing::failed(format!("{}: line {line}: {e}", chip.display()), "use another line"))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use embedded_hal_mock::eh1::MockError;
    use embedded_hal_mock::eh1::digital::{Mock, State, Transaction};

    const fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn each_status_has_its_pattern() {
        let flashes = |status: Status| {
            let (mut at, mut seen) = (Duration::ZERO, Vec::new());
            while at < ms(2000) {
                let (lit, stays) = status.lit(at);
                assert!(!stays.is_zero());
                seen.extend(lit.then(|| u64::try_from(at.as_millis()).unwrap()));
                at += stays;
            }
            seen
        };
        assert_eq!(flashes(Status::Capturing), [0]);
        assert_eq!(flashes(Status::NoLink), [0, 250]);
        assert_eq!(flashes(Status::SpoolFilling), [0, 1000]);
        assert_eq!(flashes(Status::Error).len(), 10);
        assert_eq!(Status::Capturing.lit(ms(4060)), (false, ms(1940)));
        assert!(Status::Error > Status::SpoolFilling && Status::NoLink > Status::Capturing);
    }

    #[test]
    fn the_pin_is_set_only_where_the_pattern_changes() {
        let high = Transaction::set(State::High);
        let low = Transaction::set(State::Low);
        let fails = Transaction::set(State::High).with_error(MockError::Io(std::io::ErrorKind::Other));
        let mut pin = Mock::new(&[high.clone(), low.clone(), fails, high, low.clone(), low]);
        let mut led = StatusLed::new(pin.clone());
        assert_eq!(led.show(Status::Capturing, ms(10_000)).unwrap(), ms(50));
        assert_eq!(led.show(Status::Capturing, ms(10_010)).unwrap(), ms(40));
        assert_eq!(led.show(Status::Capturing, ms(10_050)).unwrap(), ms(1950));
        // Another status begins its own pattern; a pin that fails is tried again.
        led.show(Status::Error, ms(10_500)).unwrap_err();
        assert_eq!(led.show(Status::Error, ms(10_510)).unwrap(), ms(90));
        assert_eq!(led.show(Status::Error, ms(10_610)).unwrap(), ms(90));
        drop(led);
        pin.done();
    }
}
