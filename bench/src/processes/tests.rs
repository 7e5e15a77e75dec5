use super::*;

#[test]
fn an_ended_program_is_an_error_with_its_last_words() {
    assert!(
        rustix::process::geteuid().is_root(),
        "makes network namespaces: run it as root"
    );
    let name = format!("jlb-p{}-x", std::process::id());
    let namespace = Namespace::create(&name).unwrap();
    let log = std::env::temp_dir().join(format!("{name}.log"));
    let starter = Starter::new().unwrap();
    let mut process = starter
        .start(Start {
            name: "tracker-1".into(),
            namespace: namespace.clone(),
            program: "/bin/cat".into(),
            arguments: vec!["/nowhere".into()],
            log: log.clone(),
        })
        .unwrap();
    let words = loop {
        match process.check() {
            Ok(()) => thread::yield_now(),
            Err(error) => break error.to_string(),
        }
    };
    namespace.delete().unwrap();
    fs::remove_file(log).unwrap();
    assert!(
        words.starts_with("tracker-1 ended with exit status: 1"),
        "{words}"
    );
    assert!(words.contains("No such file"), "{words}");
}

#[test]
fn a_missing_program_is_named() {
    assert!(
        rustix::process::geteuid().is_root(),
        "makes network namespaces: run it as root"
    );
    let name = format!("jlb-q{}-x", std::process::id());
    let namespace = Namespace::create(&name).unwrap();
    let log = std::env::temp_dir().join(format!("{name}.log"));
    let result = Starter::new().unwrap().start(Start {
        name: "web".into(),
        namespace: namespace.clone(),
        program: "/nowhere/nginx".into(),
        arguments: Vec::new(),
        log: log.clone(),
    });
    namespace.delete().unwrap();
    fs::remove_file(log).unwrap();
    assert!(result.unwrap_err().to_string().contains("/nowhere/nginx"));
}

#[test]
fn a_reaped_program_leaves_nothing() {
    assert!(
        rustix::process::geteuid().is_root(),
        "makes network namespaces: run it as root"
    );
    let name = format!("jlb-r{}-x", std::process::id());
    let namespace = Namespace::create(&name).unwrap();
    let log = std::env::temp_dir().join(format!("{name}.log"));
    let starter = Starter::new().unwrap();
    let mut process = starter
        .start(Start {
            name: "web".into(),
            namespace: namespace.clone(),
            program: "/bin/true".into(),
            arguments: Vec::new(),
            log: log.clone(),
        })
        .unwrap();
    let entry = PathBuf::from(format!("/proc/{}", process.pid()));
    let state = |entry: &Path| fs::read_to_string(entry.join("stat")).unwrap_or_default();
    while !state(&entry).contains(") Z ") {
        thread::yield_now();
    }
    process.reap();
    assert!(!entry.exists());
    namespace.delete().unwrap();
    fs::remove_file(log).unwrap();
}
