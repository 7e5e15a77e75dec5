use super::*;
use core::time::Duration;

#[test]
fn a_life_is_fresh_for_about_four_seconds() {
    for start in [0, 1, 77_777] {
        let start = Time::from_millis(start);
        let began = Began::now(start, 5);
        assert_eq!(began.isn(), Some(5));
        assert!(began.is_fresh(start));
        assert!(began.is_fresh(start + Duration::from_millis(3_700)));
        assert!(!began.is_fresh(start + Duration::from_millis(4_300)));
    }
    assert_eq!(Began::UNKNOWN.isn(), None);
    assert!(!Began::UNKNOWN.is_fresh(Time::ZERO));
}
