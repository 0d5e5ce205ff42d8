//! Whatever an encoder's pipeline writes is frames or an error, however it is cut; and any
//! bytes are an H.264 access unit or an error. The first byte says how they are cut.
#![no_main]

use afferent_codec_gstreamer::framing::Framing;
use afferent_codec_gstreamer::h264::Unit;

const LIMIT: usize = 4096;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let Some((&step, bytes)) = bytes.split_first() else { return };
    let cut = |step: usize| {
        let mut framing = Framing::new(LIMIT);
        let mut frames = Vec::new();
        for piece in bytes.chunks(step) {
            framing.push(piece);
            loop {
                match framing.cut() {
                    Ok(Some(frame)) => {
                        assert!(frame.len() <= LIMIT);
                        frames.push(frame);
                    }
                    Ok(None) => break,
                    Err(_) => return frames,
                }
            }
        }
        frames
    };
    assert_eq!(cut(usize::from(step).max(1)), cut(bytes.len().max(1)));
    if let Ok(unit) = Unit::of(bytes) {
        assert!(unit.coded <= bytes.len() && unit.width > 0 && unit.height > 0);
    }
});
