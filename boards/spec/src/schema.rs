//! `docs/boards.md` is made of the types' documentation, so that it cannot say
//! otherwise.

use crate::Board;
use serde_json::{Map, Value};
use std::collections::BTreeMap;

const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/boards.md");
const MARK: &str =
    "<!-- Below: made of boards/spec/src by `AFFERENT_WRITE_DOCS=1 cargo test -p afferent-boards-spec`. -->\n";

#[test]
fn the_page_documents_every_key() {
    let page = std::fs::read_to_string(PAGE).unwrap();
    let (prose, _) = page.split_once(MARK).expect("docs/boards.md has lost its mark");
    let right = format!("{prose}{MARK}{}", keys());
    if std::env::var_os("AFFERENT_WRITE_DOCS").is_some() {
        return std::fs::write(PAGE, right).unwrap();
    }
    assert!(page == right, "docs/boards.md is not that of the types: run this test with AFFERENT_WRITE_DOCS=1");
}

/// Tables of every key of every type, and lists of every word.
fn keys() -> String {
    let schema = schemars::schema_for!(Board).to_value();
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
