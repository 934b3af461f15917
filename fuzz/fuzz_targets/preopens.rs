//! The annotation with directories that a module finds open.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| wasmedge_engine::fuzz::preopens(data));
