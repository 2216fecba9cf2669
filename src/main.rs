//! The `ranq` binary.

use std::process::ExitCode;

/// Keeps what it knows of free memory away from it: of the two buffers of 8 KiB that actix has for a connection, only what was
/// used counts. The system's allocator took a tenth of the time of a submission, and gives idle memory back late.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// Its settings, by the name under which it looks for them (jemalloc(3), "TUNING"): free memory goes back to the system after a
/// second, by a thread of its own.
#[expect(unsafe_code, reason = "a symbol that C code reads")]
#[unsafe(export_name = "_rjem_malloc_conf")]
pub static SETTINGS: &[u8; 70] = b"background_thread:true,dirty_decay_ms:1000,muzzy_decay_ms:0,narenas:2\0";

fn main() -> ExitCode {
    ranq::cli::run()
}
