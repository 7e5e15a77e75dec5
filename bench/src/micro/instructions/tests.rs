use super::*;

#[test]
fn the_number_is_found_in_what_callgrind_says() {
    let words = "==7== Events    : Ir\n==7== Collected : 1205377\n==7==\n";
    assert_eq!(collected(words), Some(1_205_377));
    assert_eq!(collected("==7== Events : Ir"), None);
}

fn baseline(text: &str) -> Result<Baseline> {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), text).unwrap();
    Baseline::read(file.path())
}

#[test]
fn a_case_that_got_dearer_or_is_new_is_found() {
    let counted = [("parse".to_owned(), 104.0), ("lookup/1".to_owned(), 106.0)];
    let good = baseline("# words\nparse 100\nlookup/1 101.5\n").unwrap();
    assert_eq!(good.judge(&counted), Vec::<String>::new());
    let bad = baseline("parse 99\n").unwrap();
    let wrong = bad.judge(&counted);
    assert_eq!(wrong.len(), 2, "{wrong:?}");
    assert!(wrong[0].contains("5.1 % more than 99.0"), "{wrong:?}");
    assert!(wrong[1].contains("lookup/1 is not in"), "{wrong:?}");
    assert_eq!(bad.change("parse", 99.0), Some(0.0));
}

#[test]
fn what_is_no_baseline_is_refused_with_its_line() {
    for text in ["parse\n", "\n# x\nparse many\n", "parse 0\n", "parse -3\n"] {
        let error = baseline(text).unwrap_err().to_string();
        assert!(error.contains(":1:") || error.contains(":3:"), "{error}");
    }
}

#[test]
fn what_is_written_is_read_again() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let counted = [
        ("parse".to_owned(), 104.04),
        ("new-flow".to_owned(), 9_000.0),
    ];
    Baseline::write(file.path(), &counted).unwrap();
    let read = Baseline::read(file.path()).unwrap();
    assert_eq!(read.judge(&counted), Vec::<String>::new());
    assert_eq!(read.by_case.len(), 2);
}
