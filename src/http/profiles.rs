//! Profiles of members, in entries.

use super::rankings::EntryView;
use crate::error::{Error, Result};
use crate::leaderboard::Leaderboards;
use crate::profile::Profiles;
use crate::types::{LeaderboardName, Member};

/// Adds to each entry the profile of its member.
///
/// # Errors
///
/// `Invalid` where the leaderboard says not where profiles come from.
pub async fn add_profiles<'a>(
    (leaderboards, profiles): (&Leaderboards, &Profiles),
    name: &LeaderboardName,
    entries: impl IntoIterator<Item = &'a mut EntryView>,
) -> Result<()> {
    let settings = leaderboards.profiles(name).await?;
    let none = || Error::invalid("profiles", format!("needs `profiles` in the settings of leaderboard `{name}`"));
    let settings = settings.ok_or_else(none)?;
    let entries: Vec<&mut EntryView> = entries.into_iter().collect();
    let members: Vec<Member> = entries.iter().map(|entry| entry.member.clone()).collect();
    let known = profiles.of(name.clone(), settings, &members).await;
    for (entry, profile) in entries.into_iter().zip(known) {
        entry.profile = Some(profile);
    }
    Ok(())
}
