//! Processes of a test: a server, an agent, and what they need.

use afferent_bench::process::Process;
use afferent_codec_conventional::open;
use afferent_link_quic::identity::Authority;
use afferent_media::{Image, PixelFormat, Sample};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// The `afferent` binary.
pub(crate) fn afferent() -> PathBuf {
    PathBuf::from(env!("CARGO_BIN_EXE_afferent"))
}

/// The agent's binary, which lies beside it once the workspace's binaries are built.
pub(crate) fn agent_binary() -> PathBuf {
    let path = afferent().with_file_name("afferent-agent");
    assert!(path.is_file(), "{} is missing: build the workspace's binaries first (`make build`)", path.display());
    path
}

/// A folder with an authority, a server's identity and one device's.
pub(crate) struct Site {
    folder: tempfile::TempDir,
    /// The device's bundle.
    pub(crate) device: PathBuf,
}

pub(crate) const DEVICE: &str = "test-board";

impl Site {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let authority = Authority::create(&folder.path().join("identity")).unwrap();
        authority.issue_server(&["afferent-server"]).unwrap();
        let device = authority.issue_device(DEVICE).unwrap();
        Self { folder, device }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Starts a server without a model; returns it and its address.
    pub(crate) fn server(&self, listen: &str, references: Option<&Path>) -> (Process, String) {
        self.server_with(listen, references, &[])
    }

    /// The same with more options.
    pub(crate) fn server_with(&self, listen: &str, references: Option<&Path>, more: &[&str]) -> (Process, String) {
        let mut command = Command::new(afferent());
        command.args([
            "serve",
            "--listen",
            listen,
            "--events",
            "--workers",
            "1",
            "--seal-rows",
            "500",
            "--model",
            "none",
            "--identity",
        ]);
        command.arg(self.path("identity")).arg("--data").arg(self.path("server"));
        command.args(more);
        if let Some(references) = references {
            command.arg("--references").arg(references);
        }
        let mut server = Process::start("server", &mut command, self.folder.path()).unwrap();
        let event = server.wait_for("listening", Duration::from_secs(60)).unwrap();
        (server, event["address"].as_str().unwrap().to_owned())
    }

    /// Writes the configuration of an agent that replays `media` by `codecs`.
    pub(crate) fn agent_config(
        &self,
        address: &str,
        media: &Path,
        codecs: &[(&str, Option<f32>)],
        more: &str,
    ) -> PathBuf {
        let mut text = format!(
            "[server]\naddress = '{address}'\n[identity]\nfolder = '{}'\n[spool]\nfolder = '{}'\nsync_ms = 5\n\
             [send]\nbackoff_min_ms = 20\nbackoff_max_ms = 200\n",
            self.device.display(),
            self.path("spool").display()
        );
        for (number, (codec, knob)) in codecs.iter().enumerate() {
            let knob = knob.map(|knob| format!("knob = {knob}\n")).unwrap_or_default();
            text += &format!(
                "[[stream]]\nname = 'stream-{number}'\ncodec = '{codec}'\n{knob}[stream.replay]\npath = '{}'\n{more}\n",
                media.display()
            );
        }
        let path = self.path("agent.toml");
        std::fs::write(&path, text).unwrap();
        path
    }

    pub(crate) fn agent(&self, config: &Path) -> Process {
        let mut command = Command::new(agent_binary());
        command.arg("run").arg("--config").arg(config);
        Process::start("agent", &mut command, self.folder.path()).unwrap()
    }
}

/// A folder of `count` small pictures that no two are alike of.
pub(crate) fn pictures(folder: &Path, count: u32) {
    std::fs::create_dir_all(folder).unwrap();
    for number in 0..count {
        let pixel = |x: u32, y: u32| [(x * 2 + number * 13) as u8, (y * 3) as u8, ((x * y) / 7 + number) as u8];
        let data = (0..64).flat_map(|y| (0..96).flat_map(move |x| pixel(x, y))).collect();
        let picture = Image::new(96, 64, PixelFormat::Rgb8, data).unwrap();
        open::write(&Sample::Image(picture), &folder.join(format!("{number:04}.png"))).unwrap();
    }
}

/// Runs a command to its end; its success, standard output and standard error.
pub(crate) fn run(command: &mut Command) -> (bool, String, String) {
    let out = command.output().unwrap();
    (out.status.success(), String::from_utf8_lossy(&out.stdout).into(), String::from_utf8_lossy(&out.stderr).into())
}
