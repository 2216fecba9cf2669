//! Compares the keys in Redis with the model, byte for byte.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use ranq::leaderboard::{Order, Settings, Ties};
use ranq::types::LeaderboardName;
use redis::FromRedisValue;
use redis::aio::MultiplexedConnection;

use super::model::{Model, Row};
use super::run::Checked;
use super::server::PREFIX;

const BUCKET_RECORDS: usize = 16;
const SIGN: u64 = 1 << 63;
const STAMP_TURN: u64 = (1 << 53) - 1;

async fn read<T: FromRedisValue>(connection: &mut MultiplexedConnection, command: &[&str]) -> T {
    let mut call = redis::cmd(command[0]);
    call.arg(&command[1..]);
    call.query_async(connection).await.expect("Redis answers")
}

/// Of all shards.
async fn keys(connection: &mut MultiplexedConnection, name: &LeaderboardName) -> BTreeSet<String> {
    read(connection, &["KEYS", &format!("{PREFIX}:{{lb*:{name}}}:*")]).await
}

/// So many bytes of 0x80 plus seven bits.
fn seven_bits_a_byte(value: u64, width: u32) -> impl Iterator<Item = u8> {
    (0..width).rev().map(move |place| 0x80 | (u128::from(value) >> (7 * place)) as u8 & 0x7f)
}

fn sub_key(settings: &Settings, row: &Row) -> Vec<u8> {
    let columns = settings.subscores.iter().zip(&row.subscores);
    columns
        .flat_map(|(column, value)| {
            let bits = (value + 0.0).to_bits();
            let sortable = if bits & SIGN == 0 { bits | SIGN } else { !bits };
            seven_bits_a_byte(if column.order == Order::Descending { !sortable } else { sortable }, 10)
        })
        .collect()
}

fn order_key(settings: &Settings, row: &Row) -> Vec<u8> {
    let mut key = sub_key(settings, row);
    let stamp = row.stamp_us as u64;
    match settings.ties {
        Ties::Earliest => key.extend(seven_bits_a_byte(stamp, 8)),
        Ties::Latest => key.extend(seven_bits_a_byte(STAMP_TURN - stamp, 8)),
        Ties::Member => {}
    }
    key
}

fn ranked(settings: &Settings, score: f64) -> f64 {
    if settings.order == Order::Descending { -score + 0.0 } else { score + 0.0 }
}

/// Checks every key of the leaderboard.
pub async fn check(connection: &mut MultiplexedConnection, name: &LeaderboardName, model: &Model) -> Checked {
    let mut left = keys(connection, name).await;
    let tag = format!("{PREFIX}:{{lb:{name}}}:");
    let board_stands = left.remove(&format!("{tag}board"));
    prop_assert!(board_stands);
    left.retain(|key| !(model.segments.any() && key[tag.len()..].starts_with("described:")));
    left.retain(|key| !key[tag.len()..].starts_with("idem:") && !key[tag.len()..].starts_with("limit:"));
    let beside = ["idem:", "limit:", "audit:"];
    left.retain(|key| !beside.iter().any(|kind| key[tag.len()..].starts_with(kind)));
    for (window, rows) in &model.windows {
        let settings = &model.settings;
        let mut take = |kind: &str| {
            let is_it = |key: &&String| {
                key[tag.len()..].starts_with(&format!("{kind}:")) && key.ends_with(&format!(":{window}:open:"))
            };
            let key = left.iter().find(is_it).cloned();
            key.inspect(|key| assert!(left.remove(key)))
        };
        let (rank, ids, meta, distinct) = (take("rank"), take("ids"), take("meta"), take("distinct"));
        let (segments, values) = (take("segments"), take("values"));
        let has_directory = settings.ties != Ties::Member || !settings.subscores.is_empty();
        prop_assert_eq!(rank.is_some(), !rows.is_empty());
        prop_assert_eq!(ids.is_some(), !rows.is_empty() && has_directory);
        prop_assert_eq!(meta.is_some(), rows.iter().any(|row| row.metadata.is_some()));
        if let Some(rank) = rank {
            check_ranking(connection, &rank, settings, rows).await?;
        }
        if let Some(ids) = ids {
            check_directory(connection, &ids, settings, rows).await?;
        }
        if let Some(meta) = meta {
            let found: BTreeMap<String, String> = read(connection, &["HGETALL", &meta]).await;
            let with_metadata =
                rows.iter().filter_map(|row| Some((row.member.as_str().to_owned(), row.metadata.clone()?)));
            prop_assert_eq!(found, with_metadata.collect::<BTreeMap<_, _>>());
        }
        let parts = || rows.iter().flat_map(|row| &row.parts);
        prop_assert_eq!(segments.is_some(), parts().any(|(_, (ranked, _))| *ranked));
        if let Some(segments) = segments {
            check_segments(connection, &segments, settings, rows).await?;
        }
        if let Some(values) = values {
            check_values(connection, &values, rows).await?;
        } else {
            prop_assert!(parts().next().is_none());
        }
        if let Some(distinct) = distinct {
            prop_assert!(!rows.is_empty());
            check_distinct(connection, &distinct, settings, rows).await?;
        }
    }
    prop_assert!(left.is_empty(), "keys that nobody needs: {:?}", left);
    Ok(())
}

async fn check_ranking(
    connection: &mut MultiplexedConnection,
    rank: &str,
    settings: &Settings,
    rows: &[Row],
) -> Checked {
    let found: Vec<(Vec<u8>, f64)> = read(connection, &["ZRANGE", rank, "0", "-1", "WITHSCORES"]).await;
    let expected = rows.iter().map(|row| {
        let mut element = order_key(settings, row);
        element.extend_from_slice(row.member.as_str().as_bytes());
        (element, ranked(settings, row.score))
    });
    prop_assert_eq!(found, expected.collect::<Vec<_>>());
    Ok(())
}

fn part(number: u64, ranked: bool, values: &[String]) -> String {
    format!("{number}{}{}", if ranked { '\u{2}' } else { '\u{3}' }, values.join("\u{1f}"))
}

/// Each entry stands in its parts, in the order of the ranking.
async fn check_segments(
    connection: &mut MultiplexedConnection,
    segments: &str,
    settings: &Settings,
    rows: &[Row],
) -> Checked {
    let found: Vec<Vec<u8>> = read(connection, &["ZRANGE", segments, "0", "-1"]).await;
    let mut expected: Vec<(String, Vec<u8>)> = Vec::new();
    for row in rows {
        for (number, (_, values)) in row.parts.iter().filter(|(_, (ranked, _))| *ranked) {
            let bits = ranked(settings, row.score).to_bits();
            let mut element = part(*number, true, values).into_bytes();
            element.push(0);
            element.extend(if bits & SIGN == 0 { bits | SIGN } else { !bits }.to_be_bytes());
            element.extend(order_key(settings, row));
            element.extend_from_slice(row.member.as_str().as_bytes());
            expected.push((part(*number, true, values), element));
        }
    }
    // By part alone: inside it the order of the rows must be that of the bytes.
    expected.sort_by_key(|(part, _)| [part.as_bytes(), &[0]].concat());
    prop_assert_eq!(found, expected.into_iter().map(|(_, element)| element).collect::<Vec<_>>());
    Ok(())
}

/// Each entry has its parts, and the values of each dimension are counted.
async fn check_values(connection: &mut MultiplexedConnection, values: &str, rows: &[Row]) -> Checked {
    let mut found: BTreeMap<String, String> = read(connection, &["HGETALL", values]).await;
    let mut counted: BTreeMap<u64, BTreeSet<&[String]>> = BTreeMap::new();
    for row in rows.iter().filter(|row| !row.parts.is_empty()) {
        let parts = found.remove(row.member.as_str()).unwrap_or_default();
        let parts: BTreeSet<&str> = parts.split('\u{1}').skip(1).collect();
        let expected: BTreeSet<String> =
            row.parts.iter().map(|(number, (ranked, values))| part(*number, *ranked, values)).collect();
        prop_assert_eq!(parts, expected.iter().map(String::as_str).collect::<BTreeSet<_>>());
        for (number, (_, values)) in row.parts.iter().filter(|(_, (ranked, _))| *ranked) {
            counted.entry(*number).or_default().insert(values);
        }
    }
    let counted = counted.iter().map(|(number, values)| (format!("\u{1}{number}"), values.len().to_string()));
    prop_assert_eq!(found, counted.collect::<BTreeMap<_, _>>());
    Ok(())
}

/// The buckets are numbered without a gap, and hold one record for each entry.
async fn check_directory(
    connection: &mut MultiplexedConnection,
    ids: &str,
    settings: &Settings,
    rows: &[Row],
) -> Checked {
    let buckets: BTreeMap<u64, Vec<u8>> = read(connection, &["HGETALL", ids]).await;
    prop_assert!(buckets.keys().copied().eq(0..buckets.len() as u64), "{:?}", buckets.keys());
    prop_assert!(rows.len() <= buckets.len() * BUCKET_RECORDS, "{} buckets are too few", buckets.len());
    let mut found = BTreeMap::new();
    let mut records = 0;
    for text in buckets.values() {
        let mut rest = text.as_slice();
        while let Some((1, record)) = rest.split_first() {
            let end = record.iter().position(|byte| *byte == 0).expect("an end of the member");
            let width = order_key(settings, &rows[0]).len();
            let (key, next) = record[end + 1..].split_at(width);
            found.insert(record[..end].to_vec(), key.to_vec());
            records += 1;
            rest = next;
        }
        prop_assert!(rest.is_empty(), "what follows the records of a bucket: {:?}", rest);
    }
    prop_assert_eq!(records, rows.len(), "a member stands twice, or is lost");
    let expected = rows.iter().map(|row| (row.member.as_str().as_bytes().to_vec(), order_key(settings, row)));
    prop_assert_eq!(found, expected.collect::<BTreeMap<_, _>>());
    Ok(())
}

async fn check_distinct(
    connection: &mut MultiplexedConnection,
    distinct: &str,
    settings: &Settings,
    rows: &[Row],
) -> Checked {
    let found: Vec<(Vec<u8>, f64)> = read(connection, &["ZRANGE", distinct, "0", "-1", "WITHSCORES"]).await;
    prop_assert_eq!(found.first(), Some(&(b"start".to_vec(), f64::NEG_INFINITY)));
    prop_assert_eq!(found.last(), Some(&(b"end".to_vec(), f64::INFINITY)));
    let mut expected: Vec<(Vec<u8>, f64)> =
        rows.iter().map(|row| (sub_key(settings, row), ranked(settings, row.score))).collect();
    expected.dedup();
    let width = sub_key(settings, &rows[0]).len();
    let found = found[1..found.len() - 1].iter().map(|(entry, score)| (entry[..width].to_vec(), *score));
    prop_assert_eq!(found.collect::<Vec<_>>(), expected);
    Ok(())
}

/// After a deletion only what has an end of its own may be left.
pub async fn check_deleted(connection: &mut MultiplexedConnection, name: &LeaderboardName) -> Checked {
    for key in keys(connection, name).await {
        let lifetime_ms: i64 = read(connection, &["PTTL", &key]).await;
        prop_assert!(lifetime_ms > 0, "{} is left for ever", key);
    }
    let listed: Option<f64> = read(connection, &["ZSCORE", &format!("{PREFIX}:leaderboards"), name.as_str()]).await;
    prop_assert_eq!(listed, None);
    Ok(())
}
