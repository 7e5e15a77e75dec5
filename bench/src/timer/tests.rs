use super::*;
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
