//! Finished jobs on their way to the archive: in from the scripts that finish them, out by what is written.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use super::job::Job;
use super::{Queues, record};
use crate::config::WhenFull;
use crate::error::Result;
use crate::types::{EntryId, JobId, QueueName, Timestamp};

/// How many finished jobs of a queue may be on their way, and what gives way beyond.
#[derive(Debug, Clone, Copy)]
pub struct Outbox {
    /// How many.
    pub most: u64,
    /// What becomes of the next one.
    pub when_full: WhenFull,
}

impl Outbox {
    pub(super) fn drops_oldest(self) -> bool {
        match self.when_full {
            WhenFull::Block => false,
            WhenFull::DropOldest => true,
        }
    }
}

/// An entry on its way to the archive.
#[derive(Debug)]
pub struct Outgoing {
    /// Its id.
    pub entry: EntryId,
    /// What has happened; an error where its record cannot be read.
    pub news: Result<News>,
    /// The size of the record.
    pub bytes: usize,
}

/// What the archive is to know.
#[derive(Debug)]
pub enum News {
    /// A job as it finished.
    Finished(Box<Job>),
    /// Finished jobs that were deleted.
    Withdrawn(Withdrawn),
}

/// Finished jobs that were deleted by hand.
#[derive(Debug)]
pub struct Withdrawn {
    /// Of this queue.
    pub queue: QueueName,
    /// When.
    pub at: Timestamp,
    /// Which.
    pub ids: Vec<JobId>,
}

impl Outgoing {
    /// How many jobs it is about.
    pub fn count(&self) -> u64 {
        match &self.news {
            Ok(News::Withdrawn(withdrawn)) => withdrawn.ids.len() as u64,
            Ok(News::Finished(_)) | Err(_) => 1,
        }
    }
}

/// What is left in an outbox.
#[derive(Debug)]
pub struct Left {
    /// How many jobs.
    pub waiting: u64,
    /// How many made room since the last time, and are lost to the archive.
    pub dropped: u64,
}

/// The queues that were seen to have something for the archive.
#[derive(Debug, Clone, Default)]
pub(super) struct Unarchived(Arc<Mutex<BTreeMap<QueueName, u64>>>);

impl Unarchived {
    pub(super) fn note(&self, name: &QueueName, count: u64) {
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match count {
            0 => drop(seen.remove(name)),
            _ => drop(seen.insert(name.clone(), count)),
        }
    }

    fn names(&self) -> Vec<QueueName> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).keys().cloned().collect()
    }
}

impl Queues {
    /// Queues that have something for the archive, those among them that were deleted since.
    ///
    /// # Errors
    ///
    /// Those of the store.
    pub async fn unarchived(&self) -> Result<Vec<QueueName>> {
        let mut names = self.unarchived.as_ref().map(Unarchived::names).unwrap_or_default();
        names.extend(self.store.unarchived().await?);
        names.sort();
        names.dedup();
        Ok(names)
    }

    /// The oldest of what the archive is to know of a queue, behind an entry where one is given; and whether there may be more:
    /// many, or large ones, come in several calls.
    ///
    /// # Errors
    ///
    /// Those of the store.
    pub async fn to_archive(
        &self,
        name: &QueueName,
        behind: Option<EntryId>,
        most: u64,
    ) -> Result<(Vec<Outgoing>, bool)> {
        let from = behind.map(EntryId::next).unwrap_or_default();
        let (entries, has_more) = self.store.to_archive(name, from, most).await?;
        let outgoing = entries.into_iter().map(|(entry, id, record)| Outgoing {
            entry,
            bytes: record.len(),
            news: if id.is_empty() {
                record::read_withdrawn(name, &record).map(News::Withdrawn)
            } else {
                record::read(name, id, &record, false).map(|job| News::Finished(Box::new(job)))
            },
        });
        Ok((outgoing.collect(), has_more))
    }

    /// Whether a finished job that is not here any more was deleted: then it has left the archive, or is about to.
    ///
    /// # Errors
    ///
    /// Those of the store.
    pub async fn is_withdrawn(&self, name: &QueueName, id: &JobId) -> Result<bool> {
        self.store.is_withdrawn(name, id).await
    }

    /// Takes out what has been archived, up to an entry; jobs that waited for room take its place.
    ///
    /// # Errors
    ///
    /// Those of the store.
    pub async fn archived(&self, name: &QueueName, upto: Option<EntryId>) -> Result<Left> {
        let (left, is_there) = self.store.archived(name, upto.map(EntryId::next).unwrap_or_default()).await?;
        if !is_there && left.waiting == 0 {
            self.store.unlist_unarchived(name).await?;
        }
        if let Some(unarchived) = &self.unarchived {
            unarchived.note(name, left.waiting);
        }
        Ok(left)
    }
}
