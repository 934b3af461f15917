//! Sections of modules, from modules of all proposals.
#![no_main]

use arbitrary::{Arbitrary, Unstructured};
use libfuzzer_sys::{Corpus, fuzz_target};
use wasm_smith::{Config, Module};
use wasmedge_engine::fuzz::sections;

fuzz_target!(|data: &[u8]| -> Corpus {
    let mut bytes = Unstructured::new(data);
    let Ok(mut config) = Config::arbitrary(&mut bytes) else { return Corpus::Reject };
    config.memory64_enabled = data.len() % 2 == 0;
    config.max_memories = 4;
    config.max_instructions = 20;
    config.custom_page_sizes_enabled = false;
    let Ok(module) = Module::new(config, &mut bytes) else { return Corpus::Reject };
    let mut module = module.to_bytes();
    sections(&module);
    // Native code behind it, as WasmEdge writes it.
    module.extend(b"\0\x09\x08wasmedge");
    sections(&module);
    Corpus::Keep
});
