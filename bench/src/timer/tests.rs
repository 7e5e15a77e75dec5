use super::*;
use jlb_packet_io::Poller;
use jlb_packet_io::wait::Interest;
use tokio::time::{Instant, timeout};

#[test]
fn a_wait_is_not_too_short_and_another_one_may_be_given_up() {
    let runtime = crate::load::runtime().unwrap();
    runtime.block_on(async {
        let timer = Timer::new().unwrap();
        timer.wait(Duration::ZERO).await.unwrap();
        for span in [300, 1_700, 20_000].map(Duration::from_micros) {
            let given_up = timeout(
                Duration::from_millis(1),
                timer.wait(Duration::from_secs(60)),
            );
            assert!(given_up.await.is_err());
            let begin = Instant::now();
            timer.wait(span).await.unwrap();
            assert!(begin.elapsed() >= span, "{:?}", begin.elapsed());
        }
    });
}

#[test]
fn an_alarm_goes_off_once_it_is_time_and_forgets_that_when_it_is_set_again() {
    let alarm = Alarm::new().unwrap();
    let mut poller = Poller::new().unwrap();
    poller.add(&alarm, 7, Interest::Readable).unwrap();
    let mut tokens = |timeout| -> Vec<u64> {
        let ready = poller.wait(timeout).unwrap();
        ready.map(|ready| ready.token).collect()
    };
    for span in [1, 300, 20_000].map(Duration::from_micros) {
        let begin = Instant::now();
        alarm.set(span).unwrap();
        assert_eq!(tokens(None), [7]);
        assert!(begin.elapsed() >= span, "{:?}", begin.elapsed());
        assert_eq!(tokens(Some(Duration::ZERO)), [7], "until it is set again");
        alarm.set(Duration::from_secs(60)).unwrap();
        assert!(tokens(Some(Duration::ZERO)).is_empty());
    }
}
