//! The nodes of a lab that stands: how they come, and how they go.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use rustix::process::Signal;
use tokio::time::{Instant, sleep};

use super::{Lab, first_unready, own_program};
use crate::cluster_file;
use crate::error::{LabError, Result};
use crate::plan::Node;
use crate::process_id::Grip;
use crate::topology::{CLIENT, Group, Router};

/// How often a process is looked at that is to end.
const END_INTERVAL: Duration = Duration::from_millis(5);
/// The longest that one may take.
const END_DEADLINE: Duration = Duration::from_secs(30);

impl Lab {
    /// Starts a node's process; a spare node knows of all the others, and they not of it.
    pub(crate) fn start_node(&mut self, name: &str) -> Result<()> {
        self.start_node_for(name, self.setting.stop_delay)
    }

    /// The same, with another time between the wish that it stops and its end.
    pub(crate) fn start_node_for(&mut self, name: &str, stop_delay: Duration) -> Result<()> {
        let node = self.node(name)?;
        let config = cluster_file::path(&self.plan, &node);
        let mut arguments: Vec<OsString> = vec![
            node.role.subcommand().into(),
            "--config".into(),
            config.into(),
            "--name".into(),
            name.into(),
            "--state-dir".into(),
            self.plan.directory().join("state").into(),
            "--stop-delay-ms".into(),
            stop_delay.as_millis().to_string().into(),
        ];
        arguments.extend(self.follow());
        let program = match &self.setting.program {
            Some(program) => program.clone(),
            None => own_program()?,
        };
        self.start(name, name, program, arguments)
    }

    /// Nodes that are started from now on run this program; `None`: the running one.
    pub(crate) fn use_program(&mut self, program: Option<PathBuf>) -> Result<()> {
        self.state.programs.extend(program.clone());
        self.setting.program = program;
        self.state.write()
    }

    /// The option that ends a process with the lab, unless that is to be kept.
    pub(crate) fn follow(&self) -> Vec<OsString> {
        if self.keep {
            return Vec::new();
        }
        vec![
            "--die-with-parent".into(),
            std::process::id().to_string().into(),
        ]
    }

    /// A node by its name, spare or not.
    pub(crate) fn node(&self, name: &str) -> Result<Node> {
        let node = self.plan.node(name).cloned();
        node.ok_or_else(|| LabError::new(format!("there is no node {name}")))
    }

    /// Sends a signal to processes at once: nothing else is done between the first and the last.
    pub(crate) fn signal(&self, names: &[String], signal: Signal) {
        let grips: Vec<Grip> = self
            .processes
            .iter()
            .filter(|process| names.iter().any(|name| name == process.name()))
            .filter_map(|process| process.grip())
            .collect();
        for grip in &grips {
            grip.signal(signal);
        }
    }

    /// Waits until processes have ended that were told to; from then on nobody misses them.
    pub(crate) async fn ended(&mut self, names: &[String]) -> Result<()> {
        let deadline = Instant::now() + END_DEADLINE;
        loop {
            self.processes.retain_mut(|process| {
                let meant = names.iter().any(|name| name == process.name());
                !(meant && process.has_ended())
            });
            let Some(left) = names.iter().find(|name| self.has(name)) else {
                return Ok(());
            };
            if Instant::now() >= deadline {
                let seconds = END_DEADLINE.as_secs();
                return Err(LabError::new(format!(
                    "{left} still runs {seconds} s after it was told to end"
                )));
            }
            sleep(END_INTERVAL).await;
        }
    }

    /// Whether there is a process of that name that is not known to have ended.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.processes.iter().any(|process| process.name() == name)
    }

    /// Starts processes that do nothing but keep processors busy; returns their names.
    pub(crate) fn spin(&mut self, count: u32) -> Result<Vec<String>> {
        let names: Vec<String> = (1..=count).map(|i| format!("spin-{i}")).collect();
        for name in &names {
            let mut arguments: Vec<OsString> = vec!["lab-web".into(), "--spin".into()];
            arguments.extend(self.follow());
            self.start(name, CLIENT, own_program()?, arguments)?;
        }
        Ok(names)
    }

    /// The first of these nodes that is not ready, and why.
    pub(crate) async fn unready(&self, nodes: Vec<Node>) -> Result<Option<(String, String)>> {
        self.beside_nodes(move |runtime| Ok(runtime.block_on(first_unready(&nodes))))
            .await
    }

    /// Routes the VIPs to these ingress nodes.
    pub(crate) fn spread(&mut self, group: Group, names: &[String]) -> Result<()> {
        let nodes = names.iter().map(|name| self.node(name));
        let nodes: Vec<Node> = nodes.collect::<Result<_>>()?;
        let members: Vec<&Node> = nodes.iter().collect();
        self.router()?.spread(group, &members)
    }

    /// Pulls a node's cable out, or puts it back.
    pub(crate) fn connect(&mut self, name: &str, connected: bool) -> Result<()> {
        let node = self.node(name)?;
        self.router()?.connect(&node, connected)
    }

    /// What kind of group routes the VIPs.
    pub(crate) fn group(&self) -> Group {
        self.router.as_ref().map_or(Group::Resilient, Router::group)
    }
}
