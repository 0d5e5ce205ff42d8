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
    DatumType, Framework, InferenceFact, InferenceModelExt, IntoRunnable, TDim, TValue, Tensor as TractTensor,
    TractError, TypedSimplePlan,
};
use tract_onnx::tract_hir::infer::Factoid;

/// A network that tract runs on the processor, one thread per run.
///
/// Loading optimises the network for its input shapes; clones share the
/// optimised network and its weights, so every worker may have its own.
/// Axes that the file leaves open are taken to be 1: one sample per run.
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
        // tract indexes by names that a damaged graph lacks: its panic is an error like its others.
        std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| Self::parse(source))).unwrap_or_else(|_| {
            Err(Error::new(
                Code::Model,
                "tract gave up on this file: its graph names what it does not hold",
                "get the file again from its source, or use another backend",
            ))
        })
    }

    fn parse(source: &mut dyn std::io::Read) -> Result<Self> {
        let unusable = |e: TractError| {
            Error::new(Code::Model, "tract cannot load it", "use another backend, or export it with plainer operators")
                .caused_by(e.into_boxed_dyn_error())
        };
        let mut model = tract_onnx::onnx().model_for_read(source).map_err(unusable)?;
        let outlets = model.output_outlets().map_err(unusable)?.to_vec();
        let outputs = outlets
            .iter()
            .map(|&outlet| model.outlet_label(outlet).unwrap_or(&model.node(outlet.node).name).to_owned())
            .collect();
        for index in 0..outlets.len() {
            // What the file says of the outputs may name the axes that are closed below.
            model.set_output_fact(index, InferenceFact::default()).map_err(unusable)?;
        }
        let mut inputs = Vec::new();
        for (index, outlet) in model.input_outlets().map_err(unusable)?.to_vec().into_iter().enumerate() {
            let name = model.node(outlet.node).name.clone();
            let fact = model.input_fact(index).map_err(unusable)?;
            let shape = closed_shape(fact).ok_or_else(|| {
                Error::new(
                    Code::Model,
                    format!("input `{name}` is no tensor of 32-bit floats with a known number of axes"),
                    "export it with 32-bit float inputs of stated shape",
                )
            })?;
            model.set_input_fact(index, InferenceFact::dt_shape(DatumType::F32, shape.as_slice())).map_err(unusable)?;
            inputs.push((name, shape.into_iter().map(Some).collect()));
        }
        let plan = model.into_optimized().and_then(IntoRunnable::into_runnable).map_err(unusable)?;
        Ok(Self { plan, inputs, outputs })
    }

    /// The name of each output, in the order of [`Network::run`]'s answer.
    #[must_use]
    pub fn outputs(&self) -> &[String] {
        &self.outputs
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
        "tract/cpu"
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

/// The shape that an input will have: what is stated, and 1 for what is left open.
fn closed_shape(fact: &InferenceFact) -> Option<Vec<usize>> {
    let float = fact.datum_type.concretize().is_none_or(|kind| kind == DatumType::F32);
    if !float || fact.shape.is_open() {
        return None;
    }
    let one = |dim: TDim| match dim.to_i64() {
        Ok(length) => usize::try_from(length).ok(),
        Err(_) => Some(1),
    };
    fact.shape.dims().map(|dim| dim.concretize().map_or(Some(1), one)).collect()
}

fn contract(what: String) -> Error {
    Error::new(Code::Model, what, "give every input once, as the model's contract says")
}

fn failed(cause: TractError) -> Error {
    Error::new(Code::Model, "tract failed to run the network", "use another backend")
        .caused_by(cause.into_boxed_dyn_error())
}
