//! The starts that windows were given by hand: when they were last closed, or added without a reset.

use std::collections::BTreeMap;

use crate::types::WindowName;

/// When the open period of a window has begun, in ms since 1970, where no calendar says so.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Starts(BTreeMap<WindowName, i64>);

impl Starts {
    /// Reads what [`Starts::text`] or a script wrote.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let start = |line: &str| {
            let (window, start_ms) = line.split_once(' ')?;
            Some((WindowName::try_from(window.to_owned()).ok()?, start_ms.parse().ok()?))
        };
        text.lines().map(start).collect::<Option<_>>().map(Self)
    }

    /// A line for each, as scripts keep them.
    pub(super) fn text(&self) -> String {
        self.0.iter().map(|(window, start_ms)| format!("{window} {start_ms}\n")).collect()
    }

    pub(super) fn of(&self, window: &WindowName) -> Option<i64> {
        self.0.get(window).copied()
    }

    /// Those of the windows that `stays` says so of.
    pub(super) fn only(&self, stays: impl Fn(&WindowName) -> bool) -> Self {
        Self(
            self.0.iter().filter(|(window, _)| stays(window)).map(|(window, start)| (window.clone(), *start)).collect(),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn starts_are_read_as_they_were_written() {
        let text = "all_time 1795412400000\nweekly 5\n";
        let starts = Starts::parse(text).expect("starts");
        assert_eq!(starts.text(), text);
        let weekly = WindowName::try_from("weekly".to_owned()).expect("a name");
        assert_eq!((starts.of(&weekly), starts.only(|window| *window != weekly).of(&weekly)), (Some(5), None));
        assert_eq!(Starts::parse("x"), None);
    }
}
