use super::*;

fn between() -> Between {
    Between {
        vip: Ipv4Addr::new(203, 0, 113, 1),
        hosts: vec![Ipv4Addr::new(10, 0, 0, 1), Ipv4Addr::new(10, 0, 0, 2)],
    }
}

#[test]
fn every_proxy_listens_on_the_virtual_address_and_knows_all_hosts() {
    let folder = Path::new("/x");
    let texts = [
        haproxy(&between()),
        nginx(&between(), folder, None),
        envoy(&between()),
    ];
    for text in texts {
        assert!(text.contains("203.0.113.1"), "{text}");
        for host in ["10.0.0.1", "10.0.0.2"] {
            assert!(text.contains(host), "{text}");
        }
        assert!(text.contains("65535"), "{text}");
    }
}

#[test]
fn proxies_have_one_worker_and_do_not_splice() {
    let folder = Path::new("/x");
    let text = haproxy(&between());
    assert!(text.contains("nbthread 1"), "{text}");
    assert!(!text.contains("splice"), "{text}");
    let text = nginx(&between(), folder, Some(Path::new("/m/stream.so")));
    assert!(text.contains("worker_processes 1;"), "{text}");
    assert!(text.starts_with("load_module /m/stream.so;"), "{text}");
}
