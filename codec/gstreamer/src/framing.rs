//! Where one coded frame ends and the next begins: what GStreamer's `multipartmux`
//! writes. A head of a few lines says how many bytes follow.
//!
//! ```text
//! --frame\r\n Content-Type: image/jpeg\r\n Content-Length: 1234\r\n \r\n …1234 bytes… \r\n
//! ```

use afferent_media::{Code, Error, Result};

/// The boundary that `multipartmux` is given.
pub const BOUNDARY: &str = "frame";

/// The longest head.
const MAX_HEAD: usize = 256;

/// Cuts what comes into frames.
#[derive(Debug)]
pub struct Framing {
    buffer: Vec<u8>,
    /// The longest frame that is taken.
    limit: usize,
    /// The length of the frame whose head was read.
    length: Option<usize>,
    /// Whether the line break after a frame is still to come.
    after: bool,
}

impl Framing {
    /// Frames of at most `limit` bytes.
    #[must_use]
    pub fn new(limit: usize) -> Self {
        Self { buffer: Vec::new(), limit, length: None, after: false }
    }

    /// Takes the next bytes. At most a frame's worth is kept if [`cut`](Self::cut) is
    /// asked until it has none.
    pub fn push(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// The next frame; `None` until it is whole.
    ///
    /// # Errors
    /// [`Code::Corrupt`] for what is no such stream, [`Code::Limit`] for a longer frame,
    /// before memory is taken for it.
    pub fn cut(&mut self) -> Result<Option<Vec<u8>>> {
        let length = match self.length {
            Some(length) => length,
            None => match self.head()? {
                Some(length) => *self.length.insert(length),
                None => return Ok(None),
            },
        };
        if self.buffer.len() < length {
            return Ok(None);
        }
        let rest = self.buffer.split_off(length);
        self.length = None;
        self.after = true;
        Ok(Some(std::mem::replace(&mut self.buffer, rest)))
    }

    /// Whether nothing of a further frame has come.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.length.is_none() && b"\r\n".starts_with(&self.buffer) && (self.after || self.buffer.is_empty())
    }

    /// Takes the head of the next frame, if it is whole.
    fn head(&mut self) -> Result<Option<usize>> {
        let wrong = || {
            Error::new(
                Code::Corrupt,
                "the pipeline wrote something that is no coded frame",
                "see what GStreamer logged, and report this with its version",
            )
        };
        let start = if self.after { "\r\n--" } else { "--" };
        let start = [start, BOUNDARY, "\r\n"].concat();
        let known = self.buffer.len().min(start.len());
        if self.buffer[..known] != start.as_bytes()[..known] {
            return Err(wrong());
        }
        let window = &self.buffer[..self.buffer.len().min(MAX_HEAD)];
        let Some(end) = memchr::memmem::find(window, b"\r\n\r\n") else {
            return if window.len() == MAX_HEAD { Err(wrong()) } else { Ok(None) };
        };
        let head = std::str::from_utf8(&window[..end]).map_err(|e| wrong().caused_by(e))?;
        let length = head.split("\r\n").find_map(|line| line.strip_prefix("Content-Length: ")).ok_or_else(wrong)?;
        let length: usize = length.parse().map_err(|e| wrong().caused_by(e))?;
        if length > self.limit {
            return Err(Error::new(
                Code::Limit,
                format!("the pipeline announces a frame of {length} bytes, above the limit of {}", self.limit),
                "report this with GStreamer's version",
            ));
        }
        self.buffer.drain(..end + 4);
        Ok(Some(length))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn stream(frames: &[Vec<u8>]) -> Vec<u8> {
        let mut out = Vec::new();
        for frame in frames {
            out.extend(format!("--frame\r\nContent-Type: a/b\r\nContent-Length: {}\r\n\r\n", frame.len()).bytes());
            out.extend_from_slice(frame);
            out.extend(b"\r\n");
        }
        out
    }

    proptest! {
        #[test]
        fn frames_come_out_as_they_went_in(
            frames in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..600), 0..6), step in 1usize..700,
        ) {
            let mut framing = Framing::new(600);
            let mut out = Vec::new();
            for piece in stream(&frames).chunks(step) {
                framing.push(piece);
                while let Some(frame) = framing.cut().unwrap() {
                    out.push(frame);
                }
            }
            prop_assert_eq!(out, frames);
            prop_assert!(framing.is_idle());
        }

        #[test]
        fn any_bytes_are_frames_or_an_error(
            head in "(--frame\r\n)?(Content-Length: [0-9]{1,20}\r\n)?(\r\n)?", tail in proptest::collection::vec(any::<u8>(), 0..400),
        ) {
            let mut framing = Framing::new(1000);
            framing.push(head.as_bytes());
            framing.push(&tail);
            while let Ok(Some(frame)) = framing.cut() {
                prop_assert!(frame.len() <= 1000);
            }
        }
    }

    #[test]
    fn mistakes_are_found_before_they_cost_memory() {
        let of = |bytes: &[u8]| {
            let mut framing = Framing::new(1000);
            framing.push(bytes);
            framing.cut().map_err(|error| error.code())
        };
        assert_eq!(of(b"--frame\r\nContent-Length: 1001\r\n\r\n"), Err(Code::Limit));
        assert_eq!(of(b"--frame\r\nContent-Length: -1\r\n\r\n"), Err(Code::Corrupt));
        assert_eq!(of(b"--frame\r\nContent-Type: a\r\n\r\n"), Err(Code::Corrupt));
        assert_eq!(of(b"G"), Err(Code::Corrupt));
        assert_eq!(of(b"--fra"), Ok(None));
        let endless = [b"--frame\r\n".to_vec(), vec![b'x'; 300]].concat();
        assert_eq!(of(&endless), Err(Code::Corrupt));
    }

    #[test]
    fn what_follows_a_frame_is_seen() {
        let mut framing = Framing::new(10);
        assert!(framing.is_idle());
        framing.push(&stream(&[vec![1], vec![2]]));
        assert!(framing.cut().unwrap().is_some() && !framing.is_idle());
        assert!(framing.cut().unwrap().is_some() && framing.is_idle());
    }
}
