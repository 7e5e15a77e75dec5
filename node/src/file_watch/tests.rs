use super::*;
use std::cell::RefCell;
use std::fs;
use std::os::unix::fs::symlink;
use std::rc::Rc;

/// Longer than any change takes to be told, and a look on top.
const PATIENCE: Duration = Duration::from_secs(10);

/// A directory of its own that goes with the value.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Self {
        let id = std::process::id();
        let path = std::env::temp_dir().join(format!("jlb-file-watch-{name}-{id}"));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir(&path).unwrap();
        Self(path)
    }

    fn file(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn block_on<T>(work: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    tokio::task::LocalSet::new().block_on(&runtime, work)
}

/// Reads a file whenever it may have changed.
struct Reading {
    /// What was read, in order; `None` where there was nothing to read.
    read: Rc<RefCell<Vec<Option<String>>>>,
}

impl Reading {
    fn start(file: &Path) -> Self {
        let mut watch = FileWatch::new(vec![file.to_owned()]);
        assert!(watch.inotify.is_some() && !watch.watches.is_empty());
        // What is tested here is told by inotify alone.
        watch.looks = interval(PATIENCE * 10);
        Self::go_on(watch, file)
    }

    fn go_on(mut watch: FileWatch, file: &Path) -> Self {
        let read = Rc::new(RefCell::new(Vec::new()));
        let (into, file) = (Rc::clone(&read), file.to_owned());
        tokio::task::spawn_local(async move {
            loop {
                watch.changed().await;
                into.borrow_mut().push(fs::read_to_string(&file).ok());
            }
        });
        Self { read }
    }

    /// Waits until the last that was read is this.
    async fn wait_for(&self, wanted: Option<&str>) {
        let give_up = Instant::now() + PATIENCE;
        loop {
            let last = self.read.borrow().last().cloned();
            if last.as_ref().map(Option::as_deref) == Some(wanted) {
                return;
            }
            assert!(
                Instant::now() < give_up,
                "last was {last:?}, not {wanted:?}"
            );
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    /// Waits for longer than any change is put off.
    async fn settle() {
        tokio::time::sleep(LONGEST * 3).await;
    }

    fn count(&self) -> usize {
        self.read.borrow().len()
    }
}

#[test]
fn a_file_that_is_written_in_place_or_renamed_over_is_read_again() {
    let scratch = Scratch::new("rename");
    let file = scratch.file("a.toml");
    fs::write(&file, "1").unwrap();
    block_on(async {
        let reading = Reading::start(&file);
        fs::write(&file, "2").unwrap();
        reading.wait_for(Some("2")).await;
        for text in ["3", "4"] {
            fs::write(scratch.file("new"), text).unwrap();
            fs::rename(scratch.file("new"), &file).unwrap();
            reading.wait_for(Some(text)).await;
        }
        // As some editors do it: the old one is kept, a new one written.
        fs::rename(&file, scratch.file("a.toml~")).unwrap();
        fs::write(&file, "5").unwrap();
        reading.wait_for(Some("5")).await;
    });
}

#[test]
fn other_files_of_the_directory_are_not_its_business() {
    let scratch = Scratch::new("others");
    let file = scratch.file("a.toml");
    fs::write(&file, "1").unwrap();
    block_on(async {
        let reading = Reading::start(&file);
        for _ in 0..5 {
            fs::write(scratch.file("b.toml"), "1").unwrap();
            fs::remove_file(scratch.file("b.toml")).unwrap();
            Reading::settle().await;
        }
        assert_eq!(reading.count(), 0);
    });
}

#[test]
fn a_file_that_is_deleted_and_made_again_is_read_again() {
    let scratch = Scratch::new("again");
    let folder = scratch.file("etc");
    let file = folder.join("a.toml");
    fs::create_dir(&folder).unwrap();
    fs::write(&file, "1").unwrap();
    block_on(async {
        let reading = Reading::start(&file);
        fs::remove_file(&file).unwrap();
        reading.wait_for(None).await;
        fs::write(&file, "2").unwrap();
        reading.wait_for(Some("2")).await;
        // With its directory.
        fs::remove_dir_all(&folder).unwrap();
        reading.wait_for(None).await;
        fs::create_dir(&folder).unwrap();
        Reading::settle().await;
        fs::write(&file, "3").unwrap();
        reading.wait_for(Some("3")).await;
        // A directory in its place.
        fs::create_dir(scratch.file("new")).unwrap();
        fs::write(scratch.file("new/a.toml"), "4").unwrap();
        fs::rename(&folder, scratch.file("old")).unwrap();
        fs::rename(scratch.file("new"), &folder).unwrap();
        reading.wait_for(Some("4")).await;
    });
}

#[test]
fn a_link_that_is_swapped_is_followed_anew() {
    let scratch = Scratch::new("swap");
    // A volume of Kubernetes: a.toml -> ..data/a.toml, ..data -> ..1
    for version in ["1", "2", "3"] {
        let folder = scratch.file(&format!("..{version}"));
        fs::create_dir(&folder).unwrap();
        fs::write(folder.join("a.toml"), version).unwrap();
    }
    symlink("..1", scratch.file("..data")).unwrap();
    symlink("..data/a.toml", scratch.file("a.toml")).unwrap();
    let file = scratch.file("a.toml");
    block_on(async {
        let reading = Reading::start(&file);
        for version in ["2", "3"] {
            symlink(format!("..{version}"), scratch.file("..tmp")).unwrap();
            fs::rename(scratch.file("..tmp"), scratch.file("..data")).unwrap();
            reading.wait_for(Some(version)).await;
        }
        fs::write(scratch.file("..3/a.toml"), "3b").unwrap();
        reading.wait_for(Some("3b")).await;
        // The link itself becomes a file, over a link that is made anew.
        fs::remove_file(&file).unwrap();
        symlink("..2/a.toml", &file).unwrap();
        reading.wait_for(Some("2")).await;
        fs::remove_file(&file).unwrap();
        fs::write(&file, "4").unwrap();
        reading.wait_for(Some("4")).await;
    });
}

#[test]
fn a_burst_of_writes_is_few_changes_and_its_last_one_is_read() {
    let scratch = Scratch::new("burst");
    let file = scratch.file("a.toml");
    fs::write(&file, "0").unwrap();
    block_on(async {
        let reading = Reading::start(&file);
        for at in 1..=300 {
            fs::write(scratch.file("new"), at.to_string()).unwrap();
            fs::rename(scratch.file("new"), &file).unwrap();
        }
        reading.wait_for(Some("300")).await;
        // They were made without a pause: one change, or two if the machine is slow.
        Reading::settle().await;
        assert!(reading.count() <= 3, "{:?}", reading.read.borrow());
    });
}

#[test]
fn a_burst_that_does_not_end_is_read_meanwhile() {
    let scratch = Scratch::new("endless");
    let file = scratch.file("a.toml");
    fs::write(&file, "0").unwrap();
    block_on(async {
        let reading = Reading::start(&file);
        let begun = Instant::now();
        // Never quiet for long enough.
        while begun.elapsed() < LONGEST * 20 {
            fs::write(&file, "1").unwrap();
            tokio::time::sleep(QUIET / 5).await;
        }
        let count = reading.count();
        assert!((2..=20).contains(&count), "{count}");
    });
}

#[test]
fn a_change_is_not_lost_when_nobody_waits_for_it_any_more() {
    let scratch = Scratch::new("dropped");
    let file = scratch.file("a.toml");
    fs::write(&file, "0").unwrap();
    block_on(async {
        let mut watch = FileWatch::new(vec![file.clone()]);
        fs::write(&file, "1").unwrap();
        let early = tokio::time::timeout(QUIET / 2, watch.changed()).await;
        assert!(early.is_err());
        watch.changed().await;
        let more = tokio::time::timeout(LONGEST * 3, watch.changed()).await;
        assert!(more.is_err(), "it is told once");
    });
}

#[test]
fn without_inotify_the_status_of_the_file_tells() {
    let scratch = Scratch::new("looks");
    let file = scratch.file("a.toml");
    fs::write(&file, "1").unwrap();
    block_on(async {
        let mut watch = FileWatch::new(vec![file.clone()]);
        watch.inotify = None;
        let reading = Reading::go_on(watch, &file);
        fs::write(&file, "22").unwrap();
        reading.wait_for(Some("22")).await;
        assert_eq!(reading.count(), 1);
    });
}

#[test]
fn links_in_a_circle_end() {
    let scratch = Scratch::new("circle");
    symlink("b", scratch.file("a")).unwrap();
    symlink("a", scratch.file("b")).unwrap();
    let mut steps = Steps::new();
    add_steps(&scratch.file("a"), &mut steps);
    assert_eq!(steps.len(), 1);
    let names = steps.into_values().next().unwrap();
    assert_eq!(names.into_iter().collect::<Vec<_>>(), ["a", "b"]);
}
