use super::*;

fn walk() -> Walk {
    let station = |action: &str, line: &str| Station {
        action: action.to_owned(),
        sent: vec!["an Offer".to_owned()],
        under_way: vec!["an Offer".to_owned(), "an Open".to_owned()],
        states: vec![("host 21", vec![line.to_owned(), "as before".to_owned()])],
    };
    Walk {
        wrong: "S1: two hosts <have> it".to_owned(),
        stations: vec![station("the beginning", "empty"), station("a SYN", "owned")],
    }
}

#[test]
fn each_state_is_a_section_and_the_last_says_what_is_wrong() {
    let page = walk().html();
    assert_eq!(page.matches("<section>").count(), 2);
    assert_eq!(page.matches("</section>").count(), 2);
    let last = page.rsplit("<section>").next().unwrap();
    assert!(last.contains("S1: two hosts &lt;have&gt; it"));
    assert!(!page.contains("http"), "the page needs nothing else");
}

#[test]
fn what_is_new_is_marked() {
    let page = walk().html();
    let last = page.rsplit("<section>").next().unwrap();
    assert!(last.contains("<span class=new>owned</span>"));
    assert!(last.contains("<span class=new>an Offer</span>"));
    assert!(last.contains("\nas before\n"));
    assert!(last.contains("node changed"));
    let first = page.split("<section>").nth(1).unwrap();
    assert!(!first.contains("node changed"));
}

#[test]
fn the_text_tells_what_changed() {
    let text = walk().text();
    assert!(text.contains("  1. a SYN\n        sends an Offer\n        host 21: owned\n"));
    assert!(!text.contains("as before"));
    assert!(text.ends_with("S1: two hosts <have> it\n"));
}
