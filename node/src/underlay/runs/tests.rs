use super::*;
use jlb_protocol::PacketBuf;
use std::net::Ipv4Addr;

fn to(host: u8) -> SocketAddr {
    SocketAddr::from((Ipv4Addr::new(127, 0, 0, host), 6081))
}

fn message(host: u8, len: usize, order: usize) -> Waiting {
    Waiting {
        buf: PacketBuf::from_packet(&vec![host; len]),
        keeps_order: true,
        to: to(host),
        order,
        sent: false,
    }
}

/// The runs of messages to these hosts with these lengths: how many messages each, cut at what size.
fn joined(messages: &[(u8, usize)], longest: usize) -> Vec<(usize, u16)> {
    let mut runs = Runs::default();
    let waiting: Vec<_> = messages
        .iter()
        .map(|&(host, len)| message(host, len, 0))
        .collect();
    runs.join(&waiting, longest);
    runs.list
        .iter()
        .map(|run| (run.buffers, run.segment))
        .collect()
}

#[test]
fn messages_of_one_size_to_one_peer_are_a_run_and_a_shorter_one_ends_it() {
    let all = joined(
        &[(1, 9), (1, 9), (1, 4), (1, 4), (2, 4), (2, 9), (1, 9)],
        64,
    );
    assert_eq!(all, [(3, 9), (1, 0), (1, 0), (1, 0), (1, 0)]);
    assert_eq!(joined(&[(1, 9), (1, 9)], 1), [(1, 0), (1, 0)]);
    assert_eq!(joined(&[(1, 9), (1, 0), (1, 9)], 64), [(1, 0); 3]);
    assert_eq!(joined(&[], 64), []);
}

#[test]
fn no_run_is_longer_than_the_kernel_takes() {
    let small = vec![(1, 10); MAX_RUN + 1];
    assert_eq!(joined(&small, MAX_RUN), [(MAX_RUN, 10), (1, 0)]);
    let large = [(1, 1_500); 60];
    let runs = joined(&large, MAX_RUN);
    let most = MAX_RUN_BYTES / 1_500;
    assert_eq!(runs, [(most, 1_500), (60 - most, 1_500)]);
}

/// A socket to send from and one to receive with, and all that comes to that.
fn pair() -> (UdpSocket, std::net::UdpSocket) {
    let from = UdpSocket::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).unwrap();
    let to = std::net::UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    to.set_read_timeout(Some(std::time::Duration::from_secs(5)))
        .unwrap();
    (from, to)
}

fn received(socket: &std::net::UdpSocket, count: usize) -> Vec<Vec<u8>> {
    (0..count)
        .map(|_| {
            let mut bytes = [0; 2_048];
            let len = socket.recv(&mut bytes).unwrap();
            bytes[..len].to_vec()
        })
        .collect()
}

#[test]
fn what_the_kernel_refuses_among_runs_is_told_and_all_others_come_in_order() {
    let (from, receiver) = pair();
    let good = receiver.local_addr().unwrap();
    // The kernel refuses port 0.
    let bad = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let mut waiting: Vec<_> = (0..30)
        .map(|order| Waiting {
            buf: PacketBuf::from_packet(&[order as u8; 20]),
            keeps_order: true,
            to: if order % 3 == 0 { bad } else { good },
            order,
            sent: false,
        })
        .collect();
    let failure = Runs::default().send_all(&from, &mut waiting);
    assert_eq!(failure.unwrap().0, bad);
    assert!(waiting.iter().all(|one| one.sent == (one.to == good)));
    let firsts: Vec<u8> = received(&receiver, 20)
        .iter()
        .map(|bytes| bytes[0])
        .collect();
    let expected: Vec<u8> = (0..30).filter(|order| order % 3 != 0).collect();
    assert_eq!(firsts, expected);
}

#[test]
fn messages_of_equal_length_come_together_but_data_stays_as_it_was() {
    let (from, receiver) = pair();
    let to = receiver.local_addr().unwrap();
    let wait = |lens: &[usize], keeps_order| {
        let mut waiting: Vec<_> = (0..)
            .zip(lens)
            .map(|(order, &len)| Waiting {
                buf: PacketBuf::from_packet(&vec![order as u8; len]),
                to,
                keeps_order,
                order,
                sent: false,
            })
            .collect();
        let mut runs = Runs::default();
        assert!(runs.send_all(&from, &mut waiting).is_none());
        let came = received(&receiver, lens.len());
        let firsts: Vec<u8> = came.iter().map(|bytes| bytes[0]).collect();
        (firsts, runs.list.len())
    };
    let lens = [20, 50, 20, 50, 20];
    assert_eq!(wait(&lens, false), (vec![1, 3, 0, 2, 4], 2));
    assert_eq!(wait(&lens, true), (vec![0, 1, 2, 3, 4], 3));
}

#[test]
fn a_run_comes_as_its_datagrams() {
    let (from, receiver) = pair();
    let whole: Vec<Vec<u8>> = (0..10)
        .map(|at| vec![at; if at == 9 { 3 } else { 50 }])
        .collect();
    let to = receiver.local_addr().unwrap();
    for mut runs in [
        Runs::default(),
        Runs {
            apart: 5,
            ..Runs::default()
        },
    ] {
        let (taken, error) = runs.send_one(&from, to, &whole.concat(), 50);
        assert_eq!(taken, 10);
        assert!(error.is_none());
        assert_eq!(received(&receiver, 10), whole);
    }
}

#[test]
fn after_a_run_that_was_not_cut_each_datagram_goes_by_itself_for_a_while() {
    let mut runs = Runs::default();
    assert!(runs.may_join());
    runs.apart = CALLS_APART;
    let tries = (0..=CALLS_APART).filter(|_| runs.may_join()).count();
    assert_eq!(tries, 1);
}
