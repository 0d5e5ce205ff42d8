//! Real sockets on loopback: exchange, refusals, restarts, limits.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use afferent_link::frame::{Frame, MAX_FRAME, PacketFrame};
use afferent_link::message::{self, Class, Message, PacketHeader, Ping};
use afferent_link::{Now, PacketKey, RangeSet, agent, server};
use afferent_link_quic::identity::{Authority, DeviceIdentity, ServerIdentity};
use afferent_link_quic::{Client, Close, Connection, Limits, Listener};
use afferent_media::{Code, Error, Result};
use bytes::Bytes;
use std::collections::HashMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};
use tempfile::TempDir;

struct World {
    folder: TempDir,
    authority: Authority,
}

impl World {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let authority = Authority::create(folder.path()).unwrap();
        authority.issue_server(&["localhost", "127.0.0.1"]).unwrap();
        Self { folder, authority }
    }

    fn listen(&self, address: &str, limits: Limits) -> (Listener, SocketAddr) {
        let identity = ServerIdentity::open(self.folder.path()).unwrap();
        let listener = Listener::bind(address.parse().unwrap(), &identity, limits).unwrap();
        let address = listener.local_address().unwrap();
        (listener, address)
    }

    fn client(&self, id: &str, limits: Limits) -> Client {
        let bundle = self.authority.issue_device(id).unwrap();
        Client::new(&DeviceIdentity::open(&bundle).unwrap(), limits).unwrap()
    }
}

fn ping(asked_us: u64) -> Vec<u8> {
    let mut frame = Vec::new();
    message::write(&Ping { asked_us }, &mut frame).unwrap();
    frame
}

/// Connects, says something, and waits for the answer.
async fn knock(client: &Client, address: SocketAddr) -> Result<Bytes> {
    let mut connection = client.connect(address, "localhost").await?;
    // Writing may already meet the refusal.
    connection.send_control(&ping(1)).await?;
    let answer = connection.recv().await?;
    answer.ok_or_else(|| Error::new(Code::Link, "closed without an answer", ""))
}

/// Answers control frames until the peer leaves.
async fn echo(mut connection: Connection) -> Result<()> {
    while let Some(frame) = connection.recv().await? {
        connection.send_control(&frame).await?;
    }
    Ok(())
}

fn now(start: Instant) -> Now {
    let us = start.elapsed().as_micros() as u64;
    Now { monotonic_us: us, wall_us: 1_700_000_000_000_000 + us }
}

fn size_of_packet(sequence: u64) -> usize {
    match sequence % 50 {
        0 => 200_000,
        1 => 0,
        n => (n * n * 7) as usize,
    }
}

fn body(sequence: u64) -> Bytes {
    (0..size_of_packet(sequence)).map(|i| (i as u64 * 31 + sequence) as u8).collect::<Vec<_>>().into()
}

async fn serve(mut connection: Connection) -> Result<(server::Session, HashMap<u64, Bytes>)> {
    let start = Instant::now();
    let mut session = server::Session::new(server::Config::default(), "test");
    let (mut seen, mut store) = (RangeSet::default(), HashMap::new());
    loop {
        while let Some(action) = session.poll(now(start))? {
            let server::Action::Send(frame) = action else { panic!("nothing is refused here") };
            connection.send_control(&frame).await?;
        }
        let wait = session.deadline().map_or(1_000_000, |at| at.saturating_sub(now(start).monotonic_us));
        let Ok(frame) = tokio::time::timeout(Duration::from_micros(wait), connection.recv()).await else { continue };
        let Some(frame) = frame? else { break };
        match session.receive(&frame, now(start))? {
            Some(server::Event::Hello(hello)) => {
                assert_eq!((hello.device, connection.peer()), ("cam-7", "cam-7"));
                session.welcome(&[], now(start))?;
            }
            Some(server::Event::Packet(packet)) => {
                let new = seen.insert(packet.header.sequence)?;
                store.insert(packet.header.sequence, frame.slice_ref(packet.body));
                session.stored(packet.header.key(), packet.parts, new, now(start))?;
            }
            Some(server::Event::Bye(bye)) => {
                session.flush();
                assert_eq!((bye.packets, bye.parts), (session.ledger().packets, session.ledger().parts));
                session.bye(connection.wire().tx_bytes, connection.wire().rx_bytes, "")?;
            }
            _ => {}
        }
    }
    let wire = connection.wire();
    assert!(wire.rx_bytes >= session.ledger().parts.framed().0, "{wire:?}");
    Ok((session, store))
}

/// Sends `count` packets by a session, until all are acked and both ends took leave.
async fn send_all(connection: &mut Connection, count: u64, body: impl Fn(u64) -> Bytes) -> agent::Session {
    let start = Instant::now();
    let greeting = agent::Greeting { device: "cam-7".into(), epoch: 1, ..Default::default() };
    let mut session = agent::Session::new(agent::Config::default(), greeting);
    session.connected(now(start));
    let frame = |sequence, body: &[u8]| {
        let class = if sequence % 3 == 0 { Class::Backfill } else { Class::Live };
        let header = PacketHeader { class, payload: body.len() as u32, ..PacketHeader::new(0, sequence) };
        PacketFrame::new(&header, body).unwrap()
    };
    let mut spool = HashMap::new();
    let mut next = 0;
    loop {
        while next < count {
            let (key, body) = (PacketKey { stream: 0, sequence: next }, body(next));
            let framed = frame(next, &body);
            if !session.offer(key, framed.parts()) {
                break;
            }
            spool.insert(key, (framed, body));
            next += 1;
        }
        while let Some(action) = session.poll(now(start)).unwrap() {
            match action {
                agent::Action::Send(frame) => connection.send_control(&frame).await.unwrap(),
                agent::Action::SendPacket(key) => {
                    let (frame, body) = &spool[&key];
                    connection.send_packet(frame, body.clone()).await.unwrap();
                }
                agent::Action::Acked(key) => {
                    spool.remove(&key).unwrap();
                    if next == count && spool.is_empty() {
                        let wire = connection.wire();
                        session.bye(wire.tx_bytes, wire.rx_bytes, "done").unwrap();
                    }
                }
                agent::Action::Lost => panic!("lost"),
            }
        }
        let frame = connection.recv().await.unwrap().unwrap();
        if let Some(agent::Event::Bye(_)) = session.receive(&frame, now(start)).unwrap() {
            return session;
        }
    }
}

/// A thousand packets, small and of 200 kB, by both sessions, one thread.
#[tokio::test]
async fn a_thousand_packets_arrive_and_both_ledgers_agree() {
    const PACKETS: u64 = 1000;
    let world = World::new();
    let (listener, address) = world.listen("127.0.0.1:0", Limits::default());
    let client = world.client("cam-7", Limits::default());
    let server = tokio::spawn(async move { serve(listener.accept().await.unwrap().complete().await?).await });
    let mut connection = client.connect(address, "localhost").await.unwrap();
    let session = send_all(&mut connection, PACKETS, body).await;
    let (wire, ledger) = (connection.wire(), session.ledger());
    connection.close(Close::Done, "done").await;
    let (served, store) = server.await.unwrap().unwrap();
    assert_eq!(ledger, served.ledger());
    assert_eq!(ledger.packets, PACKETS);
    assert_eq!(store.len() as u64, PACKETS);
    assert!(store.iter().all(|(sequence, stored)| *stored == body(*sequence)));
    assert!(wire.tx_bytes > ledger.parts.framed().0, "{wire:?}");
}

/// What a packet of 10 kB costs the agent's processor: `cargo test --profile ci
/// -p afferent-link-quic -- --ignored --nocapture`.
#[cfg(target_os = "linux")]
#[test]
#[ignore = "a measurement"]
fn processor_time_of_a_packet() {
    const PACKETS: u64 = 5000;
    let spent = || -> u64 {
        let stat = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
        stat.split(' ').next().unwrap().parse().unwrap()
    };
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let world = World::new();
    let client = world.client("cam-7", Limits::default());
    let (tell, told) = std::sync::mpsc::channel();
    let identity = ServerIdentity::open(world.folder.path()).unwrap();
    let server = std::thread::spawn(move || {
        runtime().block_on(async {
            let listener = Listener::bind("127.0.0.1:0".parse().unwrap(), &identity, Limits::default()).unwrap();
            tell.send(listener.local_address().unwrap()).unwrap();
            serve(listener.accept().await.unwrap().complete().await.unwrap()).await.map(|_| ()).unwrap();
        });
    });
    let address = told.recv().unwrap();
    runtime().block_on(async {
        let mut connection = client.connect(address, "localhost").await.unwrap();
        let content = Bytes::from(vec![7; 10_000]);
        let (before, start) = (spent(), Instant::now());
        send_all(&mut connection, PACKETS, |_| content.clone()).await;
        let (us, wall) = ((spent() - before) / 1000, start.elapsed());
        let wire = connection.wire();
        println!("{} us of processor a packet of 10 kB, {:?} in all, {wire:?}", us / PACKETS, wall);
        connection.close(Close::Done, "").await;
    });
    server.join().unwrap();
}

#[tokio::test]
async fn a_device_of_another_authority_is_told_so() {
    let (world, other) = (World::new(), World::new());
    let (listener, address) = world.listen("127.0.0.1:0", Limits::default());
    let server = tokio::spawn(async move { listener.accept().await.unwrap().complete().await.map(|_| ()) });

    // A bundle whose device certificate is another authority's, which trusts this server.
    let bundle = other.authority.issue_device("cam-7").unwrap();
    let authority = world.folder.path().join("authority.pem");
    std::fs::copy(authority, bundle.join("authority.pem")).unwrap();
    let client = Client::new(&DeviceIdentity::open(&bundle).unwrap(), Limits::default()).unwrap();
    let error = knock(&client, address).await.unwrap_err();
    assert_eq!(error.code(), Code::Refused, "{error}");
    assert!(error.what().contains("does not accept this end's certificate: another authority issued it"), "{error}");
    assert!(error.remedy().contains("afferent enroll"), "{error}");
    let error = server.await.unwrap().unwrap_err();
    assert_eq!(error.code(), Code::Refused, "{error}");
}

#[tokio::test]
async fn a_server_of_another_authority_is_not_trusted() {
    let (world, other) = (World::new(), World::new());
    let (listener, address) = world.listen("127.0.0.1:0", Limits::default());
    let server = tokio::spawn(async move { listener.accept().await.unwrap().complete().await.map(|_| ()) });
    let error = knock(&other.client("cam-7", Limits::default()), address).await.unwrap_err();
    assert_eq!(error.code(), Code::Refused, "{error}");
    assert!(error.what().contains("another authority issued it"), "{error}");
    assert!(server.await.unwrap().is_err());
}

#[tokio::test]
async fn a_server_must_have_the_name_that_is_asked_for() {
    let world = World::new();
    let (listener, address) = world.listen("127.0.0.1:0", Limits::default());
    tokio::spawn(async move {
        while let Some(knocks) = listener.accept().await {
            knocks.complete().await.ok();
        }
    });
    let client = world.client("cam-7", Limits::default());
    let error = client.connect(address, "elsewhere.example").await.unwrap_err();
    assert_eq!(error.code(), Code::Refused, "{error}");
    assert!(error.remedy().contains("by a name"), "{error}");
    assert_eq!(client.connect(address, "not a name").await.unwrap_err().code(), Code::Config);
    client.connect(address, "127.0.0.1").await.unwrap();
}

#[tokio::test]
async fn unknown_revoked_and_replaced_devices_are_told_so() {
    let world = World::new();
    let (listener, address) = world.listen("127.0.0.1:0", Limits::default());
    tokio::spawn(async move {
        while let Some(handshake) = listener.accept().await {
            tokio::spawn(async move { echo(handshake.complete().await?).await });
        }
    });
    let client = world.client("cam-7", Limits::default());
    assert_eq!(&knock(&client, address).await.unwrap()[..], ping(1));
    // A session that is resumed is checked as well: nothing restarts in between.
    world.authority.revoke("cam-7").unwrap();
    let error = knock(&client, address).await.unwrap_err();
    assert_eq!(error.code(), Code::Refused, "{error}");
    assert!(error.what().contains("device `cam-7` is revoked"), "{error}");
    assert!(error.remedy().contains("another id"), "{error}");

    let client = world.client("cam-8", Limits::default());
    world.authority.renew_device("cam-8").unwrap();
    let error = knock(&client, address).await.unwrap_err();
    assert!(error.what().contains("an identity that was replaced"), "{error}");

    let client = world.client("cam-9", Limits::default());
    std::fs::remove_dir_all(world.folder.path().join("devices/cam-9")).unwrap();
    let error = knock(&client, address).await.unwrap_err();
    assert_eq!(error.code(), Code::Refused, "{error}");
    assert!(error.what().contains("device `cam-9` is not enrolled at this server"), "{error}");
    assert!(error.remedy().contains("afferent enroll"), "{error}");
}

#[tokio::test]
async fn a_server_restarts_and_the_agent_reconnects() {
    let world = World::new();
    let (listener, address) = world.listen("127.0.0.1:0", Limits::default());
    let client = world.client("cam-7", Limits::default());
    let (go, gone) = tokio::sync::oneshot::channel();
    let serving = tokio::spawn(async move {
        let connection = listener.accept().await.unwrap().complete().await.unwrap();
        let echoing = tokio::spawn(echo(connection));
        gone.await.unwrap();
        listener.close("going down").await;
        _ = echoing.await;
    });
    let mut connection = client.connect(address, "localhost").await.unwrap();
    connection.send_control(&ping(1)).await.unwrap();
    assert!(connection.recv().await.unwrap().is_some());
    go.send(()).unwrap();
    // The server goes down in good order: no error.
    assert_eq!(connection.recv().await.unwrap(), None);
    serving.await.unwrap();

    let (listener, _) = world.listen(&address.to_string(), Limits::default());
    tokio::spawn(async move { echo(listener.accept().await.unwrap().complete().await.unwrap()).await });
    assert_eq!(&knock(&client, address).await.unwrap()[..], ping(1));
}

#[tokio::test]
async fn nobody_there_is_said_in_time() {
    let world = World::new();
    let silent = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let limits = Limits { handshake: Duration::from_millis(200), ..Limits::default() };
    let client = world.client("cam-7", limits);
    let error = client.connect(silent.local_addr().unwrap(), "localhost").await.unwrap_err();
    assert_eq!(error.code(), Code::Link, "{error}");
    assert!(error.remedy().contains("UDP"), "{error}");
}

#[tokio::test]
async fn oversized_and_torn_frames_are_refused() {
    let world = World::new();
    let small = Limits { max_frame: 10_000, ..Limits::default() };
    let (listener, address) = world.listen("127.0.0.1:0", small);
    let server = tokio::spawn(async move {
        let mut errors = Vec::new();
        for _ in 0..3 {
            let mut connection = listener.accept().await.unwrap().complete().await.unwrap();
            errors.push(loop {
                match connection.recv().await {
                    Ok(Some(_)) => {}
                    Ok(None) => panic!("nobody leaves in peace here"),
                    Err(error) => break error,
                }
            });
        }
        errors
    });
    let client = world.client("cam-7", Limits::default());
    let large = Bytes::from(vec![0; 20_000]);
    let frame = PacketFrame::new(&PacketHeader::new(0, 0), &large).unwrap();

    // A packet above the server's limit: both ends learn why.
    let mut connection = client.connect(address, "localhost").await.unwrap();
    connection.send_control(&ping(1)).await.unwrap();
    connection.send_packet(&frame, large.clone()).await.unwrap();
    let error = connection.recv().await.unwrap_err();
    assert_eq!(error.code(), Code::Limit, "{error}");
    assert!(error.what().contains("exceeds the limit of 10000"), "{error}");
    assert!(error.remedy().contains("raise the limit"), "{error}");

    // Control that is no frame.
    let mut connection = client.connect(address, "localhost").await.unwrap();
    connection.send_control(&[1, 0xff, 0xff, 0xff, 0x7f]).await.unwrap();
    let error = connection.recv().await.unwrap_err();
    assert_eq!(error.code(), Code::Limit, "{error}");

    // A body that is longer than its frame says.
    let mut connection = client.connect(address, "localhost").await.unwrap();
    connection.send_control(&ping(1)).await.unwrap();
    let short = PacketFrame::new(&PacketHeader::new(0, 0), &large[..50]).unwrap();
    connection.send_packet(&short, large.slice(..60)).await.unwrap();
    let error = connection.recv().await.unwrap_err();
    assert_eq!(error.code(), Code::Link, "{error}");

    let codes: Vec<_> = server.await.unwrap().iter().map(Error::code).collect();
    assert_eq!(codes, [Code::Limit, Code::Limit, Code::Corrupt]);

    // Above the agent's own limit it is not even sent.
    let (listener, address) = world.listen("127.0.0.1:0", Limits::default());
    tokio::spawn(async move { echo(listener.accept().await.unwrap().complete().await.unwrap()).await });
    let client = world.client("cam-8", small);
    let mut connection = client.connect(address, "localhost").await.unwrap();
    assert_eq!(connection.send_packet(&frame, large).await.unwrap_err().code(), Code::Limit);
}

/// Sending blocks when the server does not read, and a send that is given up
/// half-way leaves no trace at the server.
#[tokio::test]
async fn backpressure_reaches_the_sender_and_an_abandoned_packet_is_never_seen() {
    let world = World::new();
    let limits = Limits { receive_window: 100_000, send_window: 50_000, ..Limits::default() };
    let (listener, address) = world.listen("127.0.0.1:0", limits);
    let (go, gone) = tokio::sync::oneshot::channel();
    let server = tokio::spawn(async move {
        let mut connection = listener.accept().await.unwrap().complete().await.unwrap();
        gone.await.unwrap();
        let mut packets = Vec::new();
        while let Some(frame) = connection.recv().await.unwrap() {
            let parsed = Message::parse(&Frame::parse(&frame, MAX_FRAME).unwrap()).unwrap();
            if let Message::Packet(packet) = parsed {
                packets.push(packet.header.sequence);
                connection.send_control(&ping(packet.header.sequence)).await.unwrap();
            }
        }
        packets
    });
    let client = world.client("cam-7", limits);
    let mut connection = client.connect(address, "localhost").await.unwrap();
    connection.send_control(&ping(0)).await.unwrap();
    let body = Bytes::from(vec![9; 20_000]);
    let mut taken = 0;
    loop {
        let frame = PacketFrame::new(&PacketHeader::new(0, taken), &body).unwrap();
        let sending = connection.send_packet(&frame, body.clone());
        if tokio::time::timeout(Duration::from_millis(500), sending).await.is_err() {
            break;
        }
        taken += 1;
        assert!(taken < 100, "the transport holds all of it");
    }
    go.send(()).unwrap();
    // What comes after it arrives; the abandoned one, number `taken`, does not.
    let frame = PacketFrame::new(&PacketHeader::new(0, 1000), &body).unwrap();
    connection.send_packet(&frame, body).await.unwrap();
    for _ in 0..=taken {
        connection.recv().await.unwrap().unwrap();
    }
    connection.close(Close::Done, "").await;
    let mut packets = server.await.unwrap();
    packets.sort_unstable();
    assert_eq!(packets, (0..taken).chain([1000]).collect::<Vec<_>>());
}
