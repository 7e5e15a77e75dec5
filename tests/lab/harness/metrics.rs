//! What nodes say of themselves.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use super::Namespace;

/// Gauges of flows: all are zero when there are none.
const FLOW_GAUGES: [&str; 6] = [
    "jlb_ingress_flows",
    "jlb_ingress_pending_flows",
    "jlb_tracker_flows",
    "jlb_tracker_searches",
    "jlb_host_flows",
    "jlb_host_statements_pending",
];

/// The text of one `/metrics`.
pub(crate) struct Page(pub(crate) String);

/// One line of it.
pub(crate) struct Sample<'a> {
    pub(crate) name: &'a str,
    /// With braces; empty when there are none.
    pub(crate) labels: &'a str,
    pub(crate) value: f64,
}

impl Page {
    pub(crate) fn samples(&self) -> impl Iterator<Item = Sample<'_>> {
        self.0
            .lines()
            .filter(|line| !line.starts_with('#'))
            .map(|line| {
                let (series, value) = line.rsplit_once(' ').expect("a sample has a value");
                let split = series.find('{').unwrap_or(series.len());
                let (name, labels) = series.split_at(split);
                Sample {
                    name,
                    labels,
                    value: value.parse().expect("a value is a number"),
                }
            })
    }

    /// The sum of all samples of a name with these labels; panics when there is none.
    pub(crate) fn sum(&self, name: &str, labels: &[(&str, &str)]) -> u64 {
        let wanted = |sample: &Sample<'_>| {
            let has =
                |&(l, value): &(&str, &str)| sample.labels.contains(&format!("{l}=\"{value}\""));
            sample.name == name && labels.iter().all(has)
        };
        let values: Vec<f64> = self
            .samples()
            .filter(wanted)
            .map(|sample| sample.value)
            .collect();
        assert!(!values.is_empty(), "there is no {name} with {labels:?}");
        values.iter().sum::<f64>() as u64
    }

    /// Gauges of flows that are not zero, in words.
    pub(crate) fn flows(&self) -> Vec<String> {
        let of_flows = |sample: &Sample<'_>| FLOW_GAUGES.contains(&sample.name);
        self.samples()
            .filter(|sample| of_flows(sample) && sample.value != 0.0)
            .map(|sample| format!("{} {}", sample.value, sample.name))
            .collect()
    }

    /// What a layer dropped, by reason, where there was any.
    pub(crate) fn drops(&self, layer: &str) -> Vec<(String, u64)> {
        let layer = format!("layer=\"{layer}\"");
        self.samples()
            .filter(|sample| sample.name == "jlb_dropped_total" && sample.labels.contains(&layer))
            .filter(|sample| sample.value != 0.0)
            .map(|sample| {
                let reason = sample.labels.split("reason=\"").nth(1).unwrap_or_default();
                let reason = reason.split('"').next().unwrap_or_default();
                (reason.to_owned(), sample.value as u64)
            })
            .collect()
    }
}

/// Fetches a page from inside `namespace`; an error when it is not a 200.
pub(crate) fn get(namespace: &Namespace, admin: SocketAddr, path: &str) -> Result<String, String> {
    let exchange = || -> std::io::Result<String> {
        let longest = Duration::from_secs(5);
        let mut stream = TcpStream::connect_timeout(&admin, longest)?;
        stream.set_read_timeout(Some(longest))?;
        write!(
            stream,
            "GET {path} HTTP/1.1\r\nhost: {admin}\r\nconnection: close\r\n\r\n"
        )?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer)
    };
    let answer = namespace
        .enter(exchange)
        .map_err(|error| error.to_string())?;
    let (head, body) = answer
        .split_once("\r\n\r\n")
        .ok_or("the answer has no body")?;
    if head.starts_with("HTTP/1.1 200 ") {
        Ok(body.to_owned())
    } else {
        Err(answer)
    }
}

/// Fetches `/metrics`.
pub(crate) fn fetch(namespace: &Namespace, admin: SocketAddr) -> Result<Page, String> {
    get(namespace, admin, "/metrics").map(Page)
}
