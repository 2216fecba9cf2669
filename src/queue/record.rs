//! Records of jobs as they are kept: MessagePack values one after another. lua/_job.lua names them.

use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};

use rmp::Marker;
use rmp::encode::{write_nil, write_str, write_uint};

use super::job::{AttemptError, Job, NewJob, OnDuplicate, Start, State, Unique, UniqueUntil};
use super::outbox::Withdrawn;
use crate::error::{Error, Result};
use crate::types::{JobId, JobKey, LeaseToken, QueueName, Raw, Timestamp};

/// Writes values one after another.
#[derive(Default)]
pub(super) struct Values(Vec<u8>);

impl Values {
    pub(super) fn number(mut self, value: impl Into<Option<u64>>) -> Self {
        // Writing to memory cannot fail.
        let _ = match value.into() {
            Some(value) => write_uint(&mut self.0, value).map(|_| ()).map_err(|_| ()),
            None => write_nil(&mut self.0).map_err(|_| ()),
        };
        self
    }

    pub(super) fn text<'a>(mut self, value: impl Into<Option<&'a str>>) -> Self {
        let _ = match value.into() {
            Some(value) => write_str(&mut self.0, value).map_err(|_| ()),
            None => write_nil(&mut self.0).map_err(|_| ()),
        };
        self
    }

    /// A yes as 1, a no as nothing.
    pub(super) fn flag(self, value: bool) -> Self {
        self.number(value.then_some(1))
    }

    pub(super) fn bytes(self) -> Vec<u8> {
        self.0
    }
}

/// The part of a new job's record that never changes.
pub(super) fn tail(job: &NewJob) -> Vec<u8> {
    let unique = job.unique.as_ref();
    let until = unique.map(|unique| match unique.until {
        Some(UniqueUntil::Done) => 1,
        Some(UniqueUntil::Started) => 2,
        None => 3,
    });
    Values::default()
        .text(unique.map(|unique| unique.key.as_str()))
        .number(until)
        .number(unique.and_then(|unique| unique.for_ms))
        .text(job.key.as_ref().map(JobKey::as_str))
        .number(job.expires_in_ms)
        .text(job.headers.as_ref().map(Raw::as_str))
        .text(job.payload.as_str())
        .bytes()
}

/// What a new job asks for beyond the plain; empty for a plain one whose id the service made.
pub(super) fn options(job: &NewJob) -> Vec<u8> {
    let (delay, run_at) = match job.start {
        Start::Now => (None, None),
        Start::After(delay) => (Some(delay).filter(|delay| *delay > 0), None),
        Start::At(time) => (None, u64::try_from(time.as_millis()).ok()),
    };
    let plain = job.id.is_none()
        && delay.is_none()
        && run_at.is_none()
        && job.unique.is_none()
        && job.key.is_none()
        && job.expires_in_ms.is_none();
    if plain {
        return Vec::new();
    }
    let replace = job.unique.as_ref().is_some_and(|Unique { on_duplicate, .. }| *on_duplicate == OnDuplicate::Replace);
    Values::default()
        .flag(job.id.is_some())
        .number(delay)
        .number(run_at)
        .text(job.unique.as_ref().map(|unique| unique.key.as_str()))
        .flag(replace)
        .text(job.key.as_ref().map(JobKey::as_str))
        .number(job.expires_in_ms)
        .bytes()
}

/// Reads values one after another.
struct Reader<'a>(&'a [u8]);

enum Field<'a> {
    Nothing,
    Number(u64),
    Text(&'a [u8]),
}

fn unreadable() -> Error {
    Error::Internal("the record of a job cannot be read".to_owned())
}

impl<'a> Reader<'a> {
    fn take(&mut self, length: usize) -> Result<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(length).ok_or_else(unreadable)?;
        self.0 = rest;
        Ok(taken)
    }

    /// An unsigned integer of so many bytes, the highest first.
    fn unsigned(&mut self, bytes: usize) -> Result<u64> {
        Ok(self.take(bytes)?.iter().fold(0, |number, byte| number << 8 | u64::from(*byte)))
    }

    fn next(&mut self) -> Result<Field<'a>> {
        let marker = Marker::from_u8(self.take(1)?[0]);
        let length = match marker {
            Marker::Null => return Ok(Field::Nothing),
            Marker::FixPos(number) => return Ok(Field::Number(number.into())),
            Marker::U8 => return self.unsigned(1).map(Field::Number),
            Marker::U16 => return self.unsigned(2).map(Field::Number),
            Marker::U32 => return self.unsigned(4).map(Field::Number),
            Marker::U64 => return self.unsigned(8).map(Field::Number),
            Marker::F64 => return Ok(Field::Number(f64::from_bits(self.unsigned(8)?) as u64)),
            Marker::FixStr(length) => u64::from(length),
            Marker::Str8 | Marker::Bin8 => self.unsigned(1)?,
            Marker::Str16 | Marker::Bin16 => self.unsigned(2)?,
            Marker::Str32 | Marker::Bin32 => self.unsigned(4)?,
            _ => return Err(unreadable()),
        };
        self.take(usize::try_from(length).map_err(|_| unreadable())?).map(Field::Text)
    }

    fn number(&mut self) -> Result<Option<u64>> {
        match self.next()? {
            Field::Nothing => Ok(None),
            Field::Number(number) => Ok(Some(number)),
            Field::Text(_) => Err(unreadable()),
        }
    }

    fn bytes(&mut self) -> Result<Option<&'a [u8]>> {
        match self.next()? {
            Field::Nothing => Ok(None),
            Field::Text(text) => Ok(Some(text)),
            Field::Number(_) => Err(unreadable()),
        }
    }

    fn text(&mut self) -> Result<Option<String>> {
        self.bytes()?.map(|text| String::from_utf8(text.to_vec()).map_err(|_| unreadable())).transpose()
    }

    fn named<T: TryFrom<String>>(&mut self) -> Result<Option<T>> {
        self.text()?.map(|text| T::try_from(text).map_err(|_| unreadable())).transpose()
    }

    fn raw(&mut self) -> Result<Option<Raw>> {
        self.text()?.map(|text| Raw::from_stored(text).ok_or_else(unreadable)).transpose()
    }

    fn time(&mut self) -> Result<Option<Timestamp>> {
        Ok(self.number()?.map(millis))
    }

    fn small<T: TryFrom<u64>>(&mut self) -> Result<T> {
        self.number()?.and_then(|number| T::try_from(number).ok()).ok_or_else(unreadable)
    }
}

/// A time of a script.
pub(super) fn millis(millis: u64) -> Timestamp {
    Timestamp::from_millis(i64::try_from(millis).unwrap_or(i64::MAX))
}

fn state(number: u64) -> Result<State> {
    match number {
        1 => Ok(State::Scheduled),
        2 => Ok(State::Ready),
        3 => Ok(State::Active),
        4 => Ok(State::Completed),
        5 => Ok(State::Dead),
        6 => Ok(State::Cancelled),
        _ => Err(unreadable()),
    }
}

fn errors(packed: &[u8]) -> Result<Vec<AttemptError>> {
    let mut reader = Reader(packed);
    let mut errors = Vec::new();
    while !reader.0.is_empty() {
        let at = reader.time()?.ok_or_else(unreadable)?;
        errors.push(AttemptError { at, attempt: reader.small()?, error: reader.text()?.unwrap_or_default() });
    }
    Ok(errors)
}

/// Reads the record of a job; with its lease only where that is for the reader.
pub(super) fn read(queue: &QueueName, id: String, record: &[u8], with_lease: bool) -> Result<Job> {
    let mut reader = Reader(record);
    let state = state(reader.small()?)?;
    let priority = reader.small()?;
    let attempt = reader.small()?;
    let max_attempts = reader.small()?;
    let enqueued_at = reader.time()?.ok_or_else(unreadable)?;
    let run_at = reader.time()?;
    let ready_at = reader.time()?.unwrap_or(enqueued_at);
    let started_at = reader.time()?;
    let finished_at = reader.time()?;
    let deadline = reader.time()?;
    let lease: Option<LeaseToken> = reader.named()?;
    let worker = reader.named()?;
    let progress = reader.raw()?;
    let result = reader.raw()?;
    let errors = reader.bytes()?.map(errors).transpose()?.unwrap_or_default();
    let _traits = reader.number()?;
    let _place = reader.next()?;
    let unique_key = reader.named()?;
    let _unique_until = reader.number()?;
    let _unique_for_ms = reader.number()?;
    let key = reader.named()?;
    let expires_in = reader.number()?;
    let headers = reader.raw()?;
    let payload = reader.raw()?.ok_or_else(unreadable)?;
    let expires_at = expires_in.map(|after| later(enqueued_at, after));
    Ok(Job {
        id: JobId::try_from(id).map_err(|_| unreadable())?,
        queue: queue.clone(),
        state,
        payload,
        priority,
        attempt,
        max_attempts,
        enqueued_at,
        run_at,
        started_at,
        finished_at,
        lease_expires_at: deadline.filter(|_| state == State::Active),
        worker,
        progress,
        result,
        errors,
        unique_key,
        key,
        expires_at,
        headers,
        lease: lease.filter(|_| with_lease),
        duplicate: false,
        ready_at,
    })
}

/// Reads which jobs of a queue are to leave the archive.
pub(super) fn read_withdrawn(queue: &QueueName, record: &[u8]) -> Result<Withdrawn> {
    let mut reader = Reader(record);
    let at = reader.time()?.ok_or_else(unreadable)?;
    let mut ids = Vec::new();
    while !reader.0.is_empty() {
        ids.push(reader.named()?.ok_or_else(unreadable)?);
    }
    Ok(Withdrawn { queue: queue.clone(), at, ids })
}

/// The definition of a stored schedule, and when it was created.
pub(super) fn read_schedule(stored: &[u8]) -> Result<(String, Timestamp)> {
    let mut reader = Reader(stored);
    reader.bytes()?;
    let definition = reader.text()?.ok_or_else(unreadable)?;
    Ok((definition, reader.time()?.ok_or_else(unreadable)?))
}

fn later(time: Timestamp, by_ms: u64) -> Timestamp {
    Timestamp::from_millis(time.as_millis().saturating_add(i64::try_from(by_ms).unwrap_or(i64::MAX)))
}

/// The job that a new one has become.
pub(super) fn added(queue: &QueueName, new: &NewJob, id: JobId, max_attempts: u32, now: u64, run_at: u64) -> Job {
    let enqueued_at = millis(now);
    Job {
        id,
        queue: queue.clone(),
        state: if run_at > 0 { State::Scheduled } else { State::Ready },
        payload: new.payload.clone(),
        priority: new.priority,
        attempt: 0,
        max_attempts,
        enqueued_at,
        run_at: (run_at > 0).then(|| millis(run_at)),
        started_at: None,
        finished_at: None,
        lease_expires_at: None,
        worker: None,
        progress: None,
        result: None,
        errors: Vec::new(),
        unique_key: new.unique.as_ref().map(|unique| unique.key.clone()),
        key: new.key.clone(),
        expires_at: new.expires_in_ms.map(|after| later(enqueued_at, after)),
        headers: new.headers.clone(),
        lease: None,
        duplicate: false,
        ready_at: enqueued_at,
    }
}

const DIGITS: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";

/// So many random characters of Crockford's Base32.
pub(super) fn random_text(length: usize) -> String {
    (0..length).map(|_| char::from(DIGITS[fastrand::usize(..DIGITS.len())])).collect()
}

/// An id that no other job has: 10 random characters of this process, and a count.
pub(super) fn new_id() -> JobId {
    static PROCESS: LazyLock<String> = LazyLock::new(|| random_text(10));
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let mut count = COUNT.fetch_add(1, Ordering::Relaxed);
    let mut digits = [b'0'; 13];
    let mut at = digits.len();
    while count > 0 || at > digits.len() - 6 {
        at -= 1;
        digits[at] = DIGITS[(count % 32) as usize];
        count /= 32;
    }
    let number = String::from_utf8_lossy(&digits[at..]);
    JobId::try_from(format!("{}{number}", *PROCESS)).expect("at most 23 letters and digits")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn ids_differ_and_keep_their_order() {
        let ids: Vec<String> = (0..2000).map(|_| new_id().into()).collect();
        assert_eq!(ids.iter().collect::<BTreeSet<_>>().len(), ids.len());
        assert!(ids.is_sorted() && ids.iter().all(|id| id.len() == 16), "{:?}", ids.first());
    }

    #[test]
    fn a_broken_record_is_an_error() {
        let queue = QueueName::try_from("q".to_owned()).expect("a name");
        for broken in [&b""[..], b"\x01", b"\xc1", b"\xdb\xff\xff\xff\xff", &[0x01; 40]] {
            assert!(read(&queue, "a".to_owned(), broken, false).is_err(), "{broken:?}");
        }
    }
}
