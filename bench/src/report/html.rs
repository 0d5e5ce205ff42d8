//! A report as one file of HTML that asks for nothing else.

use super::page::{Block, Content, Page, Section};
use crate::chart;
use maud::{DOCTYPE, Markup, PreEscaped, html};

const STYLE: &str = include_str!("page.css");
const SCRIPT: &str = include_str!("page.js");

/// Lines of a table that is shown at once.
const LONG: usize = 30;

/// The whole page.
pub(crate) fn render(page: &Page) -> String {
    let colours = format!(
        ":root{{{light}}}@media (prefers-color-scheme:dark){{:root:not([data-theme=light]){{{dark}}}}}\
         :root[data-theme=dark]{{{dark}}}@media print{{:root,:root[data-theme]{{{light}}}}}",
        light = chart::variables(false),
        dark = chart::variables(true)
    );
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                // Nothing is loaded from anywhere: what the page has is in it.
                meta http-equiv="Content-Security-Policy"
                    content="default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data:";
                link rel="icon" href="data:,";
                title { (page.title) }
                style { (PreEscaped(colours)) (PreEscaped(chart::rules())) (PreEscaped(STYLE)) }
            }
            body {
                a.skip href="#_main" { "Skip to the figures" }
                header {
                    h1 { (page.title) }
                    button.script #_theme type="button" aria-pressed="false" { "Dark" }
                }
                (contents(page))
                main #_main tabindex="-1" {
                    section #_measured aria-labelledby="_measured_head" {
                        h2 #_measured_head { "What was measured" }
                        dl { @for (name, values) in &page.facts {
                            dt { (name) }
                            @for value in values { dd { (value) } }
                        } }
                        ul { @for note in &page.notes { li { (note) } } }
                    }
                    @for section in &page.sections { (part(section)) }
                    (method(page))
                }
                div #_tip role="tooltip" hidden {}
                script { (PreEscaped(SCRIPT)) }
            }
        }
    }
    .into_string()
}

fn contents(page: &Page) -> Markup {
    html! {
        nav aria-label="Contents" {
            ul {
                li { a href="#_measured" { "What was measured" } }
                @for section in &page.sections {
                    li class=[section.inner.then_some("inner")] { a href={ "#" (section.id) } { (section.heading) } }
                }
                li { a href="#_method" { "Method" } }
            }
        }
    }
}

fn part(section: &Section) -> Markup {
    let head = format!("{}_head", section.id);
    html! {
        section #(section.id) aria-labelledby=(head) {
            @if section.inner { h3 #(head) { (section.heading) } } @else { h2 #(head) { (section.heading) } }
            @for lead in &section.lead { p { (lead) } }
            @for block in &section.blocks { (content(&section.file(block), block)) }
        }
    }
}

fn content(id: &str, block: &Block) -> Markup {
    let table = format!("{id}_table");
    match &block.content {
        // A long table stands behind its heading.
        Content::Table(grid) if grid.rows.len() > LONG => html! {
            details.block #(id) {
                summary { (grid.title) " (" (grid.rows.len()) " lines)" }
                (grid.html(&table))
            }
        },
        Content::Table(grid) => html! { div.block #(id) { (grid.html(&table)) } },
        Content::Worst(worst) => html! { div.block #(id) { (worst.html()) } },
        Content::Chart(chart, grid) => html! {
            figure.block #(id) aria-labelledby={ (id) "_title" } {
                figcaption {
                    h4 #{ (id) "_title" } { (chart.title) }
                    p.note { (chart.note) }
                }
                div.legend role="group" aria-label="Show or hide" {
                    @for (style, name) in chart.legend() {
                        button type="button" data-toggle=(style) aria-pressed="true" { (chart::swatch(style)) (name) }
                    }
                    @if chart.faint() {
                        button type="button" data-toggle="faint" aria-pressed="true" { "every preset and size" }
                    }
                }
                div.scroll tabindex="0" role="region" aria-label={ (chart.title) ", chart" } { (chart.inline()) }
                details {
                    summary { "The same as a table" }
                    (grid.html(&table))
                }
            }
        },
    }
}

fn method(page: &Page) -> Markup {
    html! {
        section #_method aria-labelledby="_method_head" {
            h2 #_method_head { "Method" }
            p { "Every figure is a query over rows: one row per sample, operating point and model. Each table states its query." }
            dl { @for (name, definition) in &page.definitions { dt { (name) } dd { (definition) } } }
            h3 { "Rows" }
            ul { @for (file, sha256) in &page.files { li { code { (file) } ", SHA-256 " code { (sha256) } } } }
        }
    }
}
