use super::*;
use crate::side_by_side::for_tests::document;

#[test]
fn the_page_has_every_workload_and_row_and_says_how_to_do_it_again() {
    let document = document();
    let page = page(&document);
    for table in document.tables {
        assert!(page.contains(&format!("<h2 id=\"{}\">", table.workload)));
    }
    assert!(page.contains("Not measured: dnat: there is no nft"));
    assert!(page.contains("Some &lt;Processor&gt;"));
    assert!(page.contains(&document.command));
    assert!(page.contains("0.500 (0.400..0.625)"));
    // A closed loop has bars of ratios and of times, an open one dots and bars of times.
    assert_eq!(page.matches("<svg").count(), 4);
    assert_eq!(page.matches("<svg").count(), page.matches("</svg>").count());
    assert!(!page.contains("<script") && !page.contains("NaN"));
    assert!(!page.contains("Disturbed"));
}

#[test]
fn what_went_wrong_is_on_the_page() {
    let mut document = document();
    document.machine.others_busy = [0.9, 0.0];
    document.commit = None;
    let line = &mut document.tables[0].lines[0];
    line.errors.insert("reset".to_owned(), 7);
    line.first_errors.push("reset: <receiving>".to_owned());
    let page = page(&document);
    assert!(page.contains("7 requests failed"));
    assert!(page.contains("direct: reset: &lt;receiving&gt;"));
    assert!(page.contains("Disturbed"));
    assert!(page.contains("commit unknown"));
}

#[test]
fn time_that_no_process_of_the_row_has_is_told_apart() {
    let document = document();
    let line = document.tables[0].lines.first().unwrap();
    // 2e6 / 50,000 us in all, 9 of the client and 20 of the servers.
    let parts = parts(line);
    let rest = parts.last().unwrap();
    assert_eq!(rest.0, "no process of these");
    assert!((rest.2 - 11.0).abs() < 1e-9);
}
