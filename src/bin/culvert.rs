//! The CLI: it is all in [`culvert::cli`]. Exit code 0 done, 1 failed, 2 usage, 3 no gateway.

use std::process::ExitCode;

fn main() -> ExitCode {
    culvert::cli::run(std::env::args_os().skip(1))
}
