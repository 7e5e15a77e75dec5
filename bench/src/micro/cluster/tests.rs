use super::*;
use jlb_protocol::packet::checksum;

#[test]
fn flows_get_a_host_and_both_trackers_know_it() {
    let mut cluster = Cluster::new(100).unwrap();
    cluster.open(0..100).unwrap();
    let before = cluster.messages();
    // What is left to say waits for no more than half a second.
    for _ in 0..50 {
        cluster.now = cluster.now + Duration::from_millis(10);
        cluster.let_time_act();
    }
    assert!(cluster.messages() > before);
    for node in &cluster.nodes {
        match &node.machine {
            Machine::Ingress(ingress) => assert_eq!(ingress.stats().flows, 100),
            Machine::Tracker(tracker) => {
                let stats = tracker.stats();
                assert_eq!((stats.flows, stats.untrusted), (100, 0));
            }
            Machine::Host(agent) => assert!(agent.stats().flows_established > 0),
        }
    }
}

#[test]
fn packets_of_established_flows_reach_their_hosts() {
    let mut cluster = Cluster::new(64).unwrap();
    cluster.open(0..64).unwrap();
    let mut path = cluster.into_data_path().unwrap();
    let mut batch: Vec<_> = (0..64)
        .map(|flow| {
            let mut packet = buffer();
            assert!(packet.buf.fill(&ack(flow)));
            packet
        })
        .collect();
    assert_eq!(path.encapsulate(&mut batch), 64);
    assert_eq!(path.decapsulate(&batch), 64);
    // Each message is taken once.
    assert_eq!(path.decapsulate(&batch), 0);
}

#[test]
fn a_flow_that_nobody_opened_is_not_forwarded() {
    let mut path = Cluster::new(1).unwrap().into_data_path().unwrap();
    let mut packet = buffer();
    assert!(packet.buf.fill(&ack(0)));
    assert_eq!(path.encapsulate(std::slice::from_mut(&mut packet)), 0);
}

#[test]
fn packets_have_the_right_checksums() {
    for packet in [syn(0), syn(60_001), ack(7), ack(u32::MAX)] {
        let (ip, tcp) = packet.split_at(20);
        assert_eq!(checksum::plain(ip), 0);
        let client = Ipv4Addr::new(ip[12], ip[13], ip[14], ip[15]);
        let rest = checksum::with_pseudo_header(client.into(), VIP.into(), 6, tcp);
        assert_eq!(rest, 0);
    }
}
