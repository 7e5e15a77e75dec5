//! Routes.

use super::rules::is_unsupported;
use super::{Netlink, allow};
use crate::kernel::Result;
use futures_util::{StreamExt, TryStreamExt};
use netlink_packet_core::{
    NLM_F_ACK, NLM_F_APPEND, NLM_F_CREATE, NLM_F_REQUEST, NetlinkMessage, NetlinkPayload,
};
use rtnetlink::packet_route::AddressFamily;
use rtnetlink::packet_route::RouteNetlinkMessage;
use rtnetlink::packet_route::route::{
    RouteAddress, RouteAttribute, RouteHeader, RouteMessage, RouteMetric, RouteProtocol,
    RouteScope, RouteType,
};
use rustix::io::Errno;
use std::fmt;
use std::net::IpAddr;

/// The table that ordinary routes are in.
pub const MAIN_TABLE: u32 = RouteHeader::RT_TABLE_MAIN as u32;

/// Addresses that begin alike.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Prefix {
    /// One of them; its bits past the length are 0.
    pub address: IpAddr,
    /// How many bits are alike: 0 to 32, or 0 to 128.
    pub length: u8,
}

impl Prefix {
    /// The prefix that holds this address alone.
    #[must_use]
    pub const fn host(address: IpAddr) -> Self {
        let length = match address {
            IpAddr::V4(_) => 32,
            IpAddr::V6(_) => 128,
        };
        Self { address, length }
    }
}

impl fmt::Display for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.length)
    }
}

/// Where a route leads.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Target {
    /// Straight to the machines behind a device.
    Device(String),
    /// To a router.
    Gateway(IpAddr),
    /// To nowhere, without a word to the sender.
    Blackhole,
}

/// A route.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Route {
    /// Which packets it is for.
    pub destination: Prefix,
    /// Where they go.
    pub target: Target,
    /// Among routes of one prefix the lowest is used. IPv6 takes 0 for 1024.
    pub metric: u32,
    /// The table it is in.
    pub table: u32,
    /// The largest TCP segment that the peer is told to send, in bytes.
    pub advmss: Option<u32>,
    /// Who has made it: an operator ([`RouteProtocol::Static`]), or a JLB node
    /// ([`PROTOCOL`](super::PROTOCOL)).
    pub protocol: RouteProtocol,
}

impl Route {
    /// A route of the main table with metric 0, as an operator would make it.
    #[must_use]
    pub const fn new(destination: Prefix, target: Target) -> Self {
        Self {
            destination,
            target,
            metric: 0,
            table: MAIN_TABLE,
            advmss: None,
            protocol: RouteProtocol::Static,
        }
    }
}

impl Netlink {
    /// Adds a route, in the place of one with the same prefix, table and metric.
    ///
    /// # Errors
    /// `NotFound` if there is no such device; the kernel's.
    pub fn put_route(&self, route: &Route) -> Result<()> {
        self.put_route_message(self.route_message(route)?)
    }

    /// Deletes a route.
    ///
    /// # Errors
    /// The kernel's, but that there is no such route or device.
    pub fn delete_route(&self, route: &Route) -> Result<()> {
        if let Target::Device(device) = &route.target
            && self.link(device)?.is_none()
        {
            return Ok(());
        }
        self.delete_route_message(self.route_message(route)?)
    }

    /// Adds or replaces a route that is given as a message.
    ///
    /// # Errors
    /// The kernel's.
    pub fn put_route_message(&self, message: RouteMessage) -> Result<()> {
        let doing = format!("set the route to {}", destination(&message));
        let request = self.handle().route().add(message).replace().execute();
        self.wait(doing, request)
    }

    /// Adds a route that is given as a message, behind others with the same prefix and metric.
    ///
    /// # Errors
    /// The kernel's, but that there is this very route already.
    pub fn append_route_message(&self, message: RouteMessage) -> Result<()> {
        let doing = format!("add the route to {}", destination(&message));
        let mut request = NetlinkMessage::from(RouteNetlinkMessage::NewRoute(message));
        request.header.flags = NLM_F_REQUEST | NLM_F_ACK | NLM_F_CREATE | NLM_F_APPEND;
        let mut handle = self.handle().clone();
        let answer = async move {
            let mut answers = handle.request(request)?;
            match answers.next().await.map(|answer| answer.payload) {
                Some(NetlinkPayload::Error(error)) if error.code.is_some() => {
                    Err(rtnetlink::Error::NetlinkError(error))
                }
                _ => Ok(()),
            }
        };
        allow(self.wait(doing, answer), &[Errno::EXIST])
    }

    /// Deletes a route that is given as a message.
    ///
    /// # Errors
    /// The kernel's, but that there is no such route.
    pub fn delete_route_message(&self, message: RouteMessage) -> Result<()> {
        let doing = format!("delete the route to {}", destination(&message));
        let request = self.handle().route().del(message).execute();
        allow(self.wait(doing, request), &[Errno::SRCH, Errno::NOENT])
    }

    /// The routes of a table, of both IP versions, as the kernel tells them.
    ///
    /// # Errors
    /// The kernel's.
    pub fn routes(&self, table: u32) -> Result<Vec<RouteMessage>> {
        let mut routes = Vec::new();
        for family in [AddressFamily::Inet, AddressFamily::Inet6] {
            let mut wanted = RouteMessage::default();
            wanted.header.address_family = family;
            let request = self.handle().route().get(wanted).execute();
            let messages = match self.wait("list the routes", request.try_collect::<Vec<_>>()) {
                // A kernel without this IP version.
                Err(error) if is_unsupported(error.raw_os_error()) => continue,
                other => other?,
            };
            routes.extend(messages.into_iter().filter(|m| table_of(m) == table));
        }
        Ok(routes)
    }

    /// The route that a packet to this address would take now; `None` where there is none, or one
    /// that leads nowhere.
    #[must_use]
    pub fn route_of(&self, address: IpAddr) -> Option<RouteMessage> {
        self.route_from(None, address)
    }

    /// The same for a packet that has `source` as its own address.
    #[must_use]
    pub fn route_from(&self, source: Option<IpAddr>, address: IpAddr) -> Option<RouteMessage> {
        let mut question = RouteMessage::default();
        question.header.address_family = match address {
            IpAddr::V4(_) => AddressFamily::Inet,
            IpAddr::V6(_) => AddressFamily::Inet6,
        };
        question.header.destination_prefix_length = Prefix::host(address).length;
        question
            .attributes
            .push(RouteAttribute::Destination(address.into()));
        if let Some(source) = source {
            question.header.source_prefix_length = Prefix::host(source).length;
            question
                .attributes
                .push(RouteAttribute::Source(source.into()));
        }
        let mut answers = self.handle().route().get(question).execute();
        self.wait("ask for a route", answers.try_next())
            .ok()
            .flatten()
    }

    /// The message that says this route, to be changed further.
    ///
    /// # Errors
    /// `NotFound` if there is no such device.
    pub fn route_message(&self, route: &Route) -> Result<RouteMessage> {
        let mut message = RouteMessage::default();
        let header = &mut message.header;
        header.address_family = match route.destination.address {
            IpAddr::V4(_) => AddressFamily::Inet,
            IpAddr::V6(_) => AddressFamily::Inet6,
        };
        header.destination_prefix_length = route.destination.length;
        header.protocol = route.protocol;
        header.kind = RouteType::Unicast;
        let attributes = &mut message.attributes;
        attributes.push(RouteAttribute::Destination(
            route.destination.address.into(),
        ));
        attributes.push(RouteAttribute::Table(route.table));
        attributes.push(RouteAttribute::Priority(route.metric));
        match &route.target {
            Target::Device(device) => {
                header.scope = RouteScope::Link;
                attributes.push(RouteAttribute::Oif(self.link_index(device)?));
            }
            Target::Gateway(gateway) => {
                attributes.push(RouteAttribute::Gateway((*gateway).into()));
            }
            Target::Blackhole => header.kind = RouteType::BlackHole,
        }
        if let Some(advmss) = route.advmss {
            let metrics = vec![RouteMetric::Advmss(advmss)];
            attributes.push(RouteAttribute::Metrics(metrics));
        }
        Ok(message)
    }
}

/// The table that a route is in.
#[must_use]
pub(crate) fn table_of(message: &RouteMessage) -> u32 {
    message
        .attributes
        .iter()
        .find_map(|attribute| match attribute {
            RouteAttribute::Table(table) => Some(*table),
            _ => None,
        })
        .unwrap_or_else(|| u32::from(message.header.table))
}

/// The destination of a route, in words.
fn destination(message: &RouteMessage) -> String {
    let length = message.header.destination_prefix_length;
    for attribute in &message.attributes {
        if let RouteAttribute::Destination(address) = attribute {
            return match address {
                RouteAddress::Inet(a) => format!("{a}/{length}"),
                RouteAddress::Inet6(a) => format!("{a}/{length}"),
                other => format!("{other:?}/{length}"),
            };
        }
    }
    "default".to_owned()
}
