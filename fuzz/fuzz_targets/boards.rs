//! Any text is a board file or an error.
#![no_main]

libfuzzer_sys::fuzz_target!(|text: &str| {
    let _ = afferent_boards_spec::Board::parse(text);
});
