//! Questions asked of the whole: demo, sweep, link, advise, reproduce, report.
//!
//! - [`demo`]: the whole way, once, on real input, between real processes;
//! - [`agent`]: what the agent costs beside the codec it runs;
//! - [`capture`]: whether long capture loses anything, and what it costs;
//! - [`anchor`]: what pictures that stand alone pay beside a video codec;
//! - [`summary`]: from rows to one object per operating point;
//! - [`sweep`]: data × operating points × models, through the product's own stages;
//! - [`report`]: from rows to one page of charts and tables;
//! - [`table`]: those objects as tables for a terminal;
//! - [`chart`]: charts as SVG, for files and pages;
//! - [`plot`]: rate against agreement, as one SVG file;
//! - [`bundled`]: the media that the demo replays;
//! - [`data`]: data sets as people keep them, each made into one manifest;
//! - [`external`]: codecs that run as this machine's tools, where it has them;
//! - [`folder`]: folders made anew for each run;
//! - [`process`]: child processes, their events, logs, cost and end;
//! - [`site`]: a server process and the agents that send to it.

pub mod agent;
pub mod anchor;
pub mod bundled;
pub mod capture;
pub mod chart;
pub mod data;
pub mod demo;
pub mod external;
pub mod folder;
pub mod plot;
pub mod process;
pub mod report;
pub mod site;
pub mod summary;
pub mod sweep;
pub mod table;
