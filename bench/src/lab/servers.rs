//! The servers on the hosts of a lab.

use std::ffi::OsString;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};

use super::Lab;
use crate::error::Result;
use crate::nginx;
use crate::plan::{Node, Role, VIP_V4, VIP_V6};

const HTTP: u16 = 80;
const ECHO: u16 = 7;

impl Lab {
    /// Starts the web server and the UDP echo of every host. All of them run under `jlb lab-web`,
    /// which knows how to die with the lab.
    pub(super) fn start_servers(
        &mut self,
        jlb: &Path,
        nginx: Option<&Path>,
        keep: bool,
    ) -> Result<()> {
        let directory = self.plan.directory();
        if nginx.is_some() {
            nginx::prepare(&directory)?;
        }
        let hosts: Vec<Node> = self.plan.of(Role::Host).cloned().collect();
        for host in hosts {
            let mut arguments = arguments(&host.name, keep);
            for vip in [IpAddr::from(VIP_V4), VIP_V6.into()] {
                arguments.extend([
                    "--echo".into(),
                    SocketAddr::new(vip, ECHO).to_string().into(),
                ]);
            }
            if nginx.is_none() {
                for any in [
                    IpAddr::from(Ipv4Addr::UNSPECIFIED),
                    Ipv6Addr::UNSPECIFIED.into(),
                ] {
                    let address = SocketAddr::new(any, HTTP).to_string();
                    arguments.extend(["--listen".into(), address.into()]);
                }
            }
            self.start(
                &format!("web-{}", host.name),
                &host.name,
                jlb.into(),
                arguments,
            )?;
            if let Some(nginx) = nginx {
                let configuration = nginx::configure(&directory, &host.name)?;
                self.start_nginx(jlb, nginx, &host, configuration, keep)?;
            }
        }
        Ok(())
    }

    fn start_nginx(
        &mut self,
        jlb: &Path,
        nginx: &Path,
        host: &Node,
        configuration: PathBuf,
        keep: bool,
    ) -> Result<()> {
        let mut arguments = arguments(&host.name, keep);
        arguments.extend(["--".into(), nginx.into()]);
        // Before it has read its configuration it would write to a log of the system.
        arguments.extend([
            "-e".into(),
            "stderr".into(),
            "-c".into(),
            configuration.into(),
        ]);
        self.start(
            &format!("nginx-{}", host.name),
            &host.name,
            jlb.into(),
            arguments,
        )
    }
}

fn arguments(name: &str, keep: bool) -> Vec<OsString> {
    let mut arguments: Vec<OsString> = vec!["lab-web".into(), "--name".into(), name.into()];
    if !keep {
        arguments.extend([
            "--die-with-parent".into(),
            std::process::id().to_string().into(),
        ]);
    }
    arguments
}
