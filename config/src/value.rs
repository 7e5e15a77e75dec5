//! The values of the cluster file: whole numbers, text, time spans, sizes, ports and hosts, each
//! with the words that say what was expected.

use crate::problem::quoted;
use jlb_protocol::services::Ports;
use serde::Deserialize;
use serde::de::value::{MapAccessDeserializer, SeqAccessDeserializer};
use serde::de::{Deserializer, Error, MapAccess, SeqAccess, Visitor};
use std::fmt;
use std::time::Duration;
use toml::Spanned;

/// A whole number; its range is checked where its meaning is known.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Number(pub(crate) i64);

/// A string.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Text(pub(crate) String);

/// A time span with its unit: `"20ms"`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct TimeSpan(pub(crate) Duration);

/// A time span, or `"never"`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct SpanOrNever(pub(crate) Option<Duration>);

/// A size in bytes, plain or with its unit: `"32MiB"`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Size(pub(crate) u64);

/// The ports of a service: `80`, `"8000-8099"` or `"any"`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct PortsValue(pub(crate) Ports);

/// The hosts of a service.
#[derive(Clone, Debug)]
pub(crate) enum HostsValue {
    /// `"any"`: every host agent of the cluster.
    Any,
    /// These.
    Listed(Vec<HostEntry>),
}

impl HostsValue {
    /// The hosts that are listed.
    pub(crate) fn listed(&self) -> &[HostEntry] {
        match self {
            Self::Any => &[],
            Self::Listed(hosts) => hosts,
        }
    }
}

/// A host of a service: its name, or a table with more.
#[derive(Clone, Debug)]
pub(crate) struct HostEntry {
    pub(crate) name: Spanned<Text>,
    pub(crate) weight: Option<Spanned<Number>>,
    pub(crate) max_connections: Option<Spanned<Number>>,
}

impl Number {
    /// The number as an amount; a negative one counts as none.
    pub(crate) fn amount(self) -> u64 {
        u64::try_from(self.0).unwrap_or(0)
    }
}

impl Size {
    /// The size in bytes.
    pub(crate) fn amount(self) -> u64 {
        self.0
    }
}

const TOO_LARGE: &str = "the number is larger than any that the file may hold";

impl<'de> Deserialize<'de> for Number {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Expect;
        impl Visitor<'_> for Expect {
            type Value = Number;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a whole number")
            }
            fn visit_i64<E: Error>(self, value: i64) -> Result<Number, E> {
                Ok(Number(value))
            }
            fn visit_u64<E: Error>(self, _: u64) -> Result<Number, E> {
                Err(E::custom(TOO_LARGE))
            }
            fn visit_i128<E: Error>(self, _: i128) -> Result<Number, E> {
                Err(E::custom(TOO_LARGE))
            }
            fn visit_u128<E: Error>(self, _: u128) -> Result<Number, E> {
                Err(E::custom(TOO_LARGE))
            }
        }
        deserializer.deserialize_any(Expect)
    }
}

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Expect;
        impl Visitor<'_> for Expect {
            type Value = Text;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string in quotes")
            }
            fn visit_str<E: Error>(self, value: &str) -> Result<Text, E> {
                Ok(Text(value.to_owned()))
            }
        }
        deserializer.deserialize_any(Expect)
    }
}

impl<'de> Deserialize<'de> for TimeSpan {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Expect;
        impl Visitor<'_> for Expect {
            type Value = TimeSpan;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a time span such as \"20ms\"")
            }
            fn visit_i64<E: Error>(self, value: i64) -> Result<TimeSpan, E> {
                Err(E::custom(format_args!("the time span {value} has no unit")))
            }
            fn visit_str<E: Error>(self, value: &str) -> Result<TimeSpan, E> {
                parse_time_span(value).map(TimeSpan).map_err(E::custom)
            }
        }
        deserializer.deserialize_any(Expect)
    }
}

impl<'de> Deserialize<'de> for SpanOrNever {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Expect;
        impl Visitor<'_> for Expect {
            type Value = SpanOrNever;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a time span such as \"20ms\", or \"never\"")
            }
            fn visit_i64<E: Error>(self, value: i64) -> Result<SpanOrNever, E> {
                Err(E::custom(format_args!("the time span {value} has no unit")))
            }
            fn visit_str<E: Error>(self, value: &str) -> Result<SpanOrNever, E> {
                if value == "never" {
                    return Ok(SpanOrNever(None));
                }
                let span = parse_time_span(value).map_err(E::custom)?;
                Ok(SpanOrNever(Some(span)))
            }
        }
        deserializer.deserialize_any(Expect)
    }
}

impl<'de> Deserialize<'de> for Size {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Expect;
        impl Visitor<'_> for Expect {
            type Value = Size;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a size such as \"32MiB\"")
            }
            fn visit_i64<E: Error>(self, value: i64) -> Result<Size, E> {
                u64::try_from(value)
                    .map(Size)
                    .map_err(|_| E::custom("a size cannot be negative"))
            }
            fn visit_str<E: Error>(self, value: &str) -> Result<Size, E> {
                parse_size(value).map(Size).map_err(E::custom)
            }
        }
        deserializer.deserialize_any(Expect)
    }
}

impl<'de> Deserialize<'de> for PortsValue {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Expect;
        impl Visitor<'_> for Expect {
            type Value = PortsValue;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a port, a range in quotes, or \"any\"")
            }
            fn visit_i64<E: Error>(self, value: i64) -> Result<PortsValue, E> {
                let port = port(value).map_err(E::custom)?;
                Ok(PortsValue(Ports::Range(port, port)))
            }
            fn visit_str<E: Error>(self, value: &str) -> Result<PortsValue, E> {
                parse_ports(value).map(PortsValue).map_err(E::custom)
            }
        }
        deserializer.deserialize_any(Expect)
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct HostTable {
    name: Spanned<Text>,
    weight: Option<Spanned<Number>>,
    max_connections: Option<Spanned<Number>>,
}

enum NameOrTable {
    Name(String),
    Table(HostTable),
}

impl<'de> Deserialize<'de> for NameOrTable {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Expect;
        impl<'de> Visitor<'de> for Expect {
            type Value = NameOrTable;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a host's name, or a table with it")
            }
            fn visit_str<E: Error>(self, value: &str) -> Result<NameOrTable, E> {
                Ok(NameOrTable::Name(value.to_owned()))
            }
            fn visit_map<M: MapAccess<'de>>(self, map: M) -> Result<NameOrTable, M::Error> {
                HostTable::deserialize(MapAccessDeserializer::new(map)).map(NameOrTable::Table)
            }
        }
        deserializer.deserialize_any(Expect)
    }
}

impl<'de> Deserialize<'de> for HostEntry {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let spanned = Spanned::<NameOrTable>::deserialize(deserializer)?;
        let span = spanned.span();
        Ok(match spanned.into_inner() {
            NameOrTable::Name(name) => Self {
                name: Spanned::new(span, Text(name)),
                weight: None,
                max_connections: None,
            },
            NameOrTable::Table(table) => Self {
                name: table.name,
                weight: table.weight,
                max_connections: table.max_connections,
            },
        })
    }
}

impl<'de> Deserialize<'de> for HostsValue {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Expect;
        impl<'de> Visitor<'de> for Expect {
            type Value = HostsValue;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list of hosts, or \"any\"")
            }
            fn visit_str<E: Error>(self, value: &str) -> Result<HostsValue, E> {
                match value {
                    "any" => Ok(HostsValue::Any),
                    _ => Err(E::custom(format_args!(
                        "expected a list of hosts, or \"any\", found {}",
                        quoted(value)
                    ))),
                }
            }
            fn visit_seq<S: SeqAccess<'de>>(self, list: S) -> Result<HostsValue, S::Error> {
                Vec::deserialize(SeqAccessDeserializer::new(list)).map(HostsValue::Listed)
            }
        }
        deserializer.deserialize_any(Expect)
    }
}

/// Splits `"20ms"` into its digits and its unit.
fn split_unit(text: &str) -> (&str, &str) {
    let text = text.trim();
    let at = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    let (digits, unit) = text.split_at(at);
    (digits, unit.trim_start())
}

/// Reads a time span with its unit, as the file has them: `"20ms"`.
///
/// # Errors
/// What is wrong with it.
pub fn parse_time_span(text: &str) -> Result<Duration, String> {
    let (digits, unit) = split_unit(text);
    let nanos: u64 = match unit {
        "us" => 1_000,
        "ms" => 1_000_000,
        "s" => 1_000_000_000,
        "m" => 60_000_000_000,
        "h" => 3_600_000_000_000,
        "" if !digits.is_empty() => return Err(format!("the time span {digits} has no unit")),
        _ => return Err(format!("{} is not a time span", quoted(text))),
    };
    if digits.is_empty() {
        return Err("a time span needs a number before its unit".to_owned());
    }
    digits
        .parse::<u64>()
        .ok()
        .and_then(|count| count.checked_mul(nanos))
        .map(Duration::from_nanos)
        .ok_or_else(|| "the time span is too long to be kept".to_owned())
}

fn parse_size(text: &str) -> Result<u64, String> {
    let (digits, unit) = split_unit(text);
    let factor: u64 = match unit {
        "" | "B" => 1,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        _ => return Err(format!("{} is not a size", quoted(text))),
    };
    if digits.is_empty() {
        return Err("a size needs a number before its unit".to_owned());
    }
    digits
        .parse::<u64>()
        .ok()
        .and_then(|count| count.checked_mul(factor))
        .ok_or_else(|| "the size is too large to be kept".to_owned())
}

fn port(value: i64) -> Result<u16, String> {
    match u16::try_from(value) {
        Ok(0) => Err("port 0 is not a port that clients can connect to".to_owned()),
        Ok(port) => Ok(port),
        Err(_) => Err(format!("port {value} is out of range")),
    }
}

fn parse_ports(text: &str) -> Result<Ports, String> {
    if text == "any" {
        return Ok(Ports::Any);
    }
    let number = |text: &str| {
        let digits =
            !text.is_empty() && text.len() < 10 && text.bytes().all(|b| b.is_ascii_digit());
        match text.parse::<i64>() {
            Ok(value) if digits => port(value),
            _ => Err(format!("{} is not a port", quoted(text))),
        }
    };
    let (first, last) = match text.split_once('-') {
        Some((first, last)) => (number(first.trim())?, number(last.trim())?),
        None => {
            let port = number(text.trim())?;
            (port, port)
        }
    };
    if first > last {
        return Err(format!(
            "the range ends at {last}, before it begins at {first}"
        ));
    }
    Ok(Ports::Range(first, last))
}

#[cfg(test)]
mod tests;
