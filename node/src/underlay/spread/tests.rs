use super::*;

#[test]
fn flows_are_spread_while_much_is_sent() {
    let mut spread = Spread::default();
    let mut now = Time::ZERO;
    let mut second = |messages: u64| {
        // It takes effect with what is sent afterwards.
        spread.count(messages as usize);
        now = now + INTERVAL / 2;
        spread.adapt(now);
        now = now + INTERVAL / 2;
        spread.adapt(now);
        spread.ports()
    };
    assert_eq!(second(10), 1);
    assert_eq!(second(FEW), 1);
    assert_eq!(second(MANY), SENDERS);
    assert_eq!(second(FEW), SENDERS);
    assert_eq!(second(FEW - 1), 1);
}

#[test]
fn a_long_time_is_not_a_high_rate() {
    let mut spread = Spread::default();
    spread.count(MANY as usize);
    spread.adapt(Time::ZERO + 10 * INTERVAL);
    assert_eq!(spread.ports(), 1);
}
