//! One suite per trait, run over every implementation against its real peer.
//!
//! What is shown of which kind of target. `e`: `every_kind.rs`, through the whole corridor, over eight objects of seven
//! kinds; `o`: the kind's own file, at the trait; `r`: `recovery.rs`, the real binary killed; `-`: cannot be.
//!
//! | rule | asg | mixed asg | ecs | deployment, statefulset, daemonset | cronjob | launch-template |
//! | --- | --- | --- | --- | --- | --- | --- |
//! | stale revision refused, nothing changed | o e | o e | o e | o e | e | o e |
//! | idempotent deploy (ordered twice) | o | o | o | o | e | o |
//! | settles: all of it runs the new image | o e | o e | o e | o e | o e | o e |
//! | dies after every write of a promotion | e r | e | e r | e | e | e |
//! | dies after every write of a rollback | e r | e | e r | e | e | e |
//! | an answer lost, or a call, at every call | e | e | e | o e | e | o e |
//! | killed at any moment | r | | r | | | |
//! | partial failure: all or none | e | e | e | e | e | e |
//! | image-only rollback keeps the rest | o e | o e | o e | o e | e | o e |
//! | exact rollback, to the very revision | o e | o e | o e | o e | e | o e |
//! | twice is nothing | e | e | e | e | e | e |
//! | unreachable is never in sync | o e | e | o e | o e | e | e |
//! | gone is said, and silence is not gone | o | o | o | o | o | o |
//! | a rollout under way is turned back | o | o | o | o | - | - |

mod accounts;
mod checks;
mod every_kind;
mod kubernetes;
mod launch_templates;
mod mixed;
mod services;
mod targets;
