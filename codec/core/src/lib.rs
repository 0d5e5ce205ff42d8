//! What a codec is, and how its output is kept.
//!
//! - [`descriptor`]: what is known of a codec before it runs;
//! - [`codec`]: the traits: a [`Codec`] makes encoders and decoders from
//!   [`Settings`]; those work on borrowed views and caller-owned buffers;
//! - [`container`]: the self-describing container: a header (codec, knob,
//!   geometry) and chunks that each stand alone, with a CRC-32C each;
//! - [`scale`]: resizing before coding, which is part of an operating point;
//! - [`registry`]: codecs by id; where two implement one id, the higher
//!   [`Tier`] answers, so that a hardware encoder outranks a software one.
//!
//! A codec knows nothing of transports. It writes chunks; whoever calls it
//! wraps them with [`container`] and may send them anywhere.

pub mod codec;
pub mod container;
pub mod descriptor;
pub mod entropy;
pub mod gap;
pub mod registry;
pub mod sample;
pub mod scale;

pub use codec::{AudioDecoder, AudioEncoder, Codec, ImageDecoder, ImageEncoder, Limits, Settings};
pub use container::{AudioShape, Chunk, Container, ContainerWriter, Geometry, Header, ImageShape};
pub use descriptor::{Descriptor, Exactness, Family, Knob, Simd, Tier};
pub use gap::Gap;
pub use registry::Registry;
pub use sample::{ADOPTED, SampleDecoder, SampleEncoder};
pub use scale::Resize;
