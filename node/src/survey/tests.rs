use super::*;
use std::io::{Read, Write};
use std::net::TcpListener;

/// A cluster whose three nodes are asked at these addresses.
fn cluster(admin: [SocketAddr; 3]) -> ClusterConfig {
    let [first, second, third] = admin;
    let text = format!(
        "[cluster]\nname = \"shop\"\nkey_file = \"cluster.key\"\n\
         [[node]]\nnumber = 1\nname = \"ingress-1\"\nrole = \"ingress\"\nunderlay = [\"10.0.0.1\"]\n\
         admin = \"{first}\"\n\
         [[node]]\nnumber = 2\nname = \"tracker-1\"\nrole = \"flow-tracker\"\n\
         underlay = [\"10.0.0.2\"]\nadmin = \"{second}\"\n\
         [[node]]\nnumber = 3\nname = \"web-1\"\nrole = \"host-agent\"\nunderlay = [\"10.0.0.3\"]\n\
         admin = \"{third}\"\n\
         [[service]]\nnumber = 1\nname = \"web\"\nvip = \"192.0.2.10\"\nprotocol = \"tcp\"\n\
         ports = 80\nhosts = [\"web-1\"]\npolicy = \"round-robin\"\n"
    );
    let keys = jlb_config::Keys::generate().unwrap();
    let loaded = ClusterConfig::parse_with_keys(&text, Path::new("cluster.toml"), keys);
    loaded.unwrap().config
}

fn listener() -> TcpListener {
    TcpListener::bind("127.0.0.1:0").unwrap()
}

/// Answers one request with this.
fn answer(listener: TcpListener, status: &str, body: &str) {
    let answer = format!(
        "HTTP/1.1 {status}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
        body.len()
    );
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut request = [0; 1_024];
        let length = stream.read(&mut request).unwrap();
        assert!(request[..length].starts_with(b"GET /status "));
        let _ = stream.write_all(answer.as_bytes());
    });
}

fn status(name: &str, configuration: &str, not_ready: Option<&str>) -> String {
    let page = json!({
        "name": name,
        "state": "active",
        "incarnation": 7,
        "configuration": configuration,
        "configuration_refused": null,
        "not_ready": not_ready,
    });
    page.to_string()
}

fn ask(config: &ClusterConfig) -> Survey {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(ask_all(config))
}

#[test]
fn nodes_that_all_run_the_file_are_uniform() {
    let listeners = [(); 3].map(|()| listener());
    let config = cluster([0, 1, 2].map(|at: usize| listeners[at].local_addr().unwrap()));
    let fingerprint = format!("{:016x}", config.fingerprint());
    for (listener, name) in listeners
        .into_iter()
        .zip(["ingress-1", "tracker-1", "web-1"])
    {
        let not_ready = (name == "web-1").then_some("waiting");
        answer(listener, "200 OK", &status(name, &fingerprint, not_ready));
    }
    let survey = ask(&config);
    assert!(survey.is_uniform(), "{}", survey.text());
    let text = survey.text();
    let lines: Vec<&str> = text.lines().collect();
    assert!(lines[0].starts_with("node       role"), "{text}");
    let words: Vec<&str> = lines[1].split_whitespace().collect();
    assert_eq!(words[0..2], ["ingress-1", "ingress"]);
    assert_eq!(words[3..], ["active", &fingerprint, "yes", "7", "yes"]);
    assert!(lines[3].ends_with("no"), "{text}");
    assert!(text.contains("web-1: waiting\n"), "{text}");
    assert!(text.contains("3 of 3 nodes run the file"), "{text}");
}

#[test]
fn a_node_that_differs_or_says_nothing_is_told_of_with_the_reason() {
    let listeners = [(); 3].map(|()| listener());
    let config = cluster([0, 1, 2].map(|at: usize| listeners[at].local_addr().unwrap()));
    let [first, second, third] = listeners;
    let refuses = json!({
        "name": "ingress-1",
        "state": "active",
        "incarnation": 7,
        "configuration": "0000000000000abc",
        "configuration_refused": "cluster.toml:5:1: no such policy\nand more",
        "not_ready": null,
    });
    answer(first, "200 OK", &refuses.to_string());
    // Nobody listens there any more, and the last one listens but does not answer.
    drop(second);
    let survey = ask(&config);
    drop(third);
    assert!(!survey.is_uniform());
    let text = survey.text();
    assert!(
        text.contains("ingress-1: refuses its file: cluster.toml:5:1: no such policy\n"),
        "{text}"
    );
    assert!(text.contains("tracker-1: Connection refused"), "{text}");
    assert!(text.contains("web-1: no answer within 1s"), "{text}");
    assert!(text.contains("0 of 3 nodes run the file"), "{text}");
    let page: Value = serde_json::from_str(&survey.json()).unwrap();
    assert_eq!(page["uniform"], false);
    assert_eq!(page["nodes"][0]["configuration"], "0000000000000abc");
    assert_eq!(page["nodes"][0]["same_configuration"], false);
    assert_eq!(page["nodes"][1]["reachable"], false);
    assert!(page["nodes"][2]["error"].is_string());
}

#[test]
fn what_is_no_node_of_that_name_is_said_to_be_none() {
    let said = |body: &str| read("web-1", body.as_bytes()).unwrap_err();
    assert_eq!(said("hello"), "it answers, but not as a node of JLB");
    assert_eq!(said("{}"), "it answers, but not as a node of JLB");
    assert_eq!(
        said(&status("web-2", "1", None)),
        "node web-2 answers there"
    );
    assert_eq!(first_line("a\u{1b}[31mb\nc"), "a[31mb");
}

#[test]
fn an_error_of_the_node_is_shown() {
    let listener = listener();
    let address = listener.local_addr().unwrap();
    answer(
        listener,
        "503 Service Unavailable",
        "the data thread does not answer\n",
    );
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let error = runtime.block_on(get(address)).unwrap_err();
    assert_eq!(
        error,
        "status 503 Service Unavailable: the data thread does not answer"
    );
}
