//! Lists of names: a ZSET whose members all have the score 0, and so stand in their order.

use super::{Db, Effect, Reply};
use crate::error::{Error, Result};
use crate::types::{Limit, NameRange};

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
