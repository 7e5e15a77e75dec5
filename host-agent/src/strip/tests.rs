use super::*;
use crate::testbed::*;
use crate::{SocketState, Until, Verdict};
use jlb_protocol::message::{FlowKind, Intent};
use jlb_protocol::view::MemberState;
use jlb_protocol::{DropReason, Message};
use std::vec::Vec;

const ISN: u32 = 500;

/// An agent with a driver that has heeded its first word.
fn bed() -> Bed {
    let mut bed = Bed::new(config());
    bed.agent.begin_stripping();
    assert_eq!(strips(&mut bed), [Strip::Clear]);
    bed
}

fn strips(bed: &mut Bed) -> Vec<Strip> {
    core::iter::from_fn(|| bed.agent.poll_strip()).collect()
}

fn ends(client: Client) -> Ends {
    Ends {
        client: client.remote(),
        vip: client.local(),
    }
}

fn add(client: Client, birth: Birth, ingress: u16) -> Strip {
    Strip::Add {
        ends: ends(client),
        service: service(client.service),
        birth,
        ingress: node(ingress),
    }
}

fn remove(client: Client) -> Strip {
    Strip::Remove(ends(client))
}

/// A data message with this birth from an ingress.
fn data(bed: &mut Bed, client: Client, packet: &[u8], birth: Birth, from: u16) -> Verdict {
    let mut data = message(FlowKind::Data, client.service, packet);
    data.intent = Intent::MidFlow;
    data.birth = Some(birth);
    let verdict = bed.handle(node(from), &Message::Flow(data));
    bed.drain();
    verdict
}

/// The client's flow is established, and let go.
fn stripped(bed: &mut Bed, client: Client) -> Birth {
    let birth = bed.accept(client, ISN);
    assert_eq!(data(bed, client, &client.ack(), birth, 1), Verdict::Deliver);
    assert_eq!(strips(bed), [add(client, birth, 1)]);
    birth
}

/// The client's next packet lets the flow go again.
fn comes_back(bed: &mut Bed, client: Client, birth: Birth) {
    data(bed, client, &client.ack(), birth, 1);
    assert_eq!(strips(bed), [add(client, birth, 1)]);
}

#[test]
fn an_established_flow_is_let_go_once() {
    for client in [client(1), client6(2)] {
        let mut bed = bed();
        let birth = bed.accept(client, ISN);
        assert_eq!(strips(&mut bed), [], "accepted only");
        data(&mut bed, client, &client.ack(), birth, 1);
        assert_eq!(strips(&mut bed), [add(client, birth, 1)]);
        // What was on its way, or finds no room with the driver.
        data(&mut bed, client, &client.ack(), birth, 1);
        assert_eq!(strips(&mut bed), []);
    }
}

#[test]
fn what_the_driver_could_not_add_is_let_go_again() {
    for client in [client(1), client6(2)] {
        let mut bed = bed();
        let birth = stripped(&mut bed, client);
        bed.agent.not_added(service(client.service), &ends(client));
        comes_back(&mut bed, client, birth);
        // It was taken back and let go again since: the last word counts.
        data(&mut bed, client, &client.ack(), birth, 2);
        assert_eq!(bed.agent.poll_strip(), Some(remove(client)));
        bed.agent.not_added(service(client.service), &ends(client));
        assert_eq!(strips(&mut bed), [add(client, birth, 2)]);
        data(&mut bed, client, &client.ack(), birth, 2);
        assert_eq!(strips(&mut bed), []);
        // Nothing is there to be removed.
        bed.agent.not_added(service(client.service), &ends(client));
        bed.destroyed(client, 9);
        assert_eq!(strips(&mut bed), []);
        // It has gone meanwhile.
        bed.dump_twice(&[]);
        bed.agent.not_added(service(client.service), &ends(client));
        assert_eq!(strips(&mut bed), []);
    }
}

#[test]
fn nobody_asked_for_it() {
    let mut bed = Bed::new(config());
    bed.establish(client(1), ISN);
    let birth = bed.agent.birth(&client(1).key()).unwrap();
    data(&mut bed, client(1), &client(1).ack(), birth, 1);
    bed.agent.strip_anew();
    bed.destroyed(client(1), 9);
    assert_eq!(strips(&mut bed), []);
}

#[test]
fn datagrams_other_births_and_ends_let_nothing_go() {
    let mut bed = bed();
    let udp = udp_client(1);
    let datagram = udp.udp(b"?");
    bed.offer(udp, &datagram);
    let birth = bed.agent.birth(&udp.key()).unwrap();
    for _ in 0..2 {
        assert_eq!(data(&mut bed, udp, &datagram, birth, 1), Verdict::Deliver);
    }
    assert_eq!(strips(&mut bed), []);

    let tcp = client(2);
    let birth = bed.accept(tcp, ISN);
    for flags in [
        TcpFlags::RST,
        TcpFlags::RST | TcpFlags::ACK,
        TcpFlags::FIN,
        TcpFlags::SYN | TcpFlags::ACK,
    ] {
        data(&mut bed, tcp, &tcp.tcp(501, flags), birth, 1);
        assert_eq!(strips(&mut bed), [], "{flags:?}");
    }
    data(&mut bed, tcp, &tcp.icmp_error(), birth, 1);
    assert_eq!(strips(&mut bed), [], "an ICMP error");
    let end = tcp.tcp(501, TcpFlags::FIN | TcpFlags::ACK);
    data(&mut bed, tcp, &end, birth, 1);
    assert_eq!(strips(&mut bed), [add(tcp, birth, 1)]);
}

#[test]
fn a_flow_of_the_kernels_list_is_let_go_by_the_birth_that_its_ingress_knows() {
    let mut bed = Bed::unready(config());
    bed.agent.begin_stripping();
    bed.load(&[client(1).socket(9, SocketState::Open)]);
    bed.settle();
    assert_eq!(strips(&mut bed), [Strip::Clear]);
    let former = Birth {
        incarnation: INCARNATION - 1,
        counter: 3,
    };
    comes_back(&mut bed, client(1), former);
    data(&mut bed, client(1), &client(1).ack(), former, 1);
    assert_eq!(strips(&mut bed), []);
    // It has heard of the present one.
    let birth = bed.agent.birth(&client(1).key()).unwrap();
    data(&mut bed, client(1), &client(1).ack(), birth, 1);
    assert_eq!(
        strips(&mut bed),
        [remove(client(1)), add(client(1), birth, 1)]
    );
}

#[test]
fn another_ingress_is_learnt_of() {
    let mut bed = bed();
    let birth = stripped(&mut bed, client(1));
    data(&mut bed, client(1), &client(1).ack(), birth, 2);
    assert_eq!(
        strips(&mut bed),
        [remove(client(1)), add(client(1), birth, 2)]
    );
    // By way of a tracker, since that ingress knew no host.
    let ack = client(1).ack();
    bed.offer(client(1), &ack);
    assert_eq!(strips(&mut bed), [remove(client(1))]);
}

#[test]
fn r8_a_close_takes_the_flow_back() {
    let mut bed = bed();
    let birth = stripped(&mut bed, client(1));
    bed.destroyed(client(1), 9);
    assert_eq!(bed.flows(), [0, 0, 1, 0]);
    assert_eq!(strips(&mut bed), [remove(client(1))]);
    // Closing, it is not let go again.
    data(&mut bed, client(1), &client(1).ack(), birth, 1);
    bed.dump_twice(&[]);
    assert_eq!(bed.flows(), [0; 4]);
    assert_eq!(strips(&mut bed), []);
}

#[test]
fn r8_a_flow_whose_socket_vanished_is_taken_back() {
    let mut bed = bed();
    stripped(&mut bed, client(1));
    bed.dump_twice(&[]);
    assert_eq!(bed.flows(), [0; 4]);
    assert_eq!(strips(&mut bed), [remove(client(1))]);
}

#[test]
fn a_flow_that_is_another_hosts_is_taken_back() {
    let mut bed = bed();
    let birth = stripped(&mut bed, client(1));
    let ack = client(1).ack();
    let mut release = message(FlowKind::Release, 1, &ack);
    release.birth = Some(birth);
    assert_eq!(bed.handle(node(11), &Message::Flow(release)), Verdict::Done);
    assert_eq!(bed.flows(), [0, 0, 0, 1]);
    assert_eq!(strips(&mut bed), [remove(client(1))]);
    data(&mut bed, client(1), &client(1).ack(), birth, 1);
    assert_eq!(strips(&mut bed), []);
}

#[test]
fn r7_a_syn_of_the_flow_takes_it_back_until_the_kernel_has_told() {
    let mut bed = bed();
    let birth = stripped(&mut bed, client(1));
    bed.wait(1);
    bed.dump(&[client(1).socket(9, SocketState::Open)]);
    bed.wait(1);
    bed.offer(client(1), &client(1).syn(ISN + 10_000));
    assert_eq!(strips(&mut bed), [remove(client(1))]);
    data(&mut bed, client(1), &client(1).ack(), birth, 1);
    assert_eq!(strips(&mut bed), [], "in doubt");
    // The old connection goes on.
    bed.wait(1001);
    bed.dump(&[client(1).socket(9, SocketState::Open)]);
    comes_back(&mut bed, client(1), birth);
    // A next life has its own birth.
    bed.wait(1001);
    bed.dump(&[client(1).socket(10, SocketState::Open)]);
    assert_eq!(strips(&mut bed), [remove(client(1))]);
    let next = bed.agent.birth(&client(1).key()).unwrap();
    comes_back(&mut bed, client(1), next);
}

#[test]
fn a_drain_takes_all_back_for_as_long_as_it_lasts() {
    type Drains = fn(&mut Bed, bool);
    let ways: [(&str, Drains); 3] = [
        ("by order", |bed, on| {
            let order = on.then_some(Until::Closed);
            bed.agent.handle_drain(bed.now, order);
        }),
        ("by the file", |bed, on| {
            let mut config = config();
            config.drain.services.extend(on.then(|| service(1)));
            bed.agent.handle_config(bed.now, config);
        }),
        ("by the view", |bed, on| {
            let mut members = view(&[1, 10, 11, 12]).members().to_vec();
            for member in members.iter_mut().filter(|it| it.node == me() && on) {
                member.state = MemberState::Draining;
            }
            bed.see(jlb_protocol::View::new(members));
        }),
    ];
    for (what, drains) in ways {
        let mut bed = bed();
        let birth = stripped(&mut bed, client(1));
        drains(&mut bed, true);
        assert_eq!(strips(&mut bed), [Strip::Clear], "{what}");
        data(&mut bed, client(1), &client(1).ack(), birth, 1);
        assert_eq!(strips(&mut bed), [], "{what}");
        drains(&mut bed, false);
        assert_eq!(strips(&mut bed), [Strip::Clear], "{what}");
        comes_back(&mut bed, client(1), birth);
    }
}

#[test]
fn a_drains_deadline_finds_a_flow_by_what_came_since_it_began() {
    let mut bed = bed();
    let birth = stripped(&mut bed, client(1));
    let idle = client(2);
    stripped(&mut bed, idle);
    let until = Until::Deadline(bed.now + core::time::Duration::from_secs(5));
    bed.agent.handle_drain(bed.now, Some(until));
    let later = client(1).tcp(9_000, TcpFlags::ACK);
    data(&mut bed, client(1), &later, birth, 1);
    bed.run_acked(5_100);
    let reset_to = |bed: &mut Bed| {
        let injected = core::mem::take(&mut bed.injected).into_iter();
        let seqs = injected.map(|packet| match jlb_protocol::packet::parse(&packet) {
            Ok(Packet {
                transport: Transport::Tcp { src_port, seq, .. },
                ..
            }) => (src_port, seq),
            other => panic!("{other:?}"),
        });
        seqs.collect::<Vec<_>>()
    };
    // Nothing old is said of the one that is idle.
    assert_eq!(reset_to(&mut bed), [(1, 9_000), (1, 9_000)]);
    let birth = bed.agent.birth(&idle.key()).unwrap();
    let dropped = data(&mut bed, idle, &idle.tcp(77, TcpFlags::ACK), birth, 1);
    assert_eq!(dropped, Verdict::Dropped(DropReason::Drained));
    assert!(reset_to(&mut bed).contains(&(2, 77)));
}

#[test]
fn a_service_that_is_gone_takes_all_back_before() {
    let mut bed = bed();
    stripped(&mut bed, client(1));
    let kept = stripped(&mut bed, client6(2));
    let mut config = config();
    config.services.retain(|it| it.number != service(1));
    bed.agent.handle_config(bed.now, config);
    assert_eq!(strips(&mut bed), [Strip::Clear]);
    assert_eq!(bed.flows(), [0, 1, 0, 0]);
    comes_back(&mut bed, client6(2), kept);
}

#[test]
fn after_a_pause_all_is_learnt_anew() {
    let mut bed = bed();
    let birth = stripped(&mut bed, client(1));
    // Marks come again some time; nothing is lost by that.
    for _ in 0..600 {
        bed.agent.strip_anew();
        assert_eq!(strips(&mut bed), [Strip::Clear]);
        comes_back(&mut bed, client(1), birth);
    }
    bed.agent.strip_anew();
    bed.destroyed(client(1), 9);
    assert_eq!(
        strips(&mut bed),
        [Strip::Clear],
        "it is not there to remove"
    );
}

#[test]
fn what_waits_is_bounded() {
    let mut bed = bed();
    let birth = stripped(&mut bed, client(1));
    for _ in 0..5_000 {
        for ingress in [2, 1] {
            data(&mut bed, client(1), &client(1).ack(), birth, ingress);
        }
    }
    let waiting = strips(&mut bed);
    assert!(waiting.len() <= 8_192, "{}", waiting.len());
    // None is lost: the first word is to forget all, and what follows is the truth.
    assert_eq!(waiting.first(), Some(&Strip::Clear));
    assert_eq!(waiting.last(), Some(&add(client(1), birth, 1)));
    bed.destroyed(client(1), 9);
    assert_eq!(strips(&mut bed), [remove(client(1))]);
}
