//! The agent on the board: capture, encode, spool, send.
