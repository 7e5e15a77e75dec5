//! Packets that the kernel dropped around the nodes, before or after their own books.

use std::fmt;
use std::fs;
use std::path::Path;

use serde::Serialize;

use crate::error::{Doing, Result};

/// Packets lost at one place of a namespace.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Loss {
    /// The node, the client or the router.
    pub node: String,
    /// Where: a queue.
    pub place: String,
    /// How many.
    pub count: u64,
}

impl fmt::Display for Loss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, {}: {}", self.node, self.place, self.count)
    }
}

/// What of `now` came after `before`, when a lab that had just been built had lost some packets too:
/// an end of a cable that is up before the other one.
pub(crate) fn since(before: &[Loss], now: Vec<Loss>) -> Vec<Loss> {
    let earlier = |loss: &Loss| {
        let same = |other: &&Loss| other.node == loss.node && other.place == loss.place;
        before.iter().find(same).map_or(0, |other| other.count)
    };
    now.into_iter()
        .map(|loss| Loss {
            count: loss.count.saturating_sub(earlier(&loss)),
            ..loss
        })
        .filter(|loss| loss.count > 0)
        .collect()
}

/// What the namespace of the calling thread has lost since it was made.
///
/// # Errors
/// When /proc/net cannot be read.
pub fn here(node: &str) -> Result<Vec<Loss>> {
    let read = |name: &str| {
        // `/proc/net` is the process's first thread's; this thread may be elsewhere.
        let path = Path::new("/proc/thread-self/net").join(name);
        fs::read_to_string(&path).doing(format_args!("read {}", path.display()))
    };
    let udp = udp_v4(&read("snmp")?) + udp_v6(&read("snmp6")?);
    let devices = devices(&read("dev")?);
    let places = [("receive buffers of UDP sockets".to_owned(), udp)]
        .into_iter()
        .chain(devices);
    Ok(places
        .filter(|&(_, count)| count > 0)
        .map(|(place, count)| Loss {
            node: node.to_owned(),
            place,
            count,
        })
        .collect())
}

/// `RcvbufErrors` of the second of the two `Udp:` lines, whose names are in the first.
fn udp_v4(snmp: &str) -> u64 {
    let mut lines = snmp.lines().filter_map(|line| line.strip_prefix("Udp:"));
    let (Some(names), Some(values)) = (lines.next(), lines.next()) else {
        return 0;
    };
    names
        .split_whitespace()
        .zip(values.split_whitespace())
        .find(|&(name, _)| name == "RcvbufErrors")
        .and_then(|(_, value)| value.parse().ok())
        .unwrap_or(0)
}

fn udp_v6(snmp6: &str) -> u64 {
    snmp6
        .lines()
        .find_map(|line| line.strip_prefix("Udp6RcvbufErrors"))
        .and_then(|value| value.trim().parse().ok())
        .unwrap_or(0)
}

/// Devices that could not send: the queue of a TUN device is full, or the other end of a veth.
fn devices(dev: &str) -> Vec<(String, u64)> {
    let sent_dropped = |line: &str| {
        let (name, counts) = line.split_once(':')?;
        // Eight columns of receiving, then bytes, packets, errors and drops of sending.
        let dropped = counts.split_whitespace().nth(11)?.parse().ok()?;
        Some((format!("queue of device {}", name.trim()), dropped))
    };
    dev.lines().filter_map(sent_dropped).collect()
}

#[cfg(test)]
mod tests;
