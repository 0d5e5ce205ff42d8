//! What crosses between board and server: messages, framing, acks, sessions (no_std core, no sockets, no clock).
