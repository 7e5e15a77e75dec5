//! A real nginx on each host: its configuration, its certificate, the files that it serves.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::content;
use crate::error::{Doing, LabError, Result};
use crate::plan::{VIP_V4, VIP_V6};

/// Where distributions put servers that are on no ordinary user's path.
const SYSTEM_PATHS: [&str; 4] = ["/usr/sbin", "/usr/local/sbin", "/usr/bin", "/usr/local/bin"];

/// Files of random bytes: name and length.
const RANDOM_FILES: [(&str, u64); 2] = [("1MiB", 1 << 20), ("100MiB", 100 << 20)];

/// Files that the load asks for, with the bytes that both sides know.
pub const DOWNLOADS: [u64; 1] = [100_000];

/// The directory under the lab's that all hosts serve; uploads land in `upload` there.
pub const ROOT: &str = "www";
/// The certificate under the lab's directory; signed by itself, so also what a client trusts.
pub const CERTIFICATE: &str = "lab.crt";
const CERTIFICATE_KEY: &str = "lab.key";

/// Finds nginx.
///
/// # Errors
/// That it is not installed.
pub fn find() -> Result<PathBuf> {
    find_program("nginx").ok_or_else(|| {
        LabError::new("there is no nginx on this machine")
            .mend("`apt install nginx-light`, or leave `--web nginx` out")
    })
}

/// A program of this machine by its name.
pub(crate) fn find_program(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(SYSTEM_PATHS.iter().map(PathBuf::from))
        .map(|directory| directory.join(name))
        .find(|program| program.is_file())
        // What /proc/PID/exe will say.
        .and_then(|program| program.canonicalize().ok())
}

/// Makes what all hosts share: files and certificate.
///
/// # Errors
/// When something cannot be written or openssl is missing.
pub fn prepare(directory: &Path) -> Result<()> {
    let root = directory.join(ROOT);
    let bytes = root.join("bytes");
    let upload = root.join("upload");
    for path in [&bytes, &upload] {
        fs::create_dir_all(path).doing(format_args!("make {}", path.display()))?;
    }
    fill(&root).doing(format_args!("write the files in {}", root.display()))?;
    make_certificate(directory)
}

fn fill(root: &Path) -> io::Result<()> {
    fs::write(root.join("index.html"), "here\n")?;
    for (name, length) in RANDOM_FILES {
        let mut random = File::open("/dev/urandom")?.take(length);
        io::copy(&mut random, &mut File::create(root.join(name))?)?;
    }
    for length in DOWNLOADS {
        let mut file = File::create(root.join("bytes").join(length.to_string()))?;
        let mut done = 0;
        while done < length {
            let piece = content::piece(done, length - done);
            file.write_all(&piece)?;
            done += piece.len() as u64;
        }
    }
    Ok(())
}

fn make_certificate(directory: &Path) -> Result<()> {
    let openssl = find_program("openssl").ok_or_else(|| {
        LabError::new("there is no openssl on this machine to make a certificate with")
            .mend("`apt install openssl`, or leave `--web nginx` out")
    })?;
    let names = format!("subjectAltName=DNS:lab.example,IP:{VIP_V4},IP:{VIP_V6}");
    let output = Command::new(openssl)
        .args([
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:prime256v1",
        ])
        .args([
            "-nodes",
            "-days",
            "30",
            "-subj",
            "/CN=lab.example",
            "-addext",
            &names,
        ])
        .arg("-keyout")
        .arg(directory.join(CERTIFICATE_KEY))
        .arg("-out")
        .arg(directory.join(CERTIFICATE))
        .stdin(Stdio::null())
        .output()
        .doing("run openssl")?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(LabError::new(format!(
        "openssl made no certificate: {}",
        said.trim()
    )))
}

/// Writes the configuration for one host; returns its path.
///
/// # Errors
/// When it cannot be written.
pub fn configure(directory: &Path, host: &str) -> Result<PathBuf> {
    let own = directory.join(format!("nginx-{host}"));
    fs::create_dir_all(&own).doing(format_args!("make {}", own.display()))?;
    let path = own.join("nginx.conf");
    fs::write(&path, configuration(directory, &own, host))
        .doing(format_args!("write {}", path.display()))?;
    Ok(path)
}

fn configuration(directory: &Path, own: &Path, host: &str) -> String {
    let (directory, own) = (directory.display(), own.display());
    format!(
        r#"# {host} of a lab, made by `jlb lab --web nginx`.
daemon off;
# Workers read the lab's directory, which is root's.
user root;
worker_processes 1;
worker_rlimit_nofile 16384;
pid {own}/nginx.pid;
error_log stderr warn;
events {{ worker_connections 8192; }}
http {{
    access_log off;
    default_type application/octet-stream;
    sendfile on;
    keepalive_requests 1000000;
    keepalive_timeout 75s;
    client_max_body_size 0;
    client_body_temp_path {own}/body;
    proxy_temp_path {own}/proxy;
    fastcgi_temp_path {own}/fastcgi;
    uwsgi_temp_path {own}/uwsgi;
    scgi_temp_path {own}/scgi;
    add_header x-host {host} always;
    ssl_certificate {directory}/{CERTIFICATE};
    ssl_certificate_key {directory}/{CERTIFICATE_KEY};
    server {{
        listen 80 backlog=65535;
        listen [::]:80 backlog=65535 ipv6only=on;
        listen 443 ssl backlog=65535;
        listen [::]:443 ssl backlog=65535 ipv6only=on;
        root {directory}/{ROOT};
        location / {{ index index.html; }}
        location = /close {{ keepalive_timeout 0; return 200 "bye\n"; }}
        location /upload/ {{ dav_methods PUT; }}
    }}
}}
"#
    )
}

#[cfg(test)]
mod tests;
