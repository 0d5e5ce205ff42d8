//! Resolves models and says what was found: for recipes, and to pin a digest.
//!
//! `cargo run --profile ci -p afferent-models --example resolve -- [--zoo FILE] NAME…`
//!
//! One line per model: name, SHA-256, inputs, outputs, path of the ONNX file.

use afferent_media::Result;
use afferent_models::Store;
use std::path::Path;

fn main() -> Result<()> {
    let mut store = Store::from_env()?;
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        if argument == "--zoo" {
            let file = arguments.next().unwrap_or_default();
            store = store.with_zoo(Path::new(&file))?;
            continue;
        }
        let model = store.resolve(&argument)?;
        let (inputs, outputs) = (&model.manifest.inputs, &model.manifest.outputs);
        println!("{argument}\t{}\t{inputs:?}\t{outputs:?}\t{}", model.sha256, model.path.display());
    }
    Ok(())
}
