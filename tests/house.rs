//! What the house promises of itself: documents that name what exists.

use std::path::Path;

/// What documents link to exists.
#[test]
fn documents_name_files_that_exist() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut missing = Vec::new();
    for document in ["README.md", "CONTRIBUTING.md", "docs/architecture.md"] {
        let text = std::fs::read_to_string(root.join(document)).unwrap();
        for target in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let file = target.split('#').next().unwrap();
            if file.is_empty() || file.contains(':') {
                continue;
            }
            let path = root.join(document).parent().unwrap().join(file);
            if !path.exists() {
                missing.push(format!("{document} links to {file}"));
            }
        }
    }
    assert!(missing.is_empty(), "{missing:#?}");
}
