//! Between the control plane and the data thread: commands one way, notices the other.

use super::{Allowance, FileDrain, Turn};
use crate::machine::{Machine, RoleConfig};
use crate::report::Report;
use jlb_host_agent::signals::Signal;
use jlb_membership::Known;
use jlb_packet_io::wait::Waker;
use jlb_protocol::link::{self, MessageKeys};
use jlb_protocol::{MemberState, NodeNumber, ServiceNumber, Time};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::mpsc::{Receiver, SyncSender, TryRecvError, TrySendError};
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};

/// What the control plane asks of the data thread.
pub(crate) enum Command {
    /// A consistent moment of all books and gauges.
    Report(oneshot::Sender<Report>),
    /// Whether this host's server of the service answers.
    Health(ServiceNumber, bool),
    /// What was measured on this host.
    Signals(Vec<Signal>),
    /// Act on another configuration from now on, and say so.
    Reconfigure(Box<Reconfiguration>, oneshot::Sender<()>),
    /// Tell the peers that this node is about to stop, and go on.
    Drain,
    /// An operator has this node drain, or take new work again; or why that can't be.
    Order(Option<Allowance>, oneshot::Sender<Result<(), &'static str>>),
    /// Tell the peers that this node is gone, and end the loop.
    Stop,
}

/// All of another configuration that the data thread acts on; it takes it over between two turns.
#[derive(Clone, Debug)]
pub(crate) struct Reconfiguration {
    /// The role's.
    pub(crate) role: RoleConfig,
    /// The fingerprint of the cluster-wide part, which the peers are told.
    pub(crate) fingerprint: u64,
    /// The secrets of the link.
    pub(crate) keys: MessageKeys,
    /// Whether this node drains.
    pub(crate) drain: FileDrain,
    /// How nodes watch each other.
    pub(crate) membership: jlb_membership::Config,
    /// The nodes of the file.
    pub(crate) known: Vec<Known>,
    /// Those of them that Offers may be passed on to.
    pub(crate) fellows: BTreeSet<NodeNumber>,
    /// The longest that the thread may hold still.
    pub(crate) coalesce: Option<Duration>,
    /// Their names.
    pub(crate) names: BTreeMap<NodeNumber, String>,
}

/// What the data thread tells the control plane, as it happens.
pub(crate) enum Notice {
    /// The link learnt something of a peer.
    Peer(link::Event),
    /// Another node is in another state than before in this node's view.
    State(NodeNumber, MemberState),
    /// This node is.
    OwnState(MemberState),
    /// The node noticed that it had been paused, and began a new life with this incarnation.
    Paused(u32),
    /// The node, which was drained and is not any more, began a new life with this incarnation.
    Undrained(u32),
    /// The list of the machine's sockets can't be read.
    DumpFailed(crate::kernel::Error),
    /// Connections could not be looked up.
    LookUpsFailed(crate::kernel::Error),
    /// What was tried, and why it failed. How often is counted elsewhere; this tells the reason, at
    /// most once a [`COMPLAINT_INTERVAL`].
    Failed(&'static str, String),
}

/// The channels between the data thread and the control plane.
pub(crate) struct Channels {
    pub(crate) commands: Receiver<Command>,
    pub(crate) waker: Waker,
    pub(crate) notices: mpsc::Sender<Notice>,
}

/// How the control plane reaches the data thread.
#[derive(Clone)]
pub(crate) struct DataThread {
    commands: SyncSender<Command>,
    waker: Waker,
}

/// The wait before a command for which there was no room is told again.
const TELL_AGAIN: Duration = Duration::from_millis(10);

impl DataThread {
    /// The thread that reads these commands, and that this waker wakes.
    pub(crate) const fn new(commands: SyncSender<Command>, waker: Waker) -> Self {
        Self { commands, waker }
    }

    /// Gives a command; false if there is no room for it, or the thread has ended.
    pub(crate) fn try_tell(&self, command: Command) -> bool {
        let taken = self.commands.try_send(command).is_ok();
        self.waker.wake();
        taken
    }

    /// Gives a command as soon as there is room, or the thread has ended. Requests may wait for a
    /// thread that is busy, or stuck; a send that blocks would be deaf to signals.
    pub(crate) async fn tell(&self, command: impl Fn() -> Command) {
        while let Err(TrySendError::Full(_)) = self.commands.try_send(command()) {
            self.waker.wake();
            tokio::time::sleep(TELL_AGAIN).await;
        }
        self.waker.wake();
    }

    /// Has the thread act on another configuration, and waits until it does; false if it has ended.
    pub(crate) async fn reconfigure(&self, new: &Reconfiguration) -> bool {
        loop {
            let (reply, done) = oneshot::channel();
            let command = Command::Reconfigure(Box::new(new.clone()), reply);
            let given = self.commands.try_send(command);
            self.waker.wake();
            match given {
                Ok(()) => return done.await.is_ok(),
                Err(TrySendError::Full(_)) => tokio::time::sleep(TELL_AGAIN).await,
                Err(TrySendError::Disconnected(_)) => return false,
            }
        }
    }
}

/// How long a node goes on after it said that it is gone, so that those whom it greeted just before
/// hear of it as well.
const LAST_WORDS: Duration = Duration::from_millis(25);

impl<M: Machine> Turn<M> {
    /// Gives the time if there is something to send now: it may have gone on.
    pub(super) fn handle_commands(&mut self, mut now: Time) -> Option<Time> {
        let mut acted = false;
        loop {
            match self.path.channels.commands.try_recv() {
                Ok(Command::Report(reply)) => {
                    let _ = reply.send(self.report());
                }
                Ok(Command::Health(service, healthy)) => {
                    self.path.machine.set_health(now, service, healthy);
                    acted = true;
                }
                Ok(Command::Signals(signals)) => {
                    for signal in signals {
                        self.path.machine.handle_signal(signal);
                    }
                }
                Ok(Command::Reconfigure(new, done)) => {
                    now = self.reconfigure(now, *new);
                    let _ = done.send(());
                    acted = true;
                }
                Ok(Command::Drain) => {
                    now = self.drain_to_stop(now);
                    acted = true;
                }
                // Who gave it up meanwhile was told that it was not done.
                Ok(Command::Order(_, reply)) if reply.is_closed() => {}
                Ok(Command::Order(wanted, reply)) => {
                    let done = self.order(now, wanted);
                    now = done.unwrap_or(now);
                    let _ = reply.send(done.map(|_| ()));
                    acted = true;
                }
                Ok(Command::Stop) => {
                    self.path.members.leave(now);
                    self.ends.get_or_insert(now + LAST_WORDS);
                    acted = true;
                }
                Err(TryRecvError::Disconnected) => {
                    self.ends = Some(now);
                    return acted.then_some(now);
                }
                Err(TryRecvError::Empty) => return acted.then_some(now),
            }
        }
    }

    /// Takes over another configuration: what waits stays queued, tables keep what they hold.
    fn reconfigure(&mut self, now: Time, new: Reconfiguration) -> Time {
        let path = &mut self.path;
        path.machine.handle_config(now, new.role.clone());
        if let Some(forwarders) = &mut path.forwarders {
            forwarders.end_leases();
        }
        path.link.set_config(new.fingerprint);
        path.link.set_keys(new.keys);
        path.members.handle_config(now, &new.membership, &new.known);
        path.members
            .meet_fellows(now, &mut path.link, &new.fellows, &new.known);
        path.names = new.names;
        self.coalescing.set_max(new.coalesce);
        self.steer(now, &new.role);
        self.config = Some(new.role);
        let now = self.drain_by_file(now, new.drain);
        self.handle_link_events(now);
        now
    }
}
