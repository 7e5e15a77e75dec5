use super::*;
use crate::side_by_side::for_tests::document;

#[test]
fn numbers_have_commas() {
    let texts = [0.4, 999.0, 1_000.0, 12_345.6, 1_234_567.0].map(thousands);
    assert_eq!(texts, ["0", "999", "1,000", "12,346", "1,234,567"]);
}

#[test]
fn a_person_sees_every_row_and_what_is_missing() {
    let text = Text(&document()).to_string();
    let line = |start: &str| text.lines().find(|line| line.starts_with(start));
    assert!(
        line("NOT MEASURED: dnat: there is no nft").is_some(),
        "{text}"
    );
    assert!(line("DISTURBED").is_none(), "{text}");
    let jlb = line("jlb").unwrap();
    assert!(jlb.contains("0.500 (0.400..0.625)"), "{jlb}");
    assert!(jlb.ends_with("agents 10.0, ingress 5.0"), "{jlb}");
    assert!(line("direct").unwrap().contains("50,000"), "{text}");
    assert_eq!(line("dnat "), None);
}

#[test]
fn errors_are_told_in_words() {
    let mut document = document();
    document.machine.others_busy = [0.5, 0.5];
    let line = &mut document.tables[0].lines[1];
    line.errors.insert("reset".to_owned(), 3);
    line.first_errors.push("reset: receiving".to_owned());
    let text = Text(&document).to_string();
    assert!(text.contains("reset: receiving"), "{text}");
    assert!(text.contains("DISTURBED"), "{text}");
    assert_eq!(document.failed(), 3);
}
