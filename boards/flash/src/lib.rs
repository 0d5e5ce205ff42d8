//! Images and flashing: from a board file, an agent package, an identity and a
//! configuration to a card or a module that boots into a sending agent, and to
//! updates that fall back when they fail.
//!
//! Arrives once agents run on boards.
