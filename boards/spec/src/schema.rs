//! `docs/boards.md` and `docs/board-benchmark.md` are made of the types' documentation,
//! so that they cannot say otherwise.

use crate::Board;
use crate::benchmark::Benchmark;
use serde_json::{Map, Value};
use std::collections::BTreeMap;

const DOCS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs");
const MARK: &str =
    "<!-- Below: made of boards/spec/src by `AFFERENT_WRITE_DOCS=1 cargo test -p afferent-boards-spec`. -->\n";

#[test]
fn the_pages_document_every_key() {
    documents("boards.md", &schemars::schema_for!(Board).to_value());
    documents("board-benchmark.md", &schemars::schema_for!(Benchmark).to_value());
}

fn documents(page: &str, schema: &Value) {
    let path = format!("{DOCS}/{page}");
    let text = std::fs::read_to_string(&path).unwrap();
    let (prose, _) = text.split_once(MARK).unwrap_or_else(|| panic!("docs/{page} has lost its mark"));
    let right = format!("{prose}{MARK}{}", keys(schema));
    if std::env::var_os("AFFERENT_WRITE_DOCS").is_some() {
        return std::fs::write(path, right).unwrap();
    }
    assert!(text == right, "docs/{page} is not that of the types: run this test with AFFERENT_WRITE_DOCS=1");
}

/// Tables of every key of every type, and lists of every word.
fn keys(schema: &Value) -> String {
    // Whether serde_json keeps an order is up to other crates' features.
    let types: BTreeMap<_, _> = schema["$defs"].as_object().unwrap().iter().collect();
    let mut text = table("The file", schema.as_object().unwrap());
    for (name, of) in types {
        let of = of.as_object().unwrap();
        text += &if of.contains_key("properties") { table(name, of) } else { words(name, of) };
    }
    text
}

fn described(of: &Map<String, Value>) -> String {
    let text = of.get("description").and_then(Value::as_str).expect("every type and key is documented");
    text.replace('\n', " ")
}

fn table(title: &str, of: &Map<String, Value>) -> String {
    let required = of.get("required").and_then(Value::as_array).cloned().unwrap_or_default();
    let mut text = format!("\n### {title}\n\n{}\n\n| key | value | |\n|---|---|---|\n", described(of));
    let keys: BTreeMap<_, _> = of["properties"].as_object().unwrap().iter().collect();
    for (key, value) in keys {
        let must = if required.iter().any(|name| name == key) { "**needed** " } else { "" };
        text += &format!("| `{key}` | {must}{} | {} |\n", kind(value), described(value.as_object().unwrap()));
    }
    text
}

/// The alternatives of an enumeration.
fn words(title: &str, of: &Map<String, Value>) -> String {
    let mut text = format!("\n### {title}\n\n{}\n\n", described(of));
    for one in of.get("oneOf").or(of.get("anyOf")).and_then(Value::as_array).unwrap() {
        let one = one.as_object().unwrap();
        let word = match (one.get("const"), one.get("properties").and_then(Value::as_object)) {
            (Some(word), _) => format!("`\"{}\"`", word.as_str().unwrap()),
            (None, Some(keys)) => {
                let (key, value) = keys.iter().next().unwrap();
                format!("`{{ {key} = … }}`, {}", kind(value))
            }
            (None, None) => kind(&Value::Object(one.clone())),
        };
        text += &format!("- {word}: {}\n", described(one));
    }
    text
}

/// What kind of value a schema takes, in words.
fn kind(of: &Value) -> String {
    if let Some(name) = of["$ref"].as_str() {
        let name = name.rsplit('/').next().unwrap();
        return format!("[{name}](#{})", name.to_lowercase());
    }
    if let Some(all) = of["anyOf"].as_array() {
        return all.iter().filter(|one| one["type"] != "null").map(kind).collect();
    }
    let name = match &of["type"] {
        Value::Array(all) => all.iter().find(|one| *one != "null").and_then(Value::as_str),
        one => one.as_str(),
    };
    match name {
        Some("array") => format!("list of {}", kind(&of["items"])),
        Some("object") => "table".to_owned(),
        Some(name) => name.to_owned(),
        None => panic!("{of} is of no kind"),
    }
}
