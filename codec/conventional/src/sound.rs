//! What the sound codecs share.

use crate::corrupt;
use afferent_codec::Chunk;
use afferent_media::{AudioView, Code, Error, Result};

/// Notes rate and channels of a stream's first stretch and holds later ones to it.
pub(crate) fn same_stream(stream: &mut Option<(u32, u16)>, audio: AudioView<'_>) -> Result<()> {
    let this = (audio.rate(), audio.channels());
    let first = *stream.get_or_insert(this);
    if first == this {
        return Ok(());
    }
    Err(Error::new(
        Code::Config,
        format!("{} channels at {} Hz follow {} at {} Hz in one stream", this.1, this.0, first.1, first.0),
        "finish the stream before another begins",
    ))
}

/// Refuses chunks that cannot be `of` chunks with some lost: out of order or
/// beyond the end, and sound of which nothing arrived, because decoding it would
/// be pure invention.
pub(crate) fn check_places(chunks: &[Chunk<'_>], of: u64) -> Result<()> {
    if of > 0 && chunks.is_empty() {
        return Err(corrupt(format!("none of the {of} chunks of this sound is intact")));
    }
    let ordered = chunks.windows(2).all(|pair| pair[0].index < pair[1].index);
    match chunks.last() {
        Some(last) if !ordered || last.index as u64 >= of => {
            Err(corrupt(format!("chunk {} does not belong to sound of {of} chunks", last.index)))
        }
        _ => Ok(()),
    }
}
