//! What the kernel says of processes, mounts and cgroups.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| wasmedge_engine::fuzz::proc_files(data));
