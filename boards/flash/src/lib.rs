//! Images and flashing.
