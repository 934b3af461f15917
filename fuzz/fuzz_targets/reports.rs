//! What a container's processes report.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| wasmedge_engine::fuzz::reports(data));
