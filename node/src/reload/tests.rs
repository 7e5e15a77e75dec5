use super::*;
use crate::data_path::{Command, DataThread};
use crate::health::Health;
use crate::metrics::{Identity, Metrics};
use crate::report::Report;
use crate::status::Status;
use jlb_packet_io::wait::Waker;
use std::cell::Cell;
use std::collections::BTreeMap;
use std::fs;
use std::sync::atomic::AtomicBool;
use std::sync::mpsc::sync_channel;
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(10);

/// A tracker's cluster; `policy` and more of the service, and more of the cluster.
fn text(service: &str, cluster: &str) -> String {
    format!(
        "[cluster]\nname = \"shop\"\nkey_file = \"cluster.key\"\n{cluster}\n\
         [[node]]\nnumber = 1\nname = \"tracker-1\"\nrole = \"flow-tracker\"\nunderlay = [\"10.0.0.1\"]\n\
         [[node]]\nnumber = 2\nname = \"web-1\"\nrole = \"host-agent\"\nunderlay = [\"10.0.0.2\"]\n\
         [[service]]\nnumber = 1\nname = \"web\"\nvip = \"192.0.2.10\"\nprotocol = \"tcp\"\nports = 80\n\
         hosts = [\"web-1\"]\n{service}\n"
    )
}

fn policy(name: &str) -> String {
    text(&format!("policy = \"{name}\""), "")
}

/// A node that follows a file, with a data thread that only takes notes.
struct Bed {
    folder: PathBuf,
    admin: Rc<Admin>,
    running: Rc<Running>,
    applied: Arc<BlockingMutex<Vec<Reconfiguration>>>,
    level: Rc<RefCell<String>>,
    hangups: mpsc::Sender<()>,
    signals: Cell<Option<mpsc::Receiver<()>>>,
}

impl Bed {
    fn new(name: &str) -> Self {
        let folder = format!("jlb-reload-{name}-{}", std::process::id());
        let folder = std::env::temp_dir().join(folder);
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir(&folder).unwrap();
        jlb_config::keygen(&folder.join("cluster.key")).unwrap();
        let file = folder.join("cluster.toml");
        fs::write(&file, policy("round-robin")).unwrap();
        let config = ClusterConfig::load(&file).unwrap().config;
        let (commands, inbox) = sync_channel(4);
        let applied = Arc::new(BlockingMutex::new(Vec::new()));
        let notes = Arc::clone(&applied);
        std::thread::spawn(move || {
            while let Ok(command) = inbox.recv() {
                if let Command::Reconfigure(new, done) = command {
                    notes.lock().unwrap().push(*new);
                    let _ = done.send(());
                }
            }
        });
        let node = config.node("tracker-1").unwrap();
        let identity = Identity {
            node: node.name.clone(),
            role: "flow-tracker",
            started: 1,
        };
        let admin = Admin {
            identity,
            status: Rc::new(Status::new(BTreeMap::new(), [])),
            metrics: Metrics::new().unwrap(),
            health: Health::default(),
            data_thread: DataThread::new(commands, Waker::new().unwrap()),
            reloads: Reloads::new(1),
            stopping: AtomicBool::new(false),
        };
        let (hangups, signals) = mpsc::channel(1);
        Self {
            folder,
            admin: Rc::new(admin),
            running: Rc::new(Running::new(config, None)),
            applied,
            level: Rc::default(),
            hangups,
            signals: Cell::new(Some(signals)),
        }
    }

    fn file(&self) -> PathBuf {
        self.folder.join("cluster.toml")
    }

    /// Follows the file while a test goes on.
    fn follow<T>(&self, test: impl Future<Output = T>) -> T {
        let level = Rc::clone(&self.level);
        let reload = Reload {
            file: self.file(),
            name: "tracker-1".into(),
            role: Role::FlowTracker,
            incarnation: 1,
            running: Rc::clone(&self.running),
            admin: Rc::clone(&self.admin),
            sampler: None,
            sockets_of: Arc::default(),
            set_level: Box::new(move |to| to.clone_into(&mut level.borrow_mut())),
        };
        let signals = self.signals.take().unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        tokio::task::LocalSet::new().block_on(&runtime, async {
            tokio::select! {
                done = test => done,
                () = reload.follow(signals) => panic!("it never ends"),
            }
        })
    }

    /// Counts of the metrics: applied, unchanged, refused, and whether the file is refused now.
    fn counts(&self) -> [u64; 4] {
        let mut report = Report::default();
        self.admin.reloads.report(&mut report);
        let value = |at: usize| report.samples[at].value as u64;
        [value(0), value(1), value(2), value(3)]
    }

    async fn wait_for(&self, counts: [u64; 4]) {
        let give_up = tokio::time::Instant::now() + PATIENCE;
        while self.counts() != counts {
            let now = tokio::time::Instant::now();
            assert!(now < give_up, "{:?}, not {counts:?}", self.counts());
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    fn replace(&self, text: &str) {
        let new = self.folder.join("new");
        fs::write(&new, text).unwrap();
        fs::rename(new, self.file()).unwrap();
    }

    /// The policies that the data thread was given.
    fn policies(&self) -> Vec<String> {
        let applied = self.applied.lock().unwrap();
        let names = applied.iter().map(|new| match &new.role {
            RoleConfig::FlowTracker(config) => config.services[0].policy.name().to_owned(),
            other => panic!("{other:?}"),
        });
        names.collect()
    }
}

impl Drop for Bed {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.folder);
    }
}

#[test]
fn a_changed_file_is_taken_over_and_a_broken_one_in_between_is_not() {
    let bed = Bed::new("changed");
    let fingerprint = || bed.running.config().fingerprint();
    let first = fingerprint();
    bed.follow(async {
        bed.wait_for([0, 1, 0, 0]).await;
        bed.replace(&policy("random"));
        bed.wait_for([1, 1, 0, 0]).await;
        let second = fingerprint();
        assert_ne!(second, first);
        assert!(bed.admin.reloads.since() > 1_000_000);

        bed.replace(&policy("round-robbin"));
        bed.wait_for([1, 1, 1, 1]).await;
        let why = bed.admin.reloads.refusal().unwrap();
        assert!(
            why.contains("cluster.toml:") && why.contains("round-robbin"),
            "{why}"
        );
        assert_eq!(fingerprint(), second);

        bed.replace(&policy("least-load"));
        bed.wait_for([2, 1, 1, 0]).await;
        assert_eq!(bed.admin.reloads.refusal(), None);
        bed.replace("not TOML");
        bed.wait_for([2, 1, 2, 1]).await;
        bed.replace(&policy("least-load"));
        bed.wait_for([2, 2, 2, 0]).await;
        fs::remove_file(bed.file()).unwrap();
        bed.wait_for([2, 2, 3, 1]).await;
        bed.replace(&policy("round-robin"));
        bed.wait_for([3, 2, 3, 0]).await;
        assert_eq!(fingerprint(), first);
    });
    assert_eq!(bed.policies(), ["random", "least-load", "round-robin"]);
    let applied = bed.applied.lock().unwrap();
    assert_eq!(applied[2].fingerprint, first);
}

#[test]
fn what_needs_a_restart_is_refused_as_a_whole_and_named() {
    let bed = Bed::new("restart");
    bed.follow(async {
        bed.wait_for([0, 1, 0, 0]).await;
        bed.replace(&text("policy = \"random\"", "port = 6082"));
        bed.wait_for([0, 1, 1, 1]).await;
        let why = bed.admin.reloads.refusal().unwrap();
        assert_eq!(
            why,
            "`port` of [cluster] cannot change from 6081 to 6082 in a node that runs"
        );
        bed.replace(&policy("random").replace("tracker-1", "tracker-9"));
        bed.wait_for([0, 1, 2, 1]).await;
        let why = bed.admin.reloads.refusal().unwrap();
        assert!(why.contains("tracker-1"), "{why}");
    });
    assert_eq!(bed.policies(), [""; 0], "not even the policy");
}

#[test]
fn a_signal_has_the_file_read_and_comments_change_nothing() {
    let bed = Bed::new("signal");
    bed.follow(async {
        bed.wait_for([0, 1, 0, 0]).await;
        bed.hangups.send(()).await.unwrap();
        bed.wait_for([0, 2, 0, 0]).await;
        bed.replace(&format!("# said\n{}", policy("round-robin")));
        bed.wait_for([0, 3, 0, 0]).await;
    });
    assert!(bed.applied.lock().unwrap().is_empty());
}

#[test]
fn names_the_log_level_and_keys_follow_without_a_restart() {
    let bed = Bed::new("others");
    let key_file = bed.folder.join("cluster.key");
    bed.follow(async {
        bed.wait_for([0, 1, 0, 0]).await;
        let other = policy("round-robin").replace("web-1", "www-1").replace(
            "number = 1\nname = \"tracker-1\"",
            "log = \"debug\"\nnumber = 1\nname = \"tracker-1\"",
        );
        bed.replace(&other);
        bed.wait_for([1, 1, 0, 0]).await;
        assert_eq!(*bed.level.borrow(), "debug");
        let web = jlb_protocol::NodeNumber::new(2).unwrap();
        assert_eq!(bed.admin.status.name(web), "www-1");
        // A second key, in the same file.
        let keys = fs::read_to_string(&key_file).unwrap();
        let more = "\n[[key]]\nid = 7\nsecret = \"000102030405060708090a0b0c0d0e0f\"\n";
        fs::write(&key_file, keys + more).unwrap();
        bed.wait_for([2, 1, 0, 0]).await;
        // Another hash secret would rank flows anew.
        fs::remove_file(&key_file).unwrap();
        jlb_config::keygen(&key_file).unwrap();
        bed.wait_for([2, 1, 1, 1]).await;
    });
    let applied = bed.applied.lock().unwrap();
    assert_eq!(applied[0].fingerprint, applied[1].fingerprint);
    assert_eq!(bed.running.config().keys.message_keys().len(), 2);
}

#[test]
fn hundreds_of_changes_in_a_burst_end_at_the_last_one() {
    let bed = Bed::new("burst");
    bed.follow(async {
        bed.wait_for([0, 1, 0, 0]).await;
        for at in 0..200 {
            bed.replace(&policy(if at % 2 == 0 { "random" } else { "least-load" }));
        }
        bed.replace(&policy("two-choices"));
        let give_up = tokio::time::Instant::now() + PATIENCE;
        while bed.policies().last().map(String::as_str) != Some("two-choices") {
            assert!(tokio::time::Instant::now() < give_up);
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    });
    assert!(bed.counts()[0] <= 4, "{:?}", bed.counts());
}

#[test]
fn draining_by_the_file_is_taken_over_and_back() {
    let bed = Bed::new("drain");
    let drained = |lines: &str| {
        let line = "name = \"tracker-1\"\n";
        policy("round-robin").replace(line, &format!("{line}{lines}\n"))
    };
    bed.follow(async {
        bed.wait_for([0, 1, 0, 0]).await;
        bed.replace(&drained("drain = true"));
        bed.wait_for([1, 1, 0, 0]).await;
        bed.replace(&drained("drain = true\ndrain_timeout = \"5m\""));
        bed.wait_for([2, 1, 0, 0]).await;
        bed.replace(&policy("round-robin"));
        bed.wait_for([3, 1, 0, 0]).await;
    });
    let applied = bed.applied.lock().unwrap();
    let drains: Vec<_> = applied.iter().map(|new| new.drain).collect();
    let file = |drains, minutes: u64| crate::data_path::FileDrain {
        drains,
        timeout: (minutes > 0).then(|| Duration::from_secs(60 * minutes)),
    };
    assert_eq!(drains, [file(true, 0), file(true, 5), file(false, 0)]);
}
