//! Cron lines: when a schedule ticks, and when a window resets.
//!
//! A line has five fields (minute, hour, day of the month, month, day of the week) or six (the second in front), or is
//! `@hourly`, `@daily` (`@midnight`), `@weekly`, `@monthly` or `@yearly` (`@annually`). Fields hold `*`, numbers, names
//! (`JAN`, `MON`), ranges (`1-5`), steps (`*/15`, `8-18/2`) and lists of these; 0 and 7 are Sunday. Beyond the classics:
//! `?` is `*` in the fields of days, `L` the last day of the month, `LW` its last Monday to Friday, `15W` the nearest
//! Monday to Friday, `FRI#2` the second Friday, `FRI#L` (or `5L`) the last. When both fields of days are given, a day needs
//! to match one of them; with `+` in front of the day of the week it must match both.
//!
//! Where clocks are put forward or back, it depends on the field of hours. With fixed hours (`30 2 * * *`, `0 9-17 * * *`)
//! a time that is skipped ticks at the first moment after the gap, and one that comes twice ticks the first time. With `*`
//! or a step there (`*/10 * * * *`, `0 */2 * * *`) the line ticks whenever the clock on the wall shows a time that matches.

mod parse;
#[cfg(test)]
mod tests;

use croner::{CronComponent, CronPattern, Weekday};
use jiff::Timestamp;
use jiff::civil::{Date, Time};
use jiff::tz::{Offset, TimeZone};

use self::parse::pattern_of;

const DAY: i64 = 86_400;
const LAST_SECOND: u32 = 86_399;
/// Years of each kind (leap or not, by their first weekday) come within 40 years: what does not tick until then never does.
const HORIZON: i64 = 41 * 366 * DAY;
/// Further away than any time that there is, and small enough to be added to.
const FOREVER: i64 = 1 << 50;

/// What is wrong with a cron line or its time zone, in one sentence without a full stop.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CronFault {
    /// The line.
    #[error("{0}")]
    Line(String),
    /// The name of the time zone.
    #[error("{0}")]
    Zone(String),
}

/// A cron line in a time zone.
#[derive(Debug, Clone)]
pub struct Cron {
    line: String,
    zone_name: String,
    zone: TimeZone,
    days: CronPattern,
    times: Times,
    has_fixed_hours: bool,
}

/// The times of a day that match, a bit a number.
#[derive(Debug, Clone, Copy)]
struct Times {
    hours: u64,
    minutes: u64,
    seconds: u64,
}

/// A time in which the offset stays the same, in seconds since 1970.
///
/// A *wall* is the time that the clock on the wall shows, as the seconds that it would be in UTC.
#[derive(Debug, Clone, Copy)]
struct Season {
    start: i64,
    end: i64,
    offset: i64,
    offset_before: i64,
}

impl Cron {
    /// Reads a line, and the name of an IANA time zone (UTC without one).
    ///
    /// # Errors
    ///
    /// What is wrong with which; a line that never ticks, such as one for 30 February, is wrong too.
    pub fn parse(line: &str, timezone: Option<&str>) -> Result<Self, CronFault> {
        let zone_name = timezone.unwrap_or("UTC");
        let zone = TimeZone::get(zone_name).ok().filter(|zone| !zone.is_unknown());
        let unknown = "not the name of a time zone in the IANA database, such as `Europe/Berlin`";
        let zone = zone.ok_or_else(|| CronFault::Zone(unknown.to_owned()))?;
        let mut days = pattern_of(line).map_err(CronFault::Line)?;
        // Five thousand entries for years that no line names.
        days.years = CronComponent::new(0, 0, 0, 0);
        let bits = |field: &CronComponent| field.values().iter().fold(0, |bits, value| bits | 1 << value);
        let times = Times { hours: bits(&days.hours), minutes: bits(&days.minutes), seconds: bits(&days.seconds) };
        let has_fixed_hours = !days.hours.from_wildcard && days.hours.step == 1;
        let (line, zone_name) = (line.trim().to_owned(), zone_name.to_owned());
        let cron = Self { line, zone_name, zone, days, times, has_fixed_hours };
        if cron.first_wall(0, HORIZON).is_none() {
            return Err(CronFault::Line("no time ever matches this line".to_owned()));
        }
        Ok(cron)
    }

    /// The line as it was given.
    pub fn line(&self) -> &str {
        &self.line
    }

    /// The time zone's name as it was given.
    pub fn timezone(&self) -> &str {
        &self.zone_name
    }

    /// The first tick after `millis` since 1970; none only where the calendar ends (year 9999).
    pub fn next_after(&self, millis: i64) -> Option<i64> {
        let first = millis.div_euclid(1000).checked_add(1)?;
        let (mut at, give_up) = (first, first.checked_add(HORIZON)?);
        while at < give_up {
            let season = Season::of(&self.zone, at)?;
            if let Some(tick) = self.first_in(&season, at, season.end.min(give_up)) {
                return tick.checked_mul(1000);
            }
            at = season.end;
        }
        None
    }

    /// The last tick after `from` and not after `until`.
    pub fn latest_until(&self, from: i64, until: i64) -> Option<i64> {
        let mut at = until.div_euclid(1000);
        let first = from.div_euclid(1000).checked_add(1)?.max(at.checked_sub(HORIZON)?);
        while at >= first {
            let season = Season::of(&self.zone, at)?;
            if let Some(tick) = self.last_in(&season, first, at) {
                return tick.checked_mul(1000);
            }
            at = season.start - 1;
        }
        None
    }

    /// The first tick of a season from `at` in it, before `end`.
    fn first_in(&self, season: &Season, at: i64, end: i64) -> Option<i64> {
        if at == season.start && self.makes_up_at(season) {
            return Some(at);
        }
        let wall = self.first_wall(self.fresh(season, at), end + season.offset)?;
        Some(wall - season.offset)
    }

    /// The last tick of a season from `first` on, up to `at` in it.
    fn last_in(&self, season: &Season, first: i64, at: i64) -> Option<i64> {
        let begin = first.max(season.start);
        let wall = self.last_wall(self.fresh(season, begin), at + season.offset);
        let made_up = || (begin == season.start && self.makes_up_at(season)).then_some(begin);
        wall.map(|wall| wall - season.offset).or_else(made_up)
    }

    /// The wall's time at `at`, or the first one after it that was not there in the season before already.
    fn fresh(&self, season: &Season, at: i64) -> i64 {
        let wall = at + season.offset;
        if self.has_fixed_hours { wall.max(season.start + season.offset_before) } else { wall }
    }

    /// Whether a time that matches was skipped where the season begins.
    fn makes_up_at(&self, season: &Season) -> bool {
        let (skipped, end) = (season.start + season.offset_before, season.start + season.offset);
        self.has_fixed_hours && skipped < end && self.first_wall(skipped, end).is_some()
    }

    /// The first matching time of the wall's clock from `from` on, before `end`.
    fn first_wall(&self, from: i64, end: i64) -> Option<i64> {
        let (mut date, mut second) = date_and_second(from)?;
        loop {
            let midnight = wall_of(date)?;
            if midnight >= end {
                return None;
            }
            if !self.month_matches(date) {
                date = date.last_of_month();
            } else if let Some(second) = self.times.at_or_after(second).filter(|_| self.day_matches(date)) {
                return Some(midnight + i64::from(second)).filter(|wall| *wall < end);
            }
            (date, second) = (date.tomorrow().ok()?, 0);
        }
    }

    /// The last matching time of the wall's clock from `from` on, up to `until`.
    fn last_wall(&self, from: i64, until: i64) -> Option<i64> {
        let (mut date, mut second) = date_and_second(until)?;
        loop {
            let midnight = wall_of(date)?;
            if midnight + i64::from(second) < from {
                return None;
            }
            if !self.month_matches(date) {
                date = date.first_of_month();
            } else if let Some(second) = self.times.at_or_before(second).filter(|_| self.day_matches(date)) {
                return Some(midnight + i64::from(second)).filter(|wall| *wall >= from);
            }
            (date, second) = (date.yesterday().ok()?, LAST_SECOND);
        }
    }

    fn month_matches(&self, date: Date) -> bool {
        self.days.month_match(date.month().unsigned_abs().into()).unwrap_or(false)
    }

    fn day_matches(&self, date: Date) -> bool {
        let weekday = Weekday::from_days_from_sunday(date.weekday().to_sunday_zero_offset().unsigned_abs().into());
        let (month, day) = (date.month().unsigned_abs().into(), date.day().unsigned_abs().into());
        self.days.day_match(date.year().into(), month, day, weekday).unwrap_or(false)
    }
}

impl Times {
    /// The first matching second of the day that is not before this one.
    fn at_or_after(self, second_of_day: u32) -> Option<u32> {
        let (hour, minute, second) = (second_of_day / 3600, second_of_day / 60 % 60, second_of_day % 60);
        let first_second = first_bit(self.seconds, 0)?;
        let in_minute = || first_bit(self.seconds, second).filter(|_| is_set(self.minutes, minute));
        let in_hour = || {
            let this_minute = in_minute().map(|second| minute * 60 + second);
            this_minute.or_else(|| Some(first_bit(self.minutes, minute + 1)? * 60 + first_second))
        };
        let this_hour = in_hour().filter(|_| is_set(self.hours, hour)).map(|rest| hour * 3600 + rest);
        this_hour
            .or_else(|| Some(first_bit(self.hours, hour + 1)? * 3600 + first_bit(self.minutes, 0)? * 60 + first_second))
    }

    /// The last matching second of the day that is not after this one: the first one, seen from the day's end.
    fn at_or_before(self, second_of_day: u32) -> Option<u32> {
        let mirrored = |bits: u64, count: u32| bits.reverse_bits() >> (u64::BITS - count);
        let (hours, minutes, seconds) =
            (mirrored(self.hours, 24), mirrored(self.minutes, 60), mirrored(self.seconds, 60));
        Some(LAST_SECOND - Self { hours, minutes, seconds }.at_or_after(LAST_SECOND - second_of_day)?)
    }
}

fn is_set(bits: u64, place: u32) -> bool {
    bits >> place & 1 == 1
}

fn first_bit(bits: u64, from: u32) -> Option<u32> {
    let rest = bits >> from;
    (rest != 0).then(|| from + rest.trailing_zeros())
}

impl Season {
    /// The season that holds this second.
    fn of(zone: &TimeZone, at: i64) -> Option<Self> {
        let offset_at = |second| Some(i64::from(zone.to_offset(Timestamp::from_second(second).ok()?).seconds()));
        let offset = offset_at(at)?;
        let changes_before = &mut zone.preceding(Timestamp::from_second(at + 1).ok()?);
        let changes_after = &mut zone.following(Timestamp::from_second(at).ok()?);
        let start = changes_before.map(|change| change.timestamp().as_second()).find(|start| *start <= at);
        let end = changes_after.map(|change| change.timestamp().as_second()).find(|end| *end > at);
        let offset_before = start.and_then(|start| offset_at(start - 1)).unwrap_or(offset);
        Some(Self { start: start.unwrap_or(-FOREVER), end: end.unwrap_or(FOREVER), offset, offset_before })
    }
}

fn date_and_second(wall: i64) -> Option<(Date, u32)> {
    let date = Offset::UTC.to_datetime(Timestamp::from_second(wall).ok()?).date();
    Some((date, u32::try_from(wall.rem_euclid(DAY)).ok()?))
}

fn wall_of(date: Date) -> Option<i64> {
    Some(Offset::UTC.to_timestamp(date.to_datetime(Time::midnight())).ok()?.as_second())
}
