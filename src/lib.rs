//! imgctl: an immutable-infrastructure image version manager. This page is the map; the code is in the rooms.
//!
//! # In one breath
//!
//! A word comes in at a door, is looked up in what we know, becomes a **plan**, is written down, is done, and what
//! happened is written down. Nothing is decided while doing; nothing is done while deciding; nothing written is changed.
//!
//! ```text
//!  cli ──▶ Intent ─▶ load ─▶ Snapshot ─▶ plan ─▶ Plan ─▶ claim ─▶ apply ─▶ append
//!                     │                 (pure)     │        │        └─ target
//!            store, targets, sources,              │        └── store
//!                states, clock               show and stop
//!                                          (--plan, --check, drift)
//! ```
//!
//! # Rooms, in reading order
//!
//! 1. [`model`]: nouns. Values that are valid from the moment they exist, and the one transition that turns an entry
//!    into keyed changes.
//! 2. [`iac`]: readers of infrastructure code, pure: bytes in, declared images out.
//! 3. [`plan`]: decisions, pure and total: a snapshot in, a plan or findings out. Blockers are data.
//! 4. [`store`]: memory. A journal that is the commit point, and an index that is derived from it.
//! 5. [`provider`]: the outside. The only room with SDKs and sockets; it reads and does, and never decides.
//! 6. [`flow`]: the corridor from intent to ending.
//! 7. [`cli`]: the front door, and the only room that prints.
//!
//! # What is absent, and stays so
//!
//! - No room below `provider` does I/O, reads a clock or is async, but `store`, which does files.
//! - No `dry_run` flag: a plan that is not applied is the dry run. `drift` and `status` hold only the read half of a
//!   target and have nothing to deploy with.
//! - No entry is changed or deleted. A rollback is a new rollout with a typed cause, never an undo.
//! - No floating image in the ledger: selectors float, addresses are pinned, and only recording turns one into the other.
//! - No lock is held while a cloud is waited for: every word takes the ledger's lock, acts, and lets go.
//! - No collection with random order: what is printed twice is printed the same.
//!
//! # Decisions
//!
//! 1. *Intent is exclusive, truth is always writable.* `claim` needs the ledger to be where the plan saw it; `append`
//!    reports what happened and is never refused for being late.
//! 2. *The ledger is a fold.* Live writes, replay and recovery go through [`model::transition`]; a history that cannot
//!    have happened does not load.
//! 3. *Re-plan, not saga.* A rollback looks at what is there now. Targets that are back are not steps.
//! 4. *A lineage is a stack.* Promote pushes, rollback pops. Run again under its own hold, a rollback stays where it
//!    went; `--further` walks on down.
//! 5. *Instances are believed, not refreshes.* A step has succeeded when two looks in a row see every instance right.
//! 6. *Image-only rollback.* A new launch-template version with the old image: going back to the old number leaves
//!    Terraform a plan that moves the group again.
//! 7. *What cannot change is asked once ever.* It is kept beside the ledger, in no way part of it: `store` has the file,
//!    `cli` hands it to `provider` as [`model::Facts`], so neither room knows the other. Whatever decides whether a rollout
//!    may run is asked anew.
//! 8. *Enums for facts, trait objects for doers.* A new fact breaks every match; a new target breaks none.

pub mod cli;
pub mod flow;
pub mod iac;
pub mod model;
pub mod plan;
pub mod provider;
pub mod store;
