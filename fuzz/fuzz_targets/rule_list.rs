#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| titlecard_fuzz::rule_list::rule_list(bytes));
