//! The link over QUIC with mutual TLS, and the identities it needs.
