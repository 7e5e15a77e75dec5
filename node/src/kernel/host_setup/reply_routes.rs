//! The table of answers: the main table's routes with a smaller segment size.

use super::HostSetup;
use crate::kernel::netlink::{MAIN_TABLE, Netlink, PROTOCOL};
use crate::kernel::{Error, Result};
use rtnetlink::packet_core::Nla;
use rtnetlink::packet_route::AddressFamily;
use rtnetlink::packet_route::route::{
    RouteAttribute, RouteFlags, RouteHeader, RouteMessage, RouteMetric, RouteNextHop,
    RouteNextHopFlags, RouteType,
};
use std::io;
use std::net::IpAddr;

/// Most routes that are repeated: a host with more is a router, and its operator sets `advmss` by
/// other means.
const MAX_ROUTES: usize = 10_000;

/// Headers of IP and TCP without options, in bytes.
const IPV4_TCP: u32 = 40;
const IPV6_TCP: u32 = 60;

/// Makes the table say what the main table says now.
pub(super) fn refresh(netlink: &Netlink, setup: &HostSetup) -> Result<()> {
    let device = netlink.link_index(&setup.device)?;
    let mut wanted: Vec<RouteMessage> = netlink
        .routes(MAIN_TABLE)?
        .into_iter()
        .filter(|route| is_repeated(route, setup, device))
        .map(|route| repeated(route, setup))
        .collect();
    if wanted.len() > MAX_ROUTES {
        let reason = io::Error::other(format!("the main table has more than {MAX_ROUTES} routes"));
        return Err(Error::new("repeat the routes for answers", reason));
    }
    // A gateway can only be used once the route to it is there.
    wanted.sort_by_key(|route| route.attributes.iter().any(is_gateway));
    let present: Vec<RouteMessage> = netlink
        .routes(setup.table)?
        .into_iter()
        .map(|route| normalised(route, setup.table))
        .collect();
    // What is in the way goes first: meanwhile the main table answers, with its larger segments.
    let mut failed = Ok(());
    for route in present.iter().filter(|old| !wanted.contains(old)) {
        failed = failed.and(netlink.delete_route_message(route.clone()));
    }
    // One route that can't be repeated is no reason to leave out the others.
    for route in wanted.iter().filter(|new| !present.contains(new)) {
        failed = failed.and(netlink.append_route_message(route.clone()));
    }
    failed
}

/// Empties the table.
pub(super) fn remove_all(netlink: &Netlink, setup: &HostSetup) -> Result<()> {
    for route in netlink.routes(setup.table)? {
        netlink.delete_route_message(normalised(route, setup.table))?;
    }
    Ok(())
}

/// Whether answers may take this route: not one of our own, nor of an IP version without VIPs.
fn is_repeated(route: &RouteMessage, setup: &HostSetup, device: u32) -> bool {
    let family = route.header.address_family;
    let has_vip = setup.vips.iter().any(|vip| match vip {
        IpAddr::V4(_) => family == AddressFamily::Inet,
        IpAddr::V6(_) => family == AddressFamily::Inet6,
    });
    let by_device = |a: &RouteAttribute| matches!(a, RouteAttribute::Oif(i) if *i == device);
    has_vip
        && route.header.protocol != PROTOCOL
        && !route.header.flags.contains(RouteFlags::Cloned)
        && route.header.kind != RouteType::Local
        && !route.attributes.iter().any(by_device)
}

/// The route as it stands in the table of answers.
fn repeated(route: RouteMessage, setup: &HostSetup) -> RouteMessage {
    let headers = match route.header.address_family {
        AddressFamily::Inet6 => IPV6_TCP,
        _ => IPV4_TCP,
    };
    let mut route = normalised(route, setup.table);
    if route.header.kind == RouteType::Unicast {
        limit_segments(&mut route, setup.max_inner.saturating_sub(headers));
    }
    route
}

/// What there is to say about a route, without the kernel's remarks, in an order that compares.
fn normalised(mut route: RouteMessage, table: u32) -> RouteMessage {
    route.header.table = RouteHeader::RT_TABLE_UNSPEC;
    route.header.protocol = PROTOCOL;
    route.header.flags &= RouteFlags::Onlink;
    let by_object = route
        .attributes
        .iter()
        .any(|a| matches!(a, RouteAttribute::NhId(_)));
    route
        .attributes
        .retain(|attribute| is_kept(attribute, by_object));
    for attribute in &mut route.attributes {
        if let RouteAttribute::MultiPath(hops) = attribute {
            hops.iter_mut().for_each(normalise_hop);
        }
    }
    route.attributes.push(RouteAttribute::Table(table));
    route.attributes.sort_by_key(Nla::kind);
    route
}

/// Whether the attribute belongs to the route itself. One that names a next-hop object is told
/// with that object's content, which must not be repeated.
fn is_kept(attribute: &RouteAttribute, by_object: bool) -> bool {
    match attribute {
        RouteAttribute::Oif(_)
        | RouteAttribute::Gateway(_)
        | RouteAttribute::Via(_)
        | RouteAttribute::Encap(_)
        | RouteAttribute::EncapType(_)
        | RouteAttribute::MultiPath(_) => !by_object,
        RouteAttribute::Destination(_)
        | RouteAttribute::Source(_)
        | RouteAttribute::PrefSource(_)
        | RouteAttribute::Priority(_)
        | RouteAttribute::Metrics(_)
        | RouteAttribute::Preference(_)
        | RouteAttribute::NhId(_) => true,
        _ => false,
    }
}

fn normalise_hop(hop: &mut RouteNextHop) {
    hop.flags &= RouteNextHopFlags::Onlink;
}

/// Has the peer told to send at most this much in one segment.
fn limit_segments(route: &mut RouteMessage, most: u32) {
    for attribute in &mut route.attributes {
        let RouteAttribute::Metrics(metrics) = attribute else {
            continue;
        };
        for metric in metrics.iter_mut() {
            if let RouteMetric::Advmss(own) = metric {
                *own = most.min(*own);
                return;
            }
        }
        metrics.push(RouteMetric::Advmss(most));
        metrics.sort_by_key(Nla::kind);
        return;
    }
    let metrics = vec![RouteMetric::Advmss(most)];
    route.attributes.push(RouteAttribute::Metrics(metrics));
    route.attributes.sort_by_key(Nla::kind);
}

fn is_gateway(attribute: &RouteAttribute) -> bool {
    matches!(
        attribute,
        RouteAttribute::Gateway(_)
            | RouteAttribute::Via(_)
            | RouteAttribute::MultiPath(_)
            | RouteAttribute::NhId(_)
    )
}
