use super::*;

/// Less preferred needs no privilege.
#[test]
fn the_priority_of_a_thread_is_its_own() {
    let before = thread_nice().unwrap();
    let wanted = (before + 1).min(19);
    let thread = std::thread::spawn(move || {
        set_thread_nice(wanted).unwrap();
        thread_nice().unwrap()
    });
    assert_eq!(thread.join().unwrap(), wanted);
    assert_eq!(thread_nice().unwrap(), before);
}
