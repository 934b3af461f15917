//! Mounts of a root filesystem.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| wasmedge_engine::fuzz::rootfs_mounts(data));
