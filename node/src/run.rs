//! From a configuration file to a running node, and back.

use crate::admin::Admin;
use crate::clock;
use crate::control_socket::{self, ControlSocket};
use crate::data_path::{Channels, Command, DataThread, Notice, word};
use crate::error::Error;
use crate::health::Health;
use crate::incarnation;
use crate::log;
use crate::metrics::{Identity, Metrics};
use crate::reload::{Reload, Reloads, Running, health_checks};
use crate::sampler::{self, Sampler};
use crate::start::{self, Start, host_setup, ingress_setup, peers_of};
use crate::status::Status;
use crate::watch::{self, Silences};
use jlb_config::{ClusterConfig, Style};
use jlb_packet_io::wait::Waker;
use jlb_protocol::Role;
use std::collections::BTreeSet;
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
    let set_level = log::start(node.log.as_str(), options.log_json);
    for finding in loaded.warnings.findings() {
        warn!("{}", finding.one_line());
    }
    let incarnation = incarnation::next(&options.state_dir, &node.name)?;
    let listener = Admin::listen(node.admin)?;
    let control = ControlSocket::open(&options.state_dir, &node.name)
        .inspect_err(|error| {
            let path = control_socket::path(&options.state_dir, &node.name);
            warn!(%error, path = %path.display(), "can't open the control socket; `jlb drain` will not work");
        })
        .ok();
    let names = start::names(&config);
    let (commands, inbox) = sync_channel(MAX_COMMANDS);
    let (notices, told) = mpsc::channel(MAX_NOTICES);
    let waker = Waker::new().map_err(Error::system("make a waker"))?;
    let channels = Channels {
        commands: inbox,
        waker: waker.clone(),
        notices,
    };
    let start = Start {
        config: &config,
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
        started: clock::wall_seconds(),
    };
    let fingerprint = format!("{:016x}", config.fingerprint());
    let metrics = Metrics::new()
        .map_err(|error| Error::system("make the metrics")(std::io::Error::other(error)))?;
    let data_thread = DataThread::new(commands, waker);
    let sampler = match role {
        Role::HostAgent => {
            let wanted = sampler::Wanted::of(&config, &node);
            Some(Sampler::start(wanted, data_thread.clone())?)
        }
        Role::Ingress | Role::FlowTracker => None,
    };
    let admin = Rc::new(Admin {
        identity,
        status: Rc::new(Status::new(names, peers_of(&config, &node))),
        metrics,
        health: Health::new(health_checks(&config, &node)),
        data_thread,
        reloads: Reloads::new(clock::wall_seconds()),
        stopping: AtomicBool::new(false),
    });
    info!(
        node = node.name,
        role = role.as_str(),
        incarnation,
        admin = %node.admin,
        configuration = fingerprint,
        "started"
    );
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(Error::system("start the control plane"))?;
    let local = tokio::task::LocalSet::new();
    let result = local.block_on(&runtime, async {
        let signals = signals()?;
        let hangups = hangups()?;
        let running = Rc::new(Running::new(config, started.setup));
        let reload = Reload {
            file: options.config.clone(),
            name: options.name.clone(),
            role,
            incarnation,
            running: Rc::clone(&running),
            admin: Rc::clone(&admin),
            sampler,
            sockets_of: started.sockets_of,
            set_level,
        };
        let plane = ControlPlane {
            admin,
            running: Rc::clone(&running),
            control,
            ended: started.ended,
            silences: started.silences,
        };
        let stop_delay = options.stop_delay;
        let delay = move || match role {
            // Nothing is routed to a tracker: it waits only until others look after its flows.
            Role::FlowTracker => running.config().timers.leave.min(stop_delay),
            Role::Ingress | Role::HostAgent => stop_delay,
        };
        tokio::select! {
            result = plane.control(listener, told, delay, signals) => result,
            () = reload.follow(hangups) => Ok(()),
        }
    });
    // A disk that does not answer keeps a reading of the file, but not the node.
    runtime.shutdown_background();
    result
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

/// That SIGHUP came; several of them are as good as one.
fn hangups() -> Result<mpsc::Receiver<()>, Error> {
    let mut hangup = signal(SignalKind::hangup()).map_err(Error::system("listen for SIGHUP"))?;
    let (came, hangups) = mpsc::channel(1);
    tokio::task::spawn_local(async move {
        while hangup.recv().await.is_some() {
            let _ = came.try_send(());
        }
    });
    Ok(hangups)
}

/// The tasks of the control plane, but for the one that follows the cluster file.
struct ControlPlane {
    admin: Rc<Admin>,
    running: Rc<Running>,
    control: Option<ControlSocket>,
    ended: oneshot::Receiver<Result<(), Error>>,
    silences: Silences,
}

impl ControlPlane {
    /// Serves until a signal, then stops the data thread.
    async fn control(
        self,
        listener: std::net::TcpListener,
        mut told: mpsc::Receiver<Notice>,
        stop_delay: impl Fn() -> Duration,
        mut signals: mpsc::Receiver<()>,
    ) -> Result<(), Error> {
        let Self {
            admin,
            running,
            control,
            ended,
            silences,
        } = self;
        let serving = tokio::task::spawn_local(Rc::clone(&admin).serve(listener)?);
        tokio::select! {
            error = stop(&admin, &mut signals, stop_delay) => Err(error),
            error = listen(&mut told, &admin.status) => error,
            error = keep_setup(&running) => error,
            error = watch_peers(&admin, &running, silences) => error,
            error = check_servers(&admin) => error,
            error = obey(&admin, control) => error,
            _ = serving => Err(Error::system("serve admin requests")(std::io::Error::other(
                "its task panicked; its last words are above",
            ))),
            result = ended => match result {
                Ok(result) => result.inspect(|()| info!("stopped")),
                Err(_) => Err(Error::DataThread("it panicked; its last words are above".into())),
            },
        }
    }
}

/// Waits for a signal, then for the delay or a second signal, then tells the data thread to stop.
/// Its end ends the node; this only comes back, with why, when that takes too long or a further
/// signal comes.
async fn stop(
    admin: &Admin,
    signals: &mut mpsc::Receiver<()>,
    delay: impl Fn() -> Duration,
) -> Error {
    if signals.recv().await.is_none() {
        return Error::system("listen for signals")(std::io::Error::other("nobody sends them"));
    }
    let delay = delay();
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
async fn keep_setup(running: &Running) -> Result<(), Error> {
    loop {
        tokio::time::sleep(watch::INTERVAL).await;
        // Held meanwhile, so that another configuration's set-up is not mistaken for a fault.
        if let Some(setup) = running.setup.lock().await.as_ref() {
            setup.keep().await;
        }
    }
}

/// Tells the log which peers are not heard of, and which run another configuration.
async fn watch_peers(
    admin: &Admin,
    running: &Running,
    mut silences: Silences,
) -> Result<(), Error> {
    loop {
        tokio::time::sleep(watch::INTERVAL).await;
        let config = running.config();
        silences.set_pace(config.timers.hello, config.membership);
        // A data thread that does not answer is told by /healthz, and ends the node if it has ended.
        if let Ok(report) = admin.report().await {
            silences.look(&report).iter().for_each(watch::Finding::log);
        }
        admin.status.tell_configurations();
    }
}

/// Has the servers of this host checked.
async fn check_servers(admin: &Admin) -> Result<(), Error> {
    admin.health.watch(&admin.data_thread).await;
    Ok(())
}

/// Does what an operator on this machine says, if there is a socket for that.
async fn obey(admin: &Rc<Admin>, control: Option<ControlSocket>) -> Result<(), Error> {
    let Some(control) = control else {
        return std::future::pending().await;
    };
    match control.serve(Rc::clone(admin)).await {
        Ok(never) => match never {},
        Err(error) => Err(Error::system("listen on the control socket")(error)),
    }
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
            Notice::Undrained(incarnation) => {
                info!(
                    incarnation,
                    "this node drains no more, and begins a new life"
                );
            }
            Notice::DumpFailed(error) => error!(%error, "can't list the machine's sockets"),
            Notice::LookUpsFailed(error) => {
                warn!(%error, "can't look connections up; all are listed instead");
            }
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
        Role::HostAgent => host_setup(&config, node, &BTreeSet::new()).teardown(),
        Role::FlowTracker => Ok(()),
    }
    .map_err(Error::Setup)
}

#[cfg(test)]
mod tests;
