use super::*;

#[test]
fn an_ended_program_is_an_error_with_its_last_words() {
    if !rustix::process::geteuid().is_root() {
        eprintln!("skipped: needs root");
        return;
    }
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
    if !rustix::process::geteuid().is_root() {
        eprintln!("skipped: needs root");
        return;
    }
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
