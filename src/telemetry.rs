//! Structured logs on standard error.

mod lines;

use std::any::Any;
use std::io::IsTerminal as _;
use std::panic;

use tracing::error;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::{SubscriberInitExt, TryInitError};

use self::lines::OneLine;
use crate::config::LogFormat;

/// Starts logging what the filter lets through, panics included.
///
/// # Errors
///
/// When logging has been started before.
pub fn start(filter: &str, format: LogFormat) -> Result<(), TryInitError> {
    // What clients send wrong is theirs to see, not a line in the log that they can write at will.
    let quiet = if filter.contains("actix_http") { "" } else { ",actix_http=off" };
    let filter = EnvFilter::new(format!("{filter}{quiet}"));
    let is_terminal = std::io::stderr().is_terminal();
    let layer = tracing_subscriber::fmt::layer().with_ansi(is_terminal);
    let registry = tracing_subscriber::registry().with(filter);
    match format {
        LogFormat::Text => {
            let to_stderr = layer.with_writer(move || OneLine::new(std::io::stderr(), is_terminal));
            registry.with(to_stderr).try_init()?;
        }
        LogFormat::Json => {
            registry.with(layer.with_writer(std::io::stderr).json().flatten_event(true)).try_init()?;
        }
    }
    panic::set_hook(Box::new(|panic| {
        let at = panic.location().map_or("an unknown place".to_owned(), ToString::to_string);
        error!(panic.at = %at, "a panic at {at}: {}", words(panic.payload()));
    }));
    Ok(())
}

/// The message of a panic where it was written in the code. One that was put together may repeat what a client sent.
fn words(payload: &(dyn Any + Send)) -> &'static str {
    payload.downcast_ref::<&'static str>().copied().unwrap_or("its message is not shown")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_messages_from_the_code_are_shown_of_panics() {
        assert_eq!(words(&"a queue has no name"), "a queue has no name");
        assert_eq!(words(&"no such member: hunter2".to_owned()), "its message is not shown");
        assert_eq!(words(&5), "its message is not shown");
    }
}
