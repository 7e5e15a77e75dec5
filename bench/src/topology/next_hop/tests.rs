use super::*;

fn bytes(message: &NextHopMessage) -> Vec<u8> {
    let mut bytes = vec![0xaa; message.buffer_len()];
    message.serialize(&mut bytes);
    bytes
}

#[test]
fn a_gateway_as_iproute2_sends_it() {
    // strace of `ip nexthop add id 7 via 10.77.0.11 dev #3 proto static`
    let message = NextHopMessage::gateway(7, IpAddr::from([10, 77, 0, 11]), 3);
    #[rustfmt::skip]
    let expected = [
        2, 0, 4, 0, 0, 0, 0, 0,
        8, 0, 1, 0, 7, 0, 0, 0,
        8, 0, 5, 0, 3, 0, 0, 0,
        8, 0, 6, 0, 10, 77, 0, 11,
    ];
    assert_eq!(bytes(&message), expected);
}

#[test]
fn a_group_is_padded_and_nested() {
    let how = Resilience {
        buckets: 256,
        idle_seconds: 1,
        unbalanced_seconds: 0,
    };
    let message = NextHopMessage::resilient_group(100, &[7, 8], how);
    #[rustfmt::skip]
    let expected = [
        0, 0, 4, 0, 0, 0, 0, 0,
        8, 0, 1, 0, 100, 0, 0, 0,
        20, 0, 2, 0, 7, 0, 0, 0, 0, 0, 0, 0, 8, 0, 0, 0, 0, 0, 0, 0,
        6, 0, 3, 0, 1, 0, 0, 0,
        28, 0, 12, 128,
        6, 0, 1, 0, 0, 1, 0, 0,
        8, 0, 2, 0, 100, 0, 0, 0,
        8, 0, 3, 0, 0, 0, 0, 0,
    ];
    assert_eq!(bytes(&message), expected);
}
