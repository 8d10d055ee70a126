//! One suite per trait, run over every implementation against its real peer.

mod accounts;
mod checks;
mod every_kind;
mod kubernetes;
mod launch_templates;
mod mixed;
mod services;
mod targets;
