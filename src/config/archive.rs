//! Where finished jobs are kept for good.

use std::path::{Path, PathBuf};
use std::str::FromStr as _;
use std::time::Duration;

use secrecy::SecretString;
use sqlx::postgres::PgConnectOptions;

/// The archive, and how it is written.
#[derive(Debug, Clone)]
pub struct ArchiveSettings {
    /// Where it is.
    pub target: ArchiveTarget,
    /// How many jobs are written in one statement.
    pub batch: u64,
    /// How often.
    pub every: Duration,
    /// How many finished jobs of a queue may be on their way.
    pub outbox_max: u64,
    /// What becomes of the next one.
    pub when_full: WhenFull,
    /// How long a job that was read from there is kept in Redis.
    pub cache: Duration,
    /// How long what is archived is kept; for ever without one.
    pub retention: Option<Duration>,
}

/// Where the archive is.
#[derive(Debug, Clone)]
pub enum ArchiveTarget {
    /// A file.
    Sqlite(PathBuf),
    /// A URL, which may carry a password.
    Postgres(SecretString),
}

/// What becomes of a finished job when as many are on their way to the archive as may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WhenFull {
    /// It waits in its queue until there is room.
    Block,
    /// The oldest one on its way makes room, and is lost to the archive.
    DropOldest,
}

/// The file of `auto` and of `sqlite` alone.
const DEFAULT_FILE: &str = "archive.db";

/// Reads the place of an archive. `directory` is that of the private Redis, where there is one: paths stand within it, and there is an
/// archive by itself.
pub(super) fn parse_archive(text: &str, directory: Option<&Path>) -> Result<Option<ArchiveTarget>, String> {
    match text {
        "none" => return Ok(None),
        "auto" => return Ok(directory.map(|directory| ArchiveTarget::Sqlite(directory.join(DEFAULT_FILE)))),
        "sqlite" => {
            return Ok(Some(ArchiveTarget::Sqlite(directory.unwrap_or(Path::new("")).join(DEFAULT_FILE))));
        }
        _ => {}
    }
    if let Some(path) = text.strip_prefix("sqlite:") {
        let path = path.strip_prefix("//").unwrap_or(path);
        if path.is_empty() || path.starts_with(':') || path.contains('?') {
            return Err("must name a file behind sqlite: and nothing else".to_owned());
        }
        let path = directory.map_or_else(|| PathBuf::from(path), |directory| directory.join(path));
        return Ok(Some(ArchiveTarget::Sqlite(path)));
    }
    let is_url = ["postgres://", "postgresql://"].iter().any(|scheme| text.starts_with(scheme));
    // What is wrong is not told, since it may be in a password.
    if is_url && PgConnectOptions::from_str(text).is_ok() {
        return Ok(Some(ArchiveTarget::Postgres(SecretString::from(text.to_owned()))));
    }
    Err("must be auto, none, sqlite, sqlite:PATH or postgres://[user:password@]host[:port]/database".to_owned())
}

pub(super) fn parse_when_full(text: &str) -> Result<WhenFull, String> {
    match text {
        "block" => Ok(WhenFull::Block),
        "drop-oldest" => Ok(WhenFull::DropOldest),
        _ => Err("must be block or drop-oldest".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_archive_is_a_file_a_server_or_none() {
        let data = Path::new("/data");
        let file = |text: &str, directory| match parse_archive(text, directory) {
            Ok(Some(ArchiveTarget::Sqlite(path))) => path,
            other => panic!("{text}: {other:?}"),
        };
        assert!(matches!(parse_archive("none", None), Ok(None)));
        assert!(matches!(parse_archive("auto", None), Ok(None)), "which instances there are is not known");
        assert_eq!(file("auto", Some(data)), Path::new("/data/archive.db"));
        assert_eq!(file("sqlite", Some(data)), Path::new("/data/archive.db"));
        assert_eq!(file("sqlite", None), Path::new("archive.db"));
        assert_eq!(file("sqlite:jobs.db", Some(data)), Path::new("/data/jobs.db"));
        assert_eq!(file("sqlite:///srv/jobs.db", Some(data)), Path::new("/srv/jobs.db"));
        assert_eq!(file("sqlite:jobs.db", None), Path::new("jobs.db"));
        let server = "postgres://ann:s3cret@db.example:5433/jobs";
        assert!(matches!(parse_archive(server, None), Ok(Some(ArchiveTarget::Postgres(_)))));
        for wrong in
            ["", "jobs.db", "sqlite:", "sqlite::memory:", "sqlite:a?mode=ro", "mysql://a/b", "postgres://ann:s3cret@:x"]
        {
            let mistake = parse_archive(wrong, None).expect_err(wrong);
            assert!(mistake.starts_with("must ") && !mistake.contains("s3cret"), "{wrong}: {mistake}");
        }
    }
}
