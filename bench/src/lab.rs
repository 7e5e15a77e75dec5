//! One lab, from its first file to its last.

mod nodes;
mod servers;
mod tables;

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::args::{LabOptions, Underlay, Web};
use crate::cluster_file;
use crate::error::{Doing, LabError, Result};
use crate::leftovers;
use crate::load::{self, Load, Progress, Tally, What};
use crate::losses::{self, Loss};
use crate::netns::Namespace;
use crate::nginx;
use crate::plan::{Addresses, Counts, Node, Plan, VIP_V4, VIP_V6};
use crate::processes::{Process, Start, Starter};
use crate::scrape::{self, NodeSamples};
use crate::state::State;
use crate::topology::{self, CLIENT, ROUTER, Router};
pub(crate) use servers::server_name;
pub(crate) use tables::{FORGET_DEADLINE, Forgotten, LONG_FORGET_DEADLINE, Left};

/// The longest that nodes may take to be ready.
const READY_DEADLINE: Duration = Duration::from_secs(20);
/// How often they are asked.
const READY_INTERVAL: Duration = Duration::from_millis(50);
/// How long a request may take.
const PATIENCE: Duration = Duration::from_secs(5);
/// Where logs are in the lab's directory.
pub(crate) const LOGS: &str = "logs";
/// Bytes of the larger downloads and of the uploads of the load.
const DOWNLOAD: u64 = nginx::DOWNLOADS[0];
const UPLOAD: u64 = 50_000;

/// How a lab differs from the usual one.
#[derive(Clone, Debug)]
pub(crate) struct Setting {
    /// Nodes that can be added later.
    pub(crate) spares: Counts,
    /// How long a node that is told to stop goes on, so that routing can drain.
    pub(crate) stop_delay: Duration,
    /// The program of the nodes; `None`: the running one.
    pub(crate) program: Option<PathBuf>,
}

impl Setting {
    /// The usual one: nobody comes, and there is no routing to drain.
    pub(crate) const USUAL: Self = Self {
        spares: Counts {
            ingress: 0,
            trackers: 0,
            hosts: 0,
        },
        stop_delay: Duration::ZERO,
        program: None,
    };
}

/// A lab that stands. It is taken away when the value goes, unless it was [kept](Lab::keep).
pub(crate) struct Lab {
    plan: Plan,
    web: Web,
    setting: Setting,
    state: State,
    starter: Starter,
    processes: Vec<Process>,
    /// Whether its processes outlive the one that built it.
    keep: bool,
    /// Nothing before the network stands.
    router: Option<Router>,
    kept: bool,
}

impl Lab {
    /// Builds everything and starts every process; does not wait for them.
    pub(crate) fn build(options: &LabOptions, setting: Setting) -> Result<Self> {
        let nginx = match options.web {
            Web::Nginx => Some(nginx::find()?),
            Web::Embedded => None,
        };
        let mut lab = Self::stand(options, setting, nginx.as_slice())?;
        // Hosts have their servers before their agents: an agent must not take what nobody serves.
        lab.start_servers(nginx.as_deref())?;
        for node in lab.plan.nodes.clone() {
            lab.start_node(&node.name)?;
        }
        Ok(lab)
    }

    /// Builds files and network, and starts nothing. What will be started are the nodes' program and `programs`: their
    /// processes, also those that they start, are found when the lab is taken down.
    pub(crate) fn stand(
        options: &LabOptions,
        setting: Setting,
        programs: &[PathBuf],
    ) -> Result<Self> {
        let mut state = State::create()?;
        state.programs.push(own_program()?);
        state.programs.extend(setting.program.clone());
        state.programs.extend(programs.iter().cloned());
        let ipv6 = options.underlay == Underlay::Ipv6;
        let plan = Plan::new(state.id.clone(), options.counts(), ipv6).with_spares(setting.spares);
        let starter = Starter::new()?;
        // From here on a failure drops the lab, which takes away what is there so far.
        let mut lab = Self {
            plan,
            web: options.web,
            setting,
            state,
            starter,
            processes: Vec::new(),
            keep: options.keep,
            router: None,
            kept: false,
        };
        lab.state.write()?;
        let directory = lab.plan.directory();
        // Not one that is there already: anybody may make directories and links in /tmp.
        for path in [
            directory.clone(),
            directory.join(LOGS),
            directory.join("state"),
        ] {
            std::fs::create_dir(&path)
                .doing(format_args!("make {}", path.display()))
                .map_err(|error| error.mend("TMPDIR names another directory to write in"))?;
        }
        cluster_file::write(&lab.plan, options.services())?;
        lab.router = Some(topology::build(&lab.plan)?);
        Ok(lab)
    }

    /// Starts a program in a node's namespace and writes down that it did.
    pub(crate) fn start(
        &mut self,
        name: &str,
        node: &str,
        program: PathBuf,
        arguments: Vec<std::ffi::OsString>,
    ) -> Result<()> {
        let process = self.starter.start(Start {
            name: name.to_owned(),
            namespace: Namespace::existing(&self.plan.namespace(node)),
            program,
            arguments,
            log: self.plan.directory().join(LOGS).join(format!("{name}.log")),
        })?;
        let pid = process.pid();
        self.processes.push(process);
        self.state.record(name, pid)
    }

    /// Waits until every node says that it is ready.
    pub(crate) async fn ready(&mut self) -> Result<()> {
        let deadline = Instant::now() + READY_DEADLINE;
        loop {
            for process in &mut self.processes {
                process.check()?;
            }
            let waiting = self.unready(self.plan.nodes.clone()).await?;
            let Some((name, why)) = waiting else {
                return Ok(());
            };
            if Instant::now() >= deadline {
                let what = format!("is not ready after {} s ({why})", READY_DEADLINE.as_secs());
                let process = self.processes.iter().find(|process| process.name() == name);
                return Err(process.map_or_else(
                    || LabError::new(format!("{name} {what}")),
                    |process| process.complaint(&what),
                ));
            }
            sleep(READY_INTERVAL).await;
        }
    }

    /// Runs the load; the lab can be looked after meanwhile.
    pub(crate) fn load(
        &self,
        options: &LabOptions,
        progress: &Arc<Progress>,
    ) -> impl Future<Output = Result<Tally>> + use<> {
        let load = self.load_plan(options);
        let client = Namespace::existing(&self.plan.namespace(CLIENT));
        let progress = Arc::clone(progress);
        async move { client.start(move || load::run_here(&load, &progress)).await }
    }

    fn load_plan(&self, options: &LabOptions) -> Load {
        let mut mix = vec![What::Small; 14];
        mix.push(What::Download(DOWNLOAD));
        // nginx takes uploads, but does not tell their sum.
        mix.push(if self.web == Web::Embedded {
            What::Upload(UPLOAD)
        } else {
            What::Small
        });
        let sources: Vec<IpAddr> = Plan::client()
            .flat_map(Addresses::with_prefixes)
            .map(|(address, _)| address)
            .collect();
        Load {
            targets: vec![
                SocketAddr::new(VIP_V4.into(), 80),
                SocketAddr::new(VIP_V6.into(), 80),
            ],
            sources,
            workers: options.connections,
            duration: Duration::from_secs(options.seconds),
            patience: PATIENCE,
            rate: options.rate.map(f64::from),
            mix,
        }
    }

    /// The metrics of all nodes.
    pub(crate) async fn metrics(&self) -> Result<Vec<NodeSamples>> {
        let plan = self.plan.clone();
        self.beside_nodes(move |runtime| runtime.block_on(scrape::all(&plan)))
            .await
    }

    /// What the kernels of all namespaces lost.
    pub(crate) fn losses(&self) -> Result<Vec<Loss>> {
        let nodes = self.plan.nodes.iter().map(|node| node.name.as_str());
        let mut losses = Vec::new();
        for name in nodes.chain([CLIENT, ROUTER]) {
            let namespace = Namespace::existing(&self.plan.namespace(name));
            losses.extend(namespace.run(|| losses::here(name))?);
        }
        Ok(losses)
    }

    /// An error when one of the processes has ended.
    pub(crate) fn check(&mut self) -> Result<()> {
        self.processes.iter_mut().try_for_each(Process::check)
    }

    /// The number of the process of that name.
    pub(crate) fn pid(&self, name: &str) -> Option<u32> {
        let process = self.processes.iter().find(|it| it.name() == name);
        process.map(Process::pid)
    }

    /// The router of the lab.
    pub(crate) fn router(&mut self) -> Result<&mut Router> {
        let router = self.router.as_mut();
        router.ok_or_else(|| LabError::new("the lab has no router yet"))
    }

    /// Who is in it, and where.
    pub(crate) fn plan(&self) -> &Plan {
        &self.plan
    }

    /// What is written down about it.
    pub(crate) fn state(&self) -> &State {
        &self.state
    }

    /// Leaves the lab up.
    pub(crate) fn keep(mut self) -> Result<()> {
        self.state.kept = true;
        self.state.write()?;
        self.kept = true;
        Ok(())
    }

    /// Takes everything away, and says so if it cannot.
    pub(crate) fn take_down(mut self) -> Result<()> {
        self.kept = true;
        leftovers::remove(&self.state)
    }

    /// Runs `work` in the router's namespace, from where all nodes can be reached.
    pub(crate) async fn beside_nodes<T: Send + 'static>(
        &self,
        work: impl FnOnce(&tokio::runtime::Runtime) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let router = Namespace::existing(&self.plan.namespace(ROUTER));
        router.start(move || work(&load::runtime()?)).await
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        if !self.kept
            && let Err(error) = leftovers::remove(&self.state)
        {
            eprintln!("jlb lab: {error}; the next start tries again");
        }
        for process in &mut self.processes {
            process.reap();
        }
    }
}

/// The first node that is not ready, and why.
async fn first_unready(nodes: &[Node]) -> Option<(String, String)> {
    for node in nodes {
        let why = match scrape::ready(node).await {
            Ok(Ok(())) => continue,
            Ok(Err(why)) => why,
            Err(error) => error.to_string(),
        };
        return Some((node.name.clone(), why));
    }
    None
}

/// The running program; what /proc/PID/exe says of its children too.
pub(crate) fn own_program() -> Result<PathBuf> {
    std::env::current_exe().doing("find the running program")
}
