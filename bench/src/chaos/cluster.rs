//! The cluster of a lab while things happen to it: does each step, and knows who should be up.

use std::collections::BTreeSet;
use std::time::Duration;

use rustix::process::Signal;
use tokio::time::{Instant, sleep};

use super::script::Step;
use crate::error::{LabError, Result};
use crate::lab::Lab;
use crate::plan::{Node, Role};
use crate::topology::Group;

/// The longest that nodes may take to be ready.
const READY_DEADLINE: Duration = Duration::from_secs(30);
/// How often they are asked.
const READY_INTERVAL: Duration = Duration::from_millis(25);

/// A lab, and who should be up in it.
pub(crate) struct Cluster {
    lab: Lab,
    /// Ingress nodes that get packets from the router.
    routed: BTreeSet<String>,
    group: Group,
}

impl Cluster {
    /// Of a lab in which all is well.
    pub(crate) fn new(lab: Lab) -> Self {
        let routed = lab.plan().of(Role::Ingress);
        Self {
            routed: routed.map(|node| node.name.clone()).collect(),
            group: lab.group(),
            lab,
        }
    }

    pub(crate) fn lab(&self) -> &Lab {
        &self.lab
    }

    pub(crate) fn lab_mut(&mut self) -> &mut Lab {
        &mut self.lab
    }

    /// Takes the lab down.
    pub(crate) fn take_down(self) -> Result<()> {
        self.lab.take_down()
    }

    /// Has the router spread flows in another way.
    pub(crate) fn set_group(&mut self, group: Group) -> Result<()> {
        if group == self.group {
            return Ok(());
        }
        self.group = group;
        self.route()
    }

    /// Does one step; [`Step::Look`] and [`Step::Wait`] are the caller's.
    pub(crate) async fn perform(&mut self, step: &Step) -> Result<()> {
        match step {
            Step::Kill(names) => self.lab.signal(names, Signal::KILL),
            Step::Terminate(names) => self.lab.signal(names, Signal::TERM),
            Step::Pause(names) => self.lab.signal(names, Signal::STOP),
            Step::Resume(names) => self.lab.signal(names, Signal::CONT),
            Step::Ended(names) => self.lab.ended(names).await?,
            Step::Start(names) => {
                for name in names {
                    self.lab.start_node(name)?;
                }
            }
            Step::StartFor(name, stop_delay) => self.lab.start_node_for(name, *stop_delay)?,
            Step::StartServer(name) => {
                let host = self.lab.node(name)?;
                self.lab.start_server(&host)?;
            }
            Step::Ready(names) => {
                let nodes = names.iter().map(|name| self.lab.node(name));
                self.ready(nodes.collect::<Result<_>>()?).await?;
            }
            Step::Withdraw(names) => {
                self.routed.retain(|name| !names.contains(name));
                self.route()?;
            }
            Step::Admit(names) => {
                self.routed.extend(names.iter().cloned());
                self.route()?;
            }
            Step::Unplug(name) => self.lab.connect(name, false)?,
            Step::Plug(name) => self.lab.connect(name, true)?,
            Step::Program(program) => self.lab.use_program(program.clone())?,
            Step::Wait(time) => sleep(*time).await,
            Step::Look => {}
        }
        Ok(())
    }

    fn route(&mut self) -> Result<()> {
        let names: Vec<String> = self.routed.iter().cloned().collect();
        self.lab.spread(self.group, &names)
    }

    /// Waits until these nodes are ready.
    async fn ready(&mut self, nodes: Vec<Node>) -> Result<()> {
        let deadline = Instant::now() + READY_DEADLINE;
        loop {
            self.lab.check()?;
            let Some((name, why)) = self.lab.unready(nodes.clone()).await? else {
                return Ok(());
            };
            if Instant::now() >= deadline {
                let seconds = READY_DEADLINE.as_secs();
                return Err(LabError::new(format!(
                    "{name} is not ready after {seconds} s ({why})"
                )));
            }
            sleep(READY_INTERVAL).await;
        }
    }

    /// Waits until every node that belongs to the lab is up and ready.
    pub(crate) async fn healthy(&mut self) -> Result<()> {
        let nodes = self.lab.plan().nodes.clone();
        if let Some(missing) = nodes.iter().find(|node| !self.lab.has(&node.name)) {
            return Err(LabError::new(format!("{} is not there", missing.name)));
        }
        self.ready(nodes).await
    }
}
