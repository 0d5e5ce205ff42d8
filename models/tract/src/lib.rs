//! The tract backend of the Network trait.
