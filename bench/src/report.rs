//! The report: what every bit bought, as one page, as text, and as files.
//!
//! Rows of any number of data sets, models and codecs become charts and tables.
//! Every figure is a query over rows, stated beside it; *agreement* is with the
//! same model's prediction on the pristine sample, *accuracy*, mIoU, AP and AUC
//! are with labels. An *operating point* is a codec, what decodes it, its preset, where its knob
//! stood and what was done to the sample's size; a codec competes with the Pareto
//! front over all of its points on a data set, chosen for the set and never for
//! one image.
//!
//! The page is one file that loads nothing, reads in light and in dark, on a phone
//! and on paper, and shows everything without its script.
//!
//! - `rows`: rows made small;
//! - `figure`, `quality`: what is measured of a model, and of a signal;
//! - `analysis`: figures of operating points, and resampling;
//! - `board`, `view`: charts and tables of a data set, and of a model on it;
//! - `page`, `grid`, `html`: what a report consists of, and how it is written;
//! - `samples`: the worst samples, coded again.

mod analysis;
mod board;
mod figure;
mod grid;
mod html;
mod page;
mod quality;
mod rows;
mod samples;
mod view;

use afferent_codec::Registry;
use afferent_measure::stats::Bootstrap;
use afferent_media::{Code, Error, Modality, Result};
use afferent_runtime::Syntheses;
use board::Board;
use figure::Figure;
use page::{Block, Content, Page};
use quality::METRICS;
use rows::Rows;
use std::path::{Path, PathBuf};
use view::View;

/// What a report is made of.
#[derive(Debug, Clone)]
pub struct Options {
    /// Files of rows, or folders of them.
    pub rows: Vec<PathBuf>,
    /// Manifests of data sets by name, for showing the worst samples.
    pub data: Vec<(String, PathBuf)>,
    /// How many of the worst samples are shown for each model on a data set whose
    /// manifest is given.
    pub samples: usize,
    /// How often, and by what seed, samples are drawn for intervals.
    pub bootstrap: Bootstrap,
}

/// A report, to be written in several ways.
#[derive(Debug)]
pub struct Report {
    page: Page,
}

impl Report {
    /// Reads the rows and works out every figure. `registry` codes samples again
    /// that are to be shown, and `syntheses` has the networks that decode them.
    ///
    /// # Errors
    /// [`Code::NotFound`] if there are no rows,
    /// [`Code::Config`] if rows of two methodologies
    /// are mixed or a manifest lacks a sample to be shown, and those of reading.
    pub fn new(options: &Options, registry: &Registry, syntheses: &Syntheses) -> Result<Self> {
        Self::of(&Rows::read(&options.rows)?, options, registry, syntheses)
    }

    fn of(rows: &Rows, options: &Options, registry: &Registry, syntheses: &Syntheses) -> Result<Self> {
        let names: Vec<&str> = rows.sets.iter().filter_map(|set| set.key.name.as_deref()).collect();
        if let Some((wrong, _)) = options.data.iter().find(|(name, _)| !names.contains(&name.as_str())) {
            return Err(Error::new(
                Code::Config,
                format!("these rows have no data set `{wrong}`"),
                format!("give --data one of: {}", names.join(", ")),
            ));
        }
        let styles = board::styles(rows);
        let mut page = head(rows, options);
        let mut figures: Vec<Figure> = Vec::new();
        for set in &rows.sets {
            let board = Board::new(set, &styles, options.bootstrap);
            page.add(board.section()?);
            let manifest = options.data.iter().find(|(name, _)| Some(name) == set.key.name.as_ref());
            for model in 0..set.models.len() {
                let view = View::new(&board, model)?;
                let mut section = view.section()?;
                if let Some((_, manifest)) = manifest.filter(|_| options.samples > 0)
                    && set.key.modality == Modality::Image
                    && let Some(worst) = samples::worst(&view, manifest, options.samples, registry, syntheses)?
                {
                    section.blocks.push(Block { id: "worst".to_owned(), content: Content::Worst(worst) });
                }
                figures.extend(&view.figures);
                page.add(section);
            }
        }
        page.definitions = definitions(rows, &figures, options);
        Ok(Self { page })
    }

    /// The page: one file of HTML.
    #[must_use]
    pub fn html(&self) -> String {
        html::render(&self.page)
    }

    /// The same for a terminal: facts and tables, without the figures of charts,
    /// which the tables have too.
    #[must_use]
    pub fn text(&self) -> String {
        let page = &self.page;
        let mut text = format!("{}\n\n", page.title);
        for (name, values) in &page.facts {
            text += &format!("{name}: {}\n", values.join("; "));
        }
        for note in &page.notes {
            text += &crate::table::wrap(note);
        }
        for section in &page.sections {
            text += &format!("\n{}\n\n", section.heading);
            section.lead.iter().for_each(|lead| text.push_str(&crate::table::wrap(lead)));
            for block in &section.blocks {
                match &block.content {
                    Content::Chart(..) => {}
                    Content::Table(grid) => text += &format!("\n{}", grid.text()),
                    Content::Worst(worst) => text += &format!("\n{}", worst.text()),
                }
            }
        }
        text
    }

    /// Writes every table, and the figures of every chart, into `folder` as CSV.
    ///
    /// # Errors
    /// [`Code::Io`] if the folder cannot be written.
    pub fn csv(&self, folder: &Path) -> Result<()> {
        self.files(folder, "csv", |content| match content {
            Content::Chart(_, grid) | Content::Table(grid) => grid.csv().map(Some),
            Content::Worst(_) => Ok(None),
        })
    }

    /// Writes every chart into `folder` as SVG.
    ///
    /// # Errors
    /// [`Code::Io`] if the folder cannot be written.
    pub fn svg(&self, folder: &Path) -> Result<()> {
        self.files(folder, "svg", |content| {
            Ok(match content {
                Content::Chart(chart, _) => Some(chart.standalone()),
                Content::Table(_) | Content::Worst(_) => None,
            })
        })
    }

    /// Where every printed number comes from, as Markdown: the files of rows with
    /// their digests, and for each table its CSV file and its query over those rows.
    #[must_use]
    pub fn trace(&self) -> String {
        let mut text = "| rows | SHA-256 |\n|---|---|\n".to_owned();
        for (file, sha256) in &self.page.files {
            text += &format!("| `{file}` | `{sha256}` |\n");
        }
        for section in &self.page.sections {
            text += &format!("\n### {}\n\n| numbers | file | query over the rows |\n|---|---|---|\n", section.heading);
            for block in &section.blocks {
                let (Content::Chart(_, grid) | Content::Table(grid)) = &block.content else { continue };
                let cell = |text: &str| text.replace('|', "\\|");
                text += &format!("| {} | `{}.csv` | {} |\n", cell(&grid.title), section.file(block), cell(&grid.query));
            }
        }
        text
    }

    fn files(&self, folder: &Path, extension: &str, text: impl Fn(&Content) -> Result<Option<String>>) -> Result<()> {
        std::fs::create_dir_all(folder).map_err(|e| Error::io(format!("making {}", folder.display()), e))?;
        for section in &self.page.sections {
            for block in &section.blocks {
                if let Some(text) = text(&block.content)? {
                    let path = folder.join(format!("{}.{extension}", section.file(block)));
                    std::fs::write(&path, text).map_err(|e| Error::io(format!("writing {}", path.display()), e))?;
                }
            }
        }
        Ok(())
    }
}

/// What was measured, and how it is to be read.
fn head(rows: &Rows, options: &Options) -> Page {
    let mut facts = vec![(
        "rows".to_owned(),
        vec![format!(
            "{} rows of methodology {}, in {} files{}",
            rows.count,
            rows.methodology,
            rows.files.len(),
            if rows.strays > 0 { format!("; {} of no known codec are left out", rows.strays) } else { String::new() }
        )],
    )];
    let failures: u64 = rows
        .sets
        .iter()
        .flat_map(|set| &set.points)
        .map(|point| point.coded.iter().filter(|coded| coded.failed).count() as u64)
        .sum();
    facts.push((
        "failures".to_owned(),
        vec![format!("{failures} coded samples failed; each is counted where it belongs")],
    ));
    facts.push((
        "data sets".to_owned(),
        rows.sets
            .iter()
            .map(|set| {
                format!(
                    "{}: n = {}, manifest {}",
                    set.name(),
                    set.samples.len(),
                    set.key.sha256.as_deref().unwrap_or("unknown")
                )
            })
            .collect(),
    ));
    facts.extend(rows.facts.iter().map(|(name, values)| ((*name).to_owned(), values.iter().cloned().collect())));
    let workers: Vec<&str> = rows.facts.get("workers").into_iter().flatten().map(String::as_str).collect();
    let times = match workers[..] {
        [] => "Rows do not say how many workers ran at once while times were taken.".to_owned(),
        _ => format!("Times were taken with {} workers at once.", workers.join(" or ")),
    };
    let notes = vec![
        "Agreement compares with the same model's prediction on the pristine sample: what coding changed. Accuracy, mIoU, AP and \
         AUC compare with labels: whether the model is right. Every chart and table says which."
            .to_owned(),
        "Rates are per pixel of the source image, or per second of the source sound, whatever size was coded.".to_owned(),
        times,
        format!(
            "Intervals are at 95 %: Wilson's for shares of independent samples, else percentiles of {} resamples of whole groups \
             (seed {}). Below {} independent groups they are indicative.",
            options.bootstrap.resamples,
            options.bootstrap.seed,
            afferent_measure::stats::Interval::FEW
        ),
        "A codec's front is the set of its presets, knobs and sizes that no other of its points beats on the data set: chosen per \
         data set, never per image."
            .to_owned(),
    ];
    Page {
        title: "What every bit bought".to_owned(),
        facts,
        notes,
        files: rows
            .files
            .iter()
            .map(|(path, sha256)| (path.file_name().unwrap_or_default().to_string_lossy().into_owned(), sha256.clone()))
            .collect(),
        ..Page::default()
    }
}

/// What each figure on the page is.
fn definitions(rows: &Rows, figures: &[Figure], options: &Options) -> Vec<(String, String)> {
    let mut all: Vec<(String, String)> = [
        ("rate", "codec: payload, side information and codec headers; header-free: without the headers; storage: with the container; \
                  transmit: with framing and the transport's share. total: Σ bits / Σ source pixels (or seconds); mean: mean of each sample's ratio."),
        ("BD-rate", "Mean horizontal distance of two curves over their common range of quality (Bjøntegaard, VCEG-M33, 2001), by PCHIP \
                     of log rate (SciPy, PchipInterpolator), for each image apart; percent: mean of the images' percentages; geometric: \
                     of the mean log ratio."),
        ("rate at equal quality", "At a share of the pristine figure, on the upper hull of the codec's points, linear in rate: a mixture of two operating points."),
        ("rank correlation", "Spearman's ρ and Kendall's τ-b over operating points (SciPy, spearmanr and kendalltau)."),
        ("times", "Median and 95th percentile, type 7 of Hyndman and Fan (NumPy's default). Warm-up is excluded from inference; the link's \
                   time is corrected by the estimated clock offset."),
    ]
    .map(|(name, text)| (name.to_owned(), text.to_owned()))
    .to_vec();
    all.push((
        "bootstrap".to_owned(),
        format!(
            "Efron (1979), percentile interval; whole groups of dependent samples are drawn with replacement, {} times, seed {}; all \
             operating points see the same draws.",
            options.bootstrap.resamples, options.bootstrap.seed
        ),
    ));
    let mut named: Vec<Figure> = Vec::new();
    for &figure in figures {
        if !named.contains(&figure) {
            named.push(figure);
            all.push((figure.name().to_owned(), figure.definition().to_owned()));
        }
    }
    let coded = || rows.sets.iter().flat_map(|set| &set.points).flat_map(|point| &point.coded);
    let used = METRICS.iter().enumerate().filter(|(number, _)| coded().any(|coded| coded.metrics[*number].is_finite()));
    all.extend(used.map(|(_, metric)| (metric.name.to_owned(), metric.definition.to_owned())));
    all
}

#[cfg(test)]
mod tests;
