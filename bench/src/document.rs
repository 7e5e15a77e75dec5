//! The one document of `jlb lab --json`: what was built, and what a run of it showed.

use std::net::SocketAddr;
use std::path::PathBuf;

use serde::Serialize;

use crate::args::{LabOptions, Underlay, Web};
use crate::plan::Plan;
use crate::report::Report;
use crate::state::State;
use crate::topology::CLIENT;

#[derive(Debug, Serialize)]
pub(crate) struct Document<'a> {
    /// Whether all was as it must be.
    ok: bool,
    lab: Built,
    /// Nothing when no load was asked for.
    #[serde(flatten)]
    report: Option<&'a Report>,
}

#[derive(Debug, Serialize)]
struct Built {
    id: String,
    underlay: &'static str,
    web: &'static str,
    policy: String,
    /// Whether it stays up; otherwise what follows is gone when this is read.
    kept: bool,
    /// Of cluster file and logs.
    directory: PathBuf,
    client_namespace: String,
    vips: [std::net::IpAddr; 2],
    nodes: Vec<NodeEntry>,
}

#[derive(Debug, Serialize)]
struct NodeEntry {
    name: String,
    /// The subcommand that runs it.
    role: &'static str,
    namespace: String,
    admin: SocketAddr,
    pid: Option<u32>,
}

impl<'a> Document<'a> {
    pub(crate) fn new(
        options: &LabOptions,
        plan: &Plan,
        state: &State,
        report: Option<&'a Report>,
    ) -> Self {
        let pid = |name: &str| {
            let of_it = state.processes.iter().find(|process| process.name == name);
            of_it.map(|process| process.id.pid)
        };
        let nodes = plan.nodes.iter().map(|node| NodeEntry {
            name: node.name.clone(),
            role: node.role.subcommand(),
            namespace: plan.namespace(&node.name),
            admin: Plan::admin(node),
            pid: pid(&node.name),
        });
        let lab = Built {
            id: plan.id.clone(),
            underlay: match options.underlay {
                Underlay::Ipv4 => "ipv4",
                Underlay::Ipv6 => "ipv6",
            },
            web: match options.web {
                Web::Embedded => "embedded",
                Web::Nginx => "nginx",
            },
            policy: options.policy.clone(),
            kept: options.keep,
            directory: plan.directory(),
            client_namespace: plan.namespace(CLIENT),
            vips: Plan::vips(),
            nodes: nodes.collect(),
        };
        Self {
            ok: report.is_none_or(|report| report.problems.is_empty()),
            lab,
            report,
        }
    }

    pub(crate) fn text(&self) -> Result<String, serde_json::Error> {
        serde_json::to_string_pretty(self)
    }
}
