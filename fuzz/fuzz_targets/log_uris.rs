//! What a process's output goes to.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| containerd_shim_wasmedge::fuzz::log_uris(data));
