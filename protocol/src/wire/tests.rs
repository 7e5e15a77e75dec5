use super::*;
use crate::flow::{FlowKey, OfferNumber};
use crate::message::{
    BucketDigest, Control, ControlKind, FlowState, FlowStatement, Hunt, Intent, List, Listed,
    MAX_TRIED, MemberEntry, Path, Reason, ServiceLoad, Tried,
};
use crate::number::{NodeNumber, Role};
use crate::view::{Member, MemberState};
use alloc::vec;
use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use proptest::prelude::*;

fn service() -> ServiceNumber {
    ServiceNumber::new(0x00ab_cdef).unwrap()
}

/// A minimal TCP packet from `client` port 40000 to VIP port 80, with `payload` bytes of data.
fn tcp_packet(client: IpAddr, payload: usize) -> Vec<u8> {
    let tcp_len = 20 + payload;
    let mut packet = match client {
        IpAddr::V4(client) => {
            let mut ip = vec![0_u8; 20];
            ip[0] = 0x45;
            ip[2..4].copy_from_slice(&u16::try_from(20 + tcp_len).unwrap().to_be_bytes());
            ip[8] = 64;
            ip[9] = 6;
            ip[12..16].copy_from_slice(&client.octets());
            ip[16..20].copy_from_slice(&[10, 99, 0, 1]);
            ip
        }
        IpAddr::V6(client) => {
            let mut ip = vec![0_u8; 40];
            ip[0] = 0x60;
            ip[4..6].copy_from_slice(&u16::try_from(tcp_len).unwrap().to_be_bytes());
            ip[6] = 6;
            ip[7] = 64;
            ip[8..24].copy_from_slice(&client.octets());
            ip[39] = 1;
            ip
        }
    };
    let mut tcp = vec![0_u8; tcp_len];
    tcp[..2].copy_from_slice(&40_000_u16.to_be_bytes());
    tcp[2..4].copy_from_slice(&80_u16.to_be_bytes());
    tcp[12] = 0x50;
    tcp[13] = 0x10;
    packet.extend(tcp);
    packet
}

fn addresses() -> impl Strategy<Value = IpAddr> {
    prop_oneof![
        any::<[u8; 4]>().prop_map(|octets| IpAddr::V4(Ipv4Addr::from(octets))),
        any::<[u8; 16]>().prop_map(|mut octets| {
            octets[0] = 0x20; // keeps clear of the IPv4-mapped range
            IpAddr::V6(Ipv6Addr::from(octets))
        }),
    ]
}

fn nodes() -> impl Strategy<Value = Option<NodeNumber>> {
    any::<u16>().prop_map(NodeNumber::new)
}

fn births() -> impl Strategy<Value = Birth> {
    any::<(u32, u32)>().prop_map(|(incarnation, counter)| Birth {
        incarnation,
        counter,
    })
}

fn paths() -> impl Strategy<Value = Path> {
    (nodes(), nodes(), nodes(), nodes()).prop_map(|(ingress, primary, secondary, host)| Path {
        ingress,
        primary,
        secondary,
        host,
    })
}

fn tried_lists() -> impl Strategy<Value = Tried> {
    prop::collection::vec(any::<u16>(), 0..MAX_TRIED).prop_map(|numbers| {
        let mut tried = Tried::NONE;
        for node in numbers.into_iter().filter_map(NodeNumber::new) {
            tried.push(node);
        }
        tried
    })
}

type FlowParts = (
    FlowKind,
    IpAddr,
    usize,
    (u32, u8, Intent),
    Path,
    Option<Birth>,
    Tried,
    (Reason, u16),
);

fn flow_parts() -> impl Strategy<Value = FlowParts> {
    (
        prop::sample::select(FlowKind::ALL.to_vec()),
        addresses(),
        0..1_300_usize,
        (
            any::<u32>(),
            any::<u8>(),
            prop::sample::select(vec![Intent::Syn, Intent::MidFlow, Intent::Datagram]),
        ),
        paths(),
        prop::option::of(births()),
        tried_lists(),
        (prop::sample::select(Reason::ALL.to_vec()), any::<u16>()),
    )
}

/// The message made of these parts, with the neutral value where its kind has no such field.
fn flow_message<'a>(parts: &FlowParts, packet: &'a [u8]) -> FlowMessage<'a> {
    let &(kind, client, _, (isn, step, intent), path, birth, tried, (reason, load)) = parts;
    let fields = kind.fields();
    let birth = if fields.birth && !fields.birth_optional {
        Some(birth.unwrap_or(Birth {
            incarnation: 1,
            counter: 2,
        }))
    } else {
        birth.filter(|_| fields.birth)
    };
    FlowMessage {
        kind,
        key: FlowKey::new(client, 40_000, service(), 80),
        offer: if fields.offer {
            OfferNumber { isn, step }
        } else {
            OfferNumber { isn: 0, step: 0 }
        },
        intent: if fields.offer {
            intent
        } else {
            Intent::MidFlow
        },
        path: if fields.path { path } else { Path::default() },
        birth,
        tried: if fields.tried { tried } else { Tried::NONE },
        hunt: Hunt::NONE,
        reason: if fields.verdict { reason } else { Reason::None },
        load: if fields.verdict { load } else { 0 },
        packet: if fields.packet { packet } else { &[] },
    }
}

proptest! {
    #[test]
    fn flow_messages_come_back_as_they_were(parts in flow_parts()) {
        let packet = tcp_packet(parts.1, parts.2);
        let message = flow_message(&parts, &packet);
        let mut buf = PacketBuf::default();
        prop_assert_eq!(encode_flow(&message, &mut buf), Ok(()));
        prop_assert_eq!(decode(buf.as_slice()), Ok(Message::Flow(message)));
        let overhead = buf.len() - message.packet.len();
        if message.kind == FlowKind::Data {
            prop_assert!(overhead + 20 + UDP_HEADER <= data_overhead(false));
        }
    }

    #[test]
    fn a_message_cut_off_anywhere_is_refused(parts in flow_parts(), cut in any::<prop::sample::Index>()) {
        let packet = tcp_packet(parts.1, parts.2);
        let mut buf = PacketBuf::default();
        prop_assert_eq!(encode_flow(&flow_message(&parts, &packet), &mut buf), Ok(()));
        let len = cut.index(buf.len());
        prop_assert!(decode(&buf.as_slice()[..len]).is_err());
    }

    #[test]
    fn changed_bytes_never_panic(
        parts in flow_parts(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
    ) {
        let packet = tcp_packet(parts.1, parts.2);
        let mut buf = PacketBuf::default();
        prop_assert_eq!(encode_flow(&flow_message(&parts, &packet), &mut buf), Ok(()));
        for (at, byte) in changes {
            let at = at.index(buf.len());
            buf.as_mut_slice()[at] = byte;
        }
        let _ = decode(buf.as_slice());
        let _ = Seal::read(buf.as_slice());
    }

    #[test]
    fn random_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        let _ = decode(&bytes);
        let _ = Seal::read(&bytes);
    }
}

fn statement(number: u16) -> FlowStatement {
    FlowStatement {
        key: FlowKey::new(
            IpAddr::V4(Ipv4Addr::new(10, 0, 0, 9)),
            number,
            service(),
            443,
        ),
        birth: Birth {
            incarnation: 77,
            counter: u32::from(number),
        },
        isn: 0xdead_beef,
        state: FlowState::Closing,
        fresh: number.is_multiple_of(2),
    }
}

fn control_round_trip(control: &Control<'_>) -> PacketBuf {
    let mut buf = PacketBuf::default();
    encode_control(control, &mut buf).unwrap();
    assert_eq!(decode(buf.as_slice()), Ok(Message::Control(*control)));
    for len in 0..buf.len() {
        assert!(
            decode(&buf.as_slice()[..len]).is_err(),
            "{control:?} cut to {len}"
        );
    }
    buf
}

#[test]
fn control_messages_come_back_as_they_were() {
    let flows: Vec<_> = (1..31).map(statement).collect();
    let buckets = [BucketDigest {
        bucket: 9,
        count: 1_000_000,
        hash: u64::MAX - 5,
        high_water: Birth {
            incarnation: 3,
            counter: 4,
        },
    }];
    let services = [
        ServiceLoad {
            service: service(),
            connections: 5,
            room: u32::MAX,
            load: 65_535,
            healthy: true,
        },
        ServiceLoad {
            service: ServiceNumber::new(1).unwrap(),
            connections: 0,
            room: 0,
            load: 1,
            healthy: true,
        },
    ];
    let members = [
        MemberEntry {
            member: Member {
                node: NodeNumber::new(9).unwrap(),
                role: Role::HostAgent,
                state: MemberState::Draining,
                incarnation: 77,
                domain: None,
            },
            v4: Some(Ipv4Addr::new(10, 0, 0, 1)),
            v6: None,
        },
        MemberEntry {
            member: Member {
                node: NodeNumber::new(u16::MAX).unwrap(),
                role: Role::Ingress,
                state: MemberState::Joining,
                incarnation: 0,
                domain: None,
            },
            v4: None,
            v6: Some(Ipv6Addr::LOCALHOST),
        },
    ];
    let controls = [
        Control::Hello {
            view: 1,
            config: 2,
            nonce: 3,
            state: MemberState::Active,
            role: Role::FlowTracker,
            wire: 1,
        },
        Control::HelloAck {
            view: u64::MAX,
            config: 0,
            nonce: 9,
            state: MemberState::Active,
            role: Role::FlowTracker,
            wire: 1,
        },
        Control::State {
            sequence: 5,
            filled: None,
            listed: None,
            flows: List::Values(&flows),
        },
        Control::State {
            sequence: 0,
            filled: None,
            listed: None,
            flows: List::Values(&[]),
        },
        Control::State {
            sequence: 7,
            filled: Some(0),
            listed: Some(Listed {
                bucket: 0xffff,
                high_water: Birth {
                    incarnation: 3,
                    counter: u32::MAX,
                },
            }),
            flows: List::Values(&flows),
        },
        Control::Members {
            members: List::Values(&members),
        },
        Control::Ack { sequence: u64::MAX },
        Control::Digest {
            sequence: 8,
            buckets: List::Values(&buckets),
        },
        Control::SendFull { bucket: 65_535 },
        Control::Load {
            services: List::Values(&services),
        },
    ];
    for control in &controls {
        control_round_trip(control);
    }
    for kind in ControlKind::ALL {
        assert!(
            controls.iter().any(|control| control.kind() == kind),
            "{kind:?} is not covered"
        );
    }
}

#[test]
fn a_control_body_with_a_wrong_length_or_version_is_refused() {
    let buf = control_round_trip(&Control::Ack { sequence: 1 });
    let mut bytes = buf.as_slice().to_vec();
    bytes.push(0);
    assert_eq!(decode(&bytes), Err(DropReason::BadBody));
    bytes.pop();
    bytes[SEALED_LEN] = 2;
    assert_eq!(decode(&bytes), Err(DropReason::BadVersion));
}

#[test]
fn a_list_entry_with_an_unknown_state_is_refused() {
    let flows = [statement(1)];
    let buf = control_round_trip(&Control::State {
        sequence: 1,
        filled: None,
        listed: None,
        flows: List::Values(&flows),
    });
    let mut bytes = buf.as_slice().to_vec();
    let state_at = bytes.len() - 4;
    bytes[state_at] = 99;
    assert_eq!(decode(&bytes), Err(DropReason::BadField));
}

#[test]
fn a_list_that_does_not_fit_is_refused_when_written() {
    let flows: Vec<_> = (1..60).map(statement).collect();
    let control = Control::State {
        sequence: 1,
        filled: None,
        listed: None,
        flows: List::Values(&flows),
    };
    assert_eq!(
        encode_control(&control, &mut PacketBuf::default()),
        Err(DropReason::TooBig)
    );
}

/// Golden bytes: what stands on the wire is a matter between versions.
#[test]
fn the_layout_of_a_data_message_is_fixed() {
    let packet = tcp_packet(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)), 0);
    let mut buf = PacketBuf::from_packet(&packet);
    let birth = Birth {
        incarnation: 0x0102_0304,
        counter: 0x0506_0708,
    };
    encapsulate_data(&mut buf, service(), Some(birth)).unwrap();
    let bytes = buf.as_slice();
    assert_eq!(bytes[..8], [11, 0x40, 0x08, 0x00, 0xab, 0xcd, 0xef, 0]);
    assert_eq!(
        bytes[8..14],
        [0xff, 0x4a, 0x81, 7, VERSION, FlowKind::Data as u8]
    );
    assert_eq!(bytes[14..SEALED_LEN], [0; 26]);
    assert_eq!(
        bytes[SEALED_LEN..52],
        [0xff, 0x4a, 0x84, 2, 1, 2, 3, 4, 5, 6, 7, 8]
    );
    assert_eq!(bytes[52..], packet);
}

#[test]
fn an_unknown_option_is_skipped_unless_it_is_critical() {
    let packet = tcp_packet(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)), 0);
    for (kind, decoded) in [(0x01, Ok(())), (0x81, Err(DropReason::BadOption))] {
        let mut buf = PacketBuf::from_packet(&packet);
        encapsulate_data(&mut buf, service(), None).unwrap();
        let mut bytes = buf.as_slice().to_vec();
        bytes[0] += 1;
        let foreign = [0x01, 0x02, kind, 0];
        bytes.splice(SEALED_LEN..SEALED_LEN, foreign);
        assert_eq!(decode(&bytes).map(|_| ()), decoded);
    }
}

#[test]
fn an_option_that_comes_twice_is_refused() {
    let packet = tcp_packet(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)), 0);
    let mut buf = PacketBuf::from_packet(&packet);
    encapsulate_data(
        &mut buf,
        service(),
        Some(Birth {
            incarnation: 1,
            counter: 1,
        }),
    )
    .unwrap();
    let mut bytes = buf.as_slice().to_vec();
    let birth = bytes[SEALED_LEN..SEALED_LEN + 12].to_vec();
    bytes[0] += 3;
    bytes.splice(SEALED_LEN..SEALED_LEN, birth);
    assert_eq!(decode(&bytes), Err(DropReason::BadOption));
}
