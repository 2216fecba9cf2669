//! `ranq serve`

use actix_web::rt::System;
use tokio::signal::unix::{SignalKind, signal};
use tracing::{info, warn};

use super::{Outcome, Settings};
use crate::app::App;
use crate::telemetry;
use crate::types::Clock;

pub(super) fn serve(settings: Settings) -> Outcome {
    let config = settings.load()?;
    telemetry::start(&config.log, config.log_format)?;
    for warning in &config.warnings {
        warn!("{warning}");
    }
    System::new().block_on(async {
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        let app = App::build(&config, Clock::Server)?;
        for address in app.addresses() {
            info!(listen = %address, "ranq {} serves on http://{address}, API documentation on http://{address}/docs/",
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
