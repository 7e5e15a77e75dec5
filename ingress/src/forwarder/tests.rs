use super::*;
use crate::testbed::*;
use crate::{Packet, Verdict};
use jlb_protocol::packet::TcpFlags;
use jlb_protocol::{MemberState, PacketBuf};

mod random;

/// The first worker's state machine, and one more worker.
pub(super) struct Pair {
    pub(super) bed: Bed,
    pub(super) forwarder: Forwarder,
    pub(super) generation: u32,
    pub(super) unreachable: Option<NodeNumber>,
}

impl Pair {
    pub(super) fn new() -> Self {
        Self::with(Bed::new(), 16)
    }

    fn with(bed: Bed, room: u32) -> Self {
        let rules = Arc::new(bed.ingress.rules());
        Self {
            forwarder: Forwarder::new(rules, 1, room, 7),
            bed,
            generation: 1,
            unreachable: None,
        }
    }

    /// With a flow that the client has gone on with, by the other worker.
    fn with_flow() -> Self {
        let mut pair = Self::new();
        pair.bed.accepted(&tcp(100, SYN, b""), 21, birth(9, 1));
        pair.bed.drain();
        pair
    }

    /// What the other worker does with a packet.
    pub(super) fn step(&mut self, packet: &[u8]) -> (Step, PacketBuf) {
        let (step, buf) = self.step_without_room(packet);
        if let Step::HandOn(packet) = step {
            self.forwarder.handed_on(&packet);
        }
        (step, buf)
    }

    /// The same, if nothing can be handed on.
    fn step_without_room(&mut self, packet: &[u8]) -> (Step, PacketBuf) {
        let mut batch = [Packet::new(PacketBuf::from_packet(packet))];
        let mut steps = vec![];
        let none = self.unreachable;
        let reaches = |node| Some(node) != none;
        self.forwarder
            .process(self.bed.now, reaches, &mut batch, &mut steps);
        let [packet] = batch;
        (steps[0], packet.buf)
    }

    /// The first worker's answer to a packet that was handed on.
    pub(super) fn answer(&mut self, packet: &[u8], key: Option<FlowKey>) -> Option<Shortcut> {
        let verdict = self.bed.verdict(packet);
        let key = key.filter(|_| matches!(verdict, Verdict::Forward { .. }))?;
        self.bed.ingress.shortcut(self.bed.now, &key)
    }

    pub(super) fn install(&mut self, number: u64, shortcut: Option<Shortcut>) {
        if let Some(shortcut) = shortcut {
            self.forwarder
                .install(self.bed.now, number, self.generation, &shortcut);
        }
    }

    /// Whether the other worker forwards the packet; if not the first one has it at once.
    fn forwards(&mut self, packet: &[u8]) -> bool {
        match self.step(packet).0 {
            Step::Forward { .. } => true,
            Step::HandOn(HandOn { key, number, .. }) => {
                let shortcut = self.answer(packet, key);
                self.install(number, shortcut);
                false
            }
        }
    }

    pub(super) fn begin(&mut self) {
        self.generation += 1;
        let rules = Arc::new(self.bed.ingress.rules());
        self.forwarder.begin(self.generation, rules);
    }

    /// Hands a packet on: the flow and the number.
    fn handed(&mut self, packet: &[u8]) -> (Option<FlowKey>, u64) {
        match self.step(packet).0 {
            Step::HandOn(HandOn { key, number, .. }) => (key, number),
            Step::Forward { .. } => panic!("it was forwarded"),
        }
    }

    fn pass_millis(&mut self, millis: u64) {
        self.bed.pass(Duration::from_millis(millis));
    }
}

fn data(seq: u32) -> Vec<u8> {
    tcp(seq, ACK, b"GET /")
}

#[test]
fn the_second_packet_of_a_flow_is_forwarded_as_the_first_worker_would() {
    let mut pair = Pair::with_flow();
    assert!(!pair.forwards(&data(101)));
    let (step, buf) = pair.step(&data(106));
    let (verdict, same) = pair.bed.process(&data(106));
    let Step::Forward { to, flow, renew } = step else {
        panic!("{step:?}")
    };
    assert_eq!(verdict, Verdict::Forward { to, flow });
    assert_eq!(buf.as_slice(), same.as_slice());
    assert_eq!(renew, None, "the lease is fresh");
    let stats = pair.forwarder.stats();
    assert_eq!(
        (stats.forwarded, stats.handed_on, stats.shortcuts),
        (1, 1, 1)
    );
}

#[test]
fn what_is_handed_on_is_as_it_was() {
    let mut pair = Pair::with_flow();
    let packet = data(101);
    let (step, buf) = pair.step(&packet);
    let Step::HandOn(HandOn {
        number: 1,
        key: Some(_),
        opens: false,
        ..
    }) = step
    else {
        panic!("{step:?}")
    };
    assert_eq!(buf.as_slice(), packet);
    let (step, buf) = pair.step(b"no packet");
    let Step::HandOn(HandOn {
        number: 2,
        key: None,
        opens: true,
        ..
    }) = step
    else {
        panic!("{step:?}")
    };
    assert_eq!(buf.as_slice(), b"no packet");
}

#[test]
fn a_flow_whose_client_has_not_spoken_has_no_shortcut() {
    let mut pair = Pair::with_flow();
    let key = FlowKey::new(ip(CLIENT4), 40_000, service(WEB4), 80);
    assert_eq!(pair.bed.ingress.shortcut(pair.bed.now, &key), None);
    pair.bed.verdict(&data(101));
    assert!(pair.bed.ingress.shortcut(pair.bed.now, &key).is_some());
}

#[test]
fn a_lease_ends_and_is_renewed_before_it_does() {
    let mut pair = Pair::with_flow();
    pair.forwards(&data(101));
    pair.pass_millis(1_000);
    assert!(!pair.forwards(&data(102)), "the lease is over");
    assert!(pair.forwards(&data(103)));
    pair.pass_millis(600);
    let Step::Forward {
        renew: Some((key, number)),
        ..
    } = pair.step(&data(104)).0
    else {
        panic!("half of the lease is over")
    };
    let Step::Forward { renew, .. } = pair.step(&data(105)).0 else {
        panic!("it holds")
    };
    assert_eq!(renew, None, "it was asked for");
    let shortcut = pair.bed.ingress.shortcut(pair.bed.now, &key);
    pair.install(number, shortcut);
    pair.pass_millis(600);
    assert!(pair.forwards(&data(106)), "by the new lease");
    assert_eq!(pair.forwarder.stats().renewals, 2);
    pair.pass_millis(500);
    assert!(!pair.forwards(&data(107)), "which ends as well");
}

#[test]
fn a_lease_is_a_quarter_of_the_shortest_idleness_at_most() {
    for (idle, lease) in [(60_000, 1_000), (4_000, 1_000), (1_000, 250)] {
        let mut config = config();
        config.timers.cache_idle = Duration::from_millis(idle);
        let mut pair = Pair::with(Bed::with(config, view()), 16);
        pair.bed.accepted(&tcp(100, SYN, b""), 21, birth(9, 1));
        assert!(!pair.forwards(&data(101)));
        assert!(pair.forwards(&data(102)), "{idle}");
        pair.pass_millis(lease);
        assert!(!pair.forwards(&data(103)), "{idle}");
    }
}

#[test]
fn an_entry_stays_as_long_as_its_flow_may_go_by_a_shortcut() {
    let mut config = config();
    config.timers.cache_idle = Duration::from_secs(4);
    let mut pair = Pair::with(Bed::with(config, view()), 16);
    pair.bed.accepted(&tcp(100, SYN, b""), 21, birth(9, 1));
    pair.forwards(&data(101));
    // The last packet is forwarded just before the lease ends; the first worker never sees it.
    pair.pass_millis(900);
    assert!(pair.forwards(&data(102)));
    pair.pass_millis(3_950);
    assert_eq!(pair.bed.check().flows, 1, "not idle for 4 s yet");
    pair.pass_millis(400);
    assert_eq!(pair.bed.check().flows, 0);
}

#[test]
fn another_generation_ends_all_shortcuts() {
    let mut pair = Pair::with_flow();
    pair.forwards(&data(101));
    // Without an ACK it is the first worker's.
    let (key, number) = pair.handed(&tcp(102, TcpFlags::PSH, b""));
    let old = pair.bed.ingress.shortcut(pair.bed.now, &key.unwrap());
    pair.bed.sees(view_with(
        &[(11, MemberState::Active)],
        &[(21, MemberState::Down)],
    ));
    pair.begin();
    // What was made before the host was down comes late.
    pair.forwarder
        .install(pair.bed.now, number, pair.generation - 1, &old.unwrap());
    assert!(!pair.forwards(&data(103)));
    assert!(
        !pair.forwards(&data(104)),
        "its host is down: the tracker is asked"
    );
    assert!(pair.bed.check().down_host_misses > 0);
    pair.bed.sees(view());
    pair.begin();
    let mut pair = Pair::with_flow();
    pair.forwards(&data(101));
    pair.begin();
    assert!(!pair.forwards(&data(105)));
    assert!(pair.forwards(&data(106)), "in the new generation");
}

#[test]
fn what_begins_or_ends_a_life_ends_the_shortcut_first() {
    for flags in [SYN, TcpFlags::FIN | ACK, TcpFlags::RST, TcpFlags::RST | ACK] {
        let mut pair = Pair::with_flow();
        pair.forwards(&data(101));
        assert!(pair.forwards(&data(102)));
        assert!(pair.handed(&tcp(500, flags, b"")).0.is_some(), "{flags:?}");
        assert!(pair.handed(&data(501)).0.is_some(), "{flags:?}");
        assert_eq!(pair.forwarder.stats().shortcuts, 0);
    }
}

#[test]
fn a_syn_in_the_same_batch_counts() {
    let mut pair = Pair::with_flow();
    pair.forwards(&data(101));
    let packets = [data(102), tcp(500, SYN, b""), data(103)];
    let mut batch = packets.map(|packet| Packet::new(PacketBuf::from_packet(&packet)));
    let mut steps = vec![];
    pair.forwarder
        .process(pair.bed.now, |_| true, &mut batch, &mut steps);
    assert!(matches!(steps[0], Step::Forward { .. }));
    let opens = |step: &Step| match step {
        Step::HandOn(packet) => packet.key.map(|_| packet.opens),
        Step::Forward { .. } => None,
    };
    assert_eq!(opens(&steps[1]), Some(true));
    assert_eq!(opens(&steps[2]), Some(false));
}

#[test]
fn a_shortcut_from_before_a_syn_comes_too_late() {
    let mut pair = Pair::with_flow();
    let (key, number) = pair.handed(&data(101));
    let early = pair.answer(&data(101), key);
    assert!(early.is_some());
    let (_, of_syn) = pair.handed(&tcp(500, SYN, b""));
    pair.install(number, early);
    assert!(matches!(pair.step(&data(102)).0, Step::HandOn(..)));
    assert!(of_syn > number);
    // Nor does the first worker make one while a SYN is asked for.
    assert_eq!(pair.answer(&tcp(500, SYN, b""), key), None);
    assert_eq!(pair.answer(&data(102), key), None);
}

#[test]
fn a_burst_that_was_handed_on_comes_first() {
    let mut pair = Pair::with_flow();
    let (key, first) = pair.handed(&data(101));
    let (_, second) = pair.handed(&data(102));
    let shortcut = pair.answer(&data(101), key);
    pair.install(first, shortcut);
    assert_eq!(pair.forwarder.stats().shortcuts, 0, "102 is on its way");
    let shortcut = pair.answer(&data(102), key);
    pair.install(second, shortcut);
    assert!(pair.forwards(&data(103)));
}

/// The first worker answers each packet when the next one is on its way already.
fn busy(pair: &mut Pair, last: (Option<FlowKey>, u64), every: u64, packets: u32) -> Option<u32> {
    let (mut key, mut number) = last;
    for seq in 0..packets {
        let shortcut = pair.answer(&data(101 + seq), key);
        assert!(shortcut.is_some());
        let (step, _) = pair.step(&data(102 + seq));
        pair.install(number, shortcut);
        match step {
            Step::Forward { .. } => return Some(seq),
            Step::HandOn(packet) => (key, number) = (packet.key, packet.number),
        }
        pair.pass_millis(every);
    }
    None
}

#[test]
fn a_flow_that_never_pauses_has_its_shortcut_after_a_few_answers() {
    let mut pair = Pair::with_flow();
    let first = pair.handed(&data(101));
    assert_eq!(busy(&mut pair, first, 1, 20), Some(3));
    // A lease that holds is prolonged however much is on its way.
    pair.pass_millis(600);
    let Step::Forward {
        renew: Some((key, number)),
        ..
    } = pair.step(&data(200)).0
    else {
        panic!("half of the lease is over")
    };
    let shortcut = pair.bed.ingress.shortcut(pair.bed.now, &key);
    pair.handed(&tcp(201, TcpFlags::PSH, b""));
    pair.install(number, shortcut);
    pair.pass_millis(600);
    assert!(pair.forwards(&data(202)));
}

#[test]
fn each_burst_has_the_same_patience() {
    let mut pair = Pair::with_flow();
    for _ in 0..2 {
        let first = pair.handed(&data(101));
        assert_eq!(busy(&mut pair, first, 0, 50), None, "all at once");
        // Nothing of it is answered after that.
        pair.pass_millis(1_500);
    }
}

#[test]
fn a_flow_that_never_pauses_waits_for_what_follows_a_syn() {
    let mut pair = Pair::with_flow();
    let (key, number) = pair.handed(&data(101));
    let early = pair.answer(&data(101), key);
    pair.handed(&tcp(500, SYN, b""));
    for _ in 0..10 {
        pair.pass_millis(10);
        pair.install(number, early);
        pair.handed(&data(102));
    }
    assert_eq!(pair.forwarder.stats().shortcuts, 0);
}

#[test]
fn what_found_no_room_voids_no_answer() {
    let mut pair = Pair::with_flow();
    let (key, number) = pair.handed(&data(101));
    let shortcut = pair.answer(&data(101), key);
    for packet in [data(102), tcp(500, SYN, b"")] {
        let (step, _) = pair.step_without_room(&packet);
        assert!(matches!(step, Step::HandOn(_)), "{step:?}");
    }
    pair.install(number, shortcut);
    assert!(pair.forwards(&data(103)));
}

#[test]
fn a_lease_that_could_not_be_asked_for_is_asked_for_again() {
    let mut pair = Pair::with_flow();
    pair.forwards(&data(101));
    pair.pass_millis(600);
    let renew = |pair: &mut Pair, seq| match pair.step(&data(seq)).0 {
        Step::Forward { renew, .. } => renew,
        Step::HandOn(_) => panic!("the lease holds"),
    };
    for seq in 102..105 {
        let (key, _) = renew(&mut pair, seq).unwrap();
        pair.forwarder.not_asked(&key);
    }
    assert_eq!(pair.forwarder.stats().renewals, 0);
    let (key, number) = renew(&mut pair, 105).unwrap();
    let shortcut = pair.bed.ingress.shortcut(pair.bed.now, &key);
    pair.install(number, shortcut);
    assert_eq!(pair.forwarder.stats().renewals, 1);
    pair.pass_millis(600);
    assert!(pair.forwards(&data(106)));
}

#[test]
fn what_is_not_of_a_connection_under_way_is_handed_on() {
    let mut pair = Pair::with_flow();
    pair.forwards(&data(101));
    let mut fragment = data(102);
    fragment[6] |= 0x20;
    fragment[10..12].fill(0);
    for packet in [
        fragment,
        tcp(103, TcpFlags::PSH, b"no ACK"),
        tcp(104, ACK, &[0; 1_361]),
        b"\x45".to_vec(),
        vec![],
    ] {
        assert!(matches!(pair.step(&packet).0, Step::HandOn(..)));
    }
    assert!(matches!(
        pair.step(&tcp(105, ACK, &[0; 1_360])).0,
        Step::Forward { .. }
    ));
}

#[test]
fn a_host_without_a_session_gets_nothing_by_this_worker() {
    let mut pair = Pair::with_flow();
    pair.forwards(&data(101));
    pair.unreachable = Some(node(21));
    assert!(!pair.forwards(&data(102)));
    pair.unreachable = None;
    assert!(pair.forwards(&data(103)));
}

#[test]
fn a_full_table_refuses_and_room_comes_back() {
    let mut pair = Pair::with(Bed::new(), 2);
    let packets: Vec<_> = (0..3)
        .map(|client| {
            let packet =
                |flags, seq| tcp_between((CLIENT4, 40_000 + client), (VIP4, 80), seq, flags, b"");
            pair.bed.accepted(&packet(SYN, 100), 21, birth(9, 1));
            packet(ACK, 101)
        })
        .collect();
    for packet in &packets {
        assert!(!pair.forwards(packet));
    }
    assert!(pair.forwards(&packets[0]) && pair.forwards(&packets[1]));
    assert!(!pair.forwards(&packets[2]));
    let stats = pair.forwarder.stats();
    assert_eq!((stats.no_room, stats.shortcuts), (2, 2));
    pair.pass_millis(1_100);
    pair.forwarder.expire(pair.bed.now);
    assert_eq!(pair.forwarder.stats().shortcuts, 0);
    assert!(!pair.forwards(&packets[2]));
    assert!(pair.forwards(&packets[2]));
}

#[test]
fn a_renewed_shortcut_outlives_its_first_deadline() {
    let mut pair = Pair::with_flow();
    pair.forwards(&data(101));
    pair.pass_millis(600);
    let Step::Forward {
        renew: Some((key, number)),
        ..
    } = pair.step(&data(102)).0
    else {
        panic!()
    };
    let shortcut = pair.bed.ingress.shortcut(pair.bed.now, &key);
    pair.install(number, shortcut);
    pair.pass_millis(600);
    pair.forwarder.expire(pair.bed.now);
    assert_eq!(pair.forwarder.stats().shortcuts, 1);
    pair.pass_millis(600);
    pair.forwarder.expire(pair.bed.now);
    assert_eq!(pair.forwarder.stats().shortcuts, 0);
}

#[test]
fn a_shortcut_lies_in_one_cache_line() {
    let table: FlowTable<FlowKey, Lent, Lines> =
        FlowTable::in_lines(1 << 16, Duration::from_millis(1), 1);
    let empty = table.allocated_bytes();
    let mut table = table;
    for port in 0..u16::MAX {
        let key = FlowKey::new(ip(CLIENT4), port, service(WEB4), 80);
        let lent = Lent {
            birth: birth(1, 1),
            flow: 1,
            until: 1,
            generation: 1,
            host: node(21),
            asked: false,
        };
        table.insert(key, lent).unwrap();
    }
    let each = (table.allocated_bytes() - empty) / (1 << 16);
    assert_eq!(each, 64);
}
