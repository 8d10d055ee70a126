//! The outside: clouds, registries and files. The only room with SDKs and sockets; it reads and does, and never decides.

pub mod anchor;
pub mod aws;
pub mod clock;
pub mod mirror;
pub mod notice;
pub mod pointer;
pub mod section;
pub mod source;
pub mod state;
pub mod target;
