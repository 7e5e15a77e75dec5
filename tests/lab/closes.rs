//! Connections end in every way there is; nothing is left of them, and nothing ends early.

mod half_closed;
pub(crate) mod server;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use crate::harness::{FORGOTTEN_WITHIN, Lab, finish_connecting, long, vips};
use server::{Manner, Servers};

/// Connections of each kind and family.
const EACH: usize = 25;

/// The port of the lab's services that its embedded web server leaves free.
const PORT: u16 = 443;

/// Connections that were answered once, over both families.
fn talking(lab: &Lab) -> Vec<TcpStream> {
    let connections = (0..EACH).flat_map(|_| vips()).map(|vip| {
        let peer = SocketAddr::new(vip, PORT);
        let mut stream = finish_connecting(lab.client().tcp_socket(peer), peer).unwrap();
        stream.write_all(b"?").unwrap();
        let mut answer = [0];
        stream.read_exact(&mut answer).unwrap();
        assert_eq!(answer, *b"!");
        stream
    });
    connections.collect()
}

/// Hosts have a socket for each of these, and say so.
fn assert_flows(lab: &Lab, wanted: usize) {
    let of = |gauge: &str, role| {
        lab.of(role)
            .iter()
            .map(|node| lab.metrics(node).sum(gauge, &[]))
            .sum::<u64>()
    };
    assert_eq!(
        of("jlb_host_flows", jlb_bench::plan::Role::Host),
        wanted as u64
    );
    assert!(of("jlb_ingress_flows", jlb_bench::plan::Role::Ingress) >= wanted as u64);
    assert!(of("jlb_tracker_flows", jlb_bench::plan::Role::Tracker) >= wanted as u64);
}

/// Both lets connections be, and says that nothing of them is left in time (S5).
fn assert_forgotten(lab: &Lab) {
    lab.wait_until_empty(FORGOTTEN_WITHIN);
    lab.assert_calm();
}

#[test]
fn nothing_is_left_when_clients_close() {
    let lab = Lab::start(Default::default());
    let _servers = Servers::start(&lab, PORT, Manner::UntilClientCloses);
    let connections = talking(&lab);
    assert_flows(&lab, connections.len());
    drop(connections);
    assert_forgotten(&lab);
}

#[test]
fn nothing_is_left_when_servers_close() {
    let lab = Lab::start(Default::default());
    let _servers = Servers::start(&lab, PORT, Manner::CloseAfterAnswer);
    let connections = talking(&lab);
    for mut stream in connections {
        assert_eq!(stream.read(&mut [0; 8]).unwrap(), 0);
    }
    assert_forgotten(&lab);
}

#[test]
fn nothing_is_left_when_clients_reset() {
    let lab = Lab::start(Default::default());
    let _servers = Servers::start(&lab, PORT, Manner::UntilClientCloses);
    let connections = talking(&lab);
    assert_flows(&lab, connections.len());
    for stream in connections {
        // Closed with a reset instead of a FIN.
        socket2::SockRef::from(&stream)
            .set_linger(Some(Duration::ZERO))
            .unwrap();
    }
    assert_forgotten(&lab);
}

#[test]
fn nothing_is_left_when_servers_reset() {
    let lab = Lab::start(Default::default());
    let _servers = Servers::start(&lab, PORT, Manner::ResetAfterAnswer);
    for mut stream in talking(&lab) {
        assert!(stream.read(&mut [0; 8]).is_err());
    }
    assert_forgotten(&lab);
}

#[test]
fn nothing_is_left_when_servers_end_idle_connections_that_clients_keep() {
    let lab = Lab::start(Default::default());
    let idle = Duration::from_secs(3);
    let _servers = Servers::start(&lab, PORT, Manner::CloseWhenIdle(idle));
    let connections = talking(&lab);
    assert_flows(&lab, connections.len());
    std::thread::sleep(idle);
    assert_forgotten(&lab);
    // The clients have not said goodbye even now.
    drop(connections);
}

#[test]
fn idle_connections_stay_as_long_as_both_ends_do() {
    let lab = Lab::start(Default::default());
    let _servers = Servers::start(&lab, PORT, Manner::UntilClientCloses);
    let mut connections = talking(&lab);
    std::thread::sleep(Duration::from_secs(if long() { 90 } else { 6 }));
    assert_flows(&lab, connections.len());
    for stream in &mut connections {
        stream.write_all(b"?").unwrap();
        stream.read_exact(&mut [0]).unwrap();
    }
    drop(connections);
    assert_forgotten(&lab);
}

#[test]
#[ignore = "waits out the UDP idle time, over a minute: scripts/test --long"]
fn nothing_is_left_of_idle_datagrams_in_the_end() {
    let lab = Lab::start(Default::default());
    for vip in vips() {
        let socket = lab.client().udp(SocketAddr::new(vip, 7));
        for _ in 0..3 {
            socket.send(b"hello").unwrap();
            socket.recv(&mut [0; 16]).unwrap();
        }
    }
    // UDP flows live for a minute without packets, see config/src/timers.rs.
    lab.wait_until_empty(Duration::from_secs(60) + FORGOTTEN_WITHIN);
}
