//! `afferent models`: the zoo.

use afferent_media::Result;
use afferent_models::Store;
use comfy_table::{Table, presets};

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Fetch (if need be), verify and say where these models are
    names: Vec<String>,
}

pub(crate) fn run(args: Args) -> Result<()> {
    let store = Store::from_env()?;
    if args.names.is_empty() {
        let mut table = Table::new();
        table.load_style(presets::UTF8_HORIZONTAL_ONLY);
        table.set_header(["model", "task", "version", "licence", "trained on"]);
        for model in store.zoo().models() {
            table.add_row([
                model.name.clone(),
                model.task.to_string(),
                model.version.clone(),
                model.licence.clone(),
                model.trained_on.join(", "),
            ]);
        }
        println!("{table}");
    }
    for name in &args.names {
        let resolved = store.resolve(name)?;
        println!("{name}  sha256 {}  {}", resolved.sha256, resolved.path.display());
    }
    Ok(())
}
