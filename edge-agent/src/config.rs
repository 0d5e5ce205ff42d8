//! The agent's configuration, in layers, with the origin of every value.

use afferent_codec::{Resize, Settings};
use afferent_media::{Code, Error, Result};
use figment::providers::{Env, Format, Serialized, Toml};
use figment::{Figment, Profile};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// The documented defaults: every key, with a comment.
pub const DEFAULT: &str = include_str!("agent.default.toml");

/// The prefix of environment variables; `__` separates the parts of a key.
pub const ENV_PREFIX: &str = "AFFERENT_AGENT_";

/// Most streams of one agent: those of one session of the link.
const MAX_STREAMS: usize = 64;

/// The agent's configuration. The meaning of each key is documented in [`DEFAULT`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Where to send.
    pub server: Server,
    /// Who this agent is.
    pub identity: Identity,
    /// Where samples wait until they are acknowledged.
    pub spool: Spool,
    /// The encoding stage.
    pub encode: Encode,
    /// The sending stage.
    pub send: Send,
    /// The streams, in order of their numbers.
    #[serde(default, rename = "stream", skip_serializing_if = "Vec::is_empty")]
    pub streams: Vec<Stream>,
}

/// Where to send.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Server {
    /// Host and UDP port.
    pub address: String,
    /// Name in the server's certificate.
    pub name: String,
}

/// Who this agent is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Identity {
    /// Folder of certificate and key.
    pub folder: PathBuf,
}

/// Where samples wait until they are acknowledged.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Spool {
    /// Folder of the segments.
    pub folder: PathBuf,
    /// Size of a segment in MiB.
    pub segment_mib: u32,
    /// Most MiB on disk.
    pub max_mib: u32,
    /// Most milliseconds until a sync.
    pub sync_ms: u32,
    /// Most KiB until a sync.
    pub sync_kib: u32,
}

/// The encoding stage.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Encode {
    /// Encoder threads.
    pub threads: usize,
    /// Samples between two stages.
    pub queue: usize,
}

/// The sending stage.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Send {
    /// Most packets in flight.
    pub window_packets: u16,
    /// Most KiB in flight.
    pub window_kib: u32,
    /// First waiting time before a new attempt to connect.
    pub backoff_min_ms: u32,
    /// Longest waiting time before a new attempt to connect.
    pub backoff_max_ms: u32,
}

/// One stream.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Stream {
    /// Name, unique on this agent.
    pub name: String,
    /// Codec id.
    pub codec: String,
    /// Preset; the codec's default where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub preset: Option<String>,
    /// Knob; the codec's default where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub knob: Option<f32>,
    /// Images are made smaller by this ratio before coding.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resize: Option<Resize>,
    /// Delivery class.
    #[serde(default)]
    pub class: Class,
    /// Replay of recorded media.
    pub replay: Replay,
}

impl Stream {
    /// The operating point of its codec.
    #[must_use]
    pub fn settings(&self) -> Settings {
        Settings { preset: self.preset.clone(), knob: self.knob, resize: self.resize.unwrap_or_default() }
    }
}

/// Delivery class of a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Class {
    /// Wanted now.
    #[default]
    Live,
    /// Wanted some time.
    Backfill,
}

/// Replay of recorded media.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Replay {
    /// A folder of media files, or a manifest.
    pub path: PathBuf,
    /// How fast.
    #[serde(default)]
    pub pace: Pace,
    /// Milliseconds between images at the real pace.
    #[serde(default = "default_period_ms")]
    pub period_ms: u32,
    /// How often; 0 is for ever.
    #[serde(default = "default_repeat")]
    pub repeat: u32,
}

fn default_period_ms() -> u32 {
    100
}

fn default_repeat() -> u32 {
    1
}

/// How fast recorded media are replayed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Pace {
    /// As fast as the encoder takes them.
    #[default]
    Fast,
    /// At the pace of the recording.
    Real,
}

/// The layers of a configuration, before they are joined.
#[derive(Clone)]
pub struct Layers(Figment);

impl Layers {
    /// Defaults, then `file`, then the environment, then `sets` (`key=value`).
    ///
    /// # Errors
    /// [`Code::NotFound`] if `file` does not exist, [`Code::Config`] for a set
    /// without `=`.
    pub fn new(file: Option<&Path>, sets: &[String]) -> Result<Self> {
        let mut figment = Figment::from(Toml::string(DEFAULT).profile(Profile::Default));
        if let Some(file) = file {
            std::fs::metadata(file).map_err(|e| Error::io(format!("configuration {}", file.display()), e))?;
            figment = figment.merge(Toml::file_exact(file));
        }
        // AFFERENT_AGENT_CONFIG names the file itself.
        figment = figment.merge(Env::prefixed(ENV_PREFIX).ignore(&["config"]).split("__"));
        for set in sets {
            let (key, value) = set.split_once('=').ok_or_else(|| {
                Error::new(
                    Code::Config,
                    format!("`{set}` sets nothing"),
                    "write --set key=value, for example --set encode.threads=2",
                )
            })?;
            // The value in TOML's syntax where it is that, else as a bare string.
            let value: figment::value::Value =
                value.parse().unwrap_or_else(|never: std::convert::Infallible| match never {});
            figment = figment.merge(Serialized::default(key, value).profile(Profile::Default));
        }
        Ok(Self(figment))
    }

    /// The joined and checked configuration.
    ///
    /// # Errors
    /// [`Code::Config`], naming the key, where it came from and what is wrong.
    pub fn config(&self) -> Result<Config> {
        let config: Config = self.0.extract().map_err(|e| {
            Error::new(
                Code::Config,
                "the configuration is wrong",
                "see `afferent-agent config --default` for every key",
            )
            .caused_by(e)
        })?;
        config.check()?;
        Ok(config)
    }

    /// Every value with its origin, one `key = value  # origin` a line.
    ///
    /// # Errors
    /// As [`config`](Self::config).
    pub fn show(&self) -> Result<String> {
        let value = toml::Value::try_from(self.config()?)
            .map_err(|e| Error::new(Code::Internal, "the configuration cannot be shown", "report this").caused_by(e))?;
        let mut lines = String::new();
        self.show_value(&mut lines, "", &value);
        Ok(lines)
    }

    fn show_value(&self, lines: &mut String, key: &str, value: &toml::Value) {
        let inner = |part: &str| if key.is_empty() { part.to_owned() } else { format!("{key}.{part}") };
        match value {
            toml::Value::Table(table) => {
                table.iter().for_each(|(part, value)| self.show_value(lines, &inner(part), value))
            }
            toml::Value::Array(items) if key == "stream" => {
                items.iter().enumerate().for_each(|(i, value)| self.show_value(lines, &inner(&i.to_string()), value));
            }
            value => {
                // A list is taken whole from one place.
                let place = if key.starts_with("stream.") { "stream" } else { key };
                let origin = match self.0.find_metadata(place) {
                    Some(metadata) => match &metadata.source {
                        Some(figment::Source::File(path)) => format!("file {}", path.display()),
                        _ if metadata.name.contains("environment") => "environment".to_owned(),
                        _ if metadata.name.contains("TOML") => "default".to_owned(),
                        _ => "command line".to_owned(),
                    },
                    None => "default".to_owned(),
                };
                lines.push_str(&format!("{key} = {value}  # {origin}\n"));
            }
        }
    }
}

impl Config {
    /// Checks what types cannot.
    fn check(&self) -> Result<()> {
        let wrong = |what: String, remedy: &'static str| Err(Error::new(Code::Config, what, remedy));
        let positive = [
            ("spool.segment_mib", u64::from(self.spool.segment_mib)),
            ("spool.max_mib", self.spool.max_mib.into()),
            ("spool.sync_kib", self.spool.sync_kib.into()),
            ("encode.threads", self.encode.threads as u64),
            ("encode.queue", self.encode.queue as u64),
            ("send.window_packets", self.send.window_packets.into()),
            ("send.window_kib", self.send.window_kib.into()),
            ("send.backoff_min_ms", self.send.backoff_min_ms.into()),
        ];
        if let Some((key, _)) = positive.iter().find(|(_, value)| *value == 0) {
            return wrong(format!("{key} is 0"), "give a number above zero");
        }
        if self.encode.threads > 64 || self.encode.queue > 1024 {
            return wrong(
                "encode.threads or encode.queue is too large".into(),
                "use at most 64 threads and a queue of 1024",
            );
        }
        if u64::from(self.spool.max_mib) < 2 * u64::from(self.spool.segment_mib) {
            return wrong(
                "spool.max_mib holds less than two segments".into(),
                "raise spool.max_mib or lower spool.segment_mib",
            );
        }
        if self.send.backoff_max_ms < self.send.backoff_min_ms {
            return wrong("send.backoff_max_ms is below send.backoff_min_ms".into(), "raise send.backoff_max_ms");
        }
        let port = self.server.address.rsplit_once(':').and_then(|(_, port)| port.parse::<u16>().ok());
        if port.is_none() {
            return wrong(
                format!("server.address `{}` has no port", self.server.address),
                "write host:port, for example gate.example:7400",
            );
        }
        if self.streams.len() > MAX_STREAMS {
            return wrong(
                format!("{} streams", self.streams.len()),
                "use at most 64 streams; start another agent for more",
            );
        }
        for (index, stream) in self.streams.iter().enumerate() {
            if stream.name.is_empty() || stream.name.len() > 64 {
                return wrong(format!("stream {index} has no name or one above 64 bytes"), "name it");
            }
            if self.streams[..index].iter().any(|other| other.name == stream.name) {
                return wrong(
                    format!("two streams are named `{}`", stream.name),
                    "give every stream a name of its own",
                );
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layers(text: &str, sets: &[&str]) -> Result<Config> {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("agent.toml");
        std::fs::write(&file, text).unwrap();
        Layers::new(Some(&file), &sets.iter().map(|s| (*s).to_owned()).collect::<Vec<_>>())?.config()
    }

    #[test]
    fn the_default_is_whole_and_documented() {
        let config = Layers::new(None, &[]).unwrap().config().unwrap();
        assert!(config.streams.is_empty());
        // The commented stream is valid too, and names every key there is.
        let (head, tail) = DEFAULT.split_once("# [[stream]]").unwrap();
        let stream: String =
            tail.lines().map(|l| l.strip_prefix("# ").unwrap_or("")).fold(String::new(), |s, l| s + l + "\n");
        let full = layers(&format!("{head}[[stream]]\n{stream}"), &[]).unwrap();
        let value = toml::Value::try_from(&full.streams[0]).unwrap();
        assert_eq!(value.as_table().unwrap().len(), 7);
        assert_eq!(value["replay"].as_table().unwrap().len(), 4);
    }

    #[test]
    fn later_layers_win_and_their_origin_is_shown() {
        let config = layers("[encode]\nthreads = 3\n[server]\naddress = 'a:1'", &["encode.threads=5"]).unwrap();
        assert_eq!(config.encode.threads, 5);
        assert_eq!(config.server.address, "a:1");
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("agent.toml");
        std::fs::write(&file, "[encode]\nqueue = 9\n").unwrap();
        let shown = Layers::new(Some(&file), &["encode.threads=5".into()]).unwrap().show().unwrap();
        assert!(shown.contains("encode.threads = 5  # command line"), "{shown}");
        assert!(shown.contains(&format!("encode.queue = 9  # file {}", file.display())), "{shown}");
        assert!(shown.contains("spool.max_mib = 1024  # default"), "{shown}");
    }

    #[test]
    fn mistakes_are_named() {
        for (text, sets, named) in [
            ("[encode]\nthreds = 3", &[][..], "threds"),
            ("[encode]\nthreads = 'x'", &[], "encode.threads"),
            ("[encode]\nthreads = 0", &[], "encode.threads"),
            ("[encode", &[], "line 1"),
            ("", &["encode.threads"], "sets nothing"),
            (
                "[[stream]]\nname='a'\ncodec='jpeg'\nreplay={path='x'}\n[[stream]]\nname='a'\ncodec='png'\nreplay={path='x'}",
                &[],
                "named `a`",
            ),
        ] {
            let error = layers(text, sets).unwrap_err();
            assert_eq!(error.code(), Code::Config);
            assert!(error.to_string().contains(named), "{error}");
        }
    }
}
