//! The options of `jlb lab`.

use clap::{Args, Subcommand, ValueEnum};

use crate::plan::{Counts, MAX_NODES_OF_A_KIND};

/// `jlb lab`: build a cluster and load it, or take a kept one down.
#[derive(Clone, Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct LabArgs {
    #[command(subcommand)]
    pub(crate) command: Option<LabCommand>,
    #[command(flatten)]
    pub(crate) options: LabOptions,
}

/// What else can be done with labs.
#[derive(Clone, Debug, Subcommand)]
pub(crate) enum LabCommand {
    /// Take a kept lab down
    Down {
        /// Which one; needed when there are several
        id: Option<String>,
        /// All kept labs
        #[arg(long, conflicts_with = "id")]
        all: bool,
    },
    /// List labs
    List,
}

/// What to build and how to load it.
#[derive(Clone, Debug, Args)]
pub(crate) struct LabOptions {
    /// Seconds of load; 0 for none
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u64).range(0..=3600))]
    pub(crate) seconds: u64,
    /// Connections at a time, spread over the VIPs; half of them serve one request each
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..=8192))]
    pub(crate) connections: u32,
    /// Requests a second in all; without it as many as get answered
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub(crate) rate: Option<u32>,
    /// The web server of the hosts
    #[arg(long, value_enum, default_value_t = Web::Embedded)]
    pub(crate) web: Web,
    /// Leave the lab up and say how to use it
    #[arg(long)]
    pub(crate) keep: bool,
    /// Print one JSON document and nothing else on standard output
    #[arg(long)]
    pub(crate) json: bool,
    /// Ingress nodes
    #[arg(long, default_value_t = 2, value_parser = nodes())]
    pub(crate) ingress: u16,
    /// Flow trackers
    #[arg(long, default_value_t = 3, value_parser = nodes())]
    pub(crate) trackers: u16,
    /// Hosts
    #[arg(long, default_value_t = 4, value_parser = nodes())]
    pub(crate) hosts: u16,
    /// What nodes talk to each other over; clients use both in any case
    #[arg(long, value_enum, default_value_t = Underlay::Ipv4)]
    pub(crate) underlay: Underlay,
    /// How hosts are chosen, as in the cluster file
    #[arg(long, default_value = "round-robin", value_parser = ["round-robin", "least-connections"])]
    pub(crate) policy: String,
}

fn nodes() -> clap::builder::RangedI64ValueParser<u16> {
    clap::value_parser!(u16).range(1..=i64::from(MAX_NODES_OF_A_KIND))
}

/// A web server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Web {
    /// The one in this program: HTTP
    Embedded,
    /// The nginx of this machine: HTTP and HTTPS
    Nginx,
}

/// An address family.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Underlay {
    /// IPv4
    Ipv4,
    /// IPv6
    Ipv6,
}

impl LabOptions {
    /// How many nodes of each kind.
    pub(crate) fn counts(&self) -> Counts {
        Counts {
            ingress: self.ingress,
            trackers: self.trackers,
            hosts: self.hosts,
        }
    }
}
