//! Native code, before it is mapped.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| wasmedge_engine::fuzz::native_libraries(data));
