//! `afferent models`: the zoo.

use afferent_media::Result;
use afferent_models::Store;
use comfy_table::{Table, presets};
use std::path::{Path, PathBuf};

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Fetch (if need be), verify and say where these models are
    names: Vec<String>,
    /// Zoo file of your own, with models beside the built-in ones (`models/examples` has some)
    #[arg(long)]
    zoo: Option<PathBuf>,
}

/// The store, with a user's zoo added.
pub(crate) fn store(zoo: Option<&Path>) -> Result<Store> {
    let store = Store::from_env()?;
    match zoo {
        Some(zoo) => store.with_zoo(zoo),
        None => Ok(store),
    }
}

pub(crate) fn run(args: Args) -> Result<()> {
    let store = store(args.zoo.as_deref())?;
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
