//! Flows whose packets need the agent no more: a driver that can may decapsulate them before the stack.
//!
//! The agent lets go of an established TCP connection and takes it back before anything that it says or
//! does rests on the connection's packets. What it misses meanwhile it can do without: the end of a
//! connection comes from the kernel's sockets (R8), the time of the last packet matters once it is closing, and
//! a packet through another ingress or of another birth is never let past.

use crate::agent::HostAgent;
use crate::flows::Change;
use core::net::SocketAddr;
use jlb_flow_table::Handle;
use jlb_protocol::packet::{Packet, TcpFlags, Transport};
use jlb_protocol::{Birth, FlowKey, NodeNumber, ServiceNumber};

/// A TCP connection by its ends, IPv4 never as mapped to IPv6.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Ends {
    /// The client's end.
    pub client: SocketAddr,
    /// This end.
    pub vip: SocketAddr,
}

/// What a driver that decapsulates by itself is to do.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Strip {
    /// Data messages of this service, birth and ingress, whose packet is a segment of this connection with ACK
    /// and without SYN and RST, may be decapsulated unseen, once the packet that came with this has been delivered: two
    /// processors that handle the first two segments of a client at once may each find no socket for one of them.
    /// A driver without room lets it be.
    Add {
        /// The connection.
        ends: Ends,
        /// The service that the messages name.
        service: ServiceNumber,
        /// The birth in them.
        birth: Birth,
        /// Who sends them.
        ingress: NodeNumber,
    },
    /// The agent is to see all packets of this connection, from now on.
    Remove(Ends),
    /// The agent is to see all packets.
    Clear,
}

impl HostAgent {
    /// There is a driver that can decapsulate by itself: [`Self::poll_strip`] says what. It is drained after
    /// each call, before anything else that the agent wants done is done, so that no packet of a connection
    /// which is not this host's any more is let past.
    pub fn begin_stripping(&mut self) {
        self.flows.begin_stripping();
    }

    /// What the driver knows may be out of date: it forgets all, and learns it anew with the next packets.
    pub fn strip_anew(&mut self) {
        self.flows.strip_anew();
    }

    /// What is to be done next by the driver. Always `None` without one.
    pub fn poll_strip(&mut self) -> Option<Strip> {
        let change = self.flows.next_strip()?;
        Some(match change {
            Change::Clear => Strip::Clear,
            // Services change only together with a Clear, so that each is known.
            Change::Remove(key) => self.ends_of(&key).map_or(Strip::Clear, Strip::Remove),
            Change::Add(key, birth, ingress) => match self.ends_of(&key) {
                Some(ends) => Strip::Add {
                    ends,
                    service: key.service(),
                    birth,
                    ingress,
                },
                None => Strip::Clear,
            },
        })
    }

    /// The driver could not do [`Strip::Add`], though it has room: it is told again with the connection's next packet.
    pub fn not_added(&mut self, service: ServiceNumber, ends: &Ends) {
        let Ends { client, vip } = ends;
        let key = FlowKey::new(client.ip(), client.port(), service, vip.port());
        self.flows.not_stripped(&key);
    }

    /// Both ends of a flow, if its service is there.
    pub(crate) fn ends_of(&self, key: &FlowKey) -> Option<Ends> {
        let vip = self.services.vip(key.service())?;
        Some(Ends {
            client: SocketAddr::new(key.client(), key.client_port()),
            vip: SocketAddr::new(vip, key.vip_port()),
        })
    }

    /// A packet of the flow came as data and goes to the stack: those that follow may do so unseen, if nothing
    /// that is to be seen is to be expected of them.
    pub(crate) fn let_go(
        &mut self,
        handle: Handle,
        key: &FlowKey,
        packet: &Packet,
        birth: Option<Birth>,
        from: NodeNumber,
    ) {
        let Transport::Tcp { flags, .. } = packet.transport else {
            return;
        };
        let others = [TcpFlags::SYN, TcpFlags::RST];
        let is_plain =
            flags.contains(TcpFlags::ACK) && !others.iter().any(|&it| flags.contains(it));
        if is_plain && !self.draining.is_of(key.service()) {
            self.flows.strip(handle, birth, from);
        }
    }
}

#[cfg(test)]
mod tests;
