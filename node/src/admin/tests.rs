use super::*;
use crate::report::MemberLine;
use jlb_packet_io::wait::Waker;
use jlb_protocol::NodeNumber;
use jlb_protocol::{MemberState, Role};
use std::collections::BTreeMap;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

pub(crate) fn admin(commands: SyncSender<Command>) -> Rc<Admin> {
    let node = |number| NodeNumber::new(number).unwrap();
    let names = BTreeMap::from([(node(2), "beta".into()), (node(3), "gamma".into())]);
    let status = Status::new(names, [node(2), node(3)]);
    status.handle(jlb_protocol::link::Event::PeerStarted {
        node: node(3),
        incarnation: 77,
    });
    Rc::new(Admin {
        identity: Identity {
            node: "alpha".into(),
            role: "ingress",
            started: 1,
        },
        status: Rc::new(status),
        metrics: Metrics::new().unwrap(),
        health: Health::default(),
        data_thread: DataThread::new(commands, Waker::new().unwrap()),
        reloads: Reloads::new(7),
        stopping: AtomicBool::new(false),
    })
}

/// The node itself, one that is there, and one that never was.
pub(crate) fn members() -> Vec<MemberLine> {
    let line = |number, name: &str, state, incarnation, silence| MemberLine {
        member: Member {
            node: NodeNumber::new(number).unwrap(),
            role: Role::Ingress,
            state,
            incarnation,
            domain: None,
        },
        name: name.into(),
        silence,
    };
    let soon = Some(Duration::from_millis(250));
    vec![
        line(1, "alpha", MemberState::Draining, 5, None),
        line(2, "beta", MemberState::Down, 0, None),
        line(3, "gamma", MemberState::Active, 77, soon),
    ]
}

/// A data thread that answers each request with this, and takes no more afterwards.
fn data_thread(inbox: Receiver<Command>, not_ready: Option<&'static str>, requests: usize) {
    std::thread::spawn(move || {
        for command in inbox.iter().take(requests) {
            let Command::Report(reply) = command else {
                return;
            };
            let report = Report {
                not_ready: not_ready.map(str::to_owned),
                view: 0xdef,
                configuration: 0xabc,
                members: members(),
                ..Report::default()
            };
            let _ = reply.send(report);
        }
    });
}

/// The answers to these requests, each on its own connection.
pub(crate) fn ask(admin: &Rc<Admin>, requests: &[&str]) -> Vec<String> {
    let listener = Admin::listen(([127, 0, 0, 1], 0).into()).unwrap();
    let address = listener.local_addr().unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    tokio::task::LocalSet::new().block_on(&runtime, async {
        tokio::task::spawn_local(Rc::clone(admin).serve(listener).unwrap());
        let mut answers = Vec::new();
        for request in requests {
            let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
            let request = format!("{request} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
            stream.write_all(request.as_bytes()).await.unwrap();
            let mut answer = String::new();
            stream.read_to_string(&mut answer).await.unwrap();
            answers.push(answer);
        }
        answers
    })
}

#[test]
fn health_is_what_the_data_thread_says() {
    for (not_ready, status, body) in [
        (None, "200 OK", "ready\n"),
        (Some("waiting"), "503 Service Unavailable", "waiting\n"),
    ] {
        let (commands, inbox) = sync_channel(4);
        data_thread(inbox, not_ready, 1);
        let answers = ask(&admin(commands), &["GET /healthz"]);
        assert!(answers[0].starts_with(&format!("HTTP/1.1 {status}")));
        assert!(
            answers[0].ends_with(&format!("\r\n\r\n{body}")),
            "{answers:?}"
        );
    }
}

#[test]
fn a_stopping_node_is_not_healthy() {
    let (commands, _inbox) = sync_channel(4);
    let admin = admin(commands);
    admin.stopping.store(true, Ordering::Relaxed);
    let answers = ask(&admin, &["GET /healthz"]);
    assert!(answers[0].starts_with("HTTP/1.1 503") && answers[0].ends_with("stopping\n"));
}

#[test]
fn a_data_thread_that_is_gone_or_takes_nothing_is_told_of() {
    let (commands, inbox) = sync_channel(1);
    drop(inbox);
    let gone = ask(&admin(commands), &["GET /healthz", "GET /metrics"]);
    let (commands, _inbox) = sync_channel(1);
    commands.try_send(Command::Stop).ok().unwrap();
    let full = ask(&admin(commands), &["GET /healthz", "GET /metrics"]);
    for answer in gone.iter().chain(&full) {
        assert!(answer.starts_with("HTTP/1.1 503"), "{answer}");
        assert!(answer.contains("does not take commands"), "{answer}");
    }
}

#[test]
fn metrics_are_prometheus_text() {
    let (commands, inbox) = sync_channel(4);
    data_thread(inbox, None, 1);
    let answers = ask(&admin(commands), &["GET /metrics"]);
    assert!(answers[0].contains("content-type: text/plain; version=0.0.4"));
    assert!(answers[0].contains("\njlb_ready 1\n"));
}

#[test]
fn status_is_the_view_as_json() {
    let (commands, inbox) = sync_channel(4);
    data_thread(inbox, Some("waiting"), 1);
    let answers = ask(&admin(commands), &["GET /status"]);
    assert!(answers[0].contains("content-type: application/json"));
    let body = answers[0].split("\r\n\r\n").nth(1).unwrap();
    let page: serde_json::Value = serde_json::from_str(body).unwrap();
    assert_eq!(page["name"], "alpha");
    assert_eq!(page["state"], "draining");
    assert_eq!(page["incarnation"], 5);
    assert_eq!(page["not_ready"], "waiting");
    assert_eq!(page["configuration"], "0000000000000abc");
    assert_eq!(page["configuration_since"], 7);
    assert_eq!(page["configuration_refused"], serde_json::Value::Null);
    assert_eq!(page["view"], "0000000000000def");
    let members = page["members"].as_array().unwrap();
    assert_eq!(members.len(), 3);
    assert_eq!(members[1]["state"], "down");
    assert_eq!(members[1]["silent_seconds"], serde_json::Value::Null);
    let gamma = &members[2];
    assert_eq!(
        (&gamma["name"], &gamma["role"], &gamma["state"]),
        (&json!("gamma"), &json!("ingress"), &json!("active"))
    );
    assert_eq!(gamma["incarnation"], 77);
    assert_eq!(gamma["starts"], 1);
    assert_eq!(gamma["silent_seconds"], 0.25);
}

#[test]
fn other_paths_and_methods_are_refused() {
    let (commands, _inbox) = sync_channel(1);
    let answers = ask(
        &admin(commands),
        &["GET /", "GET /metrics/x", "POST /metrics", "nonsense"],
    );
    for (answer, status) in answers.iter().zip(["404", "404", "405", "400"]) {
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status}")),
            "{answer}"
        );
    }
}
