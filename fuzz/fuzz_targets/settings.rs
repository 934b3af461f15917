//! A runtime's options and a container's annotations.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| wasmedge_engine::fuzz::settings(data));
