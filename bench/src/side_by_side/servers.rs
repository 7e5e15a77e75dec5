//! The servers behind every row: one nginx of one worker on each host.

use std::fs;
use std::path::{Path, PathBuf};

use crate::content;
use crate::error::{Doing, Result};

/// Bytes of a small answer's body, and what is asked for it.
pub(crate) const SMALL: u64 = 128;
/// See [`SMALL`].
pub(crate) const SMALL_PATH: &str = "/small";
/// Bytes of a large answer's body, and what is asked for it.
pub(crate) const BULK: u64 = 1 << 20;
/// See [`BULK`].
pub(crate) const BULK_PATH: &str = "/bulk";

/// The folder in the lab's that all hosts serve.
const ROOT: &str = "www";

/// Writes what all hosts serve.
pub(super) fn prepare(directory: &Path) -> Result<()> {
    let root = directory.join(ROOT);
    fs::create_dir_all(&root).doing(format_args!("make {}", root.display()))?;
    let mut bytes = Vec::new();
    while (bytes.len() as u64) < BULK {
        let done = bytes.len() as u64;
        bytes.extend_from_slice(&content::piece(done, BULK - done));
    }
    let file = root.join(BULK_PATH.trim_start_matches('/'));
    fs::write(&file, bytes).doing(format_args!("write {}", file.display()))
}

/// Writes the configuration of one host's nginx; returns its path.
pub(super) fn configure(directory: &Path, host: &str) -> Result<PathBuf> {
    let own = directory.join(format!("nginx-{host}"));
    fs::create_dir_all(&own).doing(format_args!("make {}", own.display()))?;
    let path = own.join("nginx.conf");
    fs::write(&path, configuration(directory, &own))
        .doing(format_args!("write {}", path.display()))?;
    Ok(path)
}

fn configuration(directory: &Path, own: &Path) -> String {
    let (directory, own) = (directory.display(), own.display());
    let small = "x".repeat(usize::try_from(SMALL).unwrap_or(0));
    format!(
        r#"daemon off;
user root;
worker_processes 1;
worker_rlimit_nofile 19000;
pid {own}/nginx.pid;
error_log stderr warn;
events {{ worker_connections 16384; }}
http {{
    access_log off;
    default_type application/octet-stream;
    sendfile on;
    keepalive_requests 1000000000;
    keepalive_timeout 600s;
    client_body_temp_path {own}/body;
    proxy_temp_path {own}/proxy;
    fastcgi_temp_path {own}/fastcgi;
    uwsgi_temp_path {own}/uwsgi;
    scgi_temp_path {own}/scgi;
    server {{
        listen 80 backlog=65535;
        root {directory}/{ROOT};
        location = {SMALL_PATH} {{ return 200 "{small}"; }}
    }}
}}
"#
    )
}
