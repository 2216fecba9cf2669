//! What stands afterwards, held against what clients were told.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};

use crate::client::{Ask, Client};
use crate::history::{At, Facts, Outcome, Sent};
use crate::load::SEASON_ENTRIES;

const STATES: [&str; 6] = ["scheduled", "ready", "active", "completed", "dead", "cancelled"];
const PATIENCE: Duration = Duration::from_secs(10);
/// What a lease may seem to last longer: the clocks are one, but the answer's way is not measured.
const SLACK: Duration = Duration::from_millis(30);

/// When what was acknowledged may have been lost.
pub type MayBeLost = Option<Range<At>>;

fn is_sure(acked: Option<At>, may_be_lost: &MayBeLost) -> bool {
    acked.is_some_and(|at| may_be_lost.as_ref().is_none_or(|range| !range.contains(&at)))
}

/// Looks at everything; gives how much was lost within `may_be_lost`.
pub async fn verify(client: &Client, may_be_lost: &MayBeLost) -> u64 {
    let facts = std::mem::take(&mut *client.history.facts.lock().expect("no panic"));
    let mut lost = 0;
    lost += sums(client, &facts, may_be_lost).await;
    lost += bests(client, &facts, may_be_lost).await;
    let jobs = jobs(client, "work").await;
    check_times(client, &jobs);
    lost += enqueued(client, &facts, &jobs, may_be_lost);
    lost += acked(client, &facts, &jobs, may_be_lost);
    leases(client, &facts, may_be_lost);
    season(client, &facts, may_be_lost).await;
    lost
}

async fn read(client: &Client, path: String) -> Value {
    let reply = client.send_to(0, Method::GET, &Ask::new("read", "", path.clone(), Value::Null)).await;
    // The queue of rewards is made by the first of them.
    let is_to_come = path.starts_with("/v1/queues/rewards/") && reply.outcome == Outcome::Status(404);
    if !reply.is_ok() && !is_to_come {
        client.history.violated("", format!("{path} cannot be read: {:?} {}", reply.outcome, reply.body), None);
    }
    reply.body
}

async fn all(client: &Client, path: &str, list: &str) -> Vec<Value> {
    let (mut found, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = read(client, format!("{path}limit=1000{cursor}")).await;
        found.extend(page[list].as_array().cloned().unwrap_or_default());
        match page["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return found,
        }
    }
}

async fn scores(client: &Client, board: &str) -> BTreeMap<String, i64> {
    let entries = all(client, &format!("/v1/leaderboards/{board}/rankings?"), "entries").await;
    let mut scores = BTreeMap::new();
    for (place, entry) in entries.iter().enumerate() {
        let (member, score) = (entry["member"].as_str().unwrap_or_default(), entry["score"].as_f64().unwrap_or(-1.0));
        if entry["rank"] != json!(place + 1) {
            client.history.violated(member, format!("{board} has a wrong rank: {entry}"), None);
        }
        if scores.insert(member.to_owned(), score as i64).is_some() {
            client.history.violated(member, format!("{board} has it twice"), None);
        }
    }
    scores
}

/// Each acknowledged score is there once; one that was not acknowledged once or not at all.
async fn sums(client: &Client, facts: &Facts, may_be_lost: &MayBeLost) -> u64 {
    let mut found = scores(client, "total").await;
    let mut lost = 0;
    for (member, sent) in &facts.sums {
        let of = |which: &dyn Fn(&Sent<i64>) -> bool| -> i64 {
            sent.iter().filter(|one| which(one)).map(|one| one.value).sum()
        };
        let (least, acked) = (of(&|one| is_sure(one.acked, may_be_lost)), of(&|one| one.acked.is_some()));
        let open: Vec<i64> = sent.iter().filter(|one| one.acked.is_none()).map(|one| one.value).collect();
        let stands = found.remove(member).unwrap_or(0);
        let is_right = match open[..] {
            [] => stands == acked,
            [one] => stands == acked || stands == acked + one,
            // Each that may be open has a member of its own, unless no answer came at all, which was noted.
            _ => (acked..=acked + open.iter().sum::<i64>()).contains(&stands),
        };
        if !is_right && (least..acked).contains(&stands) {
            lost += 1;
        } else if !is_right {
            let text = format!("the sum of `{member}` is {stands}, and {acked} was acknowledged, {open:?} open");
            client.history.violated(member, text, None);
        }
    }
    for (member, score) in found {
        client.history.violated(&member, format!("`{member}` has {score}, and nobody sent it"), None);
    }
    lost
}

async fn bests(client: &Client, facts: &Facts, may_be_lost: &MayBeLost) -> u64 {
    let found = scores(client, "best").await;
    let mut lost = 0;
    for (member, sent) in &facts.bests {
        let stands = found.get(member).copied().unwrap_or(0);
        let most = |which: &dyn Fn(&Sent<i64>) -> bool| {
            sent.iter().filter(|one| which(one)).map(|one| one.value).max().unwrap_or(0)
        };
        if stands >= most(&|one| one.acked.is_some()) && (stands == 0 || sent.iter().any(|one| one.value == stands)) {
            continue;
        }
        if stands >= most(&|one| is_sure(one.acked, may_be_lost)) {
            lost += 1;
        } else {
            client.history.violated(member, format!("the best of `{member}` is {stands}"), None);
        }
    }
    lost
}

/// All jobs of a queue, each with its state, by id.
async fn jobs(client: &Client, queue: &str) -> BTreeMap<String, Value> {
    let mut jobs = BTreeMap::new();
    // Those that move on between two lists are seen in the later one, since a job never moves back past `ready`.
    for _ in 0..2 {
        for state in STATES {
            for job in all(client, &format!("/v1/queues/{queue}/jobs?state={state}&"), "jobs").await {
                jobs.insert(job["id"].as_str().unwrap_or_default().to_owned(), job);
            }
        }
    }
    jobs
}

/// The times are those of Redis, whatever the clock of the instance that took the job.
fn check_times(client: &Client, jobs: &BTreeMap<String, Value>) {
    let now = jiff::Timestamp::now().as_millisecond();
    for (id, job) in jobs {
        let at = job["enqueued_at"].as_str().and_then(|text| text.parse::<jiff::Timestamp>().ok());
        if at.is_none_or(|at| at.as_millisecond() > now + 1000) {
            client.history.violated(id, format!("`{id}` was enqueued at {}", job["enqueued_at"]), None);
        }
    }
}

/// Each acknowledged job is there once.
fn enqueued(client: &Client, facts: &Facts, jobs: &BTreeMap<String, Value>, may_be_lost: &MayBeLost) -> u64 {
    let mut count: BTreeMap<u64, u64> = BTreeMap::new();
    for job in jobs.values() {
        *count.entry(job["payload"].as_u64().unwrap_or(u64::MAX)).or_default() += 1;
    }
    let mut lost = 0;
    for (number, acked) in &facts.jobs {
        match (count.remove(number).unwrap_or(0), *acked) {
            (1, _) | (0, None) => {}
            (0, acked) if !is_sure(acked, may_be_lost) => lost += 1,
            (count, acked) => {
                let text = format!("the job with payload {number} is there {count} times, acknowledged: {acked:?}");
                client.history.violated(&format!("payload {number}"), text, acked);
            }
        }
    }
    if !count.is_empty() {
        client.history.violated("", format!("jobs that nobody sent: {count:?}"), None);
    }
    lost
}

/// What was acked is completed by that attempt alone, and no ack came too late.
fn acked(client: &Client, facts: &Facts, jobs: &BTreeMap<String, Value>, may_be_lost: &MayBeLost) -> u64 {
    let (mut lost, mut by_job) = (0, BTreeMap::<&str, BTreeSet<&str>>::new());
    for ack in &facts.acks {
        let Some(at) = ack.acked else { continue };
        let state = jobs.get(&ack.job).map(|job| (job["state"].clone(), job["result"].clone()));
        let done = (json!("completed"), json!(ack.lease));
        if !is_sure(ack.acked, may_be_lost) {
            lost += u64::from(state.as_ref() != Some(&done));
            continue;
        }
        by_job.entry(&ack.job).or_default().insert(&ack.lease);
        if state.as_ref() != Some(&done) {
            let text = format!("`{}` was acked with {} at {at:?} and is {state:?}", ack.job, ack.lease);
            client.history.violated(&ack.job, text, Some(at));
        }
        if ack.first_sent > ack.lease_ends + SLACK {
            let text = format!("`{}` was acked though its lease had ended at {:?}", ack.job, ack.lease_ends);
            client.history.violated(&ack.job, text, Some(at));
        }
    }
    for (job, leases) in by_job.iter().filter(|(_, leases)| leases.len() > 1) {
        client.history.violated(job, format!("`{job}` was acked by {leases:?}"), None);
    }
    lost
}

/// What was acked is handed out no more.
fn leases(client: &Client, facts: &Facts, may_be_lost: &MayBeLost) {
    let acked: BTreeMap<&str, At> = facts
        .acks
        .iter()
        .filter(|ack| is_sure(ack.acked, may_be_lost))
        .filter_map(|ack| Some((ack.job.as_str(), ack.acked?)))
        .collect();
    for lease in &facts.leases {
        if acked.get(lease.job.as_str()).is_some_and(|at| lease.asked > *at) {
            let text = format!("`{}` was handed out as {} after it had been acked", lease.job, lease.token);
            client.history.violated(&lease.job, text, None);
        }
    }
}

/// Each entry of the closed season is paid once.
async fn season(client: &Client, facts: &Facts, may_be_lost: &MayBeLost) {
    if facts.season_closed.is_none() || !is_sure(facts.season_closed, may_be_lost) {
        return;
    }
    let begun = client.history.now();
    loop {
        let paid = jobs(client, "rewards").await;
        let members: BTreeSet<&str> = paid.values().filter_map(|job| job["payload"]["member"].as_str()).collect();
        if members.len() == SEASON_ENTRIES && paid.len() == SEASON_ENTRIES {
            return;
        }
        if paid.len() > SEASON_ENTRIES || client.history.now() > begun + PATIENCE {
            let text =
                format!("{SEASON_ENTRIES} ranks are to be paid, and {} jobs pay {} of them", paid.len(), members.len());
            client.history.violated("season", text, None);
            return;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}
