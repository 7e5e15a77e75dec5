use super::*;

#[test]
fn the_least_the_middle_and_the_most_are_told() {
    let times = Times::of(vec![3.0, 1.0, 9.0, 2.0, 5.0]).unwrap();
    assert_eq!((times.least, times.median, times.most), (1.0, 3.0, 9.0));
    assert_eq!(times.samples, 5);
    assert_eq!(Times::of(Vec::new()), None);
}
