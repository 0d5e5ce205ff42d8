//! The ONNX Runtime backend of the Network trait.
//!
//! ONNX Runtime is several times faster than tract on convolutional networks
//! and reaches accelerators (CUDA, TensorRT, Core ML and others), but it is a
//! large library in another language. So it is loaded at run time, never linked
//! and never needed: a machine without it runs tract. The provider that really
//! ran a network is recorded in every row, and a provider that was required but
//! cannot be had is an error, never a silent fallback to the processor.
