//! From a valid configuration to a running data thread.

use crate::clock;
use crate::data_path::{Channels, DataPath, Draining, FileDrain, Fresh, Life, Members};
use crate::error::Error;
use crate::incarnation;
use crate::kernel::host_setup::HostSetup;
use crate::kernel::ingress_setup::IngressSetup;
use crate::machine::Machine;
use crate::socket_watch::SocketWatch;
use crate::strip::{self, Stripper};
use crate::underlay::Underlay;
use crate::watch::{Setup, Silences};
use crate::workers::{Attached, Beginning, Forwarders, pin, processors, rings};
use crate::xdp::{ClientFrames, Wanted};
use jlb_config::{ClusterConfig, Membership, Node, PacketIo};
use jlb_flow_tracker::FlowTracker;
use jlb_host_agent::HostAgent;
use jlb_ingress::Ingress;
use jlb_membership::{Known, speak};
use jlb_packet_io::tun::Tun;
use jlb_packet_io::wait::Waker;
use jlb_protocol::link::{self, Link};
use jlb_protocol::{NodeNumber, Role, ServiceNumber, Time, View};
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::oneshot;
use tracing::info;

/// What starting the data thread takes.
pub(crate) struct Start<'a> {
    pub(crate) config: &'a ClusterConfig,
    pub(crate) node: &'a Node,
    pub(crate) incarnation: u32,
    /// Where the incarnation is kept.
    pub(crate) state_dir: &'a Path,
    pub(crate) names: BTreeMap<NodeNumber, String>,
    pub(crate) channels: Channels,
}

/// A running data thread.
pub(crate) struct Started {
    /// How it ended.
    pub(crate) ended: oneshot::Receiver<Result<(), Error>>,
    /// The set-up to keep true, on a machine that has one.
    pub(crate) setup: Option<Setup>,
    /// The addresses of the sockets that a host lists.
    pub(crate) sockets_of: Arc<Mutex<Vec<IpAddr>>>,
    /// Who is silent.
    pub(crate) silences: Silences,
}

/// What joins the role to this machine's own stack and interfaces.
#[derive(Default)]
struct Stack {
    tun: Option<Tun>,
    frames: Option<ClientFrames>,
    /// Of the workers beside the first.
    queues: Vec<Queues>,
    stripper: Option<Stripper>,
    sockets: Option<SocketWatch>,
}

/// What a worker beside the first takes packets from.
struct Queues {
    tun: Tun,
    frames: Option<ClientFrames>,
    waker: Waker,
}

impl Start<'_> {
    pub(crate) fn role(self, role: Role) -> Result<Started, Error> {
        let name = &self.node.name;
        let seed = seed()?;
        let silences = Silences::new(self.config.timers.hello, self.config.membership);
        let invalid = |error: jlb_config::RoleError| Error::Config(error.to_string());
        match role {
            Role::Ingress => {
                let settings = self.config.ingress(name).map_err(invalid)?;
                let setup = ingress_setup(self.config, self.node);
                let others = usize::from(self.node.workers) - 1;
                let (tun, queues) = setup.apply_with(others).map_err(Error::Setup)?;
                // The packets that these do not take come by the device.
                let first = self.channels.waker.clone();
                let wakers = (0..others).map(|_| Waker::new());
                let wakers: Vec<Waker> = std::iter::once(Ok(first))
                    .chain(wakers)
                    .collect::<Result<_, _>>()
                    .map_err(Error::system("make a waker"))?;
                let frames = client_frames(self.config, self.node)
                    .map(|wanted| ClientFrames::open(&wanted, &wakers))
                    .transpose()?;
                let mut frames = frames.unwrap_or_default().into_iter();
                let lines = frames.as_slice().iter().flatten();
                let lines: BTreeSet<String> = lines.flat_map(ClientFrames::describe).collect();
                for line in lines {
                    info!("{line}");
                }
                let first = frames.next().flatten();
                let queues = queues.into_iter().zip(wakers.into_iter().skip(1));
                let queues = queues.map(|(tun, waker)| Queues {
                    tun,
                    frames: frames.next().flatten(),
                    waker,
                });
                let queues = queues.collect();
                let (members, view, now) = self.membership();
                let machine = Ingress::new(settings, view, seed, now);
                let stack = Stack {
                    tun: Some(tun),
                    frames: first,
                    queues,
                    stripper: None,
                    sockets: None,
                };
                let ended = self.spawn(machine, members, None, stack)?;
                Ok(Started {
                    ended,
                    setup: Some(Setup::Ingress(setup)),
                    sockets_of: Arc::default(),
                    silences,
                })
            }
            Role::FlowTracker => {
                let settings = self.config.flow_tracker(name).map_err(invalid)?;
                let (members, view, now) = self.membership();
                let machine = FlowTracker::new(settings.clone(), view, seed, now);
                // What a paused tracker knew may be out of date, and what it bound is not bound any
                // more (R11).
                let fresh = move |now, view| FlowTracker::new(settings.clone(), view, seed, now);
                let ended =
                    self.spawn(machine, members, Some(Box::new(fresh)), Stack::default())?;
                Ok(Started {
                    ended,
                    setup: None,
                    sockets_of: Arc::default(),
                    silences,
                })
            }
            Role::HostAgent => {
                let settings = self
                    .config
                    .host_agent(name, self.incarnation)
                    .map_err(invalid)?;
                let vips: Vec<IpAddr> = self.config.vips_of(self.node.number);
                let setup = host_setup(self.config, self.node, &BTreeSet::new());
                let tun = setup.apply().map_err(Error::Setup)?;
                let vips = Arc::new(Mutex::new(vips));
                let waker = self.channels.waker.clone();
                let sockets = SocketWatch::start(Arc::clone(&vips), waker)?;
                let wanted = self.node.xdp_strip.as_ref().map(|on| strip::Wanted {
                    on: on.clone(),
                    port: self.config.port,
                    max_flows: settings.limits.max_flows,
                });
                let stripper = wanted.as_ref().map(Stripper::open).transpose()?;
                for line in stripper.iter().flat_map(Stripper::describe) {
                    info!("{line}");
                }
                let (members, view, now) = self.membership();
                let mut machine = HostAgent::new(settings, view, seed, now);
                machine.expect_look_ups();
                if stripper.is_some() {
                    machine.begin_stripping();
                }
                let stack = Stack {
                    tun: Some(tun),
                    frames: None,
                    queues: Vec::new(),
                    stripper,
                    sockets: Some(sockets),
                };
                let ended = self.spawn(machine, members, None, stack)?;
                Ok(Started {
                    ended,
                    setup: Some(Setup::Host(setup)),
                    sockets_of: vips,
                    silences,
                })
            }
        }
    }

    /// The membership of this start, its first view, and the time: it takes a long way to the first
    /// turn of the data thread for a pause.
    fn membership(&self) -> (jlb_membership::Membership, View, Time) {
        let now = clock::now();
        let settings = membership_config(self.config, self.node, self.incarnation);
        let membership = jlb_membership::Membership::new(settings, known_nodes(self.config), now);
        let view = membership.view().clone();
        (membership, view, now)
    }

    fn link(&self, members: &Members) -> Result<Link, Error> {
        let all = self.config.peers();
        let fellows = fellows_of(self.config, self.node);
        let wanted: BTreeSet<_> = peers_of(self.config, self.node)
            .chain(fellows.iter().copied())
            .collect();
        let peers = all
            .iter()
            .filter(|peer| wanted.contains(&peer.node))
            .filter_map(|peer| members.address(peer.node, peer.v4, peer.v6))
            .collect();
        let keys = self
            .config
            .keys
            .link_keys()
            .ok_or_else(|| Error::Config("the key file has no [[key]]".into()))?;
        let config = link::Config {
            node: self.node.number,
            role: self.node.role,
            state: members.state(),
            incarnation: self.incarnation,
            worker: 0,
            keys,
            peers,
            port: self.config.port,
            hello_interval: self.config.timers.hello,
            view: members.view().ranked_fingerprint(None),
            config: self.config.fingerprint(),
        };
        let mut link = Link::new(config, seed()?, clock::now());
        for fellow in fellows {
            link.set_interval(fellow, FELLOW_INTERVAL);
        }
        Ok(link)
    }

    fn spawn<M: Machine + 'static>(
        self,
        machine: M,
        membership: jlb_membership::Membership,
        fresh: Option<Fresh<M>>,
        stack: Stack,
    ) -> Result<oneshot::Receiver<Result<(), Error>>, Error> {
        let addresses: Vec<IpAddr> = self.node.underlay.addresses().collect();
        let members = Members::new(
            membership,
            self.node.number,
            self.node.role,
            self.node.underlay,
            fellows_of(self.config, self.node),
        );
        let (state_dir, name) = (self.state_dir.to_owned(), self.node.name.clone());
        let link = self.link(&members)?;
        let workers = 1 + stack.queues.len();
        let cpus = match workers {
            1 => vec![None],
            several => processors(self.node.number, several),
        };
        let forwarders = match machine.rules() {
            Some(rules) if workers > 1 => {
                Some(self.forwarders(rules, &link, stack.queues, &cpus)?)
            }
            _ => None,
        };
        let path = DataPath {
            machine,
            link,
            forwarders,
            underlay: Underlay::bind(&addresses, self.config.port)?,
            tun: stack.tun,
            frames: stack.frames,
            stripper: stack.stripper,
            sockets: stack.sockets,
            channels: self.channels,
            names: self.names,
            members,
            draining: Draining::new(clock::now(), file_drain(self.node)),
            life: Life::new(move || incarnation::next(&state_dir, &name), fresh),
            max_inner: usize::from(self.config.max_inner()),
            coalesce: self.config.timers.coalesce,
        };
        let (end, ended) = oneshot::channel();
        std::thread::Builder::new()
            .name("data".into())
            .spawn(move || {
                pin(cpus.first().copied().flatten());
                let _ = end.send(path.run());
            })
            .map_err(Error::system("start the data thread"))?;
        Ok(ended)
    }
}

impl Start<'_> {
    /// Starts the workers beside the first.
    fn forwarders(
        &self,
        rules: jlb_ingress::Rules,
        link: &Link,
        queues: Vec<Queues>,
        cpus: &[Option<usize>],
    ) -> Result<Forwarders, Error> {
        let mut forwarders = Forwarders::new(rules, link);
        for (number, queues) in (1..).zip(queues) {
            let (up, down) = rings();
            let beginning = Beginning {
                number,
                tun: queues.tun,
                frames: queues.frames,
                addresses: self.node.underlay.addresses().collect(),
                max_inner: usize::from(self.config.max_inner()),
                max_shortcuts: self.config.limits.max_flows,
                seed: seed()?,
                shared: Arc::clone(&forwarders.shared),
                rings: up,
                first: self.channels.waker.clone(),
                waker: queues.waker,
            };
            let cpu = cpus.get(usize::from(number)).copied().flatten();
            let attached = Attached::start(beginning, down, cpu)?;
            forwarders.list.push(attached);
        }
        Ok(forwarders)
    }
}

/// What the membership is told of a configuration.
pub(crate) fn membership_config(
    config: &ClusterConfig,
    node: &Node,
    incarnation: u32,
) -> jlb_membership::Config {
    let timers = &config.timers;
    let fixed = match config.membership {
        Membership::Static => true,
        Membership::Dynamic => false,
    };
    // Where nobody is believed down, nobody needs to be heard of so often.
    let pace = |heartbeat| if fixed { timers.hello } else { heartbeat };
    jlb_membership::Config {
        node: node.number,
        role: node.role,
        incarnation,
        heartbeat: pace(timers.heartbeat),
        failure_timeout: timers.failure_timeout,
        host_heartbeat: pace(timers.host_heartbeat),
        host_timeout: timers.host_timeout,
        max_nodes: config.limits.max_nodes,
        fixed,
    }
}

/// What the file says of a node's draining.
pub(crate) const fn file_drain(node: &Node) -> FileDrain {
    FileDrain {
        drains: node.drain,
        timeout: node.drain_timeout,
    }
}

/// The nodes of a file.
pub(crate) fn known_nodes(config: &ClusterConfig) -> Vec<Known> {
    let known = config.nodes().iter().map(|node| Known {
        node: node.number,
        role: node.role,
        v4: node.underlay.v4,
        v6: node.underlay.v6,
        domain: node.domain(),
    });
    known.collect()
}

/// Their names.
pub(crate) fn names(config: &ClusterConfig) -> BTreeMap<NodeNumber, String> {
    let nodes = config.nodes().iter();
    nodes.map(|node| (node.number, node.name.clone())).collect()
}

/// What an ingress needs of its machine.
pub(crate) fn ingress_setup(config: &ClusterConfig, node: &Node) -> IngressSetup {
    let usual = IngressSetup::new(config.vips(), u32::from(config.max_inner()));
    IngressSetup {
        device: node.tun.clone(),
        ..usual
    }
}

/// What an ingress takes clients' packets from beside its device.
fn client_frames(config: &ClusterConfig, node: &Node) -> Option<Wanted> {
    match &node.packet_io {
        PacketIo::Tun => None,
        PacketIo::AfXdp {
            interfaces,
            generic,
        } => Some(Wanted {
            interfaces: interfaces.clone(),
            generic: *generic,
            vips: config.vips(),
            max_inner: config.max_inner(),
        }),
    }
}

/// What a host agent needs of its machine, which has left these services.
pub(crate) fn host_setup(
    config: &ClusterConfig,
    node: &Node,
    left: &BTreeSet<ServiceNumber>,
) -> HostSetup {
    let vips = config.vips_with(node.number, left);
    let usual = HostSetup::new(vips, u32::from(config.max_inner()));
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

/// How often hosts that pass Offers on to each other say Hello. A host that starts says it at once, and trackers
/// tell who is alive: it only has to be found out that a session is broken.
pub(crate) const FELLOW_INTERVAL: Duration = Duration::from_secs(5);

/// The other hosts that a host may pass Offers on to: those with which it serves a service of direct
/// hunts (R6).
pub(crate) fn fellows_of(config: &ClusterConfig, own: &Node) -> BTreeSet<NodeNumber> {
    let hunting = config.services().iter().filter(|service| {
        own.role == Role::HostAgent && service.direct_hunt && service.host(own.number).is_some()
    });
    let hosts = hunting.flat_map(|service| &service.hosts);
    let hosts = hosts.map(|host| host.node);
    hosts.filter(|&host| host != own.number).collect()
}

fn seed() -> Result<u64, Error> {
    let mut bytes = [0; 8];
    std::fs::File::open("/dev/urandom")
        .and_then(|mut file| std::io::Read::read_exact(&mut file, &mut bytes))
        .map_err(Error::system("read /dev/urandom"))?;
    Ok(u64::from_ne_bytes(bytes))
}
