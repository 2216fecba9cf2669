//! Submissions, and what they lead to.

use std::collections::BTreeMap;

use serde::Serialize;
use sha2::{Digest, Sha256};

use super::settings::Settings;
use super::{order_key, segments};
use crate::error::{Error, Fault, Result};
use crate::types::{IdempotencyKey, Member, Metadata, Score, WindowName};

/// The period of a window that has no reset.
pub const OPEN_PERIOD: &str = "open";

/// A member's score for a leaderboard.
#[derive(Debug, Clone, Serialize)]
pub struct Submission {
    /// Whose score it is.
    pub member: Member,
    /// The score.
    pub score: Score,
    /// The further columns by name.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub subscores: BTreeMap<String, Score>,
    /// What belongs to the score.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metadata: Option<Metadata>,
    /// What describes the member.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub segments: BTreeMap<String, String>,
    /// The periods that it is meant for, by window.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub if_period: BTreeMap<String, String>,
    /// Makes it count once.
    #[serde(skip)]
    pub key: Option<IdempotencyKey>,
}

/// Tells one request from another under the same idempotency key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fingerprint(Vec<u8>);

impl Fingerprint {
    /// The fingerprint of a request that does `what` with these submissions.
    pub fn of<'a>(what: &str, submissions: impl Iterator<Item = &'a Submission>) -> Self {
        let mut hash = Sha256::new();
        hash.update(what);
        for submission in submissions {
            hash.update([0]);
            hash.update(serde_json::to_vec(submission).unwrap_or_default());
        }
        Self(hash.finalize()[..16].to_vec())
    }

    /// The bytes to compare.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

/// A submission that keeps to the leaderboard's rules, in the form in which the ranking keeps it.
#[derive(Debug)]
pub(super) struct Row {
    pub(super) member: Member,
    pub(super) ranked: Score,
    pub(super) sub_key: Vec<u8>,
    pub(super) metadata: Option<Metadata>,
    /// What describes the member, by dimension.
    pub(super) segments: BTreeMap<String, String>,
    /// The periods that it is meant for, by window.
    pub(super) if_period: BTreeMap<String, String>,
    /// The key, what kind of request it was given for, and the fingerprint.
    pub(super) key: Option<(IdempotencyKey, &'static str, Fingerprint)>,
}

impl Submission {
    /// Checks the submission against the leaderboard's settings. `part` keeps the keys of one kind of request from those
    /// of another.
    pub(super) fn to_row(&self, settings: &Settings, part: &'static str) -> Result<Row> {
        let mut faults = Vec::new();
        if settings.min_score.is_some_and(|min| self.score < min) {
            faults.push(Fault::new("/score", "is below the leaderboard's min_score"));
        }
        if settings.max_score.is_some_and(|max| self.score > max) {
            faults.push(Fault::new("/score", "is above the leaderboard's max_score"));
        }
        faults.extend(segments::value_faults(&self.segments, settings));
        let subscores = self.columns(settings, &mut faults);
        for window in self.if_period.keys() {
            if !settings.windows.iter().any(|known| known.name.as_str() == window) {
                faults.push(Fault::new(format!("/if_period/{window}"), "is not a window of this leaderboard"));
            }
        }
        if !faults.is_empty() {
            return Err(Error::Invalid(faults));
        }
        // Of windows that reset, the script knows the open period.
        let never_resets =
            |name: &str| settings.windows.iter().any(|window| window.name.as_str() == name && window.reset.is_none());
        let closed = self.if_period.iter().find(|(window, period)| *period != OPEN_PERIOD && never_resets(window));
        if let Some((window, period)) = closed {
            return Err(Error::PeriodClosed { window: window.clone(), period: period.clone() });
        }
        Ok(Row {
            member: self.member.clone(),
            ranked: settings.turned(self.score),
            sub_key: order_key::encode_subscores(&subscores, settings),
            metadata: self.metadata.clone(),
            segments: self.segments.clone(),
            if_period: self.if_period.clone(),
            key: self.key.as_ref().map(|key| (key.clone(), part, self.fingerprint(part))),
        })
    }

    /// The fingerprint of the submission as a request of this kind.
    pub(super) fn fingerprint(&self, part: &str) -> Fingerprint {
        Fingerprint::of(part, std::iter::once(self))
    }

    /// The subscores in the order of the columns.
    fn columns(&self, settings: &Settings, faults: &mut Vec<Fault>) -> Vec<Score> {
        for name in self.subscores.keys() {
            if !settings.subscores.iter().any(|column| column.name.as_str() == name) {
                faults.push(Fault::new(format!("/subscores/{name}"), "is not a subscore of this leaderboard"));
            }
        }
        let mut values = Vec::with_capacity(settings.subscores.len());
        for column in &settings.subscores {
            match self.subscores.get(column.name.as_str()) {
                Some(value) => values.push(*value),
                None => faults.push(Fault::new(format!("/subscores/{}", column.name), "is missing")),
            }
        }
        values
    }
}

/// Which ranks a submission is answered with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WantedRanks {
    /// None.
    None,
    /// The rank after it.
    New,
    /// The ranks before and after it.
    NewAndPrevious,
}

/// Where a member stands in one window after a submission.
#[derive(Debug, Clone, PartialEq)]
pub struct WindowStanding {
    /// The window.
    pub window: WindowName,
    /// Its period.
    pub period: String,
    /// The standing score, after the operator.
    pub score: Score,
    /// The rank; `None` where none was asked for or `max_entries` keeps the entry out.
    pub rank: Option<u64>,
    /// Whether the submission changed the entry.
    pub updated: bool,
    /// The score and rank before it; `None` for the first entry of the member.
    pub previous: Option<(Score, Option<u64>)>,
}

/// What a submission led to.
#[derive(Debug, Clone, PartialEq)]
pub struct Standing {
    /// Whose.
    pub member: Member,
    /// In each window, the leaderboard's first one first; never empty.
    pub windows: Vec<WindowStanding>,
    /// Whether this is the first answer given again.
    pub replayed: bool,
}
