use super::*;

#[test]
fn words_are_read_as_they_are_written() {
    let written = words(Discipline::Queue, 3, 25);
    let server = server(&written).unwrap();
    assert_eq!(server.capacity(), 0.75);
    for wrong in [
        "",
        "queue",
        "queue/0/100",
        "queue/1/0",
        "queue/1/1/1",
        "fair/1/1",
    ] {
        assert!(super::server(wrong).is_none(), "{wrong}");
    }
}

#[test]
fn two_jobs_on_one_core_take_as_long_as_both_together_and_a_failing_host_does_none() {
    let runtime = crate::load::runtime().unwrap();
    let span = Duration::from_millis(30);
    runtime.block_on(async {
        let workers = Workers::new();
        let begin = Instant::now();
        let both = async { tokio::join!(workers.work(span), workers.work(span)) };
        tokio::select! {
            done = both => assert_eq!(done, (true, true)),
            ended = workers.run() => panic!("{ended:?}"),
        }
        assert!(begin.elapsed() >= span * 2, "{:?}", begin.elapsed());
        assert!(workers.command("failing") && workers.is_failing());
        assert!(workers.command("queue/2/100") && !workers.is_failing());
        assert!(!workers.command("queue/2"));
    });
}

#[test]
fn who_waits_at_a_station_that_is_replaced_is_told() {
    let runtime = crate::load::runtime().unwrap();
    runtime.block_on(async {
        let workers = Workers::new();
        let (done, ()) = tokio::join!(workers.work(Duration::from_secs(3_600)), async {
            assert!(workers.command("sharing/1/100"));
        });
        assert!(!done);
    });
}
