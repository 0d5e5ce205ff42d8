//! The zoo: what is known of each model, as data.
//!
//! The built-in zoo is `models/zoo.toml`, compiled into the program together
//! with the small files it refers to; a user's own file of the same form may be
//! added. Every key is explained at the field that it fills. A user's model
//! needs few of them: `models/examples/own-classifier.toml` has ten lines.

use crate::digest::Sha256;
use afferent_media::{Code, Error, Preprocess, Result};
use serde::{Deserialize, Serialize};
use std::path::{Component, Path, PathBuf};

/// The most bytes of a zoo file that are read.
pub const MAX_ZOO_BYTES: u64 = 4 << 20;

const BUILT_IN: &str = include_str!("../../zoo.toml");

/// Small files compiled into the program, by the name that `embedded` sources use.
const EMBEDDED: &[(&str, &[u8])] = &[
    ("beans-lite0/graph.onnx", include_bytes!("../../zoo/beans-lite0/graph.onnx")),
    ("chest-xray-lite0/graph.onnx", include_bytes!("../../zoo/chest-xray-lite0/graph.onnx")),
    ("classes/camvid-11.txt", include_bytes!("../../zoo/classes/camvid-11.txt")),
    ("classes/camvid11.csv", include_bytes!("../../zoo/classes/camvid11.csv")),
    ("classes/camvid11-from-cityscapes.csv", include_bytes!("../../zoo/classes/camvid11-from-cityscapes.csv")),
    ("classes/mosaic-32.txt", include_bytes!("../../zoo/classes/mosaic-32.txt")),
    ("classes/mosaic32-from-ade20k150.csv", include_bytes!("../../zoo/classes/mosaic32-from-ade20k150.csv")),
    ("efficientnet-lite0/graph.onnx", include_bytes!("../../zoo/efficientnet-lite0/graph.onnx")),
    ("efficientnet-lite2/graph.onnx", include_bytes!("../../zoo/efficientnet-lite2/graph.onnx")),
    ("labels/beans-3.txt", include_bytes!("../../zoo/labels/beans-3.txt")),
    ("labels/chest-xray-2.txt", include_bytes!("../../zoo/labels/chest-xray-2.txt")),
    ("labels/coco-80.txt", include_bytes!("../../zoo/labels/coco-80.txt")),
    ("labels/imagenet-1k.txt", include_bytes!("../../zoo/labels/imagenet-1k.txt")),
    ("optic/faithful.onnx", include_bytes!("../../zoo/optic/faithful.onnx")),
    ("optic/generative.onnx", include_bytes!("../../zoo/optic/generative.onnx")),
    ("st-lpips-alex/graph.onnx", include_bytes!("../../zoo/st-lpips-alex/graph.onnx")),
];

/// Where bytes come from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
#[non_exhaustive]
pub enum Source {
    /// Compiled into the program.
    Embedded {
        /// Name under `models/zoo/`.
        file: String,
    },
    /// A file of the user's, relative to the zoo file that names it.
    File {
        /// Path of the file.
        path: PathBuf,
    },
    /// One member of a package, fetched by the registry's ordinary client.
    Registry(Package),
    /// A published file that no registry carries: the user puts it into the mirror.
    Mirror(Published),
}

/// A file that its publisher offers somewhere where no registry's client gets it.
/// It must lie in the mirror (`AFFERENT_MODELS`) as `NAME/FILE`, NAME being the model's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Published {
    /// File name.
    pub file: String,
    /// Where it is published, for people: host, project, version, path, and
    /// what was done to it since.
    pub origin: String,
    /// SHA-256 of the file; by default that of the model. Needed where there is
    /// a `graph`, because the model is then another file.
    pub sha256: Option<Sha256>,
}

/// One member of a pinned package of a registry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Package {
    /// Which registry.
    pub registry: Registry,
    /// Name of the package.
    pub package: String,
    /// Exact version.
    pub version: String,
    /// File name of the package's archive.
    pub file: String,
    /// SHA-256 of that archive.
    pub sha256: Sha256,
    /// Path of the wanted file inside the archive.
    pub member: String,
    /// SHA-256 of that file.
    pub member_sha256: Sha256,
}

impl Package {
    /// The last part of the member's path.
    #[must_use]
    pub fn member_name(&self) -> &str {
        self.member.rsplit('/').next().unwrap_or_default()
    }
}

/// A registry of packages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Registry {
    /// The Python Package Index, through pip. Wheels only: a source
    /// distribution runs code of its own when it is fetched.
    Pypi,
}

/// What a model does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Task {
    /// One class of several for a whole image.
    ImageClassification,
    /// One class of several for every pixel.
    ImageSegmentation,
    /// Boxes around things, each with a class and a score.
    ObjectDetection,
    /// How far a distorted image (`dist`) is from its reference (`ref`): one number.
    ImageSimilarity,
    /// A codec's latents and its linear inverse to a picture: part of a decoder.
    ImageSynthesis,
}

impl std::fmt::Display for Task {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::ImageClassification => "image-classification",
            Self::ImageSegmentation => "image-segmentation",
            Self::ObjectDetection => "object-detection",
            Self::ImageSimilarity => "image-similarity",
            Self::ImageSynthesis => "image-synthesis",
        })
    }
}

/// The length of one axis of a tensor.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Axis {
    /// Always this long.
    Fixed(usize),
    /// As long as the caller likes; the name says what it counts.
    Dynamic(String),
}

/// A named tensor that enters or leaves a network.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Port {
    /// Name in the ONNX graph.
    pub name: String,
    /// Axes, outermost first.
    pub shape: Vec<Axis>,
}

/// What the first output of a segmentation network holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum SegmentationOutput {
    /// A score per class and pixel, `[1, classes, height, width]`: the greatest wins.
    Logits,
    /// A class per pixel, `[1, height, width]`.
    Classes,
}

/// How a network's answer becomes a class per pixel that a reference can judge.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Segmentation {
    /// What the output holds.
    pub output: SegmentationOutput,
    /// Names of the classes that are compared, one per line in their order.
    pub classes: Source,
    /// From the network's classes to those that are compared; they are the
    /// same by default. A table in the form of `models/zoo/classes/*.csv`, which
    /// `measure` reads.
    pub prediction_map: Option<Source>,
    /// From the reference masks' values to the classes that are compared, likewise.
    pub reference_map: Option<Source>,
}

/// What a network's answer means as boxes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum DetectionDecoder {
    /// FastestDet: `[1, 5 + classes, rows, columns]`, for each cell whether
    /// something is there, four numbers of a box, and a score per class.
    #[serde(rename = "fastestdet")]
    FastestDet,
}

/// How a network's answer becomes boxes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Detection {
    /// What the answer means.
    pub decoder: DetectionDecoder,
    /// The least score of a box that is kept, from 0 to 1.
    pub score: f32,
    /// Of two boxes of one class whose intersection over union is above this,
    /// from 0 to 1, the one of the lower score is dropped.
    pub nms_iou: f32,
}

/// Whose bitstream a network turns into pictures, and in which manner.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Synthesis {
    /// Codec by id; its documentation has the network's contract.
    pub codec: String,
    /// What a user asks for it by: lower-case letters, digits and `-`, and not
    /// `linear`, which is the codec's own inverse without a network.
    pub flavour: String,
}

fn unstated() -> String {
    "unstated".to_owned()
}

/// SPDX for "nothing is said of it".
fn no_assertion() -> String {
    "NOASSERTION".to_owned()
}

/// What is known of one model.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelManifest {
    /// Name: lower-case letters, digits, `-`, `_` and `.`.
    pub name: String,
    /// What it does.
    pub task: Task,
    /// Version of the weights, as their publisher counts; `unstated` by default.
    #[serde(default = "unstated")]
    pub version: String,
    /// SPDX expression of the weights' licence; `NOASSERTION` by default.
    #[serde(default = "no_assertion")]
    pub licence: String,
    /// Data sets that the weights were trained on.
    #[serde(default)]
    pub trained_on: Vec<String>,
    /// SHA-256 of the ONNX file, after any assembly. Only a user's own `file`
    /// may go without; the store then fills in what it found.
    pub sha256: Option<Sha256>,
    /// Where the ONNX file comes from or, where there is a `graph`, the checkpoint.
    pub source: Source,
    /// An ONNX graph without weights (embedded or a file): the source is then a
    /// PyTorch state dict, whose tensors are poured into it.
    pub graph: Option<Source>,
    /// What goes in. The store fills it in from the ONNX file where it is empty.
    #[serde(default)]
    pub inputs: Vec<Port>,
    /// What comes out, likewise.
    #[serde(default)]
    pub outputs: Vec<Port>,
    /// How an image becomes the input.
    pub preprocess: Option<Preprocess>,
    /// Class names, one per line in the order of the output (embedded or a file).
    pub labels: Option<Source>,
    /// What the answer means, for [`Task::ImageSegmentation`].
    pub segmentation: Option<Segmentation>,
    /// What the answer means, for [`Task::ObjectDetection`].
    pub detection: Option<Detection>,
    /// Which decoder it is part of, for [`Task::ImageSynthesis`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub synthesis: Option<Synthesis>,
}

/// The models that are known.
#[derive(Debug, Clone, PartialEq)]
pub struct Zoo {
    models: Vec<ModelManifest>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ZooFile {
    model: Vec<ModelManifest>,
}

impl Zoo {
    /// The models that this program was built with.
    ///
    /// # Errors
    /// [`Code::Config`] if the built-in file is wrong, which a test rules out.
    pub fn built_in() -> Result<Self> {
        Self::parse(BUILT_IN, None).map_err(|e| e.at("built-in zoo"))
    }

    /// The models of a user's file.
    ///
    /// # Errors
    /// [`Code::NotFound`] or [`Code::Io`] if it cannot be read, [`Code::Limit`]
    /// above [`MAX_ZOO_BYTES`], [`Code::Config`] naming line and key if it is wrong.
    pub fn open(path: &Path) -> Result<Self> {
        let place = path.display();
        let size = std::fs::metadata(path).map_err(|e| Error::io(format!("zoo {place}"), e))?.len();
        if size > MAX_ZOO_BYTES {
            return Err(Error::new(
                Code::Limit,
                format!("zoo {place} has {size} bytes"),
                format!("at most {MAX_ZOO_BYTES} bytes are read"),
            ));
        }
        let text = std::fs::read_to_string(path).map_err(|e| Error::io(format!("zoo {place}"), e))?;
        Self::parse(&text, Some(path.parent().unwrap_or(Path::new("")))).map_err(|e| e.at(format!("zoo {place}")))
    }

    /// Parses a zoo whose `file` sources are relative to `folder`.
    fn parse(text: &str, folder: Option<&Path>) -> Result<Self> {
        let mut file: ZooFile = toml::from_str(text).map_err(|e| {
            let line = e.span().map_or(0, |span| text[..span.start.min(text.len())].matches('\n').count());
            let content = text.lines().nth(line).unwrap_or_default().trim();
            Error::new(
                Code::Config,
                format!("line {}, `{content}`: {}", line + 1, e.message().trim()),
                "write it as the built-in zoo does",
            )
        })?;
        for model in &mut file.model {
            model.check(folder).map_err(|e| e.at(format!("model `{}`", model.name)))?;
        }
        let mut zoo = Self { models: Vec::new() };
        zoo.add(Self { models: file.model })?;
        Ok(zoo)
    }

    /// Adds the models of `other`.
    ///
    /// # Errors
    /// [`Code::Config`] if a name is taken.
    pub fn add(&mut self, other: Self) -> Result<()> {
        for model in other.models {
            if self.models.iter().any(|known| known.name == model.name) {
                return Err(Error::new(
                    Code::Config,
                    format!("two models are called `{}`", model.name),
                    "give every model a name of its own",
                ));
            }
            if let Some(Synthesis { codec, flavour }) = &model.synthesis
                && self.synthesis(codec, flavour).is_ok()
            {
                return Err(Error::new(
                    Code::Config,
                    format!("two syntheses of {codec} are called `{flavour}`"),
                    "give every one a flavour of its own",
                ));
            }
            self.models.push(model);
        }
        Ok(())
    }

    /// Every model, in the order of the files.
    #[must_use]
    pub fn models(&self) -> &[ModelManifest] {
        &self.models
    }

    /// The model called `name`.
    ///
    /// # Errors
    /// [`Code::NotFound`] if there is none.
    pub fn get(&self, name: &str) -> Result<&ModelManifest> {
        self.models.iter().find(|model| model.name == name).ok_or_else(|| {
            let known: Vec<_> = self.models.iter().map(|model| model.name.as_str()).collect();
            Error::new(
                Code::NotFound,
                format!("no model is called `{name}`"),
                format!("choose one of {}, or add it in a zoo file of your own", known.join(", ")),
            )
        })
    }
}

impl Zoo {
    /// The network that decodes the bitstream of `codec` in this flavour.
    ///
    /// # Errors
    /// [`Code::NotFound`], naming the flavours that there are.
    pub fn synthesis(&self, codec: &str, flavour: &str) -> Result<&ModelManifest> {
        let of_codec = || {
            self.models
                .iter()
                .filter_map(|model| Some((model, model.synthesis.as_ref()?)))
                .filter(|(_, s)| s.codec == codec)
        };
        of_codec().find(|(_, synthesis)| synthesis.flavour == flavour).map(|(model, _)| model).ok_or_else(|| {
            let known: Vec<&str> = of_codec().map(|(_, synthesis)| synthesis.flavour.as_str()).collect();
            Error::new(
                Code::NotFound,
                format!("{codec} has no synthesis `{flavour}`"),
                format!(
                    "use one of: {}; or add a network in a zoo file of your own",
                    ["linear"].into_iter().chain(known).collect::<Vec<_>>().join(", ")
                ),
            )
        })
    }
}

impl ModelManifest {
    /// Checks what the types cannot, and makes `file` sources relative to `folder`.
    fn check(&mut self, folder: Option<&Path>) -> Result<()> {
        let wrong = |key: &str, what: &str, remedy: &'static str| {
            Err(Error::new(Code::Config, format!("`{key}`: {what}"), remedy))
        };
        let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "-_.".contains(c);
        if self.name.is_empty() || self.name.starts_with('.') || !self.name.chars().all(plain) {
            return wrong("name", "not a plain name", "use lower-case letters, digits, `-`, `_` and `.`");
        }
        for (key, ports) in [("inputs", &self.inputs), ("outputs", &self.outputs)] {
            if ports.iter().any(|port| port.shape.contains(&Axis::Fixed(0))) {
                return wrong(key, "an axis of length 0", "give lengths above 0");
            }
        }
        if let Some(preprocess) = &self.preprocess {
            preprocess.validate().map_err(|e| e.at("`preprocess`"))?;
        }
        self.fits()?;
        if self.segmentation.is_some() != (self.task == Task::ImageSegmentation) {
            return wrong("segmentation", "is for image segmentation, which needs it", "say what the output means");
        }
        if self.detection.is_some() != (self.task == Task::ObjectDetection) {
            return wrong("detection", "is for object detection, which needs it", "say what the output means");
        }
        if self.synthesis.is_some() != (self.task == Task::ImageSynthesis) {
            return wrong("synthesis", "is for image synthesis, which needs it", "say of which codec, and the flavour");
        }
        if let Some(Synthesis { flavour, .. }) = &self.synthesis {
            let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
            if flavour.is_empty() || flavour == "linear" || !flavour.chars().all(plain) {
                return wrong(
                    "synthesis.flavour",
                    "not a plain name of a network",
                    "use lower-case letters, digits and `-`; `linear` means no network",
                );
            }
        }
        if let Some(Detection { score, nms_iou, .. }) = self.detection
            && ![score, nms_iou].iter().all(|fraction| (0.0..=1.0).contains(fraction))
        {
            return wrong("detection", "`score` or `nms_iou` is no fraction", "give numbers from 0 to 1");
        }
        if self.sha256.is_none() && !matches!(self.source, Source::File { .. }) {
            return wrong("sha256", "missing", "pin the digest: only a `file` of your own may go without");
        }
        if let Source::Mirror(Published { sha256: None, .. }) = self.source
            && self.graph.is_some()
        {
            return wrong("source.sha256", "missing", "pin the checkpoint's digest too");
        }
        self.source.check("source", folder)?;
        let segmentation = self.segmentation.as_mut();
        let (classes, prediction, reference) = segmentation.map_or((None, None, None), |s| {
            (Some(&mut s.classes), s.prediction_map.as_mut(), s.reference_map.as_mut())
        });
        let local = [
            ("graph", self.graph.as_mut()),
            ("labels", self.labels.as_mut()),
            ("segmentation.classes", classes),
            ("segmentation.prediction_map", prediction),
            ("segmentation.reference_map", reference),
        ];
        for (key, source) in local {
            let Some(source) = source else { continue };
            if !matches!(source, Source::Embedded { .. } | Source::File { .. }) {
                return wrong(key, "must be at hand", "use kind `embedded` or `file`");
            }
            source.check(key, folder)?;
        }
        Ok(())
    }

    /// Checks that the preprocessing makes what the first input takes, as far as both are known.
    ///
    /// # Errors
    /// [`Code::Config`] if it does not.
    pub(crate) fn fits(&self) -> Result<()> {
        let (Some(preprocess), Some(input)) = (&self.preprocess, self.inputs.first()) else { return Ok(()) };
        let shape = preprocess.shape();
        let takes = |(axis, n): (&Axis, usize)| match axis {
            Axis::Fixed(length) => *length == n,
            Axis::Dynamic(_) => true,
        };
        if input.shape.len() == shape.len() && input.shape.iter().zip(shape).all(takes) {
            return Ok(());
        }
        Err(Error::new(
            Code::Config,
            format!("`preprocess`: makes {shape:?}, which the first of `inputs` does not take"),
            "make `size` and `layout` agree with the input's `shape`",
        ))
    }

    /// The class names, in the order of the first output. Empty if the manifest names none.
    ///
    /// # Errors
    /// [`Code::NotFound`] or [`Code::Io`] if a file cannot be read,
    /// [`Code::Config`] if a classifier has not one name per class.
    pub fn read_labels(&self) -> Result<Vec<String>> {
        let Some(source) = &self.labels else { return Ok(Vec::new()) };
        let labels = source.read_lines()?;
        let classes = self.outputs.first().and_then(|output| output.shape.last());
        if let (Task::ImageClassification, Some(&Axis::Fixed(classes))) = (self.task, classes)
            && classes != labels.len()
        {
            return Err(Error::new(
                Code::Config,
                format!("model `{}` has {} labels for {classes} classes", self.name, labels.len()),
                "give one name per line and class",
            ));
        }
        Ok(labels)
    }
}

impl Segmentation {
    /// The names of the classes that are compared, in their order.
    ///
    /// # Errors
    /// [`Code::NotFound`] or [`Code::Io`] if a file cannot be read,
    /// [`Code::Config`] if it is not UTF-8.
    pub fn read_classes(&self) -> Result<Vec<String>> {
        self.classes.read_lines()
    }

    /// The table that says what each of the network's classes counts as, in the
    /// form that `measure` reads. `None` if the classes are the same.
    ///
    /// # Errors
    /// [`Code::NotFound`] or [`Code::Io`] if a file cannot be read,
    /// [`Code::Config`] if it is not UTF-8.
    pub fn read_prediction_map(&self) -> Result<Option<String>> {
        self.prediction_map
            .as_ref()
            .map(Source::read_text)
            .transpose()
            .map_err(|e| e.at("`segmentation.prediction_map`"))
    }

    /// The table that says what each value of a reference mask counts as, likewise.
    ///
    /// # Errors
    /// Those of [`Self::read_prediction_map`].
    pub fn read_reference_map(&self) -> Result<Option<String>> {
        self.reference_map.as_ref().map(Source::read_text).transpose().map_err(|e| e.at("`segmentation.reference_map`"))
    }
}

impl Package {
    pub(crate) fn check(&self) -> Result<()> {
        let wrong = |key: &str, value: &str, remedy: &'static str| {
            Err(Error::new(Code::Config, format!("`source.{key}`: `{value}`"), remedy))
        };
        // These become arguments and file names: nothing that could be an option or a path.
        let plain = |c: char| c.is_ascii_alphanumeric() || "-_.+!".contains(c);
        for (key, value) in [("package", &self.package), ("version", &self.version), ("file", &self.file)] {
            if !value.starts_with(|c: char| c.is_ascii_alphanumeric()) || !value.chars().all(plain) {
                return wrong(key, value, "give a plain name");
            }
        }
        if !self.file.ends_with(".whl") {
            return wrong("file", &self.file, "name a wheel: a source distribution runs code when it is fetched");
        }
        let inside = !self.member_name().is_empty()
            && !self.member.contains('\\')
            && Path::new(&self.member).components().all(|part| matches!(part, Component::Normal(_)));
        if inside { Ok(()) } else { wrong("member", &self.member, "give a path inside the archive, without `..`") }
    }
}

impl Published {
    fn check(&self) -> Result<()> {
        let mut parts = Path::new(&self.file).components();
        let plain = matches!((parts.next(), parts.next()), (Some(Component::Normal(_)), None));
        if plain && !self.file.contains('\\') && !self.origin.trim().is_empty() {
            return Ok(());
        }
        Err(Error::new(
            Code::Config,
            format!("`source.file` or `source.origin`: `{}`, `{}`", self.file, self.origin),
            "give a plain file name, and say where the file is published",
        ))
    }
}

impl Source {
    /// Checks what the types cannot, and makes a `file` relative to `folder`.
    fn check(&mut self, key: &str, folder: Option<&Path>) -> Result<()> {
        match self {
            Self::Embedded { file } => embedded(file).map(drop).map_err(|e| e.at(format!("`{key}.file`"))),
            Self::File { path } => {
                let folder = folder.ok_or_else(|| {
                    Error::new(Code::Config, format!("`{key}`: the built-in zoo refers to a file"), "embed the file")
                })?;
                *path = folder.join(&path);
                Ok(())
            }
            Self::Registry(package) => package.check(),
            Self::Mirror(published) => published.check(),
        }
    }

    /// Reads an embedded source or a file, of at most [`crate::MAX_MODEL_BYTES`].
    pub(crate) fn read_local(&self) -> Result<Vec<u8>> {
        match self {
            Self::Embedded { file } => embedded(file).map(<[u8]>::to_vec),
            Self::File { path } => crate::read_bounded(path),
            Self::Registry(Package { file, .. }) | Self::Mirror(Published { file, .. }) => {
                Err(Error::new(Code::Config, format!("{file} is not local"), "use kind `embedded` or `file`"))
            }
        }
    }

    /// A local text.
    fn read_text(&self) -> Result<String> {
        String::from_utf8(self.read_local()?)
            .map_err(|e| Error::new(Code::Config, "a list of classes is not UTF-8", "write it as UTF-8").caused_by(e))
    }

    /// The lines of a local text.
    fn read_lines(&self) -> Result<Vec<String>> {
        Ok(self.read_text()?.lines().map(str::to_owned).collect())
    }
}

fn embedded(name: &str) -> Result<&'static [u8]> {
    EMBEDDED.iter().find(|(known, _)| *known == name).map(|(_, bytes)| *bytes).ok_or_else(|| {
        let known: Vec<_> = EMBEDDED.iter().map(|(name, _)| *name).collect();
        Error::new(
            Code::Config,
            format!("nothing embedded is called `{name}`"),
            format!("choose one of {}", known.join(", ")),
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_built_in_zoo_is_sound() {
        let zoo = Zoo::built_in().unwrap();
        for model in zoo.models() {
            assert!(model.sha256.is_some() && !model.inputs.is_empty() && !model.outputs.is_empty(), "{}", model.name);
            let mut names = model.read_labels().unwrap();
            if let Some(segmentation) = &model.segmentation {
                names.extend(segmentation.read_classes().unwrap());
            }
            let unnamed = matches!(model.task, Task::ImageSimilarity | Task::ImageSynthesis);
            let named = unnamed || !names.is_empty();
            assert!(named && names.iter().all(|name| !name.trim().is_empty()), "{}", model.name);
        }
        let labels = zoo.get("efficientnet-lite0").unwrap().read_labels().unwrap();
        assert_eq!((labels[0].as_str(), labels[999].as_str()), ("tench", "toilet paper"));
        for flavour in ["faithful", "generative"] {
            let model = zoo.synthesis("optic", flavour).unwrap();
            let Source::Embedded { file } = &model.source else { panic!("{flavour} is not embedded") };
            assert_eq!(model.name, format!("optic-{flavour}"));
            assert_eq!(model.sha256, Some(Sha256::of(embedded(file).unwrap())), "{flavour}: what export.py printed");
        }
        let error = zoo.synthesis("optic", "cubist").unwrap_err();
        assert_eq!(error.code(), Code::NotFound);
        assert!(error.remedy().contains("linear, faithful, generative"), "{error}");
        let error = zoo.get("alexnet").unwrap_err();
        assert_eq!(error.code(), Code::NotFound);
        assert!(error.remedy().contains("efficientnet-lite0"));
    }

    #[test]
    fn the_examples_are_sound() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples");
        let open = |name: &str| Zoo::open(&folder.join(name)).unwrap();
        let text = std::fs::read_to_string(folder.join("own-classifier.toml")).unwrap();
        assert!(text.lines().count() <= 10, "it is said to have ten lines");
        let zoo = open("own-classifier.toml");
        let own = zoo.get("own-classifier").unwrap();
        assert_eq!((own.version.as_str(), own.licence.as_str(), own.sha256), ("unstated", "NOASSERTION", None));
        assert!(own.inputs.is_empty() && own.outputs.is_empty() && own.preprocess.is_some());
        assert_eq!(own.source, Source::File { path: folder.join("own-classifier.onnx") });
        for model in open("vit-b16.toml").models() {
            assert_eq!(model.preprocess.unwrap().shape(), [1, 3, 224, 224], "{}", model.name);
            assert!(!model.read_labels().unwrap().is_empty(), "{}", model.name);
        }
        let zoo = open("segformer-b0.toml");
        let segmentation = zoo.models()[0].segmentation.as_ref().unwrap();
        assert_eq!(segmentation.read_classes().unwrap().len(), 150);
        assert_eq!(segmentation.read_reference_map().unwrap().unwrap().lines().count(), 2 + 151);
    }

    #[test]
    fn a_wrong_zoo_names_line_and_key() {
        let cases = [
            ("task = \"image-classification\"", "task = \"juggling\"", "task = \"juggling\""),
            ("version = \"1\"", "version = 1", "version = 1"),
            ("licence = ", "license = ", "license"),
            ("kind = \"registry\"", "kind = \"torrent\"", "torrent"),
            ("registry = \"pypi\"", "registry = \"cpan\"", "cpan"),
            ("name = \"efficientnet-lite0\"", "name = \"../up\"", "`name`"),
            ("member = \"", "member = \"../", "`source.member`"),
            ("member = \"", "member = \"/", "`source.member`"),
            (".whl\"", ".tar.gz\"", "`source.file`"),
            ("package = \"", "package = \"--index-url=", "`source.package`"),
            ("file = \"FastestDet.onnx\"", "file = \"../FastestDet.onnx\"", "`source.file`"),
            ("origin = \"", "origin = \" \" #", "`source.origin`"),
            ("size = [224, 224]", "size = [224, 225]", "`preprocess`"),
            ("std = [128", "std = [0", "std"),
            ("shape = [\"N\"", "shape = [0", "`inputs`"),
            ("file = \"efficientnet-lite0/graph.onnx\"", "file = \"other.onnx\"", "`graph.file`"),
            ("graph = { kind = \"embedded\"", "graph = { kind = \"file\"", "graph"),
            ("graph = { kind = \"embedded\", file", "graph = { kind = \"file\", path", "built-in zoo refers to a file"),
            ("sha256 = \"", "#", "`sha256`: missing"),
            ("task = \"image-segmentation\"", "task = \"object-detection\"", "`segmentation`"),
            ("task = \"object-detection\"", "task = \"image-classification\"", "`detection`"),
            ("output = \"logits\"", "output = \"colours\"", "colours"),
            ("decoder = \"fastestdet\"", "decoder = \"slowestdet\"", "slowestdet"),
            ("task = \"image-synthesis\"", "task = \"image-similarity\"", "`synthesis`"),
            ("flavour = \"faithful\"", "flavour = \"linear\"", "`synthesis.flavour`"),
            ("flavour = \"faithful\"", "flavour = \"generative\"", "two syntheses of optic"),
            ("score = 0.65", "score = nan", "`detection`"),
            ("nms_iou = 0.45", "nms_iou = 1.5", "`detection`"),
            (
                "classes = { kind = \"embedded\", file = \"classes/mosaic-32.txt\" }",
                "classes = { kind = \"mirror\", file = \"x\", origin = \"y\" }",
                "`segmentation.classes`",
            ),
        ];
        for (from, to, says) in cases {
            assert!(BUILT_IN.contains(from), "{from}");
            let error = Zoo::parse(&BUILT_IN.replacen(from, to, 1), None).unwrap_err();
            assert_eq!(error.code(), Code::Config);
            assert!(error.to_string().contains(says), "{to}: {error}");
        }
        let twice = format!("{BUILT_IN}\n{BUILT_IN}");
        assert!(Zoo::parse(&twice, None).unwrap_err().what().contains("two models"));
    }
}
