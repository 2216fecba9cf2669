//! Choices that are written as one word.

/// Reads an enum from the words of its variants, and from nothing else: serde's own derive takes `{"word": null}` too.
macro_rules! read_choice {
    ($name:ident { $($variant:ident = $word:literal),* $(,)? }) => {
        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let word = String::deserialize(deserializer)?;
                match word.as_str() {
                    $($word => Ok(Self::$variant),)*
                    other => Err(serde::de::Error::unknown_variant(other, &[$($word),*])),
                }
            }
        }
    };
}
pub(crate) use read_choice;
