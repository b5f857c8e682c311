#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| goat_fuzz::requests::key(data));
