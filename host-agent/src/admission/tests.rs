use super::*;
use crate::signals::{AcceptQueue, Machine, Readings, Server};
use core::time::Duration;
use jlb_protocol::Time;

fn with(connections: u32) -> Signals {
    Signals {
        connections,
        ..Signals::default()
    }
}

fn queue(waiting: u32, backlog: u32, accepted: u32) -> Signals {
    Signals {
        readings: Readings {
            queue: Some(AcceptQueue { waiting, backlog }),
            accepted,
            ..Readings::default()
        },
        ..Signals::default()
    }
}

fn machine(cpu: Option<u16>, memory: Option<u16>) -> Signals {
    Signals {
        machine: Machine { cpu, memory },
        ..Signals::default()
    }
}

fn server(connections: u32, load: Option<u16>, latency: Option<u64>) -> Signals {
    let latency = latency.map(Duration::from_millis);
    Signals {
        readings: Readings {
            server: Server { load, latency },
            ..Readings::default()
        },
        ..with(connections)
    }
}

fn gate(change: impl FnOnce(&mut config::Admission)) -> Gate {
    let mut config = config::Admission::default();
    change(&mut config);
    Gate::new(&config)
}

fn max_connections(max: u32) -> Gate {
    Gate::new(&config::Admission::max_connections(max))
}

#[test]
fn without_a_policy_each_flow_is_taken() {
    let gate = gate(|_| ());
    for signals in [with(u32::MAX), queue(9, 1, 9), machine(Some(FULL), None)] {
        assert_eq!(gate.room(&signals), u32::MAX);
        assert_eq!(gate.refusal(&signals), None);
    }
    assert_eq!(gate.load(&with(7)), 0);
}

#[test]
fn a_load_is_the_servers_own_word_or_else_the_processors() {
    let gate = gate(|_| ());
    let mut signals = machine(Some(700), Some(9_000));
    assert_eq!(gate.load(&signals), 700);
    signals.readings.server.load = Some(300);
    assert_eq!(gate.load(&signals), 300);
    // The part of a limit that is used counts where it is higher.
    signals.connections = 5;
    assert_eq!(max_connections(10).load(&signals), FULL / 2);
}

#[test]
fn max_connections_stops_at_the_limit() {
    let gate = max_connections(4);
    assert_eq!(gate.refusal(&with(3)), None);
    assert_eq!(gate.refusal(&with(4)), Some(Cause::MaxConnections));
    assert_eq!(gate.refusal(&with(5)), Some(Cause::MaxConnections));
    assert_eq!(gate.room(&with(1)), 3);
    assert_eq!(gate.load(&with(0)), 0);
    assert_eq!(gate.load(&with(2)), FULL / 2);
    assert_eq!(gate.load(&with(4)), FULL);
    assert_eq!(gate.load(&with(9)), FULL);
}

#[test]
fn a_limit_of_zero_is_full_from_the_start() {
    let gate = max_connections(0);
    assert_eq!(gate.room(&with(0)), 0);
    assert_eq!(gate.load(&with(0)), FULL);
}

#[test]
fn a_queue_that_is_behind_has_room_up_to_the_limit_less_what_came_since() {
    let gate = gate(|config| config.accept_queue = Some(8));
    assert_eq!(gate.room(&queue(3, 100, 0)), 5);
    assert_eq!(gate.room(&queue(3, 100, 4)), 1);
    assert_eq!(gate.refusal(&queue(3, 100, 5)), Some(Cause::AcceptQueue));
    assert_eq!(gate.refusal(&queue(9, 100, 0)), Some(Cause::AcceptQueue));
    assert_eq!(gate.load(&queue(4, 100, 0)), FULL / 2);
}

#[test]
fn a_queue_that_was_empty_has_its_backlog_to_spare() {
    let gate = gate(|config| config.accept_queue = Some(8));
    assert_eq!(gate.room(&queue(0, 100, 60)), 40);
    assert_eq!(gate.room(&queue(0, 100, 100)), 0);
}

#[test]
fn a_backlog_below_the_limit_is_the_limit() {
    let gate = gate(|config| config.accept_queue = Some(8));
    assert_eq!(gate.room(&queue(3, 4, 0)), 1);
    assert_eq!(gate.room(&queue(4, 4, 0)), 0);
}

#[test]
fn a_share_rejects_from_its_limit_on() {
    let cpu = gate(|config| config.cpu = Some(50_000));
    assert_eq!(cpu.refusal(&machine(Some(49_999), None)), None);
    assert_eq!(cpu.refusal(&machine(Some(50_000), None)), Some(Cause::Cpu));
    assert_eq!(cpu.load(&machine(Some(25_000), None)), FULL / 2);
    let memory = gate(|config| config.memory = Some(60_000));
    let used = machine(None, Some(60_001));
    assert_eq!(memory.refusal(&used), Some(Cause::Memory));
    let load = gate(|config| config.load = Some(30_000));
    let full = server(0, Some(30_000), None);
    assert_eq!(load.refusal(&full), Some(Cause::Load));
}

#[test]
fn what_is_not_known_rejects_nothing() {
    let gate = gate(|config| {
        config.cpu = Some(1);
        config.memory = Some(1);
        config.load = Some(1);
        config.accept_queue = Some(1);
        config.latency = Some(Duration::from_millis(1));
    });
    assert_eq!(gate.room(&with(1_000)), u32::MAX);
    assert_eq!(gate.load(&with(1_000)), 0);
}

#[test]
fn any_of_several_says_no_and_the_first_is_the_cause() {
    let gate = gate(|config| {
        config.max_connections = Some(10);
        config.cpu = Some(50_000);
    });
    let mut signals = machine(Some(10), None);
    signals.connections = 4;
    assert_eq!(gate.room(&signals), 6);
    signals.machine.cpu = Some(50_000);
    assert_eq!(gate.refusal(&signals), Some(Cause::Cpu));
    signals.connections = 10;
    assert_eq!(gate.refusal(&signals), Some(Cause::MaxConnections));
    signals.machine.cpu = Some(10);
    assert_eq!(gate.refusal(&signals), Some(Cause::MaxConnections));
}

/// The limit that a gate has found: its room without connections.
fn limit(gate: &Gate) -> u32 {
    gate.room(&with(0))
}

#[test]
fn the_adaptive_limit_rises_with_rejects_and_falls_with_accepts() {
    let mut gate = gate(|config| config.adaptive = true);
    assert_eq!(limit(&gate), 1);
    let decide = |gate: &mut Gate, taken: u32, of: u32| {
        (0..of).for_each(|nth| gate.decided(nth < taken));
    };
    decide(&mut gate, 19, 49);
    assert_eq!(limit(&gate), 1, "the window is not full");
    decide(&mut gate, 0, 1);
    assert_eq!(limit(&gate), 2);
    decide(&mut gate, 20, 50);
    decide(&mut gate, 30, 50);
    assert_eq!(limit(&gate), 2, "between 40 and 60 % it stays");
    decide(&mut gate, 31, 50);
    decide(&mut gate, 50, 50);
    assert_eq!(limit(&gate), 1, "it never takes none");
    (0..60).for_each(|_| decide(&mut gate, 0, 50));
    assert!(limit(&gate) > 100, "a large one moves faster");
}

#[test]
fn the_adaptive_limit_follows_what_a_host_gets() {
    // A host that is offered a flow as often as one of its own ends: about half are taken.
    let mut gate = gate(|config| config.adaptive = true);
    let mut connections = 0_u32;
    let (mut offers, mut taken) = (0, 0);
    for nth in 0..20_000_u32 {
        let takes = gate.room(&with(connections)) > 0;
        gate.decided(takes);
        connections += u32::from(takes);
        if nth % 2 == 0 {
            connections = connections.saturating_sub(1);
        }
        if nth > 10_000 {
            offers += 1;
            taken += u32::from(takes);
        }
    }
    let percent = taken * 100 / offers;
    assert!((45..=55).contains(&percent), "{percent}");
}

#[test]
fn the_latency_limit_begins_when_the_server_is_slow_and_finds_its_place() {
    let mut gate = gate(|config| config.latency = Some(Duration::from_millis(50)));
    gate.server_read(&server(80, None, Some(50)));
    assert_eq!(limit(&gate), u32::MAX);
    gate.server_read(&server(80, None, Some(51)));
    assert_eq!(limit(&gate), 70);
    assert_eq!(gate.refusal(&with(70)), Some(Cause::Latency));
    assert_eq!(gate.load(&with(35)), FULL / 2);
    // A check that failed says nothing; one that is good while few are there, neither.
    gate.server_read(&server(80, None, None));
    gate.server_read(&server(20, None, Some(1)));
    assert_eq!(limit(&gate), 70);
    gate.server_read(&server(70, None, Some(1)));
    assert_eq!(limit(&gate), 74);
    gate.server_read(&server(0, None, Some(900)));
    assert_eq!(limit(&gate), 1, "one is always taken");
}

#[test]
fn the_latency_limit_keeps_a_server_near_its_objective() {
    // A server whose latency is 1 ms a connection, offered more than it bears.
    let mut gate = gate(|config| config.latency = Some(Duration::from_millis(50)));
    let mut seen = Vec::new();
    let mut connections = 0_u32;
    for _ in 0..500 {
        connections = (connections + 30).min(limit(&gate));
        gate.server_read(&server(connections, None, Some(connections.into())));
        seen.push(connections);
    }
    let last = &seen[250..];
    assert!(last.iter().all(|it| (40..=56).contains(it)), "{last:?}");
}

#[test]
fn a_change_of_configuration_keeps_what_was_learnt() {
    let mut gate = gate(|config| {
        config.adaptive = true;
        config.latency = Some(Duration::from_millis(50));
    });
    (0..500).for_each(|_| gate.decided(false));
    gate.server_read(&server(80, None, Some(51)));
    let before = limit(&gate);
    assert!(before > 1);
    let mut other = Gate::new(&config::Admission {
        max_connections: Some(1_000),
        adaptive: true,
        latency: Some(Duration::from_millis(60)),
        ..config::Admission::default()
    });
    other.learn(&gate);
    assert_eq!(limit(&other), before);
    let mut none = Gate::new(&config::Admission::default());
    none.learn(&other);
    assert_eq!(limit(&none), u32::MAX);
}

#[test]
fn what_a_policy_has_learnt_is_in_the_digest() {
    let digest = |gate: &Gate| {
        let mut words = std::string::String::new();
        gate.digest(&mut Digester::in_words(Time::ZERO, &mut words));
        words
    };
    // What is fixed is not.
    assert_eq!(digest(&max_connections(3)), "");
    let mut adaptive = gate(|config| config.adaptive = true);
    let before = digest(&adaptive);
    adaptive.decided(true);
    assert_ne!(digest(&adaptive), before);
    let mut latency = gate(|config| config.latency = Some(Duration::from_millis(100)));
    let before = digest(&latency);
    latency.server_read(&server(3, None, Some(500)));
    assert_ne!(digest(&latency), before);
}
