//! The bytes in front of a member that make equal scores sort right: subscores, then the time of achievement.
//!
//! Every byte is 0x80 plus seven bits, most significant first, so that byte order is numeric order and no byte is a
//! control character. A subscore is ten bytes: its IEEE 754 bits made sortable (sign bit set if positive, all bits turned
//! if negative), all turned once more where higher is better. A time is eight bytes: µs since 1970, or its distance from
//! 2^53 - 1 where the latest is ahead. `lua/_stamp.lua` and `lua/_subscores.lua` write the same format.

use super::settings::{Order, Settings, Ties};
use crate::types::{ExactTimestamp, Score};

const SUBSCORE_WIDTH: usize = 10;
const STAMP_WIDTH: usize = 8;
const STAMP_TURN: u64 = (1 << 53) - 1;
const SIGN: u64 = 1 << 63;

/// The bytes of subscores in the order key of a leaderboard with these settings.
pub fn sub_width(settings: &Settings) -> usize {
    settings.subscores.len() * SUBSCORE_WIDTH
}

/// The bytes of the whole order key of a leaderboard with these settings.
pub fn width(settings: &Settings) -> usize {
    sub_width(settings) + if settings.ties == Ties::Member { 0 } else { STAMP_WIDTH }
}

/// The subscores' part of an order key; the values stand in the order of the columns.
pub fn encode_subscores(values: &[Score], settings: &Settings) -> Vec<u8> {
    let mut key = Vec::with_capacity(values.len() * SUBSCORE_WIDTH);
    for (value, column) in values.iter().zip(&settings.subscores) {
        let bits = value.value().to_bits();
        let sortable = if bits & SIGN == 0 { bits | SIGN } else { !bits };
        let turned = if column.order == Order::Descending { !sortable } else { sortable };
        encode(turned, SUBSCORE_WIDTH, &mut key);
    }
    key
}

/// What an order key says. `None` for bytes that no leaderboard with these settings has written.
pub fn decode(key: &[u8], settings: &Settings) -> Option<(Vec<Score>, Option<ExactTimestamp>)> {
    let (sub_key, stamp) = key.split_at_checked(sub_width(settings))?;
    let subscores: Option<Vec<Score>> = sub_key
        .chunks_exact(SUBSCORE_WIDTH)
        .zip(&settings.subscores)
        .map(|(bytes, column)| {
            let turned = number(bytes);
            let sortable = if column.order == Order::Descending { !turned } else { turned };
            let bits = if sortable & SIGN == 0 { !sortable } else { sortable & !SIGN };
            Score::new(f64::from_bits(bits))
        })
        .collect();
    let micros = match settings.ties {
        Ties::Member => return Some((subscores?, None)),
        Ties::Earliest => number(stamp),
        Ties::Latest => STAMP_TURN.checked_sub(number(stamp))?,
    };
    Some((subscores?, Some(ExactTimestamp::from_micros(micros)?)))
}

/// The score of the eight bytes that an entry of a segment has in front of its order key.
pub fn score_of(bytes: [u8; 8]) -> Option<Score> {
    let sortable = u64::from_be_bytes(bytes);
    Score::new(f64::from_bits(if sortable & SIGN == 0 { !sortable } else { sortable & !SIGN }))
}

fn encode(value: u64, width: usize, key: &mut Vec<u8>) {
    for place in (0..width).rev() {
        // Ten bytes hold 70 bits: the first shift is 63.
        key.push(0x80 | ((value >> (7 * place)) & 0x7f) as u8);
    }
}

fn number(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0, |value, byte| (value << 7) | u64::from(byte & 0x7f))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::leaderboard::settings::Subscore;
    use crate::types::WindowName;

    fn settings(order: Order, ties: Ties) -> Settings {
        let name = WindowName::try_from("column".to_owned()).expect("a name");
        Settings { subscores: vec![Subscore { name, order }], ties, ..Settings::default() }
    }

    proptest! {
        #[test]
        fn bytes_sort_as_the_numbers_do(a in proptest::num::f64::NORMAL | proptest::num::f64::SUBNORMAL | proptest::num::f64::ZERO, b in any::<f64>()) {
            prop_assume!(b.is_finite());
            let (a, b) = (Score::new(a).expect("finite"), Score::new(b).expect("finite"));
            let ascending = settings(Order::Ascending, Ties::Member);
            let descending = settings(Order::Descending, Ties::Member);
            let key = |score, settings| encode_subscores(&[score], settings);
            prop_assert_eq!(key(a, &ascending).cmp(&key(b, &ascending)), a.value().total_cmp(&b.value()));
            prop_assert_eq!(key(a, &descending).cmp(&key(b, &descending)), b.value().total_cmp(&a.value()));
        }

        #[test]
        fn what_was_encoded_is_decoded(value in any::<f64>(), descending in any::<bool>()) {
            prop_assume!(value.is_finite());
            let score = Score::new(value).expect("finite");
            let settings = settings(if descending { Order::Descending } else { Order::Ascending }, Ties::Member);
            let key = encode_subscores(&[score], &settings);
            prop_assert!(key.iter().all(|byte| *byte >= 0x80));
            prop_assert_eq!(decode(&key, &settings), Some((vec![score], None)));
        }
    }

    #[test]
    fn a_time_is_read_from_either_direction() {
        let micros = 1_795_412_400_123_456;
        for (ties, stamp) in [(Ties::Earliest, micros), (Ties::Latest, STAMP_TURN - micros)] {
            let settings = Settings { ties, ..Settings::default() };
            let mut key = Vec::new();
            encode(stamp, STAMP_WIDTH, &mut key);
            let (_, achieved_at) = decode(&key, &settings).expect("a key");
            assert_eq!(achieved_at.map(ExactTimestamp::as_micros), Some(micros));
        }
    }
}
