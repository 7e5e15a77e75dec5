//! Programs and sockets in a network namespace.

use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use jlb_packet_io::netns;
use socket2::{Domain, Protocol, Socket, Type};

use super::signal;

/// The longest that a program may run, in seconds.
const LONGEST_RUN: &str = "180";

/// The longest that a test waits for a peer.
const PATIENCE: Duration = Duration::from_secs(20);

/// A network namespace of a lab.
#[derive(Clone, Debug)]
pub(crate) struct Namespace {
    name: String,
}

/// What a program said.
#[derive(Debug)]
pub(crate) struct Output {
    pub(crate) success: bool,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Namespace {
    pub(crate) fn new(name: String) -> Self {
        Self { name }
    }

    /// A program that will run in the namespace, as the process that is spawned.
    pub(crate) fn command(&self, program: &str) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.name, program]);
        command
    }

    /// Runs a program to its end.
    pub(crate) fn run(&self, program: &str, arguments: &[&str]) -> Output {
        let mut command = self.command("timeout");
        let output = command
            .args(["--kill-after=5", LONGEST_RUN, program])
            .args(arguments)
            .stdin(Stdio::null())
            .output()
            .unwrap();
        Output {
            success: output.status.success(),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    /// Runs a program that must succeed; returns what it printed.
    pub(crate) fn must(&self, program: &str, arguments: &[&str]) -> String {
        let output = self.run(program, arguments);
        let Output {
            success,
            stdout,
            stderr,
        } = output;
        assert!(
            success,
            "{program} {arguments:?} failed:\n{stdout}\n{stderr}"
        );
        stdout
    }

    /// Runs `work` on a thread in the namespace. A socket that it makes stays there for good,
    /// wherever it is used.
    pub(crate) fn enter<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        netns::run_in(&netns::path(&self.name), work).expect("the namespace can be entered")
    }

    /// A TCP socket that is not connected yet.
    pub(crate) fn tcp_socket(&self, peer: SocketAddr) -> Socket {
        self.enter(|| Socket::new(Domain::for_address(peer), Type::STREAM, Some(Protocol::TCP)))
            .unwrap()
    }

    /// A TCP connection that gives up after 20 s of silence.
    pub(crate) fn connect(&self, peer: SocketAddr) -> io::Result<TcpStream> {
        finish_connecting(self.tcp_socket(peer), peer)
    }

    /// A UDP socket that is connected to `peer`.
    pub(crate) fn udp(&self, peer: SocketAddr) -> UdpSocket {
        self.enter(|| {
            let any = if peer.is_ipv4() {
                "0.0.0.0:0"
            } else {
                "[::]:0"
            };
            let socket = UdpSocket::bind(any)?;
            socket.connect(peer)?;
            socket.set_read_timeout(Some(Duration::from_secs(2)))?;
            io::Result::Ok(socket)
        })
        .unwrap()
    }

    /// A TCP server on all addresses of both families.
    pub(crate) fn listen(&self, port: u16) -> TcpListener {
        self.enter(|| {
            let socket = Socket::new(Domain::IPV6, Type::STREAM, Some(Protocol::TCP))?;
            socket.set_only_v6(false)?;
            socket.set_reuse_address(true)?;
            let any: SocketAddr = format!("[::]:{port}").parse().unwrap();
            socket.bind(&any.into())?;
            socket.listen(1024)?;
            io::Result::Ok(socket.into())
        })
        .unwrap()
    }

    /// A raw socket to send whole IP packets from.
    pub(crate) fn raw(&self, ipv4: bool) -> Socket {
        self.enter(|| {
            // IPPROTO_RAW: what is sent has its IP header.
            let domain = if ipv4 { Domain::IPV4 } else { Domain::IPV6 };
            Socket::new(domain, Type::RAW, Some(Protocol::from(255)))
        })
        .unwrap()
    }
}

/// Connects a socket of [`Namespace::tcp_socket`].
pub(crate) fn finish_connecting(socket: Socket, peer: SocketAddr) -> io::Result<TcpStream> {
    socket.connect_timeout(&peer.into(), PATIENCE)?;
    let stream = TcpStream::from(socket);
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    Ok(stream)
}

/// A program that runs beside the test and is killed when this value goes.
pub(crate) struct Background(pub(crate) Child);

impl Background {
    /// Asks it to end, and waits for that.
    pub(crate) fn interrupt(mut self) {
        signal("INT", self.0.id());
        self.0.wait().unwrap();
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
