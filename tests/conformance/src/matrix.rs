//! Which builds agree with which, as a page.

use crate::check::{Check, Found};
use crate::point::Bar;
use crate::record::Machine;
use std::fmt::Write as _;

/// Every pair of builds.
#[derive(Debug, Clone)]
pub struct Matrix(Vec<Check>);

impl Matrix {
    /// The matrix of these pairs.
    #[must_use]
    pub fn new(checks: Vec<Check>) -> Self {
        Self(checks)
    }

    /// Whether there is a pair, and every pair holds.
    #[must_use]
    pub fn held(&self) -> bool {
        !self.0.is_empty() && self.0.iter().all(Check::held)
    }

    fn machines(&self) -> Vec<&Machine> {
        let mut machines: Vec<&Machine> = Vec::new();
        for machine in self.0.iter().flat_map(|check| [&check.encoded, &check.decoded]) {
            if !machines.iter().any(|known| known.name == machine.name) {
                machines.push(machine);
            }
        }
        machines
    }

    fn found(&self, encoded: &Machine, decoded: &Machine, codec: &str) -> Option<&Found> {
        let pair = self.0.iter().find(|c| c.encoded.name == encoded.name && c.decoded.name == decoded.name)?;
        pair.codecs.iter().find(|found| found.codec == codec)
    }

    /// The matrix in Markdown.
    #[must_use]
    pub fn text(&self) -> String {
        let machines = self.machines();
        let mut page = String::from(
            "| build | target | opt-level | target-cpu | vector extensions found |\n|---|---|---|---|---|\n",
        );
        for machine in &machines {
            let Machine { name, target, opt_level, target_cpu, features, .. } = machine;
            let _ = writeln!(page, "| {name} | {target} | {opt_level} | {target_cpu} | {} |", features.join(" "));
        }
        let Some(first) = machines.first() else { return page };
        for (codec, implementation, _) in &first.codecs {
            let all: Vec<&Found> = self.0.iter().flat_map(|c| &c.codecs).filter(|f| f.codec == *codec).collect();
            let bar = Bar::of(codec);
            let streams = all.first().map_or(0, |found| found.streams);
            let simd: Vec<String> = machines
                .iter()
                .filter_map(|m| {
                    m.codecs.iter().find(|(id, ..)| id == codec).map(|(_, _, simd)| format!("{} {simd}", m.name))
                })
                .collect();
            let _ = write!(
                page,
                "\n## {codec}\n\n{implementation}; vector code: {}. {streams} bitstreams; {}, {}.\n\n| encoded by |",
                simd.join(", "),
                if bar.difference == 0.0 {
                    "decoded samples must be equal".to_owned()
                } else {
                    format!("decoded samples may be {} apart", bar.difference)
                },
                if bar.same_bytes { "bitstreams too" } else { "bitstreams may differ" },
            );
            for machine in &machines {
                let _ = write!(page, " decoded by {} |", machine.name);
            }
            page += "\n|---|";
            page += &"---|".repeat(machines.len());
            page.push('\n');
            for encoded in &machines {
                let _ = write!(page, "| {} |", encoded.name);
                for decoded in &machines {
                    let cell = self.found(encoded, decoded, codec).map_or("not run".to_owned(), cell);
                    let _ = write!(page, " {cell} |");
                }
                page.push('\n');
            }
        }
        let failures: Vec<String> = self
            .0
            .iter()
            .flat_map(|check| {
                let pair = format!("{} by {}", check.encoded.name, check.decoded.name);
                check.codecs.iter().flat_map(|f| &f.failures).map(move |what| format!("- {pair}: {what}\n"))
            })
            .collect();
        if !failures.is_empty() {
            let _ = write!(page, "\n## What does not hold\n\n{} in all, the first:\n\n", failures.len());
            page.extend(failures.into_iter().take(40));
        }
        page
    }

    /// The pairs.
    #[must_use]
    pub fn checks(&self) -> &[Check] {
        &self.0
    }
}

/// What one pair came to, in a few words.
fn cell(found: &Found) -> String {
    let mut words = Vec::new();
    match found.latents_equal {
        Some(equal) if equal == found.streams => words.push("latents =".to_owned()),
        Some(equal) => words.push(format!("**latents: {} differ**", found.streams - equal)),
        None => {}
    }
    words.push(if found.decoded_equal == found.streams {
        "samples =".to_owned()
    } else {
        format!("samples: {} differ, by {:.3} at most", found.streams - found.decoded_equal, found.difference)
    });
    words.push(if found.bytes_equal == found.streams {
        "bytes =".to_owned()
    } else {
        format!("bytes: {} differ", found.streams - found.bytes_equal)
    });
    if !found.failures.is_empty() {
        words.push("**fails**".to_owned());
    }
    words.join("; ")
}
