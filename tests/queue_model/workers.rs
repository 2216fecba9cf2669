//! What workers and producers do, to queues and to their model.

use serde_json::json;

use super::model::{Given, Outcome, Refused};
use super::requests;
use super::run::{Checked, Run, same};
use super::service::Ms;
use super::steps::{self, Ack, Dequeue, Lease, NewJob, Sources, Then};
use super::wire::{self, Extended, Item, Items, Leased};

impl Run<'_> {
    pub async fn enqueue(&mut self, queue: usize, job: &NewJob) -> Checked {
        let body = requests::new_job(job, self.now());
        let answer = self.send("POST", &self.path(queue, "/jobs"), Some(body)).await;
        let status = if answer.status == 200 { 200 } else { 201 };
        let shown: wire::Job = answer.read(status)?;
        let outcome = self.model_enqueue(queue, job, &shown.id)?;
        let (id, status, duplicate) = match outcome {
            Outcome::New(id) => (id, 201, None),
            Outcome::Duplicate(id) => (id, 200, Some(true)),
        };
        same("the status", &answer.status, &status)?;
        same("the job", &shown, &wire::Job { duplicate, ..self.model.queues[queue].shown(&id) })
    }

    fn model_enqueue(&mut self, queue: usize, job: &NewJob, answered: &str) -> Checked<Outcome> {
        let was_there = self.model.made.iter().any(|(its_queue, id)| *its_queue == queue && id == answered);
        let now = self.now();
        let outcome = self.model.queues[queue].enqueue(job, answered, now);
        if let Outcome::New(id) = &outcome {
            if job.id.is_none() && was_there {
                return Err(format!("{id} was given to two jobs"));
            }
            self.model.made.push((queue, id.clone()));
        }
        Ok(outcome)
    }

    pub async fn enqueue_many(&mut self, queue: usize, jobs: &[NewJob]) -> Checked {
        let bodies: Vec<String> = jobs.iter().map(|job| requests::new_job(job, self.now())).collect();
        let body = format!("{{\"jobs\": [{}]}}", bodies.join(", "));
        let answer = self.send("POST", &self.path(queue, "/jobs/batch"), Some(body)).await;
        let items: Items = answer.read(200)?;
        same("the number of results", &items.results.len(), &jobs.len())?;
        for (item, job) in items.results.iter().zip(jobs) {
            let answered = item.id.as_deref().ok_or("an item without id")?;
            let outcome = self.model_enqueue(queue, job, answered)?;
            let (id, status, duplicate) = match &outcome {
                Outcome::New(id) => (id, 201, None),
                Outcome::Duplicate(id) => (id, 200, Some(true)),
            };
            same("an item", &(item.status, answered, item.duplicate), &(status, id.as_str(), duplicate))?;
            same("whether an item failed", &item.problem.is_some(), &false)?;
        }
        Ok(())
    }

    pub async fn dequeue(&mut self, dequeue: &Dequeue) -> Checked {
        let now = self.now();
        let acks = self.resolve(&dequeue.acks);
        let (path, queues, together) = match dequeue.from {
            Sources::One(queue) => (self.path(queue, "/dequeue"), vec![queue], None),
            Sources::Both(first) => {
                let queues = vec![first, 1 - first];
                let names = queues.iter().map(|queue| self.model.queues[*queue].name.clone()).collect::<Vec<_>>();
                ("/v1/dequeue".to_owned(), queues, Some(names))
            }
        };
        let worker = dequeue.worker.map(steps::worker);
        let body = requests::dequeue(dequeue.limit, dequeue.lease_ms, worker, &acks, together.as_deref());
        let answer: Leased = self.send("POST", &path, Some(body)).await.read(200)?;

        let expected: Vec<_> = acks.iter().map(|(given, result)| self.model_ack(&queues, given, *result)).collect();
        match &answer.acked {
            Some(items) => compare_acks(items, &acks, &expected)?,
            None => same("the number of acks", &0, &acks.len())?,
        }
        for queue in &queues {
            self.unsettled |= self.model.queues[*queue].do_due(now);
        }
        let mut left = dequeue.limit;
        let mut jobs = answer.jobs.into_iter().peekable();
        for &queue in &queues {
            let name = self.model.queues[queue].name.clone();
            while let Some(job) = jobs.next_if(|job| job.queue == name) {
                left = left.checked_sub(1).ok_or("more jobs than asked for")?;
                self.take(queue, job, dequeue.lease_ms, worker)?;
            }
            let queue = &self.model.queues[queue];
            if let Some(job) = queue.leasable(now).filter(|_| left > 0 && queue.room(now) > 0) {
                return Err(format!("{} was not leased", job.id));
            }
        }
        jobs.next().map_or(Ok(()), |job| Err(format!("{} comes from a queue that has had its turn", job.id)))
    }

    /// Leases in the model what the service has leased.
    fn take(&mut self, queue: usize, mut job: wire::Job, lease_ms: Option<Ms>, worker: Option<&str>) -> Checked {
        let now = self.now();
        let token = job.lease.take().ok_or("a leased job without lease")?;
        if self.model.given.iter().any(|given| given.token == token) {
            return Err(format!("the lease {token} was given twice"));
        }
        let its_queue = &mut self.model.queues[queue];
        its_queue.may_lease(&job.id, now)?;
        its_queue.lease(&job.id, &token, lease_ms, worker, now);
        same("a leased job", &job, &its_queue.shown(&job.id))?;
        self.model.given.push(Given { queue, id: job.id, token });
        Ok(())
    }

    /// The leases of acks, without those that there are not.
    fn resolve<'a>(&self, acks: &'a [Ack]) -> Vec<(Given, Option<&'a str>)> {
        let resolved =
            acks.iter().map(|ack| Some((self.model.lease(ack.lease, self.now())?, ack.result.map(steps::json))));
        resolved.flatten().collect()
    }

    /// An ack that is sent to some queues, of which one may have given the lease.
    fn model_ack(&mut self, queues: &[usize], given: &Given, result: Option<&str>) -> Result<(), Refused> {
        let now = self.now();
        let mut refused = Refused::NotFound;
        for queue in queues {
            match self.model.queues[*queue].ack(&given.id, &given.token, result, now) {
                Err(Refused::NotFound) => {}
                Err(other) => refused = other,
                Ok(()) => return Ok(()),
            }
        }
        Err(refused)
    }

    pub async fn ack(&mut self, ack: &Ack) -> Checked {
        let Some((given, result)) = self.resolve(std::slice::from_ref(ack)).pop() else { return Ok(()) };
        let path = self.job_path(given.queue, &given.id, "/ack");
        let answer = self.send("POST", &path, Some(requests::settle(&given.token, &[("result", result)]))).await;
        let expected = self.model_ack(&[given.queue], &given, result);
        self.compare_job(given.queue, &given.id, &answer, expected)
    }

    pub async fn acks(&mut self, queue: usize, acks: &[Ack]) -> Checked {
        let acks = self.resolve(acks);
        let body = requests::acks(&acks);
        let answer: Items = self.send("POST", &self.path(queue, "/acks"), Some(body)).await.read(200)?;
        let expected: Vec<_> = acks.iter().map(|(given, result)| self.model_ack(&[queue], given, *result)).collect();
        compare_acks(&answer.results, &acks, &expected)
    }

    pub async fn nack(&mut self, lease: Lease, error: Option<usize>, then: Then) -> Checked {
        let Some(given) = self.model.lease(lease, self.now()) else { return Ok(()) };
        let (now, error) = (self.now(), error.map(steps::error));
        let quoted = error.as_ref().map(|error| json!(error).to_string());
        let retry_in_ms = if let Then::In(ms) = then { Some(ms.to_string()) } else { None };
        let dead = matches!(then, Then::Dead).then_some("true");
        let fields = [("error", quoted.as_deref()), ("retry_in_ms", retry_in_ms.as_deref()), ("dead", dead)];
        let path = self.job_path(given.queue, &given.id, "/nack");
        let answer = self.send("POST", &path, Some(requests::settle(&given.token, &fields))).await;
        let queue = &mut self.model.queues[given.queue];
        let expected = queue.nack(&given.id, &given.token, error.as_deref(), then, now);
        self.compare_job(given.queue, &given.id, &answer, expected)
    }

    pub async fn extend(&mut self, lease: Lease, lease_ms: Option<Ms>, progress: Option<usize>) -> Checked {
        let Some(given) = self.model.lease(lease, self.now()) else { return Ok(()) };
        let (now, progress) = (self.now(), progress.map(steps::json));
        let wanted = lease_ms.map(|ms| ms.to_string());
        let body = requests::settle(&given.token, &[("lease_ms", wanted.as_deref()), ("progress", progress)]);
        let answer = self.send("POST", &self.job_path(given.queue, &given.id, "/extend"), Some(body)).await;
        let queue = &mut self.model.queues[given.queue];
        match queue.extend(&given.id, &given.token, lease_ms, progress, now) {
            Ok((deadline, cancelled)) => {
                let extended: Extended = answer.read(200)?;
                let deadline = deadline.map_or_else(|| extended.lease_expires_at.clone(), steps::written);
                same("what was extended", &extended, &Extended { lease_expires_at: deadline, cancelled })
            }
            Err(refused) => answer.refuses(refused.problem()),
        }
    }
}

fn compare_acks(items: &[Item], acks: &[(Given, Option<&str>)], expected: &[Result<(), Refused>]) -> Checked {
    same("the number of acks", &items.len(), &acks.len())?;
    for ((item, (given, _)), expected) in items.iter().zip(acks).zip(expected) {
        same("the id of an ack", &item.id.as_deref(), &Some(&given.id))?;
        let (status, slug) = expected.map_or_else(Refused::problem, |()| (200, ""));
        let is_right = match &item.problem {
            Some(problem) => item.status == status && problem.is(status, slug),
            None => (item.status, status) == (200, 200),
        };
        if !is_right {
            return Err(format!("expected {expected:?} for the ack of {}, got {item:?}", given.id));
        }
    }
    Ok(())
}
