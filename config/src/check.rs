//! The text of `jlb check`: what a cluster file describes, or what is wrong with it.

use crate::cluster::{ClusterConfig, Service};
use crate::fingerprint::overload_name;
use crate::load::Loaded;
use crate::problem::quoted;
use crate::report::Style;
use jlb_protocol::services::Ports;
use jlb_protocol::{Protocol, Role};
use std::fmt::Write as _;
use std::path::Path;

/// Lines of a list that are shown.
const MAX_LISTED: usize = 16;

/// The result of a check.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Checked {
    valid: bool,
    text: String,
}

impl Checked {
    /// Whether nodes can start from the file.
    #[must_use]
    pub const fn is_ok(&self) -> bool {
        self.valid
    }

    /// What to print: warnings and a summary if the file is valid, else the errors.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }
}

/// Checks the cluster file at `path` and its key file, for the terminal that is there.
#[must_use]
pub fn check(path: &Path) -> Checked {
    check_in(path, Style::of_terminal())
}

/// As [`check`], drawn in this style.
#[must_use]
pub fn check_in(path: &Path, style: Style) -> Checked {
    match ClusterConfig::load(path) {
        Ok(Loaded { config, warnings }) => {
            let mut text = warnings.render(style);
            if !text.is_empty() {
                text.push('\n');
            }
            text.push_str(&summary(&config));
            Checked { valid: true, text }
        }
        Err(error) => Checked {
            valid: false,
            text: error.render(style),
        },
    }
}

/// What a valid cluster file describes.
#[must_use]
pub fn summary(config: &ClusterConfig) -> String {
    let mut text = String::new();
    let mut line = |what: &str, value: String| {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{what:<18}{value}");
    };
    let membership = config.membership.as_str();
    line(
        "cluster",
        format!("{}, membership {membership}", config.name),
    );
    for role in [Role::Ingress, Role::FlowTracker, Role::HostAgent] {
        let nodes = config.nodes().iter().filter(|node| node.role == role);
        let names: Vec<&str> = nodes.map(|node| node.name.as_str()).collect();
        line(
            role.as_str(),
            format!("{}: {}", names.len(), listed(&names)),
        );
    }
    for service in config.services().iter().take(MAX_LISTED) {
        line("service", described(service));
    }
    if let Some(more) = config.services().len().checked_sub(MAX_LISTED + 1) {
        line("", format!("and {} more", more + 1));
    }
    let ip = if config.ipv6_underlay() {
        "IPv6"
    } else {
        "IPv4"
    };
    line(
        "underlay",
        format!(
            "MTU {}, {ip}, UDP port {}",
            config.underlay_mtu, config.port
        ),
    );
    line(
        "largest packet",
        format!(
            "{} bytes; TCP MSS {} over IPv4, {} over IPv6",
            config.max_inner(),
            config.mss(false),
            config.mss(true)
        ),
    );
    line("fingerprint", format!("{:016x}", config.fingerprint()));
    text
}

fn listed(names: &[&str]) -> String {
    const MOST: usize = 6;
    let mut list = names
        .iter()
        .take(MOST)
        .copied()
        .collect::<Vec<_>>()
        .join(", ");
    if names.len() > MOST {
        list.push_str(", …");
    }
    list
}

fn described(service: &Service) -> String {
    let protocol = match service.protocol {
        Protocol::Tcp => "tcp",
        Protocol::Udp => "udp",
    };
    let ports = match service.ports {
        Ports::Any => "any port".to_owned(),
        Ports::Range(first, last) if first == last => format!("port {first}"),
        Ports::Range(first, last) => format!("ports {first}-{last}"),
    };
    let hosts = if service.any_host {
        "any host".to_owned()
    } else {
        format!("{} hosts", service.hosts.len())
    };
    let health = service.health.as_ref().map_or(String::new(), |check| {
        format!(", health by {} of {}", check.kind.as_str(), check.address)
    });
    format!(
        "{} {}: {} {protocol} {ports}, {hosts}, {}, search_ttl {}, overload {}{health}",
        service.number,
        quoted(&service.name),
        service.vip,
        service.policy.name(),
        service.search_ttl,
        overload_name(service.overload)
    )
}
