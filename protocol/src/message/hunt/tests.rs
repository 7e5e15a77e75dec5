use super::*;

fn host(number: u16, step: u8) -> HuntHost {
    HuntHost {
        host: NodeNumber::new(number).unwrap(),
        step,
        incarnation: 7,
    }
}

fn hunt() -> Hunt {
    let mut hunt = Hunt::NONE;
    assert!(hunt.push(host(1, 5)));
    assert!(hunt.push(host(2, 4)));
    assert!(hunt.push(host(3, 2)));
    hunt
}

#[test]
fn hosts_follow_each_other_with_falling_steps() {
    let hunt = hunt();
    let node = |number| NodeNumber::new(number).unwrap();
    assert_eq!(hunt.len(), 3);
    assert_eq!(hunt.after(node(1)), Some(host(2, 4)));
    assert_eq!(hunt.after(node(3)), None);
    assert_eq!(hunt.after(node(9)), None);
    assert_eq!(hunt.before(node(1)), None);
    assert_eq!(hunt.before(node(3)), Some(host(2, 4)));
    assert_eq!(hunt.last(), Some(host(3, 2)));
}

#[test]
fn none_is_listed_twice_nor_with_a_step_that_is_spent() {
    let mut hunt = hunt();
    assert!(!hunt.push(host(1, 1)));
    assert!(!hunt.push(host(4, 2)));
    assert!(hunt.push(host(4, 1)));
    assert!(!hunt.push(host(5, 0)));
    assert_eq!(hunt.len(), MAX_HUNT);
}

#[test]
fn it_is_the_same_whether_it_passes_or_not() {
    let passing = hunt().passing(true);
    assert!(passing.passes() && !hunt().passes());
    assert!(passing.is_same(&hunt()));
    let node = NodeNumber::new(2).unwrap();
    assert!(passing.naming(node, 4).passes());
    assert!(passing.naming(node, 3).is_empty());
    assert!(Hunt::NONE.is_empty() && Hunt::NONE.last().is_none());
}
