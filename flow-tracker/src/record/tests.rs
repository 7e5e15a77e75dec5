use super::*;
use alloc::vec;
use alloc::vec::Vec;
use jlb_protocol::OfferNumber;

const OWN: u16 = 1;
const OTHER: u16 = 2;

fn host(number: u16) -> NodeNumber {
    NodeNumber::new(number).unwrap()
}

fn birth(counter: u32) -> Birth {
    Birth {
        incarnation: 1,
        counter,
    }
}

const LIVES: [Life; 3] = [Life::Accepted, Life::Established, Life::Closing];

const WAITS: [Waits; 4] = [
    Waits::Nothing,
    Waits::MidFlow,
    Waits::Attempt,
    Waits::Several,
];

const INTENTS: [Intent; 3] = [Intent::Syn, Intent::MidFlow, Intent::Datagram];

const ORDERS: [Order; 3] = [Order::Same, Order::Later, Order::Earlier];

/// Every claim of an Accept, and whether it answers the record's attempt.
const CLAIMS: [(Claim, bool); 5] = [
    (Claim::Overriding, true),
    (Claim::Offered, true),
    (Claim::Offered, false),
    (Claim::Owner, true),
    (Claim::Owner, false),
];

fn offered(several: bool) -> State {
    State::Offered(Offered {
        host: host(OWN),
        step: 2,
        several,
        hint: false,
    })
}

fn owned(life: Life, waits: Waits) -> State {
    State::Owned(Owned {
        life,
        host: host(OWN),
        birth: birth(5),
        step: 2,
        waits,
        left: 0,
        hint: false,
    })
}

/// Every kind of state, with host 1, step 2 and, where it is owned, birth 5.
fn states() -> Vec<State> {
    let reason = Reason::Exhausted;
    let mut states = vec![offered(false), offered(true)];
    for several in [false, true] {
        states.push(State::Rejected { step: 2, several });
        states.push(State::Refused { reason, several });
    }
    for waits in WAITS {
        states.extend(LIVES.map(|life| owned(life, waits)));
    }
    states
}

/// Every kind of event, of host 1 and host 2, with births below, at and above 5.
fn events() -> Vec<Event> {
    let reason = Reason::NoHost;
    let mut events = vec![Event::Refuse { reason }];
    for host in [host(OWN), host(OTHER)] {
        events.push(Event::Reject { host, step: 2 });
        events.push(Event::Unowned { host });
        for order in ORDERS {
            events.extend(INTENTS.map(|intent| {
                Event::Ask(Ask {
                    host,
                    step: 1,
                    intent,
                    order,
                })
            }));
        }
        for birth in [birth(4), birth(5), birth(6)] {
            events.push(Event::Closed { host, birth });
            events.extend(CLAIMS.map(|(claim, answers)| {
                Event::Accept(Accept {
                    host,
                    step: 1,
                    birth,
                    claim,
                    answers,
                })
            }));
            for answers in [false, true] {
                events.extend(LIVES.map(|life| {
                    Event::Own(Own {
                        life,
                        host,
                        birth,
                        step: 1,
                        answers,
                        order: Order::Same,
                        left: false,
                        overtakes: false,
                    })
                }));
            }
        }
    }
    events
}

fn every_pair() -> impl Iterator<Item = (State, Event)> {
    states()
        .into_iter()
        .flat_map(|state| events().into_iter().map(move |event| (state, event)))
}

fn host_of(event: Event) -> Option<NodeNumber> {
    match event {
        Event::Ask(Ask { host, .. })
        | Event::Reject { host, .. }
        | Event::Accept(Accept { host, .. })
        | Event::Own(Own { host, .. })
        | Event::Closed { host, .. }
        | Event::Unowned { host } => Some(host),
        Event::Refuse { .. } => None,
    }
}

fn birth_of(event: Event) -> Option<Birth> {
    match event {
        Event::Accept(Accept { birth, .. })
        | Event::Own(Own { birth, .. })
        | Event::Closed { birth, .. } => Some(birth),
        Event::Ask(_) | Event::Reject { .. } | Event::Refuse { .. } | Event::Unowned { .. } => None,
    }
}

#[test]
fn a_record_is_small() {
    // With its 24 bytes of key and 12 of links, 60 bytes; the index has 6.
    assert!(size_of::<Record>() <= 24, "{}", size_of::<Record>());
    assert_eq!(size_of::<Option<Record>>(), size_of::<Record>());
}

#[test]
fn only_the_host_of_the_event_comes_into_the_record() {
    for (state, event) in every_pair() {
        if let Next::Become(next) = state.next(event)
            && let Some(now) = next.host()
        {
            let expected = host_of(event).or(state.host());
            assert_eq!(Some(now), expected, "{state:?} {event:?}");
        }
    }
}

#[test]
fn an_older_life_of_the_host_changes_nothing() {
    for (state, event) in every_pair() {
        let State::Owned(Owned { host, birth, .. }) = state else {
            continue;
        };
        if host_of(event) == Some(host) && birth_of(event).is_some_and(|older| older < birth) {
            assert_eq!(state.next(event), Next::Stale, "{event:?}");
        }
    }
}

#[test]
fn a_newer_life_of_the_host_always_counts() {
    for (state, event) in every_pair() {
        let State::Owned(Owned { host, birth, .. }) = state else {
            continue;
        };
        if host_of(event) == Some(host) && birth_of(event).is_some_and(|newer| newer > birth) {
            let next = state.next(event);
            assert!(matches!(next, Next::Become(_) | Next::End), "{event:?}");
        }
    }
}

#[test]
fn an_established_flow_is_lost_only_to_its_host_or_to_what_binds() {
    for (waits, event) in WAITS
        .into_iter()
        .flat_map(|waits| events().into_iter().map(move |event| (waits, event)))
    {
        if host_of(event) == Some(host(OWN)) {
            continue;
        }
        let lost = match owned(Life::Established, waits).next(event) {
            Next::Become(next) => next.host() != Some(host(OWN)),
            Next::End => true,
            Next::Stay | Next::Stale | Next::Conflict => false,
        };
        let may = match event {
            Event::Ask(_) => true,
            Event::Accept(Accept { claim, .. }) => claim == Claim::Overriding,
            Event::Reject { .. }
            | Event::Refuse { .. }
            | Event::Own(_)
            | Event::Closed { .. }
            | Event::Unowned { .. } => false,
        };
        assert_eq!(lost, may, "{event:?}");
    }
}

#[test]
fn a_host_is_released_only_when_it_accepted_what_another_has() {
    for (state, event) in every_pair() {
        if state.next(event) != Next::Conflict {
            continue;
        }
        let Event::Accept(Accept { host, claim, .. }) = event else {
            panic!("{state:?} {event:?}");
        };
        assert_ne!(state.host(), Some(host));
        // R4: an owner's mid-flow Accept is never answered so; nor one that the secondary passed.
        assert_eq!(claim, Claim::Offered);
    }
}

#[test]
fn in_one_life_the_stages_only_go_forward() {
    for waits in WAITS {
        for known in LIVES {
            for life in LIVES {
                let event = Event::Own(Own {
                    life,
                    host: host(OWN),
                    birth: birth(5),
                    step: 1,
                    answers: false,
                    order: Order::Same,
                    left: false,
                    overtakes: false,
                });
                let expected = if life > known {
                    Next::Become(owned(life, waits))
                } else {
                    Next::Stay
                };
                assert_eq!(owned(known, waits).next(event), expected);
            }
        }
    }
}

#[test]
fn the_table_above_the_code_is_what_the_code_does() {
    let code = |next| match next {
        Next::Become(State::Offered(_)) => "Offered",
        Next::Become(State::Rejected { .. }) => "Rejected",
        Next::Become(State::Refused { .. }) => "Refused",
        Next::Become(State::Owned(_)) => "Owned",
        Next::Stay => "=",
        Next::End => "(none)",
        Next::Stale | Next::Conflict => ".",
    };
    let own = host(OWN);
    let events = [
        Event::Ask(Ask {
            host: own,
            step: 1,
            intent: Intent::Syn,
            order: Order::Same,
        }),
        Event::Reject { host: own, step: 2 },
        Event::Refuse {
            reason: Reason::NoHost,
        },
        Event::Accept(Accept {
            host: own,
            step: 2,
            birth: birth(6),
            claim: Claim::Offered,
            answers: true,
        }),
        Event::Own(Own {
            life: Life::Established,
            host: own,
            birth: birth(6),
            step: 2,
            answers: false,
            order: Order::Same,
            left: false,
            overtakes: false,
        }),
        Event::Closed {
            host: own,
            birth: birth(6),
        },
    ];
    let life = Life::Established;
    let reason = Reason::Exhausted;
    let table = [
        (
            offered(false),
            ["Offered", "Rejected", "Refused", "Owned", "Owned", "."],
        ),
        (
            offered(true),
            ["Offered", "Rejected", "Refused", "Owned", "Owned", "."],
        ),
        (
            State::Rejected {
                step: 2,
                several: false,
            },
            ["Offered", ".", "Refused", "Owned", "Owned", "."],
        ),
        (
            State::Refused {
                reason,
                several: false,
            },
            ["Offered", ".", "Refused", "Owned", "Owned", "."],
        ),
        (
            owned(life, Waits::Nothing),
            ["Owned", ".", "=", "Owned", "Owned", "(none)"],
        ),
        (
            owned(life, Waits::MidFlow),
            ["Owned", "(none)", "=", "Owned", "Owned", "(none)"],
        ),
        (
            owned(life, Waits::Attempt),
            ["Owned", "Rejected", "=", "Owned", "Owned", "Offered"],
        ),
        (
            owned(life, Waits::Several),
            ["Owned", "Rejected", "=", "Owned", "Owned", "Offered"],
        ),
    ];
    for (state, row) in table {
        let actual = events.map(|event| code(state.next(event)));
        assert_eq!(actual, row, "{state:?}");
    }
}

#[test]
fn a_number_matches_only_where_a_host_was_asked_with_it() {
    for state in states() {
        let record = Record::new(7, state);
        let is_asked = |isn, step| record.is_asked(OfferNumber { isn, step });
        let waiting = match state {
            State::Offered(_) => true,
            State::Owned(Owned { waits, .. }) => waits != Waits::Nothing,
            State::Rejected { .. } | State::Refused { .. } => false,
        };
        assert_eq!(is_asked(7, 2), waiting, "{state:?}");
        assert!(!is_asked(7, 1));
        assert!(!is_asked(8, 2));
        // Behind a secondary a lower step counts too.
        let is_asked_by = |isn, step| record.is_asked_by(OfferNumber { isn, step });
        assert_eq!(is_asked_by(7, 1), waiting);
        assert!(!is_asked_by(7, 3));
        assert!(!is_asked_by(8, 1));
    }
}

#[test]
fn an_attempt_that_waits_for_its_answer_stays_the_records() {
    for (state, event) in every_pair() {
        let State::Owned(Owned { host, waits, .. }) = state else {
            continue;
        };
        let about = match event {
            Event::Accept(Accept { answers, .. }) if !answers => 9,
            Event::Own(Own { answers, .. }) if !answers => 9,
            Event::Own(_) => continue,
            Event::Closed { .. } | Event::Unowned { .. } => 7,
            Event::Accept(_) | Event::Ask(_) | Event::Reject { .. } | Event::Refuse { .. } => {
                continue;
            }
        };
        let waiting = matches!(waits, Waits::Attempt | Waits::Several);
        if waiting
            && host_of(event) == Some(host)
            && let Next::Become(next) = state.next(event)
        {
            let after = Record::new(7, state).with(next, about);
            assert!(after.is_asked(OfferNumber { isn: 7, step: 2 }), "{event:?}");
        }
    }
}

#[test]
fn an_owner_that_disowns_a_mid_flow_packet_loses_a_life_that_is_only_accepted_and_not_the_attempt()
{
    for (life, waits) in LIVES
        .into_iter()
        .flat_map(|life| WAITS.map(|waits| (life, waits)))
    {
        let is_doubtful =
            life == Life::Accepted && matches!(waits, Waits::Attempt | Waits::Several);
        let expected = if is_doubtful {
            Next::Become(offered(waits == Waits::Several))
        } else {
            Next::Stale
        };
        let record = owned(life, waits);
        let own = record.next(Event::Unowned { host: host(OWN) });
        assert_eq!(own, expected, "{record:?}");
        let other = record.next(Event::Unowned { host: host(OTHER) });
        assert_eq!(other, Next::Stale, "{record:?}");
    }
}

#[test]
fn what_answers_the_attempt_ends_the_wait() {
    for (life, birth) in LIVES
        .into_iter()
        .flat_map(|life| [(life, birth(5)), (life, birth(6))])
    {
        for waits in [Waits::MidFlow, Waits::Attempt] {
            let record = Record::new(7, owned(life, waits));
            let event = Event::Accept(Accept {
                host: host(OWN),
                step: 2,
                birth,
                claim: Claim::Offered,
                answers: true,
            });
            let Next::Become(next) = record.state.next(event) else {
                panic!("{life:?}");
            };
            let after = record.with(next, 7);
            assert!(!after.is_asked(OfferNumber { isn: 7, step: 2 }));
        }
    }
}

/// Whether an earlier attempt than the record's may be unanswered.
fn several(state: State) -> bool {
    match state {
        State::Offered(Offered { several, .. })
        | State::Rejected { several, .. }
        | State::Refused { several, .. } => several,
        State::Owned(Owned { waits, .. }) => waits == Waits::Several,
    }
}

#[test]
fn an_earlier_attempt_that_was_left_is_remembered_until_another_host_has_the_flow() {
    for (state, event) in every_pair() {
        if !several(state) {
            continue;
        }
        let Next::Become(after) = state.next(event) else {
            continue;
        };
        let taken = match (state, after) {
            (State::Rejected { .. } | State::Refused { .. }, State::Owned(_)) => true,
            (_, State::Owned(_)) => state.host() != after.host(),
            (_, State::Offered(_) | State::Rejected { .. } | State::Refused { .. }) => false,
        };
        assert_eq!(several(after), !taken, "{state:?} {event:?}");
    }
}

#[test]
fn a_later_attempt_asked_for_over_another_makes_several() {
    for (intent, order) in [Intent::Syn, Intent::Datagram]
        .into_iter()
        .flat_map(|intent| ORDERS.map(|order| (intent, order)))
    {
        let event = Event::Ask(Ask {
            host: host(OWN),
            step: 1,
            intent,
            order,
        });
        let after = |state: State| match state.next(event) {
            Next::Become(state) => Some(several(state)),
            _ => None,
        };
        assert_eq!(after(offered(false)), Some(order != Order::Same));
        for life in LIVES {
            assert_eq!(after(owned(life, Waits::Nothing)), Some(false));
            assert_eq!(after(owned(life, Waits::MidFlow)), Some(false));
            // The owner is asked, but the record's number stays the latest one.
            let expected = match order {
                Order::Same => Some(false),
                Order::Later => Some(true),
                Order::Earlier => None,
            };
            assert_eq!(after(owned(life, Waits::Attempt)), expected);
        }
    }
}

#[test]
fn a_mid_flow_packet_leaves_the_attempt_under_way_as_it_is() {
    for (life, order) in LIVES
        .into_iter()
        .flat_map(|life| ORDERS.map(|order| (life, order)))
    {
        let event = Event::Ask(Ask {
            host: host(OWN),
            step: 1,
            intent: Intent::MidFlow,
            order,
        });
        for waits in [Waits::Attempt, Waits::Several] {
            assert_eq!(owned(life, waits).next(event), Next::Stay);
        }
    }
}

#[test]
fn a_statement_of_the_attempts_own_life_answers_it() {
    let own = |birth, answers| {
        Event::Own(Own {
            life: Life::Accepted,
            host: host(OWN),
            birth,
            step: 1,
            answers,
            order: Order::Same,
            left: false,
            overtakes: false,
        })
    };
    let asked = |next| match next {
        Next::Become(state) => Record::new(7, state).is_asked(OfferNumber { isn: 7, step: 2 }),
        other => panic!("{other:?}"),
    };
    for (state, birth) in [
        (offered(false), birth(5)),
        (owned(Life::Established, Waits::Attempt), birth(5)),
        (owned(Life::Established, Waits::Attempt), birth(6)),
    ] {
        assert!(!asked(state.next(own(birth, true))), "{state:?}");
    }
    assert!(asked(offered(false).next(own(birth(5), false))));
    // An earlier attempt may be unanswered still.
    assert!(asked(offered(true).next(own(birth(5), true))));
}

#[test]
fn attempts_are_in_the_order_of_their_numbers() {
    for (isn, of_record, order) in [
        (5, 5, Order::Same),
        (6, 5, Order::Later),
        (5, 6, Order::Earlier),
        (u32::MAX, 3, Order::Earlier),
        (3, u32::MAX, Order::Later),
        (1 << 31, 0, Order::Later),
    ] {
        assert_eq!(Order::of(Intent::Syn, isn, of_record), order);
    }
    assert_eq!(Order::of(Intent::MidFlow, 5, 6), Order::Later);
}

#[test]
fn an_earlier_attempt_is_superseded_unless_there_is_an_owner() {
    for state in states() {
        let record = Record::new(7, state);
        let drops = match state {
            State::Offered(_) => true,
            State::Rejected { several, .. } | State::Refused { several, .. } => several,
            State::Owned(_) => false,
        };
        assert_eq!(record.supersedes(Intent::Syn, 6, false), drops, "{state:?}");
        // An Offer in the midst of its search is no first one of a client with random numbers.
        let drops = drops || matches!(state, State::Rejected { .. });
        assert_eq!(record.supersedes(Intent::Syn, 6, true), drops, "{state:?}");
        for isn in [7, 8] {
            assert!(!record.supersedes(Intent::Syn, isn, true), "{state:?}");
        }
        assert!(!record.supersedes(Intent::Datagram, 6, true), "{state:?}");
    }
}
