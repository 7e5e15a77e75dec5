//! The roles as the data path drives them: one adapter a role, with that role's metrics.

/// The calls that every role has under the trait's own names.
macro_rules! same_as_the_role {
    () => {
        fn handle_timeout(&mut self, now: Time) {
            Self::handle_timeout(self, now);
        }

        fn poll_timeout(&self) -> Option<Time> {
            Self::poll_timeout(self)
        }

        fn poll_transmit(&mut self) -> Option<Transmit> {
            Self::poll_transmit(self)
        }

        fn recycle(&mut self, buf: PacketBuf) {
            Self::recycle(self, buf);
        }

        fn handle_view(&mut self, now: Time, view: &View) {
            Self::handle_view(self, now, view.clone());
        }
    };
}

mod flow_tracker;
mod host_agent;
mod ingress;

use crate::report::Report;
use jlb_host_agent::signals::Signal;
use jlb_host_agent::{DumpScope, Ends, LookUp, LookedUp, Socket, Strip, Until};
use jlb_ingress::{Packet, Rules, Shortcut};
use jlb_packet_io::xsk::Frame;
use jlb_protocol::{
    FlowKey, Ledger, Message, NodeNumber, PacketBuf, ServiceNumber, Time, Transmit, View,
};
use std::net::SocketAddr;
use std::time::Duration;

/// A role's configuration.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum RoleConfig {
    /// An ingress's.
    Ingress(jlb_ingress::Config),
    /// A flow tracker's.
    FlowTracker(jlb_flow_tracker::Config),
    /// A host agent's.
    HostAgent(jlb_host_agent::Config),
}

/// What the data path hands a message's packet to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Taken {
    /// The message's packet goes to the machine's own IP stack as it is.
    Deliver,
    /// Nothing more is to be done.
    Done,
}

/// A role's state machine. After each call that changes it, `poll_transmit` is drained.
pub(crate) trait Machine: Send {
    /// Client packets from the TUN device, one verdict each; false if the role takes none.
    fn process(&mut self, now: Time, batch: &mut [Packet]) -> bool;
    /// The same for those that came by `AF_XDP`.
    fn process_frames(&mut self, _now: Time, _batch: &mut [Packet<Frame>]) -> bool {
        false
    }
    /// So many more packets were forwarded as the first of their large packet was.
    fn count_forwarded(&mut self, _packets: u64) {}
    /// What other workers read packets by, of a role that has other workers.
    fn rules(&self) -> Option<Rules> {
        None
    }
    /// How another worker may treat a flow's packets for a while.
    fn shortcut(&mut self, _now: Time, _key: &FlowKey) -> Option<Shortcut> {
        None
    }
    /// A message from a peer.
    fn handle_message(&mut self, now: Time, from: NodeNumber, message: &Message<'_>) -> Taken;
    /// The peer is there for the first time or in a new life. What roles keep of a peer needs no
    /// help then: the view has its incarnation, and births and numbers of State tell them (R9).
    fn handle_peer_started(&mut self, _now: Time, _node: NodeNumber) {}
    /// The peer speaks wire versions up to this one.
    fn handle_peer_wire(&mut self, _now: Time, _node: NodeNumber, _wire: u8) {}
    /// The peer ranks the trackers that have this fingerprint.
    fn handle_peer_view(&mut self, _now: Time, _node: NodeNumber, _ranked: u64) {}
    /// Who is alive, this node itself included.
    fn handle_view(&mut self, now: Time, view: &View);
    /// Another configuration, of this very role.
    fn handle_config(&mut self, now: Time, config: RoleConfig);
    /// Whether this node has been there for long enough that nobody's absence from the view is a
    /// matter of time.
    fn handle_settled(&mut self, _now: Time, _settled: bool) {}
    /// Whether the role knows what it must know to be active (R10).
    fn is_filled(&self) -> bool {
        true
    }
    /// Whether this machine's server of the service answers.
    fn set_health(&mut self, _now: Time, _service: ServiceNumber, _healthy: bool) {}
    /// What was measured on this host.
    fn handle_signal(&mut self, _signal: Signal) {}
    /// The node gets nothing new, until its flows have closed or a deadline comes; or it does again.
    fn handle_drain(&mut self, _now: Time, _until: Option<Until>) {}
    /// The flows that are left to close, where the role has any of its own.
    fn flows_left(&self) -> Option<u64> {
        None
    }
    /// A complete list of the machine's sockets comes, begun at `started`.
    fn begin_sockets(&mut self, _now: Time, _started: Time, _scope: DumpScope) {}
    /// A part of it.
    fn handle_part(&mut self, _now: Time, _sockets: &[Socket]) {}
    /// That was all of it; its making took so long of a processor.
    fn end_sockets(&mut self, _now: Time, _cost: Duration) {}
    /// The kernel destroyed a socket.
    fn handle_socket_closed(
        &mut self,
        _now: Time,
        _local: SocketAddr,
        _remote: SocketAddr,
        _cookie: u64,
    ) {
    }
    /// Some of the kernel's closes were not told.
    fn handle_events_lost(&mut self, _now: Time) {}
    /// When the kernel is to be asked for single connections.
    fn poll_look_ups(&self) -> Option<Time> {
        None
    }
    /// For which.
    fn take_look_ups(&mut self) -> Vec<LookUp> {
        Vec::new()
    }
    /// What it said, from `started` on; that took so long of a processor.
    fn handle_looked_up(
        &mut self,
        _now: Time,
        _started: Time,
        _cost: Duration,
        _answers: &[LookedUp],
    ) {
    }
    /// It could not be asked.
    fn handle_look_ups_failed(&mut self) {}
    /// When the next list of sockets is wanted.
    fn poll_dump(&self) -> Option<Time> {
        None
    }
    /// What that list is to have.
    fn dump_scope(&self, _now: Time) -> DumpScope {
        DumpScope::All
    }
    /// What the kernel is to decapsulate by itself, or not any more: done before anything else that the role
    /// wants done.
    fn poll_strip(&mut self) -> Option<Strip> {
        None
    }
    /// The kernel does not decapsulate what [`Self::poll_strip`] said last, though it has room.
    fn handle_not_added(&mut self, _service: ServiceNumber, _ends: &Ends) {}
    /// The kernel may decapsulate what it is not to.
    fn handle_not_removed(&mut self) {}
    /// The node has begun a new life, of which this state machine is a part.
    fn handle_renewal(&mut self) {}
    /// Timers that are due.
    fn handle_timeout(&mut self, now: Time);
    /// When [`Self::handle_timeout`] is due.
    fn poll_timeout(&self) -> Option<Time>;
    /// The next packet or message to send.
    fn poll_transmit(&mut self) -> Option<Transmit>;
    /// A buffer that was sent.
    fn recycle(&mut self, buf: PacketBuf);
    /// Why the role can't do its work yet; `None` when it can.
    fn not_ready(&self) -> Option<&'static str> {
        None
    }
    /// The role's books.
    fn ledger(&self) -> Ledger;
    /// Adds the role's own samples of now.
    fn report(&self, now: Time, names: &dyn Fn(NodeNumber) -> String, report: &mut Report);
}
