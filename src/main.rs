//! imgctl: parse, run, exit with a code.

/// The ledger is many small values, some of which are let go of by another thread than the one that made them.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    imgctl::cli::main()
}
