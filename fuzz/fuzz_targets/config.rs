//! Any text is a configuration or an error.
#![no_main]

libfuzzer_sys::fuzz_target!(|text: &str| {
    let _ = toml::from_str::<afferent_agent::Config>(text);
});
