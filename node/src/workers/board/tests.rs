use super::*;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

/// Each word has another value.
fn all_different() -> Counts {
    Counts::of(std::array::from_fn(|at| 1_000 + at as u64))
}

#[test]
fn every_count_has_a_place_of_its_own() {
    let counts = all_different();
    assert_eq!(counts.words(), std::array::from_fn(|at| 1_000 + at as u64));
    let board = Board::new();
    board.write(&counts.words());
    assert_eq!(board.read(), Some(counts.words()));
    let mut more = counts;
    more.drop_for(DropReason::WorkerFull);
    more.forwarded += 3;
    more.shortcuts = 7;
    board.write(&more.words());
    let new = Counts::of(board.read().unwrap()).since(&counts);
    assert_eq!((new.forwarded, new.shortcuts), (3, 7));
    assert_eq!(new.dropped(DropReason::WorkerFull), 1);
    assert_eq!(new.words().iter().sum::<u64>(), 3 + 7 + 1);
}

#[test]
fn who_reads_sees_one_moment() {
    let board = Arc::new(Board::new());
    let over = Arc::new(AtomicBool::new(false));
    let writer = {
        let (board, over) = (Arc::clone(&board), Arc::clone(&over));
        std::thread::spawn(move || {
            let mut number = 0;
            while !over.load(Ordering::Relaxed) {
                number += 1;
                board.write(&[number; WORDS]);
            }
        })
    };
    let mut last = 0;
    let mut read = 0;
    while read < 1_000 {
        let Some(words) = board.read() else {
            continue;
        };
        read += 1;
        assert!(words.iter().all(|&word| word == words[0]), "{words:?}");
        assert!(words[0] >= last);
        last = words[0];
    }
    over.store(true, Ordering::Relaxed);
    writer.join().unwrap();
}

#[test]
fn a_board_has_its_lines_for_itself() {
    assert_eq!(align_of::<Boards>(), 128);
    assert_eq!(size_of::<Boards>() % 128, 0);
}
