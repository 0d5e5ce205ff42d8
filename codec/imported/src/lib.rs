//! Published neural codecs, by import.
//!
//! Charter: a recipe turns a published checkpoint into graphs, tables and a
//! manifest; analysis and synthesis run on any inference backend, while
//! everything that decides a symbol's probability (hyper-synthesis, context
//! model, distributions) runs in our fixed-order arithmetic, so that a bitstream
//! made on one processor is read on another.
