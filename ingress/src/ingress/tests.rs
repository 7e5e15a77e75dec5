use crate::testbed::*;
use crate::{Ingress, Verdict};
use alloc::vec;
use alloc::vec::Vec;
use core::time::Duration;
use jlb_protocol::message::{Control, FlowKind, Intent, Path, Reason};
use jlb_protocol::packet::TcpFlags;
use jlb_protocol::{DropReason, FlowKey, Message, OfferNumber, PacketBuf, Time};

mod changes;
mod random;

fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

fn key() -> FlowKey {
    FlowKey::new(ip(CLIENT4), 40_000, service(WEB4), 80)
}

// --- From the first packet to the host -------------------------------------------------------

#[test]
fn a_syn_becomes_an_open_to_its_primary_with_the_packet_in_it() {
    let mut bed = Bed::new();
    let syn = tcp(100, SYN, b"");
    assert_eq!(bed.verdict(&syn), Verdict::Held);
    let open = bed.message();
    let primary = ranks(&view(), &key())[0];
    assert_eq!(
        open,
        Sent {
            to: primary,
            kind: FlowKind::Open,
            key: key(),
            offer: OfferNumber { isn: 100, step: 4 },
            intent: Intent::Syn,
            path: Path {
                ingress: Some(me()),
                primary: Some(primary),
                ..Path::default()
            },
            birth: None,
            tried: vec![],
            packet: syn,
        }
    );
    let stats = bed.check();
    assert_eq!(
        (stats.packets, stats.syns, stats.attempts_syn, stats.pending),
        (1, 1, 1, 1)
    );
    assert_eq!((stats.ledger.received, stats.ledger.created), (1, 1));
    assert_eq!((stats.ledger.held, stats.ledger.sent), (1, 1));
}

#[test]
fn after_the_accept_packets_go_straight_to_the_host() {
    let mut bed = Bed::new();
    bed.accepted(&tcp(100, SYN, b""), 21, birth(9, 1));
    assert!(
        bed.drain().messages.is_empty(),
        "the host delivered the SYN with the Offer"
    );
    let ack = tcp(101, ACK, b"GET /");
    let data = bed.forwarded(&ack);
    assert_eq!(
        (data.kind, data.to, data.birth),
        (FlowKind::Data, node(21), Some(birth(9, 1)))
    );
    assert_eq!((data.key, &data.packet), (key(), &ack));
    let stats = bed.check();
    assert_eq!((stats.flows, stats.pending, stats.pending_bytes), (1, 0, 0));
    assert_eq!(
        (stats.accepts, stats.cache_hits, stats.cache_misses),
        (1, 1, 0)
    );
    // The SYN and the Accept did their work here; the Open and the data went out.
    assert_eq!(
        (stats.ledger.consumed, stats.ledger.sent, stats.ledger.held),
        (2, 2, 0)
    );
    let [host] = stats.hosts[..] else {
        panic!("{:?}", stats.hosts)
    };
    assert_eq!(
        (host.service, host.host, host.flows),
        (service(WEB4), node(21), 1)
    );
}

#[test]
fn packets_that_wait_follow_the_accept_in_order() {
    let mut bed = Bed::new();
    assert_eq!(bed.verdict(&tcp(100, SYN, b"")), Verdict::Held);
    let open = bed.message();
    for seq in [101, 111, 121] {
        assert_eq!(bed.verdict(&tcp(seq, ACK, b"0123456789")), Verdict::Held);
    }
    assert_eq!(
        bed.verdict(&tcp(131, ACK, b"")),
        Verdict::Dropped(DropReason::FlowQueueFull),
        "four packets a flow, the first included"
    );
    assert!(
        bed.drain().messages.is_empty(),
        "packets that wait ask nothing"
    );
    bed.receive(open.to.get(), accept(&open, 22, birth(9, 1)));
    let data = bed.drain().messages;
    let packets: Vec<_> = data.iter().map(|data| data.packet.clone()).collect();
    let expected = [101, 111, 121].map(|seq| tcp(seq, ACK, b"0123456789"));
    assert_eq!(packets, expected);
    assert!(
        data.iter()
            .all(|data| data.to == node(22) && data.kind == FlowKind::Data)
    );
    let stats = bed.check();
    // The client has heard from the host, or it would have had nothing to go on with.
    assert_eq!(
        (stats.ledger.held, stats.flows, stats.flows_unproven),
        (0, 1, 0)
    );
}

#[test]
fn an_ipv6_flow_goes_the_same_way() {
    let mut bed = Bed::new();
    let client = (CLIENT6, 40_000);
    let syn = tcp_between(client, (VIP6, 80), 7, SYN, b"");
    bed.accepted(&syn, 23, birth(1, 1));
    let data = bed.forwarded(&tcp_between(client, (VIP6, 80), 8, ACK, b"x"));
    assert_eq!(
        data.key,
        FlowKey::new(ip(CLIENT6), 40_000, service(WEB6), 80)
    );
    assert_eq!(data.to, node(23));
}

#[test]
fn a_datagram_asks_with_isn_0_and_later_ones_wait() {
    let mut bed = Bed::new();
    assert_eq!(bed.verdict(&udp(b"one")), Verdict::Held);
    let open = bed.message();
    assert_eq!((open.intent, open.offer.isn), (Intent::Datagram, 0));
    assert_eq!(
        bed.verdict(&udp(b"one")),
        Verdict::Held,
        "a datagram is never a repeat"
    );
    bed.receive(open.to.get(), accept(&open, 21, birth(1, 1)));
    assert_eq!(bed.message().packet, udp(b"one"));
    assert_eq!(bed.forwarded(&udp(b"two")).to, node(21));
}

#[test]
fn r4_a_packet_of_an_unknown_flow_asks_mid_flow() {
    // Also a reset or FIN: the host must hear of the end of a flow that another ingress opened.
    for flags in [ACK, TcpFlags::RST, TcpFlags::FIN | ACK, SYN | ACK] {
        let mut bed = Bed::new();
        assert_eq!(bed.verdict(&tcp(500, flags, b"")), Verdict::Held);
        let open = bed.message();
        assert_eq!(
            (open.intent, open.offer.isn),
            (Intent::MidFlow, 500),
            "{flags:?}"
        );
        assert_eq!((open.path.host, open.birth), (None, None));
        assert_eq!(bed.check().cache_misses, 1);
    }
}

// --- R7: a SYN is never data -------------------------------------------------------------------

#[test]
fn r7_a_syn_of_a_cached_flow_is_an_open_and_the_entry_stays_until_the_accept() {
    let mut bed = Bed::new();
    bed.accepted(&tcp(100, SYN, b""), 21, birth(9, 1));
    assert_eq!(bed.verdict(&tcp(900, SYN, b"")), Verdict::Held);
    let open = bed.message();
    assert_eq!((open.kind, open.offer.isn), (FlowKind::Open, 900));
    // The SYN may be forged: the connection goes on.
    assert_eq!(bed.forwarded(&tcp(101, ACK, b"")).birth, Some(birth(9, 1)));
    bed.receive(open.to.get(), accept(&open, 22, birth(3, 1)));
    let data = bed.forwarded(&tcp(901, ACK, b""));
    assert_eq!((data.to, data.birth), (node(22), Some(birth(3, 1))));
    assert_eq!(bed.check().flows, 1);
}

#[test]
fn a_repeated_syn_is_dropped_while_its_question_is_asked() {
    let mut bed = Bed::new();
    let syn = tcp(100, SYN, b"");
    assert_eq!(bed.verdict(&syn), Verdict::Held);
    assert_eq!(bed.verdict(&syn), Verdict::Dropped(DropReason::Repeat));
    assert_eq!(
        bed.drain().messages.len(),
        1,
        "the ingress repeats by its own timer"
    );
}

#[test]
fn another_isn_takes_the_attempts_place() {
    let mut bed = Bed::new();
    assert_eq!(bed.verdict(&tcp(100, SYN, b"")), Verdict::Held);
    let first = bed.message();
    assert_eq!(bed.verdict(&tcp(101, ACK, b"")), Verdict::Held);
    assert_eq!(bed.verdict(&tcp(200, SYN, b"")), Verdict::Held);
    assert_eq!(bed.dropped(DropReason::Superseded), 2);
    let second = bed.message();
    assert_eq!(second.offer.isn, 200);
    let late = accept(&first, 21, birth(1, 1));
    assert!(bed.drops(DropReason::StaleAnswer, first.to.get(), late));
    bed.receive(second.to.get(), accept(&second, 22, birth(1, 1)));
    assert_eq!(bed.forwarded(&tcp(201, ACK, b"")).to, node(22));
}

// --- ICMP -----------------------------------------------------------------------------------

#[test]
fn an_icmp_error_goes_to_the_host_of_the_flow_that_it_quotes() {
    // RFC 792 lets a router quote as little as 8 bytes of TCP.
    let cases = [
        (CLIENT4, VIP4, ROUTER4, 20, None),
        (CLIENT4, VIP4, ROUTER4, 20, Some(8)),
        (CLIENT6, VIP6, ROUTER6, 40, None),
        (CLIENT6, VIP6, ROUTER6, 40, Some(8)),
    ];
    for (client, vip, router, ip_header, cut) in cases {
        let mut bed = Bed::new();
        bed.accepted(
            &tcp_between((client, 40_000), (vip, 80), 1, SYN, b""),
            24,
            birth(1, 1),
        );
        let mut quoted = tcp_between((vip, 80), (client, 40_000), 9, ACK, &[0; 1000]);
        if let Some(cut) = cut {
            quoted.truncate(ip_header + cut);
        }
        let error = too_big(router, vip, &quoted);
        let data = bed.forwarded(&error);
        assert_eq!(
            (data.kind, data.to, &data.packet),
            (FlowKind::Data, node(24), &error)
        );
        assert_eq!(data.key.client(), ip(client));
        assert_eq!(bed.check().icmp_errors, 1);
    }
}

#[test]
fn an_icmp_error_about_an_unknown_flow_asks_mid_flow_and_never_begins_one() {
    let mut bed = Bed::new();
    let quoted = tcp_between((VIP4, 80), (CLIENT4, 40_000), 77, ACK, b"");
    assert_eq!(bed.verdict(&too_big(ROUTER4, VIP4, &quoted)), Verdict::Held);
    let open = bed.message();
    assert_eq!(
        (open.intent, open.offer.isn, open.key),
        (Intent::MidFlow, 77, key())
    );

    let quoted = udp_between((VIP4, 53), (CLIENT4, 5353), b"answer");
    assert_eq!(bed.verdict(&too_big(ROUTER4, VIP4, &quoted)), Verdict::Held);
    assert_eq!(bed.message().intent, Intent::MidFlow);
    // A datagram may begin the flow: it does not wait for "unknown".
    assert_eq!(bed.verdict(&udp(b"hello")), Verdict::Held);
    assert_eq!(bed.message().intent, Intent::Datagram);
    assert_eq!(bed.dropped(DropReason::Superseded), 1);
}

#[test]
fn a_ping_of_a_vip_is_answered_in_place() {
    for (client, vip) in [(CLIENT4, VIP4), (CLIENT6, VIP6)] {
        let mut bed = Bed::new();
        let (verdict, buf) = bed.process(&ping(client, vip));
        assert_eq!(verdict, Verdict::Inject);
        assert_eq!(buf.as_slice().len(), pong(vip, client).len());
        let icmp_at = buf.len() - 12;
        assert_eq!(buf.as_slice()[icmp_at..], pong(vip, client)[icmp_at..]);
        let stats = bed.check();
        assert_eq!((stats.echoes, stats.ledger.delivered), (1, 1));
        assert!(bed.drain().messages.is_empty());
    }
}

// --- What is not a flow's packet ----------------------------------------------------------------

#[test]
fn what_is_no_flow_of_a_service_is_dropped_by_reason() {
    let mut fragment = tcp(1, ACK, b"0123456789abcdef");
    fragment[6] = 0x20; // more fragments
    let mut later_fragment = tcp(1, ACK, b"0123456789abcdef");
    later_fragment[7] = 1;
    let protocol_47 = ip_packet(CLIENT4, VIP4, etherparse::IpNumber::GRE, &[0; 8]);
    let cases = [
        ("nothing", vec![], DropReason::Truncated),
        ("ARP", vec![0; 28], DropReason::NotIp),
        (
            "cut off",
            tcp(1, SYN, b"")[..30].to_vec(),
            DropReason::Truncated,
        ),
        (
            "other address",
            tcp_between((CLIENT4, 1), (ROUTER4, 80), 1, SYN, b""),
            DropReason::NotVip,
        ),
        (
            "port below",
            tcp_between((CLIENT4, 1), (VIP4, 79), 1, SYN, b""),
            DropReason::NoService,
        ),
        (
            "port above",
            tcp_between((CLIENT4, 1), (VIP4, 444), 1, SYN, b""),
            DropReason::NoService,
        ),
        (
            "TCP to a UDP port",
            tcp_between((CLIENT4, 1), (VIP4, 53), 1, ACK, b""),
            DropReason::NoService,
        ),
        ("unknown protocol", protocol_47, DropReason::NoService),
        ("echo reply", pong(CLIENT4, VIP4), DropReason::IcmpIgnored),
        (
            "ping of another",
            ping(CLIENT4, ROUTER4),
            DropReason::NotVip,
        ),
        (
            "error for another's flow",
            too_big(
                ROUTER4,
                VIP4,
                &tcp_between((ROUTER4, 80), (CLIENT4, 1), 1, ACK, b""),
            ),
            DropReason::IcmpIgnored,
        ),
        ("first fragment", fragment, DropReason::Fragment),
        ("later fragment", later_fragment, DropReason::Fragment),
        (
            "from the VIP itself",
            tcp_between((VIP4, 80), (VIP4, 80), 1, SYN, b""),
            DropReason::BadIpHeader,
        ),
        (
            "from a group",
            tcp_between(("224.0.0.1", 80), (VIP4, 80), 1, SYN, b""),
            DropReason::BadIpHeader,
        ),
        (
            "from loopback",
            udp_between(("127.0.0.1", 53), (VIP4, 53), b""),
            DropReason::BadIpHeader,
        ),
    ];
    for (what, packet, reason) in cases {
        let mut bed = Bed::new();
        assert_eq!(bed.verdict(&packet), Verdict::Dropped(reason), "{what}");
        let stats = bed.check();
        assert_eq!(
            (stats.ledger.dropped(reason), stats.ledger.created),
            (1, 0),
            "{what}"
        );
        assert!(bed.drain().messages.is_empty(), "{what}");
    }
}

#[test]
fn the_edges_of_a_port_range_and_any_port_match() {
    for port in [80, 443] {
        let mut bed = Bed::new();
        let syn = tcp_between((CLIENT4, 1), (VIP4, port), 1, SYN, b"");
        assert_eq!(bed.verdict(&syn), Verdict::Held, "{port}");
    }
    for port in [1, 443, 65_535] {
        let mut bed = Bed::new();
        assert_eq!(
            bed.verdict(&udp_between((CLIENT6, 1), (VIP6, port), b"")),
            Verdict::Held
        );
        assert_eq!(bed.message().key.vip_port(), port);
    }
}

#[test]
fn ipv4_options_are_no_obstacle() {
    let plain = tcp(100, SYN, b"");
    let mut packet = plain[..20].to_vec();
    packet[0] = 0x46;
    packet[3] += 4;
    packet.extend_from_slice(&[1, 1, 1, 0]);
    packet.extend_from_slice(&plain[20..]);
    let mut bed = Bed::new();
    assert_eq!(bed.verdict(&packet), Verdict::Held);
    let open = bed.message();
    assert_eq!((open.key, open.packet), (key(), packet));
}

#[test]
fn a_packet_larger_than_fits_is_dropped_as_too_big() {
    let mut bed = Bed::new();
    bed.accepted(&tcp(100, SYN, b""), 21, birth(9, 1));
    assert_eq!(bed.forwarded(&tcp(101, ACK, &[0; 1360])).packet.len(), 1400);
    let verdict = bed.verdict(&tcp(101, ACK, &[0; 1361]));
    assert_eq!(verdict, Verdict::Dropped(DropReason::TooBig));
}

#[test]
fn a_batch_gets_one_verdict_a_packet() {
    let mut bed = Bed::new();
    let packets = [
        tcp(1, SYN, b""),
        ping(CLIENT4, VIP4),
        vec![],
        tcp(1, SYN, b""),
    ];
    let mut batch = packets.map(|packet| crate::Packet::new(PacketBuf::from_packet(&packet)));
    bed.ingress.process(bed.now, &mut batch);
    let verdicts = batch.map(|packet| packet.verdict);
    let dropped = [DropReason::Truncated, DropReason::Repeat].map(Verdict::Dropped);
    assert_eq!(
        verdicts,
        [Verdict::Held, Verdict::Inject, dropped[0], dropped[1]]
    );
    assert_eq!(bed.check().packets, 4);
}

#[test]
fn control_messages_are_not_for_an_ingress() {
    let mut bed = Bed::new();
    bed.ingress.handle_message(
        bed.now,
        node(11),
        &Message::Control(Control::Ack { sequence: 1 }),
    );
    bed.check();
    assert_eq!(bed.dropped(DropReason::WrongRole), 1);
}

#[test]
fn a_new_ingress_waits_for_nothing() {
    let ingress = Ingress::new(config(), view(), 1, Time::ZERO);
    assert_eq!(ingress.poll_timeout(), None);
}

#[test]
fn a_refused_reason_does_not_matter_to_the_client() {
    for reason in [
        Reason::Exhausted,
        Reason::NoHost,
        Reason::Quota,
        Reason::Load,
    ] {
        let mut bed = Bed::new();
        assert_eq!(bed.verdict(&tcp(100, SYN, b"")), Verdict::Held);
        let open = bed.message();
        bed.receive(open.to.get(), answer(&open, FlowKind::Refuse, reason));
        assert_eq!(bed.drain().answers.len(), 1, "{reason:?}");
    }
}
