//! A blocking rtnetlink connection, as the lab needs it: one request, one acknowledgement.
//!
//! The socket belongs to the namespace in which it was opened, wherever it is used later.

use std::fmt;
use std::net::IpAddr;
use std::os::fd::RawFd;

use netlink_packet_core::{
    NLM_F_ACK, NLM_F_CREATE, NLM_F_EXCL, NLM_F_REPLACE, NLM_F_REQUEST, NetlinkDeserializable,
    NetlinkHeader, NetlinkMessage, NetlinkPayload, NetlinkSerializable, NlasIterator,
};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::address::{AddressAttribute, AddressFlags, AddressMessage};
use netlink_packet_route::link::{
    InfoBridge, InfoData, InfoKind, InfoVeth, LinkAttribute, LinkFlags, LinkInfo, LinkMessage,
};
use netlink_packet_route::neighbour::{
    NeighbourAddress, NeighbourAttribute, NeighbourMessage, NeighbourState,
};
use netlink_packet_route::route::{
    RouteAddress, RouteAttribute, RouteMessage, RouteProtocol, RouteScope, RouteType,
};
use netlink_packet_route::{AddressFamily, route::RouteHeader};
use netlink_sys::{Socket, SocketAddr, protocols::NETLINK_ROUTE};
use rustix::io::Errno;

use super::next_hop::NextHopMessage;
use crate::error::{Doing, LabError, Result};

/// Length of a netlink message header, after which a capped error carries its attributes.
const HEADER_LENGTH: usize = 16;
/// Attribute of an extended error: the kernel's own words.
const NLMSGERR_ATTR_MSG: u16 = 1;

/// A request: what the packet crate knows, or a next hop, which it does not.
#[derive(Debug)]
enum Request {
    Route(RouteNetlinkMessage),
    NextHop(NextHopMessage),
}

impl NetlinkSerializable for Request {
    fn message_type(&self) -> u16 {
        match self {
            Request::Route(message) => message.message_type(),
            Request::NextHop(message) => message.message_type(),
        }
    }

    fn buffer_len(&self) -> usize {
        match self {
            Request::Route(message) => message.buffer_len(),
            Request::NextHop(message) => message.buffer_len(),
        }
    }

    fn serialize(&self, buffer: &mut [u8]) {
        match self {
            Request::Route(message) => message.serialize(buffer),
            Request::NextHop(message) => message.serialize(buffer),
        }
    }
}

/// Replies are only read for their error: their content is left alone.
struct Reply;

impl NetlinkDeserializable for Reply {
    type Error = std::convert::Infallible;

    fn deserialize(_: &NetlinkHeader, _: &[u8]) -> std::result::Result<Self, Self::Error> {
        Ok(Reply)
    }
}

/// The hardware address of an interface.
pub(crate) type Hardware = [u8; 6];

/// One end of a veth pair that is about to be made in another namespace.
pub(super) struct Peer<'a> {
    pub(super) name: &'a str,
    pub(super) hardware: Hardware,
    /// An open file of the namespace that gets it.
    pub(super) namespace: RawFd,
}

/// A connection to the kernel's routing part in one namespace.
pub(super) struct Netlink {
    socket: Socket,
    sequence: u32,
}

impl Netlink {
    /// Connects to the namespace that the calling thread is in.
    pub(super) fn open() -> Result<Self> {
        let mut socket = Socket::new(NETLINK_ROUTE).doing("open a netlink socket")?;
        socket.bind_auto().doing("bind a netlink socket")?;
        socket
            .connect(&SocketAddr::new(0, 0))
            .doing("connect a netlink socket")?;
        // Without the copy of the request the kernel's explanation follows the header at once.
        socket.set_cap_ack(true).doing("set up a netlink socket")?;
        socket.set_ext_ack(true).doing("set up a netlink socket")?;
        Ok(Self {
            socket,
            sequence: 0,
        })
    }

    /// A bridge without spanning tree or multicast snooping, so that it forwards at once.
    pub(super) fn add_bridge(&mut self, name: &str, mtu: u32, hardware: Hardware) -> Result<()> {
        let mut message = link(name, mtu);
        message
            .attributes
            .push(LinkAttribute::Address(hardware.to_vec()));
        message.attributes.push(LinkAttribute::LinkInfo(vec![
            LinkInfo::Kind(InfoKind::Bridge),
            LinkInfo::Data(InfoData::Bridge(vec![
                InfoBridge::ForwardDelay(0),
                InfoBridge::MulticastSnooping(false),
            ])),
        ]));
        self.create(
            Request::Route(RouteNetlinkMessage::NewLink(message)),
            format_args!("create bridge {name}"),
        )
        .map_err(|error| error.mend("the kernel needs CONFIG_BRIDGE (modprobe bridge)"))
    }

    /// A veth pair: `name` here, the other end in the peer's namespace.
    pub(super) fn add_veth(
        &mut self,
        name: &str,
        mtu: u32,
        controller: Option<u32>,
        peer: &Peer<'_>,
    ) -> Result<()> {
        let mut other = link(peer.name, mtu);
        // It cannot come up before it has its other end.
        other.header.flags = LinkFlags::empty();
        other
            .attributes
            .push(LinkAttribute::Address(peer.hardware.to_vec()));
        other
            .attributes
            .push(LinkAttribute::NetNsFd(peer.namespace));
        let mut message = link(name, mtu);
        message
            .attributes
            .extend(controller.map(LinkAttribute::Controller));
        message.attributes.push(LinkAttribute::LinkInfo(vec![
            LinkInfo::Kind(InfoKind::Veth),
            LinkInfo::Data(InfoData::Veth(InfoVeth::Peer(other))),
        ]));
        self.create(
            Request::Route(RouteNetlinkMessage::NewLink(message)),
            format_args!("create veth pair {name}"),
        )
        .map_err(|error| error.mend("the kernel needs CONFIG_VETH (modprobe veth)"))
    }

    /// Brings an interface up.
    pub(super) fn up(&mut self, name: &str) -> Result<()> {
        self.set_up(name, true)
    }

    /// Brings an interface up or down.
    pub(super) fn set_up(&mut self, name: &str, up: bool) -> Result<()> {
        let mut message = LinkMessage::default();
        message.header.index = self.index(name)?;
        if up {
            message.header.flags = LinkFlags::Up;
        }
        message.header.change_mask = LinkFlags::Up;
        self.request(
            Request::Route(RouteNetlinkMessage::SetLink(message)),
            0,
            format_args!("bring {name} {}", if up { "up" } else { "down" }),
        )
    }

    /// Gives an interface an address, usable at once: no duplicate address detection.
    pub(super) fn add_address(&mut self, name: &str, address: IpAddr, prefix: u8) -> Result<()> {
        let mut message = AddressMessage::default();
        message.header.family = family(address);
        message.header.prefix_len = prefix;
        message.header.index = self.index(name)?;
        message.attributes.push(AddressAttribute::Address(address));
        message.attributes.push(AddressAttribute::Local(address));
        if address.is_ipv6() {
            message
                .attributes
                .push(AddressAttribute::Flags(AddressFlags::Nodad));
        }
        self.create(
            Request::Route(RouteNetlinkMessage::NewAddress(message)),
            format_args!("add {address}/{prefix} to {name}"),
        )
    }

    /// Writes down for good which hardware address a neighbour has.
    pub(super) fn add_neighbour(
        &mut self,
        name: &str,
        address: IpAddr,
        hardware: Hardware,
    ) -> Result<()> {
        let mut message = NeighbourMessage::default();
        message.header.family = family(address);
        message.header.ifindex = self.index(name)?;
        message.header.state = NeighbourState::Permanent;
        message
            .attributes
            .push(NeighbourAttribute::Destination(match address {
                IpAddr::V4(address) => NeighbourAddress::Inet(address),
                IpAddr::V6(address) => NeighbourAddress::Inet6(address),
            }));
        message
            .attributes
            .push(NeighbourAttribute::LinkLayerAddress(hardware.to_vec()));
        self.create(
            Request::Route(RouteNetlinkMessage::NewNeighbour(message)),
            format_args!("add neighbour {address} on {name}"),
        )
    }

    /// The default route of the gateway's family.
    pub(super) fn add_default_route(&mut self, gateway: IpAddr) -> Result<()> {
        let mut message = route(gateway, 0);
        message
            .attributes
            .push(RouteAttribute::Gateway(match gateway {
                IpAddr::V4(address) => RouteAddress::Inet(address),
                IpAddr::V6(address) => RouteAddress::Inet6(address),
            }));
        self.create(
            Request::Route(RouteNetlinkMessage::NewRoute(message)),
            format_args!("add a default route through {gateway}"),
        )
    }

    /// A route for a prefix through a gateway.
    pub(super) fn add_route(&mut self, to: IpAddr, prefix: u8, gateway: IpAddr) -> Result<()> {
        let mut message = route(to, prefix);
        let address = |address| match address {
            IpAddr::V4(address) => RouteAddress::Inet(address),
            IpAddr::V6(address) => RouteAddress::Inet6(address),
        };
        message
            .attributes
            .push(RouteAttribute::Destination(address(to)));
        message
            .attributes
            .push(RouteAttribute::Gateway(address(gateway)));
        self.create(
            Request::Route(RouteNetlinkMessage::NewRoute(message)),
            format_args!("add a route to {to}/{prefix} through {gateway}"),
        )
    }

    /// A route for exactly one address over a next hop or a group of them, in place of the one that
    /// there may be.
    pub(super) fn set_host_route(&mut self, destination: IpAddr, next_hop: u32) -> Result<()> {
        let prefix = if destination.is_ipv4() { 32 } else { 128 };
        let mut message = route(destination, prefix);
        message
            .attributes
            .push(RouteAttribute::Destination(match destination {
                IpAddr::V4(address) => RouteAddress::Inet(address),
                IpAddr::V6(address) => RouteAddress::Inet6(address),
            }));
        message.attributes.push(RouteAttribute::NhId(next_hop));
        self.request(
            Request::Route(RouteNetlinkMessage::NewRoute(message)),
            NLM_F_CREATE | NLM_F_REPLACE,
            format_args!("route {destination} over next-hop group {next_hop}"),
        )
    }

    /// Makes a next hop or a group, or changes the one of that number.
    pub(super) fn set_next_hop(&mut self, message: NextHopMessage) -> Result<()> {
        let doing = format!("set next hop {}", message.id());
        self.request(
            Request::NextHop(message),
            NLM_F_CREATE | NLM_F_REPLACE,
            doing,
        )
    }

    /// The number of an interface of this connection's namespace.
    pub(super) fn index(&self, name: &str) -> Result<u32> {
        rustix::net::netdevice::name_to_index(&self.socket, name)
            .doing(format_args!("find interface {name}"))
    }

    fn create(&mut self, request: Request, doing: impl fmt::Display) -> Result<()> {
        self.request(request, NLM_F_CREATE | NLM_F_EXCL, doing)
    }

    fn request(&mut self, request: Request, flags: u16, doing: impl fmt::Display) -> Result<()> {
        self.sequence += 1;
        let mut header = NetlinkHeader::default();
        header.flags = NLM_F_REQUEST | NLM_F_ACK | flags;
        header.sequence_number = self.sequence;
        let mut message = NetlinkMessage::new(header, NetlinkPayload::InnerMessage(request));
        message.finalize();
        let mut bytes = vec![0; message.buffer_len()];
        message.serialize(&mut bytes);
        self.socket.send(&bytes, 0).doing(&doing)?;
        loop {
            let (bytes, _) = self.socket.recv_from_full().doing(&doing)?;
            let reply = NetlinkMessage::<Reply>::deserialize(&bytes).doing(&doing)?;
            if reply.header.sequence_number != self.sequence {
                continue;
            }
            let NetlinkPayload::Error(error) = reply.payload else {
                continue;
            };
            let Some(code) = error.code else {
                return Ok(());
            };
            let errno = Errno::from_raw_os_error(code.get().saturating_abs());
            let words = explanation(&error.header)
                .map(|w| format!(" ({w})"))
                .unwrap_or_default();
            return Err(LabError::new(format!("cannot {doing}: {errno}{words}")));
        }
    }
}

/// The kernel's own words in an extended error.
fn explanation(echoed: &[u8]) -> Option<String> {
    NlasIterator::new(echoed.get(HEADER_LENGTH..)?)
        .filter_map(std::result::Result::ok)
        .find(|attribute| attribute.kind() == NLMSGERR_ATTR_MSG)
        .map(|attribute| {
            String::from_utf8_lossy(attribute.value())
                .trim_end_matches('\0')
                .to_owned()
        })
}

fn link(name: &str, mtu: u32) -> LinkMessage {
    let mut message = LinkMessage::default();
    message.header.flags = LinkFlags::Up;
    message.header.change_mask = LinkFlags::Up;
    message
        .attributes
        .push(LinkAttribute::IfName(name.to_owned()));
    message.attributes.push(LinkAttribute::Mtu(mtu));
    message
        .attributes
        .push(LinkAttribute::TxQueueLen(TX_QUEUE_LENGTH));
    message
}

/// Packets that wait for a device; veth's default is 1000, a tap's 500.
const TX_QUEUE_LENGTH: u32 = 10_000;

fn route(address: IpAddr, prefix: u8) -> RouteMessage {
    let mut message = RouteMessage::default();
    message.header.address_family = family(address);
    message.header.destination_prefix_length = prefix;
    message.header.table = RouteHeader::RT_TABLE_MAIN;
    message.header.protocol = RouteProtocol::Static;
    message.header.scope = RouteScope::Universe;
    message.header.kind = RouteType::Unicast;
    message
}

fn family(address: IpAddr) -> AddressFamily {
    match address {
        IpAddr::V4(_) => AddressFamily::Inet,
        IpAddr::V6(_) => AddressFamily::Inet6,
    }
}
