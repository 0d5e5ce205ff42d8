//! End to end: whole processes over real sockets and files. One test binary.
#![allow(clippy::unwrap_used)] // helpers of tests are tests

mod architecture;
mod boards;
mod browser;
mod by_hand;
mod crash;
mod house;
mod process;
mod strangers;
mod sweep;
mod synthesis;
mod virtual_board;
