use super::{Answer, AnswerLimit, ICMP_ERRORS_PER_SECOND};
use crate::testbed::{ACK, SYN, tcp, udp};
use core::time::Duration;
use jlb_protocol::packet::TcpFlags;
use jlb_protocol::{PacketBuf, Time};

#[test]
fn icmp_errors_are_limited_and_resets_are_not() {
    let start = Time::from_millis(10_000);
    let mut limit = AnswerLimit::new(start);
    let mut buf = PacketBuf::default();
    let mut sent = |limit: &mut AnswerLimit, now| {
        (0..2000)
            .filter(|_| limit.refuse(&udp(b"one"), &mut buf, now) == Answer::Unreachable)
            .count()
    };
    assert_eq!(sent(&mut limit, start), ICMP_ERRORS_PER_SECOND as usize);
    assert_eq!(sent(&mut limit, start), 0);
    assert_eq!(sent(&mut limit, start + Duration::from_millis(100)), 100);
    assert_eq!(sent(&mut limit, start + Duration::from_secs(3600)), 1000);
    for _ in 0..2000 {
        assert_eq!(
            limit.refuse(&tcp(1, SYN, b""), &mut buf, start),
            Answer::Reset
        );
    }
}

#[test]
fn small_and_odd_steps_of_time_earn_as_much_as_large_ones() {
    for micros in [100, 900, 1_900, 3_700] {
        let mut limit = AnswerLimit::new(Time::ZERO);
        let mut buf = PacketBuf::default();
        let mut sent = 0;
        for step in 0..2_000_000 / micros {
            let now = Time::from_nanos(step * micros * 1_000);
            for _ in 0..10 {
                sent += u32::from(limit.refuse(&udp(b""), &mut buf, now) == Answer::Unreachable);
            }
        }
        // The burst, and two seconds' worth.
        assert!((2_990..=3_000).contains(&sent), "{sent}");
    }
}

#[test]
fn what_is_no_flows_packet_is_not_answered() {
    let mut limit = AnswerLimit::new(Time::ZERO);
    let mut buf = PacketBuf::default();
    for packet in [
        &b""[..],
        &tcp(1, TcpFlags::RST, b""),
        &tcp(1, ACK, b"")[..30],
    ] {
        assert_eq!(
            limit.refuse(packet, &mut buf, Time::ZERO),
            Answer::Unanswerable
        );
    }
    assert!(buf.is_empty());
}
