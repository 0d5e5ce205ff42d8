//! Capture without hardware: the test source through the whole agent, and programs
//! that write frames, die and hang.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use afferent_agent::config::{Command, Frames, Layers, Stream, Test};
use afferent_agent::encode::StreamEncoder;
use afferent_agent::source::{self, Captured, Content, Source, synthetic};
use afferent_agent::spool::{self, Spool};
use afferent_agent::{Stop, agent};
use afferent_codec::{ADOPTED, Container, Gap, Geometry, Limits, SampleDecoder, SampleEncoder, Settings, gap};
use afferent_journal::{RealDisk, SyncPolicy};
use afferent_link_quic::identity::Authority;
use afferent_media::frame::{Range, RawFormat};
use afferent_media::{Audio, Bytes, Code, Modality, PixelFormat, RateParts, Sample};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

fn decode(body: &[u8]) -> Sample {
    let container = Container::parse(body).unwrap().intact().unwrap();
    SampleDecoder::new(afferent_agent::registry(), Limits::default()).decode(&container).unwrap()
}

/// Tells when its source has ended.
struct Ending {
    source: Box<dyn Source>,
    ended: Arc<AtomicUsize>,
}

impl Source for Ending {
    fn next(&mut self, stop: &Stop) -> Option<Captured> {
        let captured = self.source.next(stop);
        if captured.is_none() {
            self.ended.fetch_add(1, Ordering::SeqCst);
        }
        captured
    }
}

fn limits() -> spool::Limits {
    spool::Limits {
        segment: Bytes(16 << 20),
        max: Bytes(1 << 30),
        sync: SyncPolicy { max_delay: Duration::from_millis(5), max_bytes: 1 << 20 },
    }
}

/// Runs an agent that reaches no server until its sources have ended, and returns the
/// packets of each of its `streams` from its spool.
fn spooled(streams: &str) -> Vec<Vec<Vec<u8>>> {
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::create(&folder.path().join("identity")).unwrap();
    let device = authority.issue_device("board").unwrap();
    let file = folder.path().join("agent.toml");
    let spool_folder = folder.path().join("spool");
    let text = format!(
        "[server]\naddress = '127.0.0.1:9'\n[identity]\nfolder = '{}'\n[spool]\nfolder = '{}'\nsync_ms = 5\n{streams}",
        device.display(),
        spool_folder.display()
    );
    std::fs::write(&file, text).unwrap();
    let config = Layers::new(Some(&file), &[]).unwrap().config().unwrap();
    let (stop, ended) = (Stop::default(), Arc::new(AtomicUsize::new(0)));
    let registry = afferent_agent::registry_with(&config.encode).unwrap();
    std::thread::scope(|scope| {
        let running = scope.spawn(|| {
            agent::run_on(
                &config,
                &registry,
                &stop,
                RealDisk::new(&spool_folder).unwrap(),
                |stream, modality, start| {
                    let source = source::open(stream, modality, start)?;
                    Ok(Box::new(Ending { source, ended: Arc::clone(&ended) }))
                },
            )
        });
        while !running.is_finished() && ended.load(Ordering::SeqCst) < config.streams.len() {
            std::thread::sleep(Duration::from_millis(10));
        }
        stop.set();
        running.join().unwrap().unwrap();
    });
    let spool = Spool::open(RealDisk::new(&spool_folder).unwrap(), limits(), 1).unwrap();
    let mut reader = spool.reader();
    let mut all = vec![Vec::new(); config.streams.len()];
    let mut from = 0;
    while let Some(pending) = spool.shared().next_pending(from) {
        from = pending.location.index + 1;
        all[pending.key.stream as usize].push(reader.read(&pending).unwrap().1.to_vec());
    }
    all
}

#[test]
fn numbered_frames_and_sound_pass_the_whole_agent() {
    let all = spooled(
        "[[stream]]\nname = 'eye'\ncodec = 'jpeg'\n[stream.test]\nwidth = 320\nheight = 240\nfps = 0\ncount = 40\n\
         [[stream]]\nname = 'gated'\ncodec = 'webp'\nevery = 4\nresize = '1/2'\n\
         [stream.test]\nwidth = 256\nheight = 64\nfps = 0\ncount = 10\n\
         [[stream]]\nname = 'ear'\ncodec = 'pcm'\n[stream.test]\nfps = 0\ncount = 3\nblock_ms = 100\n",
    );
    assert_eq!(all[0].len(), 40);
    for (expected, body) in all[0].iter().enumerate() {
        let Geometry::Image(shape) = Container::parse(body).unwrap().header.geometry else { panic!() };
        assert_eq!((shape.width, shape.height, shape.format), (320, 240, PixelFormat::I422));
        let Sample::Image(image) = decode(body) else { panic!() };
        assert_eq!(synthetic::number(&image), expected as u64);
    }
    // Three kept of ten, and what was withheld.
    let kept: Vec<u64> = all[1]
        .iter()
        .filter(|body| gap::read(body).is_none())
        .map(|body| match decode(body) {
            Sample::Image(image) => synthetic::number(&image),
            Sample::Audio(_) => panic!(),
        })
        .collect();
    assert_eq!(kept, [0, 4, 8]);
    assert_eq!(gap::read(all[1].last().unwrap()).unwrap().missing, 7);
    assert_eq!(all[2].len(), 3);
    for body in &all[2] {
        let Sample::Audio(audio) = decode(body) else { panic!() };
        assert_eq!(audio.view().frames(), 1600);
    }
}

#[test]
fn a_codec_has_one_encoder_of_gstreamer() {
    let config = |set: &str| Layers::new(None, &[set.into()]).unwrap().config().unwrap();
    let both = config("encode.gstreamer=[\"nvjpegenc\", \"jpegenc\"]");
    let error = afferent_agent::registry_with(&both.encode).err().unwrap();
    assert_eq!(error.code(), Code::Config);
    assert!(error.to_string().contains("`nvjpegenc` and `jpegenc`"), "{error}");

    let stream = afferent_agent::config::Stream { codec: "h264".into(), ..Default::default() };
    let error = StreamEncoder::new(0, &stream, &afferent_agent::registry()).err().unwrap();
    assert!(error.to_string().contains("encode.gstreamer: x264enc, "), "{error}");
}

#[test]
fn an_encoder_of_gstreamer_codes_for_the_whole_agent() {
    let encode = "[encode]\ngstreamer = ['jpegenc']\n";
    let config = Layers::new(None, &["encode.gstreamer=[\"jpegenc\"]".into()]).unwrap().config().unwrap();
    if let Err(error) = afferent_agent::registry_with(&config.encode) {
        assert_eq!(error.code(), Code::NotFound, "{error}");
        eprintln!("SKIPPED, nothing is proven: {error}");
        return;
    }
    let all = spooled(&format!(
        "{encode}[[stream]]\nname = 'eye'\ncodec = 'jpeg'\n[stream.test]\nwidth = 320\nheight = 240\nfps = 0\ncount = 20\n"
    ));
    assert_eq!(all[0].len(), 20);
    for (expected, body) in all[0].iter().enumerate() {
        assert_eq!(Container::parse(body).unwrap().header.preset, "jpegenc");
        let Sample::Image(image) = decode(body) else { panic!() };
        assert_eq!(synthetic::number(&image), expected as u64);
    }
}

#[test]
fn a_source_behind_a_gate_goes_on_where_it_was() {
    let config: Stream =
        toml::from_str("name = 'a'\ncodec = 'jpeg'\nevery = 4\ntest = { fps = 0, count = 10 }").unwrap();
    let mut source = source::open(&config, Modality::Image, 0).unwrap();
    let captured = all(source.as_mut(), &Stop::default());
    assert_eq!(captured.iter().map(|c| c.position).collect::<Vec<_>>(), [Some(1), Some(5), Some(9), Some(10)]);

    let folder = tempfile::tempdir().unwrap();
    let open = || Spool::open(RealDisk::new(folder.path()).unwrap(), limits(), 1).unwrap();
    let meta = |position| spool::Meta {
        sample_id: "x".into(),
        backfill: false,
        captured_us: 1,
        encode_us: 2,
        parts: RateParts::default(),
        position,
    };
    let mut spool = open();
    assert_eq!(spool.position(0), 0);
    spool.push(0, meta(Some(5)), b"placed").unwrap();
    spool.push(1, meta(None), b"device").unwrap();
    spool.sync().unwrap();
    // Without its end, then with the checkpoint of an end.
    drop(spool);
    for _ in 0..2 {
        let spool = open();
        assert_eq!((spool.position(0), spool.next_sequence(0), spool.position(1)), (5, 1, 1));
        let bodies: [&[u8]; 2] = [b"placed", b"device"];
        let mut from = 0;
        for body in bodies {
            let pending = spool.shared().next_pending(from).unwrap();
            from = pending.location.index + 1;
            assert_eq!(spool.reader().read(&pending).unwrap().1, body);
        }
        spool.close().unwrap();
    }
}

#[test]
fn sound_that_cannot_be_encoded_is_a_gap_of_its_samples() {
    let config: Stream = toml::from_str("name = 'ear'\ncodec = 'jpeg'\ntest = {}").unwrap();
    let mut encoder = StreamEncoder::new(0, &config, &afferent_agent::registry()).unwrap();
    let audio = Audio::new(1000, 1, vec![0.0; 320]).unwrap();
    let encoded = encoder.encode(Captured::now(Content::Sample(Arc::new(Sample::Audio(audio)))));
    assert_eq!(gap::read(&encoded.body).unwrap().missing, 320);
    assert_eq!(encoder.dropped(), 320);
}

fn stream(codec: &str, command: Command) -> Stream {
    Stream { name: "eye".into(), codec: codec.into(), command: Some(command), ..Stream::default() }
}

fn shell(script: &str, format: Frames) -> Command {
    Command {
        run: vec!["sh".into(), "-c".into(), script.into()],
        format,
        width: 64,
        height: 48,
        stride: 0,
        range: Range::Full,
        bits: 16,
        timeout_s: 1,
        repeat: false,
    }
}

/// Small JPEG files, as a camera would write them.
fn files(count: u64) -> Vec<Vec<u8>> {
    let registry = afferent_agent::registry();
    let mut encoder = SampleEncoder::new(registry.get("jpeg").unwrap().as_ref(), &Settings::default()).unwrap();
    let test = Test { width: 64, height: 48, fps: 0.0, sample_rate: 16_000, block_ms: 1000, count };
    let stream = Stream { codec: "jpeg".into(), test: Some(test), ..Stream::default() };
    let mut source = source::open(&stream, Modality::Image, 0).unwrap();
    all(source.as_mut(), &Stop::default())
        .into_iter()
        .map(|captured| {
            let Content::Sample(sample) = captured.content else { panic!() };
            let mut body = Vec::new();
            encoder.encode(&sample, &mut body).unwrap();
            Container::parse(&body).unwrap().chunks[0].bytes.to_vec()
        })
        .collect()
}

fn all(source: &mut dyn Source, stop: &Stop) -> Vec<Captured> {
    std::iter::from_fn(|| source.next(stop)).collect()
}

fn missing(captured: &Captured) -> Gap {
    let Content::Missing(gap) = &captured.content else { panic!("{captured:?}") };
    gap.clone()
}

#[test]
fn frames_of_a_program_pass_as_they_are_or_are_coded_again() {
    let files = files(3);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("frames.mjpeg");
    // Between the frames and after them is padding, as cameras write it.
    std::fs::write(&path, [&b"\0\0"[..], &files[0], b"\0", &files[1], &files[2], b"\0\0\0"].concat()).unwrap();
    let script = format!("cat {} >&1; echo told >&2", path.display());
    for codec in ["jpeg", "webp"] {
        let stream = stream(codec, shell(&script, Frames::Mjpeg));
        let mut source = source::open(&stream, Modality::Image, 0).unwrap();
        let mut encoder = StreamEncoder::new(0, &stream, &afferent_agent::registry()).unwrap();
        let captured = all(source.as_mut(), &Stop::default());
        assert_eq!(captured.iter().map(|c| c.frame).collect::<Vec<_>>(), [Some(0), Some(1), Some(2)]);
        for (captured, file) in captured.into_iter().zip(&files) {
            let encoded = encoder.encode(captured);
            let container = Container::parse(&encoded.body).unwrap();
            assert_eq!(container.parts, encoded.meta.parts);
            assert_eq!(container.chunks[0].bytes == file, codec == "jpeg");
            assert_eq!(container.header.preset == ADOPTED, codec == "jpeg");
            assert!(matches!(decode(&encoded.body), Sample::Image(image) if image.width() == 64));
        }
    }
    let mut again = stream("jpeg", shell(&script, Frames::Mjpeg));
    again.knob = Some(5.0);
    let mut source = source::open(&again, Modality::Image, 0).unwrap();
    let mut encoder = StreamEncoder::new(0, &again, &afferent_agent::registry()).unwrap();
    let encoded = encoder.encode(source.next(&Stop::default()).unwrap());
    assert_eq!(Container::parse(&encoded.body).unwrap().header.knob, Some(5.0));
    assert!(encoded.body.len() < files[0].len());
}

#[test]
fn what_is_no_frame_is_a_gap() {
    let files = files(2);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("frames.mjpeg");
    let cut = &files[0][..files[0].len() - 20];
    std::fs::write(&path, [b"noise", &files[0][..], cut, &files[1], b"more"].concat()).unwrap();
    let stream = stream("jpeg", shell(&format!("cat {}", path.display()), Frames::Mjpeg));
    let captured = all(source::open(&stream, Modality::Image, 0).unwrap().as_mut(), &Stop::default());
    assert_eq!(captured.iter().map(|c| c.frame).collect::<Vec<_>>(), [None, Some(0), Some(1), Some(2), None]);
    for (at, reason) in
        [(0, "5 bytes that are no JPEG frame".into()), (2, format!("a JPEG frame is cut after {} bytes", cut.len()))]
    {
        assert_eq!(missing(&captured[at]), Gap::one(reason));
    }
    assert!(captured[1].time.monotonic_us <= captured[3].time.monotonic_us);
}

#[test]
fn raw_frames_of_a_program_are_cut_to_pictures() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("frames.yuv");
    let frame = |value: u8| vec![value; 64 * 48 * 3 / 2];
    std::fs::write(&path, [frame(10), frame(200)].concat()).unwrap();
    let stream = stream("png", shell(&format!("cat {}", path.display()), Frames::Raw(RawFormat::Yuv420)));
    let captured = all(source::open(&stream, Modality::Image, 0).unwrap().as_mut(), &Stop::default());
    let values: Vec<u8> = captured
        .iter()
        .map(|captured| match &captured.content {
            Content::Sample(sample) => match &**sample {
                Sample::Image(image) => image.data()[0],
                Sample::Audio(_) => panic!(),
            },
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(values, [10, 200]);
}

#[test]
fn a_program_that_dies_or_hangs_is_a_gap_and_runs_again() {
    let file = files(1).remove(0);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("frame.jpg");
    std::fs::write(&path, file).unwrap();
    for (more, named) in [("exit 3", "exit status: 3"), ("sleep 1000", "wrote nothing for 1 s")] {
        let stream = stream("jpeg", shell(&format!("cat {}; {more}", path.display()), Frames::Mjpeg));
        let mut source = source::open(&stream, Modality::Image, 0).unwrap();
        let stop = Stop::default();
        let first = source.next(&stop).unwrap();
        assert!(matches!(first.content, Content::Coded(_)), "{first:?}");
        let gap = missing(&source.next(&stop).unwrap());
        assert!(gap.missing == 1 && gap.reason.contains(named), "{gap:?}");
        let second = source.next(&stop).unwrap();
        assert!(matches!(second.content, Content::Coded(_)), "{second:?}");
    }
}

#[test]
fn a_program_that_cannot_run_is_told_once_and_tried_again() {
    let mut command = shell("", Frames::Mjpeg);
    command.run = vec!["/no/such/program".into()];
    let stream = stream("jpeg", command);
    let mut source = source::open(&stream, Modality::Image, 0).unwrap();
    let stop = Stop::default();
    assert!(missing(&source.next(&stop).unwrap()).reason.contains("cannot be started"));
    std::thread::scope(|scope| {
        let second = scope.spawn(|| source.next(&stop));
        std::thread::sleep(Duration::from_millis(400));
        stop.set();
        assert!(second.join().unwrap().is_none());
    });
}

#[test]
fn the_stop_ends_a_program_and_what_it_started() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("child");
    // The child of the shell ignores being asked.
    let script = format!("sh -c 'trap \"\" TERM; echo $$ > {}; while :; do sleep 0.1; done' & wait", file.display());
    let mut command = shell(&script, Frames::Mjpeg);
    command.timeout_s = 600;
    let stream = stream("jpeg", command);
    let mut source = source::open(&stream, Modality::Image, 0).unwrap();
    let stop = Stop::default();
    let child = std::thread::scope(|scope| {
        let reading = scope.spawn(|| source.next(&stop));
        let start = Instant::now();
        let child = loop {
            match std::fs::read_to_string(&file) {
                Ok(text) if text.ends_with('\n') => break text.trim().to_owned(),
                _ => assert!(start.elapsed() < Duration::from_secs(60)),
            }
            std::thread::sleep(Duration::from_millis(10));
        };
        stop.set();
        assert!(reading.join().unwrap().is_none());
        child
    });
    // Killed; whoever adopted it may not have taken note yet.
    let state = || std::fs::read_to_string(format!("/proc/{child}/stat")).unwrap_or_default();
    let start = Instant::now();
    while !(state().is_empty() || state().contains(") Z")) {
        assert!(start.elapsed() < Duration::from_secs(60), "{}", state());
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn a_late_agent_loses_frames_of_a_camera_and_counts_them() {
    let test = Test { width: 64, height: 48, fps: 1000.0, sample_rate: 16_000, block_ms: 1000, count: 300 };
    let stream = Stream { codec: "jpeg".into(), test: Some(test), ..Stream::default() };
    let mut source = source::open(&stream, Modality::Image, 0).unwrap();
    let stop = Stop::default();
    let (mut kept, mut lost) = (0, 0);
    while let Some(captured) = source.next(&stop) {
        match captured.content {
            Content::Missing(gap) => lost += gap.missing,
            _ => {
                assert_eq!(captured.frame, Some(kept + lost));
                kept += 1;
            }
        }
        if kept == 10 {
            std::thread::sleep(Duration::from_millis(50));
        }
    }
    assert_eq!(kept + lost, 300);
    assert!(lost >= 40, "{lost}");
}

#[test]
fn a_source_of_another_modality_is_refused() {
    let stream = stream("opus", shell("", Frames::Mjpeg));
    let Err(error) = source::open(&stream, Modality::Audio, 0) else { panic!() };
    assert!(error.to_string().contains("`command` gives image"), "{error}");
    #[cfg(not(feature = "camera"))]
    {
        let stream: Stream = toml::from_str("name = 'a'\ncodec = 'jpeg'\ncamera = { device = 'x' }").unwrap();
        let Err(error) = source::open(&stream, Modality::Image, 0) else { panic!() };
        assert!(error.to_string().contains("--features camera"), "{error}");
    }
}
