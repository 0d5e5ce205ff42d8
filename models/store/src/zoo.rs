//! The zoo: what is known of each model, as data.
//!
//! The built-in zoo is `models/zoo.toml`, compiled into the program together
//! with the small files it refers to; a user's own file of the same form may be
//! added. Every key is explained at the field that it fills.

use crate::digest::Sha256;
use afferent_media::{Code, Error, Preprocess, Result};
use serde::{Deserialize, Serialize};
use std::path::{Component, Path, PathBuf};

/// The most bytes of a zoo file that are read.
pub const MAX_ZOO_BYTES: u64 = 4 << 20;

const BUILT_IN: &str = include_str!("../../zoo.toml");

/// Small files compiled into the program, by the name that `embedded` sources use.
const EMBEDDED: &[(&str, &[u8])] = &[
    ("efficientnet-lite0/graph.onnx", include_bytes!("../../zoo/efficientnet-lite0/graph.onnx")),
    ("labels/imagenet-1k.txt", include_bytes!("../../zoo/labels/imagenet-1k.txt")),
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
    /// How far a distorted image (`dist`) is from its reference (`ref`): one number.
    ImageSimilarity,
}

impl std::fmt::Display for Task {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::ImageClassification => "image-classification",
            Self::ImageSimilarity => "image-similarity",
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

/// What is known of one model.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelManifest {
    /// Name: lower-case letters, digits, `-`, `_` and `.`.
    pub name: String,
    /// What it does.
    pub task: Task,
    /// Version of the weights, as their publisher counts.
    pub version: String,
    /// SPDX expression of the weights' licence.
    pub licence: String,
    /// Data sets that the weights were trained on.
    #[serde(default)]
    pub trained_on: Vec<String>,
    /// SHA-256 of the ONNX file, after any assembly.
    pub sha256: Sha256,
    /// Where the ONNX file comes from or, where there is a `graph`, the checkpoint.
    pub source: Source,
    /// An ONNX graph without weights (embedded or a file): the source is then a
    /// PyTorch state dict, whose tensors are poured into it.
    pub graph: Option<Source>,
    /// What goes in.
    pub inputs: Vec<Port>,
    /// What comes out.
    pub outputs: Vec<Port>,
    /// How an image becomes the input.
    pub preprocess: Option<Preprocess>,
    /// Class names, one per line in the order of the output (embedded or a file).
    pub labels: Option<Source>,
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
            if ports.is_empty() || ports.iter().any(|port| port.shape.contains(&Axis::Fixed(0))) {
                return wrong(key, "nothing there", "name at least one tensor, of axes above 0");
            }
        }
        if let Some(preprocess) = &self.preprocess {
            preprocess.validate().map_err(|e| e.at("`preprocess`"))?;
            self.fits(preprocess)?;
        }
        for (key, source) in [("graph", &self.graph), ("labels", &self.labels)] {
            if matches!(source, Some(Source::Registry(_))) {
                return wrong(key, "a registry cannot give it", "use kind `embedded` or `file`");
            }
        }
        let sources = [Some(&mut self.source), self.graph.as_mut(), self.labels.as_mut()];
        for (key, source) in ["source", "graph", "labels"].into_iter().zip(sources) {
            match source {
                Some(Source::Embedded { file }) => {
                    embedded(file).map_err(|e| e.at(format!("`{key}.file`")))?;
                }
                Some(Source::File { path }) => match folder {
                    Some(folder) => *path = folder.join(&path),
                    None => return wrong(key, "the built-in zoo refers to a file", "embed the file"),
                },
                Some(Source::Registry(package)) => package.check()?,
                None => {}
            }
        }
        Ok(())
    }

    /// Checks that the preprocessing makes what the first input takes.
    fn fits(&self, preprocess: &Preprocess) -> Result<()> {
        let shape = preprocess.shape();
        let fits = self.inputs.first().is_some_and(|input| {
            input.shape.len() == shape.len()
                && input.shape.iter().zip(shape).all(|(axis, n)| match axis {
                    Axis::Fixed(length) => *length == n,
                    Axis::Dynamic(_) => true,
                })
        });
        if fits {
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
    /// [`Code::Config`] if there is not one name per class.
    pub fn read_labels(&self) -> Result<Vec<String>> {
        let Some(source) = &self.labels else { return Ok(Vec::new()) };
        let text = String::from_utf8(source.read_local()?)
            .map_err(|e| Error::new(Code::Config, "the labels are not UTF-8", "write them as UTF-8").caused_by(e))?;
        let labels: Vec<_> = text.lines().map(str::to_owned).collect();
        let classes = self.outputs.first().and_then(|output| output.shape.last());
        if let Some(&Axis::Fixed(classes)) = classes
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

impl Package {
    fn check(&self) -> Result<()> {
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

impl Source {
    /// Reads an embedded source or a file, of at most [`crate::MAX_MODEL_BYTES`].
    pub(crate) fn read_local(&self) -> Result<Vec<u8>> {
        match self {
            Self::Embedded { file } => embedded(file).map(<[u8]>::to_vec),
            Self::File { path } => crate::read_bounded(path),
            Self::Registry(package) => Err(Error::new(
                Code::Config,
                format!("package {} is not local", package.package),
                "use kind `embedded` or `file`",
            )),
        }
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
            let labels = model.read_labels().unwrap();
            assert!(labels.iter().all(|label| !label.trim().is_empty()), "{}", model.name);
        }
        let labels = zoo.get("efficientnet-lite0").unwrap().read_labels().unwrap();
        assert_eq!((labels[0].as_str(), labels[999].as_str()), ("tench", "toilet paper"));
        let error = zoo.get("alexnet").unwrap_err();
        assert_eq!(error.code(), Code::NotFound);
        assert!(error.remedy().contains("efficientnet-lite0"));
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
            ("size = [224, 224]", "size = [224, 225]", "`preprocess`"),
            ("std = [128", "std = [0", "std"),
            ("file = \"efficientnet-lite0/graph.onnx\"", "file = \"other.onnx\"", "`graph.file`"),
            ("kind = \"embedded\"", "kind = \"file\"", "graph"),
        ];
        for (from, to, says) in cases {
            assert!(BUILT_IN.contains(from), "{from}");
            let error = Zoo::parse(&BUILT_IN.replacen(from, to, 1), None).unwrap_err();
            assert_eq!(error.code(), Code::Config);
            assert!(error.what().contains(says), "{to}: {error}");
        }
        let twice = format!("{BUILT_IN}\n{BUILT_IN}");
        assert!(Zoo::parse(&twice, None).unwrap_err().what().contains("two models"));
    }
}
