//! What containerd sends at a shim's start.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| containerd_shim_wasmedge::fuzz::bootstrap(data));
