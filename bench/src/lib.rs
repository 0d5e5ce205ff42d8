//! Questions asked of the whole: demo, sweep, link, advise, reproduce, report.
//!
//! - [`demo`]: the whole way, once, on real input, between real processes;
//! - [`agent`]: what the agent costs beside the codec it runs;
//! - [`summary`]: from rows to one object per operating point;
//! - [`table`]: those objects as tables for a terminal;
//! - [`plot`]: rate against agreement, as one SVG file;
//! - [`bundled`]: the media that the demo replays;
//! - [`external`]: codecs that run as this machine's tools, where it has them;
//! - [`folder`]: folders made anew for each run;
//! - [`process`]: child processes, their events, logs and end.

pub mod agent;
pub mod bundled;
pub mod demo;
pub mod external;
pub mod folder;
pub mod plot;
pub mod process;
pub mod summary;
pub mod table;
