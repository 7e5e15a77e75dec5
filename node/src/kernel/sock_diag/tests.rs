use super::destroyed::is_twin;
use super::dump::{list_all, list_each_family};
use super::{Endpoints, Found, LookUp, Socket, SocketState, header, look_up, messages};
use netlink_packet_core::Emitable;
use netlink_packet_sock_diag::inet::{InetResponseHeader, SocketId, StateFlags};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

/// A netlink message of type 20 with this payload, padded.
fn message(payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(16 + payload.len()).unwrap();
    let mut bytes = length.to_ne_bytes().to_vec();
    bytes.extend([20, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0]);
    bytes.extend(payload);
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    bytes
}

fn socket(family: u8, local: &str, remote: &str, cookie: [u8; 8]) -> Vec<u8> {
    let header = InetResponseHeader {
        family,
        state: 1,
        timer: None,
        socket_id: SocketId {
            source_port: 80,
            destination_port: 4000,
            source_address: local.parse().unwrap(),
            destination_address: remote.parse().unwrap(),
            interface_id: 0,
            cookie,
        },
        recv_queue: 0,
        send_queue: 0,
        uid: 0,
        inode: 0,
    };
    let mut bytes = vec![0; header.buffer_len()];
    header.emit(&mut bytes);
    bytes
}

fn payloads(bytes: &[u8]) -> Vec<Vec<u8>> {
    messages(bytes).map(|m| m.payload().to_vec()).collect()
}

#[test]
fn messages_are_told_apart_by_their_lengths() {
    let parts: [&[u8]; 4] = [b"", b"abc", b"abcd", b"abcde"];
    let bytes: Vec<u8> = parts.iter().flat_map(|p| message(p)).collect();
    assert_eq!(payloads(&bytes), parts);
}

#[test]
fn what_is_cut_off_is_left_out_at_every_length() {
    let whole = [message(b"first"), message(b"second")].concat();
    let first = message(b"first").len();
    for len in 0..whole.len() {
        let found = payloads(&whole[..len]);
        // The padding of the last message may be missing.
        let expected = usize::from(len >= 16 + 5) + usize::from(len >= first + 16 + 6);
        assert_eq!(found.len(), expected, "{len} bytes");
    }
}

#[test]
fn lengths_that_lie_end_the_walk() {
    for length in [0_u32, 1, 15, 17, 1 << 16, u32::MAX, u32::MAX - 2] {
        let mut bytes = message(b"");
        bytes[..4].copy_from_slice(&length.to_ne_bytes());
        assert_eq!(payloads(&bytes), Vec::<Vec<u8>>::new(), "{length}");
    }
}

#[test]
fn a_socket_is_read_at_full_length_only() {
    let bytes = socket(10, "2001:db8::1", "2001:db8::2", [0; 8]);
    assert!(header(&bytes).is_some());
    for len in 0..bytes.len() {
        assert!(header(&bytes[..len]).is_none(), "{len} bytes");
    }
    let strange = socket(99, "2001:db8::1", "2001:db8::2", [0; 8]);
    assert!(header(&strange).is_none(), "no IP version");
}

#[test]
fn mapped_addresses_count_as_ipv4() {
    let cookie = 0x1122_3344_5566_7788_u64;
    let [low, high] = [cookie as u32, (cookie >> 32) as u32].map(u32::to_ne_bytes);
    let cookie_bytes = [low, high].concat().try_into().unwrap();
    let bytes = socket(10, "::ffff:198.51.100.1", "::ffff:192.0.2.1", cookie_bytes);
    let ends = Endpoints::new(&header(&bytes).unwrap().socket_id);
    assert_eq!(ends.local.ip(), "198.51.100.1".parse::<IpAddr>().unwrap());
    assert_eq!(ends.remote.ip(), "192.0.2.1".parse::<IpAddr>().unwrap());
    assert_eq!((ends.local.port(), ends.remote.port()), (80, 4000));
    assert_eq!(ends.cookie, cookie);
}

/// The kernel's word on a socket that has received so many segments.
fn given_up(segments: u32, cut_to: usize) -> Vec<u8> {
    let mut payload = socket(2, "10.0.0.1", "10.0.0.2", [1; 8]);
    // The protocol's number, and a `struct tcp_info`.
    payload.extend([5, 0, 10, 0, 6, 0, 0, 0]);
    let mut info = vec![0xaa; 232];
    info[140..144].copy_from_slice(&segments.to_ne_bytes());
    info.truncate(cut_to);
    payload.extend((4 + info.len() as u16).to_ne_bytes());
    payload.extend([2, 0]);
    payload.extend(info);
    payload
}

#[test]
fn a_socket_that_got_nothing_but_its_syn_is_a_twin_of_the_connections_own() {
    assert!(is_twin(&given_up(1, 232)));
    for segments in [0, 2, 3, u32::MAX] {
        assert!(!is_twin(&given_up(segments, 232)), "{segments}");
    }
    // What is not told is not so.
    for len in [0, 4, 100, 140, 143] {
        assert!(!is_twin(&given_up(1, len)), "{len}");
    }
    assert!(!is_twin(&socket(2, "10.0.0.1", "10.0.0.2", [1; 8])));
    assert!(!is_twin(&[]));
    let whole = given_up(1, 232);
    for len in 0..whole.len() {
        is_twin(&whole[..len]);
    }
}

#[test]
fn both_kinds_of_list_have_the_connections_of_both_families() {
    let mut held = Vec::new();
    // Other tests' connections may have one of the ports.
    let mut ports = Vec::new();
    for address in ["127.0.0.1:0", "[::1]:0"] {
        let listener = TcpListener::bind(address).unwrap();
        let server = listener.local_addr().unwrap();
        let client = TcpStream::connect(server).unwrap();
        ports.push((server.port(), client.local_addr().unwrap().port()));
        held.push(client);
        held.push(listener.accept().unwrap().0);
    }
    let states = StateFlags::all() - StateFlags::LISTEN;
    let mut lists = [Vec::new(), Vec::new()];
    let [all, each] = &mut lists;
    list_all(&states, |found| {
        all.push(found.clone());
        all.len()
    })
    .unwrap();
    list_each_family(&states, |found| {
        each.push(found.clone());
        each.len()
    })
    .unwrap();
    for list in &mut lists {
        list.retain(|found| {
            let id = &found.socket_id;
            ports.contains(&(id.source_port, id.destination_port))
        });
        list.sort_by_key(|found| found.family);
        let families: Vec<u8> = list.iter().map(|found| found.family).collect();
        assert_eq!(families, [2, 10], "{list:?}");
    }
    let [all, each] = lists;
    assert_eq!(all, each);
}

#[test]
fn a_connection_is_looked_up_by_its_ends() {
    for address in ["127.0.0.1:0", "[::1]:0"] {
        let listener = TcpListener::bind(address).unwrap();
        let local = listener.local_addr().unwrap();
        let client = TcpStream::connect(local).unwrap();
        let server = listener.accept().unwrap().0;
        let remote = client.local_addr().unwrap();
        let open = LookUp { local, remote };
        // What is not there is found by what listens, and nothing where nothing does.
        let nowhere = LookUp {
            local,
            remote: SocketAddr::new(remote.ip(), 1),
        };
        let unheard = LookUp {
            local: SocketAddr::new(local.ip(), 1),
            remote,
        };
        let asked = [open, nowhere, unheard];
        let answers = look_up(&asked).unwrap();
        let asked_for: Vec<_> = answers.iter().map(|answer| answer.asked).collect();
        assert_eq!(asked_for, asked);
        let found: Vec<_> = answers.iter().map(|answer| answer.found).collect();
        let Found::Socket { socket, rest: None } = found[0] else {
            panic!("{found:?}");
        };
        let Socket {
            cookie, ref state, ..
        } = socket;
        assert_eq!((socket.local, socket.remote), (local, remote));
        assert_ne!(cookie, 0);
        assert_eq!(*state, SocketState::Open);
        assert_eq!(found[1..], [Found::Nothing, Found::Unknown]);

        // The side that closes first has something left for a minute.
        drop(server);
        drop(client);
        let mut found = look_up(&[open]).unwrap()[0].found;
        while matches!(found, Found::Socket { socket, .. } if socket.state != SocketState::TimeWait)
        {
            std::thread::yield_now();
            found = look_up(&[open]).unwrap()[0].found;
        }
        let Found::Socket { rest, .. } = found else {
            panic!("{found:?}");
        };
        let rest = rest.expect("how long it stays");
        assert!(
            rest > Duration::ZERO && rest <= Duration::from_secs(60),
            "{rest:?}"
        );

        drop(listener);
        assert_eq!(look_up(&[nowhere]).unwrap()[0].found, Found::Unknown);
    }
}

#[test]
fn as_many_connections_as_wanted_are_looked_up_and_answered_in_order() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let local = listener.local_addr().unwrap();
    let held: Vec<_> = (0..200)
        .map(|_| {
            let client = TcpStream::connect(local).unwrap();
            (
                client.local_addr().unwrap(),
                client,
                listener.accept().unwrap().0,
            )
        })
        .collect();
    let all: Vec<_> = held
        .iter()
        .map(|(remote, ..)| LookUp {
            local,
            remote: *remote,
        })
        .collect();
    let answers = look_up(&all).unwrap();
    assert_eq!(answers.len(), all.len());
    for (answer, asked) in answers.iter().zip(&all) {
        let Found::Socket { socket, .. } = answer.found else {
            panic!("{answer:?}");
        };
        assert_eq!((socket.local, socket.remote), (asked.local, asked.remote));
    }
    assert_eq!(look_up(&[]).unwrap(), []);
}
