use super::*;

#[test]
fn what_is_written_is_read_again() {
    let size = NonZeroU16::new(1_400).unwrap();
    let checksum = PartialChecksum {
        start: 20,
        offset: 16,
    };
    for checksum in [None, Some(checksum)] {
        let kinds = [SegmentKind::Tcp4, SegmentKind::Tcp6, SegmentKind::Udp];
        let segments = kinds.map(|kind| {
            Some(Segments {
                kind,
                size,
                header_len: 52,
            })
        });
        for segments in segments.into_iter().chain([None]) {
            let offload = Offload { checksum, segments };
            assert_eq!(read(write(&offload)).unwrap(), offload);
        }
    }
}

#[test]
fn a_mark_of_congestion_changes_nothing_and_unknown_kinds_are_told() {
    let mut header = [0; LEN];
    header[1] = GSO_TCPV4 | GSO_ECN;
    header[4..6].copy_from_slice(&1_000_u16.to_ne_bytes());
    assert_eq!(
        read(header).unwrap().segments.unwrap().kind,
        SegmentKind::Tcp4
    );
    header[1] = 3;
    let error = read(header).unwrap_err();
    assert!(error.to_string().contains("kind 3"), "{error}");
}
