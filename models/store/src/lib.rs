//! The model store: zoo manifest, resolve, verify, cache.
