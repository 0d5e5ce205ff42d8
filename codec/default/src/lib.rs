//! Our own neural codecs for images and sound.
//!
//! Charter: a light analysis on the board, of a few hundred multiply-accumulates
//! per pixel and without an inference engine; latents as small integers, coded by
//! an exact integer entropy coder in which no network decides a probability; a
//! heavy synthesis on the server, in a faithful and a generative flavour over the
//! same bitstream. One model serves many rates.
