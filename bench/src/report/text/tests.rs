use super::*;

#[test]
fn numbers_are_grouped() {
    assert_eq!(grouped(0), "0");
    assert_eq!(grouped(999), "999");
    assert_eq!(grouped(1000), "1,000");
    assert_eq!(grouped(1234567), "1,234,567");
}

#[test]
fn bars_are_in_proportion() {
    assert_eq!(bar(10, 10).chars().count(), 32);
    assert_eq!(bar(5, 10).chars().count(), 16);
    assert_eq!(bar(0, 10), "");
    assert_eq!(bar(1, 256), "▏");
    assert_eq!(bar(0, 0), "");
}
