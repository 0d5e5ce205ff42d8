//! What a report consists of, before it is a page, a terminal's text or files.

use super::grid::Grid;
use super::samples::Worst;
use crate::chart::Chart;

/// A report: facts, then sections.
#[derive(Debug, Default)]
pub(crate) struct Page {
    pub(crate) title: String,
    /// What was measured: a name and what is to be said of it.
    pub(crate) facts: Vec<(String, Vec<String>)>,
    /// How the figures are to be read.
    pub(crate) notes: Vec<String>,
    pub(crate) sections: Vec<Section>,
    /// What each figure is: its name and its definition.
    pub(crate) definitions: Vec<(String, String)>,
    /// The files of rows, with the SHA-256 of each.
    pub(crate) files: Vec<(String, String)>,
}

/// A part of the report under its heading.
#[derive(Debug)]
pub(crate) struct Section {
    /// Unique in the report; letters, digits and hyphens.
    pub(crate) id: String,
    pub(crate) heading: String,
    /// Whether it belongs to the section of a data set before it.
    pub(crate) inner: bool,
    pub(crate) lead: Vec<String>,
    pub(crate) blocks: Vec<Block>,
}

/// One thing that a section shows.
#[derive(Debug)]
pub(crate) struct Block {
    /// Unique in its section; letters, digits and hyphens.
    pub(crate) id: String,
    pub(crate) content: Content,
}

#[derive(Debug)]
pub(crate) enum Content {
    /// A chart, and its figures.
    Chart(Box<Chart>, Grid),
    Table(Grid),
    Worst(Worst),
}

impl Page {
    /// Adds a section, whose id gets a number if another has it or it is empty.
    pub(crate) fn add(&mut self, mut section: Section) {
        let wanted = std::mem::take(&mut section.id);
        let numbers = std::iter::once(String::new()).chain((2..).map(|number| format!("-{number}")));
        let free = |id: &String| !id.is_empty() && !self.sections.iter().any(|known| known.id == *id);
        section.id = numbers.map(|number| slug(&format!("{wanted}{number}"))).find(free).unwrap_or_default();
        self.sections.push(section);
    }
}

impl Section {
    pub(crate) fn table(&mut self, id: &str, grid: Grid) {
        if !grid.rows.is_empty() {
            self.blocks.push(Block { id: id.to_owned(), content: Content::Table(grid) });
        }
    }

    /// A chart and its figures, if it shows any.
    pub(crate) fn chart(&mut self, id: &str, chart: Chart, query: &str, notes: Vec<String>) {
        if chart.points() > 0 {
            let grid = Grid { notes, ..Grid::of_chart(&chart, query) };
            self.blocks.push(Block { id: id.to_owned(), content: Content::Chart(Box::new(chart), grid) });
        }
    }

    /// The name of a block in the report and of its files, without extension: no
    /// slug has an underscore, so that no two are alike.
    pub(crate) fn file(&self, block: &Block) -> String {
        format!("{}_{}", self.id, block.id)
    }
}

/// `text` in lower-case letters, digits and hyphens.
pub(crate) fn slug(text: &str) -> String {
    let words: Vec<String> = text
        .split(|c: char| !c.is_ascii_alphanumeric())
        .filter(|word| !word.is_empty())
        .map(str::to_ascii_lowercase)
        .collect();
    words.join("-")
}
