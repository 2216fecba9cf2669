//! Whether what is kept of a queue holds together, and how it is mended.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use super::Queues;
use super::line::Queue;
use super::store::{Look, QueueStore, Told};
use crate::error::{Error, Result};
use crate::types::{Finding, JobId, Limit, Mend, QueueName, ScheduleName};

/// Jobs that one look checks.
const IDS_A_LOOK: usize = 50;
/// Lines of keys that one look checks: each is searched for in a LIST.
const LINES_A_LOOK: usize = 20;
/// Jobs of one key whose slots are counted; of more nothing is said.
const MOST_HOLDERS: usize = 5000;
/// What lua/check.lua says of a ready job that it has not found.
const NOT_IN_LIST: &str = "is ready and in no LIST";
/// How often a job is looked at again before it counts as a fault: a job on its way from one state to the next is none.
const LOOKS: usize = 3;

/// What a check of one queue found.
#[derive(Debug, Clone)]
pub struct CheckReport {
    /// The queue.
    pub queue: QueueName,
    /// How many jobs it has.
    pub jobs: u64,
    /// What is wrong, or was.
    pub faults: Vec<Finding>,
}

/// What stands in the ready LISTs.
#[derive(Default)]
struct Ready {
    ids: HashSet<String>,
    /// Priority and key of each turn.
    turns: BTreeSet<(u8, String)>,
}

impl Queues {
    /// The names of all queues that are listed.
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

    /// Checks the list of queues: each queue that is stored is in it. Gives all names as well.
    ///
    /// # Errors
    ///
    /// Those of the store.
    pub async fn check_names(&self, mend: Mend) -> Result<(Vec<QueueName>, Vec<Finding>)> {
        let mut names: BTreeSet<QueueName> = self.names().await?.into_iter().collect();
        let mut faults = Vec::new();
        for name in self.store.names_stored().await? {
            if names.contains(&name) {
                continue;
            }
            let done = match mend {
                Mend::Nothing => "",
                Mend::WhatCanBe => {
                    self.store.list_name(&name).await?;
                    "listed again"
                }
            };
            faults.push(Finding::new(format!("queue `{name}`"), "is in no list of queues", done));
            names.insert(name);
        }
        Ok((names.into_iter().collect(), faults))
    }

    /// Checks a queue: each job is in exactly one state, no record is without a place, no place without a record, and the counts
    /// agree. The queue may be in use meanwhile.
    ///
    /// # Errors
    ///
    /// Those of the store; `NoQueue`.
    pub async fn check(&self, name: &QueueName) -> Result<CheckReport> {
        self.check_all(name, Mend::Nothing).await
    }

    /// Checks a queue, and mends what can be mended without inventing data, a little at a time.
    ///
    /// # Errors
    ///
    /// As [`Queues::check`].
    pub async fn repair(&self, name: &QueueName) -> Result<CheckReport> {
        self.check_all(name, Mend::WhatCanBe).await
    }

    async fn check_all(&self, name: &QueueName, mend: Mend) -> Result<CheckReport> {
        let mut ids = HashSet::new();
        for key in ["jobs", "scheduled", "leased", "completed", "dead", "cancelled", "expiring", "outbox"] {
            ids.extend(all_ids(&self.store, name, key).await?);
        }
        let ids: Vec<JobId> = ids
            .into_iter()
            .map(|id| JobId::try_from(id).map_err(|_| Error::Internal(format!("an id of `{name}` is none"))))
            .collect::<Result<_>>()?;
        let mut report = CheckReport { queue: name.clone(), jobs: ids.len() as u64, faults: Vec::new() };
        let Some(queue) = self.settings_of(name, &mut report, mend).await? else { return Ok(report) };
        let ready = self.all_ready(name).await?;
        for chunk in ids.chunks(IDS_A_LOOK) {
            let told = self.check_some(&queue, chunk, &ready.ids, mend).await?;
            report.faults.extend(told.into_iter().map(finding));
        }
        report.faults.extend(self.check_keys(&queue, &ids, ready.turns, mend).await?);
        report.faults.extend(self.check_schedules(&queue, mend).await?);
        Ok(report)
    }

    /// The queue with its settings; those of one that has lost them are the default ones again.
    async fn settings_of(
        &self,
        name: &QueueName,
        report: &mut CheckReport,
        mend: Mend,
    ) -> Result<Option<std::sync::Arc<Queue>>> {
        if let Some((queue, _)) = self.store.read(name).await? {
            return Ok(Some(queue));
        }
        if report.jobs == 0 {
            return Err(Error::NoQueue(name.clone()));
        }
        let wrong = "has jobs and no settings";
        match mend {
            Mend::Nothing => {
                report.faults.push(Finding::new("the queue", wrong, ""));
                Ok(None)
            }
            Mend::WhatCanBe => {
                report.faults.push(Finding::new("the queue", wrong, "has the default ones"));
                self.create(name).await.map(Some)
            }
        }
    }

    async fn all_ready(&self, name: &QueueName) -> Result<Ready> {
        let mut ready = Ready::default();
        for priority in 0..10 {
            let mut from = 0;
            loop {
                let page = self.store.ready_ids(name, priority, from).await?;
                if page.is_empty() {
                    break;
                }
                from += page.len() as u64;
                for id in page {
                    match id.strip_prefix('\u{1}') {
                        Some(key) => drop(ready.turns.insert((priority, key.to_owned()))),
                        None => drop(ready.ids.insert(id)),
                    }
                }
            }
        }
        Ok(ready)
    }

    async fn check_some(&self, queue: &Queue, ids: &[JobId], ready: &HashSet<String>, mend: Mend) -> Result<Vec<Told>> {
        let mut found = self.store.check(queue, ids, Look::Quick).await?;
        // Only those that were not seen in the LISTs are searched for.
        found.retain(|(id, text, _)| !(text == NOT_IN_LIST && ready.contains(id)));
        for look in 0..=LOOKS {
            if found.is_empty() {
                break;
            }
            let look = if look == LOOKS && mend == Mend::WhatCanBe { Look::Mend } else { Look::Search };
            let suspects: Vec<JobId> = found.iter().filter_map(|(id, ..)| JobId::try_from(id.clone()).ok()).collect();
            found = self.store.check(queue, &suspects, look).await?;
        }
        Ok(found)
    }

    /// Checks the lines, slots and turns of keys.
    async fn check_keys(
        &self,
        queue: &Queue,
        ids: &[JobId],
        mut lines: BTreeSet<(u8, String)>,
        mend: Mend,
    ) -> Result<Vec<Finding>> {
        let look = look(mend);
        let mut told = Vec::new();
        let members = all_ids(&self.store, &queue.name, "lines").await?;
        for chunk in members.chunks(IDS_A_LOOK) {
            told.extend(self.store.check_lines(queue, chunk, look).await?);
        }
        lines.extend(members.iter().filter_map(|member| line_of(member)));
        let keyed = self.store.keyed(&queue.name).await?;
        lines.extend(keyed.iter().filter_map(|(field, _)| counted_line(field)));
        if lines.is_empty() && keyed.is_empty() && queue.settings.keys.is_none() {
            return Ok(Vec::new());
        }
        told.extend(self.check_slots(queue, ids, &keyed, look).await?);
        let lines: Vec<(u8, String)> = lines.into_iter().collect();
        for chunk in lines.chunks(LINES_A_LOOK) {
            told.extend(self.store.check_turns(queue, chunk, look).await?);
        }
        Ok(told.into_iter().map(finding).collect())
    }

    async fn check_slots(
        &self,
        queue: &Queue,
        ids: &[JobId],
        keyed: &[(String, String)],
        look: Look,
    ) -> Result<Vec<Told>> {
        // The counts were read before the jobs are looked at: one that has moved meanwhile is not held against them.
        let mut holders: BTreeMap<String, (String, Vec<String>)> = keyed
            .iter()
            .filter_map(|(field, count)| Some((field.strip_prefix('r')?.to_owned(), (count.clone(), Vec::new()))))
            .collect();
        for chunk in ids.chunks(IDS_A_LOOK) {
            for (key, id) in self.store.slots(&queue.name, chunk).await?.into_iter().zip(chunk) {
                if !key.is_empty() {
                    let (_, ids) = holders.entry(key).or_insert_with(|| ("0".to_owned(), Vec::new()));
                    ids.push(id.as_str().to_owned());
                }
            }
        }
        let mut told = Vec::new();
        for (key, (count, ids)) in holders.iter().filter(|(_, (_, ids))| ids.len() <= MOST_HOLDERS) {
            told.extend(self.store.check_slots(queue, (key, count), ids, look).await?);
        }
        Ok(told)
    }

    async fn check_schedules(&self, queue: &Queue, mend: Mend) -> Result<Vec<Finding>> {
        let mut faults = Vec::new();
        for (schedule, wrong, mut done) in self.store.check_schedules(queue, look(mend)).await? {
            // What a script cannot do: the next tick is reckoned here.
            if done.is_empty()
                && mend == Mend::WhatCanBe
                && let Ok(known) = ScheduleName::try_from(schedule.clone())
            {
                let stored = self.schedule(&queue.name, &known).await?;
                self.put_schedule(&queue.name, &known, stored.settings).await?;
                "ticks from now on".clone_into(&mut done);
            }
            faults.push(Finding::new(format!("schedule `{schedule}`"), wrong, &done));
        }
        Ok(faults)
    }
}

fn look(mend: Mend) -> Look {
    match mend {
        Mend::Nothing => Look::Search,
        Mend::WhatCanBe => Look::Mend,
    }
}

fn finding((id, wrong, done): Told) -> Finding {
    let about = if id.is_empty() { "the queue:".to_owned() } else { format!("job `{id}`") };
    Finding::new(about, wrong, &done)
}

/// Priority and key of what stands in a line: key, byte 0, digit 9 minus priority, and so on.
fn line_of(member: &str) -> Option<(u8, String)> {
    let (key, rest) = member.split_once('\0')?;
    let digit = rest.chars().next()?.to_digit(10)?;
    Some((9 - u8::try_from(digit).ok()?, key.to_owned()))
}

/// Priority and key of a count of turns, `nPKEY` or `oPKEY`.
fn counted_line(field: &str) -> Option<(u8, String)> {
    let rest = field.strip_prefix(['n', 'o'])?;
    let priority = rest.chars().next()?.to_digit(10)?;
    Some((u8::try_from(priority).ok()?, rest[1..].to_owned()))
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
