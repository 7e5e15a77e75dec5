//! The servers on the hosts of a lab.

use std::ffi::OsString;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};

use super::{Lab, own_program};
use crate::args::Web;
use crate::error::Result;
use crate::nginx;
use crate::plan::{Node, Role, VIP_V4, VIP_V6};

const HTTP: u16 = 80;
const ECHO: u16 = 7;

impl Lab {
    /// Starts the web server and the UDP echo of every host, spare ones included. All of them run
    /// under `jlb lab-web`, which knows how to die with the lab.
    pub(super) fn start_servers(&mut self, nginx: Option<&Path>) -> Result<()> {
        let directory = self.plan.directory();
        if nginx.is_some() {
            nginx::prepare(&directory)?;
        }
        let hosts = self.plan.all().filter(|node| node.role == Role::Host);
        let hosts: Vec<Node> = hosts.cloned().collect();
        for host in hosts {
            self.start_server(&host)?;
            if let Some(nginx) = nginx {
                let configuration = nginx::configure(&directory, &host.name)?;
                self.start_nginx(nginx, &host, configuration)?;
            }
        }
        Ok(())
    }

    /// Starts what `jlb lab-web` serves on a host.
    pub(crate) fn start_server(&mut self, host: &Node) -> Result<()> {
        let mut arguments = self.server_arguments(host);
        for vip in [IpAddr::from(VIP_V4), VIP_V6.into()] {
            arguments.extend([
                "--echo".into(),
                SocketAddr::new(vip, ECHO).to_string().into(),
            ]);
        }
        if self.web == Web::Embedded {
            for any in [
                IpAddr::from(Ipv4Addr::UNSPECIFIED),
                Ipv6Addr::UNSPECIFIED.into(),
            ] {
                let address = SocketAddr::new(any, HTTP).to_string();
                arguments.extend(["--listen".into(), address.into()]);
            }
        }
        self.start(
            &server_name(&host.name),
            &host.name,
            own_program()?,
            arguments,
        )
    }

    fn start_nginx(&mut self, nginx: &Path, host: &Node, configuration: PathBuf) -> Result<()> {
        let mut arguments = self.server_arguments(host);
        arguments.extend(["--".into(), nginx.into()]);
        // Before it has read its configuration it would write to a log of the system.
        arguments.extend([
            "-e".into(),
            "stderr".into(),
            "-c".into(),
            configuration.into(),
        ]);
        let name = format!("nginx-{}", host.name);
        self.start(&name, &host.name, own_program()?, arguments)
    }

    fn server_arguments(&self, host: &Node) -> Vec<OsString> {
        let mut arguments: Vec<OsString> =
            vec!["lab-web".into(), "--name".into(), host.name.clone().into()];
        arguments.extend(self.follow());
        arguments
    }
}

/// The name of the process that serves on a host.
pub(crate) fn server_name(host: &str) -> String {
    format!("web-{host}")
}
