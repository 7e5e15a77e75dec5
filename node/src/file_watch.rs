//! Tells when a file may have changed, however that is done: written in place, renamed over, deleted
//! and made again, or reached through a symbolic link that is swapped, as Kubernetes does with its
//! `..data`.
//!
//! Directories are watched, not inodes: each directory in which a step of the way to a file is looked
//! up, for the name of that step. What inotify does not tell (a file system of another machine, no
//! watches left) shows in the file's status, which is looked at twice a second.

use rustix::fs::inotify::{self, CreateFlags, ReadFlags, Reader, WatchFlags};
use rustix::io::Errno;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ffi::OsString;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path, PathBuf};
use std::time::Duration;
use tokio::io::unix::AsyncFd;
use tokio::time::{Instant, Interval, MissedTickBehavior, interval, timeout_at};
use tracing::warn;

/// A change is told once nothing more has happened for this long.
const QUIET: Duration = Duration::from_millis(10);

/// It is told after this long in any case.
const LONGEST: Duration = Duration::from_millis(50);

/// How often the files' status is looked at. What is found there is told if the next look finds the
/// same, so that nothing is read while it is written.
const LOOK: Duration = Duration::from_millis(500);

/// Symbolic links on the way to a file, as the kernel bounds them.
const MAX_LINKS: usize = 40;

/// Bytes of events that are read at a time.
const EVENTS: usize = 4_096;

const WATCHED: WatchFlags = WatchFlags::CLOSE_WRITE
    .union(WatchFlags::CREATE)
    .union(WatchFlags::DELETE)
    .union(WatchFlags::MOVED_FROM)
    .union(WatchFlags::MOVED_TO)
    .union(WatchFlags::DELETE_SELF)
    .union(WatchFlags::MOVE_SELF)
    .union(WatchFlags::ONLYDIR);

/// A directory, and the names in it that lead to a file.
type Steps = BTreeMap<PathBuf, BTreeSet<OsString>>;

/// What tells one content of a file from another without reading it: device, inode, length, and the
/// times of the last change of content and status, in nanoseconds.
type Stamp = (u64, u64, u64, i128, i128);

/// Watches a few files.
pub(crate) struct FileWatch {
    files: Vec<PathBuf>,
    /// `None` where the kernel has no room for one.
    inotify: Option<AsyncFd<OwnedFd>>,
    /// By watch descriptor: the directory and the names in it that matter.
    watches: BTreeMap<i32, (PathBuf, BTreeSet<OsString>)>,
    looks: Interval,
    /// The files' status when the last change was told, or the watch began.
    seen: Vec<Option<Stamp>>,
    /// A status that the last look found for the first time.
    fresh: Option<Vec<Option<Stamp>>>,
    /// A change that is to be told, and by when at the latest.
    latest: Option<Instant>,
}

impl FileWatch {
    /// Watches these files from now on. Must run on tokio.
    pub(crate) fn new(files: Vec<PathBuf>) -> Self {
        let inotify = inotify::init(CreateFlags::NONBLOCK | CreateFlags::CLOEXEC)
            .map_err(std::io::Error::from)
            .and_then(on_tokio)
            .inspect_err(|error| {
                warn!(%error, "can't watch for changes of the cluster file: it is looked at now and then");
            });
        let mut looks = interval(LOOK);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut watch = Self {
            files,
            inotify: inotify.ok(),
            watches: BTreeMap::new(),
            looks,
            seen: Vec::new(),
            fresh: None,
            latest: None,
        };
        watch.begin();
        watch
    }

    /// Watches these files instead.
    pub(crate) fn set_files(&mut self, files: Vec<PathBuf>) {
        if self.files != files {
            self.files = files;
            self.begin();
        }
    }

    /// Waits until a file may have changed, and then for the last of a burst of changes, but no longer
    /// than 50 ms. What changes after this returns is told the next time. Nothing is lost when the
    /// answer is dropped early.
    pub(crate) async fn changed(&mut self) {
        while self.latest.is_none() {
            tokio::select! {
                () = hint(self.inotify.as_ref(), &self.watches) => {}
                _ = self.looks.tick() => {
                    if !self.looks_different() {
                        continue;
                    }
                }
            }
            self.latest = Some(Instant::now() + LONGEST);
        }
        while let Some(latest) = self.latest {
            let now = Instant::now();
            let more = hint(self.inotify.as_ref(), &self.watches);
            let quiet = timeout_at(latest.min(now + QUIET), more).await.is_err();
            if quiet || Instant::now() >= latest {
                self.latest = None;
            }
        }
        self.begin();
    }

    /// Whether the files' status is another than when a change was told last, twice in a row.
    fn looks_different(&mut self) -> bool {
        let stamps = self.stamps();
        if stamps == self.seen {
            self.fresh = None;
            return false;
        }
        let before = self.fresh.replace(stamps);
        before == self.fresh
    }

    fn stamps(&self) -> Vec<Option<Stamp>> {
        self.files.iter().map(|file| stamp(file)).collect()
    }

    /// Watches the way to each file as it is now.
    fn begin(&mut self) {
        if let Some(inotify) = &self.inotify {
            let mut steps = Steps::new();
            for file in &self.files {
                add_steps(file, &mut steps);
            }
            let old = std::mem::take(&mut self.watches);
            for (directory, names) in steps {
                // If it went away just now, or there are no watches left, the look finds what is new.
                if let Ok(watch) = inotify::add_watch(inotify.get_ref(), &directory, WATCHED) {
                    // Two ways to one directory have one watch.
                    let known = self.watches.entry(watch);
                    let (_, all) = known.or_insert_with(|| (directory, BTreeSet::new()));
                    all.extend(names);
                }
            }
            for watch in old.into_keys() {
                if !self.watches.contains_key(&watch) {
                    // It is gone already where its directory is.
                    let _ = inotify::remove_watch(inotify.get_ref(), watch);
                }
            }
        }
        self.seen = self.stamps();
        self.fresh = None;
    }
}

#[allow(
    deprecated,
    reason = "what took its place is for descriptors that may change, as an OwnedFd does not"
)]
fn on_tokio(inotify: OwnedFd) -> std::io::Result<AsyncFd<OwnedFd>> {
    AsyncFd::new(inotify)
}

/// Waits for an event that concerns a file.
async fn hint(
    inotify: Option<&AsyncFd<OwnedFd>>,
    watches: &BTreeMap<i32, (PathBuf, BTreeSet<OsString>)>,
) {
    let Some(inotify) = inotify else {
        return std::future::pending().await;
    };
    loop {
        let Ok(mut ready) = inotify.readable().await else {
            return std::future::pending().await;
        };
        let mut buffer = [MaybeUninit::uninit(); EVENTS];
        let mut reader = Reader::new(inotify.get_ref(), &mut buffer);
        let mut concerns = false;
        loop {
            let event = match reader.next() {
                Ok(event) => event,
                Err(Errno::INTR) => continue,
                Err(_) => break,
            };
            if event.events().contains(ReadFlags::QUEUE_OVERFLOW) {
                concerns = true;
                continue;
            }
            let Some((directory, names)) = watches.get(&event.wd()) else {
                continue;
            };
            let Some(name) = event.file_name() else {
                // The directory itself was moved or deleted.
                concerns = true;
                continue;
            };
            let name = OsString::from_vec(name.to_bytes().to_vec());
            let created = event.events().contains(ReadFlags::CREATE);
            if names.contains(&name) && !(created && is_being_written(&directory.join(name))) {
                concerns = true;
            }
        }
        ready.clear_ready();
        if concerns {
            return;
        }
    }
}

/// Whether a thing that was just created is an ordinary file that whoever made it will write and
/// close: that is told as well.
fn is_being_written(path: &Path) -> bool {
    path.symlink_metadata()
        .is_ok_and(|status| status.is_file() && status.nlink() == 1)
}

fn stamp(file: &Path) -> Option<Stamp> {
    let status = file.metadata().ok()?;
    let nanos = |seconds: i64, nanos: i64| i128::from(seconds) * 1_000_000_000 + i128::from(nanos);
    Some((
        status.dev(),
        status.ino(),
        status.len(),
        nanos(status.mtime(), status.mtime_nsec()),
        nanos(status.ctime(), status.ctime_nsec()),
    ))
}

/// Adds the directories in which the way to a file is decided: those of the file itself and of each
/// symbolic link that leads there. Where the way ends early, its end is the last of them.
fn add_steps(file: &Path, steps: &mut Steps) {
    let Ok(file) = std::path::absolute(file) else {
        return;
    };
    let mut at = PathBuf::from("/");
    let mut links = 0;
    let mut rest: VecDeque<OsString> = words(&file);
    while let Some(word) = rest.pop_front() {
        if word == "/" {
            at = PathBuf::from("/");
            continue;
        }
        if word == ".." {
            at.pop();
            continue;
        }
        let next = at.join(&word);
        let target = next.read_link().ok();
        let ends = rest.is_empty() || next.symlink_metadata().is_err();
        if target.is_some() || ends {
            steps.entry(at.clone()).or_default().insert(word);
        }
        match target {
            Some(target) => {
                links += 1;
                if links > MAX_LINKS {
                    return;
                }
                for word in words(&target).into_iter().rev() {
                    rest.push_front(word);
                }
            }
            None if ends => return,
            None => at = next,
        }
    }
}

/// The steps of a path; `/` begins it anew.
fn words(path: &Path) -> VecDeque<OsString> {
    path.components()
        .filter_map(|component| match component {
            Component::RootDir => Some("/".into()),
            Component::ParentDir => Some("..".into()),
            Component::Normal(word) => Some(word.to_owned()),
            Component::CurDir | Component::Prefix(_) => None,
        })
        .collect()
}

#[cfg(test)]
mod tests;
