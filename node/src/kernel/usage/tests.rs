use super::*;

#[test]
fn pressure_is_the_time_that_some_waited() {
    let text = "some avg10=0.11 avg60=0.22 avg300=0.33 total=123456\n\
                full avg10=0.00 avg60=0.00 avg300=0.00 total=7\n";
    assert_eq!(waited(text), Some(123_456));
    assert_eq!(waited("full total=7\n"), None);
    assert_eq!(waited("some total=x\n"), None);
}

#[test]
fn busy_is_all_but_idle_and_waiting_for_disks() {
    let text = "cpu  10 20 30 400 5 6 7 8 1000 1000\ncpu0 1 1 1 1 1 1 1 1 1 1\n";
    assert_eq!(busy(text), Some(Spent { used: 81, all: 486 }));
    assert_eq!(busy("cpu  1 2 3\n"), None);
    assert_eq!(busy("cpu0 1 2 3 4 5\n"), None);
    assert_eq!(busy(""), None);
}

#[test]
fn memory_in_use_is_what_is_not_available() {
    let text = "MemTotal:       1000 kB\nMemFree:         100 kB\nMemAvailable:    250 kB\n";
    assert_eq!(in_use(text), Some(49_151));
    assert_eq!(in_use("MemTotal: 1000 kB\n"), None);
    assert_eq!(in_use("MemTotal: 0 kB\nMemAvailable: 0 kB\n"), None);
}

#[test]
fn this_machine_tells_its_use() {
    let used = Memory::open().unwrap().share().unwrap();
    assert!(used.is_some_and(|used| used > 0));
    let mut cpu = Cpu::open().unwrap();
    assert_eq!(cpu.share(crate::clock::now()).unwrap(), None);
    // A processor that works all the while is seen within some spans, whatever counts it.
    let mut seen = None;
    for _ in 0..100 {
        let end = crate::clock::now() + CPU_SPAN;
        while crate::clock::now() < end {
            std::hint::spin_loop();
        }
        seen = cpu.share(crate::clock::now()).unwrap();
        if cpu.source == Source::Pressure || seen.is_some_and(|share| share > 0) {
            break;
        }
    }
    assert!(seen.is_some());
}
