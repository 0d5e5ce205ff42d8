//! The server: receive, store, decode, perceive, measure.
