//! Which addresses a node or a VIP may have.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Why no node and no VIP can have the address; `None` if one can.
pub(crate) fn unusable(address: IpAddr) -> Option<&'static str> {
    match address {
        IpAddr::V4(v4) => unusable_v4(v4),
        IpAddr::V6(v6) => unusable_v6(v6),
    }
}

fn unusable_v4(v4: Ipv4Addr) -> Option<&'static str> {
    let first = v4.octets()[0];
    if v4.is_unspecified() {
        Some("the unspecified address")
    } else if v4.is_multicast() {
        Some("a multicast address")
    } else if v4.is_broadcast() {
        Some("the broadcast address")
    } else if first == 0 || first >= 240 {
        Some("a reserved address")
    } else {
        None
    }
}

fn unusable_v6(v6: Ipv6Addr) -> Option<&'static str> {
    if v6.is_unspecified() {
        Some("the unspecified address")
    } else if v6.is_multicast() {
        Some("a multicast address")
    } else if v6.to_ipv4_mapped().is_some() {
        Some("an IPv4 address written as IPv6")
    } else if v6.is_unicast_link_local() {
        Some("a link-local address, which means another thing on each link")
    } else {
        None
    }
}
