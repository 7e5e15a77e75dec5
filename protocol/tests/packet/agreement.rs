//! The three parsers see the same in well-formed packets.

use crate::generate::{self, Net, TCP, UDP};
use crate::oracle::{Seen, Upper, etherparse_sees, pnet_sees};
use jlb_protocol::packet::{Packet, Transport, parse};
use jlb_protocol::{FlowKey, Protocol, ServiceNumber};
use proptest::prelude::*;
use std::net::IpAddr;

/// Our own view in the others' words; `icmp` is type and code, which ours doesn't keep.
pub(crate) fn seen(packet: &Packet, icmp: Option<(u8, u8)>) -> Seen {
    let upper = match packet.transport {
        Transport::Tcp {
            src_port,
            dst_port,
            seq,
            ack,
            flags,
            header_len,
            payload_len,
        } => Upper::Tcp {
            ports: (src_port, dst_port),
            seq,
            ack,
            flags: flags.bits(),
            header_len,
            payload_len,
        },
        Transport::Udp { src_port, dst_port } => Upper::Udp {
            ports: (src_port, dst_port),
        },
        Transport::IcmpError { .. } | Transport::EchoRequest | Transport::OtherIcmp => {
            icmp.map_or(Upper::Other, |(kind, code)| Upper::Icmp { kind, code })
        }
        Transport::Other(_) => Upper::Other,
    };
    Seen {
        src: packet.src,
        dst: packet.dst,
        dscp_ecn: packet.dscp_ecn,
        hop_limit: packet.hop_limit,
        upper,
    }
}

fn addresses(net: &Net) -> (IpAddr, IpAddr) {
    match net {
        Net::V4 { src, dst, .. } => ((*src).into(), (*dst).into()),
        Net::V6 { src, dst, .. } => ((*src).into(), (*dst).into()),
    }
}

/// All three agree on `bytes`; pnet has no say where there are extension headers.
fn all_agree(net: &Net, bytes: &[u8], icmp: Option<(u8, u8)>) -> Result<Packet, TestCaseError> {
    let packet = parse(bytes).map_err(|reason| TestCaseError::fail(reason.as_str()))?;
    let ours = seen(&packet, icmp);
    prop_assert_eq!(Some(ours), etherparse_sees(bytes));
    let extended = matches!(net, Net::V6 { extensions, .. } if !extensions.is_empty());
    if !extended {
        prop_assert_eq!(ours, pnet_sees(bytes, false));
    }
    prop_assert_eq!((packet.src, packet.dst), addresses(net));
    prop_assert_eq!(packet.total_len, bytes.len());
    Ok(packet)
}

proptest! {
    #[test]
    fn on_tcp(net in generate::net(), segment in generate::segment()) {
        let packet = all_agree(&net, &net.around(TCP, &segment.to_bytes()), None)?;
        prop_assert_eq!(packet.vip_endpoint(), Some((packet.dst, Protocol::Tcp, segment.dst_port)));
        let service = ServiceNumber::new(1).unwrap();
        let key = FlowKey::new(packet.src, segment.src_port, service, segment.dst_port);
        prop_assert_eq!(packet.flow_key(service), Some(key));
        prop_assert_eq!(key.client(), packet.src);
    }

    #[test]
    fn on_udp(net in generate::net(), datagram in generate::datagram()) {
        let packet = all_agree(&net, &net.around(UDP, &datagram.to_bytes()), None)?;
        prop_assert_eq!(packet.vip_endpoint(), Some((packet.dst, Protocol::Udp, datagram.dst_port)));
    }

    #[test]
    fn on_echo_requests(net in generate::net(), echo in generate::echo()) {
        let kind = if net.is_ipv4() { 8 } else { 128 };
        let bytes = net.around_icmp(kind, 0, &echo);
        let packet = all_agree(&net, &bytes, Some((kind, 0)))?;
        prop_assert_eq!(packet.transport, Transport::EchoRequest);
    }

    #[test]
    fn on_other_icmp(net in generate::net(), kind: u8, code: u8, rest in generate::echo()) {
        let bytes = net.around_icmp(kind, code, &rest);
        // etherparse wants the full length of a timestamp message, which has no use here.
        prop_assume!(!(net.is_ipv4() && (kind == 13 || kind == 14)));
        all_agree(&net, &bytes, Some((kind, code)))?;
    }

    /// Whatever is quoted of the packet, down to eight bytes of its transport header, and whatever
    /// options it had, an ICMP error names the flow; with less it names none.
    #[test]
    fn on_icmp_errors(
        net in generate::net(),
        sent_by_vip in generate::segment(),
        as_udp: bool,
        kind: prop::sample::Index,
        cut: prop::sample::Index,
    ) {
        let (protocol, number, transport) = if as_udp {
            let datagram = generate::Datagram {
                src_port: sent_by_vip.src_port,
                dst_port: sent_by_vip.dst_port,
                payload: sent_by_vip.payload.clone(),
            };
            (Protocol::Udp, UDP, datagram.to_bytes())
        } else {
            (Protocol::Tcp, TCP, sent_by_vip.to_bytes())
        };
        let kind = if net.is_ipv4() {
            *kind.get(&[3, 11, 12])
        } else {
            *kind.get(&[1, 2, 3, 4])
        };
        let quote = net.around(number, &transport);
        let quoted_len = cut.index(quote.len() + 1);
        let error = [&[0; 4], &quote[..quoted_len]].concat();
        let back = net.reversed();
        let packet = all_agree(&back, &back.around_icmp(kind, 0, &error), Some((kind, 0)))?;

        let names_flow = quoted_len >= quote.len() - transport.len() + 8;
        let (vip, client) = addresses(&net);
        let expected = names_flow.then_some((vip, protocol, sent_by_vip.src_port));
        prop_assert_eq!(packet.vip_endpoint(), expected);
        if let Transport::IcmpError { quoted } = packet.transport {
            prop_assert_eq!(quoted.dst, client);
            prop_assert_eq!(quoted.dst_port, sent_by_vip.dst_port);
            prop_assert_eq!(quoted.seq, if as_udp { 0 } else { sent_by_vip.seq });
            let service = ServiceNumber::new(1).unwrap();
            let key = FlowKey::new(client, sent_by_vip.dst_port, service, sent_by_vip.src_port);
            prop_assert_eq!(packet.flow_key(service), Some(key));
        }
    }
}
