//! Where one member stands in many leaderboards.

use futures_util::future::join_all;

use super::Leaderboards;
use super::entry::{Page, View};
use crate::error::{Error, Result};
use crate::types::{LeaderboardName, Member};

/// Where a member stands, and where not.
#[derive(Debug, Clone)]
pub struct MemberRankings {
    /// The leaderboards that hold the member, each with its entry as a page of one, in the order asked.
    pub found: Vec<(LeaderboardName, Page)>,
    /// The other ones, in the order asked.
    pub missing: Vec<LeaderboardName>,
}

impl Leaderboards {
    /// The entries of a member in many leaderboards. Those that do not exist, lack the window or do not hold the member are
    /// named as missing.
    ///
    /// # Errors
    ///
    /// As [`Leaderboards::member`], but for what is missing.
    pub async fn member_rankings(
        &self,
        member: &Member,
        names: Vec<LeaderboardName>,
        view: &View,
    ) -> Result<MemberRankings> {
        // Made at once, they travel in one pipeline.
        let pages = join_all(names.iter().map(|name| self.member(name, member, view))).await;
        let mut rankings = MemberRankings { found: Vec::new(), missing: Vec::new() };
        for (name, page) in names.into_iter().zip(pages) {
            match page {
                Ok(page) => rankings.found.push((name, page)),
                Err(Error::NoLeaderboard(_) | Error::NoMember { .. } | Error::NoWindow { .. }) => {
                    rankings.missing.push(name);
                }
                Err(error) => return Err(error),
            }
        }
        Ok(rankings)
    }
}
