//! Records of containers.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| wasmedge_engine::fuzz::records(data));
