use super::*;
use alloc::vec;
use alloc::vec::Vec;

/// Word by word, as RFC 1071 section 1 has it.
fn by_words(bytes: &[u8]) -> u16 {
    let mut sum: u32 = 0;
    for pair in bytes.chunks(2) {
        let word = [pair[0], pair.get(1).copied().unwrap_or(0)];
        sum += u32::from(u16::from_be_bytes(word));
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}

#[test]
fn short_and_long_slices_have_the_sum_of_their_words() {
    let mixed: Vec<u8> = (0..5_000_u32).map(|at| ((at * 7_919) >> 5) as u8).collect();
    let full = vec![0xff; 5_000];
    for all in [&mixed, &full] {
        for len in (0..300).chain([1_335, 1_336, 1_460, 4_999]) {
            for from in [0, 1, 2, 17] {
                let bytes = &all[from.min(len)..len];
                assert_eq!(plain(bytes), by_words(bytes), "{from}..{len}");
            }
        }
    }
}

#[test]
fn parts_have_the_sum_of_the_whole() {
    let bytes: Vec<u8> = (0..1_400_u32).map(|at| (at * 31) as u8).collect();
    let addresses = [
        "192.0.2.1".parse().unwrap(),
        "198.51.100.2".parse().unwrap(),
    ];
    let [src, dst] = addresses;
    let whole = with_pseudo_header(src, dst, 6, &bytes);
    for at in [0, 20, 32, 128, 700, 1_400] {
        let (first, second) = bytes.split_at(at);
        assert_eq!(of_parts(src, dst, 6, [first, second]), whole, "{at}");
    }
    let pseudo = [
        &[192, 0, 2, 1, 198, 51, 100, 2, 0, 6][..],
        &1_400_u16.to_be_bytes(),
        &bytes,
    ];
    assert_eq!(whole, by_words(&pseudo.concat()));
}
