//! Reads a PyTorch state dict: names and tensors, nothing else.
//!
//! This is the format that `torch.save` wrote before version 1.6: five pickles
//! (magic number, version, byte order, the dictionary, the keys of the
//! storages), then each storage as a 64-bit count of elements and the elements,
//! in the order of the keys.

use crate::pickle::{DType, Object, Pickle, Storage};
use afferent_media::{Code, Error, Result};
use std::collections::HashMap;

/// `torch.serialization.MAGIC_NUMBER`, little-endian.
const MAGIC: [u8; 10] = [0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19];
/// The only version of the format there ever was.
const VERSION: i64 = 1001;

/// A checkpoint's tensors by name, borrowed from its bytes.
#[derive(Debug)]
pub struct StateDict<'a> {
    tensors: HashMap<&'a str, TensorView<'a>>,
}

/// A tensor of a checkpoint: a strided view of borrowed little-endian elements.
#[derive(Debug, Clone, PartialEq)]
pub struct TensorView<'a> {
    dtype: DType,
    shape: Vec<usize>,
    strides: Vec<usize>,
    /// The storage from the first element on.
    data: &'a [u8],
}

impl TensorView<'_> {
    /// The size of each axis, outermost first.
    #[must_use]
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// Whether the elements are 32-bit floats.
    #[must_use]
    pub fn is_f32(&self) -> bool {
        self.dtype == DType::F32
    }

    /// The elements in row-major order, little-endian.
    #[must_use]
    pub fn to_le_bytes(&self) -> Vec<u8> {
        let size = self.dtype.size();
        let count: usize = self.shape.iter().product();
        let mut bytes = Vec::with_capacity(count * size);
        let mut index = vec![0; self.shape.len()];
        for _ in 0..count {
            let at: usize = index.iter().zip(&self.strides).map(|(i, stride)| i * stride).sum();
            bytes.extend_from_slice(&self.data[at * size..(at + 1) * size]);
            for (i, &length) in index.iter_mut().zip(&self.shape).rev() {
                *i += 1;
                if *i < length {
                    break;
                }
                *i = 0;
            }
        }
        bytes
    }
}

fn corrupt(what: impl Into<String>) -> Error {
    Error::new(Code::Corrupt, what, "fetch the checkpoint again")
}

impl<'a> StateDict<'a> {
    /// Reads the whole checkpoint `bytes`.
    ///
    /// # Errors
    /// [`Code::Corrupt`] if it is damaged or truncated, [`Code::Unsupported`] if
    /// it is another format or holds anything but a state dict of tensors,
    /// [`Code::Limit`] if its index is unreasonably large.
    pub fn parse(bytes: &'a [u8]) -> Result<Self> {
        if bytes.starts_with(b"PK\x03\x04") {
            return Err(Error::new(
                Code::Unsupported,
                "a zip-based checkpoint (PyTorch 1.6 or later)",
                "save it with `_use_new_zipfile_serialization=False`",
            ));
        }
        let rest = header(bytes)?;
        let (state, rest) = Pickle::load(rest)?;
        let (keys, rest) = Pickle::load(rest)?;
        let storages = storages(&state, &keys, rest)?;
        let Object::Dict(entries) = state.root() else {
            return Err(Error::new(
                Code::Unsupported,
                "the checkpoint is no dictionary",
                "save the model's `state_dict()` alone",
            ));
        };
        let mut tensors = HashMap::with_capacity(entries.len());
        for &(name, tensor) in entries {
            let (&Object::Str(name), Object::Tensor(_)) = (state.get(name), state.get(tensor)) else {
                return Err(Error::new(
                    Code::Unsupported,
                    "an entry that is no named tensor",
                    "save the model's `state_dict()` alone",
                ));
            };
            let view = view(&state, tensor, &storages).map_err(|e| e.at(format!("tensor `{name}`")))?;
            if tensors.insert(name, view).is_some() {
                return Err(corrupt(format!("tensor `{name}` occurs twice")));
            }
        }
        Ok(Self { tensors })
    }

    /// The tensor called `name`.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&TensorView<'a>> {
        self.tensors.get(name)
    }

    /// The names of the tensors, in no order.
    pub fn names(&self) -> impl Iterator<Item = &'a str> + '_ {
        self.tensors.keys().copied()
    }
}

/// Checks the three pickles before the dictionary; returns what follows them.
fn header(bytes: &[u8]) -> Result<&[u8]> {
    let foreign = || {
        Error::new(Code::Unsupported, "not a PyTorch checkpoint", "give a file that `torch.save` wrote, or its package")
    };
    let (magic, rest) = Pickle::load(bytes).map_err(|e| foreign().caused_by(e))?;
    if *magic.root() != Object::Long(&MAGIC) {
        return Err(foreign());
    }
    let (version, rest) = Pickle::load(rest)?;
    if *version.root() != Object::Int(VERSION) {
        return Err(Error::new(
            Code::Unsupported,
            format!("checkpoint version {:?}", version.root()),
            format!("save it as version {VERSION}"),
        ));
    }
    let (system, rest) = Pickle::load(rest)?;
    let little = match system.root() {
        Object::Dict(entries) => entries.iter().any(|&(key, value)| {
            *system.get(key) == Object::Str("little_endian") && *system.get(value) == Object::Bool(true)
        }),
        _ => false,
    };
    if little {
        Ok(rest)
    } else {
        Err(Error::new(
            Code::Unsupported,
            "a checkpoint that is not little-endian",
            "save it on a little-endian machine",
        ))
    }
}

/// Cuts the elements of every storage out of `rest`, which must hold them exactly.
fn storages<'a>(
    state: &Pickle<'a>,
    keys: &Pickle<'a>,
    mut rest: &'a [u8],
) -> Result<HashMap<&'a str, (Storage<'a>, &'a [u8])>> {
    let mut declared = HashMap::new();
    for object in state.objects() {
        if let Object::Storage(storage) = object
            && declared.insert(storage.key, *storage).is_some_and(|other| other != *storage)
        {
            return Err(corrupt(format!("storage {} is declared in two ways", storage.key)));
        }
    }
    let Object::List(keys_in_order) = keys.root() else { return Err(corrupt("the storages are not listed")) };
    let mut storages = HashMap::with_capacity(declared.len());
    for &key in keys_in_order {
        let &Object::Str(key) = keys.get(key) else { return Err(corrupt("the key of a storage is no string")) };
        let Some(storage) = declared.remove(key) else {
            return Err(corrupt(format!("storage {key} is listed twice or used by no tensor")));
        };
        let (count, after) = rest.split_first_chunk().ok_or_else(|| corrupt("the file ends between storages"))?;
        if usize::try_from(i64::from_le_bytes(*count)) != Ok(storage.elements) {
            return Err(corrupt(format!("storage {key} has another length than declared")));
        }
        let size = storage.elements.checked_mul(storage.dtype.size());
        let (data, after) = size
            .and_then(|size| after.split_at_checked(size))
            .ok_or_else(|| corrupt(format!("the file ends inside storage {key}")))?;
        storages.insert(key, (storage, data));
        rest = after;
    }
    if let Some(key) = declared.keys().next() {
        return Err(corrupt(format!("storage {key} is missing")));
    }
    if rest.is_empty() { Ok(storages) } else { Err(corrupt(format!("{} bytes after the last storage", rest.len()))) }
}

/// The tensor at `id`, if every element of it lies in its storage.
fn view<'a>(
    state: &Pickle<'a>,
    id: u32,
    storages: &HashMap<&'a str, (Storage<'a>, &'a [u8])>,
) -> Result<TensorView<'a>> {
    let outside = || corrupt("the tensor reaches outside its storage");
    let Object::Tensor(tensor) = state.get(id) else { return Err(outside()) };
    let Object::Storage(storage) = state.get(tensor.storage) else { return Err(outside()) };
    let &(storage, data) = storages.get(storage.key).ok_or_else(outside)?;
    let (shape, strides) = (&tensor.shape, &tensor.strides);
    if shape.len() != strides.len() || shape.len() > 8 {
        return Err(corrupt(format!("{} axes, {} strides, where up to 8 are known", shape.len(), strides.len())));
    }
    let count = shape.iter().try_fold(1usize, |n, &d| n.checked_mul(d)).ok_or_else(outside)?;
    let last = shape.iter().zip(strides).try_fold(tensor.offset, |at, (&length, &stride)| {
        at.checked_add(length.saturating_sub(1).checked_mul(stride)?)
    });
    // A view with more elements than its storage repeats some: no weights do, and it would be a bomb.
    if count > storage.elements || (count > 0 && last.is_none_or(|last| last >= storage.elements)) {
        return Err(outside());
    }
    // An empty tensor may have any offset.
    let data = data.get(tensor.offset.saturating_mul(storage.dtype.size())..).unwrap_or_default();
    Ok(TensorView { dtype: storage.dtype, shape: shape.clone(), strides: strides.clone(), data })
}
