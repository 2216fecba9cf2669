//! The `ranq` binary.

use std::process::ExitCode;

fn main() -> ExitCode {
    ranq::cli::run()
}
