//! A pickle machine that can build nothing but what a checkpoint holds.
//!
//! Python's pickle is a program for a stack machine that may call anything. This
//! one knows the opcodes that protocol 2 writes for dictionaries, lists, tuples,
//! strings, integers and truth values, and three calls: an empty
//! `OrderedDict`, a storage by its persistent id, and
//! `torch._utils._rebuild_tensor_v2`, all of which only record their arguments.
//! Everything else is an error; nothing is ever executed.
//!
//! Format: the comments of CPython's `pickletools`; the calls are those of
//! `torch.save`.

use afferent_media::{Code, Error, Result};
use std::collections::HashMap;

/// The most objects one pickle may make: what bounds the machine's memory.
const MAX_OBJECTS: usize = 1 << 20;

/// The index of an object in its [`Pickle`].
pub(crate) type Id = u32;

/// One object that a pickle made. Containers hold indices, so that a container
/// that holds itself is a number in a list and never a recursion.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Object<'a> {
    None,
    Bool(bool),
    Int(i64),
    /// An integer too large for 64 bits, as its little-endian bytes.
    Long(&'a [u8]),
    Str(&'a str),
    Tuple(Vec<Id>),
    List(Vec<Id>),
    Dict(Vec<(Id, Id)>),
    Global(Global),
    Storage(Storage<'a>),
    Tensor(Box<TensorRef>),
}

/// The names that a pickle may refer to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Global {
    OrderedDict,
    RebuildTensor,
    StorageType(DType),
}

/// The type of a storage's elements.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum DType {
    F16,
    F32,
    F64,
    I32,
    I64,
}

impl DType {
    /// Bytes per element.
    pub(crate) const fn size(self) -> usize {
        match self {
            Self::F16 => 2,
            Self::F32 | Self::I32 => 4,
            Self::F64 | Self::I64 => 8,
        }
    }
}

/// A block of elements kept outside the pickle, named by its key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Storage<'a> {
    pub(crate) dtype: DType,
    pub(crate) key: &'a str,
    pub(crate) elements: usize,
}

/// A strided view of a storage; offset and strides count elements.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TensorRef {
    pub(crate) storage: Id,
    pub(crate) offset: usize,
    pub(crate) shape: Vec<usize>,
    pub(crate) strides: Vec<usize>,
}

/// Every object that one pickle made, and which of them is its value.
#[derive(Debug)]
pub(crate) struct Pickle<'a> {
    objects: Vec<Object<'a>>,
    root: Id,
}

impl<'a> Pickle<'a> {
    /// Runs the pickle at the start of `bytes`; also returns what follows it.
    ///
    /// # Errors
    /// [`Code::Corrupt`] if it is damaged, [`Code::Unsupported`] if it asks for
    /// what a checkpoint does not hold, [`Code::Limit`] if it makes too much.
    pub(crate) fn load(bytes: &'a [u8]) -> Result<(Self, &'a [u8])> {
        let mut machine =
            Machine { bytes, at: 0, objects: Vec::new(), stack: Vec::new(), marks: Vec::new(), memo: HashMap::new() };
        match machine.run() {
            Ok(root) => Ok((Self { objects: machine.objects, root }, &bytes[machine.at..])),
            Err(error) => Err(error.at(format!("pickle, byte {}", machine.at))),
        }
    }

    /// The value of the pickle.
    pub(crate) fn root(&self) -> &Object<'a> {
        self.get(self.root)
    }

    /// The object at `id`.
    pub(crate) fn get(&self, id: Id) -> &Object<'a> {
        self.objects.get(id as usize).unwrap_or(&Object::None)
    }

    /// Every object that the pickle made.
    pub(crate) fn objects(&self) -> &[Object<'a>] {
        &self.objects
    }
}

struct Machine<'a> {
    bytes: &'a [u8],
    at: usize,
    objects: Vec<Object<'a>>,
    stack: Vec<Id>,
    marks: Vec<usize>,
    memo: HashMap<u32, Id>,
}

fn corrupt(what: &str) -> Error {
    Error::new(Code::Corrupt, what, "fetch the checkpoint again")
}

fn unsupported(what: impl Into<String>) -> Error {
    Error::new(Code::Unsupported, what, "save the model as a plain state dict of tensors")
}

impl<'a> Machine<'a> {
    fn run(&mut self) -> Result<Id> {
        loop {
            let opcode = self.u8()?;
            match opcode {
                b'.' => {
                    return match (self.stack.pop(), self.stack.is_empty() && self.marks.is_empty()) {
                        (Some(root), true) => Ok(root),
                        _ => Err(corrupt("the program stops with other than one value")),
                    };
                }
                // PROTO: the version, which changes no opcode known here.
                0x80 => match self.u8()? {
                    2 => {}
                    other => return Err(unsupported(format!("pickle protocol {other}, where 2 is known"))),
                },
                b'(' => self.marks.push(self.stack.len()),
                b'N' => self.push(Object::None)?,
                0x88 => self.push(Object::Bool(true))?,
                0x89 => self.push(Object::Bool(false))?,
                b'K' => {
                    let value = self.u8()?;
                    self.push(Object::Int(value.into()))?;
                }
                b'M' => {
                    let value = u16::from_le_bytes(self.array()?);
                    self.push(Object::Int(value.into()))?;
                }
                b'J' => {
                    let value = i32::from_le_bytes(self.array()?);
                    self.push(Object::Int(value.into()))?;
                }
                0x8a => {
                    let length = self.u8()?;
                    let bytes = self.take(length.into())?;
                    self.push(long(bytes))?;
                }
                b'X' => {
                    let length = u32::from_le_bytes(self.array()?);
                    let text = std::str::from_utf8(self.take(length as usize)?)
                        .map_err(|e| corrupt("a string is not UTF-8").caused_by(e))?;
                    self.push(Object::Str(text))?;
                }
                b'q' => {
                    let slot = self.u8()?;
                    self.put(slot.into())?;
                }
                b'r' => {
                    let slot = u32::from_le_bytes(self.array()?);
                    self.put(slot)?;
                }
                b'h' => {
                    let slot = self.u8()?;
                    self.recall(slot.into())?;
                }
                b'j' => {
                    let slot = u32::from_le_bytes(self.array()?);
                    self.recall(slot)?;
                }
                b')' => self.push(Object::Tuple(Vec::new()))?,
                0x85..=0x87 => {
                    let count = usize::from(opcode - 0x84);
                    let start = self.stack.len().checked_sub(count).ok_or_else(|| corrupt("the stack is empty"))?;
                    self.tuple(start)?;
                }
                b't' => {
                    let start = self.mark()?;
                    self.tuple(start)?;
                }
                b']' => self.push(Object::List(Vec::new()))?,
                b'a' => {
                    let item = self.pop()?;
                    self.append(&[item])?;
                }
                b'e' => {
                    let start = self.mark()?;
                    let items = self.stack.split_off(start);
                    self.append(&items)?;
                }
                b'}' => self.push(Object::Dict(Vec::new()))?,
                b's' => {
                    let (value, key) = (self.pop()?, self.pop()?);
                    self.insert(&[key, value])?;
                }
                b'u' => {
                    let start = self.mark()?;
                    let items = self.stack.split_off(start);
                    self.insert(&items)?;
                }
                b'c' => {
                    let (module, name) = (self.line()?, self.line()?);
                    let global = global(module, name)?;
                    self.push(Object::Global(global))?;
                }
                b'Q' => {
                    let id = self.pop()?;
                    let storage = self.storage(id)?;
                    self.push(Object::Storage(storage))?;
                }
                b'R' => {
                    let (arguments, callee) = (self.pop()?, self.pop()?);
                    let made = self.call(callee, arguments)?;
                    self.push(made)?;
                }
                // BUILD: attributes of a dictionary (torch keeps `_metadata` there), of no use here.
                b'b' => {
                    let (state, object) = (self.pop()?, self.top()?);
                    if !matches!((self.get(object), self.get(state)), (Object::Dict(_), Object::Dict(_))) {
                        return Err(unsupported("an object with state other than a dictionary"));
                    }
                }
                other => return Err(unsupported(format!("opcode {other:#04x}"))),
            }
        }
    }

    fn take(&mut self, length: usize) -> Result<&'a [u8]> {
        let taken = self.bytes.get(self.at..).and_then(|rest| rest.get(..length));
        let taken = taken.ok_or_else(|| corrupt("the file ends inside the program"))?;
        self.at += length;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        let mut array = [0; N];
        array.copy_from_slice(self.take(N)?);
        Ok(array)
    }

    fn u8(&mut self) -> Result<u8> {
        self.array::<1>().map(|[byte]| byte)
    }

    fn line(&mut self) -> Result<&'a str> {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        let end = rest.iter().take(256).position(|&byte| byte == b'\n').ok_or_else(|| corrupt("a name has no end"))?;
        let line = self.take(end + 1)?;
        std::str::from_utf8(&line[..end]).map_err(|e| corrupt("a name is not UTF-8").caused_by(e))
    }

    fn push(&mut self, object: Object<'a>) -> Result<()> {
        if self.objects.len() >= MAX_OBJECTS || self.stack.len() >= MAX_OBJECTS || self.marks.len() >= MAX_OBJECTS {
            return Err(too_much());
        }
        // The bound above keeps every index within 32 bits.
        self.stack.push(self.objects.len() as Id);
        self.objects.push(object);
        Ok(())
    }

    fn pop(&mut self) -> Result<Id> {
        let floor = self.marks.last().copied().unwrap_or(0);
        if self.stack.len() <= floor {
            return Err(corrupt("the stack is empty"));
        }
        self.stack.pop().ok_or_else(|| corrupt("the stack is empty"))
    }

    fn top(&self) -> Result<Id> {
        self.stack.last().copied().ok_or_else(|| corrupt("the stack is empty"))
    }

    /// Takes the last mark: the height of the stack when it was set.
    fn mark(&mut self) -> Result<usize> {
        self.marks.pop().filter(|&mark| mark <= self.stack.len()).ok_or_else(|| corrupt("there is no mark"))
    }

    fn get(&self, id: Id) -> &Object<'a> {
        self.objects.get(id as usize).unwrap_or(&Object::None)
    }

    fn put(&mut self, slot: u32) -> Result<()> {
        let top = self.top()?;
        if self.memo.len() >= MAX_OBJECTS {
            return Err(too_much());
        }
        self.memo.insert(slot, top);
        Ok(())
    }

    fn recall(&mut self, slot: u32) -> Result<()> {
        let id = *self.memo.get(&slot).ok_or_else(|| corrupt("a memo slot is empty"))?;
        if self.stack.len() >= MAX_OBJECTS {
            return Err(too_much());
        }
        self.stack.push(id);
        Ok(())
    }

    fn tuple(&mut self, start: usize) -> Result<()> {
        if self.marks.last().is_some_and(|&mark| start < mark) {
            return Err(corrupt("the stack is empty"));
        }
        let items = self.stack.split_off(start);
        self.push(Object::Tuple(items))
    }

    fn append(&mut self, items: &[Id]) -> Result<()> {
        let list = self.top()? as usize;
        match self.objects.get_mut(list) {
            Some(Object::List(list)) => list.extend_from_slice(items),
            _ => return Err(corrupt("items are appended to what is no list")),
        }
        Ok(())
    }

    fn insert(&mut self, items: &[Id]) -> Result<()> {
        let (pairs, rest) = items.as_chunks::<2>();
        let dict = self.top()? as usize;
        match self.objects.get_mut(dict) {
            Some(Object::Dict(dict)) if rest.is_empty() => dict.extend(pairs.iter().map(|&[key, value]| (key, value))),
            _ => return Err(corrupt("pairs are set in what is no dictionary")),
        }
        Ok(())
    }

    fn items(&self, id: Id) -> Result<&[Id]> {
        match self.get(id) {
            Object::Tuple(items) => Ok(items),
            _ => Err(unsupported("arguments that are no tuple")),
        }
    }

    fn count(&self, id: Id) -> Result<usize> {
        match self.get(id) {
            Object::Int(value) => usize::try_from(*value).map_err(|_| corrupt("a negative size, offset or stride")),
            _ => Err(unsupported("a size, offset or stride that is no integer")),
        }
    }

    fn counts(&self, id: Id) -> Result<Vec<usize>> {
        self.items(id)?.iter().map(|&item| self.count(item)).collect()
    }

    /// A storage from its persistent id: ("storage", type, key, device, elements, view).
    fn storage(&self, id: Id) -> Result<Storage<'a>> {
        let wrong = || unsupported("a persistent id that names no whole storage");
        let &[kind, dtype, key, _device, elements, ref view @ ..] = self.items(id)? else { return Err(wrong()) };
        let whole = match view {
            [] => true,
            [view] => *self.get(*view) == Object::None,
            _ => false,
        };
        match (self.get(kind), self.get(dtype), self.get(key)) {
            (Object::Str("storage"), &Object::Global(Global::StorageType(dtype)), &Object::Str(key)) if whole => {
                Ok(Storage { dtype, key, elements: self.count(elements)? })
            }
            _ => Err(wrong()),
        }
    }

    fn call(&self, callee: Id, arguments: Id) -> Result<Object<'a>> {
        match (self.get(callee), self.items(arguments)?) {
            (Object::Global(Global::OrderedDict), []) => Ok(Object::Dict(Vec::new())),
            // Gradients and hooks concern training only.
            (Object::Global(Global::RebuildTensor), &[storage, offset, shape, strides, _gradient, _hooks]) => {
                if !matches!(self.get(storage), Object::Storage(_)) {
                    return Err(unsupported("a tensor over what is no storage"));
                }
                Ok(Object::Tensor(Box::new(TensorRef {
                    storage,
                    offset: self.count(offset)?,
                    shape: self.counts(shape)?,
                    strides: self.counts(strides)?,
                })))
            }
            (Object::Global(_), _) => Err(unsupported("a call with unknown arguments")),
            _ => Err(unsupported("a call of what cannot be called")),
        }
    }
}

fn too_much() -> Error {
    Error::new(Code::Limit, format!("more than {MAX_OBJECTS} objects"), "save the model as a plain state dict")
}

/// A little-endian two's complement integer of any length.
fn long(bytes: &[u8]) -> Object<'_> {
    if bytes.len() > 8 {
        return Object::Long(bytes);
    }
    let negative = bytes.last().is_some_and(|last| last & 0x80 != 0);
    let mut value = [if negative { 0xff } else { 0 }; 8];
    value[..bytes.len()].copy_from_slice(bytes);
    Object::Int(i64::from_le_bytes(value))
}

fn global(module: &str, name: &str) -> Result<Global> {
    Ok(match (module, name) {
        ("collections", "OrderedDict") => Global::OrderedDict,
        ("torch._utils", "_rebuild_tensor_v2") => Global::RebuildTensor,
        ("torch", "HalfStorage") => Global::StorageType(DType::F16),
        ("torch", "FloatStorage") => Global::StorageType(DType::F32),
        ("torch", "DoubleStorage") => Global::StorageType(DType::F64),
        ("torch", "IntStorage") => Global::StorageType(DType::I32),
        ("torch", "LongStorage") => Global::StorageType(DType::I64),
        _ => return Err(unsupported(format!("the name {module}.{name}"))),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn value(bytes: &[u8]) -> Result<Object<'_>> {
        Pickle::load(bytes).map(|(pickle, _)| pickle.root().clone())
    }

    #[test]
    fn plain_values_are_read_and_what_follows_is_left() {
        let (pickle, rest) = Pickle::load(b"\x80\x02M\xe9\x03.rest").unwrap();
        assert_eq!((pickle.root(), rest), (&Object::Int(1001), &b"rest"[..]));
        assert_eq!(value(b"J\xff\xff\xff\xff.").unwrap(), Object::Int(-1));
        assert_eq!(value(b"\x8a\x02\x00\xff.").unwrap(), Object::Int(-256));
        assert_eq!(value(b"\x8a\x00.").unwrap(), Object::Int(0));
        assert_eq!(value(b"X\x02\x00\x00\x00hi.").unwrap(), Object::Str("hi"));
        // A list that holds itself is a number in a list.
        assert_eq!(value(b"]q\x00h\x00a.").unwrap(), Object::List(vec![0]));
    }

    #[test]
    fn what_a_checkpoint_does_not_hold_is_refused_and_never_run() {
        let refused: [&[u8]; 7] = [
            b"cos\nsystem\n(X\x04\x00\x00\x00true\x85R.",
            b"cbuiltins\neval\n.",
            b"c__main__\nModel\n.",
            b"ccollections\nOrderedDict\nK\x01\x85R.",
            b"K\x01)R.",
            b"]}b.",
            b"\x80\x04N.",
        ];
        for program in refused {
            assert_eq!(value(program).unwrap_err().code(), Code::Unsupported, "{program:?}");
        }
        let text = value(b"cos\nsystem\n.").unwrap_err().to_string();
        assert!(text.contains("os.system") && text.contains("byte 11"), "{text}");
    }

    #[test]
    fn damage_is_an_error() {
        let damaged: [&[u8]; 14] = [
            b"",
            b".",
            b"NN.",
            b"(N.",
            b"t.",
            b"Na.",
            b"]N(a.",
            b"}Ns.",
            b"}(Nu.",
            b"h\x00.",
            b"X\xff\xff\xff\xffhi.",
            b"cos",
            b"(\x85.",
            b"X\x01\x00\x00\x00\xff.",
        ];
        for program in damaged {
            assert_eq!(value(program).unwrap_err().code(), Code::Corrupt, "{program:?}");
        }
    }

    #[test]
    fn too_many_objects_are_refused() {
        for opcode in [b'N', b'(', b')'] {
            let mut program = vec![opcode; MAX_OBJECTS + 2];
            program.extend_from_slice(b"N.");
            assert_eq!(value(&program).unwrap_err().code(), Code::Limit, "{opcode}");
        }
        let mut program = b"Nq\x00".to_vec();
        program.extend(std::iter::repeat_n(*b"h\x00", MAX_OBJECTS).flatten());
        assert_eq!(value(&program).unwrap_err().code(), Code::Limit);
    }

    proptest! {
        #[test]
        fn no_program_panics(
            program in prop::collection::vec(
                prop::sample::select(b".(N\x88\x89KMJ\x8aXqrhj)\x85\x86\x87t]ae}sucQRb\x80\x02\x00\x01\n".to_vec()),
                0..200,
            ),
        ) {
            let _ = Pickle::load(&program);
        }

        #[test]
        fn no_bytes_panic(program in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = Pickle::load(&program);
        }
    }
}
