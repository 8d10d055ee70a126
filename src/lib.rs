//! imgctl
pub mod iac;
pub mod model;
pub mod plan;
