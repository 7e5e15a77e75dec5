use std::path::PathBuf;

use super::*;

fn file(name: &str, text: &str) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(name);
    std::fs::write(&path, text).unwrap();
    (folder, path)
}

fn micro(ingress: [f64; 3], parse: [f64; 3]) -> String {
    let case = |name: &str, [least, median, most]: [f64; 3]| serde_json::json!({"name": name, "ns_least": least, "ns_median": median, "ns_most": most});
    let cases = [case("ingress/1", ingress), case("parse", parse)];
    serde_json::json!({"processor": "one", "cases": cases}).to_string()
}

fn read(text: &str) -> Report {
    let (_folder, path) = file("report.json", text);
    Report::read(&path).unwrap()
}

#[test]
fn a_case_that_got_faster_by_more_than_its_samples_differ_is_outside() {
    let before = read(&micro([100.0, 110.0, 300.0], [40.0, 44.0, 60.0]));
    let after = read(&micro([80.0, 90.0, 300.0], [42.0, 45.0, 50.0]));
    let pairs = pairs(&before, &after);
    assert_eq!(pairs.len(), 2);
    assert!((pairs[0].change() + 0.2).abs() < 1e-9);
    assert!(pairs[0].is_outside());
    assert!(!pairs[1].is_outside());
    let text = text(&before, &after);
    let line = text.lines().find(|line| line.starts_with("ingress/1 ns"));
    let line = line.unwrap();
    assert!(line.contains("-20.0 %  outside the spread"), "{line}");
    let line = text.lines().find(|line| line.starts_with("parse")).unwrap();
    assert!(line.ends_with("+5.0 %"), "{line}");
}

#[test]
fn a_case_that_one_report_lacks_is_told() {
    let before = read(&micro([1.0; 3], [2.0; 3]));
    let mut after = before.clone();
    after.figures.pop();
    let text = text(&before, &after);
    assert!(
        text.lines()
            .any(|line| line.starts_with("parse ns") && line.ends_with("only before"))
    );
}

#[test]
fn what_is_no_report_is_refused_with_its_name() {
    let (_folder, path) = file("other.json", "{\"kind\": \"else\"}");
    let error = Report::read(&path).unwrap_err();
    assert!(
        error.to_string().contains("other.json is no report"),
        "{error}"
    );
    let (_folder, path) = file("cut.json", "{\"kind\"");
    assert!(Report::read(&path).is_err());
}

#[test]
fn reports_of_different_commands_are_not_compared() {
    let document = crate::side_by_side::document_for_tests();
    let (_one, lab) = file("lab.json", &document.json().unwrap());
    let (_other, micro) = file("micro.json", &micro([1.0; 3], [1.0; 3]));
    let options = CompareOptions {
        before: lab.clone(),
        after: micro,
    };
    let error = run(&options).unwrap_err();
    assert!(error.to_string().contains("jlb bench micro"), "{error}");
    let options = CompareOptions {
        before: lab.clone(),
        after: lab,
    };
    assert!(run(&options).is_ok());
}

#[test]
fn rows_of_the_lab_are_compared_by_what_is_paired() {
    let before = crate::side_by_side::document_for_tests();
    let mut after = before.clone();
    let line = after.tables[0]
        .lines
        .iter_mut()
        .find(|line| line.row == "jlb")
        .unwrap();
    let ratio = line.ratio.unwrap();
    line.ratio = Some(Spread {
        min: ratio.max + 0.1,
        median: ratio.max + 0.2,
        max: ratio.max + 0.3,
    });
    let (before, after) = (Report::of_lab(&before), Report::of_lab(&after));
    let pairs = pairs(&before, &after);
    let outside: Vec<&Pair> = pairs.iter().filter(|pair| pair.is_outside()).collect();
    assert_eq!(outside.len(), 1);
    assert_eq!(outside[0].before.name, ["keepalive", "jlb", "of direct"]);
    // `direct` is compared with itself by its rate, and at a fixed rate there are latencies.
    let has = |name: [&str; 3]| pairs.iter().any(|pair| pair.before.name == name);
    assert!(has(["keepalive", "direct", "requests/s"]));
    assert!(has(["latency", "jlb", "p99 us"]));
}
