use super::*;

const SCRIPT: &str = " 7 \n\tffffffff81000001 inner\n\tffffffff81000002 middle\n\t          10b106 __sendmmsg\n\n \
    7 \n\tffffffff81000009 other\n\tffffffff81000002 middle\n\t          10b106 __sendmmsg\n\n \
    8 \n\t          400000 jlb_x::y::Z::run<T>\n\t               0 [unknown]\n\n";

fn groups() -> BTreeMap<u32, &'static str> {
    BTreeMap::from([(7, "ingress"), (8, "agents")])
}

#[test]
fn samples_are_added_up_from_the_outermost_call_in() {
    let root = fold(SCRIPT, &groups());
    assert_eq!(root.samples, 3);
    let [ingress, agents] = root.calls.as_slice() else {
        panic!("{:?}", root.calls)
    };
    assert_eq!((ingress.name.as_str(), ingress.samples), ("ingress", 2));
    let send = &ingress.calls[0];
    assert_eq!((send.name.as_str(), send.is_kernel), ("__sendmmsg", false));
    let middle = &send.calls[0];
    assert_eq!((middle.samples, middle.is_kernel), (2, true));
    assert_eq!(middle.calls.len(), 2);
    // What has no name is passed over.
    assert_eq!(agents.calls[0].name, "jlb_x::y::Z::run<T>");
    assert_eq!(agents.calls[0].calls.len(), 0);
    assert_eq!(root.depth(), 5);
}

#[test]
fn what_is_rare_is_left_out_and_the_most_frequent_comes_first() {
    let mut root = fold(SCRIPT, &groups());
    root.calls.reverse();
    root.tidy(1);
    assert_eq!(root.calls[0].name, "ingress");
    root.tidy(2);
    assert_eq!(root.calls.len(), 1);
    assert_eq!(root.samples, 3);
    assert_eq!(root.calls[0].calls[0].calls[0].calls.len(), 0);
}

#[test]
fn a_graph_is_as_wide_as_its_samples() {
    let flame = Flame {
        row: "jlb".to_owned(),
        workload: "keepalive".to_owned(),
        root: fold(SCRIPT, &groups()),
    };
    let svg = flame.svg();
    assert_eq!(svg.matches("<rect").count(), 8);
    assert!(svg.contains("ingress: 66.7 %"), "{svg}");
    assert!(svg.contains("jlb_x::y::Z::run&lt;T&gt;: 33.3 %"), "{svg}");
    assert!(svg.contains("(3 samples)"), "{svg}");
}

#[test]
fn nothing_gives_an_empty_graph() {
    let root = fold("", &groups());
    assert_eq!(root.samples, 0);
    let svg = picture::svg("none", &root);
    assert!(!svg.contains("NaN") && !svg.contains("<rect"), "{svg}");
}
