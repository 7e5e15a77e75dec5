//! Network namespaces that last as long as a test.

use jlb_packet_io::netns;
use std::path::PathBuf;

/// A namespace that is deleted when it is dropped, also by a panic.
pub(crate) struct Namespace {
    name: String,
}

impl Namespace {
    /// A new namespace. `label` is unique among the tests of this crate.
    pub(crate) fn new(label: &str) -> Self {
        require_root();
        let name = format!("jlbk-{}-{label}", std::process::id());
        netns::create(&name).unwrap();
        Self { name }
    }

    /// Its file.
    pub(crate) fn path(&self) -> PathBuf {
        netns::path(&self.name)
    }

    /// Runs `work` in it.
    pub(crate) fn run<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        netns::run_in(&self.path(), work).unwrap()
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        let deleted = netns::delete(&self.name);
        if !std::thread::panicking() {
            deleted.unwrap();
        }
    }
}

/// Panics with the reason where a test can't run.
pub(crate) fn require_root() {
    assert!(
        rustix::process::geteuid().is_root(),
        "this test makes network namespaces: run it as root"
    );
}
