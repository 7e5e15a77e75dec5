//! The configurations of the proxies: one worker each, without splice, with room for all connections.

use std::ffi::OsString;
use std::fmt::Write as _;
use std::fs;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};

use super::row::{Program, Programs, Proxy};
use crate::error::{Doing, LabError, Result};

/// Where all servers listen.
pub(super) const HTTP: u16 = 80;

/// What a proxy stands between.
#[derive(Clone, Debug)]
pub(super) struct Between {
    pub(super) vip: Ipv4Addr,
    pub(super) hosts: Vec<Ipv4Addr>,
}

impl Proxy {
    /// Its process's name, and that of its files.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Haproxy => "haproxy",
            Self::Nginx => "nginx",
            Self::Envoy => "envoy",
        }
    }

    /// Writes its configuration into a folder of its own; returns the program with its arguments.
    pub(super) fn prepare(
        self,
        programs: &Programs,
        between: &Between,
        directory: &Path,
    ) -> Result<(PathBuf, Vec<OsString>)> {
        let Program::Here { path, module, .. } = programs.proxy(self) else {
            return Err(LabError::new(format!("there is no {}", self.name())));
        };
        let own = directory.join(self.name());
        fs::create_dir_all(&own).doing(format_args!("make {}", own.display()))?;
        let (file, text) = match self {
            Self::Haproxy => ("haproxy.cfg", haproxy(between)),
            Self::Nginx => ("nginx.conf", nginx(between, &own, module.as_deref())),
            Self::Envoy => ("envoy.yaml", envoy(between)),
        };
        let file = own.join(file);
        fs::write(&file, text).doing(format_args!("write {}", file.display()))?;
        let file = file.into_os_string();
        let words = |words: &[&str]| -> Vec<OsString> { words.iter().map(Into::into).collect() };
        let mut arguments = match self {
            Self::Haproxy => words(&["-db", "-f"]),
            // Before it has read its configuration it would write to a log of the system.
            Self::Nginx => words(&["-e", "stderr", "-c"]),
            Self::Envoy => words(&[
                "--concurrency",
                "1",
                "--disable-hot-restart",
                "--log-level",
                "error",
                "-c",
            ]),
        };
        arguments.push(file);
        Ok((path.clone(), arguments))
    }
}

fn haproxy(between: &Between) -> String {
    let mut text = format!(
        "global\n    nbthread 1\n    maxconn 9000\n\
         defaults\n    mode tcp\n    timeout connect 5s\n    timeout client 600s\n    timeout server 600s\n\
         frontend vip\n    bind {}:{HTTP} backlog 65535\n    default_backend hosts\n\
         backend hosts\n    balance roundrobin\n",
        between.vip
    );
    for (number, host) in (1..).zip(&between.hosts) {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "    server host-{number} {host}:{HTTP}");
    }
    text
}

fn nginx(between: &Between, own: &Path, module: Option<&Path>) -> String {
    let own = own.display();
    let mut text = module.map_or(String::new(), |module| {
        format!("load_module {};\n", module.display())
    });
    let _ = write!(
        text,
        "daemon off;\nuser root;\nworker_processes 1;\nworker_rlimit_nofile 19000;\npid {own}/nginx.pid;\n\
         error_log stderr warn;\nevents {{ worker_connections 18000; }}\n\
         stream {{\n    upstream hosts {{\n"
    );
    for host in &between.hosts {
        let _ = writeln!(text, "        server {host}:{HTTP};");
    }
    let _ = write!(
        text,
        "    }}\n    server {{\n        listen {}:{HTTP} backlog=65535;\n        proxy_pass hosts;\n        \
         proxy_timeout 600s;\n    }}\n}}\n",
        between.vip
    );
    text
}

fn envoy(between: &Between) -> String {
    let mut text = format!(
        r#"static_resources:
  listeners:
  - name: vip
    address: {{ socket_address: {{ address: "{}", port_value: {HTTP} }} }}
    tcp_backlog_size: 65535
    filter_chains:
    - filters:
      - name: envoy.filters.network.tcp_proxy
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy
          stat_prefix: vip
          cluster: hosts
  clusters:
  - name: hosts
    type: STATIC
    connect_timeout: 5s
    lb_policy: ROUND_ROBIN
    circuit_breakers:
      thresholds:
      - {{ max_connections: 100000, max_pending_requests: 100000, max_requests: 100000 }}
    load_assignment:
      cluster_name: hosts
      endpoints:
      - lb_endpoints:
"#,
        between.vip
    );
    for host in &between.hosts {
        let _ = writeln!(
            text,
            "        - endpoint: {{ address: {{ socket_address: {{ address: \"{host}\", port_value: {HTTP} }} }} }}"
        );
    }
    text
}

#[cfg(test)]
mod tests;
