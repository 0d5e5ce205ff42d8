//! Pours a checkpoint's tensors into an ONNX graph that has none, and reads
//! what goes in and out of a complete one.
//!
//! Protocol Buffers messages merge when they are concatenated. So the bytes of
//! a graph without weights, followed by the bytes of a model that holds nothing
//! but weights (as `initializer`s), are one complete ONNX file for any backend,
//! and the graph itself is never rewritten.
//!
//! Which weights are wanted, by which names and of which shapes, the graph
//! says in its `value_info`. Field numbers: `onnx.proto` of ONNX, IR version 7.

use crate::state_dict::StateDict;
use crate::zoo::{Axis, Port};
use afferent_media::{Code, Error, Result};
use prost::Message;
use std::collections::HashSet;

/// `TensorProto.DataType.FLOAT`.
const FLOAT: i32 = 1;

#[derive(Clone, PartialEq, Message)]
struct Model {
    #[prost(message, optional, tag = "7")]
    graph: Option<Graph>,
}

#[derive(Clone, PartialEq, Message)]
struct Graph {
    #[prost(message, repeated, tag = "5")]
    initializer: Vec<Initializer>,
    #[prost(message, repeated, tag = "13")]
    value_info: Vec<ValueInfo>,
}

#[derive(Clone, PartialEq, Message)]
struct Initializer {
    #[prost(int64, repeated, packed = "false", tag = "1")]
    dims: Vec<i64>,
    #[prost(int32, optional, tag = "2")]
    data_type: Option<i32>,
    #[prost(string, optional, tag = "8")]
    name: Option<String>,
    #[prost(bytes = "vec", optional, tag = "9")]
    raw_data: Option<Vec<u8>>,
}

#[derive(Clone, PartialEq, Message)]
struct ValueInfo {
    #[prost(string, optional, tag = "1")]
    name: Option<String>,
    #[prost(message, optional, tag = "2")]
    kind: Option<ValueType>,
}

#[derive(Clone, PartialEq, Message)]
struct ValueType {
    #[prost(message, optional, tag = "1")]
    tensor: Option<TensorType>,
}

#[derive(Clone, PartialEq, Message)]
struct TensorType {
    #[prost(int32, optional, tag = "1")]
    element: Option<i32>,
    #[prost(message, optional, tag = "2")]
    shape: Option<Shape>,
}

#[derive(Clone, PartialEq, Message)]
struct Shape {
    #[prost(message, repeated, tag = "1")]
    dims: Vec<Dimension>,
}

#[derive(Clone, PartialEq, Message)]
struct Dimension {
    #[prost(int64, optional, tag = "1")]
    value: Option<i64>,
    #[prost(string, optional, tag = "2")]
    parameter: Option<String>,
}

/// A model without its weights: of those only the names.
#[derive(Clone, PartialEq, Message)]
struct Outline {
    #[prost(message, optional, tag = "7")]
    graph: Option<OutlineGraph>,
}

#[derive(Clone, PartialEq, Message)]
struct OutlineGraph {
    #[prost(message, repeated, tag = "5")]
    initializer: Vec<Named>,
    #[prost(message, repeated, tag = "11")]
    input: Vec<ValueInfo>,
    #[prost(message, repeated, tag = "12")]
    output: Vec<ValueInfo>,
}

#[derive(Clone, PartialEq, Message)]
struct Named {
    #[prost(string, optional, tag = "8")]
    name: Option<String>,
}

/// What goes into the ONNX file `model` and what comes out, in its order.
///
/// # Errors
/// [`Code::Corrupt`] if it is no ONNX file, [`Code::Model`] if nothing goes in or out.
pub fn ports(model: &[u8]) -> Result<(Vec<Port>, Vec<Port>)> {
    let parsed = Outline::decode(model)
        .map_err(|e| Error::new(Code::Corrupt, "the model is no ONNX file", "export it as ONNX").caused_by(e))?;
    let OutlineGraph { initializer, input, output } = parsed.graph.unwrap_or_default();
    // Before IR version 4 weights with a value were listed as inputs, too.
    let weights: HashSet<_> = initializer.into_iter().filter_map(|weight| weight.name).collect();
    let inputs: Vec<_> = input.into_iter().map(port).filter(|port| !weights.contains(&port.name)).collect();
    let outputs: Vec<_> = output.into_iter().map(port).collect();
    if inputs.is_empty() || outputs.is_empty() {
        return Err(Error::new(Code::Model, "nothing goes into the graph or out of it", "export the model again"));
    }
    Ok((inputs, outputs))
}

fn port(value: ValueInfo) -> Port {
    let shape = value.kind.and_then(|kind| kind.tensor).and_then(|tensor| tensor.shape).unwrap_or_default();
    let axis = |dim: Dimension| match dim.value.map(usize::try_from) {
        Some(Ok(length)) if length > 0 => Axis::Fixed(length),
        _ => Axis::Dynamic(dim.parameter.unwrap_or_else(|| "any".to_owned())),
    };
    Port { name: value.name.unwrap_or_default(), shape: shape.dims.into_iter().map(axis).collect() }
}

/// The complete ONNX file of `graph` with the weights of `checkpoint`.
///
/// # Errors
/// [`Code::Corrupt`] if the graph is no ONNX file, [`Code::Model`] if it wants
/// a weight that the checkpoint lacks or holds in another shape or type.
pub fn pour(graph: &[u8], checkpoint: &StateDict<'_>) -> Result<Vec<u8>> {
    let parsed = Model::decode(graph)
        .map_err(|e| Error::new(Code::Corrupt, "the graph is no ONNX file", "write the graph again").caused_by(e))?;
    let wanted = parsed.graph.unwrap_or_default().value_info;
    let initializer = wanted.into_iter().map(|weight| take(weight, checkpoint)).collect::<Result<_>>()?;
    let weights = Model { graph: Some(Graph { initializer, value_info: Vec::new() }) };
    let mut file = Vec::with_capacity(graph.len() + weights.encoded_len());
    file.extend_from_slice(graph);
    weights.encode_raw(&mut file);
    Ok(file)
}

/// The weight that the graph describes, out of the checkpoint.
fn take(weight: ValueInfo, checkpoint: &StateDict<'_>) -> Result<Initializer> {
    let name = weight.name.unwrap_or_default();
    let wrong = |what: String| Error::new(Code::Model, what, "use the checkpoint that this graph was made for");
    let kind = weight.kind.and_then(|kind| kind.tensor).unwrap_or_default();
    let dims: Vec<_> =
        kind.shape.unwrap_or_default().dims.into_iter().map(|dim| dim.value.unwrap_or_default()).collect();
    let tensor = checkpoint.get(&name).ok_or_else(|| wrong(format!("the checkpoint holds no tensor `{name}`")))?;
    if !tensor.is_f32() || kind.element != Some(FLOAT) {
        return Err(wrong(format!("tensor `{name}` does not hold 32-bit floats on both sides")));
    }
    let shape: Vec<_> = tensor.shape().iter().map(|&d| i64::try_from(d).unwrap_or(i64::MAX)).collect();
    if shape != dims {
        return Err(wrong(format!("tensor `{name}` has shape {shape:?} where the graph wants {dims:?}")));
    }
    Ok(Initializer { dims, data_type: Some(FLOAT), name: Some(name), raw_data: Some(tensor.to_le_bytes()) })
}
