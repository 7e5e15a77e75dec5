//! `jlb check` and everything that reads files: key file, permissions, what is no text.

#![allow(clippy::unwrap_used, clippy::panic)]

use jlb_config::check::check_in;
use jlb_config::{Checked, ClusterConfig, Style, keygen};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

const MINIMAL: &str = include_str!("../examples/minimal.toml");

/// A directory with a valid cluster file and its key file.
fn valid() -> (TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("cluster.toml");
    fs::write(&path, MINIMAL).unwrap();
    keygen(&directory.path().join("cluster.key")).unwrap();
    (directory, path)
}

fn check(path: &Path) -> Checked {
    check_in(path, Style::Plain)
}

#[test]
fn a_valid_file_gives_a_summary() {
    let (_directory, path) = valid();
    let checked = check(&path);
    assert!(checked.is_ok(), "{}", checked.text());
    let fingerprint = ClusterConfig::load(&path).unwrap().config.fingerprint();
    let expected = format!(
        "cluster           shop, membership dynamic
ingress           2: ingress-1, ingress-2
flow-tracker      2: tracker-1, tracker-2
host-agent        2: web-1, web-2
service           1 `web`: 192.0.2.10 tcp port 80, 2 hosts, round-robin, search_ttl 4, overload refuse
underlay          MTU 1500, IPv4, UDP port 6081
largest packet    1388 bytes; TCP MSS 1348 over IPv4, 1328 over IPv6
fingerprint       {fingerprint:016x}
"
    );
    assert_eq!(checked.text(), expected);
}

#[test]
fn warnings_come_before_the_summary() {
    let (_directory, path) = valid();
    fs::write(
        &path,
        MINIMAL.replace("[\"web-1\", \"web-2\"]", "[\"web-1\"]"),
    )
    .unwrap();
    let checked = check(&path);
    assert!(checked.is_ok());
    let text = checked.text();
    assert!(text.find("⚠ host-agent `web-2` is in no service") < text.find("fingerprint"));
}

#[test]
fn a_broken_file_is_not_ok() {
    let (_directory, path) = valid();
    fs::write(&path, MINIMAL.replace("192.0.2.10", "192.0.2.256")).unwrap();
    let checked = check(&path);
    assert!(!checked.is_ok());
    assert!(
        checked
            .text()
            .contains("`192.0.2.256` is not an IP address")
    );
    assert!(!checked.text().contains("fingerprint"));
}

/// The one error of a file, as text.
fn error(path: &Path) -> String {
    let error = ClusterConfig::load(path).unwrap_err();
    assert_eq!(error.findings().len(), 1, "{error}");
    let rendered = error.render(Style::Plain);
    assert!(rendered.lines().count() <= 24, "{rendered}");
    assert!(
        rendered.lines().all(|line| line.chars().count() <= 100),
        "{rendered}"
    );
    rendered
}

#[test]
fn a_file_that_cannot_be_read() {
    let directory = tempfile::tempdir().unwrap();
    let missing = error(&directory.path().join("cluster.toml"));
    assert!(missing.contains("no such file or directory"), "{missing}");
    assert!(missing.contains("--config FILE"), "{missing}");
    let no_file = error(directory.path());
    assert!(no_file.contains("is a directory"), "{no_file}");
}

#[test]
fn a_file_that_is_not_text() {
    let (_directory, path) = valid();
    let mut bytes = MINIMAL.as_bytes().to_vec();
    let at = MINIMAL.find("shop").unwrap();
    bytes[at] = 0xff;
    fs::write(&path, bytes).unwrap();
    let line = MINIMAL[..at].lines().count();
    let rendered = error(&path);
    assert!(
        rendered.contains("the file is not UTF-8 text"),
        "{rendered}"
    );
    assert!(
        rendered.contains(&format!("cluster.toml:{line}:9]")),
        "{rendered}"
    );
}

#[test]
fn a_file_that_never_ends() {
    let rendered = error(Path::new("/dev/zero"));
    assert!(rendered.contains("file too large"), "{rendered}");
}

#[test]
fn the_key_file_is_pointed_at_where_it_is_named() {
    let line = MINIMAL[..MINIMAL.find("key_file = ").unwrap()]
        .lines()
        .count()
        + 1;
    let place = format!("cluster.toml:{line}:12]");

    let (directory, path) = valid();
    let key = directory.path().join("cluster.key");
    let text = fs::read_to_string(&key).unwrap();

    fs::remove_file(&key).unwrap();
    let missing = error(&path);
    assert!(missing.contains(&place), "{missing}");
    assert!(missing.contains("no such file or directory"), "{missing}");
    assert!(missing.contains("jlb keygen"), "{missing}");

    fs::create_dir(&key).unwrap();
    let no_file = error(&path);
    assert!(
        no_file.contains(&place) && no_file.contains("is a directory"),
        "{no_file}"
    );
    fs::remove_dir(&key).unwrap();

    fs::write(&key, &text).unwrap();
    fs::set_permissions(&key, fs::Permissions::from_mode(0o644)).unwrap();
    let open = error(&path);
    assert!(
        open.contains(&place) && open.contains("mode is 644"),
        "{open}"
    );
    assert!(open.contains("chmod 600"), "{open}");

    fs::set_permissions(&key, fs::Permissions::from_mode(0o640)).unwrap();
    let loaded = ClusterConfig::load(&path).unwrap();
    let warning = loaded.warnings.findings()[0].message();
    assert!(
        warning.ends_with("its group may read the secrets"),
        "{warning}"
    );

    let half = &text[..text.rfind("secret").unwrap() + 20];
    fs::write(&key, half).unwrap();
    fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).unwrap();
    let broken = error(&path);
    assert!(
        broken.contains(&place) && broken.contains("not valid TOML"),
        "{broken}"
    );
    let secret = text.rsplit("secret = \"").next().unwrap();
    assert!(!broken.contains(&secret[..8]), "{broken}");
}

#[test]
fn everything_wrong_with_both_files_is_told_at_once() {
    let (directory, path) = valid();
    fs::remove_file(directory.path().join("cluster.key")).unwrap();
    fs::write(
        &path,
        MINIMAL.replace("ports = 80", "ports = 80\nsearch_ttl = 0"),
    )
    .unwrap();
    let error = ClusterConfig::load(&path).unwrap_err();
    assert_eq!(error.findings().len(), 2, "{error}");
}
