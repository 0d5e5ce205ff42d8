//! The server's side of a sample's way.
//!
//! ```text
//! link ⇒ receive ─▶ store ─▶ ack
//!                     │
//!                     ▼ followed, durable records only
//!                  decode ─▶ perceive ─▶ compare ─▶ row log ─▶ Parquet
//! ```
//!
//! A packet is acknowledged once it is durable in the [`store`]. From there on
//! the store is the queue: [`follow`] hands every place without a row to the
//! workers, so neither a crash nor a slow model loses or repeats a row.

pub mod backend;
pub mod events;
pub mod follow;
pub mod model;
pub mod perceive;
pub mod references;
pub mod rows;
pub mod server;
pub mod store;
pub mod synthesis;
pub mod wire;

pub use events::Events;
pub use server::{Options, Stop, run};
pub use synthesis::{Flavours, Syntheses};
