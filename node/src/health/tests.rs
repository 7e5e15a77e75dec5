use super::*;
use jlb_packet_io::wait::Waker;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::mpsc::{Receiver, sync_channel};
use std::time::Duration;

fn check(kind: HealthKind, listener: &TcpListener) -> HealthCheck {
    HealthCheck {
        kind,
        address: listener.local_addr().unwrap(),
        interval: Duration::from_millis(10),
        timeout: Duration::from_millis(200),
        rise: 2,
        fall: 3,
    }
}

fn http() -> HealthKind {
    HealthKind::Http {
        path: "/alive?deep=1".into(),
    }
}

fn listener() -> TcpListener {
    TcpListener::bind("127.0.0.1:0").unwrap()
}

fn block_on<T>(work: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    tokio::task::LocalSet::new().block_on(&runtime, work)
}

/// Answers connections with these texts, one each, and gives back the requests' first lines.
fn serve(listener: TcpListener, answers: &'static [&'static str]) -> Receiver<String> {
    let (tell, told) = sync_channel(answers.len());
    std::thread::spawn(move || {
        for answer in answers {
            let (mut stream, _) = listener.accept().unwrap();
            let mut request = [0; 1_024];
            let length = stream.read(&mut request).unwrap();
            let text = String::from_utf8_lossy(&request[..length]).into_owned();
            let _ = tell.send(text.lines().next().unwrap_or_default().to_owned());
            let _ = stream.write_all(answer.as_bytes());
        }
    });
    told
}

#[test]
fn the_first_check_decides_and_later_ones_are_held_down() {
    let check = check(HealthKind::Tcp, &listener());
    let mut verdict = Verdict::default();
    let mut seen = Vec::new();
    // A word for each check, and the verdict after it.
    for good in [
        true, false, false, true, false, false, false, true, false, true, true,
    ] {
        verdict = verdict.after(good, &check);
        seen.push(verdict.healthy == Some(true));
    }
    assert_eq!(
        seen,
        [
            true, true, true, true, true, true, false, false, false, false, true
        ]
    );
    let first = Verdict::default().after(false, &check);
    assert_eq!(first.healthy, Some(false));
}

#[test]
fn a_check_by_tcp_wants_a_connection_and_no_more() {
    let open = listener();
    let checked = check(HealthKind::Tcp, &open);
    assert_eq!(block_on(ask(&checked)), Ok(Answer::default()));
    drop(open);
    let why = block_on(ask(&checked)).unwrap_err();
    assert!(why.contains("refused"), "{why}");
}

#[test]
fn a_check_by_http_goes_by_the_status() {
    let open = listener();
    let checked = check(http(), &open);
    let requests = serve(
        open,
        &[
            "HTTP/1.1 204 No Content\r\n\r\n",
            "HTTP/1.1 302 Found\r\nLocation: /x\r\nContent-Length: 0\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\nnot all of it",
            "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n",
            "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n",
            "SSH-2.0-OpenSSH_9.2\r\n",
            "",
        ],
    );
    let results: Vec<_> = (0..7).map(|_| block_on(ask(&checked))).collect();
    assert!(results[..3].iter().all(Result::is_ok), "{results:?}");
    assert_eq!(
        results[3].clone().unwrap_err(),
        "status 503 Service Unavailable"
    );
    assert!(results[4..].iter().all(Result::is_err), "{results:?}");
    assert_eq!(requests.recv().unwrap(), "GET /alive?deep=1 HTTP/1.1");
}

#[test]
fn a_server_tells_its_load_in_a_header_of_its_answer() {
    let open = listener();
    let checked = check(http(), &open);
    let _requests = serve(
        open,
        &[
            "HTTP/1.1 200 OK\r\nJLB-Load: 37.5\r\nContent-Length: 0\r\n\r\n",
            "HTTP/1.1 200 OK\r\njlb-load: lots\r\nContent-Length: 0\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
        ],
    );
    let health = Health::new([(ServiceNumber::new(5).unwrap(), "web".into(), checked)]);
    let server = Rc::clone(&health.servers.borrow()[0]);
    let began = clock::now();
    let read = || server.server(began, block_on(ask(&server.check)).as_ref().ok());
    let told = read();
    assert_eq!(told.load, Some(24_575));
    assert!(told.latency.is_some_and(|it| it < Duration::from_secs(5)));
    assert_eq!(read().load, None);
    assert!(server.complained.get());
    assert_eq!(read().load, None);
    // Nobody listens any more: what it said before counts no longer.
    assert_eq!(read(), signals::Server::default());
}

#[test]
fn a_server_that_does_not_answer_in_time_is_as_loaded_as_it_said() {
    let silent = listener();
    let checked = check(http(), &silent);
    let server = Server::new((ServiceNumber::new(5).unwrap(), "web".into(), checked));
    server.load.set(Some(60_000));
    let began = clock::now();
    let answer = block_on(ask(&server.check));
    let read = server.server(began, answer.as_ref().ok());
    assert_eq!(read.load, Some(60_000));
    assert!(read.latency.is_some_and(|it| it >= server.check.timeout));
    // Nobody is there: that is another matter.
    drop(silent);
    let began = clock::now();
    let answer = block_on(ask(&server.check));
    let read = server.server(began, answer.as_ref().ok());
    assert_eq!(read, signals::Server::default());
}

#[test]
fn a_load_is_a_number_of_percent() {
    for (word, expected) in [
        ("0", Some(0)),
        (" 100 ", Some(65_535)),
        ("50", Some(32_767)),
        ("101", None),
        ("-1", None),
        ("NaN", None),
        ("inf", None),
        ("", None),
        ("50%", None),
    ] {
        assert_eq!(share(word), expected, "{word}");
    }
}

#[test]
fn a_server_that_does_not_answer_fails_in_time() {
    // The kernel accepts the connection; nobody reads from it.
    let silent = listener();
    let why = block_on(ask(&check(http(), &silent))).unwrap_err();
    assert_eq!(why, "no answer within 200ms");
}

#[test]
fn the_data_thread_hears_of_each_change_even_if_it_is_busy() {
    let open = listener();
    let checked = check(HealthKind::Tcp, &open);
    let service = ServiceNumber::new(5).unwrap();
    let health = Health::new([(service, "web".into(), checked)]);
    let (commands, inbox) = sync_channel(1);
    commands.try_send(Command::Stop).ok().unwrap();
    let data_thread = DataThread::new(commands, Waker::new().unwrap());
    let told = std::thread::spawn(move || {
        let mut told = Vec::new();
        while told.len() < 2 {
            if let Command::Health(service, healthy) = inbox.recv().unwrap() {
                told.push((service.get(), healthy));
            }
        }
        told
    });
    block_on(async {
        let stop_listening = async move {
            tokio::time::sleep(Duration::from_millis(100)).await;
            drop(open);
            while !told.is_finished() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            assert_eq!(told.join().unwrap(), [(5, true), (5, false)]);
        };
        let watching = health.watch(&data_thread);
        let both = async {
            tokio::select! {
                () = watching => unreachable!(),
                () = stop_listening => {}
            }
        };
        let result = tokio::time::timeout(Duration::from_secs(10), both).await;
        assert!(result.is_ok());
    });
    let mut report = Report::default();
    health.report(&mut report);
    let of = |name, label: Option<&str>| {
        let mut samples = report.samples.iter();
        let it = samples.find(|it| {
            let wanted = label.is_none_or(|label| it.labels.iter().any(|(_, of)| of == label));
            it.name == name && wanted
        });
        it.map(|it| it.value)
    };
    assert_eq!(of("jlb_host_server_healthy", None), Some(0.0));
    assert!(of("jlb_host_health_checks_total", Some("good")) >= Some(1.0));
    assert!(of("jlb_host_health_checks_total", Some("failed")) >= Some(3.0));
}

#[test]
fn another_configuration_keeps_what_is_believed_and_frees_what_is_not_checked_any_more() {
    let (open, shut) = (listener(), listener());
    let (kept, gone) = (check(HealthKind::Tcp, &open), check(HealthKind::Tcp, &shut));
    drop(shut);
    let number = |number| ServiceNumber::new(number).unwrap();
    let all = [
        (number(5), "web".to_owned(), kept.clone()),
        (number(6), "ill".to_owned(), gone),
    ];
    let health = Health::new(all);
    let (commands, inbox) = sync_channel(64);
    let data_thread = DataThread::new(commands, Waker::new().unwrap());
    let told = || {
        let told = inbox.try_iter().filter_map(|command| match command {
            Command::Health(service, healthy) => Some((service.get(), healthy)),
            _ => None,
        });
        told.collect::<Vec<_>>()
    };
    let good = |health: &Health| health.servers.borrow()[0].good.get();
    block_on(async {
        let test = async {
            let give_up = tokio::time::Instant::now() + Duration::from_secs(10);
            let mut first = Vec::new();
            while first.len() < 2 {
                assert!(tokio::time::Instant::now() < give_up, "{first:?}");
                tokio::time::sleep(Duration::from_millis(1)).await;
                first.extend(told());
            }
            first.sort_unstable();
            assert_eq!(first, [(5, true), (6, false)]);
            let slower = HealthCheck {
                interval: Duration::from_millis(11),
                ..kept.clone()
            };
            let before = good(&health);
            health
                .replace([(number(5), "web".to_owned(), slower)], &data_thread)
                .await;
            assert_eq!(told(), [(6, true)], "and nothing of the other one");
            while good(&health) < before + 3 {
                assert!(tokio::time::Instant::now() < give_up, "it is not checked");
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            assert_eq!(told(), []);
        };
        tokio::select! {
            () = health.watch(&data_thread) => unreachable!(),
            () = test => {}
        }
    });
}
