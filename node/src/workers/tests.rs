use super::*;

#[test]
fn fewer_processors_than_workers_keep_none_of_them() {
    let allowed = jlb_packet_io::process::allowed_cpus().unwrap();
    let enough = processors(allowed.len());
    assert_eq!(
        enough,
        allowed.iter().copied().map(Some).collect::<Vec<_>>()
    );
    assert_eq!(processors(allowed.len() + 1), vec![None; allowed.len() + 1]);
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
