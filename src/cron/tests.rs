//! Ticks by example, by the definition, and against the parser's own search.

use std::str::FromStr as _;

use jiff::civil::DateTime;
use jiff::tz::AmbiguousOffset;
use jiff::{SignedDuration, Zoned};
use proptest::prelude::*;
use proptest::sample::select;

use super::*;

fn cron(line: &str, zone: &str) -> Cron {
    Cron::parse(line, Some(zone)).expect("a line")
}

fn millis(text: &str) -> i64 {
    Timestamp::from_str(text).expect("a time").as_millisecond()
}

fn shown(millis: i64, zone: &str) -> String {
    let zone = TimeZone::get(zone).expect("a zone");
    let time = Timestamp::from_millisecond(millis).expect("a time").to_zoned(zone);
    time.strftime("%Y-%m-%dT%H:%M:%S%:z").to_string().replace(":00+", "+").replace(":00-", "-")
}

/// The first ticks after a time, as they are shown in the zone.
fn ticks(line: &str, zone: &str, after: &str, count: usize) -> Vec<String> {
    let cron = cron(line, zone);
    let ticks = std::iter::successors(cron.next_after(millis(after)), |tick| cron.next_after(*tick));
    ticks.take(count).map(|tick| shown(tick, zone)).collect()
}

#[test]
fn lines_of_five_and_six_fields_and_nicknames_tick() {
    let after = "2026-11-23T05:40:30.5Z";
    for (line, expected) in [
        ("* * * * *", "2026-11-23T05:41+00:00"),
        ("*/20 * * * * *", "2026-11-23T05:40:40+00:00"),
        ("31 40 5 * * *", "2026-11-23T05:40:31+00:00"),
        ("30 40 5 * * *", "2026-11-24T05:40:30+00:00"),
        ("@hourly", "2026-11-23T06:00+00:00"),
        ("@daily", "2026-11-24T00:00+00:00"),
        ("@midnight", "2026-11-24T00:00+00:00"),
        ("@Weekly", "2026-11-29T00:00+00:00"),
        ("@monthly", "2026-12-01T00:00+00:00"),
        ("@yearly", "2027-01-01T00:00+00:00"),
        ("0 9-17/4 * jan-mar mon,Wed", "2027-01-04T09:00+00:00"),
        ("0 0 * * 7", "2026-11-29T00:00+00:00"),
        ("0 0 L * *", "2026-11-30T00:00+00:00"),
        ("0 0 ? * FRI#2", "2026-12-11T00:00+00:00"),
        ("0 0 * * 5L", "2026-11-27T00:00+00:00"),
        ("0 0 15W 8 ?", "2027-08-16T00:00+00:00"),
        ("  59\t23 31 12 *  ", "2026-12-31T23:59+00:00"),
    ] {
        assert_eq!(ticks(line, "UTC", after, 1), [expected], "{line}");
    }
}

#[test]
fn one_of_two_day_fields_is_enough() {
    let after = "2026-11-23T00:00:00Z";
    let either = ["2026-11-27T00:00+00:00", "2026-12-01T00:00+00:00", "2026-12-04T00:00+00:00"];
    assert_eq!(ticks("0 0 1 * FRI", "UTC", after, 3), either);
    assert_eq!(ticks("0 0 1 * +FRI", "UTC", after, 1), ["2027-01-01T00:00+00:00"]);
}

#[test]
fn a_tick_is_strictly_after() {
    let cron = cron("0 5 * * *", "UTC");
    let tick = millis("2026-11-23T05:00:00Z");
    assert_eq!(cron.next_after(tick - 1), Some(tick));
    assert_eq!(cron.next_after(tick), Some(tick + 86_400_000));
    assert_eq!(cron.next_after(-1), Some(5 * 3_600_000));
}

#[test]
fn leap_days_and_the_ends_of_years() {
    let days = ["2028-02-29T12:00+00:00", "2032-02-29T12:00+00:00"];
    assert_eq!(ticks("0 12 29 2 *", "UTC", "2026-01-01T00:00:00Z", 2), days);
    assert_eq!(ticks("0 12 29 2 *", "UTC", "2096-03-01T00:00:00Z", 1), ["2104-02-29T12:00+00:00"]);
    assert_eq!(ticks("0 0 29 2 +MON", "UTC", "2080-01-01T00:00:00Z", 1), ["2112-02-29T00:00+00:00"]);
    let turn = ["2026-12-31T23:59:59+05:30", "2027-01-01T00:00+05:30"];
    assert_eq!(ticks("0,59 0,59 0,23 1,31 1,12 *", "Asia/Kolkata", "2026-12-31T18:29:00Z", 2), turn);
    assert_eq!(cron("* * * * *", "UTC").next_after(millis("9999-12-30T22:00:00Z")), None);
}

#[test]
fn a_skipped_time_with_fixed_hours_ticks_once_after_the_gap() {
    let night = "2026-03-28T12:00:00Z";
    let berlin = |line, count| ticks(line, "Europe/Berlin", night, count);
    assert_eq!(berlin("30 2 * * *", 2), ["2026-03-29T03:00+02:00", "2026-03-30T02:30+02:00"]);
    assert_eq!(berlin("*/15 2 * * *", 2), ["2026-03-29T03:00+02:00", "2026-03-30T02:00+02:00"]);
    assert_eq!(berlin("0 2,3 * * *", 2), ["2026-03-29T03:00+02:00", "2026-03-30T02:00+02:00"]);
    assert_eq!(berlin("30 2,3 * * *", 2), ["2026-03-29T03:00+02:00", "2026-03-29T03:30+02:00"]);
    assert_eq!(berlin("30 2 29 3 *", 2), ["2026-03-29T03:00+02:00", "2027-03-29T02:30+02:00"]);
    assert_eq!(berlin("0 3 * * *", 1), ["2026-03-29T03:00+02:00"]);
    let new_york = ticks("5 2 * * *", "America/New_York", "2026-03-08T00:00:00Z", 2);
    assert_eq!(new_york, ["2026-03-08T03:00-04:00", "2026-03-09T02:05-04:00"]);
    let lord_howe = ticks("15 2 * * *", "Australia/Lord_Howe", "2026-10-03T06:00:00Z", 2);
    assert_eq!(lord_howe, ["2026-10-04T02:30+11:00", "2026-10-05T02:15+11:00"]);
    // Samoa left out a whole day.
    let apia = ticks("0 12 30 12 *", "Pacific/Apia", "2011-12-30T00:00:00Z", 1);
    assert_eq!(apia, ["2011-12-31T00:00+14:00"]);
}

#[test]
fn a_time_that_comes_twice_with_fixed_hours_ticks_the_first_time() {
    let night = "2026-10-24T12:00:00Z";
    let berlin = |line, count| ticks(line, "Europe/Berlin", night, count);
    assert_eq!(berlin("30 2 * * *", 2), ["2026-10-25T02:30+02:00", "2026-10-26T02:30+01:00"]);
    let quarters = ["2026-10-25T02:00+02:00", "2026-10-25T02:30+02:00", "2026-10-25T03:00+01:00"];
    assert_eq!(berlin("*/30 2,3 * * *", 3), quarters);
    let new_york = ticks("30 1 * * *", "America/New_York", "2026-11-01T00:00:00Z", 2);
    assert_eq!(new_york, ["2026-11-01T01:30-04:00", "2026-11-02T01:30-05:00"]);
    let lord_howe = ticks("*/20 1,2 * * *", "Australia/Lord_Howe", "2026-04-04T14:30:00Z", 4);
    let expected = ["01:40+11:00", "02:00+10:30", "02:20+10:30", "02:40+10:30"];
    assert_eq!(lord_howe, expected.map(|time| format!("2026-04-05T{time}")));
    // Asked in the second hour, which ticks no more.
    let second = ticks("* * 2 * * *", "Europe/Berlin", "2026-10-25T01:30:00Z", 1);
    assert_eq!(second, ["2026-10-26T02:00+01:00"]);
}

#[test]
fn lines_for_every_hour_tick_in_each_real_one() {
    let gap = ["2026-03-29T01:30+01:00", "2026-03-29T03:30+02:00"];
    assert_eq!(ticks("30 * * * *", "Europe/Berlin", "2026-03-29T00:00:00Z", 2), gap);
    let fold = ["2026-10-25T02:30+02:00", "2026-10-25T02:30+01:00", "2026-10-25T03:30+01:00"];
    assert_eq!(ticks("30 * * * *", "Europe/Berlin", "2026-10-25T00:00:00Z", 3), fold);
    let stepped = ["2026-10-25T02:00+02:00", "2026-10-25T02:00+01:00", "2026-10-25T04:00+01:00"];
    assert_eq!(ticks("0 */2 * * *", "Europe/Berlin", "2026-10-24T23:00:00Z", 3), stepped);
    let lord_howe = ["2026-04-05T01:45+11:00", "2026-04-05T01:45+10:30", "2026-04-05T02:45+10:30"];
    assert_eq!(ticks("45 * * * *", "Australia/Lord_Howe", "2026-04-04T14:00:00Z", 3), lord_howe);
}

#[test]
fn the_latest_tick_of_a_span() {
    let daily = cron("30 2 * * *", "Europe/Berlin");
    let latest = |from, until| daily.latest_until(millis(from), millis(until)).map(|tick| shown(tick, "UTC"));
    let some = |text: &str| Some(text.to_owned());
    // The made-up tick at the end of the gap, and the edges of the span.
    assert_eq!(latest("2026-03-20T00:00:00Z", "2026-03-29T23:00:00Z"), some("2026-03-29T01:00+00:00"));
    assert_eq!(latest("2026-03-20T00:00:00Z", "2026-03-29T01:00:00Z"), some("2026-03-29T01:00+00:00"));
    assert_eq!(latest("2026-03-20T00:00:00Z", "2026-03-29T00:59:59.999Z"), some("2026-03-28T01:30+00:00"));
    assert_eq!(latest("2026-03-29T01:00:00Z", "2026-03-29T23:00:00Z"), None);
    assert_eq!(latest("2026-03-29T00:59:59.999Z", "2026-03-29T23:00:00Z"), some("2026-03-29T01:00+00:00"));
    // The second 02:30 of the day that has two does not count.
    assert_eq!(latest("2026-10-20T00:00:00Z", "2026-10-25T23:00:00Z"), some("2026-10-25T00:30+00:00"));
    assert_eq!(latest("2026-10-25T23:00:00Z", "2026-10-20T00:00:00Z"), None);
    let each_second = cron("* * * * * *", "UTC");
    assert_eq!(each_second.latest_until(0, 1_000_000_000_999), Some(1_000_000_000_000));
    assert_eq!(cron("0 0 29 2 *", "UTC").latest_until(i64::MIN, 0), Some(millis("1968-02-29T00:00:00Z")));
}

#[test]
fn what_is_wrong_is_said_in_a_sentence() {
    for (line, said) in [
        ("", "a line has five fields, the minute first, or six, the second first; this one has 0"),
        ("* * * * * * *", "a line has five fields, the minute first, or six, the second first; this one has 7"),
        ("* 25 * * *", "the hour `25` is not understood: number out of bounds"),
        (
            "* * * * * MOON",
            "the day of the week `MOON` is not understood: it has a character that does not belong there",
        ),
        ("61 * * * * *", "the second `61` is not understood: number out of bounds"),
        ("5/10 * * * *", "the minute `5/10` is not understood: invalid step syntax"),
        ("@reboot", "`@reboot` is not one of @hourly"),
        ("0 0 30 2 *", "no time ever matches this line"),
        ("0 0 31 4,6,9,11 *", "no time ever matches this line"),
        ("0 , * * *", "no time ever matches this line"),
        (&"1,".repeat(200), "a line has 256 bytes at most"),
    ] {
        match Cron::parse(line, None) {
            Err(CronFault::Line(text)) => assert!(text.starts_with(said) && !text.ends_with('.'), "{line}: {text}"),
            other => panic!("{line}: {other:?}"),
        }
    }
    for zone in ["", "Mars/Olympus", "Etc/Unknown", "+02:00"] {
        assert!(matches!(Cron::parse("@daily", Some(zone)), Err(CronFault::Zone(_))), "{zone}");
    }
    let known = Cron::parse(" 0 5 * * MON ", None).expect("a line");
    assert_eq!((known.line(), known.timezone()), ("0 5 * * MON", "UTC"));
}

const ZONES: [&str; 8] = [
    "UTC",
    "Europe/Berlin",
    "America/New_York",
    "America/Havana",
    "America/St_Johns",
    "Asia/Beirut",
    "Asia/Kolkata",
    "Australia/Lord_Howe",
];

const SECONDS: [&str; 5] = ["", "0 ", "30 ", "*/7 ", "59 "];

fn lines(seconds: &'static [&str]) -> impl Strategy<Value = String> {
    let seconds = select(seconds);
    let minutes = select(vec!["*", "0", "30", "*/15", "5,55", "59", "10-20/5"]);
    let hours = select(vec!["*", "*/2", "1-23/3", "0", "1", "2", "3", "1,2", "2-4", "23", "0,12"]);
    let days = select(vec!["*", "1", "29", "31", "L", "15W", "1-7", "*/2"]);
    let months = select(vec!["*", "2", "3", "4,10", "11"]);
    let weekdays = select(vec!["*", "SUN", "MON-FRI", "5L", "FRI#2", "+SUN"]);
    let fields = (seconds, minutes, hours, days, months, weekdays);
    fields.prop_map(|(second, minute, hour, day, month, weekday)| {
        format!("{second}{minute} {hour} {day} {month} {weekday}")
    })
}

/// Times close to the changes of clocks, and any others.
fn times() -> impl Strategy<Value = i64> {
    let changes = [
        "2026-03-08T07:00:00Z",
        "2026-03-29T01:00:00Z",
        "2026-04-04T15:00:00Z",
        "2026-10-03T15:30:00Z",
        "2026-10-25T01:00:00Z",
        "2026-11-01T06:00:00Z",
    ];
    let near = (select(changes.map(millis).to_vec()), -90_000_000_i64..90_000_000);
    prop_oneof![near.prop_map(|(at, off)| at + off), 0_i64..4_102_444_800_000]
}

/// All ticks of two days by the definition, for a line without seconds.
fn by_definition(line: &str, zone: &str, from: i64) -> Vec<i64> {
    let (croner, zone) = (croner::Cron::from_str(line).expect("a line"), TimeZone::get(zone).expect("a zone"));
    let matches = |wall: DateTime| croner.is_time_matching(&wall).expect("a time");
    let hours = line.split(' ').nth(1).expect("hours");
    let minutes = |count: i64| (0..count).map(SignedDuration::from_mins);
    let from = Timestamp::from_millisecond(from).expect("a time");
    let mut ticks: Vec<i64> = if hours.contains(['*', '/']) {
        let all = minutes(2880).map(|minute| from + minute);
        all.filter(|at| matches(zone.to_datetime(*at))).map(Timestamp::as_millisecond).collect()
    } else {
        let walls = minutes(2880 + 360).map(|minute| zone.to_datetime(from) - SignedDuration::from_hours(3) + minute);
        let moments = walls.filter(|wall| matches(*wall)).map(|mut wall| {
            while matches!(zone.to_ambiguous_timestamp(wall).offset(), AmbiguousOffset::Gap { .. }) {
                wall += SignedDuration::from_mins(1);
            }
            zone.to_ambiguous_timestamp(wall).earlier().expect("a time").as_millisecond()
        });
        moments.collect()
    };
    let end = from.as_millisecond() + 2880 * 60_000;
    ticks.retain(|tick| (from.as_millisecond()..end).contains(tick));
    ticks.dedup();
    ticks
}

proptest! {
    #[test]
    fn ticks_are_those_of_the_definition(line in lines(&[""]), zone in select(&ZONES), from in times()) {
        let Ok(cron) = Cron::parse(&line, Some(zone)) else { return Ok(()) };
        let from = from / 60_000 * 60_000;
        let ticks = std::iter::successors(cron.next_after(from - 1), |tick| cron.next_after(*tick));
        let ticks: Vec<i64> = ticks.take_while(|tick| *tick < from + 2880 * 60_000).collect();
        prop_assert_eq!(ticks, by_definition(&line, zone, from), "{} in {}", line, zone);
    }

    #[test]
    fn ticks_increase_and_the_latest_agrees(line in lines(&SECONDS), zone in select(&ZONES), from in times(), off in 0_i64..200_000_000) {
        let Ok(cron) = Cron::parse(&line, Some(zone)) else { return Ok(()) };
        let ticks: Vec<i64> =
            std::iter::successors(cron.next_after(from), |tick| cron.next_after(*tick)).take(50).collect();
        prop_assert!(ticks.is_sorted_by(|one, next| one < next) && ticks[0] > from);
        for until in [from, from + off].into_iter().chain(ticks.iter().flat_map(|tick| [*tick, *tick + 1, *tick - 1])) {
            let expected = ticks.iter().rev().find(|tick| **tick <= until).copied();
            if until <= ticks[ticks.len() - 1] {
                prop_assert_eq!(cron.latest_until(from, until), expected);
            }
        }
    }

    #[test]
    fn without_changes_of_clocks_ticks_are_those_of_the_parser(line in lines(&SECONDS), from in times()) {
        let Ok(cron) = Cron::parse(&line, None) else { return Ok(()) };
        let at = Zoned::new(Timestamp::from_second(from / 1000).expect("a time"), TimeZone::UTC);
        let next = croner::Cron::from_str(&line).expect("a line").find_next_occurrence(&at, false);
        prop_assert_eq!(cron.next_after(from), next.ok().map(|at| at.timestamp().as_millisecond()));
    }
}
