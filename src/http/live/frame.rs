//! What subscribers are shown, as server-sent events (HTML Living Standard, section 9.2).

use std::fmt::Write as _;

use actix_web::web::Bytes;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Serialize;
use sha2::{Digest as _, Sha256};

use crate::error::{Error, Result};
use crate::http::members::AroundMemberView;
use crate::http::rankings::{EntryView, RankingsView};
use crate::leaderboard::{Entry, Page};
use crate::types::{LeaderboardName, Member, Radius, WindowName};

/// Entries on each side of a watched member that are known, so that it can be said who passed.
pub(super) const KNOWN_AROUND: u32 = 10;

/// A state of what is watched, written once for all subscribers.
pub(super) struct Frame {
    /// A digest of the content: the same on all instances.
    pub(super) id: String,
    /// It as the first event.
    pub(super) snapshot: Bytes,
    /// It as an event after others.
    pub(super) rankings: Bytes,
    place: Option<Place>,
}

/// Where a watched member stands, and who is known to be ahead of it.
struct Place {
    period: String,
    columns: Vec<WindowName>,
    own: Entry,
    ahead: Vec<Entry>,
}

/// That somebody has passed the watched member.
#[derive(Serialize)]
struct Overtaken<'a> {
    member: &'a Member,
    rank: u64,
    previous_rank: u64,
    by: Vec<EntryView>,
}

impl Frame {
    pub(super) fn of_top(leaderboard: &LeaderboardName, page: Page) -> Result<Self> {
        Self::new(&RankingsView::new(leaderboard.clone(), page), None)
    }

    /// The member's surroundings; `page` may hold more than are shown.
    pub(super) fn of_member(leaderboard: &LeaderboardName, page: Page, radius: Radius) -> Result<Self> {
        let at = usize::try_from(page.asked.saturating_sub(page.from)).unwrap_or(usize::MAX);
        let place = page.entries.get(at).map(|own| Place {
            period: page.period.clone(),
            columns: page.columns.clone(),
            own: own.clone(),
            ahead: page.entries[..at].iter().rev().take(KNOWN_AROUND as usize).rev().cloned().collect(),
        });
        Self::new(&AroundMemberView::new(leaderboard.clone(), page, radius), place)
    }

    /// What is shown of a member that has no entry; `page` is of any entries of the ranking.
    pub(super) fn without_member(leaderboard: &LeaderboardName, page: Page) -> Result<Self> {
        let page = Page { entries: Vec::new(), next_cursor: None, ..page };
        Self::new(&RankingsView::new(leaderboard.clone(), page), None)
    }

    fn new(view: &impl Serialize, place: Option<Place>) -> Result<Self> {
        let body = json(view)?;
        let id = URL_SAFE_NO_PAD.encode(&Sha256::digest(&body)[..12]);
        Ok(Self {
            snapshot: event("snapshot", Some(&id), &body).into(),
            rankings: event("rankings", Some(&id), &body).into(),
            id,
            place,
        })
    }

    /// The event that somebody has passed the watched member since `before`, if so. That the member's own row has changed,
    /// or a reset has come, is no overtaking.
    pub(super) fn overtaken_since(&self, before: &Self) -> Option<Bytes> {
        let (now, before) = (self.place.as_ref()?, before.place.as_ref()?);
        if now.period != before.period || now.own.rank <= before.own.rank || !same_row(&now.own, &before.own) {
            return None;
        }
        let was_ahead = |entry: &&Entry| before.ahead.iter().any(|known| known.member == entry.member);
        let by = now.ahead.iter().filter(|entry| !was_ahead(entry)).cloned();
        let overtaken = Overtaken {
            member: &now.own.member,
            rank: now.own.rank,
            previous_rank: before.own.rank,
            by: by.map(|entry| EntryView::new(entry, &now.columns)).collect(),
        };
        json(&overtaken).ok().map(|body| event("overtaken", None, &body).into())
    }
}

/// Whether a member's row was not written anew: its time stays, or where rows have none, its score.
fn same_row(one: &Entry, other: &Entry) -> bool {
    match (one.achieved_exactly, other.achieved_exactly) {
        (Some(one), Some(other)) => one == other,
        _ => one.score == other.score && one.subscores == other.subscores,
    }
}

fn json(view: &impl Serialize) -> Result<String> {
    serde_json::to_string(view).map_err(|error| Error::Internal(format!("an event has no JSON: {error}")))
}

/// An event. Metadata is kept as it was sent, with line breaks between its parts: each begins a line of data.
pub(super) fn event(name: &str, id: Option<&str>, body: &str) -> String {
    let mut text = String::with_capacity(body.len() + 64);
    if let Some(id) = id {
        // Writing to a text cannot fail.
        let _ = writeln!(text, "id: {id}");
    }
    let _ = writeln!(text, "event: {name}");
    for line in body.split(['\n', '\r']) {
        let _ = writeln!(text, "data: {line}");
    }
    text.push('\n');
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::{ExactTimestamp, Score};

    fn entry(rank: u64, member: &str, score: f64, at: u64) -> Entry {
        Entry {
            rank,
            member: Member::try_from(member.to_owned()).expect("a member"),
            score: Score::new(score).expect("a score"),
            subscores: Vec::new(),
            achieved_at: None,
            achieved_exactly: ExactTimestamp::from_micros(at),
            metadata: None,
            previous_rank: None,
            segments: std::collections::BTreeMap::new(),
        }
    }

    /// The surroundings of `own`, which stands behind the others.
    fn frame(period: &str, own: Entry, ahead: Vec<Entry>) -> Frame {
        let from = own.rank - 1 - ahead.len() as u64;
        let asked = own.rank - 1;
        let page = Page {
            window: WindowName::try_from("all_time".to_owned()).expect("a name"),
            period: period.to_owned(),
            columns: Vec::new(),
            total: 100,
            asked,
            asked_rank: 0,
            from,
            entries: ahead.into_iter().chain([own]).collect(),
            next_cursor: None,
            at_us: None,
            dimensions: Vec::new(),
        };
        let name = LeaderboardName::try_from("race".to_owned()).expect("a name");
        Frame::of_member(&name, page, Radius::default()).expect("JSON")
    }

    fn overtaken(before: &Frame, now: &Frame) -> Option<serde_json::Value> {
        let text = now.overtaken_since(before)?;
        let text =
            std::str::from_utf8(&text).expect("UTF-8").strip_prefix("event: overtaken\ndata: ").expect("the event");
        Some(serde_json::from_str(text).expect("JSON"))
    }

    #[test]
    fn who_passes_is_named() {
        let before = frame("open", entry(2, "own", 5.0, 1), vec![entry(1, "a", 9.0, 1)]);
        let now = frame("open", entry(3, "own", 5.0, 1), vec![entry(1, "a", 9.0, 1), entry(2, "b", 7.0, 2)]);
        let told = overtaken(&before, &now).expect("overtaken");
        assert_eq!((&told["rank"], &told["previous_rank"]), (&3.into(), &2.into()));
        assert_eq!(told["by"][0]["member"], "b");
        assert_eq!(told["by"].as_array().map(Vec::len), Some(1));
        assert!(overtaken(&now, &before).is_none(), "it went up");
        assert!(overtaken(&now, &now).is_none());
    }

    #[test]
    fn a_reset_or_an_own_new_row_is_no_overtaking() {
        let before = frame("one", entry(1, "own", 5.0, 1), vec![]);
        let ahead = || vec![entry(1, "a", 9.0, 2)];
        assert!(overtaken(&before, &frame("two", entry(2, "own", 5.0, 1), ahead())).is_none());
        assert!(overtaken(&before, &frame("one", entry(2, "own", 4.0, 3), ahead())).is_none());
        assert!(overtaken(&before, &frame("one", entry(2, "own", 5.0, 1), ahead())).is_some());
    }

    #[test]
    fn a_line_break_in_the_body_begins_a_line_of_data() {
        assert_eq!(event("rankings", Some("x"), "{\"a\":\n1}"), "id: x\nevent: rankings\ndata: {\"a\":\ndata: 1}\n\n");
    }
}
