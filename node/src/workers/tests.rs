use super::*;

#[test]
fn fewer_processors_than_workers_keep_none_of_them() {
    let allowed = jlb_packet_io::process::allowed_cpus().unwrap();
    let count = allowed.len();
    for number in 1..=2 * count {
        let node = NodeNumber::new(number as u16).unwrap();
        let mut wanted: Vec<_> = allowed.iter().copied().map(Some).collect();
        wanted.rotate_left(number % count);
        assert_eq!(processors(node, count), wanted);
        assert_eq!(processors(node, 1), wanted[..1]);
        assert_eq!(processors(node, count + 1), vec![None; count + 1]);
    }
}

#[test]
fn a_worker_keeps_to_its_processor() {
    let first = jlb_packet_io::process::allowed_cpus().unwrap()[0];
    let thread = std::thread::spawn(move || {
        pin(Some(first));
        jlb_packet_io::process::allowed_cpus().unwrap()
    });
    assert_eq!(thread.join().unwrap(), [first]);
}
