//! From a valid configuration to a running data thread.

use crate::clock;
use crate::data_path::{Channels, DataPath, Readiness};
use crate::error::Error;
use crate::kernel::host_setup::HostSetup;
use crate::kernel::ingress_setup::IngressSetup;
use crate::machine::Machine;
use crate::socket_watch::SocketWatch;
use crate::underlay::Underlay;
use crate::watch::{Setup, Silences};
use jlb_config::{ClusterConfig, Node};
use jlb_flow_tracker::FlowTracker;
use jlb_host_agent::HostAgent;
use jlb_ingress::Ingress;
use jlb_packet_io::tun::Tun;
use jlb_protocol::link::{self, Link, MessageKey, MessageKeys, PeerAddress};
use jlb_protocol::{NodeNumber, Role};
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use tokio::sync::oneshot;

/// What starting the data thread takes.
pub(crate) struct Start<'a> {
    pub(crate) config: &'a ClusterConfig,
    pub(crate) node: &'a Node,
    pub(crate) incarnation: u32,
    pub(crate) names: BTreeMap<NodeNumber, String>,
    pub(crate) channels: Channels,
}

/// A running data thread.
pub(crate) struct Started {
    /// How it ended.
    pub(crate) ended: oneshot::Receiver<Result<(), Error>>,
    /// The set-up to keep true, on a machine that has one.
    pub(crate) setup: Option<Setup>,
    /// Who is silent.
    pub(crate) silences: Silences,
}

impl Start<'_> {
    pub(crate) fn role(self, role: Role) -> Result<Started, Error> {
        let now = clock::now();
        let view = self.config.view();
        let name = &self.node.name;
        let seed = seed()?;
        let silences = Silences::new(self.config.timers.hello);
        let invalid = |error: jlb_config::RoleError| Error::Config(error.to_string());
        match role {
            Role::Ingress => {
                let settings = self.config.ingress(name).map_err(invalid)?;
                let setup = ingress_setup(self.config, self.node);
                let tun = setup.apply().map_err(Error::Setup)?;
                let machine = Ingress::new(settings, view, seed, now);
                let readiness = ingress_readiness(self.config);
                let ended = self.spawn(machine, Some(tun), None, readiness)?;
                Ok(Started {
                    ended,
                    setup: Some(Setup::Ingress(setup)),
                    silences,
                })
            }
            Role::FlowTracker => {
                let settings = self.config.flow_tracker(name).map_err(invalid)?;
                let machine = FlowTracker::new(settings, view, seed, now);
                let ended = self.spawn(machine, None, None, Box::new(|_| None))?;
                Ok(Started {
                    ended,
                    setup: None,
                    silences,
                })
            }
            Role::HostAgent => {
                let settings = self
                    .config
                    .host_agent(name, self.incarnation)
                    .map_err(invalid)?;
                let vips: Vec<IpAddr> = self.config.vips_of(self.node.number);
                let setup = host_setup(self.config, self.node);
                let tun = setup.apply().map_err(Error::Setup)?;
                let sockets = SocketWatch::start(vips, self.channels.waker.clone())?;
                let machine = HostAgent::new(settings, view, seed, now);
                let ended = self.spawn(machine, Some(tun), Some(sockets), Box::new(|_| None))?;
                Ok(Started {
                    ended,
                    setup: Some(Setup::Host(setup)),
                    silences,
                })
            }
        }
    }

    fn link(&self) -> Result<Link, Error> {
        let all = self.config.peers();
        let own = all.iter().find(|peer| peer.node == self.node.number);
        let wanted: BTreeSet<_> = peers_of(self.config, self.node).collect();
        let peers = all
            .iter()
            .filter(|peer| wanted.contains(&peer.node))
            .filter_map(|peer| {
                let own = own?;
                let v4 = own
                    .v4
                    .zip(peer.v4)
                    .map(|(a, b)| (IpAddr::V4(a), IpAddr::V4(b)));
                let v6 = own
                    .v6
                    .zip(peer.v6)
                    .map(|(a, b)| (IpAddr::V6(a), IpAddr::V6(b)));
                let (local, remote) = v4.or(v6)?;
                Some(PeerAddress {
                    node: peer.node,
                    local,
                    remote,
                })
            })
            .collect();
        let mut keys = self
            .config
            .keys
            .message_keys()
            .iter()
            .map(|key| MessageKey {
                id: key.id,
                secret: key.secret,
            });
        let Some(sending) = keys.next() else {
            return Err(Error::Config("the key file has no [[key]]".into()));
        };
        let config = link::Config {
            node: self.node.number,
            role: self.node.role,
            state: jlb_protocol::MemberState::Active,
            incarnation: self.incarnation,
            worker: 0,
            keys: MessageKeys::new(sending, keys.collect()),
            peers,
            port: self.config.port,
            hello_interval: self.config.timers.hello,
            view: self.config.view().fingerprint(),
            config: self.config.fingerprint(),
        };
        Ok(Link::new(config, seed()?, clock::now()))
    }

    fn spawn<M: Machine + 'static>(
        self,
        machine: M,
        tun: Option<Tun>,
        sockets: Option<SocketWatch>,
        readiness: Readiness,
    ) -> Result<oneshot::Receiver<Result<(), Error>>, Error> {
        let addresses: Vec<IpAddr> = self.node.underlay.addresses().collect();
        let path = DataPath {
            machine,
            link: self.link()?,
            underlay: Underlay::bind(&addresses, self.config.port)?,
            tun,
            sockets,
            channels: self.channels,
            names: self.names,
            readiness,
            max_inner: usize::from(self.config.max_inner()),
        };
        let (end, ended) = oneshot::channel();
        std::thread::Builder::new()
            .name("data".into())
            .spawn(move || {
                let _ = end.send(path.run());
            })
            .map_err(Error::system("start the data thread"))?;
        Ok(ended)
    }
}

/// What an ingress needs of its machine.
pub(crate) fn ingress_setup(config: &ClusterConfig, node: &Node) -> IngressSetup {
    let usual = IngressSetup::new(config.vips(), u32::from(config.max_inner()));
    IngressSetup {
        device: node.tun.clone(),
        ..usual
    }
}

/// What a host agent needs of its machine.
pub(crate) fn host_setup(config: &ClusterConfig, node: &Node) -> HostSetup {
    let usual = HostSetup::new(config.vips_of(node.number), u32::from(config.max_inner()));
    HostSetup {
        device: node.tun.clone(),
        ..usual
    }
}

/// The nodes that this one speaks with.
pub(crate) fn peers_of(config: &ClusterConfig, own: &Node) -> impl Iterator<Item = NodeNumber> {
    config
        .nodes()
        .iter()
        .filter(|peer| peer.number != own.number && speak(own.role, peer.role))
        .map(|peer| peer.number)
}

/// Whether nodes of these roles ever send each other anything.
fn speak(a: Role, b: Role) -> bool {
    a == Role::FlowTracker || b == Role::FlowTracker || a != b
}

/// An ingress is ready once a flow tracker and a host have answered. It stays so when they fall
/// silent: if all ingress nodes took themselves out whenever the trackers are away, the flows that
/// are established would be lost as well.
fn ingress_readiness(config: &ClusterConfig) -> Readiness {
    let roles: BTreeMap<NodeNumber, Role> = config
        .nodes()
        .iter()
        .map(|node| (node.number, node.role))
        .collect();
    Box::new(move |link| {
        let missing = |role| {
            !link
                .sessions()
                .any(|(node, incarnation)| incarnation.is_some() && roles.get(&node) == Some(&role))
        };
        let waiting = [
            (
                missing(Role::FlowTracker),
                "waiting for a flow tracker to answer",
            ),
            (missing(Role::HostAgent), "waiting for a host to answer"),
        ];
        waiting
            .into_iter()
            .find(|(missing, _)| *missing)
            .map(|(_, why)| why)
    })
}

fn seed() -> Result<u64, Error> {
    let mut bytes = [0; 8];
    std::fs::File::open("/dev/urandom")
        .and_then(|mut file| std::io::Read::read_exact(&mut file, &mut bytes))
        .map_err(Error::system("read /dev/urandom"))?;
    Ok(u64::from_ne_bytes(bytes))
}
