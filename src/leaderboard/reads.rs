//! Reading rankings.

use std::collections::BTreeSet;
use std::sync::Arc;

use futures_util::future::try_join_all;

use super::board::{Board, RankingKeys};
use super::calendar::Span as PeriodSpan;
use super::cursor::{self, Position};
use super::decaying::show_decayed;
use super::entry::{Distribution, Entry, Lookup, Page, Ranking, Span, Start, View};
use super::read_merge::Reader;
use super::settings::Ties;
use super::store::{Chosen, Found, RawPage, Read, Versioned};
use super::{Leaderboards, MOST_TRIES, OPEN_PERIOD, changing, reply};
use crate::error::{Error, Result};
use crate::types::{LeaderboardName, Limit, Member, Radius, Score, WindowName};

/// Members looked up in one script call.
pub(super) const LOOKUP_CHUNK: usize = 100;

impl Leaderboards {
    /// A run of entries, best first.
    ///
    /// # Errors
    ///
    /// `NoLeaderboard`, `NoWindow`, `NoPeriod`; `Malformed` for a cursor of another list.
    pub async fn rankings(&self, name: &LeaderboardName, view: &View, start: &Start, limit: Limit) -> Result<Page> {
        self.on_current(name, async |board| {
            let chosen = self.choose(board, view).await?;
            let span = match start {
                Start::Offset(offset) => Span::Offset { offset: *offset, limit },
                Start::Cursor(text) => {
                    let Position { ranked, element } =
                        cursor::decode(&board.cursor_context(&chosen.ranking, chosen.part.as_ref()), text)?;
                    Span::After { ranked, element, limit }
                }
            };
            let page = self.page(board, &chosen, view, &span).await?;
            self.still(board, &chosen, page.present(|| no_entry(name))).await
        })
        .await
    }

    /// The entry of a member, as a page of one.
    ///
    /// # Errors
    ///
    /// As [`Leaderboards::rankings`]; `NoMember`.
    pub async fn member(&self, name: &LeaderboardName, member: &Member, view: &View) -> Result<Page> {
        self.around_member(name, member, view, 0).await
    }

    /// The entries around a member, up to `radius` on each side.
    ///
    /// # Errors
    ///
    /// As [`Leaderboards::member`].
    pub async fn around_member(
        &self,
        name: &LeaderboardName,
        member: &Member,
        view: &View,
        radius: u32,
    ) -> Result<Page> {
        self.on_current(name, async |board| {
            let span = Span::Member { member: member.clone(), radius };
            let absent = || Error::NoMember { leaderboard: name.clone(), member: member.clone() };
            let chosen = self.choose(board, view).await?;
            let page = self.page(board, &chosen, view, &span).await?;
            self.still(board, &chosen, page.present(absent)).await
        })
        .await
    }

    /// Where a score would stand if it were submitted now, and the entries around that place.
    ///
    /// # Errors
    ///
    /// As [`Leaderboards::rankings`].
    pub async fn around_score(
        &self,
        name: &LeaderboardName,
        score: Score,
        view: &View,
        radius: Radius,
    ) -> Result<Page> {
        self.on_current(name, async |board| {
            let chosen = self.choose(board, view).await?;
            let time = self.decay_time(board, &chosen, view).await?;
            let kept = time.map_or(score, |(decay, at_us)| decay.kept(score, at_us));
            let span = Span::Score {
                ranked: board.settings.turned(kept),
                ahead_of_equals: board.settings.ties == Ties::Latest,
                radius,
            };
            let view = View { at_us: time.map(|(_, at_us)| at_us), ..view.clone() };
            let page = self.page(board, &chosen, &view, &span).await?;
            self.still(board, &chosen, page.present(|| no_entry(name))).await
        })
        .await
    }

    /// The entries of the members asked for, best first, and who has none.
    ///
    /// # Errors
    ///
    /// As [`Leaderboards::rankings`].
    pub async fn lookup(&self, name: &LeaderboardName, members: &[Member], view: &View) -> Result<Lookup> {
        let mut seen = BTreeSet::new();
        let wanted: Vec<Member> = members.iter().filter(|member| seen.insert(*member)).cloned().collect();
        self.on_current(name, async |board| {
            let chosen = self.choose(board, view).await?;
            let mut found: Vec<Found> = Vec::new();
            let mut missing = Vec::new();
            for chunk in wanted.chunks(LOOKUP_CHUNK) {
                let looked_up = self.lookup_chunk(board, &chosen, view.ranking, chunk).await?;
                let Versioned::Current(rows) = looked_up else { return Ok(Versioned::Stale) };
                for (member, row) in chunk.iter().zip(rows) {
                    match row {
                        Some(row) => found.push(row),
                        None => missing.push(member.clone()),
                    }
                }
            }
            found.sort_by(|a, b| a.ranked.value().total_cmp(&b.ranked.value()).then_with(|| a.element.cmp(&b.element)));
            let entries: Result<Vec<Entry>> = found
                .into_iter()
                .map(|row| {
                    let rank = if view.ranking == Ranking::Ordinal { row.place + 1 } else { row.rank };
                    Ok(Entry {
                        rank,
                        ..reply::entry(board, &row.element, row.ranked, Some(row.metadata), Some(&row.parts))?
                    })
                })
                .collect();
            let mut entries = entries?;
            let time = self.decay_time(board, &chosen, view).await?;
            show_decayed(time, view, &mut entries);
            let found = Lookup { columns: columns(board), entries, missing };
            self.still(board, &chosen, Ok(Versioned::Current(found))).await
        })
        .await
    }

    pub(super) async fn lookup_chunk(
        &self,
        board: &Board,
        chosen: &Chosen,
        shown: Ranking,
        members: &[Member],
    ) -> Result<Versioned<Vec<Option<Found>>>> {
        for _ in 0..MOST_TRIES {
            match self.store.lookup(board, chosen, shown, members).await? {
                Versioned::Stale => return Ok(Versioned::Stale),
                Versioned::Current(Read::Answer(rows)) => return Ok(Versioned::Current(rows)),
                Versioned::Current(Read::Undistinct | Read::Absent) => {
                    self.store.build_distinct(board, &chosen.ranking).await?;
                }
            }
        }
        Err(changing(&board.name))
    }

    /// How the scores are spread over so many buckets of equal width.
    ///
    /// # Errors
    ///
    /// As [`Leaderboards::rankings`].
    pub async fn distribution(&self, name: &LeaderboardName, view: &View, buckets: u32) -> Result<Distribution> {
        self.on_current(name, async |board| {
            let chosen = self.choose(board, view).await?;
            let time = self.decay_time(board, &chosen, view).await?;
            let counted = self.store.distribution(board, &chosen, buckets, time).await;
            self.still(board, &chosen, counted).await
        })
        .await
    }

    /// The ranking of a window that is open now, as far as it is known here.
    pub(super) fn open_ranking(&self, board: &Board, window: Option<&WindowName>) -> Result<Arc<RankingKeys>> {
        let section = self.store.section(board);
        let open = match window {
            None => section.rankings.first(),
            Some(window) => section.rankings.iter().find(|ranking| ranking.window == *window),
        };
        open.cloned().ok_or_else(|| Error::NoWindow {
            leaderboard: board.name.clone(),
            window: window.map_or(String::new(), ToString::to_string),
        })
    }

    /// The ranking that a view shows.
    pub(super) async fn choose(&self, board: &Board, view: &View) -> Result<Chosen> {
        let part = view.segment.as_deref().map(|query| board.dimensions.part(query)).transpose()?;
        if part.is_some() && view.ranking == Ranking::Dense {
            return Err(Error::invalid("ranking", "dense ranks are given of whole rankings alone"));
        }
        if board.is_spread() && view.ranking == Ranking::Dense {
            return Err(Error::invalid("ranking", "dense ranks are given of leaderboards with one shard alone"));
        }
        let open = self.open_ranking(board, view.window.as_ref())?;
        let only_while = open.span.map(PeriodSpan::bounds_us);
        let the_open_one = |part| Chosen { ranking: Arc::clone(&open), only_while, part };
        let Some(period) = &view.period else { return Ok(the_open_one(part)) };
        if (open.span.is_some() || *period != open.period) && self.has_period(board, &open.window, period).await? {
            let ranking = Arc::new(board.sections.ranking(&open.window, period, None));
            return Ok(Chosen { ranking, only_while: None, part });
        }
        if *period != open.period {
            return Err(Error::NoPeriod { window: open.window.to_string(), period: period.clone() });
        }
        Ok(the_open_one(part))
    }

    /// Whether a period had entries, in any shard, and is kept.
    async fn has_period(&self, board: &Board, window: &WindowName, period: &str) -> Result<bool> {
        let looks = board.shards().map(|shard| self.store.has_period(shard, window, period));
        let has = try_join_all(looks).await?.contains(&true);
        // Some shards may have freed it already.
        let leaves =
            has && self.has_archive() && board.is_spread() && self.store.is_leaving(board, window, period).await?;
        Ok(has && !leaves)
    }

    /// What was read, if the period read was kept for all that time: one that leaves for the archive is to be read there.
    pub(super) async fn still<T>(&self, board: &Board, chosen: &Chosen, read: Result<T>) -> Result<T> {
        let RankingKeys { window, period, span, .. } = &*chosen.ranking;
        let may_leave = self.has_archive() && span.is_none() && *period != OPEN_PERIOD;
        if may_leave && !self.has_period(board, window, period).await? {
            return Err(Error::NoPeriod { window: window.to_string(), period: period.clone() });
        }
        read
    }

    async fn page(
        &self,
        board: &Arc<Board>,
        chosen: &Chosen,
        view: &View,
        span: &Span,
    ) -> Result<Versioned<Option<Page>>> {
        for _ in 0..MOST_TRIES {
            let read = if Reader::takes(board, span) {
                let reader = self.reader.get_or_init(|| Reader::start(self.store.clone()));
                reader.read(board, chosen, view.ranking, span).await?
            } else {
                self.store.page(board, chosen, view.ranking, span).await?
            };
            match read {
                Versioned::Stale => return Ok(Versioned::Stale),
                Versioned::Current(Read::Absent) => return Ok(Versioned::Current(None)),
                Versioned::Current(Read::Undistinct) => {
                    self.store.build_distinct(board, &chosen.ranking).await?;
                }
                Versioned::Current(Read::Answer(raw)) => {
                    let mut page = to_page(board, chosen, view.ranking, raw)?;
                    // After the read: what was submitted before it is then never shown from a time before.
                    let time = self.decay_time(board, chosen, view).await?;
                    show_decayed(time, view, &mut page.entries);
                    page.at_us = time.map(|(_, at_us)| at_us);
                    return Ok(Versioned::Current(Some(page)));
                }
            }
        }
        Err(changing(&board.name))
    }
}

impl Versioned<Option<Page>> {
    fn present(self, absent: impl FnOnce() -> Error) -> Result<Versioned<Page>> {
        match self {
            Self::Stale => Ok(Versioned::Stale),
            Self::Current(Some(page)) => Ok(Versioned::Current(page)),
            Self::Current(None) => Err(absent()),
        }
    }
}

fn no_entry(name: &LeaderboardName) -> Error {
    Error::Internal(format!("a run of entries of `{name}` was not found"))
}

pub(super) fn columns(board: &Board) -> Vec<WindowName> {
    board.settings.subscores.iter().map(|column| column.name.clone()).collect()
}

pub(super) fn to_page(board: &Board, chosen: &Chosen, shown: Ranking, raw: RawPage) -> Result<Page> {
    let mut entries: Vec<Entry> = Vec::with_capacity(raw.elements.len());
    let last = raw.elements.last().map(|(element, ranked)| Position { ranked: *ranked, element: element.clone() });
    let (mut metadata, mut parts) = (raw.metadata.into_iter(), raw.parts.into_iter());
    for (place, (element, ranked)) in (raw.from..).zip(raw.elements) {
        let mut entry = reply::entry(board, &element, ranked, metadata.next(), parts.next().as_deref())?;
        entry.rank = match entries.last() {
            None => raw.first_rank,
            Some(above) => {
                let equal = above.score == entry.score && above.subscores == entry.subscores;
                match shown {
                    Ranking::Ordinal => place + 1,
                    Ranking::Competition | Ranking::Dense if equal => above.rank,
                    Ranking::Competition => place + 1,
                    Ranking::Dense => above.rank + 1,
                }
            }
        };
        entries.push(entry);
    }
    let more = raw.from + (entries.len() as u64) < raw.total;
    let ranking = &chosen.ranking;
    let context = board.cursor_context(ranking, chosen.part.as_ref());
    Ok(Page {
        window: ranking.window.clone(),
        period: ranking.period.clone(),
        columns: columns(board),
        dimensions: board.dimensions.names(),
        total: raw.total,
        asked: raw.asked,
        asked_rank: raw.asked_rank,
        from: raw.from,
        entries,
        next_cursor: last.filter(|_| more).map(|position| cursor::encode(&context, &position)),
        at_us: None,
    })
}
