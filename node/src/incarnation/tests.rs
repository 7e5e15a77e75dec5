use super::*;

struct Directory(std::path::PathBuf);

impl Directory {
    fn new(label: &str) -> Self {
        let name = format!("jlb-incarnation-{}-{label}", std::process::id());
        Self(std::env::temp_dir().join(name))
    }

    fn store(&self, text: &str) {
        std::fs::create_dir_all(&self.0).unwrap();
        std::fs::write(self.0.join("a.incarnation"), text).unwrap();
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

#[test]
fn each_start_is_later_than_the_last_even_if_the_clock_went_back() {
    let directory = Directory::new("back");
    let first = next(&directory.0, "a").unwrap();
    let second = next(&directory.0, "a").unwrap();
    assert!(second > first);
    let ahead = first + 1_000_000;
    directory.store(&format!("{ahead}\n"));
    assert_eq!(next(&directory.0, "a").unwrap(), ahead + 1);
}

#[test]
fn a_damaged_file_is_an_error_not_a_fresh_beginning() {
    let directory = Directory::new("damaged");
    for text in ["", "12x", "-1", "4294967295"] {
        directory.store(text);
        let error = next(&directory.0, "a").unwrap_err().to_string();
        assert!(error.contains("a.incarnation"), "{text:?}: {error}");
        assert!(error.contains("delete it"), "{text:?}: {error}");
    }
}
