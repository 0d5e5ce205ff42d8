//! Any bytes are a frame or a fault, to the parser and to both sessions.
#![no_main]

use afferent_link::frame::{Frame, MAX_FRAME};
use afferent_link::message::Message;
use afferent_link::{Now, agent, server};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    if let Ok(frame) = Frame::parse(bytes, MAX_FRAME) {
        let _ = Message::parse(&frame);
    }
    // A body under a right checksum gets past the frame.
    let Some((&kind, body)) = bytes.split_first() else { return };
    let mut whole = Vec::new();
    if afferent_link::frame::write(kind, body, &mut whole).is_err() {
        return;
    }
    let now = Now { monotonic_us: 1, wall_us: 1 };
    let mut agent = agent::Session::new(agent::Config::default(), agent::Greeting::default());
    agent.connected(now);
    let _ = agent.poll(now);
    let _ = agent.receive(&whole, now);
    let mut server = server::Session::new(server::Config::default(), "fuzz");
    let _ = server.receive(&whole, now);
    let _ = server.welcome(&[], now);
    let _ = server.receive(&whole, now);
    while let Ok(Some(_)) = server.poll(now) {}
});
