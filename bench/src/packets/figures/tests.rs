use super::*;

#[test]
fn ratios_are_of_the_same_turn() {
    let rates = BTreeMap::from([
        (("kernel", "bare"), vec![1000.0, 500.0, 2000.0]),
        (("tun", "bare"), vec![500.0, 500.0, 1000.0]),
        (("tun", "established"), vec![250.0, 400.0, 1000.0]),
    ]);
    let document = Document::new(7, &rates, None);
    let find = |way, what| {
        let mut rows = document.rows.iter();
        rows.find(|row| (row.way, row.what) == (way, what)).unwrap()
    };
    let spread = |min, median, max| Some(Spread { min, median, max });
    let established = find("tun", "established");
    assert_eq!(established.of_bare, spread(0.5, 0.8, 1.0));
    assert_eq!(established.of_kernel, spread(0.25, 0.5, 0.8));
    assert_eq!(Some(established.rate), spread(250.0, 400.0, 1000.0));
    assert_eq!(find("tun", "bare").of_bare, None);
    assert_eq!(find("kernel", "bare").of_kernel, None);
    let text = document.to_string();
    assert!(text.contains("0.50 0.80 1.00"), "{text}");
}
