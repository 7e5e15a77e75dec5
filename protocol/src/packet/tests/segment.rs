use crate::DropReason;
use crate::buffer::PacketBuf;
use crate::packet::{Segment, TcpFlags, Transport, checksum, parse, write_segment};
use core::net::SocketAddr;

fn written(from: &str, to: &str, flags: TcpFlags) -> PacketBuf {
    let segment = Segment {
        from: from.parse().unwrap(),
        to: to.parse().unwrap(),
        seq: 7,
        ack: 9,
        flags,
    };
    let mut out = PacketBuf::default();
    write_segment(&segment, &mut out).unwrap();
    out
}

#[test]
fn a_segment_reads_as_it_was_meant_and_its_checksum_is_right() {
    for (from, to) in [
        ("198.51.100.7:4000", "192.0.2.80:80"),
        ("[2001:db8::9]:4000", "[2001:db8::80]:80"),
    ] {
        for flags in [TcpFlags::RST, TcpFlags::ACK, TcpFlags::RST | TcpFlags::ACK] {
            let out = written(from, to, flags);
            let packet = parse(out.as_slice()).unwrap();
            let (from, to): (SocketAddr, SocketAddr) = (from.parse().unwrap(), to.parse().unwrap());
            assert_eq!((packet.src, packet.dst), (from.ip(), to.ip()));
            assert_eq!(packet.total_len, out.as_slice().len());
            let ack = if flags.contains(TcpFlags::ACK) { 9 } else { 0 };
            let expected = Transport::Tcp {
                src_port: 4000,
                dst_port: 80,
                seq: 7,
                ack,
                flags,
                header_len: 20,
                payload_len: 0,
            };
            assert_eq!(packet.transport, expected);
            let tcp = &out.as_slice()[out.as_slice().len() - 20..];
            // Over a segment with its checksum the sum is 0.
            assert_eq!(checksum::with_pseudo_header(from.ip(), to.ip(), 6, tcp), 0);
        }
    }
}

#[test]
fn ends_of_two_families_are_refused_and_the_buffer_stays() {
    let mut out = written("198.51.100.7:4000", "192.0.2.80:80", TcpFlags::RST);
    let before = out.as_slice().to_vec();
    let segment = Segment {
        from: "198.51.100.7:4000".parse().unwrap(),
        to: "[2001:db8::80]:80".parse().unwrap(),
        seq: 1,
        ack: 1,
        flags: TcpFlags::RST,
    };
    assert_eq!(
        write_segment(&segment, &mut out),
        Err(DropReason::BadIpHeader)
    );
    assert_eq!(out.as_slice(), before);
}
