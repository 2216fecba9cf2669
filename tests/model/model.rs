//! What a leaderboard is, without Redis: rows in a list, sorted by the rules.

use std::cmp::Ordering;
use std::collections::{BTreeMap, HashMap};

use ranq::leaderboard::{Operator, Order, Ranking, Settings, Submission, Ties, WantedRanks};
use ranq::types::{Member, Timestamp, WindowName};

use super::segments::{Parts, Segments};

/// Submissions that one script call takes.
const CHUNK: usize = 100;

#[derive(Debug, Clone)]
pub struct Row {
    pub member: Member,
    pub score: f64,
    pub subscores: Vec<f64>,
    /// When it was reached, in µs; never the same twice on one leaderboard.
    pub stamp_us: i64,
    pub metadata: Option<String>,
    pub parts: Parts,
}

impl Row {
    pub fn is_level_with(&self, other: &Self) -> bool {
        self.score == other.score && self.subscores == other.subscores
    }
}

/// An entry as a read gives it.
#[derive(Debug, Clone, PartialEq)]
pub struct Shown {
    pub rank: u64,
    pub member: String,
    pub score: f64,
    pub subscores: Vec<f64>,
    pub achieved_at: Option<Timestamp>,
    pub metadata: Option<String>,
    pub segments: BTreeMap<String, String>,
}

/// Where a member stands in one window after a submission.
#[derive(Debug, Clone, PartialEq)]
pub struct Stands {
    pub window: WindowName,
    pub score: f64,
    pub rank: Option<u64>,
    pub updated: bool,
    pub previous_score: Option<f64>,
    /// `None` where it was not asked for.
    pub previous_rank: Option<Option<u64>>,
}

#[derive(Debug, Clone, PartialEq)]
pub enum Refused {
    Overflow,
    Limited { retry_after_ms: u64 },
    Mismatch,
}

/// The answer to one submission: in every window, and whether it is the first one given again.
pub type Answer = Result<(Vec<Stands>, bool), Refused>;

/// A request that an idempotency key was used for, with its answers.
struct Record {
    request: String,
    answers: Vec<Answer>,
}

pub struct Model {
    pub settings: Settings,
    /// In the order of the settings, each best first.
    pub windows: Vec<(WindowName, Vec<Row>)>,
    pub segments: Segments,
    last_stamp_us: i64,
    counted_us: HashMap<Member, Vec<i64>>,
    records: BTreeMap<String, Record>,
}

fn ordered(order: Order, a: f64, b: f64) -> Ordering {
    let rising = a.partial_cmp(&b).expect("scores are numbers");
    match order {
        Order::Ascending => rising,
        Order::Descending => rising.reverse(),
    }
}

/// Which of two rows is better by score and subscores: `Less` for the first.
fn compare_values(settings: &Settings, (a, a_subs): (f64, &[f64]), (b, b_subs): (f64, &[f64])) -> Ordering {
    let columns = settings.subscores.iter().zip(a_subs.iter().zip(b_subs));
    columns.fold(ordered(settings.order, a, b), |so_far, (column, (a, b))| {
        so_far.then_with(|| ordered(column.order, *a, *b))
    })
}

/// Which of two rows is ahead: `Less` for the first.
pub fn compare(settings: &Settings, a: &Row, b: &Row) -> Ordering {
    let by_values = compare_values(settings, (a.score, &a.subscores), (b.score, &b.subscores));
    by_values.then_with(|| match settings.ties {
        Ties::Earliest => a.stamp_us.cmp(&b.stamp_us),
        Ties::Latest => b.stamp_us.cmp(&a.stamp_us),
        Ties::Member => a.member.as_str().as_bytes().cmp(b.member.as_str().as_bytes()),
    })
}

impl Model {
    pub fn new(settings: Settings) -> Self {
        let mut segments = Segments::default();
        segments.declare(&settings);
        Self {
            segments,
            windows: settings.windows.iter().map(|window| (window.name.clone(), Vec::new())).collect(),
            settings,
            last_stamp_us: 0,
            counted_us: HashMap::new(),
            records: BTreeMap::new(),
        }
    }

    /// Changes the settings, unless entries that stay forbid it.
    pub fn put(&mut self, settings: Settings) -> bool {
        let fixed = |settings: &Settings| {
            (settings.order, settings.operator, settings.ties, settings.shards, settings.subscores.clone())
        };
        let stays = |name: &WindowName| settings.windows.iter().any(|window| window.name == *name);
        let entries_stay = self.windows.iter().any(|(name, rows)| stays(name) && !rows.is_empty());
        let is_spread = settings.shards > 1 || self.settings.shards > 1;
        if (entries_stay || is_spread) && fixed(&settings) != fixed(&self.settings) {
            return false;
        }
        let mut old = std::mem::take(&mut self.windows);
        for window in &settings.windows {
            let kept = old.iter().position(|(name, _)| *name == window.name).map(|at| old.swap_remove(at).1);
            let mut rows = kept.unwrap_or_default();
            rows.truncate(settings.max_entries.map_or(usize::MAX, |keep| keep as usize));
            self.windows.push((window.name.clone(), rows));
        }
        for number in self.segments.declare(&settings) {
            for row in self.windows.iter_mut().flat_map(|(_, rows)| rows) {
                // One that stood for a combination alone is in no ranking that goes.
                if row.parts.get(&number).is_some_and(|(ranked, _)| *ranked) {
                    row.parts.remove(&number);
                }
            }
        }
        self.settings = settings;
        true
    }

    pub fn submit(&mut self, now_us: i64, submission: &Submission) -> Answer {
        let key = submission.key.as_ref().map(|key| format!("call {key}"));
        let request = serde_json::to_string(submission).expect("JSON");
        let answers =
            self.once(key, request, |model| vec![model.count(now_us, submission, WantedRanks::NewAndPrevious)]);
        answers.map_or(Err(Refused::Mismatch), |mut answers| answers.remove(0))
    }

    /// `None` where the key of the whole belongs to another request.
    pub fn submit_many(
        &mut self,
        now_us: i64,
        submissions: &[Submission],
        ranks: WantedRanks,
        key: Option<&str>,
    ) -> Option<Vec<Answer>> {
        let request = format!("{ranks:?} {}", serde_json::to_string(submissions).expect("JSON"));
        let mut answers = Vec::new();
        for (number, chunk) in submissions.chunks(CHUNK).enumerate() {
            let head = key.map(|key| format!("batch {key}"));
            if head.as_ref().and_then(|head| self.records.get(head)).is_some_and(|record| record.request != request) {
                return None;
            }
            let part = key.map(|key| format!("batch{number} {key}"));
            let given = self.once(part, request.clone(), |model| {
                chunk.iter().map(|submission| model.submit_item(now_us, submission, ranks)).collect()
            })?;
            let counted = given.iter().any(|answer| matches!(answer, Ok((_, false))));
            if let Some(head) = head.filter(|_| counted) {
                self.records.insert(head, Record { request: request.clone(), answers: Vec::new() });
            }
            answers.extend(given);
        }
        Some(answers)
    }

    fn submit_item(&mut self, now_us: i64, submission: &Submission, ranks: WantedRanks) -> Answer {
        let key = submission.key.as_ref().map(|key| format!("item {key}"));
        let request = serde_json::to_string(submission).expect("JSON");
        let answers = self.once(key, request, |model| vec![model.count(now_us, submission, ranks)]);
        answers.map_or(Err(Refused::Mismatch), |mut answers| answers.remove(0))
    }

    /// Makes a request whose key was used before give its first answers; `None` for a key of another request.
    fn once(
        &mut self,
        key: Option<String>,
        request: String,
        effect: impl FnOnce(&mut Self) -> Vec<Answer>,
    ) -> Option<Vec<Answer>> {
        if let Some(record) = key.as_ref().and_then(|key| self.records.get(key)) {
            let again = |answer: &Answer| answer.clone().map(|(stands, _)| (stands, true));
            return (record.request == request).then(|| record.answers.iter().map(again).collect());
        }
        let answers = effect(self);
        let counted = answers.iter().any(|answer| matches!(answer, Ok((_, false))));
        if let Some(key) = key.filter(|_| counted) {
            self.records.insert(key, Record { request, answers: answers.clone() });
        }
        Some(answers)
    }

    fn count(&mut self, now_us: i64, submission: &Submission, ranks: WantedRanks) -> Answer {
        if let Some(limit) = self.settings.submission_limit {
            let counted = self.counted_us.entry(submission.member.clone()).or_default();
            let free_at = counted.iter().rev().nth(limit.limit as usize - 1).map(|at| at + limit.per_ms as i64 * 1000);
            if let Some(free_at) = free_at.filter(|free_at| *free_at > now_us) {
                return Err(Refused::Limited { retry_after_ms: ((free_at - now_us) as u64).div_ceil(1000) });
            }
        }
        let offered = self.offered(submission);
        let rows_after: Option<Vec<(Row, bool)>> =
            self.windows.iter().map(|(_, rows)| operate(&self.settings, rows, &offered)).collect();
        let rows_after = rows_after.ok_or(Refused::Overflow)?;
        let parts = self.segments.learn(submission);

        let stamp_us = now_us.max(self.last_stamp_us + 1);
        let mut answer = Vec::new();
        let any_changes = rows_after.iter().any(|(_, changes)| *changes);
        for ((window, rows), (row, changes)) in self.windows.iter_mut().zip(rows_after) {
            // Where nothing is declared, an entry keeps what it had.
            let stands = rows.iter().find(|stands| stands.member == row.member);
            let parts = parts.clone().or_else(|| Some(stands?.parts.clone())).unwrap_or_default();
            answer.push(enter(&self.settings, window, rows, Row { stamp_us, parts, ..row }, changes, ranks));
        }
        if any_changes && self.settings.ties != Ties::Member {
            self.last_stamp_us = stamp_us;
        }
        if self.settings.submission_limit.is_some() {
            self.counted_us.entry(submission.member.clone()).or_default().push(now_us);
        }
        Ok((answer, false))
    }

    fn offered(&self, submission: &Submission) -> Row {
        let columns = self.settings.subscores.iter();
        Row {
            member: submission.member.clone(),
            score: submission.score.value(),
            subscores: columns.map(|column| submission.subscores[column.name.as_str()].value()).collect(),
            stamp_us: 0,
            metadata: submission.metadata.as_ref().map(|metadata| metadata.as_str().to_owned()),
            parts: Parts::new(),
        }
    }

    /// Whether the member stood anywhere.
    pub fn remove(&mut self, member: &Member) -> bool {
        let mut stood = false;
        self.segments.forget(member);
        for (_, rows) in &mut self.windows {
            let before = rows.len();
            rows.retain(|row| row.member != *member);
            stood |= rows.len() < before;
        }
        stood
    }

    /// The rows of one value of a segment.
    pub fn rows_in(&self, window: usize, number: u64, values: &[String]) -> Vec<Row> {
        let is_in = |row: &&Row| row.parts.get(&number).is_some_and(|(ranked, of)| *ranked && of == values);
        self.windows[window].1.iter().filter(is_in).cloned().collect()
    }

    /// A ranking as reads show it.
    pub fn shown(&self, rows: &[Row], ranking: Ranking) -> Vec<Shown> {
        let mut shown: Vec<Shown> = Vec::new();
        for (place, row) in rows.iter().enumerate() {
            let above = place.checked_sub(1).map(|above| (shown[above].rank, rows[above].is_level_with(row)));
            let rank = match (ranking, above) {
                (Ranking::Competition | Ranking::Dense, Some((rank, true))) => rank,
                (Ranking::Dense, Some((rank, false))) => rank + 1,
                (Ranking::Ordinal | Ranking::Competition, Some(_)) | (_, None) => place as u64 + 1,
            };
            shown.push(Shown {
                rank,
                member: row.member.as_str().to_owned(),
                score: row.score,
                subscores: row.subscores.clone(),
                achieved_at: (self.settings.ties != Ties::Member).then(|| Timestamp::from_millis(row.stamp_us / 1000)),
                metadata: row.metadata.clone(),
                segments: self.segments.shown(&row.parts),
            });
        }
        shown
    }

    /// How many entries are ahead of a score that is new, and the rank that it would have.
    pub fn stand_of(&self, rows: &[Row], score: f64, ranking: Ranking) -> (usize, u64) {
        let place = self.place_of(rows, score);
        let better = |row: &&Row| ordered(self.settings.order, row.score, score) == Ordering::Less;
        let better: Vec<&Row> = rows.iter().filter(better).collect();
        let levels = better.chunk_by(|above, below| above.is_level_with(below)).count();
        let ahead = match ranking {
            Ranking::Ordinal => place,
            Ranking::Competition => better.len(),
            Ranking::Dense => levels,
        };
        (place, ahead as u64 + 1)
    }

    fn place_of(&self, rows: &[Row], score: f64) -> usize {
        let ahead = |row: &&Row| match ordered(self.settings.order, row.score, score) {
            Ordering::Less => true,
            Ordering::Equal => self.settings.ties != Ties::Latest,
            Ordering::Greater => false,
        };
        rows.iter().filter(ahead).count()
    }
}

/// The row after the operator, and whether it is another than before; `None` where a sum leaves the range of a double.
fn operate(settings: &Settings, rows: &[Row], offered: &Row) -> Option<(Row, bool)> {
    let Some(old) = rows.iter().find(|row| row.member == offered.member) else {
        return Some((offered.clone(), true));
    };
    let (old_values, new_values) = ((old.score, &old.subscores[..]), (offered.score, &offered.subscores[..]));
    match settings.operator {
        Operator::Best if compare_values(settings, new_values, old_values) == Ordering::Less => {
            Some((offered.clone(), true))
        }
        Operator::Latest if !offered.is_level_with(old) => Some((offered.clone(), true)),
        Operator::Best | Operator::Latest => Some((old.clone(), false)),
        Operator::Sum => {
            let subscores = old.subscores.iter().zip(&offered.subscores).map(|(a, b)| a + b).collect();
            let sum = Row { score: old.score + offered.score, subscores, ..offered.clone() };
            let finite = sum.score.is_finite() && sum.subscores.iter().all(|value| value.is_finite());
            let changes = !sum.is_level_with(old);
            finite.then(|| if changes { (sum, true) } else { (old.clone(), false) })
        }
    }
}

fn enter(
    settings: &Settings,
    window: &WindowName,
    rows: &mut Vec<Row>,
    row: Row,
    changes: bool,
    ranks: WantedRanks,
) -> Stands {
    let (member, score) = (row.member.clone(), row.score);
    let rank_in = |rows: &[Row]| rows.iter().position(|row| row.member == member).map(|place| place as u64 + 1);
    let old = rank_in(rows).map(|rank| rank as usize - 1);
    let previous_score = old.map(|at| rows[at].score);
    let previous_rank = match ranks {
        WantedRanks::NewAndPrevious => Some(rank_in(rows)),
        WantedRanks::None | WantedRanks::New => None,
    };
    if changes {
        old.map(|at| rows.remove(at));
        let at = rows.partition_point(|other| compare(settings, other, &row) == Ordering::Less);
        rows.insert(at, row);
        rows.truncate(settings.max_entries.map_or(usize::MAX, |keep| keep as usize));
    } else if let Some(at) = old {
        rows[at].parts = row.parts;
    }
    let rank = rank_in(rows);
    Stands {
        window: window.clone(),
        score,
        rank: rank.filter(|_| ranks != WantedRanks::None),
        updated: changes && rank.is_some(),
        previous_score,
        previous_rank,
    }
}
