use super::*;

#[test]
fn time_spans_have_a_number_and_a_unit() {
    for (text, nanos) in [
        ("250us", 250_000),
        ("20ms", 20_000_000),
        ("3 s", 3_000_000_000),
        ("15m", 900_000_000_000),
        ("1h", 3_600_000_000_000),
    ] {
        assert_eq!(
            parse_time_span(text),
            Ok(Duration::from_nanos(nanos)),
            "{text}"
        );
    }
    for text in [
        "",
        "20",
        "ms",
        "1.5s",
        "-1s",
        "20 msec",
        "1m30s",
        "99999999999h",
    ] {
        assert!(parse_time_span(text).is_err(), "{text}");
    }
}

#[test]
fn sizes_are_binary() {
    assert_eq!(parse_size("512"), Ok(512));
    assert_eq!(parse_size("512B"), Ok(512));
    assert_eq!(parse_size("64KiB"), Ok(65_536));
    assert_eq!(parse_size("32MiB"), Ok(33_554_432));
    assert_eq!(parse_size("2GiB"), Ok(2_147_483_648));
    for text in ["", "MiB", "32MB", "1.5MiB", "99999999999GiB"] {
        assert!(parse_size(text).is_err(), "{text}");
    }
}

#[test]
fn ports_are_one_a_range_or_any() {
    assert_eq!(parse_ports("any"), Ok(Ports::Any));
    assert_eq!(parse_ports("80"), Ok(Ports::Range(80, 80)));
    assert_eq!(parse_ports("8000-8099"), Ok(Ports::Range(8000, 8099)));
    assert_eq!(parse_ports("8000 - 8099"), Ok(Ports::Range(8000, 8099)));
    for text in [
        "", "0", "0-80", "80-", "-80", "99-80", "65536", "80,81", "+80", "all",
    ] {
        assert!(parse_ports(text).is_err(), "{text}");
    }
}
