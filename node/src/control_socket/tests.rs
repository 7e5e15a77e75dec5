use super::*;
use crate::admin::tests::{admin, members};
use crate::report::{DrainLine, Report};
use crate::testing_folder::Folder;
use std::sync::mpsc::sync_channel;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// A data thread that refuses or does what it is ordered, and tells of it.
fn data_thread(
    inbox: std::sync::mpsc::Receiver<Command>,
    answer: Result<(), &'static str>,
) -> std::sync::mpsc::Receiver<Option<Allowance>> {
    let (tell, told) = sync_channel(8);
    std::thread::spawn(move || {
        for command in inbox {
            match command {
                Command::Order(wanted, reply) => {
                    tell.send(wanted).unwrap();
                    let _ = reply.send(answer);
                }
                Command::Report(reply) => {
                    let report = Report {
                        members: members(),
                        draining: Some(DrainLine {
                            by: vec!["command"],
                            since: Duration::from_secs(2),
                            deadline: Some(Duration::from_millis(1_500)),
                            left: Some(3),
                        }),
                        ..Report::default()
                    };
                    let _ = reply.send(report);
                }
                _ => {}
            }
        }
    });
    told
}

/// The answers to these requests, by a node in this folder.
fn ask(folder: &Folder, admin: &Rc<Admin>, requests: &[&str]) -> Vec<String> {
    let control = ControlSocket::open(folder.path(), "alpha").unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    tokio::task::LocalSet::new().block_on(&runtime, async {
        let serving = tokio::task::spawn_local(control.serve(Rc::clone(admin)));
        let mut answers = Vec::new();
        for request in requests {
            let mut stream = UnixStream::connect(path(folder.path(), "alpha"))
                .await
                .unwrap();
            let request = format!("{request} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
            stream.write_all(request.as_bytes()).await.unwrap();
            let mut answer = String::new();
            stream.read_to_string(&mut answer).await.unwrap();
            answers.push(answer);
        }
        serving.abort();
        answers
    })
}

#[test]
fn orders_reach_the_data_thread() {
    let folder = Folder::new("control-orders");
    let (commands, inbox) = sync_channel(4);
    let told = data_thread(inbox, Ok(()));
    let requests = [
        "POST /drain",
        "POST /drain?deadline=never",
        "POST /drain?deadline=1500",
        "POST /undrain",
    ];
    for answer in ask(&folder, &admin(commands), &requests) {
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    }
    let expected = [
        Some(Allowance::AsFile),
        Some(Allowance::Forever),
        Some(Allowance::For(Duration::from_millis(1_500))),
        None,
    ];
    assert_eq!(told.try_iter().collect::<Vec<_>>(), expected);
}

#[test]
fn a_refusal_and_a_data_thread_that_is_gone_are_told() {
    let folder = Folder::new("control-refused");
    let (commands, inbox) = sync_channel(4);
    let _told = data_thread(inbox, Err("no"));
    let refused = ask(&folder, &admin(commands), &["POST /undrain"]);
    assert!(refused[0].starts_with("HTTP/1.1 409") && refused[0].ends_with("no\n"));
    let (commands, inbox) = sync_channel(4);
    drop(inbox);
    let gone = ask(&folder, &admin(commands), &["POST /undrain"]);
    assert!(gone[0].starts_with("HTTP/1.1 503"), "{gone:?}");
}

#[test]
fn status_tells_how_far_it_is_and_healthz_that_it_is_not_ready() {
    let folder = Folder::new("control-status");
    let (commands, inbox) = sync_channel(4);
    let _told = data_thread(inbox, Ok(()));
    let admin = admin(commands);
    let answers = ask(&folder, &admin, &["GET /status"]);
    let body = answers[0].split("\r\n\r\n").nth(1).unwrap();
    let page: serde_json::Value = serde_json::from_str(body).unwrap();
    let expected = serde_json::json!({
        "by": ["command"],
        "since_seconds": 2.0,
        "deadline_seconds": 1.5,
        "connections_left": 3,
    });
    assert_eq!(page["draining"], expected);
    let health = crate::admin::tests::ask(&admin, &["GET /healthz"]);
    assert!(health[0].starts_with("HTTP/1.1 503") && health[0].ends_with("draining\n"));
    // There nothing can be changed.
    let changes = crate::admin::tests::ask(&admin, &["POST /drain", "GET /drain"]);
    assert!(changes[0].starts_with("HTTP/1.1 405"), "{changes:?}");
    assert!(changes[1].starts_with("HTTP/1.1 404"), "{changes:?}");
}

#[test]
fn what_is_no_order_is_refused() {
    let folder = Folder::new("control-nonsense");
    let (commands, _inbox) = sync_channel(1);
    let requests = [
        "GET /drain",
        "GET /undrain",
        "POST /status",
        "GET /metrics",
        "POST /drain?deadline=soon",
        "POST /drain?deadline=-1",
        "POST /drain?for=5",
    ];
    let answers = ask(&folder, &admin(commands), &requests);
    for (answer, status) in answers.iter().zip([405, 405, 405, 404, 400, 400, 400]) {
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status}")),
            "{answer}"
        );
    }
}

#[test]
fn the_socket_is_the_nodes_own_and_replaces_the_one_of_a_former_run() {
    let folder = Folder::new("control-mode");
    let first = ControlSocket::open(folder.path(), "alpha").unwrap();
    let mode = || {
        let found = std::fs::metadata(path(folder.path(), "alpha")).unwrap();
        found.permissions().mode() & 0o777
    };
    assert_eq!(mode(), 0o600);
    drop(first);
    let _second = ControlSocket::open(folder.path(), "alpha").unwrap();
    assert_eq!(mode(), 0o600);
    assert!(std::os::unix::net::UnixStream::connect(path(folder.path(), "alpha")).is_ok());
    // A path that no socket can have.
    let long = folder.path().join("x".repeat(120));
    std::fs::create_dir(&long).unwrap();
    assert!(ControlSocket::open(&long, "alpha").is_err());
}
