//! The ONNX Runtime backend of the Network trait.
