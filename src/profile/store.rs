//! What is kept of profiles: the only place of its keys.

use std::sync::LazyLock;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest as _, Sha256};

use super::Profile;
use crate::db::{Db, Effect, Keyspace, Reply, Script};
use crate::error::{Error, Result};
use crate::leaderboard::ProfileSettings;
use crate::types::{Clock, LeaderboardName, Member, Raw};

/// The kind in the hash tag: all of a leaderboard is read at once.
const TAG: &str = "profile";
/// Of a leaderboard whose upstream is another one by now nothing is shown.
const DIGEST_BYTES: usize = 9;
/// What stands for no profile.
const NONE: &str = "null";

static KNOWN: LazyLock<Script> =
    LazyLock::new(|| script("known_profiles", Effect::Read, include_str!("lua/known.lua")));
static BEGIN: LazyLock<Script> =
    LazyLock::new(|| script("begin_profiles", Effect::Pass, include_str!("lua/begin.lua")));
static KEEP: LazyLock<Script> = LazyLock::new(|| script("keep_profiles", Effect::Store, include_str!("lua/keep.lua")));

fn script(name: &'static str, effect: Effect, body: &str) -> Script {
    Script::new(name, effect, &[include_str!("lua/_clock.lua"), body])
}

/// Where the profiles of a leaderboard come from.
#[derive(Debug)]
pub(super) struct Source {
    pub(super) board: LeaderboardName,
    pub(super) settings: ProfileSettings,
    /// Tells upstreams apart.
    pub(super) tag: String,
}

impl Source {
    pub(super) fn new(board: LeaderboardName, settings: ProfileSettings) -> Self {
        let digest = Sha256::digest(settings.url.as_str().as_bytes());
        Self { board, settings, tag: URL_SAFE_NO_PAD.encode(&digest[..DIGEST_BYTES]) }
    }
}

/// What is known of a profile.
#[derive(Debug)]
pub(super) enum Known {
    /// Nothing.
    Nothing,
    /// What is taken for true.
    Fresh(Profile),
    /// What was true lately.
    Stale(Profile),
}

/// What becomes of a wish to ask for a profile.
#[derive(Debug)]
pub(super) enum Begun {
    /// The caller asks.
    Own,
    /// Another one asks.
    Busy,
    /// It could not be had lately.
    Failed,
    /// It has come in between.
    Known(Profile),
}

/// What came of asking for a profile.
pub(super) enum Told<'a> {
    /// The profile, for how long it is fresh, and for how long it is kept.
    Profile(&'a Profile, Duration, Duration),
    /// Nothing, and nobody asks again for so long.
    Nothing(Duration),
}

#[derive(Clone)]
pub(super) struct ProfileStore {
    db: Db,
    keyspace: Keyspace,
    clock: Clock,
}

impl ProfileStore {
    pub(super) fn new(db: Db, keyspace: Keyspace, clock: Clock) -> Self {
        Self { db, keyspace, clock }
    }

    pub(super) fn on(&self, db: Db) -> Self {
        Self { db, ..self.clone() }
    }

    fn known_key(&self, source: &Source, member: &Member) -> String {
        self.keyspace.tagged(TAG, source.board.as_str(), &format!("known:{}:{member}", source.tag))
    }

    /// Who asks for each profile, and the profile.
    fn pairs(&self, source: &Source, members: &[&Member]) -> Vec<String> {
        let asked =
            |member| self.keyspace.tagged(TAG, source.board.as_str(), &format!("asked:{}:{member}", source.tag));
        members.iter().flat_map(|member| [asked(member), self.known_key(source, member)]).collect()
    }

    /// What is known of the profiles of these members.
    pub(super) async fn known(&self, source: &Source, members: &[Member]) -> Result<Vec<Known>> {
        let keys: Vec<String> = members.iter().map(|member| self.known_key(source, member)).collect();
        let mut reply = Reply::of(KNOWN.keys(&keys).arg(self.clock.to_argument()).run(&self.db).await?)?;
        let now = reply.count()?;
        let known = members.iter().map(|_| {
            let text = reply.text()?;
            if text.is_empty() {
                return Ok(Known::Nothing);
            }
            let (fresh_until, profile) = read(&text)?;
            Ok(if fresh_until > now { Known::Fresh(profile) } else { Known::Stale(profile) })
        });
        known.collect()
    }

    /// Begins to ask for profiles, as far as that is the caller's to do. Others wait for so long.
    pub(super) async fn begin(
        &self,
        source: &Source,
        members: &[&Member],
        who: &str,
        lasts: Duration,
    ) -> Result<Vec<Begun>> {
        let call = BEGIN.keys(&self.pairs(source, members)).arg(self.clock.to_argument());
        let mut reply = Reply::of(call.arg(who).number(in_ms(lasts)).run(&self.db).await?)?;
        let begun = members.iter().map(|_| match reply.text()?.as_str() {
            "begun" => Ok(Begun::Own),
            "busy" => Ok(Begun::Busy),
            "failed" => Ok(Begun::Failed),
            known => Ok(Begun::Known(read(known)?.1)),
        });
        begun.collect()
    }

    /// Ends asking, and keeps what was told.
    pub(super) async fn keep(&self, source: &Source, members: &[&Member], who: &str, told: &[Told<'_>]) -> Result<()> {
        let mut call = KEEP.keys(&self.pairs(source, members)).arg(self.clock.to_argument()).arg(who);
        for told in told {
            let (json, fresh, kept) = match told {
                Told::Profile(profile, fresh, kept) => (profile.as_ref().map_or(NONE, Raw::as_str), *fresh, *kept),
                Told::Nothing(pause) => ("", *pause, *pause),
            };
            call = call.arg(json).number(in_ms(fresh)).number(in_ms(kept));
        }
        call.run(&self.db).await.map(drop)
    }
}

/// Reads what is kept: until when it is fresh (ms), and the profile.
fn read(text: &str) -> Result<(u64, Profile)> {
    let read = || {
        let (fresh_until, json) = text.split_once(' ')?;
        let profile = if json == NONE { None } else { Some(Raw::from_stored(json.to_owned())?) };
        Some((fresh_until.parse().ok()?, profile))
    };
    read().ok_or_else(|| Error::Internal("a profile that is kept cannot be read".to_owned()))
}

/// At least one: Redis keeps nothing for no time.
fn in_ms(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX).max(1)
}
