//! From a path to a cluster.

use crate::cluster::ClusterConfig;
use crate::document;
use crate::keys::Keys;
use crate::problem::{Findings, Problem, quoted};
use crate::report::{ConfigError, Report};
use crate::schema::ClusterTable;
use crate::source;
use crate::validate;
use miette::Severity;
use std::path::{Path, PathBuf};

/// A valid cluster file.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// The cluster.
    pub config: ClusterConfig,
    /// What is allowed, but probably not meant.
    pub warnings: Report,
}

impl ClusterConfig {
    /// Reads a cluster file and its key file.
    ///
    /// # Errors
    /// Everything found wrong with them.
    pub fn load(path: &Path) -> Result<Loaded, ConfigError> {
        let name = path.display().to_string();
        let nowhere = |problem| {
            let report = Report::new(vec![problem], Severity::Error, &name, None);
            ConfigError(report)
        };
        let bytes = source::read(path).map_err(|error| {
            let why = source::io_words(&error);
            nowhere(
                Problem::nowhere(format!("cannot read {name}: {why}"))
                    .help("name the cluster file with --config FILE"),
            )
        })?;
        match String::from_utf8(bytes) {
            Ok(text) => Self::parse(&text, path),
            Err(error) => {
                let at = error.utf8_error().valid_up_to();
                let text = String::from_utf8_lossy(error.as_bytes()).into_owned();
                let problem = Problem::at(at..at + 1, "the file is not UTF-8 text", "from here on")
                    .help("a TOML file is UTF-8; is this the right file?");
                let report = Report::new(vec![problem], Severity::Error, &name, Some(&text));
                Err(ConfigError(report))
            }
        }
    }

    /// Reads the text of a cluster file that lies, or would lie, at `path`, and its key file.
    ///
    /// # Errors
    /// Everything found wrong with them.
    pub fn parse(text: &str, path: &Path) -> Result<Loaded, ConfigError> {
        read(text, path, None)
    }

    /// As [`Self::parse`], with these keys in place of the key file's.
    ///
    /// # Errors
    /// Everything found wrong with the text.
    pub fn parse_with_keys(text: &str, path: &Path, keys: Keys) -> Result<Loaded, ConfigError> {
        read(text, path, Some(keys))
    }
}

fn read(text: &str, path: &Path, keys: Option<Keys>) -> Result<Loaded, ConfigError> {
    let name = path.display().to_string();
    let refused = |problems| ConfigError(Report::new(problems, Severity::Error, &name, Some(text)));
    let document = document::read(text).map_err(refused)?;
    let mut findings = Findings::default();
    let key_file = beside(path, &document.cluster.table.key_file.get_ref().0);
    let keys = match keys {
        Some(keys) => Some(keys),
        None => load_keys(&key_file, &document.cluster.table, &mut findings),
    };
    let parts = validate::cluster(&document, &mut findings);
    match (parts, keys) {
        (Some(parts), Some(keys)) if findings.errors.is_empty() => Ok(Loaded {
            config: ClusterConfig {
                name: parts.name,
                key_file,
                keys,
                underlay_mtu: parts.underlay_mtu,
                port: parts.port,
                limits: document.limits.resolve(),
                timers: document.timers.resolve(),
                membership: parts.membership,
                nodes: parts.nodes,
                services: parts.services,
            },
            warnings: Report::new(findings.warnings, Severity::Warning, &name, Some(text)),
        }),
        _ => Err(refused(findings.errors)),
    }
}

/// A path of the file, relative to the file's own directory.
fn beside(file: &Path, path: &str) -> PathBuf {
    file.parent().unwrap_or(Path::new("")).join(path)
}

fn load_keys(path: &Path, table: &ClusterTable, findings: &mut Findings) -> Option<Keys> {
    let span = table.key_file.span();
    let shown = quoted(&path.display().to_string());
    match Keys::load(path) {
        Ok(loaded) => {
            if let Some(mode) = loaded.group_readable {
                findings.warn(
                    Problem::at(
                        span,
                        format!("key file {shown}: its group may read the secrets"),
                        format!("mode {mode:03o}"),
                    )
                    .help(format!("chmod 600 {}", path.display())),
                );
            }
            Some(loaded.keys)
        }
        Err(error) => {
            let message = format!("key file {shown}: {}", error.message);
            findings.error(Problem::at(span, message, "this file").help(error.help));
            None
        }
    }
}
