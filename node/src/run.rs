//! From a configuration file to a running node, and back.

use crate::admin::Admin;
use crate::clock;
use crate::data_path::{Channels, Command, DataPath, Notice};
use crate::error::Error;
use crate::incarnation;
use crate::kernel::host_setup::HostSetup;
use crate::kernel::ingress_setup::IngressSetup;
use crate::machine::Machine;
use crate::metrics::{Identity, Metrics};
use crate::report::Report;
use crate::socket_watch::SocketWatch;
use crate::status::Status;
use crate::underlay::Underlay;
use jlb_config::{ClusterConfig, Node, Style};
use jlb_flow_tracker::FlowTracker;
use jlb_host_agent::HostAgent;
use jlb_ingress::Ingress;
use jlb_packet_io::tun::Tun;
use jlb_packet_io::wait::Waker;
use jlb_protocol::link::{self, Link, MessageKey, MessageKeys, PeerAddress};
use jlb_protocol::{NodeNumber, Role};
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering;
use std::sync::mpsc::sync_channel;
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{mpsc, oneshot};
use tracing::{error, info, warn};

/// How a node is started.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Options {
    /// The cluster file.
    pub config: PathBuf,
    /// The node's name in it.
    pub name: String,
    /// Where the node keeps its incarnation.
    pub state_dir: PathBuf,
    /// How long the node goes on after `/healthz` has turned bad on a stop, so that routing can
    /// drain.
    pub stop_delay: Duration,
    /// Logs as JSON lines.
    pub log_json: bool,
}

/// How often the main table's routes are looked at on a host.
const ROUTES_INTERVAL: Duration = Duration::from_secs(5);

/// Commands that may wait for the data thread.
const MAX_COMMANDS: usize = 128;

/// Notices that may wait for the control plane; further ones are lost, not waited for.
const MAX_NOTICES: usize = 4_096;

/// Runs a node of this role until SIGTERM or SIGINT.
///
/// # Errors
/// Why it could not start or go on.
pub fn run(role: Role, options: &Options) -> Result<(), Error> {
    let loaded = ClusterConfig::load(&options.config)
        .map_err(|error| Error::Config(error.render(Style::Plain)))?;
    let config = loaded.config;
    let node = config
        .node_as(&options.name, role)
        .map_err(|error| Error::Config(error.to_string()))?
        .clone();
    start_log(node.log.as_str(), options.log_json);
    for finding in loaded.warnings.findings() {
        warn!("{}", finding.one_line());
    }
    let incarnation = incarnation::next(&options.state_dir, &node.name)?;
    let listener = Admin::listen(node.admin)?;
    let names: BTreeMap<NodeNumber, String> =
        config.nodes().iter().map(|node| (node.number, node.name.clone())).collect();
    let (commands, inbox) = sync_channel(MAX_COMMANDS);
    let (notices, told) = mpsc::channel(MAX_NOTICES);
    let waker = Waker::new().map_err(Error::system("make a waker"))?;
    let channels = Channels { commands: inbox, waker: waker.clone(), notices };
    let config = &config;
    let start = Start { config, node: &node, incarnation, names: names.clone(), channels };
    let started = start.role(role)?;
    let identity = Identity {
        node: node.name.clone(),
        role: role.as_str(),
        config_fingerprint: config.fingerprint(),
        started: clock::wall_seconds(),
    };
    let metrics = Metrics::new()
        .map_err(|error| Error::system("make the metrics")(std::io::Error::other(error)))?;
    let admin = Rc::new(Admin {
        identity,
        status: Rc::new(Status::new(names)),
        metrics,
        commands,
        waker,
        stopping: AtomicBool::new(false),
    });
    info!(
        node = node.name,
        role = role.as_str(),
        incarnation,
        admin = %node.admin,
        configuration = format!("{:016x}", config.fingerprint()),
        "started"
    );
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(Error::system("start the control plane"))?;
    let local = tokio::task::LocalSet::new();
    local.block_on(&runtime, control(admin, listener, told, started, options.stop_delay))
}

fn start_log(level: &str, json: bool) {
    let filter = tracing_subscriber::EnvFilter::try_from_env("JLB_LOG")
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new(level));
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    // A second node in one process (a test) keeps the first one's log.
    let _ = if json { builder.json().try_init() } else { builder.with_ansi(false).try_init() };
}

/// The control plane: serves until a signal, then stops the data thread.
async fn control(
    admin: Rc<Admin>,
    listener: std::net::TcpListener,
    mut told: mpsc::Receiver<Notice>,
    started: Started,
    stop_delay: Duration,
) -> Result<(), Error> {
    let mut terminate =
        signal(SignalKind::terminate()).map_err(Error::system("listen for SIGTERM"))?;
    let mut interrupt =
        signal(SignalKind::interrupt()).map_err(Error::system("listen for SIGINT"))?;
    tokio::task::spawn_local(Rc::clone(&admin).serve(listener)?);
    let stop = async {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        info!(delay = ?stop_delay, "stopping: no longer ready");
        admin.stopping.store(true, Ordering::Relaxed);
        // A second signal ends the wait.
        tokio::select! {
            () = tokio::time::sleep(stop_delay) => {}
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        let _ = admin.commands.send(Command::Stop);
        admin.waker.wake();
        std::future::pending::<Result<(), Error>>().await
    };
    let Started { ended, host } = started;
    tokio::select! {
        result = stop => result,
        result = listen(&mut told, &admin.status) => result,
        result = keep_routes(host) => result,
        result = ended => match result {
            Ok(result) => {
                info!("stopped");
                result
            }
            Err(_) => Err(Error::DataThread("it panicked; its last words are above".into())),
        },
    }
}

/// Repeats the main table's routes for the answers of a host, as they change.
async fn keep_routes(host: Option<HostSetup>) -> Result<(), Error> {
    let Some(host) = host else { return std::future::pending().await };
    loop {
        tokio::time::sleep(ROUTES_INTERVAL).await;
        let host = host.clone();
        let refreshed = tokio::task::spawn_blocking(move || host.refresh_routes()).await;
        if let Ok(Err(error)) = refreshed {
            warn!(%error, "can't repeat the main table's routes for answers");
        }
    }
}

/// Takes note of what the data thread tells, for as long as there is one.
async fn listen(told: &mut mpsc::Receiver<Notice>, status: &Status) -> Result<(), Error> {
    while let Some(notice) = told.recv().await {
        match notice {
            Notice::Peer(event) => status.handle(event),
            Notice::DumpFailed(error) => error!(%error, "can't list the machine's sockets"),
            Notice::EventsLost => warn!("closing sockets were missed; listing all of them"),
        }
    }
    // The data thread is about to tell why it ended.
    std::future::pending().await
}

/// What starting the data thread takes.
struct Start<'a> {
    config: &'a ClusterConfig,
    node: &'a Node,
    incarnation: u32,
    names: BTreeMap<NodeNumber, String>,
    channels: Channels,
}

/// A running data thread.
struct Started {
    /// How it ended.
    ended: oneshot::Receiver<Result<(), Error>>,
    /// The set-up to keep true, on a host.
    host: Option<HostSetup>,
}

impl Start<'_> {
    fn role(self, role: Role) -> Result<Started, Error> {
        let now = clock::now();
        let view = self.config.view();
        let name = &self.node.name;
        let seed = seed()?;
        let invalid = |error: jlb_config::RoleError| Error::Config(error.to_string());
        let max_inner = u32::from(self.config.max_inner());
        let device = self.node.tun.clone();
        match role {
            Role::Ingress => {
                let settings = self.config.ingress(name).map_err(invalid)?;
                let setup =
                    IngressSetup { device, ..IngressSetup::new(self.config.vips(), max_inner) };
                let tun = setup.apply().map_err(Error::Setup)?;
                let machine = Ingress::new(settings, view, seed, now);
                let ended = self.spawn(machine, Some(tun), None, ingress_readiness)?;
                Ok(Started { ended, host: None })
            }
            Role::FlowTracker => {
                let settings = self.config.flow_tracker(name).map_err(invalid)?;
                let machine = FlowTracker::new(settings, view, seed, now);
                let ended = self.spawn(machine, None, None, |_, _| None)?;
                Ok(Started { ended, host: None })
            }
            Role::HostAgent => {
                let settings = self.config.host_agent(name, self.incarnation).map_err(invalid)?;
                let vips: Vec<IpAddr> = self.config.vips_of(self.node.number);
                let setup = HostSetup { device, ..HostSetup::new(vips.clone(), max_inner) };
                let tun = setup.apply().map_err(Error::Setup)?;
                let sockets = SocketWatch::start(vips, self.channels.waker.clone())?;
                let machine = HostAgent::new(settings, view, seed, now);
                let ended = self.spawn(machine, Some(tun), Some(sockets), host_readiness)?;
                Ok(Started { ended, host: Some(setup) })
            }
        }
    }

    fn link(&self) -> Result<Link, Error> {
        let all = self.config.peers();
        let own = all.iter().find(|peer| peer.node == self.node.number);
        let peers = all
            .iter()
            .filter(|peer| speak(self.node.role, peer.role) && peer.node != self.node.number)
            .filter_map(|peer| {
                let own = own?;
                let v4 = own.v4.zip(peer.v4).map(|(a, b)| (IpAddr::V4(a), IpAddr::V4(b)));
                let v6 = own.v6.zip(peer.v6).map(|(a, b)| (IpAddr::V6(a), IpAddr::V6(b)));
                let (local, remote) = v4.or(v6)?;
                Some(PeerAddress { node: peer.node, local, remote })
            })
            .collect();
        let mut keys = self
            .config
            .keys
            .message_keys()
            .iter()
            .map(|key| MessageKey { id: key.id, secret: key.secret });
        let Some(sending) = keys.next() else {
            return Err(Error::Config("the key file has no [[key]]".into()));
        };
        let config = link::Config {
            node: self.node.number,
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
        readiness: fn(&Link, &Report) -> Option<String>,
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

/// Whether nodes of these roles ever send each other anything.
fn speak(a: Role, b: Role) -> bool {
    a == Role::FlowTracker || b == Role::FlowTracker || a != b
}

fn ingress_readiness(link: &Link, _: &Report) -> Option<String> {
    // With no peer at all in a session there is nobody to forward to.
    let up = link.sessions().filter(|(_, incarnation)| incarnation.is_some()).count();
    (up < 2).then(|| "waiting for a flow tracker and a host to answer".into())
}

fn host_readiness(_: &Link, report: &Report) -> Option<String> {
    let loaded = report
        .samples
        .iter()
        .any(|sample| sample.name == "jlb_host_flows_loaded" && sample.value > 0.0);
    (!loaded).then(|| "waiting for the list of this machine's connections".into())
}

fn seed() -> Result<u64, Error> {
    let mut bytes = [0; 8];
    std::fs::File::open("/dev/urandom")
        .and_then(|mut file| std::io::Read::read_exact(&mut file, &mut bytes))
        .map_err(Error::system("read /dev/urandom"))?;
    Ok(u64::from_ne_bytes(bytes))
}

/// Removes what a host agent set up on this machine: device, VIPs, rules and routes.
///
/// # Errors
/// If the node is no host agent, or the kernel refuses.
pub fn teardown(path: &std::path::Path, name: &str) -> Result<(), Error> {
    let config = ClusterConfig::load(path)
        .map_err(|error| Error::Config(error.render(Style::Plain)))?
        .config;
    let node = config
        .node_as(name, Role::HostAgent)
        .map_err(|error| Error::Config(error.to_string()))?;
    let vips = config.vips_of(node.number);
    let setup = HostSetup {
        device: node.tun.clone(),
        ..HostSetup::new(vips, u32::from(config.max_inner()))
    };
    setup.teardown().map_err(Error::Setup)
}
