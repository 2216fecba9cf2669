//! Reads all there is to read of queues and compares it with the model.

use super::run::{Checked, Run, same};
use super::wire::{self, Page, State};

impl Run<'_> {
    /// Compares both queues, in pages of so many jobs.
    pub async fn look(&mut self, page: usize, each_job: bool) -> Checked {
        self.settle().await?;
        for queue in 0..2 {
            let shown = self.quietly("GET", &self.path(queue, ""), None).await.read(200)?;
            self.compare_queue(queue, &shown)?;
            let mut all = Vec::new();
            for state in State::ALL {
                let jobs = self.list(queue, &format!("state={}&limit={page}", state.name())).await?;
                self.compare_list(queue, state, &jobs)?;
                all.extend(jobs);
            }
            let listed = self.list(queue, &format!("limit={}", page + 1)).await?;
            same("the list of all states", &listed, &all)?;
            if each_job {
                self.compare_each(queue).await?;
            }
        }
        Ok(())
    }

    pub fn compare_queue(&self, queue: usize, shown: &wire::Queue) -> Checked {
        let expected = &self.model.queues[queue];
        same("the name", &shown.queue, &expected.name)?;
        same("the settings", &shown.settings, &expected.settings)?;
        same("paused", &shown.paused, &expected.settings.paused)?;
        same("the counts", &shown.counts, &expected.counts())?;
        let oldest_ready_ms = expected.oldest_ready_ms(self.now());
        let is_near = shown.oldest_ready_ms.is_some() && shown.oldest_ready_ms <= oldest_ready_ms;
        // Of jobs that keys hold back not each is looked at.
        if !expected.is_keyed() || !is_near {
            same("oldest_ready_ms", &shown.oldest_ready_ms, &oldest_ready_ms)?;
        }
        same("created_at", &shown.created_at, &expected.created_at())?;
        let figures = &shown.throughput;
        let all = [figures.enqueued_per_minute, figures.completed_per_minute, figures.failed_per_minute];
        same("whether figures of throughput are numbers", &all.iter().all(|figure| *figure >= 0.0), &true)
    }

    /// A whole list, page after page.
    async fn list(&mut self, queue: usize, query: &str) -> Checked<Vec<wire::Job>> {
        let mut jobs = Vec::new();
        let mut cursor = String::new();
        loop {
            let path = self.path(queue, &format!("/jobs?{query}{cursor}"));
            let page: Page = self.quietly("GET", &path, None).await.read(200)?;
            if page.jobs.is_empty() && !cursor.is_empty() && page.next_cursor.is_some() {
                return Err(format!("{path} gives nothing and yet a cursor"));
            }
            jobs.extend(page.jobs);
            match page.next_cursor {
                Some(next) => cursor = format!("&cursor={}", super::service::encoded(&next)),
                None => return Ok(jobs),
            }
        }
    }

    fn compare_list(&self, queue: usize, state: State, jobs: &[wire::Job]) -> Checked {
        let model = &self.model.queues[queue];
        let mut expected: Vec<wire::Job> = model.ids(state).iter().map(|id| model.shown(id)).collect();
        let mut jobs = jobs.to_vec();
        if state == State::Ready && model.is_keyed() {
            expected.sort_by(|one, other| one.id.cmp(&other.id));
            jobs.sort_by(|one, other| one.id.cmp(&other.id));
        }
        for (job, expected) in jobs.iter().zip(&expected) {
            same(&format!("a job of the list of {}", state.name()), job, expected)?;
        }
        same(&format!("the number of jobs that are {}", state.name()), &jobs.len(), &expected.len())
    }

    async fn compare_each(&mut self, queue: usize) -> Checked {
        let mut ids: Vec<String> =
            self.model.made.iter().filter(|(its, _)| *its == queue).map(|(_, id)| id.clone()).collect();
        ids.sort();
        ids.dedup();
        for id in ids {
            let answer = self.quietly("GET", &self.job_path(queue, &id, ""), None).await;
            let model = &self.model.queues[queue];
            if model.jobs.contains_key(&id) {
                same("a job", &answer.read(200)?, &model.shown(&id))?;
            } else {
                answer.refuses((404, "not-found"))?;
            }
        }
        Ok(())
    }
}
