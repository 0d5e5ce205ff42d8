//! Our neural codecs.
