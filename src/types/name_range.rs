//! Names that a list is held to.

/// One name, or all that begin alike.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NameRange {
    /// This name.
    One(String),
    /// The names that begin so; all with an empty beginning.
    Beginning(String),
}

impl NameRange {
    /// Every name.
    pub fn all() -> Vec<Self> {
        vec![Self::Beginning(String::new())]
    }

    /// Whether the name is one of these.
    pub fn holds(&self, name: &str) -> bool {
        match self {
            Self::One(own) => own == name,
            Self::Beginning(beginning) => name.starts_with(beginning.as_str()),
        }
    }

    /// Whether every name of `other` is one of these.
    pub fn covers(&self, other: &Self) -> bool {
        match (self, other) {
            (_, Self::One(name)) => self.holds(name),
            (Self::One(_), Self::Beginning(_)) => false,
            (Self::Beginning(_), Self::Beginning(longer)) => self.holds(longer),
        }
    }

    /// The same names in as few ranges as there can be, in the order of the names. No two of them share a name.
    pub fn sorted(ranges: Vec<Self>) -> Vec<Self> {
        let mut kept: Vec<Self> = Vec::new();
        for range in ranges {
            if !kept.iter().any(|known| known.covers(&range)) {
                kept.retain(|known| !range.covers(known));
                kept.push(range);
            }
        }
        kept.sort_by(|one, other| one.text().cmp(other.text()));
        kept
    }

    /// The bounds of those names that come after `after`, for commands of Redis that go by the order of texts; none where all
    /// come before.
    pub fn lexical_after(&self, after: Option<&str>) -> Option<(String, String)> {
        let text = self.text();
        let is_over = match (self, after) {
            (_, None) => false,
            (Self::One(name), Some(after)) => name.as_str() <= after,
            (Self::Beginning(_), Some(after)) => text < after && !self.holds(after),
        };
        if is_over {
            return None;
        }
        let from = match after.filter(|after| *after >= text) {
            Some(after) => format!("({after}"),
            None => format!("[{text}"),
        };
        let to = match self {
            Self::One(name) => format!("[{name}"),
            // No character of names is as great.
            Self::Beginning(beginning) => format!("({beginning}\u{7f}"),
        };
        Some((from, to))
    }

    fn text(&self) -> &str {
        match self {
            Self::One(text) | Self::Beginning(text) => text,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(name: &str) -> NameRange {
        NameRange::One(name.to_owned())
    }

    fn beginning(text: &str) -> NameRange {
        NameRange::Beginning(text.to_owned())
    }

    #[test]
    fn ranges_stand_in_order_and_share_nothing() {
        let ranges = vec![one("b"), beginning("ab"), one("abc"), one("a"), beginning("abd"), one("b"), beginning("z")];
        assert_eq!(NameRange::sorted(ranges), [one("a"), beginning("ab"), one("b"), beginning("z")]);
        assert_eq!(NameRange::sorted(vec![one("a"), beginning(""), beginning("a")]), NameRange::all());
        assert_eq!(NameRange::sorted(Vec::new()), []);
    }

    #[test]
    fn a_page_goes_on_within_a_range_or_at_its_start() {
        let bounds = |range: NameRange, after| range.lexical_after(after);
        let pair = |from: &str, to: &str| Some((from.to_owned(), to.to_owned()));
        assert_eq!(bounds(one("b"), None), pair("[b", "[b"));
        assert_eq!(bounds(one("b"), Some("a")), pair("[b", "[b"));
        assert_eq!(bounds(one("b"), Some("b")), None);
        assert_eq!(bounds(beginning("ab"), Some("a")), pair("[ab", "(ab\u{7f}"));
        assert_eq!(bounds(beginning("ab"), Some("ab")), pair("(ab", "(ab\u{7f}"));
        assert_eq!(bounds(beginning("ab"), Some("abz")), pair("(abz", "(ab\u{7f}"));
        assert_eq!(bounds(beginning("ab"), Some("ac")), None);
        assert_eq!(bounds(beginning(""), None), pair("[", "(\u{7f}"));
    }
}
