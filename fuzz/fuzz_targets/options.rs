//! Options of a runtime, as containerd sends them.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| containerd_shim_wasmedge::fuzz::options(data));
