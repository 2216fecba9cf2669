//! Totals that decay: how they are kept so that nothing that stands need be written again.
//!
//! A total x at a time t is kept as sign(x) · (1100 + log2|x| + half-lives from the leaderboard's creation until t), and 0
//! as 0. What stands is then worth less by itself as time goes on, and its order is that of the totals at any time. The
//! offset keeps the bracket above 0 for every double. `lua/_decay.lua` has the same format.
//!
//! What is kept is a double, so a total has as many true digits as the bracket leaves behind its point: 12 until 7,000
//! half-lives after the creation, 11 until 64,000, 9 until 8 million, 7 until 500 million, which a half-life of a second
//! reaches after 16 years. Totals are shown with those. Each addition rounds once, by less than half of the last digit shown.

use super::settings::Settings;
use crate::types::{Score, Timestamp};

const OFFSET: f64 = 1100.0;
const MOST_DIGITS: i32 = 12;

/// How the totals of a leaderboard decay.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Decay {
    half_life_us: i64,
    created_us: i64,
}

impl Decay {
    /// That of a leaderboard with these settings, if its totals decay.
    pub fn of(settings: &Settings, created_at: Timestamp) -> Option<Self> {
        let half_life_us = i64::try_from(settings.half_life_ms?.max(1)).ok()?.checked_mul(1000)?;
        Some(Self { half_life_us, created_us: created_at.as_millis().max(0).saturating_mul(1000) })
    }

    /// The argument of scripts.
    pub fn to_argument(self) -> String {
        format!("{} {}", self.half_life_us, self.created_us)
    }

    /// What is kept of a total at a time in µs.
    pub fn kept(self, total: Score, at_us: i64) -> Score {
        let (whole, part) = self.age(at_us);
        let total = total.value();
        if total == 0.0 {
            return Score::default();
        }
        // A number below the normal ones is taken up first.
        let (scaled, taken_up) =
            if total.abs() < f64::MIN_POSITIVE { (total * 2_f64.powi(64), 64.0) } else { (total, 0.0) };
        let (mantissa, exponent) = parts(scaled.abs());
        let bracket = OFFSET + exponent - taken_up + whole + (mantissa.log2() + part);
        Score::new(bracket.copysign(total)).unwrap_or_default()
    }

    /// The total, as exactly as it is kept, at a time in µs.
    pub fn total(self, kept: Score, at_us: i64) -> Score {
        let (whole, part) = self.age(at_us);
        let kept = kept.value();
        if kept == 0.0 {
            return Score::default();
        }
        let power = kept.abs() - OFFSET - whole - part;
        // In two steps, since a power below the normal numbers is not to be 0 yet.
        let half = (power / 2.0).floor().clamp(-2000.0, 2000.0);
        let total = 2_f64.powi(half as i32) * (power - half).exp2();
        Score::new(total.min(f64::MAX).copysign(kept)).unwrap_or_default()
    }

    /// The total with its true digits.
    pub fn shown(self, kept: Score, at_us: i64) -> Score {
        let total = self.total(kept, at_us);
        let digits = true_digits(kept.value());
        let text = format!("{:.*e}", digits - 1, total.value());
        text.parse().ok().and_then(Score::new).unwrap_or(total)
    }

    /// Whole half-lives since the creation, and the rest of one.
    fn age(self, at_us: i64) -> (f64, f64) {
        let past = at_us.saturating_sub(self.created_us).max(0);
        let rest = past % self.half_life_us;
        (((past - rest) / self.half_life_us) as f64, rest as f64 / self.half_life_us as f64)
    }
}

/// A normal positive number as a mantissa from one half to below 1 and a power of two.
fn parts(number: f64) -> (f64, f64) {
    const MANTISSA: u64 = (1 << 52) - 1;
    let bits = number.to_bits();
    let exponent = (bits >> 52) as i32 - 1022;
    (f64::from_bits((bits & MANTISSA) | (1022 << 52)), f64::from(exponent))
}

/// How many digits of a total are true, by how far what is kept of it lies from the next double.
fn true_digits(kept: f64) -> usize {
    let exponent = kept.abs().max(1.0).log2().floor() as i32 + 1;
    let digits = (f64::from(53 - exponent) * std::f64::consts::LOG10_2).floor() as i32;
    usize::try_from(digits.clamp(1, MOST_DIGITS)).unwrap_or(1)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const DAY_MS: u64 = 24 * 3600 * 1000;
    const CREATED_MS: i64 = 1_795_412_400_000;

    fn decay(half_life_ms: u64) -> Decay {
        let settings = Settings { half_life_ms: Some(half_life_ms), ..Settings::default() };
        Decay::of(&settings, Timestamp::from_millis(CREATED_MS)).expect("it decays")
    }

    fn score(value: f64) -> Score {
        Score::new(value).expect("finite")
    }

    /// So many half-lives of a day after the creation.
    fn after(half_lives: f64) -> i64 {
        CREATED_MS * 1000 + (half_lives * DAY_MS as f64 * 1000.0) as i64
    }

    fn finite() -> impl Strategy<Value = f64> {
        any::<f64>().prop_filter("finite", |value| value.is_finite())
    }

    #[test]
    fn a_total_halves_in_a_half_life() {
        let decay = decay(DAY_MS);
        for total in [100.0, -100.0, 0.1, 1e300, 3.0, 0.0] {
            let kept = decay.kept(score(total), after(3.25));
            assert_eq!(decay.shown(kept, after(3.25)), score(total));
            assert_eq!(decay.shown(kept, after(4.25)), score(total / 2.0));
            assert_eq!(decay.shown(kept, after(13.25)), score(total / 1024.0));
        }
    }

    #[test]
    fn the_ends_of_the_range_are_kept() {
        let decay = decay(DAY_MS);
        for total in [f64::MAX, f64::MIN, f64::MIN_POSITIVE, 5e-324, -5e-324] {
            let kept = decay.kept(score(total), after(0.0));
            assert_eq!(kept.value().signum(), total.signum());
            let shown = decay.shown(kept, after(0.0)).value();
            assert!((shown / total - 1.0).abs() < 1e-11, "{total:e}: {shown:e}");
            // Long after, it is 0, and its place is kept all the same.
            assert_eq!(decay.shown(kept, after(5000.0)), Score::default());
        }
    }

    #[test]
    fn fewer_digits_are_true_when_more_half_lives_have_passed() {
        for (half_lives, digits) in [(0.0, 12), (7000.0, 12), (64_000.0, 11), (8e6, 9), (5e8, 7)] {
            assert_eq!(true_digits(OFFSET + half_lives), digits, "{half_lives}");
        }
    }

    proptest! {
        #[test]
        fn what_is_kept_is_as_exact_as_it_is_shown(
            total in -1e15..1e15, half_life in 1000..10 * 365 * DAY_MS, years in 0.0..10.0_f64,
        ) {
            let decay = decay(half_life);
            let now = CREATED_MS * 1000 + (years * 365.0 * DAY_MS as f64 * 1000.0) as i64;
            let kept = decay.kept(score(total), now);
            let digits = i32::try_from(true_digits(kept.value())).expect("few");
            let shown = decay.total(kept, now).value();
            prop_assert!((shown - total).abs() <= total.abs() * 0.6 * 10_f64.powi(-digits), "{total} {shown} {digits}");
        }

        #[test]
        fn what_is_kept_sorts_as_the_totals_do(a in finite(), b in finite(), then in 0.0..5000.0_f64, later in 0.0..5000.0_f64) {
            let decay = decay(DAY_MS);
            let (kept_a, kept_b) = (decay.kept(score(a), after(then)), decay.kept(score(b), after(then)));
            let near = (a - b).abs() <= a.abs() * 1e-11;
            prop_assert!(near || kept_a.partial_cmp(&kept_b) == score(a).partial_cmp(&score(b)));
            let at = after(then + later);
            let (shown_a, shown_b) = (decay.total(kept_a, at), decay.total(kept_b, at));
            prop_assert!(shown_a == shown_b || shown_a.partial_cmp(&shown_b) == kept_a.partial_cmp(&kept_b));
        }
    }
}
