//! imgctl
pub mod iac;
pub mod model;
pub mod provider;
pub mod store;
