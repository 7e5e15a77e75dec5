use super::*;
use crate::testing_folder::Folder;
use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixListener;

/// A node that answers so many requests, and gives what was asked for.
fn node_that_says(
    folder: &Folder,
    answers: Vec<(&str, String)>,
) -> std::thread::JoinHandle<Vec<String>> {
    let listener = UnixListener::bind(folder.path().join("web-1.sock")).unwrap();
    let answers: Vec<String> = answers
        .into_iter()
        .map(|(status, body)| {
            let length = body.len();
            format!(
                "HTTP/1.1 {status}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}"
            )
        })
        .collect();
    std::thread::spawn(move || {
        let mut asked = Vec::new();
        for answer in answers {
            let (mut stream, _) = listener.accept().unwrap();
            let mut request = [0; 1_024];
            let length = stream.read(&mut request).unwrap();
            let request = String::from_utf8_lossy(&request[..length]);
            let words: Vec<&str> = request.split(' ').take(2).collect();
            asked.push(words.join(" "));
            stream.write_all(answer.as_bytes()).unwrap();
        }
        asked
    })
}

fn status(left: Option<u64>, deadline: Option<f64>) -> (&'static str, String) {
    let draining = json!({
        "by": ["command"],
        "since_seconds": 3.2,
        "deadline_seconds": deadline,
        "connections_left": left,
    });
    (
        "200 OK",
        json!({ "name": "web-1", "draining": draining }).to_string(),
    )
}

fn wanted(folder: &Folder, deadline: Deadline, wait: bool) -> Drain {
    Drain {
        node: "web-1".into(),
        state_dir: folder.path().into(),
        deadline,
        wait,
    }
}

/// Of an agent that has not read its machine's connections yet.
fn starting(deadline: Option<f64>) -> (&'static str, String) {
    let (code, page) = status(Some(0), deadline);
    let mut page: serde_json::Value = serde_json::from_str(&page).unwrap();
    page["not_ready"] = json!("waiting for the list");
    (code, page.to_string())
}

#[test]
fn an_agent_that_does_not_know_its_connections_yet_is_not_done() {
    let folder = Folder::new("drain-starting");
    let answers = vec![
        ("200 OK", "done\n".into()),
        starting(None),
        starting(None),
        status(Some(1), None),
        status(Some(0), None),
    ];
    let node = node_that_says(&folder, answers);
    let mut lines = Vec::new();
    let tell = |line: &str| lines.push(line.to_owned());
    drain(&wanted(&folder, Deadline::AsFile, true), tell).unwrap();
    assert_eq!(node.join().unwrap().len(), 5);
    assert!(
        lines[0].ends_with("0 connections left (waiting for the list)"),
        "{lines:?}"
    );
    assert!(lines[1].ends_with("0 connections left"), "{lines:?}");
}

#[test]
fn it_is_said_how_many_are_left_until_none_is() {
    let folder = Folder::new("drain-wait");
    let answers = vec![
        ("200 OK", "done\n".into()),
        status(Some(2), Some(4.6)),
        status(Some(1), Some(4.4)),
        status(Some(0), Some(4.2)),
    ];
    let node = node_that_says(&folder, answers);
    let mut lines = Vec::new();
    let after = Deadline::After(Duration::from_millis(4_600));
    drain(&wanted(&folder, after, true), |line| {
        lines.push(line.to_owned())
    })
    .unwrap();
    let asked = node.join().unwrap();
    assert_eq!(asked[0], "POST /drain?deadline=4600");
    assert_eq!(asked[1..], ["GET /status"; 3]);
    assert_eq!(
        lines,
        [
            "web-1: drains for 3 s by command, 2 connections left, 4 s until its deadline",
            "web-1: drains for 3 s by command, 0 connections left, 4 s until its deadline",
        ]
    );
}

#[test]
fn without_wait_one_line_is_said() {
    let folder = Folder::new("drain-once");
    let node = node_that_says(
        &folder,
        vec![("200 OK", String::new()), status(Some(7), None)],
    );
    let mut lines = Vec::new();
    let wanted = wanted(&folder, Deadline::AsFile, false);
    drain(&wanted, |line| lines.push(line.to_owned())).unwrap();
    assert_eq!(node.join().unwrap()[0], "POST /drain?deadline=file");
    assert_eq!(
        lines,
        ["web-1: drains for 3 s by command, 7 connections left"]
    );
}

#[test]
fn a_role_without_connections_is_waited_for_until_its_deadline() {
    let folder = Folder::new("drain-role");
    let answers = vec![
        ("200 OK", String::new()),
        status(None, Some(0.1)),
        status(None, Some(0.0)),
    ];
    let node = node_that_says(&folder, answers);
    drain(&wanted(&folder, Deadline::Never, true), |_| ()).unwrap();
    assert_eq!(node.join().unwrap()[0], "POST /drain?deadline=never");
    assert!(
        Progress::read(&json!({ "draining": { "by": [], "since_seconds": 1.0 } }))
            .unwrap()
            .is_over()
    );
}

#[test]
fn what_a_node_refuses_or_nobody_answers_is_said() {
    let folder = Folder::new("drain-refused");
    let error = undrain("web-1", folder.path().into())
        .unwrap_err()
        .to_string();
    assert!(error.contains("web-1.sock: No such file"), "{error}");
    assert!(error.contains("--state-dir"), "{error}");
    let node = node_that_says(&folder, vec![("409 Conflict", "the file says so\n".into())]);
    let error = undrain("web-1", folder.path().into())
        .unwrap_err()
        .to_string();
    assert_eq!(error, "web-1: status 409 Conflict: the file says so");
    assert_eq!(node.join().unwrap(), ["POST /undrain"]);
}

#[test]
fn somebody_else_may_end_it_meanwhile() {
    let folder = Folder::new("drain-undrained");
    let idle = json!({ "name": "web-1", "draining": null }).to_string();
    let answers = vec![
        ("200 OK", String::new()),
        status(Some(7), None),
        ("200 OK", idle),
    ];
    let node = node_that_says(&folder, answers);
    let error = drain(&wanted(&folder, Deadline::AsFile, true), |_| ()).unwrap_err();
    assert_eq!(error.to_string(), "web-1: it does not drain any more");
    node.join().unwrap();
}
