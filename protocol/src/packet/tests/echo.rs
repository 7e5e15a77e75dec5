use super::samples::*;
use crate::buffer::PacketBuf;
use crate::drop_reason::DropReason;
use crate::packet::answer_echo;
use alloc::vec;
use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Identifier, sequence number and data.
const ECHO: &[u8] = &[0x12, 0x34, 0x00, 0x01, b'p', b'i', b'n'];

fn echo_request(client: IpAddr, vip: IpAddr) -> Vec<u8> {
    icmp(client, vip, if vip.is_ipv4() { 8 } else { 128 }, 0, ECHO)
}

/// The reply to [`echo_request`], with the hop limit of all answers.
fn echo_reply(client: IpAddr, vip: IpAddr) -> Vec<u8> {
    let mut reply = icmp(vip, client, if vip.is_ipv4() { 0 } else { 129 }, 0, ECHO);
    if vip.is_ipv4() {
        reply[8] = 64;
        reply[10..12].fill(0);
        let sum = checksum(&reply[..20]);
        reply[10..12].copy_from_slice(&sum.to_be_bytes());
    } else {
        reply[7] = 64;
    }
    reply
}

fn refused(request: &[u8], reason: DropReason) {
    let mut buf = PacketBuf::from_packet(request);
    assert_eq!(answer_echo(&mut buf), Err(reason));
    assert_eq!(buf.as_slice(), request, "changed although not answered");
}

#[test]
fn a_ping_is_answered_in_both_families() {
    for (client, vip) in pairs() {
        let mut buf = PacketBuf::from_packet(&echo_request(client, vip));
        answer_echo(&mut buf).unwrap();
        assert_eq!(buf.as_slice(), echo_reply(client, vip));
    }
}

#[test]
fn a_ping_without_anything_in_it_is_answered() {
    // The reply's message is zero but for its checksum, whose right form is then 0xffff.
    let mut buf = PacketBuf::from_packet(&icmp(CLIENT4.into(), VIP4.into(), 8, 0, &[0; 4]));
    answer_echo(&mut buf).unwrap();
    assert_eq!(buf.as_slice()[20..], [0, 0, 0xff, 0xff, 0, 0, 0, 0]);
}

#[test]
fn bytes_past_the_packet_are_left_off() {
    for (client, vip) in pairs() {
        for extra in [1, 2, 7, 200] {
            let mut request = echo_request(client, vip);
            request.extend(vec![0xee; extra]);
            let mut buf = PacketBuf::from_packet(&request);
            answer_echo(&mut buf).unwrap();
            assert_eq!(buf.as_slice(), echo_reply(client, vip));
        }
    }
}

#[test]
fn options_are_left_off() {
    let plain = echo_request(CLIENT4.into(), VIP4.into());
    // Record route with room for nine addresses.
    let mut options = [0; 40];
    options[..3].copy_from_slice(&[7, 39, 4]);
    let mut buf = PacketBuf::from_packet(&ipv4(CLIENT4, VIP4, ICMPV4, &options, &plain[20..]));
    answer_echo(&mut buf).unwrap();
    assert_eq!(buf.as_slice(), echo_reply(CLIENT4.into(), VIP4.into()));
}

#[test]
fn extension_headers_are_left_off() {
    let plain = echo_request(CLIENT6.into(), VIP6.into());
    let mut payload = vec![60, 0, 1, 4, 0, 0, 0, 0];
    payload.extend([ICMPV6, 0, 1, 4, 0, 0, 0, 0]);
    payload.extend(&plain[40..]);
    let mut buf = PacketBuf::from_packet(&ipv6(CLIENT6, VIP6, 0, &payload));
    answer_echo(&mut buf).unwrap();
    assert_eq!(buf.as_slice(), echo_reply(CLIENT6.into(), VIP6.into()));
}

#[test]
fn a_reply_is_not_answered() {
    for (client, vip) in pairs() {
        refused(&echo_reply(client, vip), DropReason::IcmpIgnored);
    }
}

#[test]
fn only_echo_requests_are_answered() {
    for (client, vip) in pairs() {
        let syn = ip(
            client,
            vip,
            TCP,
            &tcp((CLIENT_PORT, VIP_PORT), 1, 0, 2, &[]),
        );
        refused(&syn, DropReason::IcmpIgnored);
        let sent = ip(vip, client, UDP, &udp((VIP_PORT, CLIENT_PORT), b"x"));
        let kind = if vip.is_ipv4() { 3 } else { 1 };
        refused(&icmp_error(vip, kind, &sent), DropReason::IcmpIgnored);
    }
}

#[test]
fn who_is_no_single_host_gets_no_reply() {
    for client in [
        Ipv4Addr::UNSPECIFIED,
        Ipv4Addr::new(224, 0, 0, 1),
        Ipv4Addr::BROADCAST,
    ] {
        refused(
            &echo_request(client.into(), VIP4.into()),
            DropReason::BadIpHeader,
        );
        refused(
            &echo_request(CLIENT4.into(), client.into()),
            DropReason::BadIpHeader,
        );
    }
    for client in [
        Ipv6Addr::UNSPECIFIED,
        Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1),
    ] {
        refused(
            &echo_request(client.into(), VIP6.into()),
            DropReason::BadIpHeader,
        );
        refused(
            &echo_request(CLIENT6.into(), client.into()),
            DropReason::BadIpHeader,
        );
    }
}

#[test]
fn a_damaged_request_is_not_answered() {
    for (client, vip) in pairs() {
        let mut request = echo_request(client, vip);
        *request.last_mut().unwrap() ^= 0x10;
        refused(&request, DropReason::BadTransportHeader);
    }
}

#[test]
fn a_fragment_is_not_answered() {
    let mut request = echo_request(CLIENT4.into(), VIP4.into());
    request[6] = 0x20;
    refused(&request, DropReason::Fragment);
}
