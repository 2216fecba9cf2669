//! Whether what is kept of a queue holds together.

use std::collections::HashSet;

use super::store::QueueStore;
use super::{Queues, State};
use crate::error::{Error, Result};
use crate::types::{JobId, Limit, QueueName};

/// Jobs that one look checks.
const IDS_A_LOOK: usize = 50;
/// What lua/check.lua says of a ready job that it has not found.
const NOT_IN_LIST: &str = "is ready and in no LIST";
/// How often a job is looked at again before it counts as a fault: a job on its way from one state to the next is none.
const LOOKS: usize = 3;

/// Something that must not be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// The job.
    pub job: String,
    /// What is wrong with it.
    pub text: String,
}

/// What a check of one queue found.
#[derive(Debug, Clone)]
pub struct CheckReport {
    /// The queue.
    pub queue: QueueName,
    /// How many jobs it has.
    pub jobs: u64,
    /// What is wrong.
    pub faults: Vec<Fault>,
}

impl Queues {
    /// The names of all queues.
    ///
    /// # Errors
    ///
    /// Those of the store.
    pub async fn names(&self) -> Result<Vec<QueueName>> {
        let mut names: Vec<QueueName> = Vec::new();
        loop {
            let (mut page, more) = self.store.names(names.last().map(QueueName::as_str), Limit::MOST).await?;
            names.append(&mut page);
            if !more {
                return Ok(names);
            }
        }
    }

    /// Checks a queue: each job is in exactly one state, no record is without a place, no place without a record, and the counts
    /// agree. The queue may be in use meanwhile.
    ///
    /// # Errors
    ///
    /// Those of the store; `NoQueue`.
    pub async fn check(&self, name: &QueueName) -> Result<CheckReport> {
        let mut ids = HashSet::new();
        for key in ["jobs", "scheduled", "leased", "completed", "dead", "cancelled", "expiring", "outbox"] {
            ids.extend(all_ids(&self.store, name, key).await?);
        }
        let ids: Vec<JobId> = ids
            .into_iter()
            .map(|id| JobId::try_from(id).map_err(|_| Error::Internal(format!("an id of `{name}` is none"))))
            .collect::<Result<_>>()?;
        let ready = self.all_ready(name).await?;
        let mut faults = Vec::new();
        for chunk in ids.chunks(IDS_A_LOOK) {
            faults.extend(self.check_some(name, chunk, &ready).await?);
        }
        let figures = self.get(name).await?.figures;
        if figures.count(State::Ready) > figures.counts.iter().sum()
            || figures.counts.iter().any(|count| *count > 1 << 53)
        {
            faults.push(Fault { job: String::new(), text: "there are more places than jobs".to_owned() });
        }
        Ok(CheckReport { queue: name.clone(), jobs: ids.len() as u64, faults })
    }

    /// What stands in the ready LISTs.
    async fn all_ready(&self, name: &QueueName) -> Result<HashSet<String>> {
        let mut ready = HashSet::new();
        for priority in 0..10 {
            let mut from = 0;
            loop {
                let page = self.store.ready_ids(name, priority, from).await?;
                if page.is_empty() {
                    break;
                }
                from += page.len() as u64;
                ready.extend(page);
            }
        }
        Ok(ready)
    }

    async fn check_some(&self, name: &QueueName, ids: &[JobId], ready: &HashSet<String>) -> Result<Vec<Fault>> {
        let mut found = self.store.check(name, ids, false).await?;
        // Only those that were not seen in the LISTs are searched for.
        found.retain(|(id, text)| !(text == NOT_IN_LIST && ready.contains(id)));
        for _ in 0..LOOKS {
            if found.is_empty() {
                break;
            }
            let suspects: Vec<JobId> = found.iter().filter_map(|(id, _)| JobId::try_from(id.clone()).ok()).collect();
            found = self.store.check(name, &suspects, true).await?;
        }
        Ok(found.into_iter().map(|(job, text)| Fault { job, text }).collect())
    }
}

async fn all_ids(store: &QueueStore, name: &QueueName, key: &str) -> Result<Vec<String>> {
    let (mut cursor, mut ids) = ("0".to_owned(), Vec::new());
    loop {
        let (next, mut page) = store.scan_ids(name, key, &cursor).await?;
        ids.append(&mut page);
        if next == "0" {
            return Ok(ids);
        }
        cursor = next;
    }
}
