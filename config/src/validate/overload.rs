//! What happens to a connection that no host takes.

use super::{one_of, right};
use crate::cluster::overload_steps;
use crate::problem::{Findings, Problem};
use crate::schema::ServiceTable;
use crate::timers::Timers;
use crate::value::HostsValue;
use jlb_flow_tracker::config::Overload;
use jlb_protocol::message::MAX_TRIED;
use std::time::Duration;

const DEFAULT_QUEUE_TIMEOUT: Duration = Duration::from_secs(1);

/// A shorter wait would be over before the next report of room.
const SHORTEST: Duration = Duration::from_millis(10);

const WORDS: &[(&str, Overload)] = &[
    ("refuse", Overload::Refuse),
    ("queue", Overload::Queue(DEFAULT_QUEUE_TIMEOUT)),
    ("pool", Overload::Pool),
    ("must-accept", Overload::MustAccept),
];

/// The overload policy of a service; `None` if it has errors.
pub(super) fn overload(
    table: &ServiceTable,
    search_ttl: Option<u8>,
    timers: &Timers,
    findings: &mut Findings,
) -> Option<Overload> {
    let before = findings.errors.len();
    let overload = match &table.overload {
        Some(written) => one_of(written, WORDS, "service.overload", findings)?,
        None => Overload::Refuse,
    };
    let overload = match (overload, &table.queue_timeout) {
        (Overload::Queue(default), written) => {
            let longest = written.as_ref().map_or(default, |it| it.get_ref().0);
            if let Some(written) = written.as_ref().filter(|_| longest < SHORTEST) {
                let message = format!("`queue_timeout` is {longest:?}, less than {SHORTEST:?}");
                findings.error(
                    Problem::at(written.span(), message, "too short")
                        .help(right("service.queue_timeout")),
                );
            }
            let most = timers.open_timeout.saturating_sub(timers.open_retry_max);
            if longest > most {
                let place = match (written, &table.overload) {
                    (Some(written), _) => written.span(),
                    (None, Some(overload)) => overload.span(),
                    (None, None) => table.name.span(),
                };
                let message =
                    format!("`queue_timeout` is {longest:?}, but an ingress waits {most:?}");
                findings.error(
                    Problem::at(place, message, "longer than anybody waits").help(
                        "a wait must end before the ingress gives up: queue_timeout = \
                     timers.open_timeout - timers.open_retry_max or less",
                    ),
                );
            }
            Overload::Queue(longest)
        }
        (other, None) => other,
        (other, Some(written)) => {
            findings.error(
                Problem::at(written.span(), "nothing waits in this service", "not used")
                    .help("write overload = \"queue\", or leave `queue_timeout` out"),
            );
            other
        }
    };
    overflow(table, overload, findings);
    let most = u8::try_from(MAX_TRIED).unwrap_or(u8::MAX) - overload_steps(overload);
    if let (Some(ttl), Some(written)) = (search_ttl, &table.search_ttl)
        && ttl > most
    {
        let message = format!(
            "`search_ttl` is {ttl}, but with this overload policy at most {most} is possible"
        );
        findings.error(
            Problem::at(written.span(), message, "out of range").help(format!(
                "it makes offers of its own: search_ttl = {most} or less"
            )),
        );
    }
    (findings.errors.len() == before).then_some(overload)
}

/// Overflow hosts are there if, and only if, the policy asks them.
fn overflow(table: &ServiceTable, overload: Overload, findings: &mut Findings) {
    let help = right("service.overflow");
    match (overload, &table.overflow) {
        (Overload::Pool, Some(written)) => {
            let is_listed = !written.get_ref().listed().is_empty();
            if !is_listed {
                let message = "`overflow` lists no hosts";
                findings.error(Problem::at(written.span(), message, "no list").help(help));
            }
            if matches!(table.hosts.get_ref(), HostsValue::Any) {
                let message = "hosts = \"any\" leaves none for `overflow`";
                findings.error(
                    Problem::at(table.hosts.span(), message, "every host")
                        .and(written.span(), "these too")
                        .help("list the service's own hosts by name"),
                );
            }
        }
        (Overload::Pool, None) => {
            if let Some(word) = &table.overload {
                let message = "overload = \"pool\" has no pool to go to";
                findings
                    .error(Problem::at(word.span(), message, "`overflow` is missing").help(help));
            }
        }
        (_, Some(written)) => {
            let message = "no connection overflows in this service";
            findings.error(
                Problem::at(written.span(), message, "not used")
                    .help("write overload = \"pool\", or leave `overflow` out"),
            );
        }
        (_, None) => {}
    }
}
