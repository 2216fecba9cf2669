//! The bodies of requests, as text, so that JSON within them is sent byte for byte.

use serde_json::json;

use super::model::Given;
use super::service::Ms;
use super::steps::{self, NewJob, Start, Until};

/// An object of the fields that are there.
fn object(fields: &[(&str, Option<&str>)]) -> String {
    let fields = fields.iter().filter_map(|(name, value)| Some(format!("{}: {}", json!(name), (*value)?)));
    format!("{{{}}}", fields.collect::<Vec<_>>().join(", "))
}

pub fn new_job(job: &NewJob, now: Ms) -> String {
    let number = |number: Option<Ms>| number.map(|number| number.to_string());
    let text = |text: Option<&str>| text.map(|text| json!(text).to_string());
    let (delay_ms, run_at) = match job.start {
        Start::AtOnce => (None, None),
        Start::After(ms) => (Some(ms), None),
        Start::At(ms) => (None, Some(steps::written(now + ms))),
    };
    let unique = job.unique;
    let until = unique.and_then(|unique| unique.until).map(|until| match until {
        Until::Done => "done",
        Until::Started => "started",
    });
    let on_duplicate = unique.and_then(|unique| unique.replace.then_some("replace"));
    let fields = [
        ("payload", Some(steps::json(job.payload).to_owned())),
        ("id", text(job.id.map(steps::id))),
        ("priority", number(job.priority.map(Ms::from))),
        ("delay_ms", number(delay_ms)),
        ("run_at", text(run_at.as_deref())),
        ("max_attempts", number(job.max_attempts.map(Ms::from))),
        ("key", text(job.key.map(steps::key))),
        ("unique_key", text(unique.map(|unique| steps::unique_key(unique.key)))),
        ("unique_until", text(until)),
        ("unique_for_ms", number(unique.and_then(|unique| unique.for_ms))),
        ("on_duplicate", text(on_duplicate)),
        ("expires_in_ms", number(job.expires_in_ms)),
        ("headers", job.headers.then(|| json!(steps::headers()).to_string())),
    ];
    object(&fields.each_ref().map(|(name, value)| (*name, value.as_deref())))
}

/// What is sent with a lease.
pub fn settle(token: &str, fields: &[(&str, Option<&str>)]) -> String {
    let lease = json!(token).to_string();
    object(&[&[("lease", Some(lease.as_str()))], fields].concat())
}

fn ack_list(acks: &[(Given, Option<&str>)]) -> String {
    let ack = |(given, result): &(Given, Option<&str>)| {
        settle(&given.token, &[("id", Some(&json!(given.id).to_string())), ("result", *result)])
    };
    format!("[{}]", acks.iter().map(ack).collect::<Vec<_>>().join(", "))
}

pub fn acks(acks: &[(Given, Option<&str>)]) -> String {
    object(&[("acks", Some(&ack_list(acks)))])
}

pub fn dequeue(
    limit: usize,
    lease_ms: Option<Ms>,
    worker: Option<&str>,
    acks: &[(Given, Option<&str>)],
    queues: Option<&[String]>,
) -> String {
    let limit = (limit != 1).then(|| limit.to_string());
    let lease_ms = lease_ms.map(|ms| ms.to_string());
    let worker = worker.map(|worker| json!(worker).to_string());
    let acks = (!acks.is_empty()).then(|| ack_list(acks));
    let queues = queues.map(|queues| json!(queues).to_string());
    let fields = [("queues", queues), ("limit", limit), ("lease_ms", lease_ms), ("worker", worker), ("ack", acks)];
    object(&fields.each_ref().map(|(name, value)| (*name, value.as_deref())))
}

pub fn redrive(limit: Option<usize>, to: Option<&str>) -> Option<String> {
    let limit = limit.map(|limit| limit.to_string());
    let to = to.map(|to| json!(to).to_string());
    (limit.is_some() || to.is_some()).then(|| object(&[("limit", limit.as_deref()), ("to", to.as_deref())]))
}
