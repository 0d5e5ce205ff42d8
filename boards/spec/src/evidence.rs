//! What a machine shows of its parts without being asked: names and files.

use crate::board::wrong;
use afferent_media::{Code, Error, Result};
use glob::Pattern;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::io::Read;
use std::path::{Path, PathBuf};

/// The most bytes of one file of a machine that are read: `/proc/cpuinfo` of a
/// machine of many cores has some hundred thousand.
const MAX_BYTES: u64 = 1 << 20;

/// The most paths that one pattern may find.
const MAX_PATHS: usize = 4096;

/// The most parts of a path that may have wild characters: folders of sysfs link to
/// each other, so that a few more would look at everything again and again.
const MAX_WILD_PARTS: usize = 3;

/// One thing that shows a part. In names `*` stands for any characters and `?`
/// for one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
#[non_exhaustive]
pub enum Evidence {
    /// A V4L2 device of this name, of `/sys/class/video4linux/*/name`.
    Video4linux(String),
    /// A V4L2 device that this kernel driver serves.
    Video4linuxDriver(String),
    /// A sound card of this ALSA driver that can record, of `/proc/asound/cards`
    /// and `/proc/asound/pcm`.
    AlsaCapture(String),
    /// A hwmon chip, or one thing of it.
    Hwmon(Hwmon),
    /// A thermal zone of this type, of `/sys/class/thermal/*/type`.
    ThermalZone(String),
    /// A GPIO chip with this string in its device tree node's `compatible`.
    Gpiochip(String),
    /// A file or folder of this path. It is not opened.
    File(String),
}

/// A hwmon chip, or one thing of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Hwmon {
    /// Its name, of `/sys/class/hwmon/*/name`.
    pub chip: String,
    /// One of its labels, of the `*_label` beside the name.
    pub label: Option<String>,
    /// A file beside the name.
    pub attribute: Option<String>,
}

impl fmt::Display for Evidence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Video4linux(name) => write!(f, "a V4L2 device called `{name}`"),
            Self::Video4linuxDriver(driver) => write!(f, "a V4L2 device of the driver `{driver}`"),
            Self::AlsaCapture(driver) => write!(f, "a recording sound card of the driver `{driver}`"),
            Self::Hwmon(Hwmon { chip, label, attribute }) => {
                write!(f, "a hwmon chip `{chip}`")?;
                label.iter().try_for_each(|label| write!(f, " with a channel `{label}`"))?;
                attribute.iter().try_for_each(|attribute| write!(f, " with `{attribute}`"))
            }
            Self::ThermalZone(kind) => write!(f, "a thermal zone `{kind}`"),
            Self::Gpiochip(compatible) => write!(f, "a GPIO chip `{compatible}`"),
            Self::File(path) => f.write_str(path),
        }
    }
}

impl Evidence {
    /// Whether every name and path of it can be looked for.
    pub(crate) fn validate(&self) -> Result<()> {
        let names: Vec<&String> = match self {
            Self::Video4linux(name)
            | Self::Video4linuxDriver(name)
            | Self::AlsaCapture(name)
            | Self::ThermalZone(name)
            | Self::Gpiochip(name) => vec![name],
            Self::Hwmon(Hwmon { chip, label, attribute }) => {
                if attribute.as_ref().is_some_and(|name| name.contains('/')) {
                    return Err(wrong(format!("{self}: an attribute is a file's name, not a path")));
                }
                [Some(chip), label.as_ref(), attribute.as_ref()].into_iter().flatten().collect()
            }
            Self::File(path) => {
                if !path.starts_with('/') || path.split('/').any(|part| part == "..") {
                    return Err(wrong(format!("`{path}` is no absolute path without `..`")));
                }
                let wild = path.split('/').filter(|part| part.contains(['*', '?', '['])).count();
                if wild > MAX_WILD_PARTS || path.contains("**") {
                    return Err(wrong(format!(
                        "`{path}` has `**`, or wild characters in more than {MAX_WILD_PARTS} parts"
                    )));
                }
                vec![path]
            }
        };
        for name in names {
            if name.is_empty() {
                return Err(wrong(format!("{self}: the name is empty")));
            }
            Pattern::new(name).map_err(|e| wrong(format!("`{name}` is no pattern: {e}")))?;
        }
        Ok(())
    }

    /// Where `machine` shows it, if it does.
    pub(crate) fn look(&self, machine: &Machine) -> Option<String> {
        match self {
            Self::Video4linux(name) => machine.says("/sys/class/video4linux/*/name", name),
            Self::Video4linuxDriver(driver) => {
                let events = "/sys/class/video4linux/*/device/uevent";
                machine.find(events, |text| {
                    text.lines().filter_map(|line| line.strip_prefix("DRIVER=")).any(|name| matches(driver, name))
                })
            }
            Self::AlsaCapture(driver) => {
                let (cards, pcm) = (machine.read("/proc/asound/cards")?, machine.read("/proc/asound/pcm")?);
                cards
                    .lines()
                    .filter_map(Card::parse)
                    .find(|card| matches(driver, card.driver) && card.records(&pcm))
                    .map(|card| format!("/proc/asound/cards has card {}, {}: {}", card.number, card.driver, card.title))
            }
            Self::Hwmon(Hwmon { chip, label, attribute }) => machine
                .paths("/sys/class/hwmon/*")
                .into_iter()
                .filter(|folder| machine.read(&format!("{folder}/name")).is_some_and(|name| matches(chip, &name)))
                .find_map(|folder| {
                    if let Some(label) = label {
                        return machine.says(&format!("{folder}/*_label"), label);
                    }
                    let Some(attribute) = attribute else { return Some(format!("{folder}/name says {chip}")) };
                    machine.paths(&format!("{folder}/{attribute}")).pop()
                }),
            Self::ThermalZone(kind) => machine.says("/sys/class/thermal/*/type", kind),
            Self::Gpiochip(compatible) => machine.find("/sys/bus/gpio/devices/*/of_node/compatible", |text| {
                text.split('\0').any(|own| matches(compatible, own))
            }),
            Self::File(path) => machine.paths(path).into_iter().next(),
        }
    }
}

/// A sound card, as `/proc/asound/cards` has it:
/// ` 1 [Device         ]: USB-Audio - USB PnP Sound Device`.
struct Card<'a> {
    number: u32,
    driver: &'a str,
    title: &'a str,
}

impl<'a> Card<'a> {
    fn parse(line: &'a str) -> Option<Self> {
        let (number, rest) = line.split_once('[')?;
        let (driver, title) = rest.split_once("]: ")?.1.split_once(" - ")?;
        Some(Self { number: number.trim().parse().ok()?, driver: driver.trim(), title: title.trim() })
    }

    /// Whether `/proc/asound/pcm` has a recording device of it:
    /// `01-00: USB Audio : USB Audio : playback 1 : capture 1`.
    fn records(&self, pcm: &str) -> bool {
        pcm.lines().filter_map(|line| line.split_once('-')).any(|(card, rest)| {
            card.trim().parse() == Ok(self.number) && rest.split(" : ").any(|part| part.starts_with("capture"))
        })
    }
}

fn matches(pattern: &str, text: &str) -> bool {
    Pattern::new(pattern).is_ok_and(|pattern| pattern.matches(text))
}

/// A machine, or the tree of files that was recorded of one. Paths begin with
/// `/` and are relative to its root.
pub(crate) struct Machine {
    root: String,
}

impl Machine {
    /// The machine whose files are under `root`.
    ///
    /// # Errors
    /// [`Code::NotFound`] or [`Code::Config`] if that is no folder with a name in
    /// UTF-8.
    pub(crate) fn at(root: &Path) -> Result<Self> {
        let place = || format!("the machine's root {}", root.display());
        if !std::fs::metadata(root).map_err(|e| Error::io(place(), e))?.is_dir() {
            return Err(Error::new(Code::Config, format!("{} is no folder", place()), "name a folder"));
        }
        let text = root
            .to_str()
            .ok_or_else(|| Error::new(Code::Config, format!("{} is not UTF-8", place()), "rename the folder"))?;
        Ok(Self { root: text.trim_end_matches('/').to_owned() })
    }

    /// The text of a file without white space and NULs around it, if it can be read.
    pub(crate) fn read(&self, path: &str) -> Option<String> {
        let path = PathBuf::from(format!("{}{path}", self.root));
        // Something else, a pipe for example, could make the reader wait for ever.
        if !std::fs::metadata(&path).ok()?.is_file() {
            return None;
        }
        let mut bytes = Vec::new();
        std::fs::File::open(path).ok()?.take(MAX_BYTES).read_to_end(&mut bytes).ok()?;
        Some(String::from_utf8_lossy(&bytes).trim_matches(|c: char| c.is_whitespace() || c == '\0').to_owned())
    }

    /// The paths that `pattern` matches, in order.
    fn paths(&self, pattern: &str) -> Vec<String> {
        let full = format!("{}{pattern}", Pattern::escape(&self.root));
        let Ok(found) = glob::glob(&full) else { return Vec::new() };
        let strip = |path: PathBuf| Some(path.to_str()?.strip_prefix(&self.root)?.to_owned());
        found.take(MAX_PATHS).filter_map(|path| strip(path.ok()?)).collect()
    }

    /// The first file of `pattern` whose text `fits`, as a sentence.
    fn find(&self, pattern: &str, fits: impl Fn(&str) -> bool) -> Option<String> {
        self.paths(pattern).into_iter().find_map(|path| {
            let text = self.read(&path)?;
            fits(&text).then(|| format!("{path} says {}", text.replace(['\n', '\0'], " ")))
        })
    }

    /// The first file of `pattern` whose whole text is `name`, as a sentence.
    fn says(&self, pattern: &str, name: &str) -> Option<String> {
        self.find(pattern, |text| matches(name, text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A machine of these files.
    fn machine(files: &[(&str, &str)]) -> (tempfile::TempDir, Machine) {
        let folder = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = folder.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        let machine = Machine::at(folder.path()).unwrap();
        (folder, machine)
    }

    #[test]
    fn a_card_that_only_plays_is_no_microphone() {
        let cards = " 0 [vc4hdmi0       ]: vc4-hdmi - vc4-hdmi-0\n                      vc4-hdmi-0\n \
                     1 [Device         ]: USB-Audio - USB PnP Sound Device\n                      C-Media\n";
        let seen = |pcm| {
            let (_folder, machine) = machine(&[("proc/asound/cards", cards), ("proc/asound/pcm", pcm)]);
            Evidence::AlsaCapture("USB-Audio".into()).look(&machine)
        };
        assert_eq!(seen("00-00: MAI : : playback 1\n01-00: USB Audio : USB Audio : playback 1\n"), None);
        let text = seen("01-00: USB Audio : USB Audio : playback 1 : capture 1\n").unwrap();
        assert_eq!(text, "/proc/asound/cards has card 1, USB-Audio: USB PnP Sound Device");
        assert_eq!(seen("00-00: MAI : : capture 1\n"), None);
    }

    #[test]
    fn names_are_patterns_and_match_as_a_whole() {
        let (_folder, machine) = machine(&[
            ("sys/class/video4linux/video0/name", "vi-output, imx219 9-0010\n"),
            ("sys/class/video4linux/video11/name", "bcm2835-codec-encode_image\n"),
        ]);
        let seen = |name: &str| Evidence::Video4linux(name.into()).look(&machine);
        assert_eq!(seen("vi-output, *").unwrap(), "/sys/class/video4linux/video0/name says vi-output, imx219 9-0010");
        assert_eq!(seen("bcm2835-codec-encode"), None);
    }

    #[test]
    fn a_channel_belongs_to_its_chip() {
        let (_folder, machine) = machine(&[
            ("sys/class/hwmon/hwmon0/name", "ina238\n"),
            ("sys/class/hwmon/hwmon0/in1_label", "VDD_IN\n"),
            ("sys/class/hwmon/hwmon1/name", "ina3221\n"),
            ("sys/class/hwmon/hwmon1/in2_label", "VDD_SOC\n"),
        ]);
        let seen = |label: &str| {
            let (chip, label) = ("ina3221".into(), Some(label.into()));
            Evidence::Hwmon(Hwmon { chip, label, attribute: None }).look(&machine)
        };
        assert_eq!(seen("VDD_IN"), None);
        assert!(seen("VDD_SOC").unwrap().contains("hwmon1/in2_label"));
    }

    #[test]
    fn a_root_with_wild_characters_is_a_folder_like_any_other() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("a[b]*");
        std::fs::create_dir_all(root.join("sys/class/leds/ACT")).unwrap();
        let machine = Machine::at(&root).unwrap();
        assert_eq!(Evidence::File("/sys/class/leds/A*".into()).look(&machine).unwrap(), "/sys/class/leds/ACT");
    }

    #[test]
    fn bytes_that_are_no_text_do_no_harm() {
        let (folder, machine) = machine(&[]);
        std::fs::create_dir_all(folder.path().join("proc/asound")).unwrap();
        std::fs::write(folder.path().join("proc/asound/cards"), [0xff, b'[', 0, b']', b':', b' ']).unwrap();
        std::fs::write(folder.path().join("proc/asound/pcm"), [b'-'; 5000]).unwrap();
        assert_eq!(Evidence::AlsaCapture("*".into()).look(&machine), None);
        assert_eq!(machine.read("/proc/asound"), None);
    }

    #[test]
    fn what_cannot_be_looked_for_is_refused() {
        let refused = |evidence: Evidence| evidence.validate().unwrap_err().to_string();
        assert!(refused(Evidence::File("sys/x".into())).contains("no absolute path"));
        assert!(refused(Evidence::File("/sys/../etc".into())).contains("without `..`"));
        assert!(refused(Evidence::File("/sys/**/name".into())).contains("`**`"));
        assert!(refused(Evidence::File("/*/*/*/*".into())).contains("more than 3 parts"));
        let channel = Hwmon { chip: "c".into(), label: None, attribute: Some("../x".into()) };
        assert!(refused(Evidence::Hwmon(channel)).contains("not a path"));
        assert!(refused(Evidence::Video4linux(String::new())).contains("empty"));
        assert!(refused(Evidence::ThermalZone("a[".into())).contains("no pattern"));
    }
}
