//! Lists of names: a ZSET whose members all have the score 0, and so stand in their order.

use std::collections::BTreeSet;

use super::{Db, Effect, Reply};
use crate::error::{Error, Result};
use crate::types::{Limit, NameRange};

/// Keys that one step of a scan looks at.
const KEYS_A_STEP: u64 = 500;

/// Names in these ranges (sorted; others are not read) after `after`, and whether there are more.
///
/// # Errors
///
/// Those of a read.
pub async fn names_in<T: TryFrom<String>>(
    (db, key, call): (&Db, String, &'static str),
    ranges: &[NameRange],
    after: Option<&str>,
    limit: Limit,
) -> Result<(Vec<T>, bool)> {
    let (mut names, most) = (Vec::new(), limit.get() as usize);
    for (from, to) in ranges.iter().filter_map(|range| range.lexical_after(after)) {
        let mut command = redis::cmd("ZRANGEBYLEX");
        command.arg(&key).arg(from).arg(to).arg("LIMIT").arg(0).arg(most + 1 - names.len());
        let mut reply = Reply::of(db.run(&command, call, Effect::Read).await?)?;
        while !reply.is_empty() {
            let strange = |_| Error::Internal(format!("{key} has a strange name"));
            names.push(T::try_from(reply.text()?).map_err(strange)?);
        }
        if names.len() > most {
            names.truncate(most);
            return Ok((names, true));
        }
    }
    Ok((names, false))
}

/// The names that there is a key for, found by going through all keys; `key` gives that of a name. The server may be in use meanwhile.
///
/// # Errors
///
/// Those of a read.
pub async fn names_stored<T: TryFrom<String> + Ord>(db: &Db, key: impl Fn(&str) -> String) -> Result<Vec<T>> {
    let pattern = key("*");
    let (before, after) = pattern.split_once('*').unwrap_or((&pattern, ""));
    let mut names = BTreeSet::new();
    for part in db.parts().await {
        let mut cursor = "0".to_owned();
        loop {
            let mut command = redis::cmd("SCAN");
            command.arg(cursor).arg("MATCH").arg(&pattern).arg("COUNT").arg(KEYS_A_STEP);
            let mut reply = Reply::of(db.read_at(&part, &command, "scan_names").await?)?;
            cursor = reply.text()?;
            let mut keys = reply.list()?;
            while !keys.is_empty() {
                let found = String::from_utf8(keys.bytes()?).ok();
                let name = found.as_deref().and_then(|key| key.strip_prefix(before)?.strip_suffix(after));
                names.extend(name.and_then(|name| T::try_from(name.to_owned()).ok()));
            }
            if cursor == "0" {
                break;
            }
        }
    }
    Ok(names.into_iter().collect())
}
