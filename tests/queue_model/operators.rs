//! What operators do, to queues and to their model.

use super::requests;
use super::run::{Checked, Run, same};
use super::wire::{self, Settings, State};

impl Run<'_> {
    pub async fn put(&mut self, queue: usize, settings: Settings, status: u16) -> Checked {
        let body = serde_json::to_string(&settings).expect("JSON");
        let shown = self.send("PUT", &self.path(queue, ""), Some(body)).await.read(status)?;
        self.model.queues[queue].settings = settings;
        self.compare_queue(queue, &shown)
    }

    pub async fn retry(&mut self, queue: usize, id: &str) -> Checked {
        let answer = self.send("POST", &self.job_path(queue, id, "/retry"), None).await;
        let now = self.now();
        let expected = self.model.queues[queue].retry(id, now);
        self.compare_job(queue, id, &answer, expected)
    }

    pub async fn cancel(&mut self, queue: usize, id: &str) -> Checked {
        let answer = self.send("DELETE", &self.job_path(queue, id, ""), None).await;
        let now = self.now();
        match self.model.queues[queue].cancel(id, now) {
            Ok(()) => answer.read_nothing(),
            Err(refused) => answer.refuses(refused.problem()),
        }
    }

    pub async fn redrive(&mut self, from: usize, limit: Option<usize>, to: Option<usize>) -> Checked {
        let name = to.map(|to| self.model.queues[to].name.as_str());
        let body = requests::redrive(limit, name);
        let answer = self.send("POST", &self.path(from, "/redrive"), body).await;
        let moved: wire::Moved = answer.read(200)?;
        let now = self.now();
        let expected = self.model.redrive(from, to.unwrap_or(from), limit, now);
        same("how many were moved", &moved.moved, &expected)
    }

    pub async fn purge(&mut self, queue: usize, state: State) -> Checked {
        let path = self.path(queue, &format!("/jobs?state={}", state.name()));
        let answer = self.send("DELETE", &path, None).await;
        if state == State::Active {
            return answer.refuses((422, "invalid"));
        }
        let deleted: wire::Deleted = answer.read(200)?;
        let now = self.now();
        same("how many were deleted", &deleted.deleted, &self.model.queues[queue].purge(state, now))
    }

    pub async fn pause(&mut self, queue: usize, paused: bool) -> Checked {
        let path = self.path(queue, if paused { "/pause" } else { "/resume" });
        self.send("POST", &path, None).await.read_nothing()?;
        self.model.queues[queue].settings.paused = paused;
        Ok(())
    }
}
