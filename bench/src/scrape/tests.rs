use super::*;

const PAGE: &str = "\
# HELP jlb_received_total Packets and messages that came into the layer.
# TYPE jlb_received_total counter
jlb_received_total{layer=\"role\"} 10
jlb_received_total{layer=\"link\"} 7
jlb_created_total{layer=\"role\"} 2
jlb_sent_total{layer=\"role\"} 5 1700000000000
jlb_sent_total{layer=\"link\"} 7
jlb_dropped_total{layer=\"role\",reason=\"no_service\"} 3
jlb_dropped_total{layer=\"role\",reason=\"odd \\\"}\\\\\"} 1
jlb_dropped_total{layer=\"role\",reason=\"pending_full\"} 0
jlb_held{layer=\"role\"} 3
jlb_books_imbalance{layer=\"role\"} 0
jlb_books_imbalance{layer=\"link\"} 1
jlb_ready 1
";

fn node() -> NodeSamples {
    let samples = Samples::parse(PAGE).unwrap();
    NodeSamples {
        node: "ingress-1".into(),
        role: Role::Ingress,
        samples,
    }
}

#[test]
fn samples_add_up_by_labels() {
    let samples = node().samples;
    assert_eq!(samples.sum("jlb_received_total", &[]), Some(17));
    assert_eq!(
        samples.sum("jlb_received_total", &[("layer", "role")]),
        Some(10)
    );
    assert_eq!(
        samples.sum("jlb_received_total", &[("layer", "stack")]),
        None
    );
    assert_eq!(samples.sum("jlb_ready", &[]), Some(1));
}

#[test]
fn right_books_miss_nothing() {
    let books = node().books();
    assert_eq!(books[2].layer, "role");
    assert_eq!(books[2].missing, 0);
    assert_eq!(books[2].dropped, 4);
}

#[test]
fn books_are_wrong_when_the_node_says_so_or_has_none() {
    let books = node().books();
    assert_eq!(books[0].missing, i64::MAX, "the stack's are not there");
    assert_eq!(books[1].missing, 1, "the node's own sum disagrees");
}

#[test]
fn a_node_that_counted_too_much_is_wrong_too() {
    let page = PAGE.replace(
        "imbalance{layer=\"link\"} 1",
        "imbalance{layer=\"link\"} -1",
    );
    let samples = Samples::parse(&page).unwrap();
    let books = NodeSamples { samples, ..node() }.books();
    assert_eq!(books[1].missing, -1);
}

#[test]
fn drops_are_those_that_happened() {
    let drops = node().drops();
    assert_eq!(drops.len(), 2);
    assert_eq!(drops[0], ("role".into(), "no_service".into(), 3));
    assert_eq!(drops[1].1, "odd \"}\\");
}

#[test]
fn nonsense_is_told_by_line() {
    for line in [
        "jlb_ready",
        "jlb_ready one",
        "jlb_ready{a=\"b} 1",
        "jlb_ready{a} 1",
    ] {
        assert!(
            Samples::parse(&format!("# fine\n{line}\n")).is_err(),
            "{line}"
        );
    }
    let error = Samples::parse("a 1\n\nb\n").unwrap_err();
    assert_eq!(error.to_string(), "line 3 is no sample: b");
}

#[test]
fn a_page_is_read_from_a_server() {
    let (http, _) = crate::web::for_tests::start();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let (status, text) = runtime.block_on(get(http, "/")).unwrap();
    assert_eq!((status, text.as_str()), (StatusCode::OK, "h1: here\n"));
    let free = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    assert!(runtime.block_on(get(free, "/")).is_err());
}
