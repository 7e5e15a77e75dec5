use super::*;
use jlb_protocol::services::Ports;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

fn listener(local: &str, waiting: u32, backlog: u32) -> Listener {
    Listener {
        local: local.parse().unwrap(),
        waiting,
        backlog,
    }
}

fn service(number: u32, vip: &str, ports: Ports) -> ServiceMatch {
    ServiceMatch {
        service: ServiceNumber::new(number).unwrap(),
        vip: vip.parse().unwrap(),
        protocol: Protocol::Tcp,
        ports,
    }
}

fn queue(listeners: &[Listener], services: &[ServiceMatch]) -> Vec<Option<(u32, u32)>> {
    accept_queues(listeners, services)
        .map(|(_, queue)| queue.map(|queue| (queue.waiting, queue.backlog)))
        .collect()
}

#[test]
fn sockets_that_share_a_port_are_one_queue() {
    let web = [service(1, "192.0.2.1", Ports::Range(80, 80))];
    let listeners = [
        listener("0.0.0.0:80", 1, 10),
        listener("0.0.0.0:80", 2, 10),
        listener("0.0.0.0:81", 7, 10),
        listener("10.0.0.1:80", 7, 10),
    ];
    assert_eq!(queue(&listeners, &web), [Some((3, 20))]);
    assert_eq!(queue(&[], &web), [None]);
}

#[test]
fn the_most_exact_address_gets_the_connections() {
    let web = [
        service(1, "192.0.2.1", Ports::Range(80, 80)),
        service(2, "2001:db8::1", Ports::Range(80, 80)),
    ];
    let both = [listener("[::]:80", 1, 10)];
    assert_eq!(queue(&both, &web), [Some((1, 10)), Some((1, 10))]);
    let each = [listener("[::]:80", 1, 10), listener("0.0.0.0:80", 2, 20)];
    assert_eq!(queue(&each, &web), [Some((2, 20)), Some((1, 10))]);
    let own = [
        listener("192.0.2.1:80", 3, 30),
        listener("[::]:80", 1, 10),
        listener("0.0.0.0:80", 2, 20),
    ];
    assert_eq!(queue(&own, &web), [Some((3, 30)), Some((1, 10))]);
}

#[test]
fn any_port_is_each_that_no_other_service_has() {
    let all = [
        service(1, "192.0.2.1", Ports::Any),
        service(2, "192.0.2.1", Ports::Range(80, 80)),
    ];
    let listeners = [
        listener("0.0.0.0:80", 1, 10),
        listener("0.0.0.0:81", 2, 20),
        listener("0.0.0.0:82", 3, 30),
    ];
    assert_eq!(queue(&listeners, &all), [Some((5, 50)), Some((1, 10))]);
}

#[test]
fn a_queue_that_is_full_is_seen_in_the_kernels_own_list() {
    for any in [
        std::net::IpAddr::from(Ipv4Addr::LOCALHOST),
        Ipv6Addr::LOCALHOST.into(),
    ] {
        let socket = socket2::Socket::new(
            socket2::Domain::for_address(SocketAddr::new(any, 0)),
            socket2::Type::STREAM,
            None,
        )
        .unwrap();
        socket.bind(&SocketAddr::new(any, 0).into()).unwrap();
        socket.listen(5).unwrap();
        let local = socket.local_addr().unwrap().as_socket().unwrap();
        let clients: Vec<_> = (0..3)
            .map(|_| std::net::TcpStream::connect(local).unwrap())
            .collect();
        let services = [service(
            1,
            &any.to_string(),
            Ports::Range(local.port(), local.port()),
        )];
        let of = |listeners: &[Listener]| queue(listeners, &services);
        // A connection is in the queue with the last part of its handshake, a moment later.
        let end = clock::now() + Duration::from_secs(10);
        let mut seen = of(&sock_diag::listeners().unwrap());
        while seen != [Some((3, 5))] && clock::now() < end {
            seen = of(&sock_diag::listeners().unwrap());
        }
        assert_eq!(seen, [Some((3, 5))]);
        drop(clients);
    }
}

#[test]
fn the_thread_tells_what_it_reads_and_ends_with_its_owner() {
    let (commands, inbox) = std::sync::mpsc::sync_channel(16);
    let waker = jlb_packet_io::wait::Waker::new().unwrap();
    let data_thread = DataThread::new(commands, waker);
    let wanted = Wanted {
        services: vec![service(1, "192.0.2.1", Ports::Range(1, 1))],
        by_queue: true,
    };
    let sampler = Sampler::start(wanted, data_thread).unwrap();
    let next = || match inbox.recv_timeout(Duration::from_secs(10)) {
        Ok(Command::Signals(signals)) => signals,
        _ => panic!("something else"),
    };
    let first = next();
    assert!(matches!(first.first(), Some(Signal::Machine(_))));
    let number = ServiceNumber::new(1).unwrap();
    assert_eq!(first.get(1), Some(&Signal::AcceptQueue(number, None)));
    // The machine is read less often.
    assert_eq!(next().len(), 1);
    sampler.change(Wanted::default());
    while !next().is_empty() {}
    drop(sampler);
    while inbox.recv_timeout(Duration::from_secs(10)).is_ok() {}
    let ended = inbox.recv_timeout(Duration::ZERO);
    assert_eq!(
        ended.err(),
        Some(std::sync::mpsc::RecvTimeoutError::Disconnected)
    );
}
