//! Compares every read with the model.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use proptest::prelude::*;
use ranq::error::Error;
use ranq::leaderboard::{Distribution, Entry, Page, QUANTILES, Ranking, Start, View};
use ranq::types::{Limit, Radius, Score, WindowName};

use super::model::{self, Row, Shown};
use super::run::{Checked, Run, unexpected};
use super::steps::{self, Look};

/// How many pages a walk takes at most.
const MOST_PAGES: usize = 12;

/// A cursor that was given, and the entry behind which it goes on.
pub struct Held {
    cursor: String,
    after: Row,
    window: WindowName,
}

fn shown(entries: Vec<Entry>) -> Vec<Shown> {
    let shown = entries.into_iter().map(|entry| Shown {
        rank: entry.rank,
        member: entry.member.as_str().to_owned(),
        score: entry.score.value(),
        subscores: entry.subscores.into_iter().map(Score::value).collect(),
        achieved_at: entry.achieved_at,
        metadata: entry.metadata.map(|metadata| metadata.as_str().to_owned()),
        segments: entry.segments,
    });
    shown.collect()
}

fn limit(number: u64) -> Limit {
    Limit::try_from(number).expect("a limit")
}

/// What one way of ranking shows.
struct Sight<'a> {
    window: usize,
    view: View,
    rows: Vec<Row>,
    all: Vec<Shown>,
    look: &'a Look,
}

impl Run {
    /// Does all reads once.
    pub async fn look(&mut self, look: &Look) -> Checked {
        let window = look.window.map_or(0, |window| window % self.model.windows.len());
        let name = look.window.map(|_| self.model.windows[window].0.clone());
        let summary = self.boards.get(&self.name).await.map_err(unexpected)?;
        prop_assert_eq!(summary.entries, self.model.windows[0].1.len() as u64);
        for ranking in [Ranking::Ordinal, Ranking::Competition, Ranking::Dense] {
            if ranking == Ranking::Dense && !look.dense {
                continue;
            }
            let rows = self.model.windows[window].1.clone();
            self.look_at(window, View { window: name.clone(), ranking, ..View::default() }, rows, look).await?;
        }
        for (number, names) in self.model.segments.ranked() {
            let values = steps::any_values(&names, look.offset);
            let rows = self.model.rows_in(window, number, &values);
            for ranking in [Ranking::Ordinal, Ranking::Competition] {
                let segment = Some(steps::segment_query(&names, &values));
                let view = View { window: name.clone(), ranking, segment, ..View::default() };
                self.look_at(window, view, rows.clone(), look).await?;
            }
            self.look_at_values(window, name.as_ref(), number, &names).await?;
        }
        self.go_on(window, look).await
    }

    async fn look_at(&self, window: usize, view: View, rows: Vec<Row>, look: &Look) -> Checked {
        let sight = Sight { window, all: self.model.shown(&rows, view.ranking), view, rows, look };
        self.look_by_offset(&sight).await?;
        self.look_page_by_page(&sight).await?;
        self.look_at_members(&sight).await?;
        self.look_around_a_score(&sight).await?;
        self.look_up(&sight).await?;
        self.look_at_distribution(&sight).await
    }

    /// All values of a segment, in pages.
    async fn look_at_values(&self, window: usize, name: Option<&WindowName>, number: u64, names: &[String]) -> Checked {
        let mut expected: BTreeMap<&[String], u64> = BTreeMap::new();
        for row in &self.model.windows[window].1 {
            if let Some((true, values)) = row.parts.get(&number) {
                *expected.entry(values).or_default() += 1;
            }
        }
        let view = View { window: name.cloned(), ..View::default() };
        let (mut found, mut after) = (Vec::new(), None);
        loop {
            let segment = names.join("+");
            let page = self.boards.segment_values(&self.name, &segment, &view, after.as_deref(), limit(2)).await;
            let page = page.map_err(unexpected)?;
            prop_assert_eq!(page.total, expected.len() as u64);
            found.extend(page.values);
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        let of_names = |values: &[String]| names.iter().cloned().zip(values.iter().cloned()).collect();
        let expected: Vec<_> = expected.into_iter().map(|(values, entries)| (of_names(values), entries)).collect();
        prop_assert_eq!(found, expected);
        Ok(())
    }

    async fn look_by_offset(&self, sight: &Sight<'_>) -> Checked {
        let start = Start::Offset(sight.look.offset as u64);
        let page = self.boards.rankings(&self.name, &sight.view, &start, limit(sight.look.limit)).await;
        let page = page.map_err(unexpected)?;
        prop_assert_eq!((page.from, page.asked), (sight.look.offset as u64, sight.look.offset as u64));
        let from = sight.look.offset.min(sight.all.len());
        let to = (from + sight.look.limit as usize).min(sight.all.len());
        prop_assert_eq!(page.next_cursor.is_some(), from < to && to < sight.all.len());
        prop_assert_eq!(&page.window, &self.model.windows[sight.window].0);
        sight.compare(page, from..to)
    }

    async fn look_page_by_page(&self, sight: &Sight<'_>) -> Checked {
        let limit = limit(sight.look.limit.max((sight.all.len() / MOST_PAGES) as u64 + 1).min(1000));
        let mut start = Start::Offset(0);
        let mut seen = 0;
        loop {
            let page = self.boards.rankings(&self.name, &sight.view, &start, limit).await.map_err(unexpected)?;
            prop_assert_eq!(page.from, seen as u64);
            let to = (seen + limit.get() as usize).min(sight.all.len());
            let next = page.next_cursor.clone();
            sight.compare(page, seen..to)?;
            seen = to;
            match next {
                Some(cursor) => start = Start::Cursor(cursor),
                None => break,
            }
        }
        prop_assert_eq!(seen, sight.all.len(), "the walk ended early");
        Ok(())
    }

    async fn look_at_members(&self, sight: &Sight<'_>) -> Checked {
        for member in sight.look.members.iter().map(|number| steps::member(*number)) {
            let place = sight.all.iter().position(|entry| entry.member == member.as_str());
            let alone = self.boards.member(&self.name, &member, &sight.view).await;
            let radius = sight.look.radius as usize;
            let around = self.boards.around_member(&self.name, &member, &sight.view, radius as u32).await;
            let Some(place) = place else {
                prop_assert!(matches!(alone, Err(Error::NoMember { .. })), "{:?}", alone);
                prop_assert!(matches!(around, Err(Error::NoMember { .. })), "{:?}", around);
                continue;
            };
            let alone = alone.map_err(unexpected)?;
            prop_assert_eq!((alone.from, alone.asked), (place as u64, place as u64));
            if sight.view.ranking != Ranking::Dense {
                let rank = sight.all[place].rank;
                let at_or_below = sight.all.iter().filter(|entry| entry.rank >= rank).count();
                prop_assert_eq!(alone.percentile(rank), at_or_below as f64 * 100.0 / sight.all.len() as f64);
            }
            sight.compare(alone, place..place + 1)?;
            let (from, to) = (place.saturating_sub(radius), (place + radius + 1).min(sight.all.len()));
            let around = around.map_err(unexpected)?;
            prop_assert_eq!((around.from, around.asked), (from as u64, place as u64));
            sight.compare(around, from..to)?;
        }
        Ok(())
    }

    async fn look_around_a_score(&self, sight: &Sight<'_>) -> Checked {
        let score = Score::new(sight.look.score).expect("finite");
        let radius = sight.look.radius as usize;
        let asked_radius = Radius::try_from(sight.look.radius).expect("a radius");
        let page = self.boards.around_score(&self.name, score, &sight.view, asked_radius).await.map_err(unexpected)?;
        let (place, rank) = self.model.stand_of(&sight.rows, sight.look.score, sight.view.ranking);
        prop_assert_eq!(page.asked_rank, rank);
        let (from, to) = (place.saturating_sub(radius), (place + radius).min(sight.all.len()));
        prop_assert_eq!((page.from, page.asked), (from as u64, place as u64));
        sight.compare(page, from..to)
    }

    async fn look_up(&self, sight: &Sight<'_>) -> Checked {
        let mut members: Vec<_> = sight.look.members.iter().map(|number| steps::member(*number)).collect();
        members.extend(members.first().cloned());
        let found = self.boards.lookup(&self.name, &members, &sight.view).await.map_err(unexpected)?;
        let asked = |entry: &&Shown| members.iter().any(|member| member.as_str() == entry.member);
        let expected: Vec<Shown> = sight.all.iter().filter(asked).cloned().collect();
        prop_assert_eq!(shown(found.entries), expected);
        let mut missing = Vec::new();
        for member in &members {
            let stands = sight.all.iter().any(|entry| entry.member == member.as_str());
            if !stands && !missing.contains(member) {
                missing.push(member.clone());
            }
        }
        prop_assert_eq!(found.missing, missing);
        Ok(())
    }

    async fn look_at_distribution(&self, sight: &Sight<'_>) -> Checked {
        let look = sight.look;
        let found = self.boards.distribution(&self.name, &sight.view, look.buckets).await.map_err(unexpected)?;
        let mut scores: Vec<f64> = sight.rows.iter().map(|row| row.score).collect();
        scores.sort_by(f64::total_cmp);
        compare_distribution(&found, &scores, look.buckets as usize)
    }

    /// Goes on where an earlier look stopped, whatever has happened since, and leaves a cursor for the next one.
    async fn go_on(&mut self, window: usize, look: &Look) -> Checked {
        if let Some(held) = self.held.take()
            && let Some((_, rows)) = self.model.windows.iter().find(|(name, _)| *name == held.window)
        {
            let behind = |row: &&Row| model::compare(&self.model.settings, &held.after, row) == Ordering::Less;
            let expected: Vec<&Row> = rows.iter().filter(behind).take(look.limit as usize).collect();
            let view = View { window: Some(held.window), ..View::default() };
            let start = Start::Cursor(held.cursor);
            let page = self.boards.rankings(&self.name, &view, &start, limit(look.limit)).await.map_err(unexpected)?;
            let members: Vec<&str> = page.entries.iter().map(|entry| entry.member.as_str()).collect();
            prop_assert_eq!(members, expected.iter().map(|row| row.member.as_str()).collect::<Vec<_>>());
        }
        let (name, rows) = &self.model.windows[window];
        let view = View { window: Some(name.clone()), ..View::default() };
        let page = self.boards.rankings(&self.name, &view, &Start::Offset(0), limit(look.limit)).await;
        let page = page.map_err(unexpected)?;
        let last = page.entries.len().checked_sub(1).map(|last| rows[last].clone());
        self.held = page.next_cursor.zip(last).map(|(cursor, after)| Held { cursor, after, window: name.clone() });
        Ok(())
    }
}

impl Sight<'_> {
    fn compare(&self, page: Page, places: std::ops::Range<usize>) -> Checked {
        prop_assert_eq!(page.total, self.all.len() as u64);
        prop_assert_eq!(&shown(page.entries), &self.all[places], "{:?}", self.view);
        Ok(())
    }
}

/// `scores` rise.
fn compare_distribution(found: &Distribution, scores: &[f64], buckets: usize) -> Checked {
    prop_assert_eq!(found.total, scores.len() as u64);
    let (Some(min), Some(max)) = (scores.first(), scores.last()) else {
        prop_assert!(found.edges.is_empty() && found.counts.is_empty() && found.quantiles.is_empty());
        return Ok(());
    };
    let edges: Vec<f64> = found.edges.iter().map(|edge| edge.value()).collect();
    let buckets = if min == max { 1 } else { buckets };
    prop_assert_eq!((edges.len(), found.counts.len()), (buckets + 1, buckets));
    prop_assert_eq!((edges[0], edges[buckets]), (*min, *max));
    for (number, edge) in edges.iter().enumerate() {
        let share = number as f64 / buckets as f64;
        let equal_width = min * (1.0 - share) + max * share;
        let rounding = (min.abs().max(max.abs())) * 1e-12;
        prop_assert!((edge - equal_width).abs() <= rounding, "edge {}: {} is not {}", number, edge, equal_width);
        prop_assert!(number == 0 || edges[number - 1] <= *edge, "edges fall: {:?}", edges);
    }
    for (number, count) in found.counts.iter().enumerate() {
        let (from, to, last) = (edges[number], edges[number + 1], number + 1 == buckets);
        let inside = scores.iter().filter(|score| **score >= from && (**score < to || (last && **score == to)));
        prop_assert_eq!(*count, inside.count() as u64, "bucket {} of {:?}", number, edges);
    }
    prop_assert_eq!(found.counts.iter().sum::<u64>(), found.total);
    for (quantile, (name, share)) in found.quantiles.iter().zip(QUANTILES) {
        let share: f64 = share.parse().expect("a number");
        let reached =
            |score: &&f64| scores.iter().filter(|other| other <= score).count() as f64 >= share * scores.len() as f64;
        prop_assert_eq!(Some(&quantile.value()), scores.iter().find(reached), "{}", name);
    }
    prop_assert_eq!(found.quantiles.len(), QUANTILES.len());
    Ok(())
}
