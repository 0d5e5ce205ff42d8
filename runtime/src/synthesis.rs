//! Which network turns what a device coded into pictures: chosen per stream, after
//! the fact.
//!
//! A codec whose descriptor says `synthesis` leaves this to whoever decodes: its own
//! linear inverse, or a network of the zoo, both from the same bitstream. A network
//! is loaded when the first picture wants it, and one that cannot be had is an error:
//! nothing falls back to another flavour unseen.

use crate::backend::{Backend, Engine, Require};
use afferent_codec::{Container, Geometry, Limits, Registry, SampleDecoder};
use afferent_codec_default::{Optic, Synthesis};
use afferent_media::{Code, Error, Result, Sample};
use afferent_models::Store;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// The flavour that needs no network.
pub const LINEAR: &str = "linear";

/// The flavour of whoever asks for none.
pub const DEFAULT: &str = "faithful";

/// Which synthesis decodes which stream.
///
/// ```
/// use afferent_runtime::synthesis::Flavours;
/// let flavours = Flavours::parse(&["faithful".into(), "door=linear".into()])?;
/// assert_eq!((flavours.of("door"), flavours.of("garden")), ("linear", "faithful"));
/// # Ok::<(), afferent_media::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Flavours {
    others: String,
    streams: BTreeMap<String, String>,
}

impl Default for Flavours {
    /// [`DEFAULT`] for every stream.
    fn default() -> Self {
        Self::all(DEFAULT)
    }
}

impl Flavours {
    /// The same flavour for every stream.
    #[must_use]
    pub fn all(flavour: &str) -> Self {
        Self { others: flavour.to_owned(), streams: BTreeMap::new() }
    }

    /// Another flavour for one stream.
    #[must_use]
    pub fn with(mut self, stream: &str, flavour: &str) -> Self {
        self.streams.insert(stream.to_owned(), flavour.to_owned());
        self
    }

    /// What options say: `FLAVOUR` for all streams that `STREAM=FLAVOUR` does not name.
    ///
    /// # Errors
    /// [`Code::Config`] if something is said twice, or nothing where something must be.
    pub fn parse(texts: &[String]) -> Result<Self> {
        let wrong = |what: String| {
            Error::new(Code::Config, what, "give one FLAVOUR for all streams, and STREAM=FLAVOUR for single ones")
        };
        let (mut others, mut flavours) = (None, Self::default());
        for text in texts {
            let (stream, flavour) = text.rsplit_once('=').map_or((None, text.as_str()), |(s, f)| (Some(s), f));
            if flavour.is_empty() || stream == Some("") {
                return Err(wrong(format!("`{text}` is no synthesis")));
            }
            let before = match stream {
                None => others.replace(flavour.to_owned()),
                Some(stream) => flavours.streams.insert(stream.to_owned(), flavour.to_owned()),
            };
            if before.is_some() {
                return Err(wrong(format!("`{text}` says what was said before")));
            }
        }
        flavours.others = others.unwrap_or(flavours.others);
        Ok(flavours)
    }

    /// The flavour of a stream.
    #[must_use]
    pub fn of(&self, stream: &str) -> &str {
        self.streams.get(stream).unwrap_or(&self.others)
    }

    fn named(&self) -> BTreeSet<&str> {
        self.streams.values().chain([&self.others]).map(String::as_str).collect()
    }
}

/// A network that decodes, loaded once; each decoder gets one of its own.
pub struct Loaded {
    /// First 16 hexadecimal digits of the SHA-256 of its weights.
    pub sha256: String,
    engine: Engine,
}

impl Loaded {
    /// What really runs it.
    #[must_use]
    pub fn provider(&self) -> &str {
        self.engine.provider()
    }
}

/// The networks of the zoo that decode, loaded as they are wanted.
pub struct Syntheses {
    flavours: Flavours,
    store: Option<Store>,
    require: Option<Require>,
    open: Mutex<Open>,
}

#[derive(Default)]
struct Open {
    backend: Option<Backend>,
    /// By codec and flavour.
    loaded: BTreeMap<(String, String), Arc<Loaded>>,
    /// What could not be loaded, since when, and what it said.
    failed: BTreeMap<(String, String), (Instant, Code, String)>,
}

/// How long a network that could not be had is not asked for again: packets may come
/// many a second, and asking may mean a download.
const RETRY: Duration = Duration::from_secs(1);

impl Open {
    fn load(&mut self, store: &Store, require: Option<Require>, codec: &str, flavour: &str) -> Result<Arc<Loaded>> {
        let resolved = store.resolve(&store.zoo().synthesis(codec, flavour)?.name)?;
        let backend = match &mut self.backend {
            Some(backend) => backend,
            none => none.insert(Backend::open(store, require)?),
        };
        let engine = backend.load_sized(&resolved.path).map_err(|e| e.at(format!("{codec}/{flavour}")))?;
        log::info!("{codec}/{flavour} is run by {}", engine.provider());
        Ok(Arc::new(Loaded { sha256: short(&resolved.sha256.to_string()), engine }))
    }
}

impl Syntheses {
    /// Networks of `store`'s zoo, run by the backend that is required or can be had.
    ///
    /// # Errors
    /// [`Code::NotFound`] if no codec has a flavour that is asked for.
    pub fn new(store: Store, require: Option<Require>, flavours: Flavours) -> Result<Self> {
        let known: BTreeSet<&str> =
            store.zoo().models().iter().filter_map(|m| m.synthesis.as_ref()).map(|s| s.flavour.as_str()).collect();
        for flavour in flavours.named() {
            if flavour != LINEAR && !known.contains(flavour) {
                let known: Vec<&str> = [LINEAR].into_iter().chain(known).collect();
                return Err(Error::new(
                    Code::NotFound,
                    format!("no codec has a synthesis `{flavour}`"),
                    format!("use one of: {}; or add a network in a zoo file of your own", known.join(", ")),
                ));
            }
        }
        Ok(Self { flavours, store: Some(store), require, open: Mutex::default() })
    }

    /// No network: every stream is decoded by its codec's linear inverse.
    #[must_use]
    pub fn linear() -> Self {
        Self { flavours: Flavours::all(LINEAR), store: None, require: None, open: Mutex::default() }
    }

    /// The same networks, run by a backend that is open already.
    #[must_use]
    pub fn on(self, backend: Backend) -> Self {
        Self { open: Mutex::new(Open { backend: Some(backend), ..Open::default() }), ..self }
    }

    /// The flavour of a stream.
    #[must_use]
    pub fn of(&self, stream: &str) -> &str {
        self.flavours.of(stream)
    }

    /// First 16 hexadecimal digits of what the zoo says that the network's SHA-256 is.
    #[must_use]
    pub fn digest(&self, codec: &str, flavour: &str) -> Option<String> {
        let manifest = self.store.as_ref()?.zoo().synthesis(codec, flavour).ok()?;
        Some(short(&manifest.sha256?.to_string()))
    }

    /// The network that decodes `codec` in this flavour; `None` for the linear one.
    ///
    /// # Errors
    /// Those of the zoo, the store and the backend.
    pub fn get(&self, codec: &str, flavour: &str) -> Result<Option<Arc<Loaded>>> {
        if flavour == LINEAR {
            return Ok(None);
        }
        let store = self.store.as_ref().ok_or_else(|| {
            Error::new(Code::Internal, format!("there is no store to load {codec}/{flavour} from"), "report this")
        })?;
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (codec.to_owned(), flavour.to_owned());
        if let Some(loaded) = open.loaded.get(&key) {
            return Ok(Some(Arc::clone(loaded)));
        }
        if let Some((since, code, what)) = open.failed.get(&key)
            && since.elapsed() < RETRY
        {
            return Err(Error::new(*code, what.clone(), "see the log for what to do; it will be asked for again"));
        }
        match open.load(store, self.require, codec, flavour) {
            Ok(network) => {
                open.failed.remove(&key);
                open.loaded.insert(key, Arc::clone(&network));
                Ok(Some(network))
            }
            Err(error) => {
                log::error!("{error}");
                open.failed.insert(key, (Instant::now(), error.code(), error.what().to_owned()));
                Err(error)
            }
        }
    }

    /// The codecs of `registry`, decoding in this flavour where they can.
    ///
    /// # Errors
    /// Those of [`get`](Self::get).
    pub fn registry(&self, registry: &Registry, flavour: &str) -> Result<Registry> {
        let mut flavoured = registry.clone();
        let codecs = registry.iter().map(|codec| codec.descriptor());
        for codec in codecs.filter(|codec| codec.synthesis) {
            let Some(network) = self.get(codec.id, flavour)? else { continue };
            match codec.id {
                "optic" => {
                    let synthesis = Synthesis::new(flavour, move || network.engine.network());
                    flavoured.add(Optic::new().with_synthesis(synthesis));
                }
                id => {
                    return Err(Error::new(
                        Code::Internal,
                        format!("nobody says how a network decodes {id}"),
                        "report this",
                    ));
                }
            }
        }
        Ok(flavoured)
    }
}

fn short(sha256: &str) -> String {
    sha256.get(..16).unwrap_or(sha256).to_owned()
}

/// A decoded sample, and how long that took.
pub(crate) struct Decoded {
    pub(crate) sample: Sample,
    /// Without any building or first run of a network.
    pub(crate) took: Duration,
    pub(crate) restored_in: Option<Duration>,
}

/// The decoders of one worker, one for each flavour.
pub(crate) struct Decoders {
    registry: Registry,
    syntheses: Arc<Syntheses>,
    open: BTreeMap<String, Decoder>,
}

struct Decoder {
    decoder: SampleDecoder,
    /// The sizes, in blocks, that its networks are ready for, the last used last.
    ready: Vec<(u32, u32)>,
}

/// For how many sizes a decoder is kept ready: as many as tract's networks are.
const READY: usize = afferent_models_tract::SizedNetwork::KEPT;

impl Decoders {
    pub(crate) fn new(registry: Registry, syntheses: Arc<Syntheses>) -> Self {
        Self { registry, syntheses, open: BTreeMap::new() }
    }

    /// How a codec's packets of this stream are decoded: the flavour and its network;
    /// `None` for a codec that leaves no choice.
    pub(crate) fn choice(&self, codec: &str, stream: &str) -> Option<(&str, Option<Arc<Loaded>>)> {
        let codec = self.registry.get(codec).ok().map(|codec| codec.descriptor())?;
        let flavour = codec.synthesis.then(|| self.syntheses.of(stream))?;
        // Why there is none, decoding will say.
        Some((flavour, self.syntheses.get(codec.id, flavour).ok().flatten()))
    }

    /// Decodes a container of a stream.
    pub(crate) fn decode(&mut self, stream: &str, container: &Container<'_>) -> Result<Decoded> {
        let header = &container.header;
        let has_choice = self.registry.get(&header.codec)?.descriptor().synthesis;
        let flavour = if has_choice { self.syntheses.of(stream) } else { LINEAR };
        if !self.open.contains_key(flavour) {
            let registry = self.syntheses.registry(&self.registry, flavour)?;
            let decoder = SampleDecoder::new(registry, Limits::default());
            self.open.insert(flavour.to_owned(), Decoder { decoder, ready: Vec::new() });
        }
        let Some(Decoder { decoder, ready }) = self.open.get_mut(flavour) else {
            return Err(Error::new(Code::Internal, "a decoder was lost", "report this"));
        };
        if has_choice && let Some(network) = self.syntheses.get(&header.codec, flavour)? {
            let size = match (&network.engine, header.geometry) {
                // Built anew for every size.
                (Engine::Sized(_), Geometry::Image(shape) | Geometry::ResizedImage(shape, _)) => {
                    let (width, height) = header.geometry.resize().apply(shape.width, shape.height);
                    (width.div_ceil(16), height.div_ceil(16))
                }
                _ => (0, 0),
            };
            match ready.iter().position(|known| *known == size) {
                Some(known) => {
                    ready.remove(known);
                }
                // What fails here fails again below, and is told there.
                None => drop(decoder.decode(container)),
            }
            if ready.len() >= READY {
                ready.remove(0);
            }
            ready.push(size);
        }
        let start = Instant::now();
        let sample = decoder.decode(container)?;
        Ok(Decoded { sample, took: start.elapsed(), restored_in: decoder.restored_in() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use afferent_codec::{SampleEncoder, Settings};
    use afferent_media::{Image, PixelFormat};

    fn store() -> (tempfile::TempDir, Store) {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::new(folder.path(), None).unwrap();
        (folder, store)
    }

    fn registry() -> Registry {
        let mut registry = afferent_codec_conventional::registry();
        afferent_codec_default::register(&mut registry);
        registry
    }

    fn picture() -> Sample {
        let pixel = |x: u32, y: u32| [(x * 3) as u8, (y * 2 + x) as u8, ((x / 9 + y / 7) % 2 * 90 + 60) as u8];
        let data = (0..50).flat_map(|y| (0..70).flat_map(move |x| pixel(x, y))).collect();
        Sample::Image(Image::new(70, 50, PixelFormat::Rgb8, data).unwrap())
    }

    fn encoded() -> Vec<u8> {
        let mut out = Vec::new();
        let settings = Settings { knob: Some(45.0), ..Settings::default() };
        let mut encoder = SampleEncoder::new(registry().get("optic").unwrap().as_ref(), &settings).unwrap();
        encoder.encode(&picture(), &mut out).unwrap();
        out
    }

    #[test]
    fn flavours_are_read_and_mistakes_named() {
        let parse = |texts: &[&str]| Flavours::parse(&texts.iter().map(|t| (*t).to_owned()).collect::<Vec<_>>());
        assert_eq!(parse(&[]).unwrap(), Flavours::default());
        let flavours = parse(&["a=b=generative", "door=linear"]).unwrap();
        assert_eq!([flavours.of("a=b"), flavours.of("door"), flavours.of("")], ["generative", LINEAR, DEFAULT]);
        for texts in [&["linear", "faithful"][..], &["a=linear", "a=linear"], &["a="], &["=linear"], &[""]] {
            assert_eq!(parse(texts).unwrap_err().code(), Code::Config, "{texts:?}");
        }
        let (_folder, store) = store();
        let error = Syntheses::new(store, None, parse(&["a=cubist"]).unwrap()).map(drop).unwrap_err();
        assert_eq!(error.code(), Code::NotFound);
        assert!(error.to_string().contains("cubist") && error.remedy().contains("faithful, generative"), "{error}");
    }

    #[test]
    fn one_bitstream_is_decoded_by_stream() {
        let (_folder, store) = store();
        let flavours = Flavours::default().with("plain", LINEAR);
        let syntheses = Arc::new(Syntheses::new(store, Some(Require::Tract), flavours).unwrap());
        let mut decoders = Decoders::new(registry(), Arc::clone(&syntheses));
        let bytes = encoded();
        let container = Container::parse(&bytes).unwrap();
        let mut decode = |stream: &str| {
            let Sample::Image(image) = decoders.decode(stream, &container).unwrap().sample else { panic!() };
            image
        };
        let (plain, faithful, again) = (decode("plain"), decode("other"), decode("other"));
        assert_eq!(faithful, again);
        assert_eq!((plain.width(), plain.height()), (faithful.width(), faithful.height()));
        assert_ne!(plain, faithful, "the network does nothing");
        let linear = SampleDecoder::new(registry(), Limits::default()).decode(&container).unwrap();
        assert_eq!(linear, Sample::Image(plain));

        let (flavour, network) = decoders.choice("optic", "other").unwrap();
        let network = network.unwrap();
        assert_eq!((flavour, network.provider()), (DEFAULT, "tract/cpu"));
        assert_eq!(syntheses.digest("optic", flavour).as_ref(), Some(&network.sha256));
        assert!(matches!(decoders.choice("optic", "plain"), Some((LINEAR, None))));
        assert!(decoders.choice("jpeg", "other").is_none());
    }

    #[test]
    fn without_its_network_nothing_is_decoded() {
        let mut decoders =
            Decoders::new(registry(), Arc::new(Syntheses { flavours: Flavours::default(), ..Syntheses::linear() }));
        let bytes = encoded();
        let error = decoders.decode("any", &Container::parse(&bytes).unwrap()).map(|d| d.took).unwrap_err();
        assert!(error.what().contains("optic/faithful"), "{error}");
    }

    #[test]
    fn onnx_runtime_and_tract_agree() {
        let require = Require::Ort(afferent_models_ort::Provider::Cpu);
        let ort = match Store::from_env().and_then(|store| Backend::open(&store, Some(require))) {
            Ok(ort) => ort,
            Err(error) => return eprintln!("ONNX Runtime is passed over: {error}"),
        };
        let pictures: Vec<Image> = [Backend::Tract, ort]
            .into_iter()
            .map(|backend| {
                let (_folder, store) = store();
                let syntheses = Syntheses::new(store, None, Flavours::default()).unwrap().on(backend);
                let mut decoders = Decoders::new(registry(), Arc::new(syntheses));
                let bytes = encoded();
                let decoded = decoders.decode("", &Container::parse(&bytes).unwrap()).unwrap();
                let Sample::Image(image) = decoded.sample else { panic!() };
                image
            })
            .collect();
        let (tract, ort) = (pictures[0].view().packed(), pictures[1].view().packed());
        let differ = tract.iter().zip(ort.iter()).filter(|(a, b)| a != b).count();
        // Roundings to whole grey levels may fall apart, rarely.
        assert!(differ <= 10, "{differ} values differ");
    }
}
