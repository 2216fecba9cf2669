//! What happens to members on its way to the archive: in from the scripts that do it, out by what is written.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde::Serialize;
use tracing::error;
use utoipa::ToSchema;

use super::Leaderboards;
use super::audit::{Action, AuditNote};
use super::board::{AnswerLabel, Board};
use super::order_key;
use super::packed::Packed;
use super::settings::{Order, Settings, Subscore};
use super::store::RawEntry;
use crate::error::Result;
use crate::types::{EntryId, Finding, LeaderboardName, Member, Reason, Score, WindowName};

/// How long what was seen of an outbox is held to be true.
const LOOKS_LAST: Duration = Duration::from_secs(15);
/// Outboxes that are looked at again in one go.
const LOOKS_AT_ONCE: usize = 50;
/// Rows of an outbox that a check reads.
const ROWS_CHECKED: u64 = 500;

/// Whose outbox it is.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Origin {
    /// A shard of a leaderboard; most have one alone, of the number 0.
    Shard(LeaderboardName, u32),
    /// All leaderboards: service-wide bans.
    Service,
}

impl Origin {
    /// That of a shard.
    pub(super) fn of(shard: &Board) -> Self {
        Self::Shard(shard.name.clone(), shard.keyspace().shard_number())
    }
}

/// What happened to a member.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = MemberEventKind)]
pub enum EventKind {
    /// A submission changed its score.
    Score,
    /// An administrator set its score.
    Adjustment,
    /// It was banned, or its ban changed.
    Ban,
    /// A ban was lifted.
    Unban,
    /// Its entries were removed.
    Removal,
}

impl EventKind {
    const ALL: [Self; 5] = [Self::Score, Self::Adjustment, Self::Ban, Self::Unban, Self::Removal];

    /// Its word.
    pub fn name(self) -> &'static str {
        match self {
            Self::Score => "score",
            Self::Adjustment => "adjustment",
            Self::Ban => "ban",
            Self::Unban => "unban",
            Self::Removal => "removal",
        }
    }

    /// That of a word.
    pub fn of_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }
}

impl From<Action> for EventKind {
    fn from(action: Action) -> Self {
        match action {
            Action::Ban => Self::Ban,
            Action::Unban => Self::Unban,
            Action::Adjust => Self::Adjustment,
            Action::Remove | Action::RemoveByScore => Self::Removal,
        }
    }
}

/// What a member's score became in a window.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[schema(as = MemberEventWindow)]
pub struct EventWindow {
    /// The window.
    #[schema(value_type = String, example = "daily")]
    pub window: WindowName,
    /// The period: `open` where the window does not reset.
    #[schema(example = "2026-11-23T00:00:00.000Z")]
    pub period: String,
    /// The score that stood from then on; a total that decays as it was at that time.
    #[schema(value_type = f64, example = 1500)]
    pub score: Score,
    /// The further columns.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    #[schema(value_type = BTreeMap<String, f64>)]
    pub subscores: BTreeMap<String, Score>,
}

/// Something that happened to a member, on its way to the archive.
#[derive(Debug)]
pub struct MemberEvent {
    /// Tells a leaderboard from an earlier one with its name.
    pub epoch: String,
    /// To whom.
    pub member: Member,
    /// When, in µs: never twice the same on one leaderboard.
    pub at_us: i64,
    /// What.
    pub kind: EventKind,
    /// Whether it stood in what is hidden of a banned member; of a ban, whether submissions are hidden and not refused.
    pub is_hidden: bool,
    /// The windows that changed; none for an act that meets all of them.
    pub windows: Vec<EventWindow>,
    /// Who did it, where that was an administrator.
    pub by: Option<String>,
    /// Why.
    pub reason: Option<Reason>,
}

/// The oldest of what is on its way.
#[derive(Debug, Default)]
pub struct OnTheirWay {
    /// What happened.
    pub events: Vec<MemberEvent>,
    /// The size of it.
    pub bytes: usize,
    /// The last entry; none where there is nothing.
    pub upto: Option<EntryId>,
    /// Whether there may be more.
    pub has_more: bool,
}

/// What is left in an outbox.
#[derive(Debug)]
pub struct ScoresLeft {
    /// How many calls whose changes wait.
    pub waiting: u64,
    /// How long ago the oldest of them was made.
    pub age: Duration,
    /// How many rows made room since the last time, and are lost to the archive.
    pub dropped: u64,
}

/// What was seen of an outbox.
#[derive(Debug)]
struct Seen {
    entries: u64,
    /// Since when the oldest of them waits.
    since: Instant,
    looked_at: Instant,
}

/// The outboxes that were seen to have something.
#[derive(Debug, Clone, Default)]
pub(super) struct Unarchived(Arc<Mutex<BTreeMap<Origin, Seen>>>);

impl Unarchived {
    fn seen(&self) -> MutexGuard<'_, BTreeMap<Origin, Seen>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes that something was sent.
    pub(super) fn sent(&self, origin: Origin) {
        let now = Instant::now();
        self.seen().entry(origin).or_insert(Seen { entries: 1, since: now, looked_at: now });
    }

    /// Notes what a look found.
    pub(super) fn found(&self, origin: Origin, entries: u64, age: Duration) {
        let now = Instant::now();
        let since = now.checked_sub(age).unwrap_or(now);
        match entries {
            0 => drop(self.seen().remove(&origin)),
            _ => drop(self.seen().insert(origin, Seen { entries, since, looked_at: now })),
        }
    }

    /// Some that nobody has looked at for long: of leaderboards that were deleted, and that another instance may have emptied.
    fn forgotten(&self) -> Vec<Origin> {
        let seen = self.seen();
        let forgotten = seen.iter().filter(|(_, seen)| seen.looked_at.elapsed() > LOOKS_LAST);
        forgotten.take(LOOKS_AT_ONCE).map(|(origin, _)| origin.clone()).collect()
    }

    fn origins(&self) -> Vec<Origin> {
        self.seen().keys().cloned().collect()
    }

    fn waiting(&self) -> (u64, Duration) {
        let seen = self.seen();
        let oldest = seen.values().map(|seen| seen.since.elapsed()).max();
        (seen.values().map(|seen| seen.entries).sum(), oldest.unwrap_or_default())
    }
}

/// What scripts send along with rows, which says how to read them: the epoch, and the subscores.
pub(super) fn setting_of(board: &Board, most: u64) -> String {
    let columns = board.settings.subscores.iter().zip(board.directions.chars());
    let columns: String = columns.map(|(column, letter)| format!(" {letter}{}", column.name)).collect();
    format!("{most} {}{columns}", board.version.epoch)
}

/// Reads what [`setting_of`] wrote, but for the number in front.
fn columns_of(of: &str) -> Option<(String, Settings)> {
    let mut parts = of.split(' ');
    let epoch = parts.next()?.to_owned();
    let column = |text: &str| {
        let (letter, name) = text.split_at_checked(1)?;
        let order = if letter == "d" { Order::Descending } else { Order::Ascending };
        Some(Subscore { name: WindowName::try_from(name.to_owned()).ok()?, order })
    };
    let subscores = parts.map(column).collect::<Option<_>>()?;
    // Of the order key there are the subscores alone.
    Some((epoch, Settings { subscores, ties: super::Ties::Member, ..Settings::default() }))
}

/// What all rows of an entry have in common.
struct Heading {
    epoch: String,
    settings: Settings,
    label: Option<AnswerLabel>,
    kind: EventKind,
    note: Option<AuditNote>,
}

impl Heading {
    fn of(entry: &RawEntry) -> Option<Self> {
        let (epoch, settings) = columns_of(&entry.of)?;
        let label = if entry.label.is_empty() { None } else { Some(AnswerLabel::parse(&entry.label)?) };
        let note: Option<AuditNote> =
            if entry.note.is_empty() { None } else { Some(serde_json::from_str(&entry.note).ok()?) };
        let kind = note.as_ref().map_or(EventKind::Score, |note| note.action.into());
        Some(Self { epoch, settings, label, kind, note })
    }

    /// The next row, as `_archive.lua` puts it in.
    fn row(&self, values: &mut Packed<'_>) -> Option<MemberEvent> {
        let at_us = i64::try_from(values.number()?).ok()?;
        let member = Member::try_from(String::from_utf8(values.text()?.to_vec()).ok()?).ok()?;
        let (is_hidden, count) = (values.number()? == 1, values.number()?);
        let windows = (0..count).map(|_| self.window(values)).collect::<Option<_>>()?;
        let note = self.note.as_ref();
        let is_shadow = note.is_some_and(|note| note.details.get("shadow").is_some_and(|shadow| shadow == true));
        Some(MemberEvent {
            epoch: self.epoch.clone(),
            member,
            at_us,
            kind: self.kind,
            is_hidden: is_hidden || is_shadow,
            windows,
            by: note.map(|note| note.by.clone()),
            reason: note.and_then(|note| note.reason.clone()),
        })
    }

    fn window(&self, values: &mut Packed<'_>) -> Option<EventWindow> {
        let AnswerLabel { order, windows } = self.label.as_ref()?;
        let (window, period) = windows.get(usize::try_from(values.number()?).ok()?)?.clone();
        let score = order.turned(Score::from_redis(values.text()?)?);
        let (subscores, _) = order_key::decode(values.text()?, &self.settings)?;
        let names = self.settings.subscores.iter().map(|column| column.name.to_string());
        Some(EventWindow { window, period, score, subscores: names.zip(subscores).collect() })
    }
}

/// The rows of an entry; none where it is of no form that is known.
fn read(entry: &RawEntry) -> Option<Vec<MemberEvent>> {
    let (heading, mut values) = (Heading::of(entry)?, Packed::list(&entry.rows)?);
    let mut events = Vec::new();
    while !values.is_empty() {
        events.push(heading.row(&mut values)?);
    }
    Some(events)
}

impl Leaderboards {
    /// The same leaderboards, where what happens to members goes to an archive as well. With `most` an outbox has at most so many
    /// entries, and the oldest make room.
    #[must_use]
    pub fn with_outbox(self, most: Option<u64>) -> Self {
        Self { store: self.store.with_outbox(most.unwrap_or(0)), ..self }
    }

    /// The outboxes that may have something for the archive, those of leaderboards among them that were deleted since.
    ///
    /// # Errors
    ///
    /// Those of the store.
    pub async fn unarchived(&self) -> Result<Vec<Origin>> {
        let Some(unarchived) = self.store.unarchived() else { return Ok(Vec::new()) };
        let mut origins = unarchived.origins();
        origins.extend(self.store.deleted_unarchived().await?);
        origins.push(Origin::Service);
        origins.sort();
        origins.dedup();
        Ok(origins)
    }

    /// How many calls' changes are not archived yet, and for how long the oldest of them has waited, as far as it is known here.
    ///
    /// # Errors
    ///
    /// Those of the store.
    pub async fn waiting_for_archive(&self) -> Result<(u64, Duration)> {
        let Some(unarchived) = self.store.unarchived() else { return Ok(Default::default()) };
        for origin in unarchived.forgotten() {
            self.store.look_at_outbox(&origin).await?;
        }
        Ok(unarchived.waiting())
    }

    /// What is on its way from a shard and cannot be read, which the archive would go without.
    pub(super) async fn check_outbox(&self, shard: &Board) -> Result<Vec<Finding>> {
        let (oldest, _) = self.store.to_archive(&Origin::of(shard), EntryId::default(), ROWS_CHECKED).await?;
        let unread = oldest.into_iter().filter(|entry| read(entry).is_none());
        let about = |entry: RawEntry| format!("entry {} on its way to the archive:", entry.id);
        Ok(unread.map(|entry| Finding::new(about(entry), "it cannot be read", "")).collect())
    }

    /// The oldest of what is to be archived, behind an entry where one is given: up to `most` rows, or those of one call.
    ///
    /// # Errors
    ///
    /// Those of the store.
    pub async fn to_archive(&self, origin: &Origin, behind: Option<EntryId>, most: u64) -> Result<OnTheirWay> {
        let from = behind.map(EntryId::next).unwrap_or_default();
        let (entries, has_more) = self.store.to_archive(origin, from, most).await?;
        let mut found = OnTheirWay { has_more, ..OnTheirWay::default() };
        for entry in entries {
            let id = entry.id;
            found.upto = Some(id);
            found.bytes += entry.rows.len() + entry.note.len();
            match read(&entry) {
                Some(events) => found.events.extend(events),
                // Another try would find the same, and hold up all others.
                None => {
                    error!(entry = %id, "a change of scores is of no form that is known, and is not archived: {id}");
                }
            }
        }
        Ok(found)
    }

    /// Takes out what has been archived, up to an entry.
    ///
    /// # Errors
    ///
    /// Those of the store.
    pub async fn archived(&self, origin: &Origin, upto: Option<EntryId>) -> Result<ScoresLeft> {
        let (left, is_there) = self.store.archived(origin, upto.map(EntryId::next).unwrap_or_default()).await?;
        if !is_there && left.waiting == 0 {
            self.store.unlist_unarchived(origin).await?;
        }
        if let Some(unarchived) = self.store.unarchived() {
            unarchived.found(origin.clone(), left.waiting, left.age);
        }
        Ok(left)
    }
}

#[cfg(test)]
mod tests {
    use rmp::encode::{write_array_len, write_str_len, write_uint};

    use super::*;

    /// A row of two windows at most, as a script packs it.
    fn packed(member: &str, windows: &[(u64, &str, &[u8])]) -> Vec<u8> {
        let mut bytes = Vec::new();
        let text = |bytes: &mut Vec<u8>, text: &[u8]| {
            write_str_len(bytes, u32::try_from(text.len()).expect("short")).expect("written");
            bytes.extend(text);
        };
        write_array_len(&mut bytes, 4 + 3 * u32::try_from(windows.len()).expect("few")).expect("written");
        write_uint(&mut bytes, 12).expect("written");
        text(&mut bytes, member.as_bytes());
        write_uint(&mut bytes, 0).expect("written");
        write_uint(&mut bytes, windows.len() as u64).expect("written");
        for (number, score, sub_key) in windows {
            write_uint(&mut bytes, *number).expect("written");
            text(&mut bytes, score.as_bytes());
            text(&mut bytes, sub_key);
        }
        bytes
    }

    fn read_back(of: &str, note: &str, rows: Vec<u8>) -> Option<Vec<MemberEvent>> {
        let (id, label) = ("7-1".parse().expect("an id"), "d|daily=2026-11-23T00:00:00.000Z|all_time=open".to_owned());
        read(&RawEntry { id, of: of.to_owned(), label, note: note.to_owned(), rows })
    }

    #[test]
    fn an_entry_tells_all_that_is_needed_to_read_it() {
        let name = |name: &str| WindowName::try_from(name.to_owned()).expect("a name");
        let columns = [("time", Order::Ascending), ("stars", Order::Descending)];
        let subscores = columns.map(|(column, order)| Subscore { name: name(column), order }).to_vec();
        let settings = Settings { subscores, ..Settings::default() };
        let sub_key =
            order_key::encode_subscores(&[3.0, -1.5].map(|value| Score::new(value).expect("finite")), &settings);
        let events = read_back("e1 atime dstars", "", packed("ann", &[(1, "-1.05e1", &sub_key)])).expect("readable");
        let [event] = &events[..] else { panic!("one row") };
        assert_eq!((event.epoch.as_str(), event.at_us, event.kind), ("e1", 12, EventKind::Score));
        let windows = serde_json::to_value(&event.windows).expect("JSON");
        let subscores = serde_json::json!({"time": 3, "stars": -1.5});
        let expected =
            serde_json::json!([{"window": "all_time", "period": "open", "score": 10.5, "subscores": subscores}]);
        assert_eq!(windows, expected);
    }

    #[test]
    fn what_is_of_no_known_form_is_not_read() {
        let good = packed("ann", &[(0, "1", b"")]);
        let note = r#"{"by":"admin","action":"ban","details":{"shadow":true}}"#;
        let ban = read_back("e1", note, packed("ann", &[])).expect("readable");
        assert!(ban[0].is_hidden && ban[0].kind == EventKind::Ban && ban[0].windows.is_empty());
        for (of, note, rows) in [
            ("e1", "", b"no list".to_vec()),
            ("e1", "", good[..good.len() - 1].to_vec()),
            ("e1", "", packed("ann", &[(2, "1", b"")])),
            ("e1 dtime", "", good.clone()),
            ("e1", "no JSON", good.clone()),
            ("e1", "", packed("\n", &[])),
        ] {
            assert!(read_back(of, note, rows).is_none(), "{of} {note}");
        }
    }

    #[test]
    fn what_is_empty_is_looked_at_no_more() {
        let unarchived = Unarchived::default();
        let origin = |shard| Origin::Shard(LeaderboardName::try_from("race".to_owned()).expect("a name"), shard);
        unarchived.sent(origin(0));
        unarchived.sent(origin(1));
        unarchived.found(origin(1), 7, Duration::from_secs(5));
        let (waiting, lag) = unarchived.waiting();
        assert!(waiting == 8 && lag >= Duration::from_secs(5), "{waiting} {lag:?}");
        unarchived.found(origin(1), 0, Duration::ZERO);
        assert_eq!((unarchived.origins(), unarchived.waiting().0), (vec![origin(0)], 1));
        assert!(unarchived.forgotten().is_empty());
    }
}
