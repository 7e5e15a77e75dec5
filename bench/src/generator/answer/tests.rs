use super::*;

const HEAD: &str = "HTTP/1.1 200 OK\r\nServer: x\r\nContent-Length: 5\r\n\r\n";

fn take_in(pieces: &[&str], expected: u64) -> Result<bool, Wrong> {
    let mut answer = Answer::default();
    let mut done = false;
    for piece in pieces {
        assert!(!done, "something came after the end");
        done = answer.take(piece.as_bytes(), expected)?;
    }
    Ok(done)
}

#[test]
fn an_answer_may_come_in_any_pieces() {
    let whole = format!("{HEAD}hello");
    assert_eq!(take_in(&[&whole], 5), Ok(true));
    for at in 1..whole.len() {
        let (one, other) = whole.split_at(at);
        assert_eq!(take_in(&[one, other], 5), Ok(true), "cut at {at}");
    }
    let bytes: Vec<&str> = whole.split("").filter(|piece| !piece.is_empty()).collect();
    assert_eq!(take_in(&bytes, 5), Ok(true));
    assert_eq!(take_in(&[HEAD, "hell"], 5), Ok(false));
}

#[test]
fn an_empty_body_ends_with_the_head() {
    let head = "HTTP/1.1 200 OK\r\ncontent-length:0\r\n\r\n";
    assert_eq!(take_in(&[head], 0), Ok(true));
}

#[test]
fn a_slot_begins_anew() {
    let mut answer = Answer::default();
    assert!(answer.is_empty());
    answer.take(b"HTTP/1.1", 5).unwrap();
    assert!(!answer.is_empty());
    answer.clear();
    assert!(answer.is_empty());
    assert_eq!(answer.take(format!("{HEAD}hello").as_bytes(), 5), Ok(true));
    answer.clear();
    assert_eq!(answer.take(format!("{HEAD}again").as_bytes(), 5), Ok(true));
}

#[test]
fn what_is_wrong_is_told() {
    let kind = |pieces: &[&str], expected| take_in(pieces, expected).unwrap_err().kind;
    assert_eq!(kind(&[HEAD], 6), ErrorKind::WrongAnswer);
    assert_eq!(kind(&[HEAD, "hello!"], 5), ErrorKind::WrongAnswer);
    let unsized_ = "HTTP/1.1 200 OK\r\nServer: x\r\n\r\n";
    assert_eq!(kind(&[unsized_], 5), ErrorKind::WrongAnswer);
    let endless = "x".repeat(LONGEST_HEAD + 1);
    assert_eq!(kind(&[&endless], 5), ErrorKind::WrongAnswer);
    let failed = "HTTP/1.1 502 Bad Gateway\r\ncontent-length: 5\r\n\r\n";
    let wrong = take_in(&[failed], 5).unwrap_err();
    assert_eq!(wrong.kind, ErrorKind::Status);
    assert_eq!(wrong.words, "HTTP/1.1 502 Bad Gateway");
}
