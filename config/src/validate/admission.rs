//! What a service's hosts look at before they take a connection.

use super::{right, within};
use crate::cluster::Admission;
use crate::health::{HealthCheck, HealthKind};
use crate::problem::{Findings, Problem};
use crate::schema::AdmissionTable;
use crate::value::Number;
use jlb_protocol::Protocol;
use std::ops::Range;
use std::time::Duration;
use toml::Spanned;

/// An objective below this can't be told from the machine's own jitter.
const SHORTEST: Duration = Duration::from_micros(100);

/// A longer objective is surely a mistake.
const LONGEST: Duration = Duration::from_secs(60);

/// The admission of a service; `None` if it has errors. `check` is its health check, if that has none.
pub(super) fn admission(
    written: &Spanned<AdmissionTable>,
    check: Option<&Option<HealthCheck>>,
    protocol: Option<Protocol>,
    findings: &mut Findings,
) -> Option<Admission> {
    let table = written.get_ref();
    if let Some(check) = check {
        let asks = check
            .as_ref()
            .is_some_and(|check| matches!(check.kind, HealthKind::Http { .. }));
        let latency = table.latency.as_ref().map(Spanned::span);
        let load = table.load_percent.as_ref().map(Spanned::span);
        for (key, place) in [("latency", latency), ("load_percent", load)] {
            if let Some(place) = place.filter(|_| !asks) {
                unknown_without_check(key, place, findings);
            }
        }
    }
    if let (Some(Protocol::Udp), Some(written)) = (protocol, &table.accept_queue) {
        let message = "`accept_queue` is of TCP: no datagram waits to be accepted";
        findings.error(
            Problem::at(written.span(), message, "never full").help("leave `accept_queue` out"),
        );
    }
    let accept_queue = match &table.accept_queue {
        Some(written) => {
            let path = "service.admission.accept_queue";
            let most = within(written, 1..=i64::from(u32::MAX), path, findings);
            most.and_then(|most| u32::try_from(most).ok()).map(Some)
        }
        None => Some(None),
    };
    let load = percent(&table.load_percent, "load_percent", findings);
    let cpu = percent(&table.cpu_percent, "cpu_percent", findings);
    let memory = percent(&table.memory_percent, "memory_percent", findings);
    let latency = match &table.latency {
        Some(written) => {
            let span = written.get_ref().0;
            let fits = (SHORTEST..=LONGEST).contains(&span);
            if !fits {
                let message = format!("`latency` is {span:?}, not {SHORTEST:?} to {LONGEST:?}");
                findings.error(
                    Problem::at(written.span(), message, "out of range")
                        .help(right("service.admission.latency")),
                );
            }
            fits.then_some(Some(span))
        }
        None => Some(None),
    };
    Some(Admission {
        adaptive: table.adaptive.as_ref().is_some_and(|it| *it.get_ref()),
        accept_queue: accept_queue?,
        cpu_percent: cpu?,
        memory_percent: memory?,
        load_percent: load?,
        latency: latency?,
    })
}

/// The outer `None` is an error, the inner one no limit.
fn percent(
    written: &Option<Spanned<Number>>,
    key: &str,
    findings: &mut Findings,
) -> Option<Option<u8>> {
    let Some(written) = written else {
        return Some(None);
    };
    let path = format!("service.admission.{key}");
    let percent = within(written, 1..=100, &path, findings)?;
    Some(u8::try_from(percent).ok())
}

fn unknown_without_check(key: &str, place: Range<usize>, findings: &mut Findings) {
    findings.error(
        Problem::at(
            place,
            format!("`{key}` is not known without a health check by HTTP"),
            "nobody tells it",
        )
        .help("add to the service: health = { kind = \"http\", path = \"/\" }"),
    );
}
