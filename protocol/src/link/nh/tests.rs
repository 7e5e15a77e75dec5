use super::*;
use alloc::vec;
use alloc::vec::Vec;
use proptest::prelude::*;

/// A key that no pattern of a message meets by chance.
fn key(seed: u64) -> NhKey {
    let mut state = seed;
    NhKey::new(|| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        state ^ state.rotate_left(29).wrapping_mul(0x9e37_79b9_7f4a_7c15)
    })
}

/// The sum as the paper has it, word by word.
fn plain(key: &NhKey, ports: u32, head: [u64; 2], rest: &[u8]) -> u128 {
    let mut bytes = (rest.len() as u64).to_le_bytes().to_vec();
    bytes.extend(u64::from(ports).to_le_bytes());
    bytes.extend(head.iter().flat_map(|word| word.to_le_bytes()));
    bytes.extend(rest);
    bytes.resize(bytes.len().next_multiple_of(16), 0);
    let words: Vec<u64> = bytes
        .as_chunks()
        .0
        .iter()
        .map(|word| u64::from_le_bytes(*word))
        .collect();
    let keys = [key.lengths, key.head];
    let keys = keys.iter().chain(&key.rest).flatten();
    let sums: Vec<u64> = words
        .iter()
        .zip(keys)
        .map(|(word, key)| word.wrapping_add(*key))
        .collect();
    let products = sums
        .as_chunks::<2>()
        .0
        .iter()
        .map(|&[a, b]| u128::from(a) * u128::from(b));
    products.fold(0, u128::wrapping_add)
}

proptest! {
    #[test]
    fn it_is_the_sum_of_the_paper(
        seed: u64,
        ports: u32,
        head: [u64; 2],
        rest in prop::collection::vec(any::<u8>(), 0..200),
    ) {
        let key = key(seed);
        prop_assert_eq!(key.hash(ports, head, &rest), Ok(plain(&key, ports, head, &rest)));
    }
}

#[test]
fn each_bit_and_the_length_count() {
    let key = key(7);
    let (head, rest) = ([5; 2], [9; 76]);
    for len in 0..rest.len() {
        let rest = &rest[..len];
        let mut hashes = vec![key.hash(80, head, rest)];
        hashes.extend((0..32).map(|bit| key.hash(80 ^ 1 << bit, head, rest)));
        for bit in 0..128 {
            let mut head = head;
            head[bit / 64] ^= 1 << (bit % 64);
            hashes.push(key.hash(80, head, rest));
        }
        for bit in 0..8 * len {
            let mut rest = rest.to_vec();
            rest[bit / 8] ^= 1 << (bit % 8);
            hashes.push(key.hash(80, head, &rest));
        }
        let count = hashes.len();
        hashes.sort();
        hashes.dedup();
        assert_eq!(hashes.len(), count, "of {len} bytes");
    }
}

#[test]
fn zeros_at_the_end_are_not_what_fills_up() {
    let key = key(8);
    let mut hashes: Vec<_> = (0..64)
        .map(|len| key.hash(1, [0; 2], &vec![0; len]))
        .collect();
    hashes.sort();
    hashes.dedup();
    assert_eq!(hashes.len(), 64);
}

#[test]
fn what_is_longer_than_the_key_has_no_hash() {
    let key = key(9);
    let longest = 16 * (PAIRS - 2);
    assert!(longest >= crate::wire::MAX_BODY + 220);
    assert!(key.hash(1, [0; 2], &vec![1; longest]).is_ok());
    assert!(key.hash(1, [0; 2], &vec![1; longest - 1]).is_ok());
    for len in [longest + 1, longest + 16, longest + 17] {
        assert_eq!(key.hash(1, [0; 2], &vec![1; len]), Err(DropReason::TooBig));
    }
}
