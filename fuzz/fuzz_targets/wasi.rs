//! Rows of calls of WASI's functions, and the same on Linux.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| wasmedge_shim_wasi::fuzz::calls(data));
