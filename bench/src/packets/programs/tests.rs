use std::collections::BTreeSet;

use super::*;

const ENDS: [[u8; 6]; 2] = [[2, 0, 0, 0, 0, 1], [2, 0, 0, 0, 0, 2]];
const VIP: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 10);

fn generator(what: What) -> Generator {
    assert!(
        rustix::process::geteuid().is_root(),
        "this test loads eBPF programs: run it as root"
    );
    Generator::new(1, ENDS, VIP, what).unwrap()
}

#[test]
fn packets_of_all_flows_are_made_one_after_the_other() {
    for (what, protocol, port) in [(What::Syn, 6, 80), (What::Datagram, 17, 7)] {
        let generator = generator(what);
        // Flows on both sides of where the client's address changes.
        let (from, to) = (16_380_u64, 16_390);
        let state = [from, 0, 0, 0, 0, from, to];
        generator.state.set(&0, &state).unwrap();
        let mut flows = BTreeSet::new();
        let mut used = generator.frame.clone();
        for _ in 0..25 {
            // What a forwarder does to a copy before it is used again.
            used[22] -= 1;
            used[..12].fill(7);
            let run = generator.program.try_on(&used, 1).unwrap();
            assert_eq!(run.action, Action::Redirect);
            used = run.packet;
            assert_eq!(checksum::plain(&used[14..34]), 0, "{used:?}");
            assert_eq!((used[22], used[23]), (64, protocol));
            assert_eq!(used[..12], [ENDS[1], ENDS[0]].concat());
            assert_eq!(used[30..34], VIP.octets());
            assert_eq!(used[36..38], u16::to_be_bytes(port));
            flows.insert((used[26..30].to_vec(), used[34..36].to_vec()));
        }
        assert_eq!(flows.len(), 10);
    }
}

#[test]
fn packets_are_made_at_their_pace() {
    let generator = generator(What::Datagram);
    let interval = 20_000;
    let state = [0, 0, interval, 0, 0, 0, 8];
    generator.state.set(&0, &state).unwrap();
    for _ in 0..50 {
        generator.program.try_on(&generator.frame, 1).unwrap();
    }
    let [_, due, _, first, last, ..] = generator.state().unwrap();
    assert!(last - first >= 49 * interval);
    assert_eq!(due - first, 50 * interval);
}

#[test]
fn messages_with_packets_are_counted_and_dropped_and_others_pass() {
    generator(What::Syn);
    let counter = Counter::new(Counted::Messages).unwrap();
    let mut message = vec![0; 80];
    message[12..15].copy_from_slice(&[8, 0, 0x45]);
    message[23] = 17;
    message[36..38].copy_from_slice(&6_081_u16.to_be_bytes());
    let mut act = |kind, change: Option<usize>| {
        message[55] = kind;
        let mut message = message.clone();
        if let Some(at) = change {
            message[at] ^= 1;
        }
        counter.program.try_on(&message, 1).unwrap().action
    };
    assert_eq!(act(8, None), Action::Drop);
    assert_eq!(act(8, None), Action::Drop);
    assert_eq!(act(1, None), Action::Drop);
    for kind in [0, 2, 3, 9, 32, 33] {
        assert_eq!(act(kind, None), Action::Pass, "{kind}");
    }
    for at in [12, 13, 14, 23, 36, 37] {
        assert_eq!(act(8, Some(at)), Action::Pass, "{at}");
    }
    assert_eq!(counter.count().unwrap(), 2);
    let short = counter.program.try_on(&[0; 55], 1).unwrap();
    assert_eq!(short.action, Action::Pass);

    let all = Counter::new(Counted::All).unwrap();
    assert_eq!(
        all.program.try_on(&[0; 14], 3).unwrap().action,
        Action::Drop
    );
    assert_eq!(all.count().unwrap(), 3);
}
