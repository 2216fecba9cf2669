//! Reading a list that a script packed with cmsgpack: numbers that are whole and not negative, and texts.

use rmp::Marker;

/// What is left of the list.
pub(super) struct Packed<'a>(&'a [u8]);

impl<'a> Packed<'a> {
    /// The values of a list; none for other bytes.
    pub(super) fn list(bytes: &'a [u8]) -> Option<Self> {
        let mut values = Self(bytes);
        match values.marker()? {
            Marker::FixArray(_) => {}
            Marker::Array16 => drop(values.take(2)?),
            Marker::Array32 => drop(values.take(4)?),
            _ => return None,
        }
        Some(values)
    }

    /// Whether all has been read.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The next value, a number.
    pub(super) fn number(&mut self) -> Option<u64> {
        match self.marker()? {
            Marker::FixPos(number) => Some(number.into()),
            Marker::U8 => self.unsigned(1),
            Marker::U16 => self.unsigned(2),
            Marker::U32 => self.unsigned(4),
            Marker::U64 => self.unsigned(8),
            _ => None,
        }
    }

    /// The next value, a text.
    pub(super) fn text(&mut self) -> Option<&'a [u8]> {
        let length = match self.marker()? {
            Marker::FixStr(length) => length.into(),
            Marker::Str8 => self.unsigned(1)?,
            Marker::Str16 => self.unsigned(2)?,
            Marker::Str32 => self.unsigned(4)?,
            _ => return None,
        };
        self.take(usize::try_from(length).ok()?)
    }

    fn marker(&mut self) -> Option<Marker> {
        self.take(1)?.first().copied().map(Marker::from_u8)
    }

    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }

    /// A number of so many bytes, the highest first.
    fn unsigned(&mut self, bytes: usize) -> Option<u64> {
        Some(self.take(bytes)?.iter().fold(0, |number, byte| number << 8 | u64::from(*byte)))
    }
}

#[cfg(test)]
mod tests {
    use rmp::encode::{write_array_len, write_str, write_uint};

    use super::*;

    #[test]
    fn what_was_packed_is_read() {
        let numbers = [0, 127, 128, 255, 256, 65_535, 65_536, u64::from(u32::MAX), 1_795_412_400_123_456, u64::MAX];
        let texts = [0, 31, 32, 255, 256, 70_000].map(|length| "\u{e9}".repeat(length));
        let mut packed = Vec::new();
        write_array_len(&mut packed, 16).expect("written");
        for number in numbers {
            write_uint(&mut packed, number).expect("written");
        }
        for text in &texts {
            write_str(&mut packed, text).expect("written");
        }
        let mut values = Packed::list(&packed).expect("a list");
        assert_eq!(numbers.map(|_| values.number()), numbers.map(Some));
        for text in &texts {
            assert_eq!(values.text(), Some(text.as_bytes()));
        }
        assert!(values.is_empty() && values.number().is_none() && Packed::list(&packed[3..]).is_none());
        for length in 1..packed.len().min(60) {
            let mut cut = Packed::list(&packed[..length]);
            while cut.as_mut().and_then(Packed::number).is_some() {}
            assert!(cut.and_then(|mut cut| cut.text()).is_none(), "{length}");
        }
    }
}
