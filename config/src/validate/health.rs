//! The health check of a service.

use super::{one_of, right, within};
use crate::health::{HealthCheck, HealthKind};
use crate::problem::{Findings, Problem, quoted};
use crate::schema::{HealthTable, ServiceTable};
use crate::value::{Number, Text, TimeSpan};
use jlb_protocol::Protocol;
use jlb_protocol::services::Ports;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;
use toml::Spanned;

const DEFAULT_INTERVAL: Duration = Duration::from_secs(1);
const DEFAULT_TIMEOUT: Duration = Duration::from_millis(500);
const DEFAULT_RISE: u32 = 2;
const DEFAULT_FALL: u32 = 3;

/// Checks more often than this are a load of their own.
const SHORTEST: Duration = Duration::from_millis(10);

/// Checks more seldom, or that take longer, are surely mistakes.
const LONGEST: Duration = Duration::from_secs(60 * 60);

/// The longest path of an HTTP check, in bytes.
const MAX_PATH: usize = 1_024;

#[derive(Clone, Copy)]
enum Word {
    Tcp,
    Http,
}

/// The check of a service; `None` if it has errors.
pub(super) fn check(
    written: &Spanned<HealthTable>,
    service: &ServiceTable,
    vip: Option<IpAddr>,
    protocol: Option<Protocol>,
    findings: &mut Findings,
) -> Option<HealthCheck> {
    let table = written.get_ref();
    let words = [("tcp", Word::Tcp), ("http", Word::Http)];
    let word = one_of(&table.kind, &words, "service.health.kind", findings);
    let kind = word.and_then(|word| kind(word, table.path.as_ref(), findings));
    let address = match &table.address {
        Some(written) => address(written, findings),
        None => default_address(written, service, vip, protocol, findings),
    };
    let interval = span(&table.interval, DEFAULT_INTERVAL, "interval", findings);
    let timeout = span(&table.timeout, DEFAULT_TIMEOUT, "timeout", findings);
    let rise = count(&table.rise, DEFAULT_RISE, "service.health.rise", findings);
    let fall = count(&table.fall, DEFAULT_FALL, "service.health.fall", findings);
    Some(HealthCheck {
        kind: kind?,
        address: address?,
        interval: interval?,
        timeout: timeout?,
        rise: rise?,
        fall: fall?,
    })
}

fn kind(word: Word, path: Option<&Spanned<Text>>, findings: &mut Findings) -> Option<HealthKind> {
    match (word, path) {
        (Word::Tcp, None) => Some(HealthKind::Tcp),
        (Word::Tcp, Some(path)) => {
            findings.error(
                Problem::at(path.span(), "a check by TCP has no `path`", "not used")
                    .help("leave the line out, or write kind = \"http\""),
            );
            None
        }
        (Word::Http, None) => Some(HealthKind::Http { path: "/".into() }),
        (Word::Http, Some(written)) => {
            let path = written.get_ref().0.as_str();
            // It becomes a part of the request's first line.
            let plain = path.bytes().all(|byte| byte.is_ascii_graphic());
            if path.starts_with('/') && plain && path.len() <= MAX_PATH {
                return Some(HealthKind::Http { path: path.into() });
            }
            let message = format!("{} cannot be the path of a request", quoted(path));
            findings.error(Problem::at(written.span(), message, "not a path").help(
                "a path begins with `/` and has no spaces; others than ASCII are written as %20",
            ));
            None
        }
    }
}

fn address(written: &Spanned<Text>, findings: &mut Findings) -> Option<SocketAddr> {
    let text = written.get_ref().0.as_str();
    match text.parse::<SocketAddr>() {
        Ok(address) if address.port() != 0 && !address.ip().is_unspecified() => Some(address),
        _ => {
            let message = format!(
                "{} is not an address and a port to connect to",
                quoted(text)
            );
            findings.error(
                Problem::at(written.span(), message, "not address:port")
                    .help(right("service.health.address")),
            );
            None
        }
    }
}

/// The service's first port on the loopback address of the VIP's family. Connections of the host to
/// its own VIP would look like a client's to the agent that follows the kernel's sockets.
fn default_address(
    written: &Spanned<HealthTable>,
    service: &ServiceTable,
    vip: Option<IpAddr>,
    protocol: Option<Protocol>,
    findings: &mut Findings,
) -> Option<SocketAddr> {
    let loopback = match vip? {
        IpAddr::V4(_) => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(_) => IpAddr::V6(Ipv6Addr::LOCALHOST),
    };
    let why = match (protocol?, service.ports.get_ref().0) {
        (Protocol::Udp, _) => "of UDP",
        (Protocol::Tcp, Ports::Any) => "of any port",
        (Protocol::Tcp, Ports::Range(first, _)) => return Some(SocketAddr::new(loopback, first)),
    };
    let message = format!("the health check of a service {why} needs an `address`");
    findings.error(
        Problem::at(written.span(), message, "without one").help(right("service.health.address")),
    );
    None
}

fn span(
    written: &Option<Spanned<TimeSpan>>,
    default: Duration,
    key: &str,
    findings: &mut Findings,
) -> Option<Duration> {
    let Some(written) = written else {
        return Some(default);
    };
    let span = written.get_ref().0;
    let message = if span < SHORTEST {
        format!("`{key}` of a health check is shorter than 10ms")
    } else if span > LONGEST {
        format!("`{key}` of a health check is longer than 1h")
    } else {
        return Some(span);
    };
    let help = "write 10ms to 1h: a number and a unit, such as \"500ms\"";
    findings.error(Problem::at(written.span(), message, "out of range").help(help));
    None
}

fn count(
    written: &Option<Spanned<Number>>,
    default: u32,
    path: &str,
    findings: &mut Findings,
) -> Option<u32> {
    let Some(written) = written else {
        return Some(default);
    };
    let count = within(written, 1..=100, path, findings)?;
    u32::try_from(count).ok()
}
