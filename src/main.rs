//! imgctl: parse, run, exit with a code.

fn main() -> std::process::ExitCode {
    imgctl::cli::main()
}
