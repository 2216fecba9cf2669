//! Asks for jobs.

use std::sync::Arc;
use std::time::Duration;

use serde_json::value::RawValue;

use super::builder::{Settings, in_ms};
use super::lease::Lease;
use super::service::{Failure, Service, encoded};
use super::wire::{AckItem, Dequeue, Dequeued};

/// What a dequeue may take beyond its wait.
const CALL_TIMEOUT: Duration = Duration::from_secs(10);

/// A finished job whose ack rides on a dequeue.
#[derive(Debug, Clone)]
pub(super) struct Rider {
    pub lease: Arc<Lease>,
    pub result: Option<Box<RawValue>>,
}

/// Leases up to `limit` jobs, for which it waits so long, and settles the riders before.
pub(super) async fn dequeue(
    service: &Service,
    settings: &Settings,
    limit: usize,
    wait: Duration,
    riders: &[Rider],
) -> Result<Dequeued, Failure> {
    let ack: Vec<AckItem> = riders
        .iter()
        .map(|Rider { lease, result }| AckItem { id: &lease.id, lease: &lease.token, result: result.as_deref() })
        .collect();
    let mut body = Dequeue {
        queues: None,
        order: None,
        weights: None,
        worker: &settings.name,
        limit,
        wait_ms: in_ms(wait),
        lease_ms: settings.lease_ms(),
        ack: &ack,
    };
    let path = match &settings.queues[..] {
        [queue] => format!("/v1/queues/{}/dequeue", encoded(queue)),
        queues => {
            body.queues = Some(queues);
            body.order = Some(settings.order);
            body.weights = Some(&settings.weights).filter(|weights| !weights.is_empty());
            "/v1/dequeue".to_owned()
        }
    };
    service.post(&path, &body, wait + CALL_TIMEOUT).await
}
