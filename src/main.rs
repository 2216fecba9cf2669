//! The `ranq` binary.

use std::process::ExitCode;

/// Many small, short-lived allocations a request, and idle memory given back: the system's allocator took a tenth of the
/// time of a submission.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    ranq::cli::run()
}
