//! Reads of periods: answered from what is live, or else from the archive.

use actix_web::http::header::{CACHE_STATUS, HeaderValue};
use actix_web::{HttpRequest, HttpResponse};
use serde::Serialize;

use super::headers::tagged_text;
use super::profiles::add_profiles;
use super::rankings::EntryView;
use crate::archive::{Archive, Past, Source};
use crate::error::{Error, Result};
use crate::leaderboard::{Entry, Leaderboards, Page, View};
use crate::profile::Profiles;
use crate::types::{ExactTimestamp, LeaderboardName, Member, WindowName};

/// What is read, and where it may be.
pub(super) struct PeriodRead<'a> {
    pub(super) leaderboards: &'a Leaderboards,
    pub(super) archive: &'a Archive,
    pub(super) name: &'a LeaderboardName,
    pub(super) view: &'a View,
    /// What ranks are compared with.
    pub(super) since: Option<&'a str>,
    /// Where profiles of members come from, if they are wanted.
    pub(super) profiles: Option<&'a Profiles>,
}

/// An answer as JSON, and what `Cache-Status` says of it.
pub(super) struct Answered {
    json: String,
    status: Option<&'static str>,
}

impl PeriodRead<'_> {
    /// What `live` gives, or where that period is not kept any more, what `past` makes of the archive. `query` is all that the answer depends
    /// on, beside the view; `absent` is said where the period does not have what is read.
    pub(super) async fn answer<V: Serialize>(
        &self,
        query: &str,
        absent: impl FnOnce() -> Error,
        live: impl Future<Output = Result<V>>,
        past: impl AsyncFn(&Past) -> Result<V>,
    ) -> Result<Answered> {
        let may_be_archived = self.archive.is_there() && self.view.period.is_some();
        let gone = match live.await {
            Err(error @ (Error::NoPeriod { .. } | Error::NoWindow { .. })) if may_be_archived => error,
            live => return Ok(Answered { json: json(&live?)?, status: may_be_archived.then_some("ranq; hit") }),
        };
        let Some(name) = self.leaderboards.name_period(self.name, self.view).await? else { return Err(gone) };
        let read = async |of: &Past| json(&past(of).await?);
        if self.since.is_some() || self.profiles.is_some() {
            // What it is compared with may change, and so do profiles.
            let past = self.archive.period(&name).await?.ok_or(gone)?;
            return Ok(Answered { json: read(&past).await?, status: Some("ranq; fwd=miss") });
        }
        let query =
            format!("{query} {} {}", self.view.ranking.name(), self.view.segment.as_deref().unwrap_or_default());
        let found = self.archive.answer(&name, &query, read).await?.ok_or(gone)?;
        let status = match found.source {
            Source::Cache => "ranq; hit; detail=archived",
            Source::Database => "ranq; fwd=miss",
        };
        let json = found.json.ok_or_else(absent)?;
        Ok(Answered { json, status: Some(status) })
    }

    /// Adds to each entry the profile of its member, where that is asked for.
    ///
    /// # Errors
    ///
    /// `Invalid` where the leaderboard says not where profiles come from.
    pub(super) async fn add_profiles<'e>(&self, entries: impl IntoIterator<Item = &'e mut EntryView>) -> Result<()> {
        match self.profiles {
            Some(profiles) => add_profiles((self.leaderboards, profiles), self.name, entries).await,
            None => Ok(()),
        }
    }

    /// Notes what the ranks were in a live page before.
    pub(super) async fn note_movement(&self, page: &mut Page) -> Result<()> {
        let noted = self.leaderboards.note_movement(self.name, self.view, self.since, page).await;
        self.or_archived(noted, Some(&page.window), &mut page.entries).await
    }

    /// The same in the entries of a live look-up.
    pub(super) async fn note_movement_of(&self, entries: &mut [Entry]) -> Result<()> {
        let noted = self.leaderboards.note_movement_of(self.name, self.view, self.since, entries).await;
        self.or_archived(noted, self.view.window.as_ref(), entries).await
    }

    async fn or_archived(&self, noted: Result<()>, window: Option<&WindowName>, entries: &mut [Entry]) -> Result<()> {
        let may_be = self.archive.is_there() && self.since.is_some();
        let Err(error @ (Error::NoPeriod { .. } | Error::NoSnapshot { .. } | Error::Invalid(_))) = noted else {
            return noted;
        };
        if !may_be || !self.note_archived_ranks(window, entries).await? {
            return Err(error);
        }
        Ok(())
    }

    /// The same in entries from the archive.
    pub(super) async fn note_past_movement(&self, entries: &mut [Entry]) -> Result<()> {
        let Some(since) = self.since else { return Ok(()) };
        let window = self.view.window.as_ref();
        if self.view.period.as_deref() != Some(since) {
            let view = View { period: Some(since.to_owned()), ..self.view.clone() };
            match self.leaderboards.lookup(self.name, &members(entries), &view).await {
                Ok(found) => {
                    note(entries, |member| {
                        let earlier = found.entries.iter().find(|entry| entry.member == *member);
                        earlier.map(|entry| entry.rank)
                    });
                    return Ok(());
                }
                Err(Error::NoPeriod { .. } | Error::NoWindow { .. }) => {}
                Err(error) => return Err(error),
            }
            if self.note_archived_ranks(window, entries).await? {
                return Ok(());
            }
        }
        if since.parse::<ExactTimestamp>().is_err() {
            let detail = "must be another period of this window, or a time as in RFC 3339 with its offset";
            return Err(Error::invalid("since", detail));
        }
        // Snapshots go with their period.
        Err(Error::NoSnapshot {
            window: window.map_or(String::new(), ToString::to_string),
            period: self.view.period.clone().unwrap_or_default(),
            since: since.to_owned(),
        })
    }

    /// Notes the ranks in an archived period; tells whether there is one.
    async fn note_archived_ranks(&self, window: Option<&WindowName>, entries: &mut [Entry]) -> Result<bool> {
        let view = View { window: window.cloned(), period: self.since.map(str::to_owned), ..self.view.clone() };
        let Some(name) = self.leaderboards.name_period(self.name, &view).await? else { return Ok(false) };
        let Some(past) = self.archive.period(&name).await? else { return Ok(false) };
        let ranks = past.ranks(&members(entries), &view).await?;
        let mut ranks = ranks.into_iter();
        note(entries, |_| ranks.next().flatten());
        Ok(true)
    }
}

fn members(entries: &[Entry]) -> Vec<Member> {
    entries.iter().map(|entry| entry.member.clone()).collect()
}

fn note(entries: &mut [Entry], mut rank: impl FnMut(&Member) -> Option<u64>) {
    for entry in entries {
        entry.previous_rank = Some(rank(&entry.member));
    }
}

impl Answered {
    /// The answer to a GET, with its `ETag`.
    pub(super) fn tagged(self, request: &HttpRequest) -> HttpResponse {
        with_status(tagged_text(request, self.json.into_bytes()), self.status)
    }

    /// The answer to a POST.
    pub(super) fn plain(self) -> HttpResponse {
        with_status(HttpResponse::Ok().content_type("application/json").body(self.json), self.status)
    }
}

fn with_status(mut response: HttpResponse, status: Option<&'static str>) -> HttpResponse {
    if let Some(status) = status {
        response.headers_mut().insert(CACHE_STATUS, HeaderValue::from_static(status));
    }
    response
}

fn json(answer: &impl Serialize) -> Result<String> {
    serde_json::to_string(answer).map_err(|error| Error::Internal(format!("an answer has no JSON: {error}")))
}
