//! The key file: the secret that flows are hashed under and the secrets that messages are sealed
//! with. Nothing here ever prints a secret, errors included.

use jlb_protocol::keyed_hash::HashKey;
use jlb_protocol::link;
use serde::Deserialize;
use serde::de::{Deserializer, Visitor};
use std::fmt;
use std::fs::OpenOptions;
use std::io::{self, Read, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;

/// The largest key file that is read, in bytes.
const MAX_FILE: u64 = 64 << 10;

/// The message keys that may be valid at once, during a rotation (R12).
pub const MAX_KEYS: usize = 2;

/// One key that messages are sealed with.
#[derive(Clone, PartialEq, Eq)]
pub struct MessageKey {
    /// Its number in messages, 1 to 255.
    pub id: u8,
    /// The secret.
    pub secret: [u8; 16],
}

impl fmt::Debug for MessageKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MessageKey({}, ..)", self.id)
    }
}

/// The secrets that all nodes of a cluster share.
#[derive(Clone, PartialEq, Eq)]
pub struct Keys {
    hash: [u8; 16],
    keys: Vec<MessageKey>,
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(&self.keys).finish()
    }
}

/// Why a key file is not one; the text names the place in it, never a secret.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct KeyError {
    /// What is wrong.
    pub message: String,
    /// What would be right.
    pub help: String,
}

impl fmt::Display for KeyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.message, self.help)
    }
}

impl std::error::Error for KeyError {}

/// A key file as it was read.
#[derive(Debug)]
pub struct LoadedKeys {
    /// The secrets.
    pub keys: Keys,
    /// Set if the file's group may read it: its mode.
    pub group_readable: Option<u32>,
}

impl Keys {
    /// Keys made of these secrets; `keys` are up to [`MAX_KEYS`], the one to seal with first.
    ///
    /// # Errors
    /// If there are no keys or too many, an id is 0 or there twice, or a secret is all zeros or
    /// there twice.
    pub fn new(hash: [u8; 16], keys: Vec<MessageKey>) -> Result<Self, KeyError> {
        let wrong = |message: &str, help: &str| {
            Err(KeyError {
                message: message.to_owned(),
                help: help.to_owned(),
            })
        };
        if keys.is_empty() || keys.len() > MAX_KEYS {
            return wrong(
                "it needs one [[key]], or two during a rotation",
                "write each as [[key]] with `id` and `secret`",
            );
        }
        if keys.iter().any(|key| key.id == 0) {
            return wrong("a key's `id` is 0", "write an id of 1 to 255");
        }
        let mut secrets = vec![hash];
        for key in &keys {
            if keys.iter().filter(|other| other.id == key.id).count() > 1 {
                return wrong(
                    "both keys have the same `id`",
                    "give the new key another id",
                );
            }
            if secrets.contains(&key.secret) {
                return wrong(
                    "a secret is there twice",
                    "make each secret with `jlb keygen`",
                );
            }
            secrets.push(key.secret);
        }
        if secrets.contains(&[0; 16]) {
            return wrong("a secret is all zeros", "make secrets with `jlb keygen`");
        }
        Ok(Self { hash, keys })
    }

    /// New keys from the operating system's random source.
    ///
    /// # Errors
    /// If that source fails.
    pub fn generate() -> io::Result<Self> {
        let hash = random()?;
        let secret = random()?;
        Self::new(hash, vec![MessageKey { id: 1, secret }]).map_err(io::Error::other)
    }

    /// Reads a key file's text.
    ///
    /// # Errors
    /// If it is not a key file; the error says where and never shows a secret.
    pub fn parse(text: &str) -> Result<Self, KeyError> {
        let table: KeysTable = toml::from_str(text).map_err(|error| shape_error(text, &error))?;
        let sending = table
            .key
            .iter()
            .filter(|key| key.send == Some(true))
            .count();
        if table.key.len() > 1 && sending != 1 {
            return Err(KeyError {
                message: "of two keys, exactly one is sealed with".to_owned(),
                help: "write send = true in one [[key]]".to_owned(),
            });
        }
        let mut keys = table.key;
        keys.sort_by_key(|key| key.send != Some(true));
        let keys = keys.into_iter().map(|key| MessageKey {
            id: key.id,
            secret: key.secret.0,
        });
        Self::new(table.hash.0, keys.collect())
    }

    /// Reads a key file.
    ///
    /// # Errors
    /// If it cannot be read, is not a key file, or anybody on the machine may read or change it.
    pub fn load(path: &Path) -> Result<LoadedKeys, KeyError> {
        let unreadable = |error: &io::Error| KeyError {
            message: format!("it cannot be read: {}", crate::source::io_words(error)),
            help: if error.kind() == io::ErrorKind::PermissionDenied {
                "run as the user that may read it, usually root".to_owned()
            } else {
                "make one with `jlb keygen`, and give every node a copy".to_owned()
            },
        };
        let file = std::fs::File::open(path).map_err(|error| unreadable(&error))?;
        let metadata = file.metadata().map_err(|error| unreadable(&error))?;
        if !metadata.is_file() {
            return Err(unreadable(&io::Error::from(io::ErrorKind::IsADirectory)));
        }
        let mode = metadata.permissions().mode() & 0o777;
        if mode & 0o026 != 0 {
            return Err(KeyError {
                message: format!("its mode is {mode:03o}: others may read or change the secrets"),
                help: format!("chmod 600 {}", path.display()),
            });
        }
        let mut text = String::new();
        file.take(MAX_FILE)
            .read_to_string(&mut text)
            .map_err(|error| unreadable(&error))?;
        Ok(LoadedKeys {
            keys: Self::parse(&text)?,
            group_readable: (mode & 0o040 != 0).then_some(mode),
        })
    }

    /// The key that flows and ranks are hashed under.
    #[must_use]
    pub fn hash_key(&self) -> HashKey {
        HashKey::new(self.hash)
    }

    pub(crate) fn hash_bytes(&self) -> &[u8; 16] {
        &self.hash
    }

    /// The message keys, at most [`MAX_KEYS`]: the first seals, all of them open.
    #[must_use]
    pub fn message_keys(&self) -> &[MessageKey] {
        &self.keys
    }

    /// The same as links take them; `None` if there is none.
    #[must_use]
    pub fn link_keys(&self) -> Option<link::MessageKeys> {
        let mut keys = self.keys.iter().map(|key| link::MessageKey {
            id: key.id,
            secret: key.secret,
        });
        let sending = keys.next()?;
        Some(link::MessageKeys::new(sending, keys.collect()))
    }

    /// The text of the key file.
    fn to_file(&self) -> String {
        let mut text = String::from(
            "# The secrets of one JLB cluster: every node has the same copy, readable by no one else.\n\
             # Rotation: add a second [[key]] without `send` everywhere, move `send = true` to it\n\
             # everywhere, then remove the first. `hash` stays for the cluster's life.\n\n",
        );
        text.push_str(&format!("hash = \"{}\"\n", hex(&self.hash)));
        for (at, key) in self.keys.iter().enumerate() {
            let secret = hex(&key.secret);
            text.push_str(&format!(
                "\n[[key]]\nid = {}\nsecret = \"{secret}\"\n",
                key.id
            ));
            if at == 0 {
                text.push_str("send = true\n");
            }
        }
        text
    }
}

/// Writes a new key file with mode 0600.
///
/// # Errors
/// If the file exists (it is never overwritten), cannot be written, or the random source fails.
pub fn keygen(path: &Path) -> io::Result<Keys> {
    let keys = Keys::generate()?;
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)?;
    let written = file
        .write_all(keys.to_file().as_bytes())
        .and_then(|()| file.sync_all());
    if let Err(error) = written {
        // Half a key file would only be refused later.
        let _ = std::fs::remove_file(path);
        return Err(error);
    }
    Ok(keys)
}

fn random() -> io::Result<[u8; 16]> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).map_err(io::Error::other)?;
    Ok(bytes)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct KeysTable {
    hash: Secret,
    key: Vec<KeyTable>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct KeyTable {
    id: u8,
    secret: Secret,
    send: Option<bool>,
}

struct Secret([u8; 16]);

const NOT_A_SECRET: &str = "a secret is not 32 hexadecimal digits in quotes";

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Expect;
        impl Visitor<'_> for Expect {
            type Value = Secret;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("32 hexadecimal digits in quotes")
            }
            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Secret, E> {
                let digits: Option<Vec<u8>> = text
                    .chars()
                    .map(|c| c.to_digit(16).and_then(|digit| u8::try_from(digit).ok()))
                    .collect();
                let bytes: Option<Vec<u8>> = digits.map(|digits| {
                    let pairs = digits.chunks(2);
                    pairs
                        .map(|pair| pair.iter().fold(0, |byte, digit| byte << 4 | digit))
                        .collect()
                });
                match bytes.and_then(|bytes| bytes.try_into().ok()) {
                    Some(secret) if text.len() == 32 => Ok(Secret(secret)),
                    _ => Err(E::custom(NOT_A_SECRET)),
                }
            }
        }
        deserializer.deserialize_str(Expect)
    }
}

/// Where and what, without the words of the file: serde's own may show a value.
fn shape_error(text: &str, error: &toml::de::Error) -> KeyError {
    let message = error.message();
    let what = if message.starts_with("unknown field") {
        "an unknown key"
    } else if message.starts_with("missing field") || message == NOT_A_SECRET {
        // These words name keys of ours, nothing of the file.
        message
    } else if message.starts_with("invalid type") || message.starts_with("invalid value") {
        "a value of the wrong type or size"
    } else {
        "not valid TOML"
    };
    let (line, column) = crate::source::position(text, error.span().map_or(0, |span| span.start));
    KeyError {
        message: format!("line {line}, column {column}: {what}"),
        help:
            "a key file has `hash` and one or two [[key]] with `id` and `secret`, and is made by \
               `jlb keygen`"
                .to_owned(),
    }
}

#[cfg(test)]
mod tests;
