use super::*;

#[test]
fn every_count_has_a_place_and_is_summed() {
    let words = std::array::from_fn(|at| 1 + at as u64);
    let counts = FrameCounts::of(&words);
    assert_eq!(counts.words(), words);
    let both = counts.and(&counts);
    let mut doubled = words.map(|word| 2 * word);
    doubled[WORDS - 1] = words[WORDS - 1];
    assert_eq!(both.words(), doubled);
}
