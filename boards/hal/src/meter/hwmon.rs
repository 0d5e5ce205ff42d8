//! Meters that a kernel driver reads: `Documentation/hwmon/sysfs-interface`.

use super::{Meter, drawn};
use crate::reading::Missing;
use crate::sysfs::Root;
use std::path::PathBuf;

const CLASS: &str = "/sys/class/hwmon";
/// Channels that are looked at for a label.
const CHANNELS: u32 = 16;

enum Rail {
    /// `power*_input`, microwatts.
    Power(PathBuf),
    /// `in*_input`, millivolts, and `curr*_input` of the same number, milliamperes.
    Product { voltage: PathBuf, current: PathBuf },
}

/// Rails of hwmon chips, summed.
pub struct Hwmon {
    root: Root,
    rails: Vec<Rail>,
    name: String,
}

impl Hwmon {
    /// The rails labelled `rails` of the chips whose `name` is `chip`. Several
    /// chips may have one name, as on a Jetson AGX Orin: each rail is taken from
    /// the one that has its label.
    ///
    /// # Errors
    /// `None` if no chip has the name or no rail the label.
    pub fn new(root: &Root, chip: &str, rails: &[String]) -> Result<Self, Missing> {
        let folders = root.find(CLASS, "name", chip)?;
        let labelled = |label: &String| {
            let places = folders.iter().flat_map(|folder| (0..CHANNELS).map(move |number| (folder, number)));
            for (folder, n) in places {
                let says = |file: String| root.text(folder.join(file)).is_ok_and(|text| text == *label);
                if says(format!("power{n}_label")) {
                    return Ok(Rail::Power(folder.join(format!("power{n}_input"))));
                }
                let current = folder.join(format!("curr{n}_input"));
                // A label may be of a voltage without a current.
                if says(format!("in{n}_label")) && root.path(&current).exists() {
                    return Ok(Rail::Product { voltage: folder.join(format!("in{n}_input")), current });
                }
            }
            Err(Missing::none(
                format!("no rail of the hwmon chip `{chip}` has the label `{label}`, or it has no current"),
                format!("check the label: `grep . {CLASS}/*/*_label` on the board lists what is there"),
            ))
        };
        Ok(Self {
            root: root.clone(),
            rails: rails.iter().map(labelled).collect::<Result<_, _>>()?,
            name: format!("hwmon {chip}"),
        })
    }
}

impl Meter for Hwmon {
    fn microwatts(&mut self) -> Result<u64, Missing> {
        let mut sum: i64 = 0;
        for rail in &self.rails {
            let power = match rail {
                Rail::Power(power) => self.root.number(power)?,
                Rail::Product { voltage, current } => {
                    let (voltage, current): (i32, i32) = (self.root.number(voltage)?, self.root.number(current)?);
                    i64::from(voltage) * i64::from(current)
                }
            };
            sum = sum.saturating_add(power);
        }
        drawn(&self.name, sum)
    }
}
