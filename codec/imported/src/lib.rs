//! Published neural codecs, imported.
