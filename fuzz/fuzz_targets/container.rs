//! Any bytes are a container or an error.
#![no_main]

use afferent_codec::Container;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let _ = Container::parse(bytes).and_then(Container::intact);
    let _ = afferent_codec::gap::read(bytes);
});
