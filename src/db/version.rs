//! Which settings a call goes by.

/// Which settings of which life of a resource: the epoch is new after a deletion, the number after each change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Version {
    /// Which life.
    pub epoch: String,
    /// Which settings of it.
    pub number: u64,
}

impl Version {
    /// That of a resource that is being created.
    pub fn first() -> Self {
        Self { epoch: format!("{:012x}", fastrand::u64(..1 << 48)), number: 1 }
    }

    /// That of the next settings.
    pub fn next(&self) -> Self {
        Self { epoch: self.epoch.clone(), number: self.number + 1 }
    }

    /// Reads what [`Version::text`] wrote.
    pub fn parse(text: &str) -> Option<Self> {
        let (epoch, number) = text.split_once('.')?;
        Some(Self { epoch: epoch.to_owned(), number: number.parse().ok()? })
    }

    /// As scripts compare it.
    pub fn text(&self) -> String {
        format!("{}.{}", self.epoch, self.number)
    }
}

/// The answer of a call that names the version of a resource.
pub enum Versioned<T> {
    /// The resource has changed, or gone, since it was read.
    Stale,
    /// The answer.
    Current(T),
}

impl<T> Versioned<T> {
    /// The same with another answer.
    pub fn map<U>(self, change: impl FnOnce(T) -> U) -> Versioned<U> {
        match self {
            Self::Stale => Versioned::Stale,
            Self::Current(value) => Versioned::Current(change(value)),
        }
    }
}
