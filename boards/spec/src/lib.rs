//! Boards are data: one file per board says how to recognise it, where its
//! cameras and microphones are, which hardware encoders and accelerators it
//! really has, its pins, meters, throttle source and image recipe. A schema
//! documents every key and a test checks every file against it. Nothing is
//! ever probed blind.
//!
//! The first board files arrive with capture from real devices.
