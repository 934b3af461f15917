//! What a container is to run.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| wasmedge_engine::fuzz::entrypoint(data));
