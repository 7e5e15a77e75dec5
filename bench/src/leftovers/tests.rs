use std::process::{Command, Stdio};

use super::*;

fn require_root() {
    assert!(
        rustix::process::geteuid().is_root(),
        "makes network namespaces: run it as root"
    );
}

#[test]
fn a_lab_goes_with_its_processes_namespaces_and_files() {
    require_root();
    let mut state = State::create().unwrap();
    fs::create_dir_all(&state.directory).unwrap();
    let prefix = Plan::prefix_of(&state.id);
    let namespace = Namespace::create(&format!("{prefix}client")).unwrap();
    let sleep = fs::canonicalize("/bin/sleep").unwrap();
    state.programs.push(sleep.clone());
    // One that is written down, one that is not, and one that is none of the lab's programs.
    let spawn = |program: &Path, argument: &str| {
        let mut command = Command::new(program);
        command.arg(argument).stdin(Stdio::piped());
        namespace.run(|| command.spawn().doing("spawn")).unwrap()
    };
    let mut recorded = spawn(&sleep, "1000");
    let mut stray = spawn(&sleep, "1000");
    let mut other = spawn(Path::new("/bin/cat"), "-");
    state.record("one", recorded.id()).unwrap();

    remove(&state).unwrap();
    assert!(!recorded.wait().unwrap().success());
    assert!(!stray.wait().unwrap().success());
    assert!(
        other.try_wait().unwrap().is_none(),
        "a person's program is left alone"
    );
    other.kill().unwrap();
    other.wait().unwrap();
    assert!(Namespace::list(&prefix).unwrap().is_empty());
    assert!(!state.directory.exists());
    assert!(State::all().iter().all(|other| other.id != state.id));
    remove(&state).unwrap();
}

#[test]
fn the_sweep_takes_only_labs_that_lost_their_process() {
    require_root();
    let alive = State::create().unwrap();
    let mut lost = State::create().unwrap();
    lost.owner.started += 1;
    lost.write().unwrap();
    let mut kept = State::create().unwrap();
    kept.owner.started += 1;
    kept.kept = true;
    kept.write().unwrap();

    let removed = sweep().unwrap();
    assert!(removed.contains(&lost.id));
    let left: Vec<String> = State::all().into_iter().map(|state| state.id).collect();
    assert!(left.contains(&alive.id) && left.contains(&kept.id) && !left.contains(&lost.id));
    remove(&alive).unwrap();
    remove(&kept).unwrap();
}
