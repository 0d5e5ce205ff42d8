//! Whole sessions over the in-memory link, in virtual time: whatever happens to
//! frames, every accepted packet is stored exactly once or still held by the
//! agent, and once the faults end everything arrives and both ledgers agree.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use afferent_link::frame::PacketFrame;
use afferent_link::memory::{Arrival, End, Faults, Link};
use afferent_link::message::{AckRange, Class, MAX_RANGES, Open, PacketHeader};
use afferent_link::{Ledger, Now, PacketKey, RangeSet, agent, server};
use proptest::prelude::*;
use std::collections::{BTreeMap, VecDeque};

/// The server's wall clock is ahead by this.
const AHEAD_US: u64 = 3_000_000;
const WALL_US: u64 = 1_700_000_000_000_000;

fn at(time: u64, ahead: u64) -> Now {
    Now { monotonic_us: time, wall_us: WALL_US + time + ahead }
}

struct Spooled {
    class: Class,
    sample: String,
    body: Vec<u8>,
}

impl Spooled {
    fn frame(&self, key: PacketKey, time: u64) -> PacketFrame {
        let third = (self.body.len() / 3) as u32;
        let header = PacketHeader {
            class: self.class,
            captured_us: WALL_US,
            sent_us: at(time, 0).wall_us,
            encode_us: 900,
            payload: third,
            side: third,
            header: third / 2,
            sample: &self.sample,
            ..PacketHeader::new(key.stream, key.sequence)
        };
        PacketFrame::new(&header, &self.body).unwrap()
    }
}

/// A board: its spool, what of it was offered, its session.
struct Board {
    session: agent::Session,
    config: agent::Config,
    spool: BTreeMap<PacketKey, Spooled>,
    to_offer: VecDeque<PacketKey>,
    dial_at: u64,
}

/// A server: its store by device, and the session of the present connection.
struct Store {
    session: server::Session,
    seen: BTreeMap<u32, RangeSet>,
    bodies: BTreeMap<PacketKey, Vec<u8>>,
    /// Received and not synced yet: syncs take time, acks wait for them.
    unsynced: VecDeque<(u64, PacketKey, afferent_media::RateParts, bool)>,
    ledger: Ledger,
    closed: Ledger,
}

impl Store {
    fn total(&self) -> Ledger {
        let now = self.session.ledger();
        Ledger { packets: self.closed.packets + now.packets, parts: self.closed.parts + now.parts }
    }
}

fn config() -> agent::Config {
    agent::Config {
        window_packets: 16,
        window_bytes: 20_000,
        ping_us: Some(700_000),
        resend: Some(agent::Resend::default()),
        silence_us: Some(15_000_000),
        ..agent::Config::default()
    }
}

struct Sizes(Vec<(u32, u16)>);

fn run(
    config: agent::Config,
    faults: Faults,
    seed: u64,
    sizes: &Sizes,
    restart_agent_at: Option<u64>,
) -> (Board, Store, Link, u64) {
    let greeting = || agent::Greeting { device: "cam-7".into(), epoch: 9, build: "t".into(), codecs: vec![] };
    let mut link = Link::new(faults, seed);
    let mut board = Board {
        session: agent::Session::new(config, greeting()),
        config,
        spool: BTreeMap::new(),
        to_offer: VecDeque::new(),
        dial_at: 0,
    };
    let mut next = BTreeMap::<u32, u64>::new();
    for (index, &(stream, size)) in sizes.0.iter().enumerate() {
        let sequence = next.entry(stream).or_default();
        let key = PacketKey { stream, sequence: *sequence };
        *sequence += 1;
        let class = if index % 3 == 0 { Class::Backfill } else { Class::Live };
        let body = (0..size).map(|i| (u32::from(i) * 7 + index as u32) as u8).collect();
        board.spool.insert(key, Spooled { class, sample: format!("sample-{index}"), body });
        board.to_offer.push_back(key);
    }
    let new_session = || server::Session::new(server::Config::default(), "t");
    let mut store = Store {
        session: new_session(),
        seen: BTreeMap::new(),
        bodies: BTreeMap::new(),
        unsynced: VecDeque::new(),
        ledger: Ledger::default(),
        closed: Ledger::default(),
    };
    for stream in next.keys() {
        let open = Open { stream: *stream, name: "camera", codec: "jpeg", preset: "420", knob: Some(5.0) };
        board.session.open(&open).unwrap();
    }
    let accepted = board.spool.len();
    let mut healed = false;
    let mut restart_agent_at = restart_agent_at;
    let mut time = 0;
    for _step in 0..200_000 {
        // The agent's process dies and comes back with its spool and a fresh session.
        if restart_agent_at.is_some_and(|when| time >= when) {
            restart_agent_at = None;
            board.session = agent::Session::new(config, greeting());
            board.to_offer = board.spool.keys().copied().collect();
            board.dial_at = time;
            link.cut(time, 1000);
            store.ledger = store.total();
        }
        if !link.is_up() && time >= board.dial_at && !link.connect(time) {
            board.dial_at = time + 50_000;
        }
        // The agent's end.
        while let Some(arrival) = link.receive(End::Agent, time) {
            match arrival {
                Arrival::Connected => board.session.connected(at(time, 0)),
                Arrival::Disconnected => {
                    board.session.disconnected();
                    board.dial_at = time + 50_000;
                }
                // A damaged frame is as good as lost.
                Arrival::Frame(frame) => _ = board.session.receive(&frame, at(time, 0)),
            }
        }
        while let Some(&key) = board.to_offer.front() {
            let parts = board.spool[&key].frame(key, time).parts();
            if !board.session.offer(key, parts) {
                break;
            }
            board.to_offer.pop_front();
            assert!(board.session.in_flight() <= board.config.window_packets);
            assert!(
                board.session.in_flight_bytes() <= board.config.window_bytes || board.session.in_flight() == 1,
                "the window holds {} bytes",
                board.session.in_flight_bytes()
            );
        }
        while let Some(action) = board.session.poll(at(time, 0)).unwrap() {
            match action {
                agent::Action::Send(frame) => link.send(End::Agent, &frame, time),
                agent::Action::SendPacket(key) => {
                    let spooled = &board.spool[&key];
                    let frame = spooled.frame(key, time);
                    link.send(End::Agent, &[&frame.head[..], &spooled.body, &frame.tail].concat(), time);
                }
                agent::Action::Acked(key) => {
                    let freed = board.spool.remove(&key).expect("acked once");
                    assert_eq!(store.bodies[&key], freed.body, "acked before it was stored");
                }
                agent::Action::Lost => {
                    link.cut(time, 0);
                    board.dial_at = time;
                }
            }
        }
        // The server's end.
        while let Some(arrival) = link.receive(End::Server, time) {
            match arrival {
                Arrival::Connected | Arrival::Disconnected => {
                    store.closed = store.total();
                    store.session = new_session();
                    // What was not synced is lost with the connection in this model's server.
                    for (_, key, _, new) in store.unsynced.drain(..) {
                        assert!(new || store.seen[&key.stream].contains(key.sequence));
                    }
                }
                Arrival::Frame(frame) => match store.session.receive(&frame, at(time, AHEAD_US)) {
                    Ok(Some(server::Event::Hello(hello))) => {
                        assert_eq!((hello.device, hello.epoch), ("cam-7", 9));
                        let runs = |(&stream, seen): (&u32, &RangeSet)| {
                            let run = |run: std::ops::RangeInclusive<u64>| AckRange {
                                stream,
                                first: *run.start(),
                                last: *run.end(),
                            };
                            seen.ranges().map(run).collect::<Vec<_>>()
                        };
                        let stored: Vec<_> = store.seen.iter().flat_map(runs).collect();
                        store.session.welcome(&stored, at(time, AHEAD_US)).unwrap();
                    }
                    Ok(Some(server::Event::Packet(packet))) => {
                        let key = packet.header.key();
                        let synced = store.seen.get(&key.stream).is_some_and(|seen| seen.contains(key.sequence));
                        if !store.unsynced.iter().any(|(_, waiting, ..)| *waiting == key) {
                            if !synced {
                                store.bodies.insert(key, packet.body.to_vec());
                            }
                            store.unsynced.push_back((time + 4_000, key, packet.parts, !synced));
                        }
                    }
                    Ok(_) | Err(_) => {}
                },
            }
        }
        while let Some(&(due, key, parts, new)) = store.unsynced.front() {
            if due > time {
                break;
            }
            store.unsynced.pop_front();
            let inserted = store.seen.entry(key.stream).or_default().insert(key.sequence).unwrap();
            assert_eq!(inserted, new, "stored twice");
            store.session.stored(key, parts, new, at(time, AHEAD_US)).unwrap();
        }
        while let Some(action) = store.session.poll(at(time, AHEAD_US)).unwrap() {
            match action {
                server::Action::Send(frame) => link.send(End::Server, &frame, time),
                server::Action::Close => panic!("nobody refuses here"),
            }
        }
        // At every moment: accepted = freed + held, and what was freed is stored.
        let stored: u64 = store.seen.values().map(RangeSet::count).sum();
        assert!(accepted - board.spool.len() <= stored as usize);
        if board.spool.is_empty() {
            return (board, store, link, time);
        }
        if !healed && time > 20_000_000 {
            healed = true;
            link.heal();
        }
        // A deadline that has passed would make a program spin.
        let deadlines = [board.session.deadline(), store.session.deadline()];
        assert!(deadlines.into_iter().flatten().all(|at| at > time), "{deadlines:?} at {time}");
        let next = [
            board.session.deadline(),
            store.session.deadline(),
            link.next(End::Agent),
            link.next(End::Server),
            store.unsynced.front().map(|first| first.0),
            restart_agent_at,
            (!link.is_up()).then_some(board.dial_at),
        ];
        let next = next.into_iter().flatten().min().expect("something is always due");
        time = next.max(time + 1);
    }
    panic!("{} of {accepted} packets never arrived", board.spool.len());
}

fn probability(max: f64) -> impl Strategy<Value = f64> {
    prop_oneof![Just(0.0), 0.0..max]
}

prop_compose! {
    fn faults()(
        delay in 0u64..300_000, jitter in 0u64..300_000, reorder in probability(0.5), loss in probability(0.4),
        duplicate in probability(0.4), corrupt in probability(0.3),
        cut_every_us in proptest::option::of(200_000u64..5_000_000), cut in 0u64..3_000_000,
        bytes_per_second in proptest::option::of(5_000u64..2_000_000),
    ) -> Faults {
        Faults {
            delay_us: delay..=delay + jitter, reorder, loss, duplicate, corrupt, cut_every_us, cut_us: 0..=cut,
            bytes_per_second, queue_bytes: 200_000,
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1500, ..ProptestConfig::default() })]
    /// As over QUIC: what is sent arrives unless the connection is cut, and
    /// the session sends nothing twice over one connection.
    #[test]
    fn a_reliable_transport_needs_no_resends(
        delay in 0u64..300_000, cut_every_us in 200_000u64..3_000_000, cut in 0u64..1_000_000, seed in any::<u64>(),
        sizes in proptest::collection::vec((0u32..3, 0u16..4000), 1..120),
    ) {
        let reliable = agent::Config { resend: None, silence_us: None, ..config() };
        let faults = Faults {
            delay_us: 0..=delay, cut_every_us: Some(cut_every_us), cut_us: 0..=cut,
            bytes_per_second: Some(200_000), ..Faults::NONE
        };
        let (board, store, ..) = run(reliable, faults, seed, &Sizes(sizes.clone()), None);
        prop_assert_eq!(store.bodies.len(), sizes.len());
        prop_assert_eq!(board.session.ledger(), store.total());
    }

    #[test]
    fn nothing_accepted_is_lost(
        faults in faults(), seed in any::<u64>(),
        sizes in proptest::collection::vec((0u32..3, 0u16..4000), 1..120),
        restart in proptest::option::of(0u64..10_000_000),
    ) {
        let sizes = Sizes(sizes);
        let (board, store, link, _) = run(config(), faults, seed, &sizes, restart);
        // Exactly once: every body is there, and no number was stored twice.
        prop_assert_eq!(store.bodies.len(), sizes.0.len());
        prop_assert_eq!(store.seen.values().map(RangeSet::count).sum::<u64>(), sizes.0.len() as u64);
        // The ledgers of both ends, and the spool's own sum, are equal.
        let total = store.total();
        if restart.is_none() {
            prop_assert_eq!(board.session.ledger(), total);
        }
        prop_assert_eq!(total.packets, sizes.0.len() as u64);
        let bodies: u64 = sizes.0.iter().map(|size| u64::from(size.1)).sum();
        prop_assert_eq!(total.parts.storage().0, bodies);
        prop_assert!(link.wire(End::Agent).tx_bytes >= total.parts.framed().0);
    }
}

#[test]
fn a_perfect_link_costs_what_the_ledger_says() {
    let sizes = Sizes((0..500).map(|index| (0, 1000 + index % 3)).collect());
    let (board, store, link, time) = run(config(), Faults::NONE, 1, &sizes, None);
    let ledger = board.session.ledger();
    assert_eq!(ledger, store.total());
    // Everything else the agent sent is its hello, the stream's name and pings.
    let rest = link.wire(End::Agent).tx_bytes - ledger.parts.framed().0;
    assert!(rest < 300, "{rest} bytes of control in {time} us");
    assert_eq!(ledger.parts.framing.0 / ledger.packets, 46);
    let clock = board.session.clock_offset(at(time, 0)).unwrap();
    assert!(clock.offset_us.abs_diff(AHEAD_US as i64) <= clock.error_us, "{clock:?}");
}

#[test]
fn a_reconnect_sends_only_what_the_server_lacks() {
    // Gaps beyond what one welcome can hold still settle, by the acks after it.
    let now = at(0, 0);
    let mut agent = agent::Session::new(
        agent::Config { window_packets: 1000, window_bytes: 1 << 20, ..config() },
        agent::Greeting::default(),
    );
    let mut server = server::Session::new(server::Config::default(), "t");
    let keys = (0..400).map(|sequence| PacketKey { stream: 0, sequence });
    let spooled = Spooled { class: Class::Live, sample: String::new(), body: vec![1; 20] };
    for key in keys.clone() {
        assert!(agent.offer(key, spooled.frame(key, 0).parts()));
    }
    agent.connected(now);
    let Some(agent::Action::Send(hello)) = agent.poll(now).unwrap() else { panic!() };
    server.receive(&hello, now).unwrap();
    let even = keys.step_by(2).map(|key| AckRange { stream: 0, first: key.sequence, last: key.sequence });
    let even: Vec<_> = even.collect();
    assert!(even.len() > MAX_RANGES);
    server.welcome(&even, now).unwrap();
    while let Some(server::Action::Send(frame)) = server.poll(now).unwrap() {
        agent.receive(&frame, now).unwrap();
    }
    let (mut sent, mut acked) = (vec![], 0);
    while let Some(action) = agent.poll(now).unwrap() {
        match action {
            agent::Action::SendPacket(key) => sent.push(key.sequence),
            agent::Action::Acked(key) => acked += u64::from(key.sequence % 2 == 0),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(acked, 200);
    assert!(sent.iter().all(|sequence| sequence % 2 == 1) && sent.len() == 200);
    // A packet that the welcome named is not sent when it is offered later.
    let key = PacketKey { stream: 0, sequence: 0 };
    assert!(agent.offer(key, spooled.frame(key, 0).parts()));
    assert_eq!(agent.poll(now).unwrap(), Some(agent::Action::Acked(key)));
    assert_eq!(agent.poll(now).unwrap(), None);
}
