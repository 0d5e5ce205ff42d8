//! What a sweep is asked to measure: data × codecs × presets × knobs × sizes × models.
//!
//! ```toml
//! zoo = "my-models.toml"                 # models of one's own, beside the built-in ones
//! models = ["efficientnet-lite0"]        # of every data set that names none
//! metrics = ["psnr", "ssim", "ms-ssim"]  # the default; distortion against the pristine sample
//!
//! agreement = true                       # models see the pristine samples too
//!
//! [[data]]
//! path = "$AFFERENT_DATA/images/kodak"   # environment variables are replaced
//! kind = "kodak"                         # by default the first layout that is recognised
//! name = "kodak"                         # by default what the adapter calls it
//! split = "heldout"                      # only this part of it
//! limit = 100                            # at most so many samples, evenly spread
//! models = ["fastestdet"]                # instead of the plan's
//!
//! [[codec]]
//! id = "jpeg"
//! presets = ["420-optimised"]            # by default the codec's first
//! knobs = [5, 10, 25, 50, 75, 95]        # by default the codec's three points
//! resize = ["none", "1/2"]               # by default none
//!
//! [[codec]]
//! id = "optic"
//! synthesis = ["linear", "faithful"]     # what decodes; by default faithful
//! ```
//!
//! The source's own files are an operating point too: codec `source`, whose rate
//! is their size.

use afferent_codec::{Registry, Resize, Settings};
use afferent_measure::row::coder;
use afferent_media::{Code, Error, Modality, Result};
use afferent_runtime::synthesis;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// The most bytes of a plan that are read.
const MAX_PLAN_BYTES: u64 = 1 << 20;

/// Metrics of distortion that a plan may ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Metric {
    /// Peak signal-to-noise ratio over RGB and over luma.
    Psnr,
    /// Structural similarity.
    Ssim,
    /// Multi-scale structural similarity.
    MsSsim,
    /// Shift-tolerant LPIPS: a network, and by far the slowest.
    StLpips,
}

/// One data set of a plan.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Data {
    /// Folder, manifest or Parquet file.
    pub path: String,
    /// Layout.
    pub kind: Option<String>,
    /// What rows call it.
    pub name: Option<String>,
    /// Only this part of it.
    pub split: Option<String>,
    /// At most so many samples, evenly spread over the set's order.
    pub limit: Option<usize>,
    /// Models that perceive it, instead of the plan's.
    pub models: Option<Vec<String>>,
    /// Metrics of its samples, instead of the plan's.
    pub metrics: Option<Vec<Metric>>,
}

/// One codec of a plan.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Codec {
    /// Codec id.
    pub id: String,
    /// Presets; the codec's first where absent.
    pub presets: Option<Vec<String>>,
    /// Positions of its knob; its three points where absent.
    pub knobs: Option<Vec<f32>>,
    /// Sizes at which images are coded.
    #[serde(default = "as_they_are")]
    pub resize: Vec<Resize>,
    /// What decodes, of a codec that leaves the choice; one bitstream, as many points.
    pub synthesis: Option<Vec<String>>,
}

fn as_they_are() -> Vec<Resize> {
    vec![Resize::NONE]
}

/// A sweep, as its file says.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Plan {
    /// Zoo file of the user's, with models beside the built-in ones.
    pub zoo: Option<String>,
    /// Models of every data set that names none.
    #[serde(default)]
    pub models: Vec<String>,
    /// Metrics of every data set that names none.
    #[serde(default = "cheap")]
    pub metrics: Vec<Metric>,
    /// Whether models see the pristine samples too, so that rows have agreement.
    #[serde(default = "yes")]
    pub agreement: bool,
    /// Data sets.
    pub data: Vec<Data>,
    /// Codecs.
    pub codec: Vec<Codec>,
}

fn yes() -> bool {
    true
}

fn cheap() -> Vec<Metric> {
    vec![Metric::Psnr, Metric::Ssim, Metric::MsSsim]
}

/// One operating point of a plan.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Point {
    /// Codec id.
    pub codec: String,
    /// Preset by name.
    pub preset: String,
    /// Knob in the codec's native unit.
    pub knob: Option<f32>,
    /// Size at which the sample is coded.
    pub resize: Resize,
    /// What decodes, of a codec that leaves the choice.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub synthesis: Option<String>,
}

impl Point {
    /// What the point's packets are called on their way: with the synthesis, which is
    /// chosen by this name.
    #[must_use]
    pub(super) fn stream_name(&self) -> String {
        format!("{} {} {}", coder(&self.codec, self.synthesis.as_deref()), self.preset, self.resize)
    }

    /// The codec's settings at this point.
    #[must_use]
    pub fn settings(&self) -> Settings {
        Settings { preset: Some(self.preset.clone()), knob: self.knob, resize: self.resize }
    }
}

impl Plan {
    /// Reads the plan at `path`, replacing environment variables in its paths;
    /// relative paths are relative to the plan.
    ///
    /// # Errors
    /// [`Code::NotFound`] or [`Code::Io`] if it cannot be read, [`Code::Limit`] if
    /// it is too long, [`Code::Config`] naming line and key if it is wrong.
    pub fn open(path: &Path) -> Result<Self> {
        let place = path.display();
        let failed = |e| Error::io(format!("plan {place}"), e);
        if std::fs::metadata(path).map_err(failed)?.len() > MAX_PLAN_BYTES {
            return Err(Error::new(Code::Limit, format!("plan {place} is too long"), "split it"));
        }
        let text = std::fs::read_to_string(path).map_err(failed)?;
        Self::parse(&text, path.parent().unwrap_or(Path::new(""))).map_err(|e| e.at(format!("plan {place}")))
    }

    /// Parses a plan whose relative paths are relative to `folder`.
    fn parse(text: &str, folder: &Path) -> Result<Self> {
        let wrong =
            |what: String| Error::new(Code::Config, what, "`afferent bench plan` prints one with every key explained");
        let mut plan: Self = toml::from_str(text).map_err(|e| {
            let line = e.span().map_or(0, |span| text[..span.start.min(text.len())].matches('\n').count());
            wrong(format!("line {}: {}", line + 1, e.message().trim()))
        })?;
        if plan.data.is_empty() || plan.codec.is_empty() {
            return Err(wrong("a plan needs at least one [[data]] and one [[codec]]".to_owned()));
        }
        let place = |path: &str| -> Result<String> { Ok(folder.join(expand(path)?).to_string_lossy().into_owned()) };
        plan.zoo = plan.zoo.as_deref().map(place).transpose()?;
        for data in &mut plan.data {
            data.path = place(&data.path)?;
            if data.limit == Some(0) {
                return Err(wrong(format!("`limit` of {} is 0", data.path)));
            }
        }
        Ok(plan)
    }

    /// Every operating point of images, in the order of the plan.
    ///
    /// # Errors
    /// Those of the registry and of the codecs' settings; [`Code::Config`] if a
    /// point comes twice, or a codec is not of images.
    pub fn points(&self, registry: &Registry) -> Result<Vec<Point>> {
        let mut points: Vec<Point> = Vec::new();
        for codec in &self.codec {
            let descriptor = registry.get(&codec.id)?.descriptor();
            if descriptor.modality != Modality::Image {
                return Err(Error::new(
                    Code::Unsupported,
                    format!("{} codes {}, and sweeps are of images", codec.id, descriptor.modality),
                    "name codecs of images (`afferent codecs` lists them)",
                ));
            }
            let presets = codec.presets.clone().unwrap_or_else(|| vec![descriptor.presets[0].to_owned()]);
            let knobs: Vec<Option<f32>> = match (&codec.knobs, descriptor.knob) {
                (Some(knobs), _) => knobs.iter().copied().map(Some).collect(),
                (None, Some(knob)) => knob.points.into_iter().map(Some).collect(),
                (None, None) => vec![None],
            };
            let syntheses: Vec<Option<String>> = match (&codec.synthesis, descriptor.synthesis) {
                (Some(syntheses), true) => syntheses.iter().cloned().map(Some).collect(),
                (None, true) => vec![Some(synthesis::DEFAULT.to_owned())],
                (None, false) => vec![None],
                (Some(_), false) => {
                    return Err(Error::new(
                        Code::Config,
                        format!("{} decodes in one way only", codec.id),
                        "leave `synthesis` out",
                    ));
                }
            };
            let sizes =
                codec.resize.iter().flat_map(|resize| syntheses.iter().map(move |synthesis| (resize, synthesis)));
            for (resize, synthesis) in sizes {
                for preset in &presets {
                    for &knob in &knobs {
                        let point = Point {
                            codec: codec.id.clone(),
                            preset: preset.clone(),
                            knob,
                            resize: *resize,
                            synthesis: synthesis.clone(),
                        };
                        point.settings().resolve(descriptor)?;
                        if points.contains(&point) {
                            return Err(Error::new(
                                Code::Config,
                                format!("the plan has {} at {knob:?} twice", point.stream_name()),
                                "name each operating point once",
                            ));
                        }
                        points.push(point);
                    }
                }
            }
        }
        Ok(points)
    }
}

/// `text` with `$NAME` at its beginning replaced by that environment variable.
fn expand(text: &str) -> Result<PathBuf> {
    let Some(rest) = text.strip_prefix('$') else { return Ok(PathBuf::from(text)) };
    let (name, rest) = rest.split_once('/').unwrap_or((rest, ""));
    let value = std::env::var_os(name).filter(|value| !value.is_empty()).ok_or_else(|| {
        Error::new(
            Code::Config,
            format!("`{text}`: the environment variable {name} is not set"),
            format!("set {name} to the folder"),
        )
    })?;
    let value = PathBuf::from(value);
    Ok(if rest.is_empty() { value } else { value.join(rest) })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Plan> {
        Plan::parse(text, Path::new("/plans"))
    }

    #[test]
    fn a_plan_becomes_its_points() {
        let registry = afferent_codec_conventional::registry();
        let plan = parse(
            "[[data]]\npath = 'here'\n[[codec]]\nid = 'png'\n[[codec]]\nid = 'jpeg'\npresets = ['420', '444']\n\
             knobs = [5, 50]\nresize = ['none', '1/2', '1/4']\n",
        )
        .unwrap();
        assert_eq!(plan.data[0].path, "/plans/here");
        let points = plan.points(&registry).unwrap();
        assert_eq!(points.len(), 1 + 3 * 2 * 2);
        let png =
            Point { codec: "png".into(), preset: "fast".into(), knob: None, resize: Resize::NONE, synthesis: None };
        assert_eq!(points[0], png);
        assert_eq!(points[12].resize.to_string(), "1/4");
        let known = serde_json::to_value(&png).unwrap();
        assert_eq!(known.as_object().unwrap().len(), 4, "plans without a synthesis are what they were: {known}");
    }

    #[test]
    fn one_bitstream_is_as_many_points_as_ways_to_decode_it() {
        let points = |synthesis: &str| {
            let plan = parse(&format!("[[data]]\npath = 'x'\n[[codec]]\nid = 'optic'\nknobs = [5, 40]\n{synthesis}"));
            plan.unwrap().points(&afferent_agent::registry()).unwrap()
        };
        let names = |points: Vec<Point>| points.iter().map(Point::stream_name).collect::<Vec<_>>();
        assert_eq!(names(points("")), ["optic/faithful rdo none"; 2]);
        let all = names(points("synthesis = ['linear', 'generative']"));
        assert_eq!(all.len(), 4);
        assert_eq!((all[0].as_str(), all[3].as_str()), ("optic/linear rdo none", "optic/generative rdo none"));
    }

    #[test]
    fn mistakes_are_named() {
        let registry = afferent_codec_conventional::registry();
        let codec = "[[data]]\npath = 'x'\n[[codec]]\nid = 'jpeg'\n";
        for (text, says) in [
            ("[[data]]\npath = 'x'\n".to_owned(), "codec"),
            ("[[data]]\npath = '$AFFERENT_NO_SUCH'\n[[codec]]\nid = 'png'\n".to_owned(), "AFFERENT_NO_SUCH"),
            (format!("{codec}knob = [5]\n"), "line 5"),
            (format!("{codec}knobs = [5, 5]\n"), "twice"),
            (format!("{codec}knobs = [500]\n"), "quality = 500"),
            (format!("{codec}presets = ['best']\n"), "best"),
            (format!("{codec}resize = ['2/1']\n"), "2/1"),
            (format!("{codec}synthesis = ['linear']\n"), "one way only"),
            ("[[data]]\npath = 'x'\n[[codec]]\nid = 'opus'\n".to_owned(), "audio"),
            ("[[data]]\npath = 'x'\nlimit = 0\n[[codec]]\nid = 'png'\n".to_owned(), "limit"),
        ] {
            let error = parse(&text).and_then(|plan| plan.points(&registry)).unwrap_err();
            assert!(error.to_string().contains(says), "{text}: {error}");
        }
    }
}
