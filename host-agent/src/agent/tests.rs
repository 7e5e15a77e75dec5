use crate::Verdict;
use crate::testbed::*;
use jlb_protocol::message::{Control, FlowKind, FlowState, List};
use jlb_protocol::{DropReason, Message};
use jlb_protocol::{MemberState, Role};

mod random;
mod scale;

#[test]
fn messages_for_other_roles_are_dropped() {
    let mut bed = Bed::new(config());
    let packet = client(1).syn(1);
    for kind in FlowKind::ALL {
        let taken = matches!(
            kind,
            FlowKind::Offer | FlowKind::Data | FlowKind::WhoHas | FlowKind::Release
        );
        if !taken {
            let verdict = bed.handle(node(10), &Message::Flow(message(kind, 1, &packet)));
            assert_eq!(verdict, Verdict::Dropped(DropReason::WrongRole), "{kind:?}");
        }
    }
    let (view, config, nonce, sequence) = (0, 0, 0, 1);
    let wrong = [
        Control::Hello {
            view,
            config,
            nonce,
            state: MemberState::Active,
            role: Role::FlowTracker,
            wire: 1,
        },
        Control::HelloAck {
            view,
            config,
            nonce,
            state: MemberState::Active,
            role: Role::FlowTracker,
            wire: 1,
        },
        Control::State {
            sequence,
            filled: None,
            listed: None,
            flows: List::Values(&[]),
        },
        Control::Digest {
            sequence,
            buckets: List::Values(&[]),
        },
        Control::Load {
            services: List::Values(&[]),
        },
    ];
    for control in wrong {
        let verdict = bed.handle(node(10), &Message::Control(control));
        assert_eq!(verdict, Verdict::Dropped(DropReason::WrongRole));
    }
    assert_eq!(bed.stats().ledger.dropped(DropReason::WrongRole), 6 + 5);
}

#[test]
fn an_idle_agent_waits_for_nothing_but_load() {
    let mut bed = Bed::unready(config());
    assert_eq!(bed.agent.poll_timeout(), None);
    bed.dump(&[]);
    assert_eq!(bed.agent.poll_timeout(), None);
    bed.dump(&[]);
    assert_eq!(bed.agent.poll_timeout(), Some(bed.now));
    bed.settle();
    let next = bed.agent.poll_timeout();
    assert_eq!(next, Some(bed.now + config().timers.load_interval));
}

#[test]
fn another_limit_acts_on_the_next_offer() {
    let mut bed = Bed::new(config());
    bed.accept(client(1), 500);
    let mut config = config();
    limit_connections(&mut config, 1);
    bed.agent.handle_config(bed.now, config);
    let (_, sent) = bed.offer(client(2), &client(2).syn(1));
    assert!(rejected(&sent).is_some());
    assert_eq!(bed.flows(), [1, 0, 0, 0]);
}

#[test]
fn flows_of_a_service_that_is_gone_end() {
    let mut bed = Bed::new(config());
    let birth = bed.establish(client(1), 500);
    bed.establish(client6(1), 500);
    let mut config = config();
    config.services.remove(0);
    bed.agent.handle_config(bed.now, config);
    assert_eq!(bed.flows(), [0, 1, 0, 0]);
    let sent = bed.run(10);
    assert_eq!(stated(&sent, &bed, client(1)), [(FlowState::Closed, birth)]);
    let (verdict, _) = bed.data(client(1), &client(1).ack());
    assert_eq!(verdict, Verdict::Dropped(DropReason::UnknownService));
    assert_eq!(bed.stats().counters.ended_no_service, 1);
}

#[test]
fn births_go_on_from_one_flow_to_the_next() {
    let mut bed = Bed::new(config());
    for counter in 1..=5 {
        let port = u16::try_from(counter).unwrap();
        assert_eq!(bed.accept(client(port), 1), birth(counter));
    }
}

#[test]
fn a_clone_goes_its_own_way() {
    let mut bed = Bed::new(config());
    bed.accept(client(1), 500);
    let mut twin = bed.clone();
    twin.accept(client(2), 500);
    assert_eq!(bed.flows(), [1, 0, 0, 0]);
    assert_eq!(twin.flows(), [2, 0, 0, 0]);
}
