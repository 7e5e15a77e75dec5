use super::*;
use crate::report::Report;
use jlb_host_agent::Until;
use jlb_membership::{Known, Membership};
use jlb_packet_io::wait::Waker;
use jlb_protocol::keyed_hash::FlowHash;
use jlb_protocol::link::{self, MessageKey, MessageKeys, PeerAddress};
use jlb_protocol::message::{Control, FlowKind, FlowMessage, Hunt, Intent, Path, Reason, Tried};
use jlb_protocol::{DropReason, FlowKey, MemberState, OfferNumber, Role, ServiceNumber, View};
use std::collections::{BTreeSet, VecDeque};
use std::net::Ipv4Addr;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use tokio::sync::{mpsc, oneshot};

mod workers;

const PATIENCE: Duration = Duration::from_secs(10);

fn node(number: u16) -> NodeNumber {
    NodeNumber::new(number).unwrap()
}

fn address(number: u16) -> IpAddr {
    IpAddr::V4(Ipv4Addr::new(127, 0, 76, u8::try_from(number).unwrap()))
}

/// What a test and the machine under a data path share.
#[derive(Default)]
struct Script {
    to_send: VecDeque<Transmit>,
    messages: u64,
    started: Vec<NodeNumber>,
    recycled: u64,
    ledger: Ledger,
    view: View,
    /// The configurations that it was given.
    configs: Vec<RoleConfig>,
    filled: bool,
    /// What it was told of draining.
    drains: Vec<Option<Until>>,
    /// State machines made anew.
    renewed: u64,
    /// How long the machine is to keep its thread, once.
    hang: Option<Duration>,
    /// How long it is to take for a message, once.
    hang_over_message: Option<Duration>,
    /// How long storing an incarnation takes, and making a new state machine.
    slow_renewal: Duration,
    /// Whether an incarnation can't be stored.
    full_disk: bool,
    /// What other workers read packets by.
    rules: Option<jlb_ingress::Rules>,
}

fn hang_for(time: Duration) {
    // Nobody sends on a channel that both ends of are here.
    let (_keep, nothing) = std::sync::mpsc::channel::<()>();
    let _ = nothing.recv_timeout(time);
}

/// A machine that sends what it is told to and wants every packet delivered.
struct Scripted(Arc<Mutex<Script>>);

impl Machine for Scripted {
    fn process(&mut self, _: Time, _: &mut [Packet]) -> bool {
        false
    }

    fn rules(&self) -> Option<jlb_ingress::Rules> {
        self.0.lock().unwrap().rules.clone()
    }

    fn count_forwarded(&mut self, packets: u64) {
        let mut script = self.0.lock().unwrap();
        script.ledger.received += packets;
        script.ledger.sent += packets;
    }

    fn handle_message(&mut self, _: Time, _: NodeNumber, message: &Message<'_>) -> Taken {
        let mut script = self.0.lock().unwrap();
        if let Some(hang) = script.hang_over_message.take() {
            drop(script);
            hang_for(hang);
            script = self.0.lock().unwrap();
        }
        script.messages += 1;
        script.ledger.received += 1;
        match message {
            Message::Flow(_) => {
                script.ledger.delivered += 1;
                Taken::Deliver
            }
            Message::Control(_) => {
                script.ledger.consumed += 1;
                Taken::Done
            }
        }
    }

    fn handle_peer_started(&mut self, _: Time, node: NodeNumber) {
        self.0.lock().unwrap().started.push(node);
    }

    fn handle_view(&mut self, _: Time, view: &View) {
        self.0.lock().unwrap().view = view.clone();
    }

    fn handle_config(&mut self, _: Time, config: RoleConfig) {
        self.0.lock().unwrap().configs.push(config);
    }

    fn handle_drain(&mut self, _: Time, until: Option<Until>) {
        self.0.lock().unwrap().drains.push(until);
    }

    fn is_filled(&self) -> bool {
        self.0.lock().unwrap().filled
    }

    fn handle_timeout(&mut self, _: Time) {}

    fn poll_timeout(&self) -> Option<Time> {
        None
    }

    fn poll_transmit(&mut self) -> Option<Transmit> {
        let mut script = self.0.lock().unwrap();
        if let Some(hang) = script.hang.take() {
            drop(script);
            hang_for(hang);
            script = self.0.lock().unwrap();
        }
        let transmit = script.to_send.pop_front()?;
        script.ledger.created += 1;
        script.ledger.sent += 1;
        Some(transmit)
    }

    fn recycle(&mut self, _: PacketBuf) {
        self.0.lock().unwrap().recycled += 1;
    }

    fn ledger(&self) -> Ledger {
        self.0.lock().unwrap().ledger.clone()
    }

    fn report(&self, _: Time, _: &dyn Fn(NodeNumber) -> String, _: &mut Report) {}
}

/// A data thread, and the other ends of its channels.
struct Running {
    script: Arc<Mutex<Script>>,
    commands: SyncSender<Command>,
    waker: Waker,
    notices: mpsc::Receiver<Notice>,
    thread: JoinHandle<Result<(), Error>>,
}

/// How long the nodes of these tests may be silent: so long that a busy machine is no pause.
const SILENCE: Duration = Duration::from_secs(2);

/// A node as [`pair`] starts it.
struct Setting {
    role: Role,
    fixed: bool,
}

const FIXED: Setting = Setting {
    role: Role::FlowTracker,
    fixed: true,
};

fn members(number: u16, peers: &[u16], setting: &Setting) -> Members {
    let underlay = |number| match address(number) {
        IpAddr::V4(v4) => jlb_config::Underlay {
            v4: Some(v4),
            v6: None,
        },
        IpAddr::V6(_) => panic!("these tests are over IPv4"),
    };
    let known = |number, role| Known {
        node: node(number),
        role,
        v4: underlay(number).v4,
        v6: None,
        domain: None,
    };
    let config = jlb_membership::Config {
        node: node(number),
        role: setting.role,
        incarnation: 100 + u32::from(number),
        heartbeat: Duration::from_millis(50),
        failure_timeout: SILENCE,
        host_heartbeat: Duration::from_millis(50),
        host_timeout: SILENCE,
        max_nodes: 8,
        fixed: setting.fixed,
    };
    let other = match setting.role {
        Role::FlowTracker => Role::FlowTracker,
        Role::Ingress => Role::HostAgent,
        Role::HostAgent => Role::Ingress,
    };
    let own = std::iter::once(known(number, setting.role));
    let known = own.chain(peers.iter().map(|&peer| known(peer, other)));
    let membership = Membership::new(config, known.collect(), clock::now());
    Members::new(
        membership,
        node(number),
        setting.role,
        underlay(number),
        BTreeSet::new(),
    )
}

fn start(number: u16, peers: &[u16], port: u16, setting: &Setting) -> Running {
    start_with(number, peers, port, setting, |_, _| None)
}

/// The same with other workers, which are made for a link and its waker.
fn start_with(
    number: u16,
    peers: &[u16],
    port: u16,
    setting: &Setting,
    forwarders: impl FnOnce(&Link, &Waker) -> Option<Forwarders>,
) -> Running {
    let script = Arc::new(Mutex::new(Script::default()));
    let (commands, inbox) = sync_channel(4);
    let (to_control, notices) = mpsc::channel(64);
    let waker = Waker::new().unwrap();
    let key = MessageKey {
        id: 1,
        secret: [7; 16],
    };
    let members = members(number, peers, setting);
    let mut incarnation = 100 + u32::from(number);
    let again = Arc::clone(&script);
    let fresh: Fresh<Scripted> = Box::new(move |_, view| {
        let slow = again.lock().unwrap().slow_renewal;
        hang_for(slow);
        let mut script = again.lock().unwrap();
        script.renewed += 1;
        script.view = view;
        Scripted(Arc::clone(&again))
    });
    let disk = Arc::clone(&script);
    let life = Life::new(
        move || {
            let (slow, full) = {
                let script = disk.lock().unwrap();
                (script.slow_renewal, script.full_disk)
            };
            hang_for(slow);
            incarnation += 1;
            if full {
                let source = std::io::ErrorKind::StorageFull.into();
                let path = "incarnation".into();
                return Err(Error::State { path, source });
            }
            Ok(incarnation)
        },
        Some(fresh),
    );
    let config = link::Config {
        role: setting.role,
        state: members.state(),
        node: node(number),
        incarnation: 100 + u32::from(number),
        worker: 0,
        keys: MessageKeys::new(key, Vec::new()),
        peers: peers
            .iter()
            .map(|&peer| PeerAddress {
                node: node(peer),
                local: address(number),
                remote: address(peer),
            })
            .collect(),
        port,
        hello_interval: Duration::from_millis(50),
        view: 1,
        config: 2,
    };
    let link = Link::new(config, 9, clock::now());
    let path = DataPath {
        machine: Scripted(Arc::clone(&script)),
        forwarders: forwarders(&link, &waker),
        link,
        underlay: Underlay::bind(&[address(number)], port).unwrap(),
        tun: None,
        frames: None,
        stripper: None,
        sockets: None,
        channels: Channels {
            commands: inbox,
            waker: waker.clone(),
            notices: to_control,
        },
        names: peers
            .iter()
            .map(|&peer| (node(peer), format!("node {peer}")))
            .collect(),
        members,
        draining: Draining::default(),
        life,
        max_inner: 1_388,
        coalesce: None,
    };
    Running {
        script,
        commands,
        waker,
        notices,
        thread: std::thread::spawn(move || path.run()),
    }
}

impl Running {
    fn report(&self) -> Report {
        let (reply, answer) = oneshot::channel();
        self.commands.send(Command::Report(reply)).unwrap();
        self.waker.wake();
        let report = answer.blocking_recv().unwrap();
        for ledger in [&report.stack, &report.link, &report.role] {
            assert_eq!(ledger.imbalance(), 0, "{ledger:?}");
        }
        report
    }

    /// Asks for reports until one is as it should be; the last one in any case.
    fn report_when(&self, wanted: impl Fn(&Report) -> bool) -> Report {
        let give_up = clock::now() + PATIENCE;
        loop {
            let report = self.report();
            if wanted(&report) || clock::now() >= give_up {
                return report;
            }
        }
    }

    fn wait_for_peer(&self) {
        let give_up = clock::now() + PATIENCE;
        while self.script.lock().unwrap().started.is_empty() {
            assert!(clock::now() < give_up, "the peer never answered");
            self.report();
        }
    }

    fn send(&self, transmits: impl IntoIterator<Item = Transmit>) {
        self.script.lock().unwrap().to_send.extend(transmits);
        self.waker.wake();
    }

    fn stop(self) {
        self.commands.send(Command::Stop).unwrap();
        self.waker.wake();
        self.thread.join().unwrap().unwrap();
    }
}

/// Two data threads that know of each other. `first` is unique among the tests.
fn pair(first: u16) -> (Running, Running, u16) {
    pair_of(first, &FIXED, &FIXED)
}

fn pair_of(first: u16, one: &Setting, other: &Setting) -> (Running, Running, u16) {
    let port = crate::underlay::tests::free_port();
    let pair = (
        start(first, &[first + 1], port, one),
        start(first + 1, &[first], port, other),
        port,
    );
    pair.0.wait_for_peer();
    pair.1.wait_for_peer();
    pair
}

/// The state of a node in the view of a report.
fn state(report: &Report, number: u16) -> Option<MemberState> {
    let mut members = report.members.iter();
    let line = members.find(|line| line.member.node == node(number))?;
    Some(line.member.state)
}

fn acknowledgement(to: u16, flow: u64) -> Transmit {
    let mut buf = PacketBuf::default();
    wire::encode_control(&Control::Ack { sequence: flow }, &mut buf).unwrap();
    Transmit {
        to: Destination::Node(node(to)),
        flow: FlowHash(flow),
        buf,
    }
}

fn data(to: u16) -> Transmit {
    // IPv4, UDP, no payload; the checksums are the stack's affair.
    let packet = [
        0x45, 0, 0, 28, 0, 0, 0, 0, 64, 17, 0, 0, 10, 0, 0, 1, 192, 0, 2, 1, 0x9c, 0x40, 0, 53, 0,
        8, 0, 0,
    ];
    let service = ServiceNumber::new(1).unwrap();
    let client = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1));
    let message = FlowMessage {
        kind: FlowKind::Data,
        key: FlowKey::new(client, 40_000, service, 53),
        offer: OfferNumber { isn: 0, step: 0 },
        intent: Intent::MidFlow,
        path: Path::default(),
        birth: None,
        tried: Tried::NONE,
        hunt: Hunt::NONE,
        reason: Reason::None,
        load: 0,
        packet: &packet,
    };
    let mut buf = PacketBuf::default();
    wire::encode_flow(&message, &mut buf).unwrap();
    Transmit {
        to: Destination::Node(node(to)),
        flow: FlowHash(3),
        buf,
    }
}

#[test]
fn a_burst_over_all_sockets_never_leaves_the_receivers_window() {
    const BURST: u64 = 1_500;
    let (a, b, _) = pair(1);
    a.send((0..BURST).map(|flow| acknowledgement(2, flow)));
    b.report_when(|report| report.role.received == BURST);
    let link = b.report().link;
    assert_eq!(link.dropped(DropReason::TooOld), 0);
    assert_eq!(link.delivered, BURST);
    let sent = a.report();
    assert!(sent.link.sent >= BURST);
    assert!(a.script.lock().unwrap().recycled >= BURST - 2 * BATCH as u64);
    a.stop();
    b.stop();
}

#[test]
fn every_layer_balances_whatever_comes() {
    let (a, b, port) = pair(3);
    let stranger = std::net::UdpSocket::bind((address(9), 0)).unwrap();
    for len in [0, 1, 7, 8, 44, 1_000, 9_024, 20_000] {
        stranger
            .send_to(&vec![0x55; len], (address(3), port))
            .unwrap();
    }
    b.send([
        data(3),
        acknowledgement(3, 1),
        acknowledgement(99, 1),
        Transmit {
            to: Destination::Stack,
            ..data(3)
        },
    ]);
    let report =
        a.report_when(|report| report.link.dropped_total() >= 8 && report.role.received >= 2);
    assert_eq!(report.link.dropped(DropReason::Truncated), 4);
    assert_eq!(report.role.delivered, 1);
    // There is no device here.
    assert_eq!(report.stack.created, 1);
    assert_eq!(report.stack.dropped(DropReason::SendFailed), 1);
    let report = b.report();
    assert_eq!(report.link.dropped(DropReason::WrongNode), 1);
    assert_eq!(report.stack.dropped(DropReason::SendFailed), 1);
    a.stop();
    b.stop();
}

#[test]
fn a_failure_is_told_once_in_a_while_not_with_each_packet() {
    let (a, mut b, _) = pair(5);
    for _ in 0..50 {
        a.send([data(6)]);
    }
    b.report_when(|report| report.stack.created == 50);
    let mut told = 0;
    while let Ok(notice) = b.notices.try_recv() {
        told += u32::from(matches!(
            notice,
            Notice::Failed("write to the TUN device", _)
        ));
    }
    assert!((1..=2).contains(&told), "{told}");
    a.stop();
    b.stop();
}

#[test]
fn what_the_control_plane_has_no_room_for_is_counted() {
    let (a, mut b, _) = pair(7);
    b.notices.close();
    a.send([data(8)]);
    let lost = |report: &Report| {
        let lost = |sample: &&crate::report::Sample| sample.name == "jlb_notices_lost_total";
        report.samples.iter().find(lost).map(|sample| sample.value)
    };
    let report = b.report_when(|report| lost(report) == Some(1.0));
    assert_eq!(lost(&report), Some(1.0));
    a.stop();
    b.stop();
}

#[test]
fn silence_of_a_peer_shows_and_the_loop_ends_without_its_control_plane() {
    let (a, b, _) = pair(10);
    b.stop();
    let silence = |report: &Report| {
        report
            .samples
            .iter()
            .find(|sample| sample.name == "jlb_peer_silence_seconds")
            .map_or(0.0, |sample| sample.value)
    };
    let report = a.report_when(|report| silence(report) > 0.3);
    assert!(silence(&report) > 0.3);
    drop(a.commands);
    a.waker.wake();
    a.thread.join().unwrap().unwrap();
}

const TRACKER: Setting = Setting {
    role: Role::FlowTracker,
    fixed: false,
};
const INGRESS: Setting = Setting {
    role: Role::Ingress,
    fixed: false,
};
const HOST: Setting = Setting {
    role: Role::HostAgent,
    fixed: false,
};

#[test]
fn a_tracker_is_active_once_it_is_filled_and_its_peers_hear_of_it() {
    let (a, b, _) = pair_of(20, &TRACKER, &TRACKER);
    let report = b.report_when(|report| state(report, 20) == Some(MemberState::Joining));
    assert_eq!(state(&report, 20), Some(MemberState::Joining));
    let why = a.report().not_ready;
    assert!(why.is_some_and(|why| why.contains("connections")));
    a.script.lock().unwrap().filled = true;
    let report = b.report_when(|report| state(report, 20) == Some(MemberState::Active));
    assert_eq!(state(&report, 20), Some(MemberState::Active));
    assert_eq!(a.report().not_ready, None);
    let of_role = b.script.lock().unwrap().view.clone();
    assert_eq!(of_role.active(Role::FlowTracker).count(), 1);
    assert_eq!(state(&b.report(), 21), Some(MemberState::Joining));
    a.stop();
    b.stop();
}

#[test]
fn an_ingress_is_ready_without_a_tracker_once_it_is_sure_that_there_is_none() {
    let began = clock::now();
    let (a, b, _) = pair_of(40, &INGRESS, &HOST);
    let report = a.report_when(|report| report.not_ready.is_none());
    assert_eq!(report.not_ready, None);
    assert!(clock::now().since(began) >= SILENCE);
    a.stop();
    b.stop();
}

#[test]
fn a_node_that_leaves_drains_and_is_down_at_once() {
    let (a, b, _) = pair_of(22, &INGRESS, &HOST);
    a.report_when(|report| state(report, 23) == Some(MemberState::Active));
    b.commands.send(Command::Drain).unwrap();
    b.waker.wake();
    let report = a.report_when(|report| state(report, 23) == Some(MemberState::Draining));
    assert_eq!(state(&report, 23), Some(MemberState::Draining));
    let before = clock::now();
    b.stop();
    let report = a.report_when(|report| state(report, 23) == Some(MemberState::Down));
    assert_eq!(state(&report, 23), Some(MemberState::Down));
    // It was told, not found out.
    assert!(clock::now().since(before) < SILENCE);
    let mut a = a;
    let mut told = Vec::new();
    while let Ok(notice) = a.notices.try_recv() {
        if let Notice::State(node, state) = notice {
            told.push((node.get(), state));
        }
    }
    assert_eq!(
        told,
        [
            (23, MemberState::Active),
            (23, MemberState::Draining),
            (23, MemberState::Down)
        ]
    );
    a.stop();
}

#[test]
fn a_node_that_stops_without_delay_says_that_it_is_down_as_well() {
    let (a, b, _) = pair_of(35, &INGRESS, &HOST);
    a.report_when(|report| state(report, 36) == Some(MemberState::Active));
    let before = clock::now();
    b.commands.send(Command::Drain).unwrap();
    b.stop();
    let report = a.report_when(|report| state(report, 36) == Some(MemberState::Down));
    assert_eq!(state(&report, 36), Some(MemberState::Down));
    assert!(clock::now().since(before) < SILENCE, "it was found out");
    a.stop();
}

#[test]
fn a_paused_node_begins_a_new_life_and_takes_nothing_that_was_sent_to_the_last() {
    let (a, mut b, _) = pair_of(24, &INGRESS, &HOST);
    a.report_when(|report| state(report, 25) == Some(MemberState::Active));
    b.report_when(|report| state(report, 24) == Some(MemberState::Active));
    b.script.lock().unwrap().hang = Some(SILENCE + SILENCE / 4);
    b.waker.wake();
    while b.script.lock().unwrap().hang.is_some() {
        b.waker.wake();
    }
    let messages = b.script.lock().unwrap().messages;
    a.send([acknowledgement(25, 1), acknowledgement(25, 2)]);
    let report = b.report_when(|report| report.link.dropped(DropReason::StaleIncarnation) >= 2);
    assert!(report.link.dropped(DropReason::StaleIncarnation) >= 2);
    assert_eq!(b.script.lock().unwrap().messages, messages);
    assert_eq!(b.script.lock().unwrap().renewed, 1);
    let paused = |notice: &Notice| matches!(notice, Notice::Paused(126));
    assert!(std::iter::from_fn(|| b.notices.try_recv().ok()).any(|notice| paused(&notice)));
    // They meet again.
    let again = |report: &Report| {
        let mut members = report.members.iter();
        members.any(|line| {
            line.member.node == node(25)
                && line.member.incarnation == 126
                && line.member.state == MemberState::Active
        })
    };
    assert!(again(&a.report_when(again)));
    a.send([acknowledgement(25, 3)]);
    b.report_when(|_| b.script.lock().unwrap().messages > messages);
    assert_eq!(b.script.lock().unwrap().messages, messages + 1);
    a.stop();
    b.stop();
}

#[test]
fn a_pause_amid_a_batch_ends_the_life_that_the_rest_was_sent_to() {
    let (a, b, _) = pair_of(33, &INGRESS, &HOST);
    a.report_when(|report| state(report, 34) == Some(MemberState::Active));
    b.report_when(|report| state(report, 33) == Some(MemberState::Active));
    {
        let mut script = b.script.lock().unwrap();
        // First so long that all of them wait to be read together.
        script.hang = Some(SILENCE / 4);
        script.hang_over_message = Some(SILENCE + SILENCE / 4);
    }
    b.waker.wake();
    while b.script.lock().unwrap().hang.is_some() {
        b.waker.wake();
    }
    a.send((0..3).map(|flow| acknowledgement(34, flow)));
    let stale = |report: &Report| report.link.dropped(DropReason::StaleIncarnation) >= 2;
    assert!(stale(&b.report_when(stale)));
    assert_eq!(b.script.lock().unwrap().messages, 1);
    assert_eq!(b.script.lock().unwrap().renewed, 1);
    a.stop();
    b.stop();
}

#[test]
fn a_new_life_is_begun_once_however_long_that_takes_and_though_the_disk_is_full() {
    let (a, mut b, _) = pair_of(28, &INGRESS, &HOST);
    a.report_when(|report| state(report, 29) == Some(MemberState::Active));
    {
        let mut script = b.script.lock().unwrap();
        script.slow_renewal = SILENCE + SILENCE / 4;
        script.full_disk = true;
        script.hang = Some(SILENCE + SILENCE / 4);
    }
    b.waker.wake();
    let again = |report: &Report| {
        let mut members = report.members.iter();
        members.any(|line| {
            line.member.node == node(29)
                && line.member.incarnation == 130
                && line.member.state == MemberState::Active
        })
    };
    assert!(again(&a.report_when(again)));
    b.report();
    assert_eq!(b.script.lock().unwrap().renewed, 1);
    let told: Vec<_> = std::iter::from_fn(|| b.notices.try_recv().ok()).collect();
    let paused = |notice: &&Notice| matches!(notice, Notice::Paused(130));
    assert_eq!(told.iter().filter(paused).count(), 1);
    let failed = |notice: &Notice| {
        matches!(notice, Notice::Failed(action, why)
            if action.contains("store") && why.contains("incarnation"))
    };
    assert!(told.iter().any(failed));
    a.stop();
    b.stop();
}

#[test]
fn the_data_thread_is_preferred_if_that_is_allowed() {
    let (mut a, b, _) = pair(26);
    a.report();
    let complaints = std::iter::from_fn(|| a.notices.try_recv().ok()).filter(
        |notice| matches!(notice, Notice::Failed(action, _) if action.contains("preferred")),
    );
    let allowed = jlb_packet_io::process::set_thread_nice(NICE).is_ok();
    assert_eq!(complaints.count() == 0, allowed);
    a.stop();
    b.stop();
}

#[test]
fn a_node_joins_through_one_that_it_knows_and_the_others_hear_of_it() {
    let port = crate::underlay::tests::free_port();
    let (a, b) = (
        start(30, &[31], port, &TRACKER),
        start(31, &[30], port, &TRACKER),
    );
    a.wait_for_peer();
    b.wait_for_peer();
    // Only the one that joins knows somebody; nobody knows it.
    let c = start(32, &[30], port, &TRACKER);
    let all_there = |report: &Report| {
        report.members.len() == 3
            && report
                .members
                .iter()
                .all(|line| line.member.state != MemberState::Down)
    };
    for node in [&a, &b, &c] {
        let report = node.report_when(all_there);
        assert!(all_there(&report), "{:?}", report.members);
    }
    let report = b.report();
    assert_eq!(report.members[2].name, "32");
    assert!(c.script.lock().unwrap().started.contains(&node(31)));
    for node in [a, b, c] {
        node.stop();
    }
}

/// Another configuration of the nodes of [`pair`].
fn reconfiguration(number: u16, peers: &[u16], fingerprint: u64) -> Reconfiguration {
    let settings = jlb_membership::Config {
        node: node(number),
        role: FIXED.role,
        incarnation: 1,
        heartbeat: Duration::from_millis(20),
        failure_timeout: SILENCE,
        host_heartbeat: Duration::from_millis(20),
        host_timeout: SILENCE,
        max_nodes: 8,
        fixed: FIXED.fixed,
    };
    let all = std::iter::once(number).chain(peers.iter().copied());
    let key = |id| MessageKey {
        id,
        secret: [id + 6; 16],
    };
    Reconfiguration {
        role: RoleConfig::HostAgent(jlb_host_agent::Config {
            node: node(number),
            incarnation: 1,
            hash_key: jlb_protocol::keyed_hash::HashKey::new([1; 16]),
            services: Vec::new(),
            drain: jlb_host_agent::config::Drain::default(),
            limits: jlb_host_agent::config::Limits {
                max_flows: 1,
                max_rejects: 1,
                max_statements: 1,
                max_outbox: 1,
            },
            timers: jlb_host_agent::config::Timers {
                handshake: SILENCE,
                linger: SILENCE,
                udp_idle: SILENCE,
                refresh: SILENCE,
                state_delay: SILENCE,
                state_retry: SILENCE,
                load_interval: SILENCE,
                load_interval_min: SILENCE,
                socketless: SILENCE,
                reject_rotation: SILENCE,
            },
        }),
        fingerprint,
        keys: MessageKeys::new(key(1), vec![key(2)]),
        drain: FileDrain::default(),
        membership: settings,
        fellows: BTreeSet::new(),
        known: all
            .map(|number| {
                let IpAddr::V4(v4) = address(number) else {
                    panic!("these tests are over IPv4")
                };
                Known {
                    node: node(number),
                    role: FIXED.role,
                    v4: Some(v4),
                    v6: None,
                    domain: None,
                }
            })
            .collect(),
        coalesce: None,
        names: BTreeMap::from([
            (node(number), "own".into()),
            (node(peers[0]), "other".into()),
        ]),
    }
}

impl Running {
    fn reconfigure(&self, new: &Reconfiguration) {
        let (reply, done) = oneshot::channel();
        let command = Command::Reconfigure(Box::new(new.clone()), reply);
        self.commands.send(command).unwrap();
        self.waker.wake();
        done.blocking_recv().unwrap();
    }

    /// What it told of the configurations of others.
    fn configs(&mut self) -> Vec<(u64, bool)> {
        let told = std::iter::from_fn(|| self.notices.try_recv().ok());
        told.filter_map(|notice| match notice {
            Notice::Peer(link::Event::PeerConfig {
                fingerprint, same, ..
            }) => Some((fingerprint, same)),
            _ => None,
        })
        .collect()
    }
}

#[test]
fn another_configuration_is_acted_on_and_said_and_what_is_under_way_goes_on() {
    let (mut a, b, _) = pair(38);
    assert_eq!(a.report().configuration, 2);
    a.send((0..200).map(|flow| acknowledgement(39, flow)));
    a.reconfigure(&reconfiguration(38, &[39], 77));
    let report = a.report();
    assert_eq!(report.configuration, 77);
    assert!(report.members.iter().any(|line| line.name == "other"));
    assert_eq!(a.script.lock().unwrap().configs.len(), 1);
    assert_eq!(
        a.configs().last(),
        Some(&(2, false)),
        "the peer has not followed"
    );
    b.reconfigure(&reconfiguration(39, &[38], 77));
    let give_up = clock::now() + PATIENCE;
    while a.configs().last() != Some(&(77, true)) {
        assert!(clock::now() < give_up, "nothing is said of it");
        a.report();
    }
    b.send((0..200).map(|flow| acknowledgement(38, flow)));
    for node in [&a, &b] {
        let report = node.report_when(|report| report.role.received >= 200);
        assert_eq!(report.role.received, 200, "nothing is lost");
    }
    a.stop();
    b.stop();
}

#[test]
fn a_state_machine_that_is_made_anew_has_the_latest_configuration() {
    let (a, b, _) = pair_of(40, &INGRESS, &HOST);
    let mut new = reconfiguration(41, &[40], 77);
    new.membership.role = Role::HostAgent;
    new.membership.fixed = false;
    new.known[0].role = Role::HostAgent;
    new.known[1].role = Role::Ingress;
    b.reconfigure(&new);
    b.script.lock().unwrap().hang = Some(SILENCE + SILENCE / 4);
    b.waker.wake();
    b.report_when(|_| b.script.lock().unwrap().renewed == 1);
    let script = b.script.lock().unwrap();
    assert_eq!((script.renewed, script.configs.len()), (1, 2));
    assert_eq!(script.configs[0], script.configs[1]);
    drop(script);
    a.stop();
    b.stop();
}

impl Running {
    fn order(&self, wanted: Option<Allowance>) -> Result<(), &'static str> {
        let (reply, done) = oneshot::channel();
        self.commands.send(Command::Order(wanted, reply)).unwrap();
        self.waker.wake();
        done.blocking_recv().unwrap()
    }
}

#[test]
fn a_node_drains_by_command_and_by_file_and_comes_back() {
    let (a, b, _) = pair_of(42, &INGRESS, &HOST);
    a.report_when(|report| state(report, 43) == Some(MemberState::Active));
    assert_eq!(b.report().draining, None);
    b.order(Some(Allowance::For(PATIENCE * 6))).unwrap();
    let report = a.report_when(|report| state(report, 43) == Some(MemberState::Draining));
    assert_eq!(state(&report, 43), Some(MemberState::Draining));
    let line = b.report().draining.unwrap();
    assert_eq!((line.by, line.left), (vec!["command"], None));
    assert!(line.deadline.unwrap() > PATIENCE * 5);
    assert_eq!(b.order(None), Ok(()));
    let report = a.report_when(|report| state(report, 43) == Some(MemberState::Active));
    assert_eq!(state(&report, 43), Some(MemberState::Active));
    {
        let script = b.script.lock().unwrap();
        let drains: Vec<bool> = script.drains.iter().map(Option::is_some).collect();
        assert_eq!(drains, [false, true, false]);
        assert_eq!(script.renewed, 0, "a host keeps what it knows");
    }
    // By the file, which no command takes back.
    let mut new = reconfiguration(43, &[42], 77);
    new.membership.role = Role::HostAgent;
    new.membership.fixed = false;
    new.known[0].role = Role::HostAgent;
    new.known[1].role = Role::Ingress;
    new.drain.drains = true;
    b.reconfigure(&new);
    a.report_when(|report| state(report, 43) == Some(MemberState::Draining));
    assert!(b.order(None).unwrap_err().contains("drain = true"));
    assert_eq!(b.report().draining.unwrap().by, ["file"]);
    new.drain.drains = false;
    b.reconfigure(&new);
    let report = a.report_when(|report| state(report, 43) == Some(MemberState::Active));
    assert_eq!(state(&report, 43), Some(MemberState::Active));
    // A node that stops is past that.
    b.commands.send(Command::Drain).unwrap();
    assert!(b.order(None).unwrap_err().contains("stop"));
    assert_eq!(b.report().draining.unwrap().by, ["stop"]);
    a.stop();
    b.stop();
}

#[test]
fn a_tracker_that_drains_no_more_begins_a_new_life_and_is_filled_before_it_is_active() {
    let (a, mut b, _) = pair_of(44, &TRACKER, &TRACKER);
    a.script.lock().unwrap().filled = true;
    b.script.lock().unwrap().filled = true;
    b.waker.wake();
    a.report_when(|report| state(report, 45) == Some(MemberState::Active));
    b.order(Some(Allowance::AsFile)).unwrap();
    let report = a.report_when(|report| state(report, 45) == Some(MemberState::Draining));
    assert_eq!(state(&report, 45), Some(MemberState::Draining));
    // After a pause it is filled first, drained as it is.
    {
        let mut script = b.script.lock().unwrap();
        script.filled = false;
        script.hang = Some(SILENCE + SILENCE / 4);
    }
    b.waker.wake();
    let joins = |incarnation: u32| {
        move |report: &Report| {
            let mut members = report.members.iter();
            members.any(|line| {
                line.member.node == node(45)
                    && line.member.incarnation == incarnation
                    && line.member.state == MemberState::Joining
            })
        }
    };
    assert!(joins(146)(&a.report_when(joins(146))));
    b.script.lock().unwrap().filled = true;
    b.waker.wake();
    let report = a.report_when(|report| state(report, 45) == Some(MemberState::Draining));
    assert_eq!(state(&report, 45), Some(MemberState::Draining));
    b.script.lock().unwrap().filled = false;
    b.order(None).unwrap();
    assert!(joins(147)(&a.report_when(joins(147))));
    assert_eq!(b.script.lock().unwrap().renewed, 2);
    b.script.lock().unwrap().filled = true;
    b.waker.wake();
    let report = a.report_when(|report| state(report, 45) == Some(MemberState::Active));
    assert_eq!(state(&report, 45), Some(MemberState::Active));
    let told: Vec<_> = std::iter::from_fn(|| b.notices.try_recv().ok()).collect();
    let undrained = |notice: &Notice| matches!(notice, Notice::Undrained(147));
    assert!(told.iter().any(undrained));
    let paused = |notice: &&Notice| matches!(notice, Notice::Paused(_));
    assert_eq!(told.iter().filter(paused).count(), 1);
    a.stop();
    b.stop();
}

#[test]
fn an_order_that_was_given_up_is_not_carried_out() {
    let (a, b, _) = pair_of(48, &INGRESS, &HOST);
    let (reply, done) = oneshot::channel();
    drop(done);
    let late = Command::Order(Some(Allowance::AsFile), reply);
    b.commands.send(late).unwrap();
    assert_eq!(b.report().draining, None);
    b.order(Some(Allowance::AsFile)).unwrap();
    assert!(b.report().draining.is_some());
    a.stop();
    b.stop();
}

#[test]
fn in_a_fixed_list_a_tracker_can_not_be_drained() {
    let (a, b, _) = pair(46);
    let why = b.order(Some(Allowance::AsFile)).unwrap_err();
    assert!(why.contains("static membership"), "{why}");
    assert_eq!(b.report().draining, None);
    a.stop();
    b.stop();
}
