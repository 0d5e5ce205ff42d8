//! Tables of a report: the same figures on the page, on a terminal and as CSV.

use super::analysis::LEAST_CLUSTERS;
use crate::chart::Chart;
use crate::table;
use afferent_measure::stats::Interval;
use afferent_media::{Code, Error, Result};
use maud::{Markup, html};

/// A figure with its 95 % interval, where there is one.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Value {
    pub(crate) estimate: f64,
    pub(crate) interval: Option<(f64, f64)>,
    /// Samples that it is over.
    pub(crate) n: u64,
    /// Independent clusters of those.
    pub(crate) clusters: u64,
}

impl From<Interval> for Value {
    fn from(Interval { estimate, low, high, n, clusters }: Interval) -> Self {
        let enough = clusters >= LEAST_CLUSTERS as u64;
        Self { estimate, interval: enough.then_some((low, high)), n, clusters }
    }
}

/// How a column is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Show {
    Text,
    /// A number with so many decimals.
    Number(usize),
    /// A number and its interval, with so many decimals; three columns of CSV.
    Range(usize),
}

/// One column: its heading with its unit, and how its cells are written.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Column {
    pub(crate) name: String,
    pub(crate) show: Show,
}

/// What stands in a cell.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Cell {
    Text(String),
    Number(f64),
    Range(Value),
    /// A figure that does not apply, or that no row has.
    None,
}

impl From<Option<f64>> for Cell {
    fn from(value: Option<f64>) -> Self {
        value.filter(|value| value.is_finite()).map_or(Self::None, Self::Number)
    }
}

impl From<Option<Value>> for Cell {
    fn from(value: Option<Value>) -> Self {
        value.filter(|value| value.estimate.is_finite()).map_or(Self::None, Self::Range)
    }
}

impl From<u64> for Cell {
    #[allow(clippy::cast_precision_loss)]
    fn from(value: u64) -> Self {
        Self::Number(value as f64)
    }
}

impl From<String> for Cell {
    fn from(value: String) -> Self {
        Self::Text(value)
    }
}

impl From<&str> for Cell {
    fn from(value: &str) -> Self {
        Self::Text(value.to_owned())
    }
}

/// What stands where a figure does not apply.
const NONE: &str = "–";

impl Cell {
    /// As it is read.
    fn shown(&self, show: Show) -> String {
        let digits = match show {
            Show::Text => 0,
            Show::Number(digits) | Show::Range(digits) => digits,
        };
        match self {
            Self::Text(text) => text.clone(),
            Self::None => NONE.to_owned(),
            Self::Number(value) => decimal(*value, digits),
            Self::Range(Value { estimate, interval: None, .. }) => decimal(*estimate, digits),
            Self::Range(Value { estimate, interval: Some((low, high)), .. }) => {
                format!("{} [{}, {}]", decimal(*estimate, digits), decimal(*low, digits), decimal(*high, digits))
            }
        }
    }

    /// What it is sorted by.
    fn key(&self) -> Option<f64> {
        match self {
            Self::Number(value) | Self::Range(Value { estimate: value, .. }) => Some(*value),
            Self::Text(_) | Self::None => None,
        }
    }
}

/// `value` with so many decimals, and no minus before a zero.
fn decimal(value: f64, digits: usize) -> String {
    let text = format!("{value:.digits$}");
    match text.strip_prefix('-') {
        Some(zero) if zero.chars().all(|c| matches!(c, '0' | '.')) => zero.to_owned(),
        _ => text,
    }
}

/// One table.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Grid {
    /// Its heading.
    pub(crate) title: String,
    /// How its figures come from rows.
    pub(crate) query: String,
    pub(crate) columns: Vec<Column>,
    pub(crate) rows: Vec<Vec<Cell>>,
    /// What must be said of it.
    pub(crate) notes: Vec<String>,
}

impl Grid {
    /// A table without rows.
    pub(crate) fn new(title: impl Into<String>, query: impl Into<String>, columns: &[(&str, Show)]) -> Self {
        let columns = columns.iter().map(|&(name, show)| Column { name: name.to_owned(), show }).collect();
        Self { title: title.into(), query: query.into(), columns, rows: Vec::new(), notes: Vec::new() }
    }

    /// The points of a chart.
    pub(crate) fn of_chart(chart: &Chart, query: impl Into<String>) -> Self {
        let columns = [
            ("series", Show::Text),
            ("point", Show::Text),
            (chart.x.label.as_str(), Show::Number(4)),
            (chart.y.label.as_str(), Show::Range(3)),
        ];
        let mut grid = Self::new(chart.title.clone(), query, &columns);
        for series in &chart.series {
            let name = &series.name;
            grid.rows.extend(series.points.iter().map(|point| {
                let y = Value { estimate: point.y, interval: point.interval, n: 0, clusters: 0 };
                vec![name.clone().into(), point.label.clone().into(), Some(point.x).into(), Some(y).into()]
            }));
        }
        grid.rows.extend(
            chart
                .levels
                .iter()
                .map(|level| vec![level.name.clone().into(), "".into(), Cell::None, Some(level.y).into()]),
        );
        grid
    }

    /// The table on a page: sortable by its headings where there is a script.
    pub(crate) fn html(&self, id: &str) -> Markup {
        html! {
            div.scroll tabindex="0" role="region" aria-label=(self.title) {
                table id=(id) {
                    caption { (self.title) }
                    thead { tr { @for column in &self.columns {
                        th scope="col" class=[(column.show != Show::Text).then_some("number")]
                            data-range[matches!(column.show, Show::Range(_))] { (column.name) }
                    } } }
                    tbody { @for row in &self.rows { tr {
                        @for (place, (cell, column)) in row.iter().zip(&self.columns).enumerate() {
                            @let text = cell.shown(column.show);
                            @if place == 0 { th scope="row" { (text) } }
                            @else if let Some(key) = cell.key() {
                                @if let Cell::Range(Value { interval: Some((low, high)), .. }) = cell {
                                    td.number data-v=(key) data-low=(low) data-high=(high) { (text) }
                                } @else {
                                    td.number data-v=(key) { (text) }
                                }
                            }
                            @else { td class=[(column.show != Show::Text).then_some("number")] { (text) } }
                        }
                    } } }
                }
            }
            p.under {
                button.script type="button" data-csv=(id) { "Save as CSV" }
                span.query { "Query: " (self.query) }
            }
            @for note in &self.notes { p.note { (note) } }
        }
    }

    /// The table on a terminal, without escapes.
    pub(crate) fn text(&self) -> String {
        let heads = self.columns.iter().map(|column| column.name.replacen(", ", "\n", 1));
        let rows =
            self.rows.iter().map(|row| row.iter().zip(&self.columns).map(|(cell, column)| cell.shown(column.show)));
        let mut text = format!("{}\n\n", self.title);
        text.push_str(&table::lines(heads, rows));
        if !self.notes.is_empty() {
            text.push('\n');
        }
        text.extend(self.notes.iter().map(|note| table::wrap(note)));
        text
    }

    /// The table as CSV with full precision; an interval has columns of its own.
    ///
    /// # Errors
    /// [`Code::Internal`] if it cannot be written.
    pub(crate) fn csv(&self) -> Result<String> {
        let mut writer = csv::Writer::from_writer(Vec::new());
        let failed = |e: csv::Error| {
            Error::new(Code::Internal, format!("`{}` cannot be written as CSV", self.title), "report this").caused_by(e)
        };
        let mut heads = Vec::new();
        for Column { name, show } in &self.columns {
            heads.push(name.clone());
            if matches!(show, Show::Range(_)) {
                heads.extend(["low", "high"].map(|end| format!("{name}: 95 % {end}")));
            }
        }
        writer.write_record(&heads).map_err(failed)?;
        for row in &self.rows {
            let mut record = Vec::new();
            for (cell, column) in row.iter().zip(&self.columns) {
                let ends = match cell {
                    Cell::Range(Value { interval, .. }) => *interval,
                    _ => None,
                };
                record.push(match cell {
                    Cell::Text(text) => text.clone(),
                    Cell::None => String::new(),
                    Cell::Number(value) | Cell::Range(Value { estimate: value, .. }) => value.to_string(),
                });
                if matches!(column.show, Show::Range(_)) {
                    record.extend(
                        [ends.map(|(low, _)| low), ends.map(|(_, high)| high)]
                            .map(|end| end.map(|end| end.to_string()).unwrap_or_default()),
                    );
                }
            }
            writer.write_record(&record).map_err(failed)?;
        }
        let bytes = writer.into_inner().map_err(|e| failed(e.into_error().into()))?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grid() -> Grid {
        let columns = [("codec", Show::Text), ("rate, bpp", Show::Number(3)), ("agreement, %", Show::Range(1))];
        let mut grid = Grid::new("Points <all>", "sum of bits", &columns);
        let value = |interval| Some(Value { estimate: 91.25, interval, n: 40, clusters: 40 });
        grid.rows = vec![
            vec!["jpeg, \"420\"".into(), Some(0.125).into(), value(Some((80.0, 96.04))).into()],
            vec!["png".into(), Cell::None, value(None).into()],
            vec!["odd".into(), Some(f64::NAN).into(), Cell::Number(-0.01)],
        ];
        grid
    }

    #[test]
    fn a_table_is_the_same_everywhere() {
        let text = grid().text();
        assert!(text.contains("91.2 [80.0, 96.0]") && text.contains("0.125"), "{text}");
        assert_eq!(
            grid().csv().unwrap(),
            "codec,\"rate, bpp\",\"agreement, %\",\"agreement, %: 95 % low\",\"agreement, %: 95 % high\"\n\
             \"jpeg, \"\"420\"\"\",0.125,91.25,80,96.04\npng,,91.25,,\nodd,,-0.01,,\n"
        );
        let html = grid().html("t").into_string();
        assert!(html.contains("data-v=\"0.125\"") && html.contains("data-low=\"80\"") && html.contains("&lt;all&gt;"));
        assert!(html.contains("<td class=\"number\">–</td>") && html.contains(">0.0</td>"), "{html}");
    }
}
