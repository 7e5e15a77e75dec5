#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| jlb_fuzz::link::run(bytes));
