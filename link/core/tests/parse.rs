//! The parser and both sessions on input that no honest peer sends: an error,
//! never a panic.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use afferent_link::frame::{self, Frame, MAX_FRAME, PacketFrame, kind};
use afferent_link::message::*;
use afferent_link::{Fault, Now, PROTOCOL, PacketKey, agent, server};
use afferent_media::{Bytes, Code, Error, RateParts};
use proptest::prelude::*;

fn framed<M: Body>(message: &M) -> Vec<u8> {
    let mut frame = Vec::new();
    write(message, &mut frame).unwrap();
    frame
}

fn hello() -> Hello<'static> {
    let info = CodecInfo { id: "jpeg", version: 1, exactness: Exactness::Exact };
    Hello {
        protocol: PROTOCOL,
        role: Role::Agent,
        device: "cam-7",
        epoch: 77,
        build: "test",
        sent_us: 1,
        codecs: [info].into_iter().collect(),
    }
}

fn packet(stream: u32, sequence: u64, body: &[u8]) -> Vec<u8> {
    let header = PacketHeader { payload: body.len() as u32, sample: "id", ..PacketHeader::new(stream, sequence) };
    let frame = PacketFrame::new(&header, body).unwrap();
    [&frame.head[..], body, &frame.tail].concat()
}

/// One of each message.
fn all() -> Vec<Vec<u8>> {
    let run = AckRange { stream: 1, first: 5, last: 9 };
    let zero = RateParts::default();
    let no_energy = NoEnergy::NoMeter;
    vec![
        framed(&hello()),
        framed(&Welcome { protocol: 1, build: "s", received_us: 1, sent_us: 2, stored: [run].into_iter().collect() }),
        framed(&Open { stream: 1, name: "front", codec: "jpeg", preset: "420", knob: Some(5.0) }),
        packet(1, 2, b"container"),
        framed(&Ack { ranges: [run; 3].into_iter().collect() }),
        framed(&Control { stream: 1, codec: "webp", preset: "", knob: None }),
        framed(&Telemetry {
            sent_us: 1,
            clock_offset_us: -1,
            clock_error_us: 1,
            spool_packets: 1,
            spool_bytes: 1,
            dropped: 1,
            temperature_mc: Some(1),
            throttled: Some(true),
            energy_uj: Some(1),
            no_energy,
            meter: "m",
            metered_from_us: 1,
            encode_uj: 1,
            encode_us: 1,
            throttle_flags: Some(1),
        }),
        framed(&Bye { packets: 1, parts: zero, tx_bytes: 1, rx_bytes: 1, reason: "done" }),
        framed(&Refuse { reason: Reason::Busy, what: "full", remedy: "later" }),
        framed(&Ping { asked_us: 1 }),
        framed(&Pong { asked_us: 1, received_us: 1, sent_us: 1 }),
    ]
}

fn feed(frame: &[u8]) {
    let _ = Frame::parse(frame, MAX_FRAME).and_then(|frame| Message::parse(&frame).map(|_| ()));
    let now = Now::default();
    let mut server = server::Session::new(server::Config::default(), "");
    let _ = server.receive(frame, now);
    server.receive(&framed(&hello()), now).ok();
    server.welcome(&[], now).ok();
    let _ = server.receive(frame, now);
    while let Ok(Some(server::Action::Send(_))) = server.poll(now) {}
    let mut agent = agent::Session::new(agent::Config::default(), agent::Greeting::default());
    agent.connected(now);
    agent.offer(PacketKey { stream: 1, sequence: 6 }, RateParts::default());
    let _ = agent.receive(frame, now);
    let _ = agent.receive(frame, now);
    for _ in 0..10 {
        let _ = agent.poll(now);
    }
}

#[test]
fn each_message_survives_the_wire() {
    for (index, frame) in all().iter().enumerate() {
        let frame = Frame::parse(frame, MAX_FRAME).unwrap();
        assert_eq!(usize::from(frame.kind), index + 1);
        assert!(!matches!(Message::parse(&frame).unwrap(), Message::Unknown(_)));
    }
    let hello_frame = framed(&hello());
    let parsed = Message::parse(&Frame::parse(&hello_frame, MAX_FRAME).unwrap()).unwrap();
    assert_eq!(parsed, Message::Hello(hello()));
}

#[test]
fn every_truncation_and_every_flipped_bit_is_an_error() {
    for good in all() {
        for cut in 0..good.len() {
            assert_eq!(Frame::parse(&good[..cut], MAX_FRAME), Err(Fault::Truncated));
            feed(&good[..cut]);
        }
        for bit in 0..good.len() * 8 {
            let mut bad = good.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            assert!(Frame::parse(&bad, MAX_FRAME).is_err());
            feed(&bad);
        }
        let mut longer = good.clone();
        longer.push(0);
        assert_eq!(Frame::parse(&longer, MAX_FRAME), Err(Fault::Trailing));
    }
}

/// With a right checksum around a wrong body, the messages are on their own.
#[test]
fn every_change_within_a_valid_frame_is_survived() {
    for good in all() {
        let frame = Frame::parse(&good, MAX_FRAME).unwrap();
        let (kind, body) = (frame.kind, frame.body.to_vec());
        let reframed = |body: &[u8]| {
            let mut out = Vec::new();
            frame::write(kind, body, &mut out).unwrap();
            feed(&out);
        };
        (0..=body.len()).for_each(|cut| reframed(&body[..cut]));
        for at in 0..body.len() {
            for value in [0, 1, 0x7f, 0x80, 0xff] {
                let mut bad = body.clone();
                bad[at] = value;
                reframed(&bad);
            }
        }
    }
}

proptest! {
    #[test]
    fn any_bytes_are_an_error_or_a_message(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        feed(&bytes);
    }

    #[test]
    fn any_body_in_a_valid_frame_is_survived(kind in 0u8..14, body in proptest::collection::vec(any::<u8>(), 0..300)) {
        let mut out = Vec::new();
        frame::write(kind, &body, &mut out).unwrap();
        feed(&out);
    }
}

#[test]
fn an_oversized_frame_is_refused_by_its_header_alone() {
    let fault = frame::length(&[kind::PACKET, 0xff, 0xff, 0xff, 0xff, 0x0f], MAX_FRAME).unwrap_err();
    assert_eq!(fault, Fault::TooLong { length: u64::from(u32::MAX) + 10, limit: MAX_FRAME as u64 });
    let error = Error::from(fault);
    assert_eq!(error.code(), Code::Limit);
    assert_eq!(error.what(), "a frame of 4294967305 bytes exceeds the limit of 16777216");
    // What is no packet has a much lower limit, at both ends.
    let mut out = Vec::new();
    frame::write(kind::OPEN, &vec![0; MAX_CONTROL], &mut out).unwrap();
    let mut server = server::Session::new(server::Config::default(), "");
    assert!(matches!(server.receive(&out, Now::default()), Err(Fault::TooLong { .. })));
}

#[test]
fn a_packet_cannot_claim_more_than_its_body() {
    let header = PacketHeader { payload: 5, side: u32::MAX, header: u32::MAX, ..PacketHeader::new(0, 0) };
    assert_eq!(PacketFrame::new(&header, b"short").unwrap_err(), Fault::Syntax("a packet's rate parts"));
    let long = "s".repeat(MAX_SAMPLE_ID + 1);
    let header = PacketHeader { sample: &long, ..PacketHeader::new(0, 0) };
    assert_eq!(PacketFrame::new(&header, b"").unwrap_err(), Fault::TooLong { length: 256, limit: 255 });
    let header = PacketHeader { payload: 2, side: 1, header: 1, ..PacketHeader::new(0, 0) };
    let parts = PacketFrame::new(&header, b"short").unwrap().parts();
    assert_eq!((parts.container, parts.storage()), (Bytes(1), Bytes(5)));
}

#[test]
fn no_common_version_is_refused_with_a_remedy_at_both_ends() {
    let now = Now::default();
    let mut server = server::Session::new(server::Config::default(), "");
    let old = Hello { protocol: Versions { min: 7, max: 9 }, ..hello() };
    let fault = server.receive(&framed(&old), now).unwrap_err();
    let error = Error::from(fault);
    assert_eq!((error.code(), error.remedy()), (Code::Unsupported, "update this end"));
    let Some(server::Action::Send(refusal)) = server.poll(now).unwrap() else { panic!() };
    assert_eq!(server.poll(now).unwrap(), Some(server::Action::Close));
    let mut agent = agent::Session::new(agent::Config::default(), agent::Greeting::default());
    agent.connected(now);
    let Ok(Some(agent::Event::Refused(refuse))) = agent.receive(&refusal, now) else { panic!() };
    let error = Error::from(refuse);
    assert_eq!(error.code(), Code::Unsupported);
    assert_eq!(error.what(), "the server refused: the agent speaks protocol 7 to 9, the server 1");
    assert_eq!(error.remedy(), "update the server");
}

#[test]
fn unknown_messages_are_skipped_and_counted_at_both_ends() {
    let now = Now::default();
    let mut unknown = Vec::new();
    frame::write(200, b"from the future", &mut unknown).unwrap();
    let mut server = server::Session::new(server::Config::default(), "");
    assert_eq!(server.receive(&unknown, now), Ok(None));
    server.receive(&framed(&hello()), now).unwrap();
    server.welcome(&[], now).unwrap();
    assert_eq!(server.receive(&unknown, now), Ok(None));
    assert_eq!(server.skipped(), 2);
    let Some(server::Action::Send(welcome)) = server.poll(now).unwrap() else { panic!() };
    let mut agent = agent::Session::new(agent::Config::default(), agent::Greeting::default());
    agent.connected(now);
    assert_eq!(agent.receive(&unknown, now), Ok(None));
    agent.receive(&welcome, now).unwrap();
    assert_eq!(agent.receive(&unknown, now), Ok(None));
    assert_eq!(agent.skipped(), 2);
}

#[test]
fn messages_out_of_turn_are_refused() {
    let now = Now::default();
    let mut server = server::Session::new(server::Config::default(), "");
    for frame in &all()[1..] {
        assert!(matches!(server.receive(frame, now), Err(Fault::OutOfTurn(_))));
    }
    assert!(matches!(server.welcome(&[], now), Err(Fault::OutOfTurn(_))));
    server.receive(&framed(&hello()), now).unwrap();
    let other = framed(&Hello { device: "cam-8", ..hello() });
    assert_eq!(server.receive(&other, now), Err(Fault::OutOfTurn("a hello of another agent")));
    server.refuse(Reason::Identity, "`cam-7` is not enrolled", "enroll it").unwrap();
    assert!(matches!(server.receive(&framed(&hello()), now), Err(Fault::OutOfTurn(_))));
}

#[test]
fn a_server_is_not_made_to_grow() {
    let now = Now::default();
    let mut server = server::Session::new(server::Config { streams: 2, ..server::Config::default() }, "");
    server.receive(&framed(&hello()), now).unwrap();
    server.welcome(&[], now).unwrap();
    assert!(server.receive(&packet(0, 0, b""), now).is_ok());
    assert!(server.receive(&packet(7, 0, b""), now).is_ok());
    assert_eq!(server.receive(&packet(8, 0, b""), now), Err(Fault::Full("streams of a session")));
    let flood = |server: &mut server::Session| {
        (0..2000).find_map(|_| server.receive(&framed(&Ping { asked_us: 0 }), now).err())
    };
    assert_eq!(flood(&mut server), Some(Fault::Full("control messages that wait to be sent")));
    let gap = (0..20_000).find_map(|n| {
        let key = PacketKey { stream: 0, sequence: n * 2 };
        server.stored(key, RateParts::default(), true, now).err()
    });
    assert_eq!(gap, Some(Fault::Full("runs of a range set")));
}

#[test]
fn acks_are_coalesced_by_count_and_by_time_and_duplicates_at_once() {
    let at = |monotonic_us| Now { monotonic_us, wall_us: 0 };
    let mut server = server::Session::new(server::Config::default(), "");
    server.receive(&framed(&hello()), at(0)).unwrap();
    server.welcome(&[], at(0)).unwrap();
    assert!(matches!(server.poll(at(0)), Ok(Some(server::Action::Send(_)))));
    let ranges = |server: &mut server::Session, now| {
        let Ok(Some(server::Action::Send(frame))) = server.poll(at(now)) else { return vec![] };
        let Ok(Message::Ack(ack)) = Message::parse(&Frame::parse(&frame, MAX_FRAME).unwrap()) else { panic!() };
        ack.ranges.iter().map(|run| (run.stream, run.first, run.last)).collect()
    };
    let key = |sequence| PacketKey { stream: 3, sequence };
    let parts = RateParts { payload: Bytes(9), ..RateParts::default() };
    for sequence in [0, 2, 1, 9] {
        server.stored(key(sequence), parts, true, at(100)).unwrap();
    }
    assert_eq!(ranges(&mut server, 101), []);
    assert_eq!(server.deadline(), Some(20_100));
    assert_eq!(ranges(&mut server, 20_100), [(3, 0, 2), (3, 9, 9)]);
    assert_eq!(server.deadline(), None);
    (10..42).for_each(|sequence| server.stored(key(sequence), parts, true, at(30_000)).unwrap());
    assert_eq!(ranges(&mut server, 30_000), [(3, 10, 41)]);
    server.stored(key(2), parts, false, at(30_000)).unwrap();
    assert_eq!(ranges(&mut server, 30_000), [(3, 2, 2)]);
    assert_eq!(server.ledger().packets, 36);
    assert_eq!(server.ledger().parts.payload, Bytes(36 * 9));
}
