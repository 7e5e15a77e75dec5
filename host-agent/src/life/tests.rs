use super::*;

const STATES: [State; State::COUNT] = [
    State::Accepted,
    State::Established,
    State::Closing,
    State::Released,
];

const EVENTS: [Event; 12] = [
    Event::Handshake,
    Event::SeenHalfOpen,
    Event::SeenOpen,
    Event::OtherHalfOpen,
    Event::OtherOpen,
    Event::SeenTimeWait,
    Event::LingerOver,
    Event::Absent,
    Event::Destroyed,
    Event::DestroyedByAddress,
    Event::Expired,
    Event::Release,
];

#[test]
fn a_released_flow_never_becomes_owned_again() {
    for event in EVENTS {
        assert!(!matches!(step(State::Released, event), Step::Become(_)));
    }
}

#[test]
fn no_flow_ends_at_a_destroy_event_alone() {
    for state in [State::Accepted, State::Established, State::Closing] {
        for event in [Event::Destroyed, Event::DestroyedByAddress] {
            assert!(!matches!(step(state, event), Step::End(_)));
        }
    }
    for answered in [false, true] {
        for event in [Event::Destroyed, Event::DestroyedByAddress, Event::Expired] {
            assert!(!matches!(step_in_doubt(answered, event), Step::End(_)));
        }
    }
}

#[test]
fn in_doubt_only_the_clients_answer_lets_a_flow_end() {
    for event in EVENTS {
        assert!(!matches!(step_in_doubt(false, event), Step::End(_)));
    }
    for answered in [false, true] {
        let step = step_in_doubt(answered, Event::Release);
        assert_eq!(step, Step::Become(State::Released));
    }
}

#[test]
fn a_step_never_leads_to_the_state_that_it_leaves() {
    for state in STATES {
        for event in EVENTS {
            assert_ne!(step(state, event), Step::Become(state));
        }
    }
}

#[test]
fn every_owned_state_can_be_released_and_can_end() {
    for state in STATES.into_iter().filter(|state| state.is_owned()) {
        assert_eq!(step(state, Event::Release), Step::Become(State::Released));
        let ends = |event| matches!(step(state, event), Step::End(_));
        assert!(ends(Event::Expired) || ends(Event::Absent));
    }
}

#[test]
fn open_flows_are_owned() {
    for state in STATES {
        assert!(state.is_owned() || !state.is_open());
    }
}
