use super::for_tests::{document, options};
use super::*;
use workload::Workload;

#[test]
fn a_row_is_compared_with_direct_whether_that_was_asked_for_or_not() {
    let names = |words: &[&str]| -> Vec<&str> {
        options(words).rows().iter().map(|row| row.name).collect()
    };
    assert_eq!(names(&["--row", "jlb"]), ["direct", "jlb"]);
    assert_eq!(
        names(&["--row", "nginx", "--row", "dsr"]),
        ["direct", "dsr", "nginx"]
    );
    let all = names(&[]);
    assert_eq!(all.len(), row::ROWS.len());
    assert_eq!(all.first(), Some(&"direct"));
}

#[test]
fn latency_stands_for_requests_and_for_connections() {
    let of = |words: &[&str]| options(words).workloads();
    assert_eq!(of(&[]), Workload::ALL);
    assert_eq!(
        of(&["--workload", "latency", "--workload", "bulk"]),
        [
            Workload::Bulk,
            Workload::Latency,
            Workload::ConnectionLatency
        ]
    );
}

#[test]
fn the_command_measures_the_same_again() {
    let first = options(&[
        "--quick",
        "--row",
        "jlb",
        "--workload",
        "latency",
        "--seed",
        "7",
    ]);
    let command = first.command();
    let words: Vec<&str> = command.split(' ').skip(3).collect();
    let again = options(&words);
    assert_eq!(again.command(), command);
    assert_eq!(again.measured(), first.measured());
    assert_eq!(again.warm_up(), first.warm_up());
    assert_eq!(again.alternations(), 2);
    assert_eq!(again.workloads(), first.workloads());
    assert_eq!(again.rows().len(), 2);
}

#[test]
fn a_document_is_the_same_when_it_was_written_and_read() {
    let document = document();
    let again: Document = serde_json::from_str(&document.json().unwrap()).unwrap();
    assert_eq!(again, document);
    assert_eq!(document.kind, KIND);
    assert_eq!(document.failed(), 0);
}

#[test]
fn a_busy_machine_is_told() {
    let mut machine = document().machine;
    assert_eq!(machine.disturbed(), None);
    machine.others_busy = [0.0, 0.4];
    let words = machine.disturbed().unwrap();
    assert!(
        words.contains("0 % of all processors busy before"),
        "{words}"
    );
    assert!(words.contains("40 % after"), "{words}");
}
