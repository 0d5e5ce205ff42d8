//! The worst samples at one operating point, coded again to be looked at.

use super::analysis::Coding;
use super::board::title;
use super::rows::{Seen, Set};
use super::view::View;
use afferent_codec::{Container, Limits, Registry, Resize, SampleDecoder, SampleEncoder, Settings};
use afferent_codec_conventional::open;
use afferent_media::manifest::Manifest;
use afferent_media::resize::{Filter, resize};
use afferent_media::{Code, Error, Image, Modality, Result, Sample};
use afferent_runtime::synthesis::{LINEAR, Syntheses};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use maud::{Markup, html};
use std::path::{Path, PathBuf};

/// The longer side of a picture as it is shown, in pixels.
const SIDE: u32 = 360;

/// Samples side by side: pristine, decoded, and what the model made of both.
#[derive(Debug)]
pub(crate) struct Worst {
    title: String,
    note: String,
    samples: Vec<Pair>,
}

/// One sample before and after coding, as data URIs.
#[derive(Debug)]
struct Pair {
    id: String,
    said: [String; 2],
    pictures: [String; 2],
}

/// The `count` worst samples of a view at the cheapest operating point that loses
/// something and keeps 90 % of the pristine figure, coded again from the files of `manifest`. `None`
/// if no point can be coded again: only those of codecs and networks that this build has.
///
/// # Errors
/// [`Code::Config`] if the manifest lacks a sample, and those of reading and coding.
pub(crate) fn worst(
    view: &View<'_>,
    manifest: &Path,
    count: usize,
    registry: &Registry,
    syntheses: &Syntheses,
) -> Result<Option<Worst>> {
    let (set, codings) = (view.set(), view.codings());
    let again = |point: &usize| {
        let coding = &set.points[*point].coding;
        let known = registry
            .get(&coding.codec)
            .is_ok_and(|codec| u32::from(codec.descriptor().version) == coding.codec_version);
        // Another network makes other pictures.
        let network = match coding.synthesis.as_deref() {
            None | Some(LINEAR) => None,
            Some(flavour) => syntheses.digest(&coding.codec, flavour),
        };
        known
            && network == coding.synthesis_sha256
            && coding.resize.parse::<Resize>().is_ok()
            && !codings[*point].lossless
    };
    let Some((point, value)) = choose(view, codings, (0..set.points.len()).filter(again)) else { return Ok(None) };
    let coding = &set.points[point].coding;
    #[allow(clippy::cast_possible_truncation)]
    let settings = Settings {
        preset: Some(coding.preset.clone()),
        knob: coding.knob.map(|knob| knob.0 as f32),
        resize: coding.resize.parse()?,
    };
    let mut encoder = SampleEncoder::new(registry.get(&coding.codec)?.as_ref(), &settings)?;
    let registry = syntheses.registry(registry, coding.synthesis.as_deref().unwrap_or(LINEAR))?;
    let mut decoder = SampleDecoder::new(registry, Limits::default());
    let manifest = Manifest::open(manifest, open::extensions(Modality::Image))?;

    let mut samples = Vec::new();
    for seen in view.worst(point).into_iter().take(count) {
        let id = &set.samples[seen.sample as usize].id;
        let file = find(&manifest, id)?;
        let pristine = open::image(&file, &Limits::default())?;
        let mut bytes = Vec::new();
        encoder.encode(&Sample::Image(pristine.clone()), &mut bytes)?;
        let Sample::Image(decoded) = decoder.decode(&Container::parse(&bytes)?)? else { continue };
        samples.push(Pair {
            id: id.to_string(),
            said: said(set, seen),
            pictures: [thumbnail(&pristine)?, thumbnail(&decoded)?],
        });
    }
    Ok((!samples.is_empty()).then(|| Worst {
        title: format!("Worst samples: {}", title(coding)),
        note: format!(
            "{value}; coded again by this build and scaled to {SIDE} pixels, so that fine damage may not show."
        ),
        samples,
    }))
}

/// Of the `points` that lose something, the cheapest that keeps 90 % of the pristine
/// figure, or else the best: where a decision is made, and there is something to see.
fn choose(view: &View<'_>, codings: &[Coding], points: impl Iterator<Item = usize>) -> Option<(usize, String)> {
    let figure = *view.figures.first()?;
    let pristine = view.pristine(0).unwrap_or(f64::INFINITY);
    let enough = 0.9 * pristine;
    let known: Vec<(usize, f64, f64)> = points
        .filter_map(|point| Some((point, codings[point].codec.total()?, view.value(point, 0)?.estimate)))
        .filter(|(.., value)| *value < pristine)
        .collect();
    let cheapest = known.iter().filter(|(.., value)| *value >= enough).min_by(|a, b| a.1.total_cmp(&b.1));
    let (point, rate, value) = cheapest.or_else(|| known.iter().max_by(|a, b| a.2.total_cmp(&b.2)))?;
    Some((*point, format!("{} {value:.1} % at {rate:.3} bpp", figure.name())))
}

fn find(manifest: &Manifest, id: &str) -> Result<PathBuf> {
    let entry = manifest.entries().iter().find(|entry| entry.id == id).ok_or_else(|| {
        Error::new(
            Code::Config,
            format!("{} lists no sample `{id}`", manifest.root().display()),
            "give --data the manifest that the rows were measured with",
        )
    })?;
    Ok(manifest.root().join(&entry.file))
}

/// What the model said of the pristine and of the decoded sample.
fn said(set: &Set, seen: &Seen) -> [String; 2] {
    let class = |class: Option<u32>| {
        class.map(|class| set.classes.get(&class).cloned().unwrap_or_else(|| format!("class {class}")))
    };
    let label = class(seen.label).map(|label| format!(" (label: {label})")).unwrap_or_default();
    let pristine = class(seen.pristine).map_or_else(|| "pristine".to_owned(), |class| format!("pristine: {class}"));
    let decoded = match class(seen.prediction) {
        Some(class) => format!("decoded: {class}, {:.0} %", 100.0 * seen.probability),
        None if seen.score.is_finite() => format!("decoded: score {:.3}", seen.score),
        None => "decoded".to_owned(),
    };
    [format!("{pristine}{label}"), decoded]
}

/// A small JPEG of an image, as a data URI.
fn thumbnail(image: &Image) -> Result<String> {
    let rgb = image.clone().into_rgb();
    let longer = rgb.width().max(rgb.height());
    let scaled = |side: u32| (u64::from(side) * u64::from(SIDE)).div_ceil(u64::from(longer)).max(1);
    let side = |side: u32| u32::try_from(scaled(side)).unwrap_or(SIDE);
    let small = if longer > SIDE {
        resize(rgb.view(), None, side(rgb.width()), side(rgb.height()), Filter::Lanczos)?
    } else {
        rgb
    };
    let failed = |e: turbojpeg::Error| {
        Error::new(Code::Internal, "a small picture cannot be written", "report this").caused_by(e)
    };
    let (width, height) = (small.width() as usize, small.height() as usize);
    let pixels = small.view().packed();
    let view =
        turbojpeg::Image { pixels: &pixels[..], width, pitch: 3 * width, height, format: turbojpeg::PixelFormat::RGB };
    let bytes = turbojpeg::compress(view, 92, turbojpeg::Subsamp::None).map_err(failed)?;
    Ok(format!("data:image/jpeg;base64,{}", STANDARD.encode(&bytes)))
}

impl Worst {
    pub(crate) fn html(&self) -> Markup {
        html! {
            h4 { (self.title) }
            p.note { (self.note) }
            ul.worst {
                @for pair in &self.samples {
                    li {
                        p { code { (pair.id) } }
                        @for (said, picture) in pair.said.iter().zip(&pair.pictures) {
                            figure {
                                img src=(picture) alt={ (pair.id) ", " (said) } loading="lazy";
                                figcaption { (said) }
                            }
                        }
                    }
                }
            }
        }
    }

    pub(crate) fn text(&self) -> String {
        let mut text = format!("{}\n\n", self.title);
        for pair in &self.samples {
            text += &format!(" · {}: {}; {}\n", pair.id, pair.said[0], pair.said[1]);
        }
        text
    }
}
