//! The first worker's part: what forwarders hand it, what it counts and tells them.

use super::*;
use crate::workers::{Attached, Boards, Counts, HANDED, Handed, Shared, Upward, rings};
use jlb_ingress::config::{Limits, Timers};
use jlb_ingress::{Ingress, Rules};
use jlb_protocol::keyed_hash::HashKey;
use jlb_protocol::view::Member;

/// The rules of an ingress without services.
fn rules(max_inner: u16) -> Rules {
    let config = jlb_ingress::Config {
        node: node(1),
        hash_key: HashKey::new([1; 16]),
        services: Vec::new(),
        max_inner,
        limits: Limits {
            max_flows: 8,
            max_pending: 8,
            max_pending_packets_per_flow: 2,
            max_pending_bytes: 10_000,
            max_who_has: 8,
            max_outbox: 8,
        },
        timers: Timers {
            open_retry: Duration::from_millis(20),
            open_retry_max: Duration::from_millis(200),
            open_timeout: Duration::from_secs(1),
            cache_idle: Duration::from_secs(60),
            who_has: Duration::from_millis(200),
        },
        dead_host: None,
    };
    Ingress::new(config, View::default(), 1, clock::now()).rules()
}

/// A node, and what a forwarder of it has.
struct Under {
    first: Running,
    other: Running,
    up: Upward,
    boards: Arc<Boards>,
    shared: Arc<Shared>,
    /// Has the forwarder's thread end, so or so.
    end: SyncSender<Result<(), Error>>,
}

fn under(first: u16) -> Under {
    under_of(first, &FIXED, &FIXED)
}

fn under_of(first: u16, setting: &Setting, other: &Setting) -> Under {
    let port = crate::underlay::tests::free_port();
    let (up, down) = rings();
    let boards = Arc::new(Boards::new());
    let (end, ended) = sync_channel(1);
    let mut shared = None;
    let running = start_with(first, &[first + 1], port, setting, |link, waker| {
        let mut forwarders = Forwarders::new(rules(1_400), link);
        shared = Some(Arc::clone(&forwarders.shared));
        let thread = std::thread::spawn(move || ended.recv().unwrap_or(Ok(())));
        let boards = Arc::clone(&boards);
        let attached = Attached::with_thread(down, boards, waker.clone(), thread);
        forwarders.list.push(attached);
        Some(forwarders)
    });
    running.script.lock().unwrap().rules = Some(rules(1_300));
    let other = start(first + 1, &[first], port, other);
    running.wait_for_peer();
    other.wait_for_peer();
    Under {
        first: running,
        other,
        up,
        boards,
        shared: shared.unwrap(),
        end,
    }
}

impl Under {
    fn stop(self) {
        drop(self.end);
        self.first.stop();
        self.other.stop();
    }

    /// Waits for so many answers, and gives their numbers and how many came with a buffer.
    fn answers(&mut self, wanted: usize) -> (Vec<u64>, usize) {
        let give_up = clock::now() + PATIENCE;
        let (mut numbers, mut buffers) = (Vec::new(), 0);
        while numbers.len() < wanted && clock::now() < give_up {
            if let Ok(answer) = self.up.answers.pop() {
                numbers.push(answer.number);
                buffers += usize::from(answer.buf.is_some());
            }
        }
        (numbers, buffers)
    }
}

#[test]
fn whatever_is_handed_on_is_counted_once_and_answered_once() {
    let mut under = under(41);
    let client = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1));
    let key = FlowKey::new(client, 40_000, ServiceNumber::new(1).unwrap(), 80);
    let before = under.first.report().stack;
    for number in 0..HANDED as u64 {
        let handed = if number % 8 == 0 {
            Handed::Renew { number, key }
        } else {
            Handed::Packet {
                number,
                key: Some(key),
                buf: PacketBuf::from_packet(&[0x45]),
            }
        };
        assert!(under.up.handed.push(handed).is_ok());
    }
    under.first.waker.wake();
    let (numbers, buffers) = under.answers(HANDED);
    assert_eq!(numbers, (0..HANDED as u64).collect::<Vec<_>>());
    let packets = HANDED - HANDED / 8;
    assert_eq!(buffers, packets);
    let after = under.first.report().stack;
    // The machine of these tests takes no packets of clients.
    let dropped = |ledger: &Ledger| ledger.dropped(DropReason::WrongRole);
    assert_eq!(after.received - before.received, packets as u64);
    assert_eq!(dropped(&after) - dropped(&before), packets as u64);
    under.stop();
}

#[test]
fn what_forwarders_count_is_in_all_books_once() {
    let under = under(43);
    let before = under.first.report();
    let mut counts = Counts {
        forwarded: 10,
        sent: 7,
        failed: 3,
        handed_on: 5,
        large: 2,
        ..Counts::default()
    };
    counts.drop_for(DropReason::WorkerFull);
    under.boards.counts.write(&counts.words());
    // Reported twice, counted once.
    under.first.report();
    let after = under.first.report();
    assert_eq!(after.stack.received - before.stack.received, 10 + 1);
    assert_eq!(after.stack.consumed - before.stack.consumed, 10);
    assert_eq!(after.stack.dropped(DropReason::WorkerFull), 1);
    assert_eq!(after.role.received - before.role.received, 10);
    assert_eq!(after.link.dropped(DropReason::SendFailed), 3);
    assert!(after.link.sent - before.link.sent >= 7);
    let sample = |name: &str| {
        let mut samples = after.samples.iter().filter(|it| it.name == name);
        samples.next().map(|it| (it.value, it.labels.clone()))
    };
    let worker = vec![("worker", "1".to_owned())];
    assert_eq!(
        sample("jlb_worker_forwarded_total"),
        Some((10.0, worker.clone()))
    );
    assert_eq!(sample("jlb_worker_full_total"), Some((1.0, worker)));
    counts.forwarded += 1;
    counts.sent += 1;
    under.boards.counts.write(&counts.words());
    let last = under.first.report();
    assert_eq!(last.role.received - after.role.received, 1);
    under.stop();
}

#[test]
fn a_session_is_told_and_ends_no_shortcut() {
    let under = under(45);
    let mut sealer = link::Sealer::new(1);
    let give_up = clock::now() + PATIENCE;
    // The peer was met, and has said which seals it opens.
    while sealer.route(node(46)).is_none() && clock::now() < give_up {
        under.first.report();
        sealer.take(&under.shared.published().sessions);
    }
    assert!(sealer.route(node(46)).is_some());
    let published = under.shared.published();
    assert!(published.revision > 1);
    assert_eq!(published.revision, under.shared.revision());
    assert_eq!(published.generation, 1);
    // Nothing changes while nothing happens but heartbeats.
    let before = under.shared.revision();
    let until = clock::now() + Duration::from_millis(300);
    while clock::now() < until {
        under.first.report();
    }
    assert_eq!(under.shared.revision(), before);
    under.stop();
}

#[test]
fn a_host_that_goes_down_ends_shortcuts() {
    let setting = |role| Setting { role, fixed: false };
    let under = under_of(49, &setting(Role::Ingress), &setting(Role::HostAgent));
    let report = |wanted| under.first.report_when(|it| state(it, 50) == Some(wanted));
    assert_eq!(
        state(&report(MemberState::Active), 50),
        Some(MemberState::Active)
    );
    let before = under.shared.published();
    let Under { other, .. } = &under;
    other.commands.send(Command::Stop).unwrap();
    other.waker.wake();
    assert_eq!(
        state(&report(MemberState::Down), 50),
        Some(MemberState::Down)
    );
    under.first.report();
    let after = under.shared.published();
    assert!(after.generation > before.generation);
    assert!(
        !Arc::ptr_eq(&after.rules, &before.rules),
        "they are read anew"
    );
    drop(under.end);
    under.first.stop();
    under.other.thread.join().unwrap().unwrap();
}

#[test]
fn only_what_a_view_says_of_hosts_ends_shortcuts() {
    let port = crate::underlay::tests::free_port();
    let config = link::Config {
        role: Role::Ingress,
        state: MemberState::Active,
        node: node(53),
        incarnation: 1,
        worker: 0,
        keys: MessageKeys::new(
            MessageKey {
                id: 1,
                secret: [7; 16],
            },
            Vec::new(),
        ),
        peers: Vec::new(),
        port,
        hello_interval: Duration::from_millis(50),
        view: 1,
        config: 2,
    };
    let link = Link::new(config, 9, clock::now());
    let mut forwarders = Forwarders::new(rules(1_400), &link);
    let mut after = |members: &[(u16, Role, MemberState)]| {
        let members = members.iter().map(|&(number, role, state)| Member {
            node: node(number),
            role,
            state,
            incarnation: 1,
            domain: None,
        });
        forwarders.see(&View::new(members.collect()));
        forwarders.publish(&link, || Some(rules(1_300)));
        let published = forwarders.shared.published();
        assert_eq!(published.revision, forwarders.shared.revision());
        published.generation
    };
    let host = |state| (21, Role::HostAgent, state);
    let tracker = |state| (11, Role::FlowTracker, state);
    use MemberState::{Active, Down, Draining};
    assert_eq!(after(&[host(Active), tracker(Active)]), 2);
    assert_eq!(after(&[host(Active), tracker(Down)]), 2);
    assert_eq!(after(&[host(Active)]), 2);
    assert_eq!(after(&[host(Draining)]), 3);
    assert_eq!(after(&[host(Down)]), 4);
    assert_eq!(after(&[]), 5);
}

#[test]
fn a_forwarder_that_fails_ends_the_node() {
    let under = under(47);
    let error = Error::DataThread("of this test".into());
    under.end.send(Err(error)).unwrap();
    drop(under.up);
    under.first.waker.wake();
    let ended = under.first.thread.join().unwrap();
    let told = ended.map_err(|error| error.to_string()).unwrap_err();
    assert!(told.contains("of this test"), "{told}");
    under.other.stop();
}
