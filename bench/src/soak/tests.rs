use super::search::Step;
use super::*;

fn step() -> Step {
    Step {
        rate: 1_000.0,
        seconds: 3.0,
        answered_rate: 999.0,
        failed: 0,
        lost: 0,
        dropped: 0,
        p99_ms: 1.0,
    }
}

#[test]
fn loss_is_whatever_did_not_come_or_not_in_time() {
    assert!(!step().has_loss());
    let lossy = [
        Step {
            failed: 1,
            ..step()
        },
        Step { lost: 1, ..step() },
        Step {
            dropped: 1,
            ..step()
        },
        Step {
            answered_rate: 980.0,
            ..step()
        },
    ];
    assert!(lossy.iter().all(Step::has_loss));
}

#[test]
fn minutes_have_a_range() {
    assert_eq!(minutes("0.5"), Ok(0.5));
    for wrong in ["0", "-1", "nan", "20000", "x"] {
        assert!(minutes(wrong).is_err(), "{wrong}");
    }
}

#[test]
fn only_what_was_dropped_meanwhile_counts() {
    let dropped = |node: &str, reason: &str, count| Dropped {
        node: node.to_owned(),
        layer: "role".to_owned(),
        reason: reason.to_owned(),
        count,
    };
    let before = [dropped("a", "x", 3), dropped("a", "y", 4)];
    let now = vec![
        dropped("a", "x", 3),
        dropped("a", "y", 6),
        dropped("b", "x", 1),
    ];
    let meanwhile = [dropped("a", "y", 2), dropped("b", "x", 1)];
    assert_eq!(Dropped::since(&before, now), meanwhile);
    assert!(dropped("a", "x", 1).is_loss());
    let again = jlb_protocol::DropReason::StaleAnswer.as_str();
    assert!(!dropped("a", again, 1).is_loss());
}
