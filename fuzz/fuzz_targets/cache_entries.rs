//! Files of the cache of native code, their seals and names.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| wasmedge_engine::fuzz::cache_entries(data));
