//! When windows begin anew.

use super::settings::Window;
use crate::cron::{Cron, CronFault};

/// The last moment that RFC 3339 can name, in ms since 1970.
const END_OF_TIME_MS: i64 = 253_402_300_799_999;

/// When a window begins anew.
#[derive(Debug, Clone)]
pub(super) struct Calendar(Cron);

/// The run of a window from one reset to the next, in ms since 1970: its start belongs to it, its end to the next one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Span {
    pub(super) start_ms: i64,
    pub(super) end_ms: i64,
}

impl Span {
    /// Its start and end in µs.
    pub(super) fn bounds_us(self) -> (i64, i64) {
        (self.start_ms.saturating_mul(1000), self.end_ms.saturating_mul(1000))
    }
}

impl Calendar {
    /// That of a window, if it resets.
    pub(super) fn of(window: &Window) -> Result<Option<Self>, CronFault> {
        let Some(reset) = &window.reset else { return Ok(None) };
        let line = match reset.as_str() {
            "daily" => "0 0 * * *",
            "weekly" => "0 0 * * MON",
            "monthly" => "0 0 1 * *",
            "yearly" => "0 0 1 1 *",
            nickname if nickname.trim_start().starts_with('@') => {
                let detail = "must be `daily`, `weekly`, `monthly`, `yearly`, or a cron line of five or six fields";
                return Err(CronFault::Line(detail.to_owned()));
            }
            line => line,
        };
        Cron::parse(line, window.timezone.as_deref()).map(|cron| Some(Self(cron)))
    }

    /// The period that holds a moment.
    pub(super) fn period_at(&self, now_ms: i64) -> Span {
        let start_ms = self.0.latest_until(i64::MIN, now_ms).unwrap_or(0);
        Span { start_ms, end_ms: self.0.next_after(now_ms).unwrap_or(END_OF_TIME_MS) }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::types::{Timestamp, WindowName};

    fn calendar(reset: &str, timezone: Option<&str>) -> Calendar {
        let name = WindowName::try_from("w".to_owned()).expect("a name");
        let window = Window {
            reset: Some(reset.to_owned()),
            timezone: timezone.map(str::to_owned),
            ..Window::without_reset(name)
        };
        Calendar::of(&window).expect("a calendar").expect("it resets")
    }

    fn millis(time: &str) -> i64 {
        time.parse::<jiff::Timestamp>().expect("a time").as_millisecond()
    }

    /// Start and end of the period that holds `time`.
    fn period(reset: &str, timezone: Option<&str>, time: &str) -> (String, String) {
        let span = calendar(reset, timezone).period_at(millis(time));
        (Timestamp::from_millis(span.start_ms).to_string(), Timestamp::from_millis(span.end_ms).to_string())
    }

    #[test]
    fn presets_begin_at_midnight() {
        for (reset, start, end) in [
            ("daily", "2026-11-23T00:00:00.000Z", "2026-11-24T00:00:00.000Z"),
            ("weekly", "2026-11-23T00:00:00.000Z", "2026-11-30T00:00:00.000Z"),
            ("monthly", "2026-11-01T00:00:00.000Z", "2026-12-01T00:00:00.000Z"),
            ("yearly", "2026-01-01T00:00:00.000Z", "2027-01-01T00:00:00.000Z"),
        ] {
            assert_eq!(period(reset, None, "2026-11-23T05:40:00Z"), (start.to_owned(), end.to_owned()), "{reset}");
        }
    }

    #[test]
    fn a_moment_of_reset_belongs_to_the_period_that_it_begins() {
        let (start, _) = period("daily", None, "2026-11-23T00:00:00Z");
        assert_eq!(start, "2026-11-23T00:00:00.000Z");
        let (_, end) = period("daily", None, "2026-11-22T23:59:59.999Z");
        assert_eq!(end, "2026-11-23T00:00:00.000Z");
    }

    #[test]
    fn a_reset_that_the_clocks_skip_or_show_twice_happens_once() {
        // New York, 8 March 2026: 02:00 is followed by 03:00. 1 November: 01:59:59 is followed by 01:00.
        let new_york = Some("America/New_York");
        let skipped = period("30 2 * * *", new_york, "2026-03-08T12:00:00Z");
        assert_eq!(skipped, ("2026-03-08T07:00:00.000Z".to_owned(), "2026-03-09T06:30:00.000Z".to_owned()));
        let twice = period("30 1 * * *", new_york, "2026-11-01T12:00:00Z");
        assert_eq!(twice, ("2026-11-01T05:30:00.000Z".to_owned(), "2026-11-02T06:30:00.000Z".to_owned()));
        // Lord Howe Island moves by half an hour: 4 October 2026, 02:00 is followed by 02:30.
        let island = period("15 2 * * *", Some("Australia/Lord_Howe"), "2026-10-04T00:00:00Z");
        assert_eq!(island, ("2026-10-03T15:30:00.000Z".to_owned(), "2026-10-04T15:15:00.000Z".to_owned()));
    }

    proptest! {
        #[test]
        fn periods_follow_one_another_without_gap(
            reset in prop::sample::select(vec!["daily", "weekly", "monthly", "30 2 * * *", "*/7 * * * *", "15 30 1 * * 1-5"]),
            zone in prop::sample::select(vec!["UTC", "America/New_York", "Asia/Seoul", "Australia/Lord_Howe"]),
            now in 1_600_000_000_000_i64..2_000_000_000_000,
        ) {
            let calendar = calendar(reset, Some(zone));
            let span = calendar.period_at(now);
            prop_assert!(span.start_ms <= now && now < span.end_ms);
            prop_assert_eq!(calendar.period_at(span.start_ms), span);
            prop_assert_eq!(calendar.period_at(span.end_ms - 1), span);
            prop_assert_eq!(calendar.period_at(span.end_ms).start_ms, span.end_ms);
            prop_assert_eq!(calendar.period_at(span.start_ms - 1).end_ms, span.start_ms);
        }
    }
}
