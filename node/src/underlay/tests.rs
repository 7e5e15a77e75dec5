use super::*;
use jlb_packet_io::wait::Poller;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::time::Duration;

const V4: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
const V6: IpAddr = IpAddr::V6(Ipv6Addr::LOCALHOST);

/// A port that was free a moment ago.
pub(crate) fn free_port() -> u16 {
    let socket = std::net::UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    socket.local_addr().unwrap().port()
}

#[test]
fn a_flow_always_leaves_from_one_port_and_many_messages_use_all() {
    let mut underlay = Underlay::bind(&[V4, V6], free_port()).unwrap();
    let mut of = |local| {
        let mut ports = std::collections::BTreeSet::new();
        for flow in 1..=100 {
            let source = underlay.source(local, FlowHash(flow)).unwrap();
            assert_eq!(underlay.source(local, FlowHash(flow)), Some(source));
            assert_eq!(underlay.socket(source.0).local_addr().ip(), local);
            ports.insert(source.1);
        }
        ports.len()
    };
    assert_eq!([of(V4), of(V6)], [1, 1]);
    for _ in 0..200_000 {
        underlay.source(V4, FlowHash(1));
    }
    underlay.adapt(Time::ZERO + Duration::from_secs(1));
    let mut of = |local| {
        let ports: std::collections::BTreeSet<u16> = (1..=100)
            .filter_map(|flow| Some(underlay.source(local, FlowHash(flow))?.1))
            .collect();
        ports.len()
    };
    assert_eq!([of(V4), of(V6)], [SENDERS, SENDERS]);
    let stranger = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 9));
    assert_eq!(underlay.source(stranger, FlowHash(1)), None);
}

#[test]
fn messages_without_a_flow_leave_from_the_port_that_all_listen_on() {
    let port = free_port();
    let mut underlay = Underlay::bind(&[V4, V6], port).unwrap();
    for local in [V4, V6] {
        let (at, source) = underlay.source(local, FlowHash::NONE).unwrap();
        assert_eq!(source, port);
        assert_eq!(
            underlay.socket(at).local_addr(),
            SocketAddr::new(local, port)
        );
    }
}

#[test]
fn what_the_kernel_refuses_is_told_and_the_rest_still_goes() {
    let mut underlay = Underlay::bind(&[V4], free_port()).unwrap();
    let to = std::net::UdpSocket::bind((V4, 0)).unwrap();
    to.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    // The kernel refuses port 0.
    let bad = SocketAddr::new(V4, 0);
    for (byte, to) in [
        (0, bad),
        (1, to.local_addr().unwrap()),
        (2, bad),
        (3, to.local_addr().unwrap()),
        (4, bad),
    ] {
        underlay.push(1, PacketBuf::from_packet(&[byte]), to);
    }
    let mut done = Vec::new();
    let failure = underlay.flush(|buf, sent| done.push((buf.as_slice()[0], sent)));
    done.sort_unstable();
    assert_eq!(
        done,
        [(0, false), (1, true), (2, false), (3, true), (4, false)]
    );
    assert!(matches!(failure, Some((to, SendError::Refused(_))) if to == bad));
    let mut bytes = [0; 8];
    for expected in [1, 3] {
        assert_eq!(to.recv(&mut bytes).unwrap(), 1);
        assert_eq!(bytes[0], expected);
    }
    assert!(underlay.has_room());
    assert!(underlay.flush(|_, _| panic!("sent twice")).is_none());
}

#[test]
fn a_datagram_longer_than_any_message_is_marked() {
    let port = free_port();
    let mut underlay = Underlay::bind(&[V4], port).unwrap();
    let mut poller = Poller::new().unwrap();
    underlay.watch(&poller, 0).unwrap();
    let from = std::net::UdpSocket::bind((V4, 0)).unwrap();
    for len in [MAX_PACKET, 20_000] {
        from.send_to(&vec![1; len], (V4, port)).unwrap();
    }
    let mut seen = Vec::new();
    while seen.len() < 2 {
        let ready: Vec<_> = poller
            .wait(Some(Duration::from_secs(5)))
            .unwrap()
            .map(|file| file.token)
            .collect();
        assert!(!ready.is_empty(), "nothing came");
        for at in ready {
            underlay
                .receive(at as usize, |buf, origin, local| {
                    assert_eq!(local, V4);
                    seen.push((buf.len(), origin.truncated));
                })
                .unwrap();
        }
    }
    assert_eq!(seen, [(MAX_PACKET, false), (20_000, true)]);
}

#[test]
fn one_that_only_sends_has_no_listener_and_keeps_nothing() {
    let port = free_port();
    let mut sending = Underlay::bind_to_send(&[V4, V6]).unwrap();
    // Another one has the port all the same.
    let mut other = Underlay::bind(&[V4], port).unwrap();
    assert_eq!(sending.waiting.len(), 2 * SENDERS);
    for flow in [FlowHash::NONE, FlowHash(1)] {
        let (at, from) = sending.source(V4, flow).unwrap();
        assert_ne!(from, port);
        sending.push(at, PacketBuf::from_packet(b"out"), (V4, port).into());
        assert!(sending.flush(|_, sent| assert!(sent)).is_none());
        let (at, _) = other.source(V4, FlowHash::NONE).unwrap();
        other.push(at, PacketBuf::from_packet(b"back"), (V4, from).into());
        assert!(other.flush(|_, sent| assert!(sent)).is_none());
    }
    let mut came = 0;
    other
        .receive(0, |bytes, _, _| {
            assert_eq!(bytes, b"out");
            came += 1;
        })
        .unwrap();
    assert_eq!(came, 2);
    for at in 0..sending.waiting.len() {
        let nothing = sending.receive(at, |bytes, _, _| panic!("{bytes:?}"));
        assert!(nothing.is_ok());
    }
}
