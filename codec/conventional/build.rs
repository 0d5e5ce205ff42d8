//! Reads what libjpeg-turbo was really built as: its version, and whether its
//! vector code is in. The library itself tells neither at run time.

use std::path::Path;
use std::{env, fs};

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rustc-check-cfg=cfg(jpeg_simd)");
    let folders = env::var("DEP_TURBOJPEG_INCLUDE").unwrap_or_default();
    let config = folders.split(',').find_map(|folder| fs::read_to_string(Path::new(folder).join("jconfig.h")).ok());
    let value = |name: &str| {
        config.as_deref()?.lines().find_map(|line| {
            let mut words = line.split_whitespace();
            (words.next() == Some("#define") && words.next() == Some(name)).then(|| words.next().unwrap_or_default())
        })
    };
    println!("cargo::rustc-env=JPEG_VERSION={}", value("LIBJPEG_TURBO_VERSION").unwrap_or("of unknown version"));
    if value("WITH_SIMD").is_some() {
        println!("cargo::rustc-cfg=jpeg_simd");
    }
}
