use super::*;

#[test]
fn pieces_join_to_the_same_bytes_wherever_they_are_cut() {
    let length = 3 * PERIOD as u64 + 17;
    let mut all = Vec::new();
    while (all.len() as u64) < length {
        all.extend_from_slice(&piece(
            all.len() as u64,
            1000.min(length - all.len() as u64),
        ));
    }
    assert_eq!(all.len() as u64, length);
    assert!(matches(0, &all));
    assert!(matches(1234, &all[1234..]));
    let mut sum = Fnv::default();
    sum.update(&all);
    assert_eq!(sum, sum_of_first(length));
}

#[test]
fn a_flipped_byte_and_a_shift_are_noticed() {
    let mut bytes = piece(0, 4096).to_vec();
    assert!(!matches(1, &bytes));
    assert!(!matches(1448, &bytes));
    bytes[4000] ^= 1;
    assert!(!matches(0, &bytes));
}

#[test]
fn fnv_of_known_words() {
    let mut sum = Fnv::default();
    sum.update(b"foobar");
    assert_eq!(sum.value(), 0x8594_4171_f739_67e8);
}
