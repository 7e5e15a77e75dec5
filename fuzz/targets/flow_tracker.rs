#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| jlb_fuzz::flow_tracker::run(bytes));
