//! Whether what is kept of a queue holds together.

use std::collections::HashSet;

use super::store::QueueStore;
use super::{Queues, State};
use crate::error::{Error, Result};
use crate::types::{JobId, Limit, QueueName};

/// Jobs that one look checks.
const IDS_A_LOOK: usize = 50;
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
        let mut faults = Vec::new();
        for chunk in ids.chunks(IDS_A_LOOK) {
            faults.extend(self.check_some(name, chunk).await?);
        }
        let figures = self.get(name).await?.figures;
        if figures.count(State::Ready) > figures.counts.iter().sum()
            || figures.counts.iter().any(|count| *count > 1 << 53)
        {
            faults.push(Fault { job: String::new(), text: "there are more places than jobs".to_owned() });
        }
        Ok(CheckReport { queue: name.clone(), jobs: ids.len() as u64, faults })
    }

    async fn check_some(&self, name: &QueueName, ids: &[JobId]) -> Result<Vec<Fault>> {
        let mut found = self.store.check(name, ids).await?;
        for _ in 1..LOOKS {
            if found.is_empty() {
                break;
            }
            let suspects: Vec<JobId> = found.iter().filter_map(|(id, _)| JobId::try_from(id.clone()).ok()).collect();
            found = self.store.check(name, &suspects).await?;
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
