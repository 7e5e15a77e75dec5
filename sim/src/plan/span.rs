//! The least and the most of something.

use core::fmt;
use serde::Deserialize;
use serde::de::{self, Deserializer, SeqAccess, Visitor};

/// The least and the most of something, both included. In a plan file a pair, or a single number
/// for both.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Span {
    /// The least.
    pub low: u64,
    /// The most.
    pub high: u64,
}

impl Span {
    /// From `low` to `high`.
    #[must_use]
    pub const fn new(low: u64, high: u64) -> Self {
        Self { low, high }
    }

    /// Always the same.
    #[must_use]
    pub const fn just(value: u64) -> Self {
        Self::new(value, value)
    }
}

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Spans)
    }
}

struct Spans;

impl<'de> Visitor<'de> for Spans {
    type Value = Span;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a number, or [least, most]")
    }

    fn visit_i64<E: de::Error>(self, value: i64) -> Result<Span, E> {
        u64::try_from(value)
            .map(Span::just)
            .map_err(|_| E::custom("must not be negative"))
    }

    fn visit_u64<E: de::Error>(self, value: u64) -> Result<Span, E> {
        Ok(Span::just(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Span, A::Error> {
        let mut next = |at: usize| -> Result<u64, A::Error> {
            seq.next_element()?
                .ok_or_else(|| de::Error::invalid_length(at, &"[least, most]"))
        };
        let (low, high) = (next(0)?, next(1)?);
        if seq.next_element::<u64>()?.is_some() {
            return Err(de::Error::custom("a span has two numbers: [least, most]"));
        }
        if low > high {
            return Err(de::Error::custom(format!(
                "the least, {low}, is more than the most, {high}"
            )));
        }
        Ok(Span { low, high })
    }
}
