//! What CRI wants of a pod that the shim holds.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| containerd_shim_wasmedge::fuzz::pods(data));
