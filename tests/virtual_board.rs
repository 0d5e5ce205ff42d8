//! The virtual board: QEMU's 64-bit ARM machine with Debian, systemd and the agent's
//! package, a V4L2 camera and an ALSA microphone, sending to a server on this machine
//! through what a board in the field meets. `make board-test` runs it.

use crate::process::{DEVICE, Site, afferent, run};
use afferent_bench::bundled;
use afferent_bench::process::Process;
use afferent_codec::Limits;
use afferent_codec_conventional::open;
use afferent_measure::row::Row;
use afferent_measure::store::read_rows;
use afferent_media::Sample;
use afferent_media::resample::resample;
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

/// Under emulation, beside other work.
const PATIENCE: Duration = Duration::from_secs(240);
/// Rows after which a phase has shown that samples flow.
const FLOW: u64 = 30;

/// Three cameras, because a camera has one user, a microphone, and a program of GStreamer's
/// within the service's rights.
const STREAMS: &str = "
[[stream]]
name = 'jpeg'
codec = 'jpeg'
[stream.camera]
device = '/dev/video0'
width = 640
height = 360
fps = 5
format = 'yuyv'

[[stream]]
name = 'webp'
codec = 'webp'
preset = 'm0'
[stream.camera]
device = '/dev/video1'
width = 640
height = 360
fps = 2
format = 'yuyv'

[[stream]]
name = 'optic'
codec = 'optic'
[stream.camera]
device = '/dev/video2'
width = 640
height = 360
fps = 2
format = 'yuyv'

[[stream]]
name = 'speech'
codec = 'opus'
[stream.microphone]
device = 'hw:CARD=Loopback,DEV=1'
sample_rate = 16000
buffer = 4800

[[stream]]
name = 'program'
codec = 'jpeg'
[stream.command]
run = ['gst-launch-1.0', '-q', 'videotestsrc', 'is-live=true', '!', 'video/x-raw,width=320,height=240,framerate=1/1',
       '!', 'jpegenc', '!', 'fdsink', 'fd=1']
format = 'mjpeg'
";
const SAMPLE_RATE: u64 = 16_000;

/// A board that is switched on.
struct Board {
    machine: Process,
    /// A shell on the virtual console.
    shell: UnixStream,
    /// QEMU's monitor.
    monitor: BufReader<UnixStream>,
}

impl Board {
    /// Switches on the board of `folder` and waits until its system is up.
    fn power_on(image: &Path, folder: &Path) -> Self {
        let path = |name: &str| folder.join(name).display().to_string();
        let mut command = Command::new("qemu-system-aarch64");
        // The Raspberry Pi 4's processor.
        command.args(["-machine", "virt", "-cpu", "cortex-a72", "-smp", "2", "-m", "1024"]);
        command.args(["-nodefaults", "-display", "none"]);
        command.arg("-kernel").arg(image.join("vmlinuz")).arg("-initrd").arg(image.join("initrd.img"));
        command.args(["-append", "root=/dev/vda rw console=ttyAMA0 quiet systemd.show_status=0"]);
        command.args(["-drive", &format!("file={},if=virtio,format=qcow2", path("disk.qcow2"))]);
        command.args(["-drive", &format!("file={},if=virtio,format=raw,readonly=on", path("stick.img"))]);
        command.args(["-netdev", "user,id=net0", "-device", "virtio-net-pci,netdev=net0,romfile="]);
        command.args(["-device", "virtio-serial-pci", "-device", "virtconsole,chardev=shell"]);
        command.args(["-chardev", &format!("socket,id=shell,path={},server=on,wait=off", path("shell"))]);
        command.args(["-qmp", &format!("unix:{},server=on,wait=off", path("monitor"))]);
        command.args(["-serial", &format!("file:{}", path("console.log"))]);
        let machine = Process::start("qemu", &mut command, folder).unwrap();
        let mut board = Self {
            shell: connect(&folder.join("shell"), Duration::from_secs(1)),
            monitor: BufReader::new(connect(&folder.join("monitor"), PATIENCE)),
            machine,
        };
        let mut greeting = String::new();
        board.monitor.read_line(&mut greeting).unwrap();
        board.ask("qmp_capabilities", "{}");
        board.read_until("board-shell");
        board
    }

    /// The power is cut.
    fn power_off(mut self) {
        self.machine.kill();
    }

    fn ask(&mut self, what: &str, arguments: &str) {
        let command = format!("{{\"execute\":\"{what}\",\"arguments\":{arguments}}}\n");
        self.monitor.get_mut().write_all(command.as_bytes()).unwrap();
        let mut answer = String::new();
        // Events may come before the answer.
        while !answer.starts_with("{\"return\"") {
            answer.clear();
            assert_ne!(self.monitor.read_line(&mut answer).unwrap(), 0, "QEMU has ended");
            assert!(!answer.starts_with("{\"error\""), "{what}: {answer}");
        }
    }

    /// Pulls the network cable, or plugs it in.
    fn link(&mut self, up: bool) {
        self.ask("set_link", &format!("{{\"name\":\"net0\",\"up\":{up}}}"));
    }

    fn read_until(&mut self, end: &str) -> String {
        let start = Instant::now();
        let mut text = Vec::new();
        let mut buffer = [0; 4096];
        loop {
            match self.shell.read(&mut buffer) {
                Ok(0) => panic!("the board has ended"),
                Ok(n) => text.extend_from_slice(&buffer[..n]),
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
                Err(error) => panic!("{error}"),
            }
            let said = String::from_utf8_lossy(&text);
            if said.contains(end) {
                return said.into_owned();
            }
            assert!(start.elapsed() < PATIENCE, "the board does not say `{end}`; it said: {said}");
        }
    }

    /// Runs a command as root; its status and what it printed.
    fn status(&mut self, command: &str) -> (i32, String) {
        // The end is put together only when it is printed.
        let line = format!("( {command} ) </dev/null 2>&1; echo \"<ended $?\"\">\"\n");
        self.shell.write_all(line.as_bytes()).unwrap();
        let mut said = String::new();
        loop {
            said += &self.read_until(">");
            // The shell's prompt may follow.
            let Some((before, after)) = said.rsplit_once("<ended ") else { continue };
            if let Some(status) = after.split_once('>').and_then(|(status, _)| status.parse().ok()) {
                // A prompt, which is all that stands before the output.
                return (status, before.trim_start_matches(['#', ' ', '\n']).to_owned());
            }
        }
    }

    fn run(&mut self, command: &str) -> String {
        let (status, said) = self.status(command);
        assert_eq!(status, 0, "{command}: {said}");
        said
    }

    /// Waits until the agent's log from `since` on (an option of `journalctl`) has `words`.
    fn wait_for_log(&mut self, since: &str, words: &str) {
        let start = Instant::now();
        while self.status(&format!("journalctl -u afferent-agent {since} | grep -q -- '{words}'")).0 != 0 {
            assert!(start.elapsed() < PATIENCE, "{}", self.log(since));
            std::thread::sleep(Duration::from_secs(1));
        }
    }

    fn log(&mut self, since: &str) -> String {
        self.run(&format!("journalctl --no-pager -o cat -u afferent-agent {since}"))
    }

    /// The end of the log, as an option of `journalctl`: unlike a time, it is exact, and
    /// it outlives a clock that is set.
    fn log_end(&mut self) -> String {
        let cursor = self.run("journalctl --show-cursor -n 0 | sed -n 's/^-- cursor: //p'");
        format!("--after-cursor='{}'", cursor.trim())
    }
}

/// A connection to QEMU that waits for an answer at most so long.
fn connect(path: &Path, patience: Duration) -> UnixStream {
    let start = Instant::now();
    loop {
        match UnixStream::connect(path) {
            Ok(stream) => {
                stream.set_read_timeout(Some(patience)).unwrap();
                return stream;
            }
            Err(error) => assert!(start.elapsed() < Duration::from_secs(20), "{}: {error}", path.display()),
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// A server, and how many rows it has said that it has made.
struct Server {
    process: Process,
    rows: u64,
}

impl Server {
    fn start(site: &Site) -> (Self, String) {
        let mut command = Command::new(afferent());
        command.args(["serve", "--listen", "127.0.0.1:0", "--events", "--workers", "1", "--seal-rows", "100"]);
        command.arg("--identity").arg(site.path("identity")).arg("--data").arg(site.path("server"));
        let mut process = Process::start("server", &mut command, &site.path("")).unwrap();
        let event = process.wait_for("listening", PATIENCE).unwrap();
        let address = event["address"].as_str().unwrap().to_owned();
        (Self { process, rows: 0 }, address)
    }

    /// Takes what the server says for `time`.
    fn listen(&mut self, time: Duration) {
        let start = Instant::now();
        while let Some(left) = time.checked_sub(start.elapsed()) {
            let Some(event) = self.process.event(left).unwrap() else { continue };
            if event["event"] == "rows" {
                self.rows = event["rows"].as_u64().unwrap();
            }
        }
    }

    /// Waits for `more` rows.
    fn flows(&mut self, more: u64, what: &str) {
        let (start, from) = (Instant::now(), self.rows);
        while self.rows < from + more {
            assert!(start.elapsed() < PATIENCE, "{what}: {} of {more} rows came", self.rows - from);
            self.listen(Duration::from_millis(500));
        }
        eprintln!("{what}: {} rows came in {:.0} s", self.rows - from, start.elapsed().as_secs_f64());
    }

    /// Waits until no row comes any more.
    fn quiet(&mut self) {
        let mut before = u64::MAX;
        while before != self.rows {
            before = self.rows;
            self.listen(Duration::from_secs(8));
        }
    }
}

/// A variable that `make board-test` sets.
fn given(name: &str) -> PathBuf {
    std::env::var_os(name).unwrap_or_else(|| panic!("{name} is not set: run `make board-test`")).into()
}

/// What a field engineer plugs in: the package, the identity, the configuration.
fn stick(site: &Site, address: &str) {
    let port = address.rsplit(':').next().unwrap();
    let folder = site.path("stick");
    std::fs::create_dir(&folder).unwrap();
    std::fs::copy(given("AFFERENT_PACKAGE"), folder.join("agent.deb")).unwrap();
    // QEMU's network shows this machine's loopback under this address.
    let config = format!("[server]\naddress = '10.0.2.2:{port}'\n[send]\nbackoff_max_ms = 2000\n{STREAMS}");
    std::fs::write(folder.join("agent.toml"), config).unwrap();
    let media = bundled::unpack(&site.path("media")).unwrap();
    let speech = std::fs::read_dir(media.join("speech")).unwrap().map(|entry| entry.unwrap().path());
    let speech = speech.filter(|path| path.extension().is_some_and(|e| e == "flac")).min().unwrap();
    // At the microphone's rate: both ends of snd-aloop have one.
    let speech = open::audio(&speech, &Limits::default()).unwrap();
    let speech = Sample::Audio(resample(speech.view(), SAMPLE_RATE as u32).unwrap());
    open::write(&speech, &folder.join("speech.wav")).unwrap();
    let (ok, _, error) = run(Command::new("cp").arg("-r").arg(&site.device).arg(folder.join("identity")));
    assert!(ok, "{error}");
    let disk = site.path("stick.img");
    std::fs::File::create(&disk).unwrap().set_len(64 << 20).unwrap();
    let (ok, _, error) = run(Command::new("/usr/sbin/mkfs.ext4").arg("-q").arg("-d").arg(&folder).arg(&disk));
    assert!(ok, "{error}");
}

#[test]
#[ignore = "takes minutes, QEMU and a disk image: `make board-test`"]
fn a_board_captures_sends_and_loses_nothing() {
    let image = given("AFFERENT_VIRTUAL_BOARD").canonicalize().unwrap();
    let site = Site::new();
    let (mut server, address) = Server::start(&site);
    stick(&site, &address);
    let disk = site.path("disk.qcow2");
    let (ok, _, error) = run(Command::new("qemu-img")
        .args(["create", "-q", "-f", "qcow2", "-F", "raw", "-b"])
        .arg(image.join("disk.img"))
        .arg(&disk));
    assert!(ok, "{error}");

    let mut board = Board::power_on(&image, &site.path(""));
    board.run("dpkg -i /stick/agent.deb");
    board.run(
        "cp -r /stick/agent.toml /stick/identity /etc/afferent/ && chown -R afferent: /etc/afferent/identity && sync",
    );
    let report = board.run("afferent-agent board");
    board.run("runuser -u afferent -- afferent-agent config --check --config /etc/afferent/agent.toml");
    assert!(report.contains("vm-arm64") && report.contains("agrees       camera vivid"), "{report}");
    let rights = board.run("systemd-analyze security --no-pager afferent-agent | tail -1");
    eprintln!("{}", rights.trim());
    assert!(rights.contains(" OK "), "{rights}");
    board.run("systemctl start afferent-agent");
    server.flows(FLOW, "installed and enrolled");

    board.link(false);
    server.listen(Duration::from_secs(3));
    let before = server.rows;
    server.listen(Duration::from_secs(10));
    assert!(server.rows <= before + 1, "rows without a network");
    board.link(true);
    server.flows(2 * FLOW, "after the link was lost");

    board.power_off();
    // What has arrived but is not yet decoded says nothing of what comes after.
    server.quiet();
    let mut board = Board::power_on(&image, &site.path(""));
    server.flows(FLOW, "after the power was lost");

    let since = board.log_end();
    // A shorter watchdog, so that the test need not wait a minute for it.
    board.run(
        "mkdir /run/systemd/system/afferent-agent.service.d && \
         printf '[Service]\\nWatchdogSec=15\\n' >/run/systemd/system/afferent-agent.service.d/test.conf && \
         systemctl daemon-reload && systemctl restart afferent-agent && systemctl kill -s STOP afferent-agent",
    );
    // A stopped process says nothing: the service manager ends it and starts it again.
    board.wait_for_log(&since, "Watchdog timeout");
    server.flows(FLOW, "after the agent hung");

    let since = board.log_end();
    board.run("fallocate -l $(($(stat -f -c '%a * %S' /) - 65536)) /full; sync");
    board.wait_for_log(&since, "No space left");
    board.run("rm /full");
    server.flows(FLOW, "after the disk was full");

    // A clock that was never set: the server's certificate is not yet valid.
    let since = board.log_end();
    let now = board.run("date '+%Y-%m-%d %H:%M:%S'");
    board.run("date -s '2001-02-03 04:05:06' && systemctl restart afferent-agent");
    board.wait_for_log(&since, "clock");
    let set = board.run(&format!("date -s '{}'", now.trim()));
    server.flows(FLOW, &format!("after the clock was wrong (now {})", set.trim()));

    // A spool of its own for the cameras' account; then they are pulled out.
    board.run("systemctl stop afferent-agent");
    let standing = board.run("runuser -u afferent -- afferent-agent spool --config /etc/afferent/agent.toml");
    eprintln!("{}", standing.trim());
    assert!(standing.contains("+ 0 lost"), "{standing}");
    board.run("rm -r /var/lib/afferent/spool");
    let since = board.log_end();
    board.run("systemctl start afferent-agent");
    server.flows(4 * FLOW, "with a new spool");
    // One device of the driver has all three.
    board.run("echo vivid.0 >/sys/bus/platform/drivers/vivid/unbind");
    board.wait_for_log(&since, "is not there");
    server.flows(3, "while the cameras are gone");
    let log = board.log(&since);
    board.run("systemctl stop afferent-agent && sync");
    server.quiet();
    board.power_off();
    server.process.terminate().unwrap();
    server.process.wait(PATIENCE).unwrap();

    let rows: Vec<Row> = read_rows(&site.path("server").join("rows")).unwrap().map(Result::unwrap).collect();
    account(&rows, &standing, &log);
    let (ok, table, error) = run(Command::new(afferent()).arg("summary").arg(site.path("server").join("rows")));
    assert!(ok, "{error}");
    println!("{table}");
}

/// Holds the rows to what must be: each sample once, all that the first spool says were
/// acknowledged (`standing`), whatever befell that spool, each picture classified, and by
/// the agent's last log, each number of a camera's driver a row or counted in a gap.
fn account(rows: &[Row], standing: &str, log: &str) {
    let mut epochs: Vec<&str> = Vec::new();
    let mut seen: BTreeMap<(&str, u32), Vec<u64>> = BTreeMap::new();
    for row in rows {
        assert_eq!(row.device, DEVICE);
        if !epochs.contains(&row.epoch.as_str()) {
            epochs.push(&row.epoch);
        }
        seen.entry((&row.epoch, row.stream)).or_default().push(row.sequence);
        match &row.error {
            None if row.modality == "image" => assert!(row.prediction_label.is_some(), "{row:?}"),
            None => {}
            Some(error) => assert!(row.missing.is_some(), "{error}: {row:?}"),
        }
    }
    assert_eq!(epochs.len(), 2, "two spools");
    for ((epoch, stream), sequences) in &mut seen {
        sequences.sort_unstable();
        let twice = sequences.windows(2).any(|pair| pair[0] == pair[1]);
        assert!(!twice, "epoch {epoch}, stream {stream}: a sample has two rows");
    }
    // `epoch …: A accepted = B acknowledged + …`; the server may have more than it was heard to have.
    let number = |word: &str| {
        let before = standing.split(&format!(" {word}")).next().unwrap();
        before.rsplit(' ').next().unwrap().parse::<usize>().unwrap()
    };
    let first = rows.iter().filter(|row| row.epoch == *epochs[0]).count();
    eprintln!("first spool: {first} rows of {} accepted, {} acknowledged", number("accepted"), number("acknowledged"));
    assert!((number("acknowledged")..=number("accepted")).contains(&first));
    // What is missing between two rows of a stream is what was still to be sent.
    let of_first = seen.iter().filter(|((epoch, _), _)| *epoch == epochs[0]);
    let holes: usize = of_first.map(|(_, all)| *all.last().unwrap() as usize + 1 - all.len()).sum();
    assert!(holes <= number("spooled"), "{holes} acknowledged samples have no row");
    let last = |name: &str| {
        let of = |row: &&Row| row.epoch == *epochs[1] && row.stream_name == name;
        rows.iter().filter(of).collect::<Vec<_>>()
    };
    for (number, name) in ["jpeg", "webp", "optic"].into_iter().enumerate() {
        let numbered = format!("camera /dev/video{number}: its driver has numbered ");
        let said = log.split(&numbered).nth(1).unwrap();
        assert!(said.starts_with(|c: char| c.is_ascii_digit()) && said.contains("from 0 on"), "{said}");
        let numbered: u64 = said.split_whitespace().next().unwrap().parse().unwrap();
        let gone = |row: &&&Row| row.error.as_deref().is_some_and(|error| error.contains("is not there"));
        let rows = last(name);
        let sequences = &seen[&(epochs[1], number as u32)];
        assert_eq!(sequences.last().unwrap() + 1, sequences.len() as u64, "{name}: a sample has no row");
        let captured = rows.iter().filter(|row| row.error.is_none()).count() as u64;
        let lost: u64 = rows.iter().filter(|row| !gone(row)).filter_map(|row| row.missing).sum();
        eprintln!("{name}: the driver numbered {numbered} frames; {captured} rows, {lost} in gaps");
        assert_eq!(captured + lost, numbered);
    }
    let program = last("program").iter().filter(|row| row.error.is_none()).count();
    assert!(program > 3, "{program} pictures came from the program");
    let rows = last("speech");
    let samples: u64 = rows.iter().map(|row| row.missing.or(row.source_frames).unwrap_or(0)).sum();
    let time = |row: &&&Row| row.captured_unix_us.unwrap();
    let last_row = rows.iter().max_by_key(time).unwrap();
    let span_us = (time(&last_row) - rows.iter().map(|row| time(&row)).min().unwrap()) as u64;
    let expected = span_us * SAMPLE_RATE / 1_000_000 + last_row.source_frames.unwrap_or(0);
    eprintln!("speech: {samples} samples in rows and gaps, {expected} by the clock");
    assert!(samples.abs_diff(expected) < SAMPLE_RATE / 2, "samples of sound are not accounted for");
    let heard = rows.iter().filter(|row| row.error.is_none()).filter_map(|row| row.source_frames).sum::<u64>();
    assert!(heard > 5 * SAMPLE_RATE, "only {heard} samples of sound came");
}
