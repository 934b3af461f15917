//! For fuzzing: what is read of a module before an engine sees it, compared with what wasmparser reads.

use wasmparser::{Encoding, Parser, Payload};

use super::{
    native_library::{Examined, examine},
    sections::{Kind, carries_native_code, classify, code_size, has_64_bit_memory, has_shared_memory, initial_memory},
};

/// What is read of a module that can be read at all is what is in it.
pub fn sections(data: &[u8]) {
    let (kind, native, wide) = (classify(data), carries_native_code(data), has_64_bit_memory(data));
    let (memory, code) = (initial_memory(data), code_size(data));
    assert!(code <= data.len() as u64);
    let Some(facts) = Facts::read(data) else { return };
    assert_eq!(kind, Kind::Module);
    assert_eq!(native, facts.native, "native code");
    assert_eq!(wide, facts.wide, "64-bit memories");
    assert_eq!(memory, facts.memory, "bytes of memory");
    // Types of proposals that WasmEdge does not know may stand in imports.
    assert!(facts.imports || has_shared_memory(data) == facts.shared, "memories that threads share");
    assert_eq!(code, facts.code, "bytes of code");
}

/// What is mapped of a library is of the file, in pieces of whole pages that have nothing in common, and none of them can be
/// written to and executed.
pub fn native_libraries(data: &[u8]) {
    const PAGE: u64 = 4096;
    let Ok(Examined { loaded, span, imports, symbols: (table, names, hash) }) = examine(data) else { return };
    let mut free = 0;
    for one in &loaded {
        let (start, last) = (one.p_vaddr / PAGE * PAGE, (one.p_vaddr + one.p_memsz).next_multiple_of(PAGE));
        assert!(free <= start && start <= last && last <= span, "{one:?} of {span:#x}");
        assert!(one.p_offset % PAGE == one.p_vaddr % PAGE && one.p_filesz <= one.p_memsz, "{one:?}");
        assert!(one.p_offset + one.p_filesz <= data.len() as u64, "{one:?} of {}", data.len());
        assert_ne!(one.p_flags & 3, 3, "{one:?}");
        free = last;
    }
    for import in imports {
        let holds = |one: &&elf::segment::ProgramHeader| {
            one.p_flags & 2 != 0 && one.p_vaddr <= import.place && import.place + 8 <= one.p_vaddr + one.p_memsz
        };
        assert!(import.place % 8 == 0 && loaded.iter().any(|one| holds(&one)), "{import:?}");
    }
    for name in [&b"version"[..], b"intrinsics", b"f0", b"t0", b""] {
        let _ = hash.find(name, &table, &names);
    }
}

/// What wasmparser says of a module.
#[derive(Default)]
struct Facts {
    native: bool,
    wide: bool,
    shared: bool,
    imports: bool,
    memory: u64,
    code: u64,
}

impl Facts {
    /// `None` where it is no module from beginning to end.
    fn read(data: &[u8]) -> Option<Self> {
        let mut facts = Self::default();
        for payload in Parser::new(0).parse_all(data) {
            match payload.ok()? {
                Payload::Version { encoding: Encoding::Component, .. } => return None,
                Payload::CustomSection(section) => facts.native |= section.name() == "wasmedge",
                Payload::ImportSection(_) => facts.imports = true,
                Payload::MemorySection(memories) => {
                    for memory in memories {
                        let memory = memory.ok()?;
                        // A page of another size is of a proposal that WasmEdge does not know.
                        if memory.page_size_log2.is_some() {
                            return None;
                        }
                        facts.wide |= memory.memory64;
                        facts.shared |= memory.shared;
                        facts.memory = facts.memory.saturating_add(memory.initial.saturating_mul(65_536));
                    }
                }
                Payload::CodeSectionStart { unchecked_range: range, .. } => facts.code = range.end - range.start,
                _ => {}
            }
        }
        Some(facts)
    }
}
