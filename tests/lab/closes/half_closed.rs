//! One side has said all it had to say; the other goes on for longer than a flow lingers.

use std::io::{Read, Write};
use std::net::{IpAddr, Shutdown, SocketAddr, TcpStream};
use std::time::Duration;

use jlb_bench::content;
use jlb_bench::plan::Role;

use super::server::{Manner, Servers};
use super::{PORT, assert_forgotten};
use crate::harness::{LINGER, Lab, eventually, finish_connecting, vips};

/// A client that reads slowly, from a small window.
fn slow_reader(lab: &Lab, vip: IpAddr) -> TcpStream {
    let peer = SocketAddr::new(vip, 80);
    let socket = lab.client().tcp_socket(peer);
    socket.set_recv_buffer_size(8 << 10).unwrap();
    let mut stream = finish_connecting(socket, peer).unwrap();
    write!(
        stream,
        "GET /bytes/100000 HTTP/1.1\r\nhost: lab\r\nconnection: close\r\n\r\n"
    )
    .unwrap();
    stream
}

/// Server sockets of the client's port whose program has closed them.
fn closed_by_server(lab: &Lab, port: u16) -> Result<(), String> {
    let filter = format!("dport = {port}");
    let states: Vec<String> = lab
        .of(Role::Host)
        .iter()
        .map(|host| {
            lab.inside(&host.name)
                .must("ss", &["-Htn", "state", "all", &filter])
        })
        .collect();
    // FIN-WAIT-1: the FIN waits behind bytes that the client has no room for.
    if states.iter().any(|state| state.contains("FIN-WAIT-1")) {
        Ok(())
    } else {
        Err(states.concat())
    }
}

/// Reads `count` bytes of an answer, the head included, or up to its end.
fn read_some(stream: &mut TcpStream, count: usize, into: &mut Vec<u8>) -> bool {
    let mut buffer = vec![0; count];
    let count = stream
        .read(&mut buffer)
        .expect("a reading client is never reset");
    into.extend(&buffer[..count]);
    count > 0
}

#[test]
fn a_client_that_still_reads_what_its_server_left_is_never_reset() {
    for nginx in [false, true] {
        let lab = Lab::start(crate::harness::Wanted {
            nginx,
            ..Default::default()
        });
        let mut clients: Vec<(TcpStream, Vec<u8>)> = (0..4)
            .flat_map(|_| vips())
            .map(|vip| (slow_reader(&lab, vip), Vec::new()))
            .collect();
        for (stream, got) in &mut clients {
            let port = stream.local_addr().unwrap().port();
            eventually(Duration::from_secs(20), "the server closes first", || {
                closed_by_server(&lab, port).inspect_err(|_| {
                    read_some(stream, 4 << 10, got);
                })
            });
        }
        // Nobody reads: the kernels probe a closed window of a flow that the server gave up.
        std::thread::sleep(2 * LINGER + Duration::from_secs(1));
        for (stream, got) in &mut clients {
            assert!(got.len() < 100_000, "all was read already");
            while read_some(stream, 16 << 10, got) {}
            let end = got
                .windows(4)
                .position(|bytes| bytes == b"\r\n\r\n")
                .unwrap()
                + 4;
            let body = &got[end..];
            assert_eq!(body.len(), 100_000);
            assert!(content::matches(0, body));
        }
        drop(clients);
        assert_forgotten(&lab);
    }
}

#[test]
fn a_client_that_still_sends_after_its_server_has_ended_is_never_reset() {
    let lab = Lab::start(Default::default());
    let servers = Servers::start(&lab, PORT, Manner::EndOfAnswersFirst);
    let mut clients: Vec<TcpStream> = (0..4)
        .flat_map(|_| vips())
        .map(|vip| lab.client().connect(SocketAddr::new(vip, PORT)).unwrap())
        .collect();
    for stream in &mut clients {
        stream.write_all(b"?").unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        assert_eq!(answer, b"!");
    }
    let piece = vec![1; 20_000];
    let rounds = 12;
    for _ in 0..rounds {
        for stream in &mut clients {
            stream
                .write_all(&piece)
                .expect("a sending client is never reset");
        }
        std::thread::sleep(Duration::from_millis(500));
    }
    for stream in &clients {
        stream.shutdown(Shutdown::Write).unwrap();
    }
    let all = (clients.len() * (1 + rounds * piece.len())) as u64;
    eventually(Duration::from_secs(5), "everything arrives", || {
        let got = servers.received();
        if got == all {
            Ok(())
        } else {
            Err(format!("{got} of {all} bytes"))
        }
    });
    for stream in &mut clients {
        assert_eq!(
            stream
                .read(&mut [0; 8])
                .expect("no reset at the end either"),
            0
        );
    }
    drop(clients);
    assert_forgotten(&lab);
}

#[test]
fn a_client_that_reads_late_what_its_kernel_has_is_not_disturbed() {
    let lab = Lab::with_nginx();
    // The whole answer fits what the client's kernel takes in: the server's FIN is acknowledged
    // at once, its flow lingers and is forgotten, and only then does the client read, which
    // tells the server that there is room again.
    let mut clients: Vec<TcpStream> = (0..4)
        .flat_map(|_| vips())
        .map(|vip| {
            let peer = SocketAddr::new(vip, 80);
            let socket = lab.client().tcp_socket(peer);
            socket.set_recv_buffer_size(1 << 20).unwrap();
            let mut stream = finish_connecting(socket, peer).unwrap();
            write!(
                stream,
                "GET /bytes/100000 HTTP/1.1\r\nhost: lab\r\nconnection: close\r\n\r\n"
            )
            .unwrap();
            stream
        })
        .collect();
    std::thread::sleep(2 * LINGER + Duration::from_secs(1));
    for stream in &mut clients {
        let mut got = Vec::new();
        while read_some(stream, 8 << 10, &mut got) {
            std::thread::sleep(Duration::from_millis(10));
        }
        let body = &got[got.len() - 100_000..];
        assert!(content::matches(0, body));
        assert!(
            stream.take_error().unwrap().is_none(),
            "an error behind the last byte"
        );
    }
    let resets = |lab: &Lab| {
        let of = |node| lab.metrics(node).sum("jlb_ingress_resets_total", &[]);
        lab.of(Role::Ingress).iter().map(of).sum::<u64>()
    };
    assert_eq!(resets(&lab), 0, "clients that still read were reset");
    drop(clients);
    assert_forgotten(&lab);
}
