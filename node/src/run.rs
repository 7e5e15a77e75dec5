//! From a configuration file to a running node, and back.

use crate::admin::Admin;
use crate::clock;
use crate::data_path::{Channels, Command, DataThread, Notice, word};
use crate::error::Error;
use crate::health::Health;
use crate::incarnation;
use crate::metrics::{Identity, Metrics};
use crate::sampler::{Sampler, Wanted};
use crate::start::{Start, Started, host_setup, ingress_setup, peers_of};
use crate::status::Status;
use crate::watch::{self, Setup, Silences};
use jlb_config::{ClusterConfig, Node, Style};
use jlb_packet_io::wait::Waker;
use jlb_protocol::{NodeNumber, Role};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering;
use std::sync::mpsc::sync_channel;
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;
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

/// Commands that may wait for the data thread.
const MAX_COMMANDS: usize = 128;

/// How long the data thread may take to end.
const STOP_TIMEOUT: Duration = Duration::from_secs(5);

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
    let names: BTreeMap<NodeNumber, String> = config
        .nodes()
        .iter()
        .map(|node| (node.number, node.name.clone()))
        .collect();
    let (commands, inbox) = sync_channel(MAX_COMMANDS);
    let (notices, told) = mpsc::channel(MAX_NOTICES);
    let waker = Waker::new().map_err(Error::system("make a waker"))?;
    let channels = Channels {
        commands: inbox,
        waker: waker.clone(),
        notices,
    };
    let config = &config;
    let start = Start {
        config,
        node: &node,
        incarnation,
        state_dir: &options.state_dir,
        names: names.clone(),
        channels,
    };
    let started = start.role(role)?;
    let identity = Identity {
        node: node.name.clone(),
        role: role.as_str(),
        config_fingerprint: config.fingerprint(),
        started: clock::wall_seconds(),
    };
    let metrics = Metrics::new()
        .map_err(|error| Error::system("make the metrics")(std::io::Error::other(error)))?;
    let data_thread = DataThread::new(commands, waker);
    // Ends with this function.
    let _sampler = match role {
        Role::HostAgent => Some(Sampler::start(wanted(config, &node), data_thread.clone())?),
        Role::Ingress | Role::FlowTracker => None,
    };
    let admin = Rc::new(Admin {
        identity,
        status: Rc::new(Status::new(names, peers_of(config, &node))),
        metrics,
        health: health(config, &node),
        data_thread,
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
    local.block_on(&runtime, async {
        let signals = signals()?;
        let delay = match role {
            // Nothing is routed to a tracker: it waits only until others look after its flows.
            Role::FlowTracker => config.timers.leave.min(options.stop_delay),
            Role::Ingress | Role::HostAgent => options.stop_delay,
        };
        control(admin, listener, told, started, delay, signals).await
    })
}

/// What a host's sampler reads.
fn wanted(config: &ClusterConfig, node: &Node) -> Wanted {
    let services = config.services().iter();
    let own = services.filter(|service| service.host(node.number).is_some());
    Wanted {
        services: own.clone().map(jlb_config::Service::matching).collect(),
        by_queue: own
            .clone()
            .any(|service| service.admission.accept_queue.is_some()),
    }
}

/// The health checks of a host's own servers.
fn health(config: &ClusterConfig, node: &Node) -> Health {
    let services = config.services().iter();
    let own = services.filter(|service| service.host(node.number).is_some());
    Health::new(own.filter_map(|service| {
        let check = service.health.clone()?;
        Some((service.number, service.name.clone(), check))
    }))
}

/// Each SIGTERM and SIGINT, as it comes.
fn signals() -> Result<mpsc::Receiver<()>, Error> {
    let mut terminate =
        signal(SignalKind::terminate()).map_err(Error::system("listen for SIGTERM"))?;
    let mut interrupt =
        signal(SignalKind::interrupt()).map_err(Error::system("listen for SIGINT"))?;
    let (came, signals) = mpsc::channel(2);
    tokio::task::spawn_local(async move {
        loop {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
            if came.send(()).await.is_err() {
                return;
            }
        }
    });
    Ok(signals)
}

fn start_log(level: &str, json: bool) {
    let filter = tracing_subscriber::EnvFilter::try_from_env("JLB_LOG")
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new(level));
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        // What can't be written is lost. To complain of that on the same full disk would be a panic.
        .log_internal_errors(false)
        .with_writer(std::io::stderr);
    // A second node in one process (a test) keeps the first one's log.
    let _ = if json {
        builder.json().try_init()
    } else {
        builder.with_ansi(false).try_init()
    };
}

/// The control plane: serves until a signal, then stops the data thread.
async fn control(
    admin: Rc<Admin>,
    listener: std::net::TcpListener,
    mut told: mpsc::Receiver<Notice>,
    started: Started,
    stop_delay: Duration,
    mut signals: mpsc::Receiver<()>,
) -> Result<(), Error> {
    let serving = tokio::task::spawn_local(Rc::clone(&admin).serve(listener)?);
    let Started {
        ended,
        setup,
        silences,
    } = started;
    tokio::select! {
        error = stop(&admin, &mut signals, stop_delay) => Err(error),
        error = listen(&mut told, &admin.status) => error,
        error = keep_setup(setup) => error,
        error = watch_peers(&admin, silences) => error,
        error = check_servers(&admin) => error,
        _ = serving => Err(Error::system("serve admin requests")(std::io::Error::other(
            "its task panicked; its last words are above",
        ))),
        result = ended => match result {
            Ok(result) => result.inspect(|()| info!("stopped")),
            Err(_) => Err(Error::DataThread("it panicked; its last words are above".into())),
        },
    }
}

/// Waits for a signal, then for the delay or a second signal, then tells the data thread to stop.
/// Its end ends the node; this only comes back, with why, when that takes too long or a further
/// signal comes.
async fn stop(admin: &Admin, signals: &mut mpsc::Receiver<()>, delay: Duration) -> Error {
    if signals.recv().await.is_none() {
        return Error::system("listen for signals")(std::io::Error::other("nobody sends them"));
    }
    info!(?delay, "stopping: no longer ready");
    admin.stopping.store(true, Ordering::Relaxed);
    let wait = async {
        admin.data_thread.tell(|| Command::Drain).await;
        std::future::pending::<()>().await
    };
    tokio::select! {
        // Told first, however short the delay is.
        biased;
        () = wait => {}
        // The time is over or there is a second signal: the same follows.
        _ = tokio::time::timeout(delay, signals.recv()) => {}
    }
    let tell = async {
        admin.data_thread.tell(|| Command::Stop).await;
        std::future::pending::<()>().await
    };
    let why = tokio::select! {
        () = tell => "it is gone",
        () = tokio::time::sleep(STOP_TIMEOUT) => "it did not stop in time",
        _ = signals.recv() => "it was not waited for, since another signal came",
    };
    Error::DataThread(why.into())
}

/// Looks after the machine's set-up, as others change it.
async fn keep_setup(setup: Option<Setup>) -> Result<(), Error> {
    let Some(setup) = setup else {
        return std::future::pending().await;
    };
    loop {
        tokio::time::sleep(watch::INTERVAL).await;
        setup.keep().await;
    }
}

/// Tells the log which peers are not heard of.
async fn watch_peers(admin: &Admin, mut silences: Silences) -> Result<(), Error> {
    loop {
        tokio::time::sleep(watch::INTERVAL).await;
        // A data thread that does not answer is told by /healthz, and ends the node if it has ended.
        if let Ok(report) = admin.report().await {
            silences.look(&report).iter().for_each(watch::Finding::log);
        }
    }
}

/// Has the servers of this host checked.
async fn check_servers(admin: &Admin) -> Result<(), Error> {
    admin.health.watch(&admin.data_thread).await;
    Ok(())
}

/// Takes note of what the data thread tells, for as long as there is one.
async fn listen(told: &mut mpsc::Receiver<Notice>, status: &Status) -> Result<(), Error> {
    while let Some(notice) = told.recv().await {
        match notice {
            Notice::Peer(event) => status.handle(event),
            Notice::State(node, state) => status.tell_state(node, state),
            Notice::OwnState(state) => info!(state = word(state), "this node's state changed"),
            Notice::Paused(incarnation) => {
                warn!(incarnation, "this node was paused, and begins a new life");
            }
            Notice::DumpFailed(error) => error!(%error, "can't list the machine's sockets"),
            Notice::Failed(action, why) => warn!(why, "can't {action}"),
        }
    }
    // The data thread is about to tell why it ended.
    std::future::pending().await
}

/// Removes what a node of this role set up on this machine: device, addresses, rules and routes.
///
/// # Errors
/// If the node does not have that role, or the kernel refuses.
pub fn teardown(role: Role, path: &std::path::Path, name: &str) -> Result<(), Error> {
    let config = ClusterConfig::load(path)
        .map_err(|error| Error::Config(error.render(Style::Plain)))?
        .config;
    let node = config
        .node_as(name, role)
        .map_err(|error| Error::Config(error.to_string()))?;
    match role {
        Role::Ingress => ingress_setup(&config, node).teardown(),
        Role::HostAgent => host_setup(&config, node).teardown(),
        Role::FlowTracker => Ok(()),
    }
    .map_err(Error::Setup)
}

#[cfg(test)]
mod tests;
