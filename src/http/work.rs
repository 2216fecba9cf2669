//! Leasing jobs.

use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use actix_web::body::{BodySize, MessageBody};
use actix_web::web::Bytes;
use actix_web::{HttpRequest, HttpResponse, post};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use utoipa::ToSchema;

use super::access::{self, Allowed, JobsWork};
use super::headers::{IDEMPOTENT_REPLAYED, IdempotencyHeader};
use super::json::{Body, Json};
use super::leases::{AckItem, AckList, AckResult, LeaseMs};
use super::problem::Problem;
use super::query::{NoParameters, OfQueue, Query};
use crate::auth::Lasting;
use crate::error::{Error, Result};
use crate::queue::{Answered, Dequeue, Dequeued, Job, LeaseGuard, QueueOrder, Queues};
use crate::types::{JobId, Named, QueueName, Within, WorkerName, present, read_choice, read_object};

const MAX_QUEUES: usize = 100;

/// What a worker asks for.
#[derive(Deserialize, ToSchema)]
#[serde(remote = "Self", deny_unknown_fields)]
#[schema(as = Dequeue, example = json!({"worker": "mailer-1", "limit": 10, "wait_ms": 20000}))]
pub struct DequeueBody {
    /// Who asks; a name makes the worker visible in `/v1/workers`.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<String>, nullable = false, min_length = 1, max_length = 128)]
    worker: Option<WorkerName>,
    /// How many jobs at most.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<u32>, nullable = false, minimum = 1, maximum = 100, default = 1)]
    limit: Option<Within<1, 100>>,
    /// How long to wait for the first one.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<u64>, nullable = false, minimum = 0, maximum = 30000, default = 0)]
    wait_ms: Option<Within<0, 30_000>>,
    /// How long the leases last; as the queue says otherwise.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<u64>, nullable = false, minimum = 100, maximum = 43_200_000)]
    lease_ms: Option<LeaseMs>,
    /// Earlier jobs that are done: settled in the same round trip, before jobs are leased.
    #[serde(default)]
    #[schema(value_type = Vec<AckItem>, max_items = 1000)]
    ack: Vec<Box<RawValue>>,
}

read_object!(DequeueBody);

impl Body for DequeueBody {
    const MAX_BYTES: usize = 16 * 1024 * 1024;
    const MAX_DEPTH: usize = usize::MAX;
}

/// In which order several queues are looked at.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum OrderWord {
    #[default]
    Strict,
    Weighted,
}

read_choice!(OrderWord { Strict = "strict", Weighted = "weighted" });

/// What a worker of several queues asks for.
#[derive(Deserialize, ToSchema)]
#[serde(remote = "Self", deny_unknown_fields)]
#[schema(as = DequeueSeveral, example = json!({"queues": ["critical", "default"], "worker": "mailer-1", "wait_ms": 20000}))]
pub struct DequeueSeveralBody {
    /// The queues, each once.
    #[schema(value_type = Vec<String>, min_items = 1, max_items = 100, example = json!(["critical", "default"]))]
    queues: Vec<QueueName>,
    /// `strict`: a later queue only where the earlier ones are empty. `weighted`: by chance, by the weights.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<String>, nullable = false, pattern = "^(strict|weighted)$", default = "strict")]
    order: Option<OrderWord>,
    /// The weights by queue, 1 for a queue without.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<BTreeMap<String, u32>>, nullable = false)]
    weights: Option<Named<Within<1, 1000>>>,
    /// Who asks; a name makes the worker visible in `/v1/workers`.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<String>, nullable = false, min_length = 1, max_length = 128)]
    worker: Option<WorkerName>,
    /// How many jobs at most, of all queues together.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<u32>, nullable = false, minimum = 1, maximum = 100, default = 1)]
    limit: Option<Within<1, 100>>,
    /// How long to wait for the first one.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<u64>, nullable = false, minimum = 0, maximum = 30000, default = 0)]
    wait_ms: Option<Within<0, 30_000>>,
    /// How long the leases last; as the queues say otherwise.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<u64>, nullable = false, minimum = 100, maximum = 43_200_000)]
    lease_ms: Option<LeaseMs>,
    /// Earlier jobs of any of these queues that are done.
    #[serde(default)]
    #[schema(value_type = Vec<AckItem>, max_items = 1000)]
    ack: Vec<Box<RawValue>>,
}

read_object!(DequeueSeveralBody);

impl Body for DequeueSeveralBody {
    const MAX_BYTES: usize = 16 * 1024 * 1024;
    const MAX_DEPTH: usize = usize::MAX;
}

impl DequeueSeveralBody {
    fn queue_order(&self) -> Result<QueueOrder> {
        let distinct: BTreeSet<&QueueName> = self.queues.iter().collect();
        if !(1..=MAX_QUEUES).contains(&self.queues.len()) || distinct.len() < self.queues.len() {
            return Err(Error::invalid("/queues", "must be 1 to 100 different queues"));
        }
        match (self.order.unwrap_or_default(), &self.weights) {
            (OrderWord::Strict, None) => Ok(QueueOrder::Strict),
            (OrderWord::Strict, Some(_)) => Err(Error::invalid("/weights", "are for the order `weighted` alone")),
            (OrderWord::Weighted, None) => Ok(QueueOrder::Weighted(BTreeMap::new())),
            (OrderWord::Weighted, Some(Named(weights))) => {
                let weight = |(name, weight): (&String, &Within<1, 1000>)| {
                    let queue = self.queues.iter().find(|queue| queue.as_str() == name);
                    let unknown = || Error::invalid(format!("/weights/{name}"), "is none of the queues");
                    Ok((queue.ok_or_else(unknown)?.clone(), weight.get() as u32))
                };
                weights.iter().map(weight).collect::<Result<_>>().map(QueueOrder::Weighted)
            }
        }
    }
}

/// What a worker gets.
#[derive(Serialize, ToSchema)]
#[schema(as = Dequeued)]
pub struct DequeuedView {
    /// The jobs, each with its `lease`.
    jobs: Vec<Job>,
    /// What became of each item of `ack`; absent without.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    acked: Option<Vec<AckResult>>,
}

/// Leases jobs, at once or when there are some.
///
/// Each is leased to this worker alone until its lease runs out, is extended, or is settled by an ack or nack. With `wait_ms` the
/// answer waits for a job; without one in that time it is `"jobs": []`, and where the token ends meanwhile 401. A queue that does not
/// exist has no jobs: workers may start before producers.
#[utoipa::path(
    tag = "work",
    security(("token" = ["jobs:work"])),
    params(OfQueue, ("Idempotency-Key" = Option<String>, Header, min_length = 1, max_length = 128, pattern = "^[!-~]+$",
        nullable = false, description = "Makes the request count once: the same jobs again, if it gave any.")),
    request_body(content = DequeueBody, example = json!({"worker": "mailer-1", "limit": 10, "wait_ms": 5000})),
    responses((status = 200, description = "The jobs.", body = DequeuedView)),
)]
#[post("/v1/queues/{queue}/dequeue")]
pub async fn dequeue_jobs(
    queues: Allowed<JobsWork, Queues>,
    at: OfQueue,
    _: Query<NoParameters>,
    request: HttpRequest,
    key: IdempotencyHeader,
    body: Json<DequeueBody>,
) -> std::result::Result<HttpResponse, Problem> {
    let Json(body, bytes) = body;
    let AckList { acks, unreadable } = AckList::read(&body.ack, "/ack")?;
    queues.charge_items("/ack", acks.len()).await?;
    let asked = Dequeue {
        queues: vec![at.queue],
        order: QueueOrder::Strict,
        limit: body.limit.map_or(1, |limit| limit.get() as u32),
        wait: Duration::from_millis(body.wait_ms.map_or(0, Within::get)),
        lease_ms: body.lease_ms.map(Within::get),
        worker: body.worker,
        acks,
    };
    let once_key = key.once(&request, &bytes);
    // Not to be kept through a wait.
    drop(bytes);
    let lasting = lasting(&request, &asked)?;
    // Dropped on its way it leaves nothing behind: leases go back, wake-ups to the next in line.
    let dequeued = tokio::select! {
        biased;
        () = lasting.ended() => return Err(Error::Unauthenticated.into()),
        dequeued = queues.dequeue(&asked, once_key.as_ref()) => dequeued?,
    };
    let_the_connection_look(&asked).await;
    deliver(dequeued, unreadable)
}

/// Leases jobs of several queues.
///
/// As for one queue. `limit` counts over all of them; the items of `ack` are looked for in each. The token must reach all of them.
#[utoipa::path(
    tag = "work",
    security(("token" = ["jobs:work"])),
    params(("Idempotency-Key" = Option<String>, Header, min_length = 1, max_length = 128, pattern = "^[!-~]+$",
        nullable = false, description = "Makes the request count once: the same jobs again, if it gave any.")),
    request_body(content = DequeueSeveralBody,
        example = json!({"queues": ["critical", "default"], "order": "weighted", "weights": {"critical": 5}, "wait_ms": 5000})),
    responses((status = 200, description = "The jobs.", body = DequeuedView)),
)]
#[post("/v1/dequeue")]
pub async fn dequeue_several(
    queues: Allowed<JobsWork, Queues>,
    _: Query<NoParameters>,
    request: HttpRequest,
    key: IdempotencyHeader,
    body: Json<DequeueSeveralBody>,
) -> std::result::Result<HttpResponse, Problem> {
    let Json(body, bytes) = body;
    for queue in &body.queues {
        queues.caller().check_queue(queue)?;
    }
    let order = body.queue_order()?;
    let AckList { acks, unreadable } = AckList::read(&body.ack, "/ack")?;
    queues.charge_items("/ack", acks.len()).await?;
    let asked = Dequeue {
        queues: body.queues,
        order,
        limit: body.limit.map_or(1, |limit| limit.get() as u32),
        wait: Duration::from_millis(body.wait_ms.map_or(0, Within::get)),
        lease_ms: body.lease_ms.map(Within::get),
        worker: body.worker,
        acks,
    };
    let once_key = key.once(&request, &bytes);
    // Not to be kept through a wait.
    drop(bytes);
    let lasting = lasting(&request, &asked)?;
    // Dropped on its way it leaves nothing behind: leases go back, wake-ups to the next in line.
    let dequeued = tokio::select! {
        biased;
        () = lasting.ended() => return Err(Error::Unauthenticated.into()),
        dequeued = queues.dequeue(&asked, once_key.as_ref()) => dequeued?,
    };
    let_the_connection_look(&asked).await;
    deliver(dequeued, unreadable)
}

/// What a wait lasts with; a call that does not wait needs nothing.
fn lasting(request: &HttpRequest, asked: &Dequeue) -> Result<Lasting> {
    if asked.wait.is_zero() { Ok(Lasting::default()) } else { access::lasting(request) }
}

/// Lets the connection be read once more after a wait: a write to a client that has just hung up succeeds all the same. Where the
/// end of its other side is read, the handler ends here, and the leases go back.
async fn let_the_connection_look(asked: &Dequeue) {
    if !asked.wait.is_zero() {
        tokio::task::yield_now().await;
    }
}

fn deliver(
    dequeued: Answered<Dequeued>,
    unreadable: Vec<Option<(Option<JobId>, Error)>>,
) -> std::result::Result<HttpResponse, Problem> {
    let Answered { answer: Dequeued { jobs, acked, guard }, replayed } = dequeued;
    let acked = (!unreadable.is_empty()).then(|| AckList::results(unreadable, "/ack", acked));
    let body = serde_json::to_vec(&DequeuedView { jobs, acked })
        .map_err(|error| Error::Internal(format!("an answer has no JSON: {error}")))?;
    let mut response = HttpResponse::Ok();
    if replayed {
        response.insert_header((IDEMPOTENT_REPLAYED, "true"));
    }
    let length = body.len() as u64;
    let body = LeasedBody { length, bytes: Some(Bytes::from(body)), guard };
    Ok(response.content_type("application/json").body(body))
}

/// A body with leases. Where it is dropped before it is sent, since the client has gone, they go back.
struct LeasedBody {
    length: u64,
    bytes: Option<Bytes>,
    guard: LeaseGuard,
}

impl MessageBody for LeasedBody {
    type Error = Infallible;

    fn size(&self) -> BodySize {
        BodySize::Sized(self.length)
    }

    fn poll_next(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<std::result::Result<Bytes, Infallible>>> {
        let bytes = self.bytes.take();
        if bytes.is_some() {
            self.guard.delivered();
        }
        Poll::Ready(bytes.map(Ok))
    }
}
