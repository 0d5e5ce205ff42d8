//! A server process, and what agents need to send to it.

use crate::folder;
use crate::process::Process;
use afferent_agent::config::{Config, Stream};
use afferent_link_quic::identity::Authority;
use afferent_media::{Code, Error, Result};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// How long a server may take to work through what it has stored.
const BACKLOG: Duration = Duration::from_secs(600);

/// A server process that stores and decodes and has no model, on loopback, with its
/// authority. Everything of it is in one folder.
pub struct Site {
    work: PathBuf,
    authority: Authority,
    address: String,
    server: Process,
}

impl Site {
    /// Starts `server` (the `afferent` binary) in the folder `work`, which is emptied first.
    ///
    /// # Errors
    /// Those of the folder, the identities, and the process.
    pub fn start(server: &Path, work: &Path) -> Result<Self> {
        let work = folder::fresh(work)?;
        let identity = work.join("identity");
        let authority = Authority::create(&identity)?;
        authority.issue_server(&["afferent-server"])?;
        let mut server = Process::start(
            "server",
            Command::new(server)
                .args(["serve", "--listen", "127.0.0.1:0", "--events", "--workers", "1", "--model", "none"])
                .arg("--identity")
                .arg(&identity)
                .arg("--data")
                .arg(work.join("server")),
            &work,
        )?;
        let listening = server.wait_for("listening", Duration::from_secs(30))?;
        let address = listening["address"].as_str().unwrap_or_default().to_owned();
        Ok(Self { work, authority, address, server })
    }

    /// The folder of everything.
    #[must_use]
    pub fn work(&self) -> &Path {
        &self.work
    }

    /// The folder of the server's store.
    #[must_use]
    pub fn store(&self) -> PathBuf {
        self.work.join("server").join("store")
    }

    /// Makes the identity of a device.
    ///
    /// # Errors
    /// Those of the authority.
    pub fn device(&self, name: &str) -> Result<PathBuf> {
        self.authority.issue_device(name)
    }

    /// The default configuration of an agent that sends here, with a spool of this name.
    ///
    /// # Errors
    /// None in practice.
    pub fn config(&self, identity: &Path, spool: &str, streams: Vec<Stream>) -> Result<Config> {
        let mut config = afferent_agent::Layers::new(None, &[])?.config()?;
        config.server.address.clone_from(&self.address);
        identity.clone_into(&mut config.identity.folder);
        config.spool.folder = self.work.join(spool);
        config.streams = streams;
        Ok(config)
    }

    /// Starts the `binary` of the agent with `config`.
    ///
    /// # Errors
    /// Those of writing the configuration and of the process.
    pub fn agent(&self, binary: &Path, name: &'static str, config: &Config) -> Result<Process> {
        let path = self.work.join(format!("{name}.toml"));
        let text = toml::to_string(config).map_err(|e| {
            Error::new(Code::Internal, "the configuration cannot be written", "report this").caused_by(e)
        })?;
        std::fs::write(&path, text).map_err(|e| Error::io(path.display().to_string(), e))?;
        Process::start(name, Command::new(binary).args(["run", "--events", "--config"]).arg(&path), &self.work)
    }

    /// The server's next event within `patience`.
    ///
    /// # Errors
    /// As [`Process::event`].
    pub fn event(&mut self, patience: Duration) -> Result<Option<Value>> {
        self.server.event(patience)
    }

    /// Ends the server once it has worked through what it has stored; `event` is told
    /// what it says until then.
    ///
    /// # Errors
    /// Those of the process.
    pub fn end(mut self, event: impl FnMut(Value)) -> Result<()> {
        self.server.terminate()?;
        // Its output ends with it.
        std::iter::from_fn(|| self.server.event(BACKLOG).ok().flatten()).for_each(event);
        self.server.wait(BACKLOG)?;
        Ok(())
    }
}
