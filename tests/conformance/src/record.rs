//! What one build says of itself and of every bitstream that it wrote.

use crate::foreign;
use afferent_codec::{Exactness, Registry, Simd};
use afferent_media::{Error, Result};
use serde::{Deserialize, Serialize};
use std::fs;
use std::path::Path;

/// A build on a processor.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Machine {
    /// Name, unique in a matrix.
    pub name: String,
    /// Target triple.
    pub target: String,
    /// Level of optimisation.
    pub opt_level: String,
    /// Processor that instructions were chosen for.
    pub target_cpu: String,
    /// Vector extensions that were found at run time.
    pub features: Vec<String>,
    /// Each exact codec, the library under it and whether that runs vector code.
    pub codecs: Vec<(String, String, String)>,
}

impl Machine {
    /// This build on this processor.
    #[must_use]
    pub fn this(name: &str, registry: &Registry) -> Self {
        let known = registry.iter().map(|codec| codec.descriptor()).filter(|d| d.exactness == Exactness::Exact);
        let codecs = known.map(|d| (d.id.to_owned(), d.implementation.clone(), simd(d.simd)));
        Self {
            name: name.to_owned(),
            target: env!("BUILT_FOR").to_owned(),
            opt_level: env!("BUILT_AT").to_owned(),
            target_cpu: env!("BUILT_CPU").to_owned(),
            features: features(),
            codecs: codecs.collect(),
        }
    }
}

fn simd(simd: Simd) -> String {
    simd.to_string()
}

fn features() -> Vec<String> {
    #[cfg(target_arch = "x86_64")]
    let all = [
        ("sse4.1", std::is_x86_feature_detected!("sse4.1")),
        ("avx2", std::is_x86_feature_detected!("avx2")),
        ("fma", std::is_x86_feature_detected!("fma")),
        ("avx512f", std::is_x86_feature_detected!("avx512f")),
    ];
    #[cfg(target_arch = "aarch64")]
    let all = [
        ("neon", std::arch::is_aarch64_feature_detected!("neon")),
        ("dotprod", std::arch::is_aarch64_feature_detected!("dotprod")),
        ("sve", std::arch::is_aarch64_feature_detected!("sve")),
    ];
    #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
    let all: [(&str, bool); 0] = [];
    all.into_iter().filter(|(_, found)| *found).map(|(name, _)| name.to_owned()).collect()
}

/// One bitstream. Says nothing that may change from run to run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// Codec id.
    pub codec: String,
    /// Preset.
    pub preset: String,
    /// Knob, if the codec has one.
    pub knob: Option<f32>,
    /// Vector.
    pub vector: String,
    /// Digest of the sample that was coded.
    pub source: String,
    /// Digest of the container.
    pub stream: String,
    /// Digest of the latents, for a codec that has them.
    pub latents: Option<String>,
    /// Digest of the decoded sample.
    pub decoded: String,
}

impl Record {
    /// The name of the container's file.
    #[must_use]
    pub fn file(&self) -> String {
        let knob = self.knob.map(|knob| format!("-{knob}")).unwrap_or_default();
        format!("{}-{}{knob}-{}.afr", self.codec, self.preset, self.vector)
    }

    /// Whether `other` is of the same codec, point and vector.
    #[must_use]
    pub fn same_place(&self, other: &Self) -> bool {
        (&self.codec, &self.preset, self.knob, &self.vector) == (&other.codec, &other.preset, other.knob, &other.vector)
    }
}

/// Reads what [`write`] wrote.
///
/// # Errors
/// Of files, and [`Code::Corrupt`](afferent_media::Code::Corrupt) for other content.
pub fn read(folder: &Path) -> Result<(Machine, Vec<Record>)> {
    let text = |name: &str| {
        let path = folder.join(name);
        fs::read_to_string(&path).map_err(|cause| Error::io(format!("{} cannot be read", path.display()), cause))
    };
    let wrong = |cause: serde_json::Error| foreign(format!("{} holds no records", folder.display())).caused_by(cause);
    let machine = serde_json::from_str(&text("machine.json")?).map_err(wrong)?;
    let records = text("records.jsonl")?.lines().map(serde_json::from_str).collect::<Result<_, _>>().map_err(wrong)?;
    Ok((machine, records))
}

/// Writes what a build is, and its records.
///
/// # Errors
/// Of files.
pub fn write(folder: &Path, machine: &Machine, records: &[Record]) -> Result<()> {
    let failed = |cause: serde_json::Error| Error::io("the records cannot be written", cause.into());
    let mut lines = String::new();
    for record in records {
        lines += &serde_json::to_string(record).map_err(failed)?;
        lines.push('\n');
    }
    let machine = serde_json::to_string_pretty(machine).map_err(failed)?;
    save(&folder.join("machine.json"), machine.as_bytes())?;
    save(&folder.join("records.jsonl"), lines.as_bytes())
}

/// Writes a file and says which on failure.
pub(crate) fn save(path: &Path, bytes: &[u8]) -> Result<()> {
    fs::write(path, bytes).map_err(|cause| Error::io(format!("{} cannot be written", path.display()), cause))
}
