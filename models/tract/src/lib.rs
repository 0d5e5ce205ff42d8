//! The tract backend of the Network trait: pure Rust, no library to install.
//!
//! ```no_run
//! # fn main() -> afferent_media::Result<()> {
//! use afferent_media::{Network, Tensor};
//! let mut network = afferent_models_tract::TractNetwork::load("model.onnx".as_ref())?;
//! let input = Tensor::new([1, 3, 224, 224], vec![0.0; 3 * 224 * 224])?;
//! let outputs = network.run(&[("in", &input)])?;
//! println!("{} {:?}", outputs[0].0, outputs[0].1.shape());
//! # Ok(())
//! # }
//! ```

use afferent_media::{Code, Error, Network, Result, Tensor};
use std::path::Path;
use std::sync::Arc;
use tract_onnx::prelude::{
    DatumType, Framework, InferenceFact, InferenceModel, InferenceModelExt, IntoRunnable, TDim, TValue,
    Tensor as TractTensor, TractError, TypedSimplePlan,
};
use tract_onnx::tract_hir::infer::Factoid;

const PROVIDER: &str = "tract/cpu";

/// A network that tract runs on the processor, one thread per run.
///
/// Loading optimises the network for its input shapes; clones share the
/// optimised network and its weights, so every worker may have its own.
/// Axes that the file leaves open are taken to be 1: one sample per run. Where
/// they are to vary, use [`SizedNetwork`].
#[derive(Clone)]
pub struct TractNetwork {
    plan: Arc<TypedSimplePlan>,
    inputs: Vec<(String, Vec<Option<usize>>)>,
    outputs: Vec<String>,
}

impl std::fmt::Debug for TractNetwork {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TractNetwork").field("inputs", &self.inputs).field("outputs", &self.outputs).finish()
    }
}

impl TractNetwork {
    /// Loads and optimises the ONNX file at `path`. Takes seconds for a large network.
    ///
    /// # Errors
    /// [`Code::NotFound`] or [`Code::Io`] if the file cannot be read,
    /// [`Code::Model`] if tract cannot load it or an input or output holds
    /// anything but 32-bit floats.
    pub fn load(path: &Path) -> Result<Self> {
        let mut file = std::fs::File::open(path).map_err(|e| Error::io(path.display().to_string(), e))?;
        Self::read(&mut file).map_err(|e| e.at(path.display()))
    }

    /// Loads and optimises an ONNX file from `source`; as [`Self::load`].
    ///
    /// # Errors
    /// Those of [`Self::load`].
    pub fn read(source: &mut dyn std::io::Read) -> Result<Self> {
        caught(|| {
            let graph = Graph::read(source)?;
            let single = |axis: &Option<usize>| axis.unwrap_or(1);
            let shapes: Vec<Vec<_>> =
                graph.inputs.iter().map(|(_, shape)| shape.iter().map(single).collect()).collect();
            graph.close(&shapes)
        })
    }

    /// The name of each output, in the order of [`Network::run`]'s answer.
    #[must_use]
    pub fn outputs(&self) -> &[String] {
        &self.outputs
    }

    /// Whether `given` are of the shapes that this network was optimised for.
    fn takes(&self, given: &[(&str, &Tensor)]) -> bool {
        self.inputs.iter().all(|(name, shape)| {
            let tensor = given.iter().find(|(given, _)| given == name);
            tensor.is_some_and(|(_, tensor)| tensor.shape().iter().copied().map(Some).eq(shape.iter().copied()))
        })
    }

    /// The value for the input called `name`, of the shape that it must have.
    fn input(&self, name: &str, shape: &[Option<usize>], given: &[(&str, &Tensor)]) -> Result<TValue> {
        let mut values = given.iter().filter(|(given, _)| *given == name);
        let (Some((_, tensor)), None) = (values.next(), values.next()) else {
            return Err(contract(format!("input `{name}` is not given exactly once")));
        };
        if !tensor.shape().iter().copied().map(Some).eq(shape.iter().copied()) {
            return Err(contract(format!("input `{name}` has shape {:?}, not {shape:?}", tensor.shape())));
        }
        TractTensor::from_shape(tensor.shape(), tensor.data()).map(TValue::from).map_err(failed)
    }
}

impl Network for TractNetwork {
    fn provider(&self) -> &str {
        PROVIDER
    }

    fn inputs(&self) -> &[(String, Vec<Option<usize>>)] {
        &self.inputs
    }

    fn run(&mut self, inputs: &[(&str, &Tensor)]) -> Result<Vec<(String, Tensor)>> {
        if let Some((unknown, _)) = inputs.iter().find(|(name, _)| self.inputs.iter().all(|(known, _)| known != name)) {
            return Err(contract(format!("there is no input `{unknown}`")));
        }
        let values = self.inputs.iter().map(|(name, shape)| self.input(name, shape, inputs)).collect::<Result<_>>()?;
        let results = self.plan.run(values).map_err(failed)?;
        self.outputs
            .iter()
            .zip(&results)
            .map(|(name, value)| {
                let view = value.try_as_plain_ram().map_err(failed)?;
                let data = view.as_slice::<f32>().map_err(failed)?.to_vec();
                Ok((name.clone(), Tensor::new(value.shape(), data)?))
            })
            .collect()
    }
}

/// A network whose inputs' open axes are as long as each run's tensors say.
///
/// tract optimises a network for one shape, which takes about as long as
/// loading it does: the networks of the last [`SizedNetwork::KEPT`] shapes are
/// kept, so that a run of images of one size pays once.
///
/// ```no_run
/// # fn main() -> afferent_media::Result<()> {
/// use afferent_media::{Network, Tensor};
/// let mut network = afferent_models_tract::SizedNetwork::load("model.onnx".as_ref())?;
/// assert_eq!(network.inputs()[0].1, [Some(1), Some(3), None, None]);
/// for side in [64, 96] {
///     let input = Tensor::new([1, 3, side, side], vec![0.0; 3 * side * side])?;
///     network.run(&[("in", &input)])?;
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct SizedNetwork {
    graph: Arc<Graph>,
    /// The least recently used first.
    networks: Vec<TractNetwork>,
}

impl SizedNetwork {
    /// How many shapes are kept ready.
    pub const KEPT: usize = 4;

    /// Loads the ONNX file at `path`.
    ///
    /// # Errors
    /// Those of [`TractNetwork::load`]; what only optimising finds out, the
    /// first run of a shape tells.
    pub fn load(path: &Path) -> Result<Self> {
        let mut file = std::fs::File::open(path).map_err(|e| Error::io(path.display().to_string(), e))?;
        Self::read(&mut file).map_err(|e| e.at(path.display()))
    }

    /// Loads an ONNX file from `source`; as [`Self::load`].
    ///
    /// # Errors
    /// Those of [`Self::load`].
    pub fn read(source: &mut dyn std::io::Read) -> Result<Self> {
        caught(|| Graph::read(source)).map(|graph| Self { graph: Arc::new(graph), networks: Vec::new() })
    }

    /// The network for inputs of the shapes of `given`.
    fn sized(&self, given: &[(&str, &Tensor)]) -> Result<TractNetwork> {
        let shape = |(name, axes): &(String, Vec<Option<usize>>)| -> Result<Vec<usize>> {
            let shape = given.iter().find(|(given, _)| given == name).map(|(_, tensor)| tensor.shape());
            let shape = shape.ok_or_else(|| contract(format!("input `{name}` is not given exactly once")))?;
            let fits = axes.len() == shape.len()
                && axes.iter().zip(shape).all(|(axis, &length)| length > 0 && axis.is_none_or(|axis| axis == length));
            if fits {
                Ok(shape.to_vec())
            } else {
                Err(contract(format!("input `{name}` has shape {shape:?}, not {axes:?}")))
            }
        };
        let shapes: Vec<_> = self.graph.inputs.iter().map(shape).collect::<Result<_>>()?;
        caught(|| self.graph.close(&shapes))
    }
}

impl Network for SizedNetwork {
    fn provider(&self) -> &str {
        PROVIDER
    }

    fn inputs(&self) -> &[(String, Vec<Option<usize>>)] {
        &self.graph.inputs
    }

    fn run(&mut self, inputs: &[(&str, &Tensor)]) -> Result<Vec<(String, Tensor)>> {
        let mut network = match self.networks.iter().position(|network| network.takes(inputs)) {
            Some(known) => self.networks.remove(known),
            None => self.sized(inputs)?,
        };
        let outputs = network.run(inputs);
        if self.networks.len() >= Self::KEPT {
            self.networks.remove(0);
        }
        self.networks.push(network);
        outputs
    }
}

/// A network as its file gives it: not yet optimised, open axes still open.
#[derive(Debug)]
struct Graph {
    model: InferenceModel,
    inputs: Vec<(String, Vec<Option<usize>>)>,
    outputs: Vec<String>,
}

impl Graph {
    fn read(source: &mut dyn std::io::Read) -> Result<Self> {
        let mut model = tract_onnx::onnx().model_for_read(source).map_err(unusable)?;
        let outlets = model.output_outlets().map_err(unusable)?.to_vec();
        let outputs = outlets
            .iter()
            .map(|&outlet| model.outlet_label(outlet).unwrap_or(&model.node(outlet.node).name).to_owned())
            .collect();
        for index in 0..outlets.len() {
            // What the file says of the outputs may name the axes that `close` closes.
            model.set_output_fact(index, InferenceFact::default()).map_err(unusable)?;
        }
        let mut inputs = Vec::new();
        for (index, outlet) in model.input_outlets().map_err(unusable)?.to_vec().into_iter().enumerate() {
            let name = model.node(outlet.node).name.clone();
            let shape = stated_shape(model.input_fact(index).map_err(unusable)?).ok_or_else(|| {
                Error::new(
                    Code::Model,
                    format!("input `{name}` is no tensor of 32-bit floats with a known number of axes"),
                    "export it with 32-bit float inputs of stated shape",
                )
            })?;
            inputs.push((name, shape));
        }
        Ok(Self { model, inputs, outputs })
    }

    /// Optimises it for inputs of these shapes.
    fn close(&self, shapes: &[Vec<usize>]) -> Result<TractNetwork> {
        let mut model = self.model.clone();
        for (index, shape) in shapes.iter().enumerate() {
            model.set_input_fact(index, InferenceFact::dt_shape(DatumType::F32, shape.as_slice())).map_err(unusable)?;
        }
        let plan = model.into_optimized().and_then(IntoRunnable::into_runnable).map_err(unusable)?;
        let closed =
            |((name, _), shape): (&(String, _), &Vec<usize>)| (name.clone(), shape.iter().copied().map(Some).collect());
        let inputs = self.inputs.iter().zip(shapes).map(closed).collect();
        Ok(TractNetwork { plan, inputs, outputs: self.outputs.clone() })
    }
}

/// The shape that the file states for an input, `None` for an open axis.
fn stated_shape(fact: &InferenceFact) -> Option<Vec<Option<usize>>> {
    let float = fact.datum_type.concretize().is_none_or(|kind| kind == DatumType::F32);
    if !float || fact.shape.is_open() {
        return None;
    }
    let axis = |dim: TDim| match dim.to_i64() {
        Ok(length) => usize::try_from(length).ok().map(Some),
        Err(_) => Some(None),
    };
    fact.shape.dims().map(|dim| dim.concretize().map_or(Some(None), axis)).collect()
}

/// tract indexes by names that a damaged graph lacks: its panic is an error like its others.
fn caught<T>(load: impl FnOnce() -> Result<T>) -> Result<T> {
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(load)).unwrap_or_else(|_| {
        Err(Error::new(
            Code::Model,
            "tract gave up on this file: its graph names what it does not hold",
            "get the file again from its source, or use another backend",
        ))
    })
}

fn unusable(cause: TractError) -> Error {
    Error::new(Code::Model, "tract cannot load it", "use another backend, or export it with plainer operators")
        .caused_by(cause.into_boxed_dyn_error())
}

fn contract(what: String) -> Error {
    Error::new(Code::Model, what, "give every input once, as the model's contract says")
}

fn failed(cause: TractError) -> Error {
    Error::new(Code::Model, "tract failed to run the network", "use another backend")
        .caused_by(cause.into_boxed_dyn_error())
}
