//! Structured logs on standard error.

use std::io::IsTerminal as _;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::{SubscriberInitExt, TryInitError};

use crate::config::LogFormat;

/// Starts logging what the filter lets through.
///
/// # Errors
///
/// When logging has been started before.
pub fn start(filter: &str, format: LogFormat) -> Result<(), TryInitError> {
    // What clients send wrong is theirs to see, not a line in the log that they can write at will.
    let quiet = if filter.contains("actix_http") { "" } else { ",actix_http=off" };
    let filter = EnvFilter::new(format!("{filter}{quiet}"));
    let to_stderr =
        tracing_subscriber::fmt::layer().with_writer(std::io::stderr).with_ansi(std::io::stderr().is_terminal());
    match format {
        LogFormat::Text => tracing_subscriber::registry().with(filter).with(to_stderr).try_init(),
        LogFormat::Json => {
            tracing_subscriber::registry().with(filter).with(to_stderr.json().flatten_event(true)).try_init()
        }
    }
}
