use std::io::{Read, Write};
use std::net::{TcpStream, UdpSocket};

use super::for_tests::start;
use super::*;
use crate::content;

fn exchange(to: SocketAddr, request: &[u8]) -> (String, Vec<u8>) {
    let mut stream = TcpStream::connect(to).unwrap();
    stream.write_all(request).unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    let end = answer
        .windows(4)
        .position(|four| four == b"\r\n\r\n")
        .unwrap();
    (
        String::from_utf8(answer[..end].to_vec()).unwrap(),
        answer[end + 4..].to_vec(),
    )
}

#[test]
fn every_answer_names_its_host() {
    let (http, _) = start();
    for (path, status) in [
        ("/", 200),
        ("/close", 200),
        ("/slow/1", 200),
        ("/nothing", 404),
    ] {
        let request = format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
        let (head, _) = exchange(http, request.as_bytes());
        assert!(
            head.starts_with(&format!("HTTP/1.1 {status}")),
            "{path}: {head}"
        );
        assert!(head.contains("x-host: h1"), "{path}: {head}");
    }
}

#[test]
fn the_server_closes_when_asked_by_path() {
    let (http, _) = start();
    let (_, body) = exchange(http, b"GET /close HTTP/1.1\r\nhost: x\r\n\r\n");
    assert_eq!(body, b"h1: bye\n");
}

#[test]
fn bytes_are_the_known_ones() {
    let (http, _) = start();
    let request = b"GET /bytes/300000 HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
    let (_, body) = exchange(http, request);
    assert_eq!(body.len(), 300_000);
    assert!(content::matches(0, &body));
}

#[test]
fn an_upload_is_counted_and_summed() {
    let (http, _) = start();
    let mut request =
        b"POST /upload HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: 5000\r\n\r\n"
            .to_vec();
    request.extend_from_slice(&content::piece(0, 5000));
    let (_, body) = exchange(http, &request);
    let expected = format!("5000 {:016x}\n", content::sum_of_first(5000).value());
    assert_eq!(String::from_utf8(body).unwrap(), expected);
}

#[test]
fn datagrams_come_back() {
    let (_, echo) = start();
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket
        .set_read_timeout(Some(Duration::from_secs(5)))
        .unwrap();
    socket.send_to(b"hello", echo).unwrap();
    let mut buffer = [0; 16];
    let (length, from) = socket.recv_from(&mut buffer).unwrap();
    assert_eq!((&buffer[..length], from), (&b"hello"[..], echo));
}

#[test]
fn dripped_bytes_are_the_known_ones_and_take_their_time() {
    let (http, _) = start();
    let mut stream = TcpStream::connect(http).unwrap();
    stream
        .write_all(b"GET /drip/70000/50 HTTP/1.1\r\nhost: x\r\n\r\n")
        .unwrap();
    let begin = tokio::time::Instant::now();
    let mut got = Vec::new();
    let mut buffer = vec![0; 1 << 16];
    while got.len() < 300_000 {
        let count = stream.read(&mut buffer).unwrap();
        got.extend_from_slice(&buffer[..count]);
    }
    // The fifth of them comes after four pauses.
    assert!(begin.elapsed() >= Duration::from_millis(190));
    // The body is in chunks: the first of them is whole.
    let body = got.windows(4).position(|four| four == b"\r\n\r\n").unwrap() + 4;
    let size = got[body..]
        .windows(2)
        .position(|two| two == b"\r\n")
        .unwrap();
    let first = &got[body + size + 2..][..60_000];
    assert!(content::matches(0, first));
}

#[test]
fn each_piece_of_an_upload_gets_its_receipt() {
    let (http, _) = start();
    let mut stream = TcpStream::connect(http).unwrap();
    stream
        .set_read_timeout(Some(Duration::from_secs(5)))
        .unwrap();
    stream
        .write_all(b"POST /receipts HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n")
        .unwrap();
    let mut said = String::new();
    for (offset, length) in [(0, 1000_u64), (1000, 500)] {
        let piece = content::piece(offset, length);
        stream
            .write_all(format!("{length:x}\r\n").as_bytes())
            .unwrap();
        stream.write_all(&piece).unwrap();
        stream.write_all(b"\r\n").unwrap();
        let whole = offset + length;
        let expected = body::receipt(whole, content::sum_of_first(whole));
        // It answers before the upload is over.
        while !said.contains(&expected) {
            let mut buffer = [0; 1024];
            let count = stream.read(&mut buffer).unwrap();
            said.push_str(std::str::from_utf8(&buffer[..count]).unwrap());
        }
    }
}

#[test]
fn work_takes_its_time_and_a_failing_station_says_so_at_once() {
    let (http, _) = start();
    let ask = |line: &str| {
        let request = format!("{line} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
        exchange(http, request.as_bytes()).0
    };
    let begin = tokio::time::Instant::now();
    assert!(ask("GET /work/20000").starts_with("HTTP/1.1 200"));
    assert!(begin.elapsed() >= Duration::from_millis(20));
    assert!(ask("GET /station").starts_with("HTTP/1.1 200"));
    assert!(ask("POST /station/failing").starts_with("HTTP/1.1 200"));
    for line in ["GET /work/3000000000", "GET /station"] {
        let head = ask(line);
        assert!(head.starts_with("HTTP/1.1 500"), "{line}: {head}");
        assert!(head.contains("x-host: h1"), "{line}: {head}");
    }
    assert!(ask("POST /station/sharing/2/50").starts_with("HTTP/1.1 200"));
    let begin = tokio::time::Instant::now();
    assert!(ask("GET /work/10000").starts_with("HTTP/1.1 200"));
    assert!(begin.elapsed() >= Duration::from_millis(20));
    assert!(ask("POST /station/nothing").starts_with("HTTP/1.1 404"));
}
