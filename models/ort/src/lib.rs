//! The ONNX Runtime backend of the Network trait.
//!
//! ONNX Runtime is several times faster than tract on convolutional networks
//! and reaches accelerators, but it is a large library in another language. So
//! it is loaded at run time, never linked and never needed: a machine without it
//! runs tract. The [`Provider`] is asked for by name and recorded in every row,
//! and one that cannot be had is an error, never a silent fallback to the
//! processor.
//!
//! ```no_run
//! # fn main() -> afferent_media::Result<()> {
//! use afferent_media::{Network, Tensor};
//! use afferent_models_ort::{Options, OrtNetwork, Runtime};
//! let runtime = Runtime::load("libonnxruntime.so".as_ref())?;
//! let mut network = OrtNetwork::load(&runtime, "model.onnx".as_ref(), Options::default())?;
//! let input = Tensor::new([1, 3, 224, 224], vec![0.0; 3 * 224 * 224])?;
//! let outputs = network.run(&[("in", &input)])?;
//! println!("{} {:?} by {}", outputs[0].0, outputs[0].1.shape(), network.provider());
//! # Ok(())
//! # }
//! ```

use afferent_media::{Code, Error, Network, Result, Tensor};
use ort::environment::Environment;
use ort::ep::{self, ExecutionProviderDispatch};
use ort::session::builder::GraphOptimizationLevel;
use ort::session::{Session, SessionInputValue};
use ort::value::{DynValue, TensorElementType, TensorRef, ValueType};
use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::{Arc, Mutex, PoisonError};

/// What runs the network's operators.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum Provider {
    /// The processor.
    #[default]
    Cpu,
    /// NVIDIA's CUDA.
    Cuda,
    /// NVIDIA's TensorRT.
    TensorRt,
    /// Intel's OpenVINO.
    OpenVino,
    /// Apple's Core ML.
    CoreMl,
    /// Microsoft's DirectML.
    DirectMl,
    /// XNNPACK, for ARM processors above all.
    Xnnpack,
}

impl Provider {
    /// Every provider that can be asked for.
    pub const ALL: [Self; 7] =
        [Self::Cpu, Self::Cuda, Self::TensorRt, Self::OpenVino, Self::CoreMl, Self::DirectMl, Self::Xnnpack];

    /// Its name, as options and rows write it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Cpu => "cpu",
            Self::Cuda => "cuda",
            Self::TensorRt => "tensorrt",
            Self::OpenVino => "openvino",
            Self::CoreMl => "coreml",
            Self::DirectMl => "directml",
            Self::Xnnpack => "xnnpack",
        }
    }

    fn dispatch(self) -> ExecutionProviderDispatch {
        match self {
            Self::Cpu => ep::CPU::default().build(),
            Self::Cuda => ep::CUDA::default().build(),
            Self::TensorRt => ep::TensorRT::default().build(),
            Self::OpenVino => ep::OpenVINO::default().build(),
            Self::CoreMl => ep::CoreML::default().build(),
            Self::DirectMl => ep::DirectML::default().build(),
            Self::Xnnpack => ep::XNNPACK::default().build(),
        }
        .error_on_failure()
    }
}

impl fmt::Display for Provider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Provider {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        Self::ALL.into_iter().find(|provider| provider.name() == name).ok_or_else(|| {
            Error::new(
                Code::Config,
                format!("no execution provider is called `{name}`"),
                format!("use one of: {}", Self::ALL.map(Self::name).join(", ")),
            )
        })
    }
}

/// How a network is run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Options {
    /// What runs it. If it cannot be had, loading fails.
    pub provider: Provider,
    /// Threads within one run.
    pub threads: usize,
}

impl Default for Options {
    /// The processor, one thread: who runs many samples gives each worker a network of its own.
    fn default() -> Self {
        Self { provider: Provider::Cpu, threads: 1 }
    }
}

/// The loaded library. One per process, because the library allows no second.
#[derive(Clone)]
pub struct Runtime {
    environment: Environment,
    library: PathBuf,
    version: String,
}

impl fmt::Debug for Runtime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Runtime").field("library", &self.library).field("version", &self.version).finish()
    }
}

impl Runtime {
    /// Loads the shared library at `library`, of ONNX Runtime 1.17 or later. Where
    /// one is loaded already, that one is returned.
    ///
    /// # Errors
    /// [`Code::NotFound`] if there is no such file, [`Code::Unsupported`] if it
    /// cannot be loaded, is of another kind or too old.
    pub fn load(library: &Path) -> Result<Self> {
        static LOADED: Mutex<Option<Runtime>> = Mutex::new(None);
        let mut loaded = LOADED.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(runtime) = &*loaded {
            if runtime.library != library {
                log::warn!("{} is not loaded: {} is in use", library.display(), runtime.library.display());
            }
            return Ok(runtime.clone());
        }
        let place = library.display();
        std::fs::metadata(library).map_err(|e| Error::io(place.to_string(), e))?;
        let unusable = |what: String| Error::new(Code::Unsupported, what, "use ONNX Runtime 1.17 or later, or tract");
        // A relative path would be looked for beside the program.
        let absolute = std::path::absolute(library).map_err(|e| Error::io(place.to_string(), e))?;
        let environment = ort::init_from(&absolute)
            .map_err(|e| unusable(format!("{place} is no ONNX Runtime that this build can use")).caused_by(e))?
            .with_name("afferent")
            .with_telemetry(false)
            .build()
            .map_err(|e| unusable(format!("{place} gives no environment")).caused_by(e))?;
        let runtime = Self { environment, library: library.to_owned(), version: version(&absolute) };
        *loaded = Some(runtime.clone());
        Ok(runtime)
    }

    /// Version of the loaded library, for example `1.31.1`; the commit of its
    /// source where its name does not say.
    #[must_use]
    pub fn version(&self) -> &str {
        &self.version
    }

    /// The file that was loaded.
    #[must_use]
    pub fn library(&self) -> &Path {
        &self.library
    }
}

/// The library's version: what follows `.so.` in the name that a link leads to,
/// as its packages have it, or else the commit that its build information names.
fn version(library: &Path) -> String {
    let real = library.canonicalize().unwrap_or_default();
    let name = real.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    if let Some((_, version)) = name.split_once(".so.") {
        return version.to_owned();
    }
    let commit = ort::info().split("git-commit-id=").nth(1).unwrap_or("unknown");
    commit.split([',', ' ']).next().unwrap_or_default().to_owned()
}

/// A network that ONNX Runtime runs.
pub struct OrtNetwork {
    session: Session,
    provider: String,
    inputs: Vec<(String, Vec<Option<usize>>)>,
    outputs: Vec<String>,
    source: Source,
}

/// What a network was made from, so that it can be made again.
#[derive(Clone)]
struct Source {
    runtime: Runtime,
    model: Arc<[u8]>,
    options: Options,
}

impl fmt::Debug for OrtNetwork {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OrtNetwork").field("provider", &self.provider).field("inputs", &self.inputs).finish()
    }
}

impl OrtNetwork {
    /// Loads the ONNX file at `path`.
    ///
    /// # Errors
    /// [`Code::NotFound`] or [`Code::Io`] if the file cannot be read, otherwise
    /// those of [`read`](Self::read).
    pub fn load(runtime: &Runtime, path: &Path, options: Options) -> Result<Self> {
        let model = std::fs::read(path).map_err(|e| Error::io(path.display().to_string(), e))?;
        Self::read(runtime, model, options).map_err(|e| e.at(path.display()))
    }

    /// Loads an ONNX file from memory.
    ///
    /// # Errors
    /// [`Code::Unsupported`] if the provider cannot be had, [`Code::Model`] if
    /// ONNX Runtime cannot load the file or an input is anything but 32-bit floats.
    pub fn read(runtime: &Runtime, model: impl Into<Arc<[u8]>>, options: Options) -> Result<Self> {
        Self::open(Source { runtime: runtime.clone(), model: model.into(), options })
    }

    /// The same network once more, for another thread.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub fn another(&self) -> Result<Self> {
        Self::open(self.source.clone())
    }

    fn open(source: Source) -> Result<Self> {
        let Options { provider, threads } = source.options;
        let unusable =
            |e: ort::Error| Error::new(Code::Model, "ONNX Runtime cannot load it", "export it again").caused_by(e);
        let mut builder = Session::builder(&source.runtime.environment)
            .and_then(|builder| Ok(builder.with_optimization_level(GraphOptimizationLevel::All)?))
            .and_then(|builder| Ok(builder.with_intra_threads(threads.max(1))?))
            // A waiting thread that spins takes its core from the other workers.
            .and_then(|builder| Ok(builder.with_intra_op_spinning(false)?))
            .map_err(unusable)?
            .with_execution_providers([provider.dispatch()])
            .map_err(<ort::Error>::from)
            .map_err(|e| {
                Error::new(
                    Code::Unsupported,
                    format!(
                        "ONNX Runtime {} at {} cannot run networks by {provider}",
                        source.runtime.version,
                        source.runtime.library.display()
                    ),
                    "install a build of ONNX Runtime with this provider and name it in AFFERENT_ONNXRUNTIME, or ask \
                     for another provider",
                )
                .caused_by(e)
            })?;
        let session = builder.commit_from_memory(&source.model).map_err(unusable)?;
        let inputs = session.inputs().iter().map(|input| Ok((input.name().to_owned(), float_axes(input)?)));
        let inputs = inputs.collect::<Result<_>>()?;
        let outputs = session.outputs().iter().map(|output| output.name().to_owned()).collect();
        let provider = format!("ort-{}/{provider}", source.runtime.version);
        Ok(Self { session, provider, inputs, outputs, source })
    }

    /// The name of each output, in the order of [`Network::run`]'s answer.
    #[must_use]
    pub fn outputs(&self) -> &[String] {
        &self.outputs
    }
}

/// The axes of an input of 32-bit floats; `None` for a dynamic one.
fn float_axes(input: &ort::value::Outlet) -> Result<Vec<Option<usize>>> {
    match input.dtype() {
        ValueType::Tensor { ty: TensorElementType::Float32, shape, .. } => {
            Ok(shape.iter().map(|&axis| usize::try_from(axis).ok()).collect())
        }
        other => Err(Error::new(
            Code::Model,
            format!("input `{}` is {other}, no tensor of 32-bit floats", input.name()),
            "export it with 32-bit float inputs",
        )),
    }
}

impl Network for OrtNetwork {
    fn provider(&self) -> &str {
        &self.provider
    }

    fn inputs(&self) -> &[(String, Vec<Option<usize>>)] {
        &self.inputs
    }

    fn run(&mut self, inputs: &[(&str, &Tensor)]) -> Result<Vec<(String, Tensor)>> {
        if let Some((unknown, _)) = inputs.iter().find(|(name, _)| self.inputs.iter().all(|(known, _)| known != name)) {
            return Err(contract(format!("there is no input `{unknown}`")));
        }
        let mut values: Vec<(&str, SessionInputValue<'_>)> = Vec::with_capacity(self.inputs.len());
        for (name, axes) in &self.inputs {
            let mut given = inputs.iter().filter(|(given, _)| given == name);
            let (Some((_, tensor)), None) = (given.next(), given.next()) else {
                return Err(contract(format!("input `{name}` is not given exactly once")));
            };
            let fits = tensor.shape().len() == axes.len()
                && tensor.shape().iter().zip(axes).all(|(length, axis)| axis.is_none_or(|axis| axis == *length));
            if !fits {
                return Err(contract(format!("input `{name}` has shape {:?}, not {axes:?}", tensor.shape())));
            }
            let value = TensorRef::from_array_view((tensor.shape(), tensor.data())).map_err(failed)?;
            values.push((name, value.into()));
        }
        let results = self.session.run(values).map_err(failed)?;
        self.outputs
            .iter()
            .map(|name| {
                let value = results.get(name).ok_or_else(|| contract(format!("there is no output `{name}`")))?;
                Ok((name.clone(), floats(name, value)?))
            })
            .collect()
    }
}

/// The output's values as 32-bit floats: class numbers and flags, too, fit in them.
#[allow(clippy::cast_precision_loss)]
fn floats(name: &str, value: &DynValue) -> Result<Tensor> {
    fn converted<T: ort::value::PrimitiveTensorElementType + Copy>(
        value: &DynValue,
        convert: impl Fn(T) -> f32,
    ) -> Result<Tensor> {
        let (shape, data) = value.try_extract_tensor::<T>().map_err(failed)?;
        let shape: Vec<usize> = shape.iter().filter_map(|&axis| usize::try_from(axis).ok()).collect();
        Tensor::new(shape, data.iter().map(|&x| convert(x)).collect())
    }
    match value.dtype() {
        ValueType::Tensor { ty: TensorElementType::Float32, .. } => converted(value, |x: f32| x),
        ValueType::Tensor { ty: TensorElementType::Int64, .. } => converted(value, |x: i64| x as f32),
        ValueType::Tensor { ty: TensorElementType::Int32, .. } => converted(value, |x: i32| x as f32),
        ValueType::Tensor { ty: TensorElementType::Uint8, .. } => converted(value, |x: u8| f32::from(x)),
        ValueType::Tensor { ty: TensorElementType::Bool, .. } => converted(value, |x: bool| f32::from(u8::from(x))),
        other => Err(Error::new(
            Code::Model,
            format!("output `{name}` is {other}"),
            "export it with outputs of 32-bit floats or whole numbers",
        )),
    }
}

fn contract(what: String) -> Error {
    Error::new(Code::Model, what, "give every input once, as the model's contract says")
}

fn failed(cause: ort::Error) -> Error {
    Error::new(Code::Model, "ONNX Runtime failed to run the network", "use another backend").caused_by(cause)
}
