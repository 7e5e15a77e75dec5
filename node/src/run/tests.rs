use super::*;
use crate::kernel::Error as KernelError;
use jlb_config::Membership;
use jlb_protocol::{MemberState, NodeNumber};
use std::collections::BTreeMap;
use std::sync::mpsc::Receiver;
use tokio::sync::oneshot;

/// Any cluster.
fn config() -> ClusterConfig {
    let text = include_str!("../../../config/examples/minimal.toml");
    let keys = jlb_config::Keys::generate().unwrap();
    let path = std::path::Path::new("minimal.toml");
    let loaded = ClusterConfig::parse_with_keys(text, path, keys);
    loaded.unwrap().config
}

/// A control plane under test, with the ends that the data thread would have.
struct Bed {
    admin: Rc<Admin>,
    listener: std::net::TcpListener,
    inbox: Receiver<Command>,
    notices: mpsc::Sender<Notice>,
    told: mpsc::Receiver<Notice>,
    end: oneshot::Sender<Result<(), Error>>,
    plane: ControlPlane,
    signal: mpsc::Sender<()>,
    signals: mpsc::Receiver<()>,
}

impl Bed {
    fn new() -> Self {
        let (commands, inbox) = sync_channel(1);
        let (notices, told) = mpsc::channel(8);
        let (end, ended) = oneshot::channel();
        let (signal, signals) = mpsc::channel(4);
        let admin = Admin {
            identity: Identity {
                node: "alpha".into(),
                role: "ingress",
                started: 1,
            },
            status: Rc::new(Status::new(BTreeMap::new(), [])),
            metrics: Metrics::new().unwrap(),
            health: Health::default(),
            data_thread: DataThread::new(commands, Waker::new().unwrap()),
            reloads: Reloads::new(1),
            stopping: AtomicBool::new(false),
        };
        let admin = Rc::new(admin);
        let plane = ControlPlane {
            admin: Rc::clone(&admin),
            running: Rc::new(Running::new(config(), None)),
            control: None,
            ended,
            silences: Silences::new(Duration::from_millis(500), Membership::Dynamic),
        };
        Self {
            admin,
            listener: Admin::listen(([127, 0, 0, 1], 0).into()).unwrap(),
            inbox,
            notices,
            told,
            end,
            plane,
            signal,
            signals,
        }
    }
}

fn block_on<T>(work: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    tokio::task::LocalSet::new().block_on(&runtime, work)
}

#[test]
fn a_panic_of_the_data_thread_ends_the_node_with_an_error() {
    let bed = Bed::new();
    drop(bed.end);
    drop(bed.notices);
    let result =
        block_on(
            bed.plane
                .control(bed.listener, bed.told, || Duration::ZERO, bed.signals),
        );
    let error = result.unwrap_err().to_string();
    assert!(error.contains("panicked"), "{error}");
}

#[test]
fn an_error_of_the_data_thread_is_the_nodes() {
    let bed = Bed::new();
    let gone = Error::system("read from the TUN device")(std::io::ErrorKind::NotFound.into());
    bed.end.send(Err(gone)).ok().unwrap();
    let result =
        block_on(
            bed.plane
                .control(bed.listener, bed.told, || Duration::ZERO, bed.signals),
        );
    let error = result.unwrap_err().to_string();
    assert!(error.contains("read from the TUN device"), "{error}");
}

#[test]
fn a_signal_stops_the_data_thread_and_its_end_is_success() {
    let bed = Bed::new();
    bed.signal.try_send(()).unwrap();
    let data = std::thread::spawn(move || {
        let next = || bed.inbox.recv_timeout(Duration::from_secs(10)).unwrap();
        assert!(matches!(next(), Command::Drain));
        assert!(matches!(next(), Command::Stop));
        bed.end.send(Ok(())).ok().unwrap();
    });
    let result = block_on(bed.plane.control(
        bed.listener,
        bed.told,
        || Duration::from_millis(20),
        bed.signals,
    ));
    assert!(result.is_ok());
    data.join().unwrap();
}

#[test]
fn a_stuck_data_thread_can_not_keep_the_node_from_ending() {
    let bed = Bed::new();
    // It takes no commands any more, and one waits already.
    let (reply, _answer) = oneshot::channel();
    assert!(bed.admin.data_thread.try_tell(Command::Report(reply)));
    for _ in 0..3 {
        bed.signal.try_send(()).unwrap();
    }
    let admin = Rc::clone(&bed.admin);
    let result = block_on(bed.plane.control(
        bed.listener,
        bed.told,
        || Duration::from_secs(3_600),
        bed.signals,
    ));
    let error = result.unwrap_err().to_string();
    assert!(error.contains("another signal came"), "{error}");
    assert!(admin.stopping.load(Ordering::Relaxed));
}

#[test]
fn notices_are_taken_for_as_long_as_they_come() {
    let bed = Bed::new();
    let node = NodeNumber::new(3).unwrap();
    let event = jlb_protocol::link::Event::PeerStarted {
        node,
        incarnation: 8,
    };
    for notice in [
        Notice::DumpFailed(KernelError::new("list", std::io::Error::other("no"))),
        Notice::Failed("send to a peer", "no".into()),
        Notice::State(node, MemberState::Down),
        Notice::OwnState(MemberState::Active),
        Notice::Peer(event),
    ] {
        bed.notices.try_send(notice).ok().unwrap();
    }
    let status = Rc::clone(&bed.admin.status);
    let mut told = bed.told;
    block_on(async {
        let listening = listen(&mut told, &status);
        let _ = tokio::time::timeout(Duration::from_millis(50), listening).await;
    });
    assert_eq!(status.peers()[&node].incarnation, Some(8));
}
