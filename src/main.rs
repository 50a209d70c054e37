//! The `certhook` program.

use std::process::ExitCode;

fn main() -> ExitCode {
    certhook::cli::run()
}
