//! Reads whether libaom was really built with its vector code, chosen at run time,
//! and optimised. The library itself does not tell.

use std::path::Path;
use std::{env, fs};

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rustc-check-cfg=cfg(aom_simd)");
    let include = env::var("DEP_AOM_INCLUDE").unwrap_or_default();
    let config = fs::read_to_string(Path::new(&include).join("../build/config/aom_config.h")).unwrap_or_default();
    let on = |name: &str| config.lines().any(|line| line.split_whitespace().eq(["#define", name, "1"]));
    let vectors = (on("HAVE_AVX2") && on("CONFIG_RUNTIME_CPU_DETECT")) || on("HAVE_NEON");
    // In a debug build the C code around the vector code is not optimised.
    if vectors && env::var("PROFILE").is_ok_and(|profile| profile == "release") {
        println!("cargo::rustc-cfg=aom_simd");
    }
}
