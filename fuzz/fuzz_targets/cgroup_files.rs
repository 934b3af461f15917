//! Files of cgroups.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| containerd_shim_wasmedge::fuzz::cgroup_files(data));
