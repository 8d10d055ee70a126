//! The outside: clouds, registries and files. The only room with SDKs and sockets; it reads and does, and never decides.

pub mod aws;
pub mod clock;
pub mod section;
pub mod state;
pub mod target;
