use super::*;

#[test]
fn events_come_in_order_of_time_and_then_as_they_were_scheduled() {
    let mut queue = Queue::new();
    for (millis, name) in [(5, 'a'), (3, 'b'), (5, 'c'), (3, 'd')] {
        queue.push(Time::from_millis(millis), name);
    }
    let mut order = String::new();
    while let Some((_, name)) = queue.pop() {
        order.push(name);
        if name == 'b' {
            queue.push(Time::from_millis(4), 'e');
        }
    }
    assert_eq!(order, "bdeac");
}
