//! One file per board.
