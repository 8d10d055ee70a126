//! How things look: text for people, in any width, with and without colour.

pub mod audit;
pub mod drift;
pub mod event;
pub mod guard;
pub mod image;
pub mod plan;
pub mod progress;
pub mod stats;
pub mod style;
pub mod table;
pub mod time;
pub mod witness;
mod workflow;
