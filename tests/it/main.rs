//! One test binary for everything that links the SDKs: one link, one build.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod anchors;
mod attribution;
mod clusters;
mod code;
mod conformance;
mod endings;
mod fleets;
mod flows;
mod ledger;
mod mutations;
mod notices;
mod pointers;
mod recovery;
mod scenarios;
mod schedules;
mod sources;
mod states;
mod support;
mod terraform;
mod waves;
