use super::*;
use crate::Verdict;
use crate::testbed::*;
use jlb_protocol::message::{FlowKind, FlowState};
use std::vec;

const OPEN: SocketState = SocketState::Open;
const HALF_OPEN: SocketState = SocketState::HalfOpen;
const TIME_WAIT: SocketState = SocketState::TimeWait;

/// A tick of the flows' times, rounded up, and one of the timer wheel.
const ROUNDING: u64 = 80;

/// An agent that may ask for single connections.
fn looking() -> Bed {
    let mut bed = Bed::unready(config());
    bed.agent.expect_look_ups();
    bed.load(&[]);
    bed
}

/// The same, with so many flows whose sockets are half-open.
fn crowded(count: u16) -> Bed {
    let mut config = config();
    config.limits.max_flows = 20_000;
    config.limits.max_statements = 40_000;
    let mut bed = Bed::unready(config);
    bed.agent.expect_look_ups();
    let all: Vec<_> = (1..=count)
        .map(|port| client(port).socket(port.into(), HALF_OPEN))
        .collect();
    bed.load(&all);
    bed
}

fn ask(client: Client) -> LookUp {
    let socket = client.socket(1, OPEN);
    LookUp {
        local: socket.local,
        remote: socket.remote,
    }
}

fn there(client: Client, cookie: u64, state: SocketState) -> LookedUp {
    let socket = client.socket(cookie, state);
    let rest = (state == TIME_WAIT).then_some(Duration::from_secs(50));
    LookedUp {
        asked: ask(client),
        found: Found::Socket { socket, rest },
    }
}

fn not_there(client: Client) -> LookedUp {
    LookedUp {
        asked: ask(client),
        found: Found::Nothing,
    }
}

fn unknown(client: Client) -> LookedUp {
    LookedUp {
        asked: ask(client),
        found: Found::Unknown,
    }
}

/// What is asked for at once: what is due before is done.
fn asked(bed: &mut Bed) -> Vec<LookUp> {
    bed.agent.handle_timeout(bed.now);
    match bed.agent.poll_look_ups() {
        Some(due) if due <= bed.now => bed.agent.take_look_ups(),
        Some(_) | None => Vec::new(),
    }
}

fn answer(bed: &mut Bed, answers: &[LookedUp]) {
    bed.agent
        .handle_looked_up(bed.now, bed.now, Duration::ZERO, answers);
    bed.check();
}

/// Waits so long that what is looked up after `millis` is, and not much longer.
fn pass(bed: &mut Bed, millis: u64) {
    bed.run_acked(millis - 10);
    assert_eq!(asked(bed), [], "too soon");
    bed.run_acked(10 + ROUNDING);
}

#[test]
fn an_established_flow_is_looked_up_once_and_known_by_its_cookie_from_then_on() {
    let mut bed = looking();
    bed.establish(client(1), 500);
    pass(&mut bed, 1_000);
    assert_eq!(asked(&mut bed), [ask(client(1))]);
    assert_eq!(bed.agent.poll_look_ups(), None);
    answer(&mut bed, &[there(client(1), 9, OPEN)]);
    bed.run_acked(120_000);
    assert_eq!(asked(&mut bed), []);
    bed.aborted(client(1), 9);
    assert_eq!(bed.flows(), [0, 0, 1, 0]);
}

#[test]
fn r8_a_flow_that_is_closing_ends_once_two_look_ups_find_nothing() {
    let mut bed = looking();
    let birth = bed.establish(client(1), 500);
    bed.destroyed(client(1), 9);
    pass(&mut bed, 1_000);
    assert_eq!(asked(&mut bed), [ask(client(1))]);
    answer(&mut bed, &[not_there(client(1))]);
    assert_eq!(bed.flows(), [0, 0, 1, 0], "one proves nothing");
    // An answer that comes twice is one.
    let before = bed.now;
    bed.agent
        .handle_looked_up(bed.now, before, Duration::ZERO, &[not_there(client(1))]);
    assert_eq!(bed.flows(), [0, 0, 1, 0]);
    pass(&mut bed, 1_000);
    assert_eq!(asked(&mut bed), [ask(client(1))]);
    answer(&mut bed, &[not_there(client(1))]);
    assert_eq!(bed.flows(), [0; 4]);
    let sent = bed.run(10);
    assert_eq!(stated(&sent, &bed, client(1)), [(FlowState::Closed, birth)]);
    assert_eq!(bed.stats().counters.ended_closed, 1);
    assert_eq!(bed.stats().counters.look_ups, 3);
}

#[test]
fn r8_what_is_in_time_wait_is_delivered_to_and_looked_up_when_that_is_over() {
    let mut bed = looking();
    bed.establish(client(1), 500);
    bed.destroyed(client(1), 9);
    pass(&mut bed, 1_000);
    assert_eq!(asked(&mut bed), [ask(client(1))]);
    answer(&mut bed, &[there(client(1), 77, TIME_WAIT)]);
    bed.run_acked(30_000);
    assert_eq!(bed.data(client(1), &client(1).ack()).0, Verdict::Deliver);
    assert_eq!(asked(&mut bed), []);
    pass(&mut bed, 20_000);
    assert_eq!(asked(&mut bed), [ask(client(1))]);
    answer(&mut bed, &[not_there(client(1))]);
    pass(&mut bed, 1_000);
    assert_eq!(asked(&mut bed), [ask(client(1))]);
    answer(&mut bed, &[not_there(client(1))]);
    assert_eq!(bed.flows(), [0; 4]);
}

#[test]
fn r8_the_linger_bounds_what_stays_in_time_wait() {
    let mut bed = looking();
    bed.establish(client(1), 500);
    bed.destroyed(client(1), 9);
    let mut looked = 0;
    while bed.flows() == [0, 0, 1, 0] {
        bed.run_acked(100);
        if !asked(&mut bed).is_empty() {
            looked += 1;
            answer(&mut bed, &[there(client(1), 77, TIME_WAIT)]);
        }
        assert!(looked < 5, "it is looked up too often");
    }
    assert_eq!(bed.flows(), [0; 4]);
    assert_eq!(bed.stats().counters.ended_lingered, 1);
}

#[test]
fn a_close_that_was_another_lifes_is_put_right_by_a_look_up() {
    let mut bed = looking();
    bed.establish(client(1), 500);
    bed.destroyed(client(1), 9);
    pass(&mut bed, 1_000);
    assert_eq!(asked(&mut bed).len(), 1);
    answer(&mut bed, &[there(client(1), 10, OPEN)]);
    assert_eq!(bed.flows(), [0, 1, 0, 0]);
    bed.run_acked(20_000);
    assert_eq!(asked(&mut bed), [], "and its cookie is known");
}

#[test]
fn a_syn_to_a_flow_that_lingers_has_it_looked_up_soon() {
    let mut bed = looking();
    bed.establish(client(1), 500);
    bed.destroyed(client(1), 9);
    pass(&mut bed, 1_000);
    assert_eq!(asked(&mut bed).len(), 1);
    answer(&mut bed, &[there(client(1), 77, TIME_WAIT)]);
    bed.offer(client(1), &client(1).syn(900));
    pass(&mut bed, 1_000);
    assert_eq!(asked(&mut bed), [ask(client(1))]);
    answer(&mut bed, &[there(client(1), 10, HALF_OPEN)]);
    assert_eq!(bed.flows(), [1, 0, 0, 0]);
}

#[test]
fn an_answer_from_before_the_flow_came_into_its_state_says_nothing() {
    let mut bed = looking();
    let before = bed.now;
    bed.wait(1);
    bed.establish(client(1), 500);
    bed.wait(5_000);
    for found in [not_there(client(1)), there(client(1), 9, TIME_WAIT)] {
        for _ in 0..2 {
            bed.agent
                .handle_looked_up(bed.now, before, Duration::ZERO, &[found]);
        }
    }
    assert_eq!(bed.flows(), [0, 1, 0, 0]);
    // Nor does one of a time when the packet that makes the socket may have been on its way.
    let mut bed = looking();
    bed.establish(client(1), 500);
    for _ in 0..5 {
        bed.wait(100);
        answer(&mut bed, &[not_there(client(1))]);
    }
    assert_eq!(bed.flows(), [0, 1, 0, 0]);
}

#[test]
fn a_flow_whose_close_was_missed_vanishes() {
    let mut bed = looking();
    answer(&mut bed, &[there(client(2), 8, OPEN)]);
    bed.establish(client(2), 500);
    answer(&mut bed, &[there(client(2), 8, OPEN)]);
    bed.establish(client(1), 500);
    bed.wait(1);
    answer(&mut bed, &[there(client(2), 8, OPEN)]);
    for _ in 0..2 {
        bed.run_acked(1_000 + 2 * ROUNDING);
        assert_eq!(asked(&mut bed), [ask(client(1))]);
        answer(&mut bed, &[not_there(client(1))]);
    }
    assert_eq!(bed.flows(), [0, 1, 0, 0]);
    assert_eq!(bed.stats().counters.ended_vanished, 1);
}

#[test]
fn a_list_that_steps_over_a_flow_has_it_looked_up() {
    let mut bed = looking();
    bed.establish(client(1), 500);
    bed.run_acked(1_100);
    asked(&mut bed);
    answer(&mut bed, &[there(client(1), 9, OPEN)]);
    bed.run_acked(10_000);
    bed.dump(&[]);
    pass(&mut bed, 1_000);
    assert_eq!(asked(&mut bed), [ask(client(1))]);
    answer(&mut bed, &[there(client(1), 9, OPEN)]);
    bed.run_acked(30_000);
    bed.dump(&[]);
    assert_eq!(bed.flows(), [0, 1, 0, 0], "it was there in between");
}

#[test]
fn lists_come_rarely_while_look_ups_are_answered_and_often_while_they_are_not() {
    let mut bed = looking();
    let second = |seconds| Duration::from_secs(seconds);
    let listed = bed.now;
    bed.establish(client(1), 500);
    bed.destroyed(client(1), 9);
    assert_eq!(bed.agent.poll_dump(), Some(listed + second(30)));
    bed.agent.handle_events_lost(bed.now);
    assert_eq!(bed.agent.poll_dump(), Some(listed + second(1)), "events");
    bed.run_acked(1_100);
    bed.dump(&[]);
    let listed = bed.now;
    assert_eq!(bed.agent.poll_dump(), Some(listed + second(30)));
    // Nothing listens: lists have to tell.
    asked(&mut bed);
    answer(&mut bed, &[unknown(client(1))]);
    assert_eq!(bed.agent.poll_dump(), Some(listed + second(1)));
    assert_eq!(bed.stats().counters.look_ups_unknown, 1);
    // What is found of others does not change that.
    answer(&mut bed, &[there(client(2), 77, TIME_WAIT)]);
    assert_eq!(bed.agent.poll_dump(), Some(listed + second(1)));
    for _ in 0..3 {
        bed.wait(1_000);
        bed.dump(&[]);
        assert_eq!(bed.flows(), [0; 4]);
    }
    let listed = bed.now;
    assert_eq!(bed.agent.poll_dump(), Some(listed + second(30)));
    // The kernel does not know such requests.
    bed.establish(client(1), 700);
    bed.agent.handle_look_ups_failed();
    assert_eq!(bed.agent.poll_dump(), Some(listed + second(1)));
    answer(&mut bed, &[]);
    assert_eq!(bed.agent.poll_dump(), Some(listed + second(1)));
    answer(&mut bed, &[there(client(2), 77, TIME_WAIT)]);
    assert_eq!(bed.agent.poll_dump(), Some(listed + second(30)));
}

#[test]
fn lists_come_after_a_configuration_with_more_services_and_while_there_is_no_room() {
    let second = |seconds| Duration::from_secs(seconds);
    let mut bed = looking();
    let listed = bed.now;
    let mut fewer = config();
    fewer.services.truncate(1);
    bed.agent.handle_config(bed.now, fewer.clone());
    assert_eq!(bed.agent.poll_dump(), Some(listed + second(30)));
    bed.agent.handle_config(bed.now, config());
    assert_eq!(bed.agent.poll_dump(), Some(listed + second(1)));

    let mut small = config();
    small.limits.max_flows = 1;
    let mut bed = Bed::unready(small);
    bed.agent.expect_look_ups();
    bed.load(&[client(1).socket(8, OPEN), client(2).socket(9, OPEN)]);
    assert_eq!(bed.agent.poll_dump(), Some(bed.now + second(10)));
    bed.run_acked(10_000);
    bed.dump(&[client(1).socket(8, OPEN)]);
    assert_eq!(bed.agent.poll_dump(), Some(bed.now + second(30)));
}

#[test]
fn s4_nothing_ends_no_established_flow_of_a_service_of_which_look_ups_find_nothing_at_all() {
    let mut bed = looking();
    bed.establish(client(1), 500);
    for _ in 0..5 {
        bed.run_acked(1_000 + 2 * ROUNDING);
        for _ in asked(&mut bed) {
            answer(&mut bed, &[not_there(client(1))]);
        }
    }
    assert_eq!(bed.flows(), [0, 1, 0, 0], "it may be bound to a device");
    let due = bed.agent.poll_dump().expect("a list");
    assert!(due <= bed.now, "a list has to tell");
    bed.dump(&[client(1).socket(9, OPEN)]);
    assert_eq!(bed.flows(), [0, 1, 0, 0]);
}

#[test]
fn an_established_flow_whose_socket_is_half_open_is_looked_up_until_it_is_open_or_gone() {
    let mut bed = looking();
    bed.accept(client(1), 500);
    pass(&mut bed, 1_000);
    assert_eq!(asked(&mut bed).len(), 1);
    answer(&mut bed, &[there(client(1), 9, HALF_OPEN)]);
    bed.data(client(1), &client(1).ack());
    assert_eq!(bed.flows(), [0, 1, 0, 0]);
    for _ in 0..3 {
        bed.run_acked(2_000 + ROUNDING);
        assert_eq!(asked(&mut bed), [ask(client(1))]);
        answer(&mut bed, &[there(client(1), 9, HALF_OPEN)]);
    }
    // The kernel gives up, which no event tells.
    for _ in 0..2 {
        bed.run_acked(2_000 + ROUNDING);
        assert_eq!(asked(&mut bed), [ask(client(1))]);
        answer(&mut bed, &[not_there(client(1))]);
    }
    assert_eq!(bed.flows(), [0; 4]);
}

#[test]
fn look_ups_rest_by_what_they_cost_and_come_in_parts() {
    let count = 3 * AT_ONCE as u16 / 2;
    let mut bed = crowded(count);
    bed.wait(1_200);
    let mut parts = vec![asked(&mut bed)];
    let took = Duration::from_millis(2);
    bed.agent.handle_looked_up(bed.now, bed.now, took, &[]);
    assert_eq!(bed.agent.poll_look_ups(), Some(bed.now + took * REST));
    assert_eq!(asked(&mut bed), []);
    bed.wait(18);
    parts.push(asked(&mut bed));
    let counts: Vec<_> = parts.iter().map(Vec::len).collect();
    assert_eq!(counts, [AT_ONCE, AT_ONCE / 2]);
    let mut found = parts.concat();
    found.sort_unstable();
    found.dedup();
    assert_eq!(found.len(), usize::from(count));
    // If no answer comes, they are asked for again.
    assert_eq!(bed.agent.poll_look_ups(), None);
    bed.run_acked(10_000 + 2 * ROUNDING);
    assert!(!asked(&mut bed).is_empty());
}

#[test]
fn as_many_flows_wait_for_look_ups_as_there_is_room_and_the_others_come_later() {
    let count = 2 * MAX_WAITING as u16;
    let mut bed = crowded(count);
    let mut found = std::collections::BTreeSet::new();
    for _ in 0..40 {
        bed.run_acked(100);
        loop {
            let some = asked(&mut bed);
            assert!(bed.agent.look_ups.waiting.len() <= MAX_WAITING);
            if some.is_empty() {
                break;
            }
            let answers = some.iter().map(|&asked| LookedUp {
                asked,
                found: Found::Nothing,
            });
            answer(&mut bed, &answers.collect::<Vec<_>>());
            found.extend(some);
        }
    }
    assert_eq!(found.len(), usize::from(count));
}

#[test]
fn a_driver_that_only_lists_is_asked_for_nothing_else() {
    let mut bed = Bed::new(config());
    bed.establish(client(1), 500);
    bed.destroyed(client(1), 9);
    for _ in 0..20 {
        bed.run_acked(1_000);
        assert_eq!(asked(&mut bed), []);
    }
}

#[test]
fn a_released_flow_is_looked_up_until_nothing_is_left_and_udp_never() {
    let mut bed = looking();
    bed.offer(udp_client(4), &udp_client(4).udp(b"?"));
    let birth = bed.establish(client(1), 500);
    let packet = client(1).ack();
    let mut release = message(FlowKind::Release, 1, &packet);
    release.birth = Some(birth);
    bed.handle(node(10), &jlb_protocol::Message::Flow(release));
    pass(&mut bed, 1_000);
    assert_eq!(asked(&mut bed), [ask(client(1))]);
    answer(&mut bed, &[there(client(1), 9, OPEN)]);
    assert_eq!(bed.flows(), [1, 0, 0, 1]);
    pass(&mut bed, 10_000);
    assert_eq!(asked(&mut bed), [ask(client(1))]);
    answer(&mut bed, &[there(client(1), 9, TIME_WAIT)]);
    assert_eq!(bed.flows()[3], 0);
}

#[test]
fn answers_about_what_is_no_flow_are_nothing() {
    let mut bed = looking();
    let ssh = Client {
        vip_port: 22,
        ..client(1)
    };
    answer(&mut bed, &[there(ssh, 1, OPEN), there(client(2), 2, OPEN)]);
    assert_eq!(bed.flows(), [0; 4], "lists adopt, look-ups do not");
}
