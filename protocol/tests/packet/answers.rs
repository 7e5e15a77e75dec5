//! The answers are what the two other libraries take for right.

use crate::generate::{self, TCP, UDP};
use crate::oracle::{Seen, Upper, etherparse_sees, pnet_sees};
use jlb_protocol::packet::{Transport, answer_echo, parse, write_reset, write_unreachable};
use jlb_protocol::{DropReason, PacketBuf};
use proptest::prelude::*;

const FIN: u8 = 0x01;
const SYN: u8 = 0x02;
const RST: u8 = 0x04;
const ACK: u8 = 0x10;

/// Both libraries see the same in an answer, its checksums are right, and it goes from the
/// original's destination to its source.
fn checked(original: &[u8], answer: &[u8]) -> Result<Seen, TestCaseError> {
    let seen = pnet_sees(answer, true);
    prop_assert_eq!(etherparse_sees(answer), Some(seen));
    let original = parse(original).unwrap();
    prop_assert_eq!((seen.src, seen.dst), (original.dst, original.src));
    prop_assert_eq!(seen.hop_limit, 64);
    Ok(seen)
}

proptest! {
    #[test]
    fn resets(net in generate::answerable_net(), mut segment in generate::segment()) {
        segment.flags &= !RST;
        let original = net.around(TCP, &segment.to_bytes());
        let mut out = PacketBuf::new(0);
        prop_assert_eq!(write_reset(&original, &mut out), Ok(()));
        let seen = checked(&original, out.as_slice())?;
        let segment_len = segment.payload.len() as u32
            + u32::from(segment.flags & SYN != 0)
            + u32::from(segment.flags & FIN != 0);
        let (flags, seq, ack) = if segment.flags & ACK != 0 {
            (RST, segment.ack, 0)
        } else {
            (RST | ACK, 0, segment.seq.wrapping_add(segment_len))
        };
        prop_assert_eq!(seen.upper, Upper::Tcp {
            ports: (segment.dst_port, segment.src_port),
            seq,
            ack,
            flags,
            header_len: 20,
            payload_len: 0,
        });
    }

    #[test]
    fn unreachables(
        net in generate::answerable_net(),
        datagram in generate::datagram(),
        padding in 0_usize..100,
    ) {
        let original = net.around(UDP, &datagram.to_bytes());
        let mut padded = original.clone();
        padded.resize(original.len() + padding, 0xee);
        let mut out = PacketBuf::new(0);
        prop_assert_eq!(write_unreachable(&padded, &mut out), Ok(()));
        let seen = checked(&original, out.as_slice())?;
        let (kind, code, header_len, limit) =
            if net.is_ipv4() { (3, 3, 28, 576) } else { (1, 4, 48, 1280) };
        prop_assert_eq!(seen.upper, Upper::Icmp { kind, code });
        prop_assert_eq!(out.len(), (header_len + original.len()).min(limit));
        prop_assert_eq!(&out.as_slice()[header_len..], &original[..out.len() - header_len]);
    }

    #[test]
    fn echo_replies(
        net in generate::answerable_net(),
        echo in generate::echo(),
        padding in 0_usize..100,
    ) {
        let original = net.around_icmp(if net.is_ipv4() { 8 } else { 128 }, 0, &echo);
        let mut padded = original.clone();
        padded.resize(original.len() + padding, 0xee);
        let mut buf = PacketBuf::from_packet(&padded);
        prop_assert_eq!(answer_echo(&mut buf), Ok(()));
        let seen = checked(&original, buf.as_slice())?;
        let (kind, header_len) = if net.is_ipv4() { (0, 20) } else { (129, 40) };
        prop_assert_eq!(seen.upper, Upper::Icmp { kind, code: 0 });
        prop_assert_eq!(&buf.as_slice()[header_len + 4..], &echo[..]);
    }

    /// Two load balancers that answer each other stop after the first answer.
    #[test]
    fn no_answer_is_answered(
        net in generate::answerable_net(),
        mut segment in generate::segment(),
        echo in generate::echo(),
    ) {
        segment.flags &= !RST;
        let original = net.around(TCP, &segment.to_bytes());
        let mut reset = PacketBuf::default();
        prop_assert_eq!(write_reset(&original, &mut reset), Ok(()));
        let mut unreachable = PacketBuf::default();
        prop_assert_eq!(write_unreachable(&original, &mut unreachable), Ok(()));
        let request = net.around_icmp(if net.is_ipv4() { 8 } else { 128 }, 0, &echo);
        let mut reply = PacketBuf::from_packet(&request);
        prop_assert_eq!(answer_echo(&mut reply), Ok(()));

        for (answer, reason) in [
            (reset, DropReason::Refused),
            (unreachable, DropReason::IcmpIgnored),
            (reply, DropReason::IcmpIgnored),
        ] {
            let mut out = PacketBuf::default();
            prop_assert_eq!(write_reset(answer.as_slice(), &mut out), Err(reason));
            prop_assert_eq!(write_unreachable(answer.as_slice(), &mut out), Err(reason));
            let mut again = answer.clone();
            prop_assert_eq!(answer_echo(&mut again), Err(DropReason::IcmpIgnored));
            prop_assert_eq!(again, answer);
        }
    }

    /// The client that gets the unreachable finds its own flow in it.
    #[test]
    fn unreachables_name_the_flow(
        net in generate::answerable_net(),
        datagram in generate::datagram(),
    ) {
        let original = net.around(UDP, &datagram.to_bytes());
        let mut out = PacketBuf::default();
        prop_assert_eq!(write_unreachable(&original, &mut out), Ok(()));
        let Transport::IcmpError { quoted } = parse(out.as_slice()).unwrap().transport else {
            return Err(TestCaseError::fail("no ICMP error about a flow"));
        };
        prop_assert_eq!((quoted.src_port, quoted.dst_port), (datagram.src_port, datagram.dst_port));
    }
}
