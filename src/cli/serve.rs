//! `ranq serve`

use actix_web::rt::System;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use rustix::thread::disable_transparent_huge_pages;
use tokio::signal::unix::{SignalKind, signal};
use tracing::{info, warn};

use super::{Outcome, Settings};
use crate::app::App;
use crate::telemetry;
use crate::types::Clock;

/// The connection itself, and the handle by which it is ended where it stands still.
const FILES_OF_A_CONNECTION: u64 = 2;

pub(super) fn serve(settings: Settings) -> Outcome {
    let config = settings.load()?;
    telemetry::start(&config.log, config.log_format)?;
    allow_many_connections(config.max_connections);
    keep_pages_small();
    for warning in &config.warnings {
        warn!("{warning}");
    }
    System::new().block_on(async {
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        let app = App::build(&config, Clock::Server)?;
        let scheme = if app.is_over_tls() { "https" } else { "http" };
        for address in app.addresses() {
            info!(listen = %address, "ranq {} serves on {scheme}://{address}, API documentation on {scheme}://{address}/docs/",
                env!("CARGO_PKG_VERSION"));
        }
        if config.admin_token.is_none() {
            warn!("there is no admin token: whoever reaches the address may do everything");
        }
        app.run(async {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
        })
        .await?;
        Ok(())
    })
}

/// Raises the soft limit of open files to the hard one: each waiting worker holds a connection, and the usual soft limit is 1,024.
fn allow_many_connections(most: usize) {
    let limit = getrlimit(Resource::Nofile);
    let wanted = u64::try_from(most).unwrap_or(u64::MAX).saturating_mul(FILES_OF_A_CONNECTION);
    if let Some(maximum) = limit.maximum.filter(|maximum| *maximum < wanted) {
        warn!("`max_connections` {most} needs {wanted} open files, and the system allows {maximum} (ulimit -Hn)");
    }
    if let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit }) {
        warn!(%error, "the limit of open files stays at {:?}: {error}", limit.current);
    }
}

/// Keeps idle memory small: each idle connection touches a little of large buffers, and huge pages would keep all of them. The
/// embedded Redis inherits it, whose manual asks for the same (redis.io, "Diagnosing latency issues").
fn keep_pages_small() {
    if let Err(error) = disable_transparent_huge_pages(true) {
        warn!(%error, "transparent huge pages stay as the system has them: {error}");
    }
}
