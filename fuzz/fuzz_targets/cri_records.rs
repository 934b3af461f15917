//! What containerd's CRI plugin keeps of a container and its pod.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| wasmedge_engine::fuzz::cri_records(data));
