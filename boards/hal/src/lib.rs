//! The board's body: pins, meters, clocks, throttling.
