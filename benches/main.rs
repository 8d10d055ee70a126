//! The measurements: everything beside its peer, in one run, as ratios. Run by `make bench`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout, clippy::indexing_slicing, clippy::panic)]

mod calls;
mod drift;
mod figures;
mod fleet;
mod history;
mod lab;
mod ledger;
mod process;
mod replay;

use figures::Figures;
use std::path::Path;

// What is measured in this process has the allocator that the binary has.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() {
    // `cargo bench NAME` measures only what the name is part of.
    let wanted = std::env::args().skip(1).find(|argument| !argument.starts_with('-')).unwrap_or_default();
    let is_wanted = |name: &str| name.contains(&wanted);
    let mut figures = Figures::default();
    if is_wanted("start") {
        process::start(&mut figures);
    }
    if is_wanted("ledger") {
        ledger::ledger(&mut figures);
    }
    if is_wanted("calls") {
        for groups in [1, 100, 500] {
            calls::calls(&mut figures, groups);
        }
    }
    if is_wanted("drift") {
        drift::drift(&mut figures);
    }
    if is_wanted("replay") {
        replay::replay(&mut figures);
    }
    if is_wanted("fleet") {
        fleet::fleet(&mut figures);
    }
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/bench/figures.json");
    figures.write(&file);
    println!("\n{figures}\nwritten to target/bench/figures.json");
}
