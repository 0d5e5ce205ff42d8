//! Writes small checkpoints, as `torch.save` did before version 1.6.

/// One tensor of a checkpoint and the storage that it views.
pub(crate) struct Entry<'a> {
    pub(crate) name: &'a str,
    pub(crate) key: &'a str,
    pub(crate) kind: &'a str,
    pub(crate) elements: u32,
    pub(crate) offset: u32,
    pub(crate) shape: &'a [u32],
    pub(crate) strides: &'a [u32],
}

const HEADER: &[u8] = b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.\
    \x80\x02M\xe9\x03.\
    \x80\x02}q\x00(X\x10\x00\x00\x00protocol_versionM\xe9\x03X\x0d\x00\x00\x00little_endian\x88u.";

fn text(out: &mut Vec<u8>, text: &str) {
    out.push(b'X');
    out.extend_from_slice(&u32::try_from(text.len()).unwrap().to_le_bytes());
    out.extend_from_slice(text.as_bytes());
}

fn int(out: &mut Vec<u8>, value: u32) {
    out.push(b'J');
    out.extend_from_slice(&value.to_le_bytes());
}

fn tuple(out: &mut Vec<u8>, values: &[u32]) {
    out.push(b'(');
    values.iter().for_each(|&value| int(out, value));
    out.push(b't');
}

/// A checkpoint of `entries` over `storages` (key, elements as claimed, bytes).
pub(crate) fn checkpoint(entries: &[Entry<'_>], storages: &[(&str, u64, &[u8])]) -> Vec<u8> {
    let mut out = HEADER.to_vec();
    out.extend_from_slice(b"\x80\x02ccollections\nOrderedDict\n)Rq\x00(");
    for entry in entries {
        text(&mut out, entry.name);
        out.extend_from_slice(b"ctorch._utils\n_rebuild_tensor_v2\n((");
        text(&mut out, "storage");
        out.extend_from_slice(format!("ctorch\n{}\n", entry.kind).as_bytes());
        text(&mut out, entry.key);
        text(&mut out, "cpu");
        int(&mut out, entry.elements);
        out.extend_from_slice(b"NtQ");
        int(&mut out, entry.offset);
        tuple(&mut out, entry.shape);
        tuple(&mut out, entry.strides);
        out.extend_from_slice(b"\x89ccollections\nOrderedDict\n)RtR");
    }
    out.extend_from_slice(b"u}");
    text(&mut out, "_metadata");
    out.extend_from_slice(b"}sb.");
    out.extend_from_slice(b"\x80\x02](");
    storages.iter().for_each(|(key, ..)| text(&mut out, key));
    out.extend_from_slice(b"e.");
    for (_, elements, bytes) in storages {
        out.extend_from_slice(&elements.to_le_bytes());
        out.extend_from_slice(bytes);
    }
    out
}

/// Little-endian bytes of 32-bit floats.
pub(crate) fn floats(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_le_bytes()).collect()
}
