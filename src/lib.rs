//! imgctl
pub mod model;
pub mod plan;
