//! Tells the program what it was built as.

use std::env;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    let value = |name: &str| env::var(name).unwrap_or_default();
    let flags = value("CARGO_ENCODED_RUSTFLAGS");
    let processor = flags.split('\x1f').find_map(|flag| flag.trim_start_matches("-C").strip_prefix("target-cpu="));
    println!("cargo::rustc-env=BUILT_FOR={}", value("TARGET"));
    println!("cargo::rustc-env=BUILT_AT={}", value("OPT_LEVEL"));
    println!("cargo::rustc-env=BUILT_CPU={}", processor.unwrap_or("generic"));
}
