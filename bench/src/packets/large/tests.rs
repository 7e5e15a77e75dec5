use jlb_protocol::packet::offload::Split;

use super::*;

#[test]
fn packets_that_came_are_counted_as_segments() {
    let netstat = "TcpExt: InNoECTPkts\nTcpExt: 9\n\
        IpExt: InOctets InNoECTPkts InECT1Pkts InECT0Pkts InCEPkts ReasmOverlaps\nIpExt: 7 100 20 3 4 5\n";
    assert_eq!(arrived(netstat).unwrap(), 127);
    assert!(arrived("TcpExt: A\nTcpExt: 1\n").is_err());
    assert!(arrived("IpExt: InNoECTPkts\nIpExt: many\n").is_err());
}

#[test]
fn a_large_packet_is_what_its_header_says() {
    let bytes = packet(1_234);
    assert_eq!(checksum::plain(&bytes[..20]), 0);
    let segments = Segments {
        kind: SegmentKind::Tcp4,
        size: NonZeroU16::new(SEGMENT).unwrap(),
        header_len: HEADER_LEN,
    };
    let split = Split::new(&bytes, segments).unwrap();
    assert_eq!(split.count(), usize::from(SEGMENTS));
    assert_eq!(split.header_len(), usize::from(HEADER_LEN));
    assert_eq!(
        split.payload(usize::from(SEGMENTS) - 1).len(),
        usize::from(SEGMENT)
    );
    assert!(bytes.len() > 32 << 10);
}
