//! The options of `jlb lab`.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

use jlb_flow_tracker::config::PolicyKind;

use crate::cluster_file::Services;
use crate::plan::{Counts, MAX_NODES_OF_A_KIND, Role};

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
    /// Break a lab's nodes under thousands of connections, and say what these noticed
    Chaos(ChaosOptions),
    /// Measure how soon the death of a node is seen, and whether there are false alarms
    Detect(DetectOptions),
}

/// How detection is measured.
#[derive(Clone, Debug, Args)]
pub(crate) struct DetectOptions {
    /// How many ingress nodes and trackers are killed, one after the other
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(0..=10_000))]
    pub(crate) kills: u32,
    /// Seconds to watch for false alarms while packets are lost, and again while all processors are
    /// busy
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u64).range(0..=86_400))]
    pub(crate) watch_seconds: u64,
    /// Percent of the messages between nodes that are lost in the first watch (needs nft); 0: no such
    /// watch
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(0..=100))]
    pub(crate) loss: u32,
    /// Processes that do nothing but keep processors busy in the second; by default one more than
    /// there are processors; 0: no such watch
    #[arg(long, value_parser = clap::value_parser!(u32).range(0..=64))]
    pub(crate) spinning: Option<u32>,
    /// Print one JSON document and nothing else on standard output
    #[arg(long)]
    pub(crate) json: bool,
}

/// What to break, and under what.
#[derive(Clone, Debug, Args)]
pub(crate) struct ChaosOptions {
    /// A scenario by name (repeatable); without any, all of them
    #[arg(long, value_name = "NAME")]
    pub(crate) scenario: Vec<String>,
    /// List the scenarios
    #[arg(long)]
    pub(crate) list: bool,
    /// Long-lived connections: a fourth each download, upload, ask now and then, are silent until
    /// the fault
    #[arg(long, default_value_t = 2_400, value_parser = clap::value_parser!(u32).range(4..=8_000))]
    pub(crate) connections: u32,
    /// New connections a second beside them
    #[arg(long, default_value_t = 40, value_parser = clap::value_parser!(u32).range(0..=1_000))]
    pub(crate) new_rate: u32,
    /// Milliseconds from the death of an ingress until the router sends it nothing any more
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u64).range(0..=60_000))]
    pub(crate) detect_ms: u64,
    /// Milliseconds from the end of an ingress or a tracker until it is started again
    #[arg(long, default_value_t = 2_000, value_parser = clap::value_parser!(u64).range(0..=60_000))]
    pub(crate) away_ms: u64,
    /// The same of a host agent: nobody can stand in for it, so that its supervisor should be quick
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u64).range(0..=60_000))]
    pub(crate) agent_away_ms: u64,
    /// Milliseconds for which a node is stopped in its tracks
    #[arg(long, default_value_t = 3_000, value_parser = clap::value_parser!(u64).range(0..=600_000))]
    pub(crate) pause_ms: u64,
    /// Milliseconds within which all but 1 % of the connections have to move again
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u64).range(1..=600_000))]
    pub(crate) most_stall_ms: u64,
    /// Seconds of a scenario from its fault to its end, at least; more if what happens takes longer
    #[arg(long, default_value_t = 7, value_parser = clap::value_parser!(u64).range(1..=3_600))]
    pub(crate) seconds: u64,
    /// Print one JSON document and nothing else on standard output
    #[arg(long)]
    pub(crate) json: bool,
    /// Ingress nodes
    #[arg(long, default_value_t = 3, value_parser = nodes())]
    pub(crate) ingress: u16,
    /// Flow trackers
    #[arg(long, default_value_t = 3, value_parser = nodes())]
    pub(crate) trackers: u16,
    /// Hosts
    #[arg(long, default_value_t = 4, value_parser = nodes())]
    pub(crate) hosts: u16,
    /// Run this program as the nodes instead of this one
    #[arg(long, value_name = "PROGRAM", conflicts_with = "older")]
    pub(crate) program: Option<PathBuf>,
    /// An older program, from which and back to which nodes are brought one by one
    #[arg(long, value_name = "PROGRAM")]
    pub(crate) older: Option<PathBuf>,
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
    /// How ingress nodes take packets of clients, as in the cluster file
    #[arg(long, value_enum, default_value_t = PacketIo::Tun)]
    pub(crate) packet_io: PacketIo,
    /// Have each host's kernel decapsulate packets of established connections, by XDP
    #[arg(long)]
    pub(crate) xdp_strip: bool,
    /// How hosts are chosen, as in the cluster file
    #[arg(long, default_value = "round-robin", value_parser = policies())]
    pub(crate) policy: String,
    /// One more line of every TCP service in the cluster file, such as
    /// 'admission = { accept_queue = 64 }' (repeatable)
    #[arg(long, value_name = "LINE")]
    pub(crate) tcp_service: Vec<String>,
    /// One more line of every ingress in the cluster file, such as 'workers = 2' (repeatable)
    #[arg(long, value_name = "LINE")]
    pub(crate) ingress_line: Vec<String>,
}

fn policies() -> clap::builder::PossibleValuesParser {
    PolicyKind::ALL.iter().map(|&(name, _)| name).into()
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

/// How packets of clients are taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum PacketIo {
    /// From a TUN device
    Tun,
    /// From AF_XDP sockets
    #[value(name = "af_xdp")]
    AfXdp,
}

impl PacketIo {
    /// The lines of ingress nodes in the cluster file, and of hosts if their kernels decapsulate.
    pub(crate) const fn lines(self, xdp_strip: bool) -> &'static [(Role, &'static str)] {
        const LINES: &[(Role, &str)] = &[
            (Role::Ingress, "packet_io = \"af_xdp\""),
            (Role::Ingress, "xdp_interfaces = [\"eth0\"]"),
            (Role::Host, "xdp_strip = true"),
            (Role::Host, "xdp_interfaces = [\"eth0\"]"),
        ];
        let (ingress, hosts) = LINES.split_at(2);
        match (self, xdp_strip) {
            (Self::Tun, false) => &[],
            (Self::AfXdp, false) => ingress,
            (Self::Tun, true) => hosts,
            (Self::AfXdp, true) => LINES,
        }
    }
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

    /// What the cluster file says of services.
    pub(crate) fn services(&self) -> Services<'_> {
        Services {
            policy: &self.policy,
            tcp_lines: &self.tcp_service,
            node_lines: self.packet_io.lines(self.xdp_strip),
            ingress_lines: &self.ingress_line,
            ..Services::of(&self.policy)
        }
    }
}
