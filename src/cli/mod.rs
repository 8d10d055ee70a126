//! The front door: people. Words come in, plans and tables go out; nothing is decided here.

pub mod config;
