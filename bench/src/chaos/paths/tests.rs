use std::net::{TcpListener, TcpStream};

use super::*;

#[test]
fn the_client_is_read_from_the_beginning_of_a_packet() {
    let mut v4 = [0; KEPT];
    v4[0] = 0x46;
    v4[12..16].copy_from_slice(&[198, 51, 100, 11]);
    // With one word of options.
    v4[24..26].copy_from_slice(&4711_u16.to_be_bytes());
    assert_eq!(client_of(&v4), Some("198.51.100.11:4711".parse().unwrap()));
    let mut v6 = [0; KEPT];
    v6[0] = 0x60;
    v6[8..10].copy_from_slice(&[0x20, 0x01]);
    v6[23] = 9;
    v6[40..42].copy_from_slice(&80_u16.to_be_bytes());
    assert_eq!(client_of(&v6), Some("[2001::9]:80".parse().unwrap()));
    assert_eq!(client_of(&v6[..41]), None);
    assert_eq!(client_of(&[]), None);
    assert_eq!(client_of(&[0x10; 48]), None);
}

#[test]
fn a_filter_keeps_what_is_for_the_vip_alone() {
    assert!(
        rustix::process::geteuid().is_root(),
        "makes network namespaces: run it as root"
    );
    let name = format!("jlb-s{}-x", std::process::id());
    let namespace = Made(Namespace::create(&name).unwrap());
    let seen = Mutex::new(Seen::new());
    let clients = namespace
        .0
        .run(|| {
            let run = |words: &str| {
                let mut words = words.split(' ');
                let done = std::process::Command::new(words.next().unwrap())
                    .args(words)
                    .status();
                assert!(done.unwrap().success());
            };
            run("ip link set lo up");
            run(&format!("ip address add {VIP_V4}/32 dev lo"));
            run(&format!("ip address add {VIP_V6}/128 dev lo nodad"));
            let sockets = [
                socket(ETH_P_IP, &filter_v4()).unwrap(),
                socket(ETH_P_IPV6, &filter_v6()).unwrap(),
            ];
            let mut clients = Vec::new();
            for address in [
                "127.0.0.1".parse().unwrap(),
                IpAddr::from(VIP_V4),
                VIP_V6.into(),
            ] {
                let listener = TcpListener::bind((address, 0)).unwrap();
                let to = listener.local_addr().unwrap();
                let stream = connect(to);
                clients.push(stream.local_addr().unwrap());
            }
            look(&sockets, 11, &seen);
            Ok(clients)
        })
        .unwrap();
    drop(namespace);
    let seen = seen.into_inner().unwrap();
    assert!(!seen.contains_key(&clients[0]), "{seen:?}");
    assert_eq!(seen.get(&clients[1]), Some(&11), "{seen:?}");
    assert_eq!(seen.get(&clients[2]), Some(&11), "{seen:?}");
}

/// A namespace that goes with this value, also by a panic.
struct Made(Namespace);

impl Drop for Made {
    fn drop(&mut self) {
        let gone = self.0.delete();
        assert!(gone.is_ok() || std::thread::panicking(), "{gone:?}");
    }
}

/// Connects, and waits meanwhile for the route of an address of IPv6, which the kernel makes a
/// little later than the address.
fn connect(to: SocketAddr) -> TcpStream {
    for _ in 0..500 {
        match TcpStream::connect(to) {
            Err(error) if error.kind() == io::ErrorKind::NetworkUnreachable => pause(),
            done => return done.unwrap(),
        }
    }
    panic!("{to} is still unreachable");
}
