use super::*;
use core::hash::Hasher;
use proptest::prelude::*;
use siphasher::sip::SipHasher24;

proptest! {
    #[test]
    fn it_is_siphash_of_the_bytes(
        key: [u8; 16],
        words in proptest::collection::vec(any::<u64>(), 0..12),
        tail in proptest::collection::vec(any::<u8>(), 0..8),
    ) {
        let mut bytes: alloc::vec::Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
        bytes.extend(&tail);
        let halves = key.as_chunks::<8>().0;
        let mut state = Sip::new([u64::from_le_bytes(halves[0]), u64::from_le_bytes(halves[1])]);
        for &word in &words {
            state = state.word(word);
        }
        let mut last = [0; 8];
        last[..tail.len()].copy_from_slice(&tail);
        last[7] = bytes.len() as u8;
        let mut other = SipHasher24::new_with_key(&key);
        other.write(&bytes);
        prop_assert_eq!(state.finish(u64::from_le_bytes(last)), other.finish());
    }
}
