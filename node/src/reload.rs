//! Another cluster file while the node runs: it is taken over as a whole, or not at all.
//!
//! The file is read when it has changed, or at SIGHUP. What is wrong with it, or can't change without
//! a restart, goes to the log; the configuration before it stays. Otherwise the data thread takes the
//! new one over between two turns of its loop, and the control plane follows.

mod tally;

pub(crate) use tally::Reloads;

use crate::admin::Admin;
use crate::clock;
use crate::data_path::Reconfiguration;
use crate::file_watch::FileWatch;
use crate::health::Wanted;
use crate::log::SetLevel;
use crate::machine::RoleConfig;
use crate::sampler::{self, Sampler};
use crate::start::{
    fellows_of, file_drain, host_setup, ingress_setup, known_nodes, membership_config, names,
    peers_of,
};
use crate::watch::Setup;
use jlb_config::{ClusterConfig, ConfigError, Loaded, Node};
use jlb_protocol::{Role, ServiceNumber};
use std::cell::RefCell;
use std::collections::BTreeSet;
use std::net::IpAddr;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::{Arc, Mutex as BlockingMutex, PoisonError};
use tally::Outcome;
use tokio::sync::{Mutex, mpsc};
use tracing::{debug, error, info, warn};

/// What the node runs with now.
pub(crate) struct Running {
    config: RefCell<Rc<ClusterConfig>>,
    /// The services that this host has left since it started.
    left: RefCell<BTreeSet<ServiceNumber>>,
    /// What is set up on the machine.
    pub(crate) setup: Mutex<Option<Setup>>,
}

impl Running {
    /// With the configuration of the start.
    pub(crate) fn new(config: ClusterConfig, setup: Option<Setup>) -> Self {
        Self {
            config: RefCell::new(Rc::new(config)),
            left: RefCell::default(),
            setup: Mutex::new(setup),
        }
    }

    /// The configuration.
    pub(crate) fn config(&self) -> Rc<ClusterConfig> {
        Rc::clone(&self.config.borrow())
    }
}

/// The health checks of a host's own servers.
pub(crate) fn health_checks(config: &ClusterConfig, node: &Node) -> Vec<Wanted> {
    let services = config.services().iter();
    let own = services.filter(|service| service.host(node.number).is_some());
    let wanted = own.filter_map(|service| {
        let check = service.health.clone()?;
        Some((service.number, service.name.clone(), check))
    });
    wanted.collect()
}

/// Why another file is not taken over, each reason a line.
#[derive(Debug)]
enum Refusal {
    /// It is not a valid file.
    Broken(ConfigError),
    /// It is, but this node has to be restarted for it.
    Restart(Vec<String>),
    /// The machine could not be set up for it.
    Setup(String),
}

impl Refusal {
    fn lines(&self) -> Vec<String> {
        match self {
            Self::Broken(error) => {
                let findings = error.findings().iter();
                findings.map(|finding| finding.one_line()).collect()
            }
            Self::Restart(changes) => changes.clone(),
            Self::Setup(error) => vec![error.clone()],
        }
    }

    const fn mend(&self) -> &'static str {
        match self {
            Self::Broken(_) => "`jlb check --config FILE` shows the place",
            Self::Restart(_) => "restart the node to take the file over",
            Self::Setup(_) => "SIGHUP tries again",
        }
    }
}

/// Why a file is read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Cause {
    Changed,
    Asked,
}

/// Takes over what the cluster file says, for as long as the node runs.
pub(crate) struct Reload {
    pub(crate) file: PathBuf,
    pub(crate) name: String,
    pub(crate) role: Role,
    pub(crate) incarnation: u32,
    pub(crate) running: Rc<Running>,
    pub(crate) admin: Rc<Admin>,
    /// What measures on a host.
    pub(crate) sampler: Option<Sampler>,
    /// The addresses of the sockets that a host lists.
    pub(crate) sockets_of: Arc<BlockingMutex<Vec<IpAddr>>>,
    pub(crate) set_level: SetLevel,
}

impl Reload {
    /// Follows the cluster file and its key file; each of these signals has them read as well. Never
    /// ends.
    pub(crate) async fn follow(&self, mut hangups: mpsc::Receiver<()>) {
        let mut watch = FileWatch::new(self.files());
        // What changed between the start's reading and the beginning of the watch.
        self.reload(Cause::Changed).await;
        loop {
            let cause = tokio::select! {
                () = watch.changed() => Cause::Changed,
                Some(()) = hangups.recv() => Cause::Asked,
            };
            self.reload(cause).await;
            watch.set_files(self.files());
        }
    }

    fn files(&self) -> Vec<PathBuf> {
        let key_file = self.running.config().key_file.clone();
        vec![self.file.clone(), key_file]
    }

    /// Reads the file, takes it over if that may be, and says what came of it.
    async fn reload(&self, cause: Cause) {
        let file = self.file.clone();
        // A large file on a slow disk must not keep the control plane from its work.
        let read = tokio::task::spawn_blocking(move || ClusterConfig::load(&file)).await;
        let result = match read {
            Ok(Ok(loaded)) => self.consider(loaded).await,
            Ok(Err(error)) => Err(Refusal::Broken(error)),
            Err(_) => return,
        };
        let reloads = &self.admin.reloads;
        match result {
            Ok(Outcome::Applied) => {
                reloads.applied(clock::wall_seconds());
                let configuration = format!("{:016x}", self.running.config().fingerprint());
                info!(configuration, "took over another configuration");
            }
            Ok(Outcome::Unchanged) => {
                let was_refused = reloads.refusal().is_some();
                reloads.unchanged();
                if was_refused || cause == Cause::Asked {
                    info!("the cluster file says what this node runs with");
                } else {
                    debug!("the cluster file says what this node runs with");
                }
            }
            Err(refusal) => {
                let lines = refusal.lines();
                for line in &lines {
                    error!("{line}");
                }
                let mend = refusal.mend();
                error!(
                    mend,
                    "the cluster file is refused; the node runs on with the one before it"
                );
                reloads.refused(lines.join("\n"));
            }
        }
    }

    async fn consider(&self, loaded: Loaded) -> Result<Outcome, Refusal> {
        let old = self.running.config();
        let new = loaded.config;
        if *old == new {
            return Ok(Outcome::Unchanged);
        }
        let fixed = old.fixed_changes(&new, &self.name);
        if !fixed.is_empty() {
            let lines = fixed.iter().map(ToString::to_string).collect();
            return Err(Refusal::Restart(lines));
        }
        for finding in loaded.warnings.findings() {
            warn!("{}", finding.one_line());
        }
        self.take_over(&old, new).await?;
        Ok(Outcome::Applied)
    }

    async fn take_over(&self, old: &ClusterConfig, new: ClusterConfig) -> Result<(), Refusal> {
        let other = |error: jlb_config::RoleError| Refusal::Restart(vec![error.to_string()]);
        let node = new.node_as(&self.name, self.role).map_err(other)?;
        let left = old.services_left(&new, node.number, &self.running.left.borrow());
        let role = match self.role {
            Role::Ingress => new.ingress(&self.name).map(RoleConfig::Ingress),
            Role::FlowTracker => new.flow_tracker(&self.name).map(RoleConfig::FlowTracker),
            Role::HostAgent => new
                .host_agent_after(&self.name, self.incarnation, &left)
                .map(RoleConfig::HostAgent),
        }
        .map_err(other)?;
        let keys = new
            .keys
            .link_keys()
            .ok_or_else(|| Refusal::Restart(vec!["the key file has no [[key]]".into()]))?;

        let mut setup = self.running.setup.lock().await;
        let wanted = match self.role {
            Role::Ingress => Some(Setup::Ingress(ingress_setup(&new, node))),
            Role::FlowTracker => None,
            Role::HostAgent => Some(Setup::Host(host_setup(&new, node, &left))),
        };
        let differs = wanted != *setup;
        if differs && let Some(wanted) = &wanted {
            // What is new first and what is gone last: a VIP that stays is there all the time.
            if let Err(error) = wanted.extend().await {
                if let Some(setup) = &*setup {
                    let _ = setup.shrink().await;
                }
                return Err(Refusal::Setup(error.to_string()));
            }
        }
        let vips = new.vips_with(node.number, &left);
        *self
            .sockets_of
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = vips;

        let reconfiguration = Reconfiguration {
            role,
            fingerprint: new.fingerprint(),
            keys,
            drain: file_drain(node),
            membership: membership_config(&new, node, self.incarnation),
            known: known_nodes(&new),
            fellows: fellows_of(&new, node),
            coalesce: new.timers.coalesce,
            names: names(&new),
        };
        // If it has ended the node is about to end as well, and tells why.
        self.admin.data_thread.reconfigure(&reconfiguration).await;

        if differs && let Some(wanted) = &wanted {
            if let Err(error) = wanted.shrink().await {
                warn!(%error, "can't remove what VIPs that are gone needed");
            }
            setup.clone_from(&Some(wanted.clone()));
        }
        drop(setup);
        let checks = health_checks(&new, node);
        self.admin
            .health
            .replace(checks, &self.admin.data_thread)
            .await;
        if let Some(sampler) = &self.sampler {
            sampler.change(sampler::Wanted::of(&new, node));
        }
        let status = &self.admin.status;
        status.set_nodes(reconfiguration.names, peers_of(&new, node));
        (self.set_level)(node.log.as_str());
        self.running.left.replace(left);
        self.running.config.replace(Rc::new(new));
        Ok(())
    }
}

#[cfg(test)]
mod tests;
