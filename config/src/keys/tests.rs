use super::*;
use std::fs;
use std::os::unix::fs::PermissionsExt;

const HASH: &str = "000102030405060708090a0b0c0d0e0f";
const OLD: &str = "101112131415161718191a1b1c1d1e1f";
const NEW: &str = "202122232425262728292A2B2C2D2E2F";

fn one_key() -> String {
    format!("hash = \"{HASH}\"\n[[key]]\nid = 7\nsecret = \"{OLD}\"\n")
}

fn write(name: &str, text: &str, mode: u32) -> (tempfile::TempDir, std::path::PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join(name);
    fs::write(&path, text).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
    (directory, path)
}

#[test]
fn a_new_key_file_is_private_and_read_back() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("cluster.key");
    let keys = keygen(&path).unwrap();
    assert_eq!(
        fs::metadata(&path).unwrap().permissions().mode() & 0o777,
        0o600
    );
    let loaded = Keys::load(&path).unwrap();
    assert_eq!(loaded.keys, keys);
    assert_eq!(loaded.group_readable, None);
    let other = Keys::generate().unwrap();
    assert_ne!(other, keys);
}

#[test]
fn an_existing_file_is_never_overwritten() {
    let (_directory, path) = write("cluster.key", "precious", 0o600);
    let error = keygen(&path).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::AlreadyExists);
    assert_eq!(fs::read_to_string(&path).unwrap(), "precious");
}

#[test]
fn of_two_keys_the_one_to_send_with_comes_first() {
    let both = format!(
        "{}[[key]]\nid = 8\nsecret = \"{NEW}\"\nsend = true\n",
        one_key()
    );
    let keys = Keys::parse(&both).unwrap();
    let ids: Vec<u8> = keys.message_keys().iter().map(|key| key.id).collect();
    assert_eq!(ids, [8, 7]);
    assert_eq!(keys.message_keys()[0].secret[15], 0x2f);
}

#[test]
fn modes_that_let_others_in_are_refused_and_a_reading_group_is_noted() {
    for mode in [0o604, 0o606, 0o602, 0o620, 0o644, 0o666] {
        let (_directory, path) = write("cluster.key", &one_key(), mode);
        let error = Keys::load(&path).unwrap_err();
        assert!(error.message.contains(&format!("{mode:03o}")), "{error}");
        assert!(error.help.starts_with("chmod 600 "), "{error}");
    }
    let (_directory, path) = write("cluster.key", &one_key(), 0o640);
    assert_eq!(Keys::load(&path).unwrap().group_readable, Some(0o640));
    let (_directory, path) = write("cluster.key", &one_key(), 0o400);
    assert_eq!(Keys::load(&path).unwrap().group_readable, None);
}

#[test]
fn what_is_no_key_file_is_refused_without_showing_a_secret() {
    let good = one_key();
    for (from, to, message) in [
        ("hash = ", "hash ", "line 1, column 6: not valid TOML"),
        ("hash = ", "hush = ", "line 1, column 1: an unknown key"),
        ("hash", "# hash", "line 1, column 1: missing field `hash`"),
        (
            "1e1f",
            "1e",
            "a secret is not 32 hexadecimal digits in quotes",
        ),
        (
            "1e1f",
            "1e1g",
            "a secret is not 32 hexadecimal digits in quotes",
        ),
        (
            "1e1f",
            "1eé",
            "a secret is not 32 hexadecimal digits in quotes",
        ),
        (
            "hash = \"00",
            "hash = 0 # \"00",
            "line 1, column 8: a value of the wrong type or size",
        ),
        (
            "id = 7",
            "id = 256",
            "line 3, column 6: a value of the wrong type or size",
        ),
        ("id = 7", "id = 0", "a key's `id` is 0"),
        (OLD, HASH, "a secret is there twice"),
        (
            OLD,
            "00000000000000000000000000000000",
            "a secret is all zeros",
        ),
        ("[[key]]", "[key]", "a value of the wrong type or size"),
        (
            "id = 7",
            "id = 7\nsend = \"yes\"",
            "a value of the wrong type or size",
        ),
    ] {
        assert!(good.contains(from));
        let error = Keys::parse(&good.replacen(from, to, 1)).unwrap_err();
        assert!(error.message.contains(message), "{to}: {error}");
        for secret in [HASH, OLD, "0a0b0c", "1a1b1c"] {
            assert!(!error.to_string().contains(secret), "{to}: {error}");
        }
    }
    assert!(Keys::parse(&format!("hash = \"{HASH}\"\nkey = []\n")).is_err());
    let same = format!("{good}[[key]]\nid = 7\nsecret = \"{NEW}\"\nsend = true\n");
    assert_eq!(
        Keys::parse(&same).unwrap_err().message,
        "both keys have the same `id`"
    );
    let neither = format!("{good}[[key]]\nid = 8\nsecret = \"{NEW}\"\n");
    assert_eq!(
        Keys::parse(&neither).unwrap_err().message,
        "of two keys, exactly one is sealed with"
    );
    let three = format!(
        "{good}[[key]]\nid = 8\nsecret = \"{NEW}\"\nsend = true\n[[key]]\nid = 9\nsecret = \"{}\"\n",
        NEW.replace("2F", "30")
    );
    assert!(
        Keys::parse(&three)
            .unwrap_err()
            .message
            .starts_with("it needs one [[key]]")
    );
}

#[test]
fn no_key_file_at_all() {
    let directory = tempfile::tempdir().unwrap();
    let error = Keys::load(&directory.path().join("none")).unwrap_err();
    assert_eq!(
        error.message,
        "it cannot be read: no such file or directory"
    );
    assert!(error.help.contains("jlb keygen"));
    let error = Keys::load(directory.path()).unwrap_err();
    assert_eq!(error.message, "it cannot be read: is a directory");
}

#[test]
fn debug_output_has_no_secrets() {
    let keys = Keys::parse(&one_key()).unwrap();
    assert_eq!(format!("{keys:?}"), "[MessageKey(7, ..)]");
}
