//! Whole files, encrypted ones, datagrams and pings, over both families.

mod upload;

use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use crate::harness::{Lab, eventually, http, in_url, vips};

/// The largest inner packet: what the underlay carries (1,500) less the overhead (112).
const MAX_INNER: u32 = 1_388;

/// Bytes of IP and transport headers without options.
fn headers(vip: IpAddr, transport: u32) -> u32 {
    transport + if vip.is_ipv4() { 20 } else { 40 }
}

fn assert_same(a: &Path, b: &Path) {
    let read = |path: &Path| {
        std::fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    };
    let (first, second) = (read(a), read(b));
    assert_eq!(
        first.len(),
        second.len(),
        "{} and {}",
        a.display(),
        b.display()
    );
    assert!(
        first == second,
        "{} and {} differ",
        a.display(),
        b.display()
    );
}

#[test]
fn a_download_of_100_mib_arrives_as_it_was() {
    let lab = Lab::with_nginx();
    download(&lab);
    lab.assert_calm();
}

/// A file comes over both families as it was.
pub(crate) fn download(lab: &Lab) {
    let served = lab.directory().join("www/100MiB");
    assert_eq!(served.metadata().unwrap().len(), 100 << 20);
    for vip in vips() {
        let got = lab.directory().join("got");
        let arguments = [
            "-sS",
            "--fail",
            "-o",
            got.to_str().unwrap(),
            &http(vip, "/100MiB"),
        ];
        lab.client().must("curl", &arguments);
        assert_same(&served, &got);
    }
}

#[test]
fn https_is_verified_against_the_certificate_of_nginx() {
    let lab = Lab::with_nginx();
    let certificate = lab.directory().join("lab.crt");
    for vip in vips() {
        let url = format!("https://{}/", in_url(vip));
        let trusting = [
            "-sS",
            "--fail",
            "--cacert",
            certificate.to_str().unwrap(),
            &url,
        ];
        assert_eq!(lab.client().must("curl", &trusting), "here\n");
        let stranger = lab.client().run("curl", &["-sS", "--fail", &url]);
        assert!(
            !stranger.success,
            "a certificate that nobody trusts was taken"
        );
        let big = format!("https://{}/1MiB", in_url(vip));
        let got = lab.directory().join("got");
        let to_file = ["-o", got.to_str().unwrap()];
        let arguments = [&trusting[..4], &to_file, &[big.as_str()]].concat();
        lab.client().must("curl", &arguments);
        assert_same(&lab.directory().join("www/1MiB"), &got);
    }
}

#[test]
fn connections_are_kept_or_closed_as_http_says() {
    let lab = Lab::with_nginx();
    for vip in vips() {
        let connects = |extra: &[&str], path: &str| {
            let url = http(vip, path);
            let arguments = [
                &[
                    "-sS",
                    "--fail",
                    "-o",
                    "/dev/null",
                    "-w",
                    "%{num_connects} ",
                    &url,
                ],
                &["-o", "/dev/null", url.as_str()][..],
                extra,
            ];
            lab.client().must("curl", &arguments.concat())
        };
        assert_eq!(
            connects(&[], "/"),
            "1 0 ",
            "two requests share a connection"
        );
        assert_eq!(connects(&["-H", "connection: close"], "/"), "1 1 ");
        // The server's wish.
        assert_eq!(connects(&[], "/close"), "1 1 ");
    }
    // Many requests on one connection, more than a table's timer may take for one.
    for vip in vips() {
        let mut stream = lab.client().connect(SocketAddr::new(vip, 80)).unwrap();
        for _ in 0..200 {
            write!(stream, "GET / HTTP/1.1\r\nhost: lab\r\n\r\n").unwrap();
            let mut answer = Vec::new();
            while !answer.ends_with(b"here\n") {
                let mut bytes = [0; 2048];
                let count = stream.read(&mut bytes).unwrap();
                assert!(count > 0, "closed in between");
                answer.extend(&bytes[..count]);
            }
        }
    }
}

#[test]
fn datagrams_are_echoed_and_too_big_ones_are_answered() {
    let lab = Lab::start(Default::default());
    datagrams(&lab);
    lab.assert_calm();
}

/// Datagrams of every size come back, or the client hears that they are too big.
pub(crate) fn datagrams(lab: &Lab) {
    for vip in vips() {
        let room = (MAX_INNER - headers(vip, 8)) as usize;
        let socket = lab.client().udp(SocketAddr::new(vip, 7));
        let mut buffer = vec![0; 2048];
        for length in (0..room).step_by(97).chain([room - 1, room]) {
            let sent: Vec<u8> = (0..length).map(|at| (at * 7 + length) as u8).collect();
            socket.send(&sent).unwrap();
            let count = socket.recv(&mut buffer).unwrap();
            assert_eq!(buffer[..count], sent, "{length} bytes to {vip}");
        }
        // Fits the client's link, but not the path: the answer becomes an error of the socket.
        assert_eq!(socket.send(&vec![0; room + 1]).unwrap(), room + 1);
        let error = eventually(
            Duration::from_secs(2),
            "too big is answered",
            || match socket.take_error().unwrap() {
                Some(error) => Ok(error),
                None => Err("no error on the socket".into()),
            },
        );
        let message_too_long = 90;
        assert_eq!(error.raw_os_error(), Some(message_too_long), "{error}");
        let route = lab.client().must("ip", &["route", "get", &vip.to_string()]);
        assert!(
            route.contains(&format!("mtu {MAX_INNER}")),
            "the client learnt: {route}"
        );
    }
}

#[test]
fn the_vips_answer_pings() {
    pings(&Lab::start(Default::default()));
}

/// Small and large pings come back.
pub(crate) fn pings(lab: &Lab) {
    for vip in vips() {
        let vip = vip.to_string();
        let said = lab
            .client()
            .must("ping", &["-n", "-c", "10", "-i", "0.1", "-W", "2", &vip]);
        assert!(
            said.contains("10 packets transmitted, 10 received, 0% packet loss"),
            "{said}"
        );
        let big = lab
            .client()
            .must("ping", &["-n", "-c", "3", "-i", "0.1", "-s", "1300", &vip]);
        assert!(big.contains("3 received"), "{big}");
    }
}
