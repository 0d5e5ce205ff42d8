//! End to end: whole processes over real sockets and files. One test binary.

mod architecture;
mod by_hand;
mod crash;
mod house;
mod process;
mod strangers;
