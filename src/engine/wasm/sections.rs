//! What a file is, from its first bytes and its section headers, before any engine sees it.
//!
//! Format: WebAssembly core specification, "Binary Format", section "Modules"; components: the component model's
//! `Binary.md`.

use super::config::PAGE;

/// The custom section in which WasmEdge keeps native code.
const NATIVE_CODE_SECTION: &[u8] = b"wasmedge";

/// Section ids.
const CUSTOM: u8 = 0;
const IMPORT: u8 = 2;
pub(super) const MEMORY: u8 = 5;
pub(super) const CODE: u8 = 10;
pub(super) const DATA: u8 = 11;

/// Bits of a memory's flags: it has a maximum, threads share it, its addresses have 64 bits.
const BOUNDED: u8 = 1;
const SHARED: u8 = 2;
const WIDE: u8 = 4;

/// What a file holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A WebAssembly module.
    Module,
    /// A WebAssembly component.
    Component,
    /// WebAssembly of a version that does not exist yet.
    UnknownVersion(u32),
    /// Anything else.
    Other,
}

/// Looks at the first eight bytes.
pub fn classify(bytes: &[u8]) -> Kind {
    let Some((magic, rest)) = bytes.split_first_chunk::<4>() else { return Kind::Other };
    if magic != b"\0asm" {
        return Kind::Other;
    }
    // A file that ends inside of the version is a module cut short; the engine says so.
    match rest.first_chunk::<4>() {
        None | Some([1, 0, 0, 0]) => Kind::Module,
        Some([_, _, 1, 0]) => Kind::Component,
        Some(version) => Kind::UnknownVersion(u32::from_le_bytes(*version)),
    }
}

/// Whether a module brings native code along (WasmEdge's "universal" format). A module whose section headers cannot
/// be followed carries none that WasmEdge could find.
pub fn carries_native_code(module: &[u8]) -> bool {
    sections(module).any(|(id, body)| id == CUSTOM && custom_section_name(body) == Some(NATIVE_CODE_SECTION))
}

/// Whether a module defines a memory with 64-bit addresses.
pub fn has_64_bit_memory(module: &[u8]) -> bool {
    memories(module).any(|(flags, _)| flags & WIDE != 0)
}

/// Whether a module defines or imports a memory that threads share (the proposal threads).
pub fn has_shared_memory(module: &[u8]) -> bool {
    memories(module).map(|(flags, _)| flags).chain(imported_memories(module)).any(|flags| flags & SHARED != 0)
}

/// Bytes of linear memory that a module has from the start, in all memories that it defines itself.
pub fn initial_memory(module: &[u8]) -> u64 {
    memories(module).fold(0, |sum, (_, pages)| sum.saturating_add(pages.saturating_mul(PAGE)))
}

/// Flags and initial pages of the memories that a module defines, up to where they can be read.
fn memories(module: &[u8]) -> impl Iterator<Item = (u8, u64)> {
    let memories = sections(module).find(|(id, _)| *id == MEMORY).and_then(|(_, body)| leb128(body));
    let (mut left, mut rest) = memories.unwrap_or_default();
    std::iter::from_fn(move || {
        left = left.checked_sub(1)?;
        let (&flags, limits) = rest.split_first()?;
        let (pages, behind) = leb128_of(limits, 10)?;
        rest = if flags & BOUNDED == 0 { behind } else { leb128_of(behind, 10)?.1 };
        Some((flags, pages))
    })
}

/// Flags of the memories that a module imports, up to where imports can be read.
fn imported_memories(module: &[u8]) -> impl Iterator<Item = u8> {
    let imports = sections(module).find(|(id, _)| *id == IMPORT).and_then(|(_, body)| leb128(body));
    let (mut left, mut rest) = imports.unwrap_or_default();
    std::iter::from_fn(move || {
        left = left.checked_sub(1)?;
        for _name in ["module", "field"] {
            let (length, behind) = leb128(rest)?;
            rest = behind.get(length..)?;
        }
        let (&kind, description) = rest.split_first()?;
        let flags = if kind == 2 { *description.first()? } else { 0 };
        rest = match kind {
            // A function, a table, a memory, a global, a tag.
            0 => leb128(description)?.1,
            1 => behind_limits(description.get(1..)?)?,
            2 => behind_limits(description)?,
            3 => description.get(2..)?,
            4 => leb128(description.get(1..)?)?.1,
            _ => return None,
        };
        Some(flags)
    })
}

/// What follows the limits of a memory or a table.
fn behind_limits(limits: &[u8]) -> Option<&[u8]> {
    let (&flags, rest) = limits.split_first()?;
    let (_, behind) = leb128_of(rest, 10)?;
    if flags & BOUNDED == 0 { Some(behind) } else { Some(leb128_of(behind, 10)?.1) }
}

/// Bytes of the code section: what a compiler works on.
pub fn code_size(module: &[u8]) -> u64 {
    sections(module).find(|(id, _)| *id == CODE).map_or(0, |(_, body)| body.len() as u64)
}

/// Ids and bodies of the sections, up to where their headers can be followed.
pub(super) fn sections(module: &[u8]) -> impl Iterator<Item = (u8, &[u8])> {
    let mut rest = module.get(8..).unwrap_or_default();
    std::iter::from_fn(move || {
        let (&id, after_id) = rest.split_first()?;
        let (size, body) = leb128(after_id)?;
        let (section, following) = body.split_at_checked(size)?;
        rest = following;
        Some((id, section))
    })
}

fn custom_section_name(section: &[u8]) -> Option<&[u8]> {
    let (length, name) = leb128(section)?;
    name.get(..length)
}

/// Reads an unsigned 32-bit LEB128 number.
pub(super) fn leb128(bytes: &[u8]) -> Option<(usize, &[u8])> {
    let (value, rest) = leb128_of(bytes, 5)?;
    Some((u32::try_from(value).ok()? as usize, rest))
}

/// Reads an unsigned LEB128 number of at most `most` bytes; one that does not fit 64 bits is none.
fn leb128_of(bytes: &[u8], most: usize) -> Option<(u64, &[u8])> {
    let mut value: u64 = 0;
    for (index, byte) in bytes.iter().take(most).enumerate() {
        let bits = u64::from(byte & 0x7f);
        value |= bits.checked_shl(7 * index as u32).filter(|shifted| shifted >> (7 * index) == bits)?;
        if byte & 0x80 == 0 {
            return Some((value, &bytes[index + 1..]));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const HEADER: &[u8] = b"\0asm\x01\0\0\0";

    fn with_section(id: u8, body: &[u8]) -> Vec<u8> {
        [HEADER, &[id, u8::try_from(body.len()).unwrap()], body].concat()
    }

    #[test]
    fn the_first_bytes_tell_modules_components_and_the_rest_apart() {
        assert_eq!(classify(HEADER), Kind::Module);
        assert_eq!(classify(b"\0asm\x0d\0\x01\0"), Kind::Component);
        assert_eq!(classify(b"\0asm\x02\0\0\0"), Kind::UnknownVersion(2));
        assert_eq!(classify(b"\x7fELF\x02\x01\x01\0"), Kind::Other);
        assert_eq!(classify(b"#!/bin/sh\n"), Kind::Other);
        assert_eq!(classify(b""), Kind::Other);
    }

    #[test]
    fn a_native_code_section_is_found_wherever_it_stands() {
        assert!(carries_native_code(&with_section(0, b"\x08wasmedge\x01\x02")));
        let later = [with_section(0, b"\x04name\x00"), with_section(0, b"\x08wasmedge")[8..].to_vec()].concat();
        assert!(carries_native_code(&later));
    }

    #[test]
    fn other_custom_sections_are_harmless() {
        assert!(!carries_native_code(HEADER));
        assert!(!carries_native_code(&with_section(0, b"\x09wasmedgeX")));
        assert!(!carries_native_code(&with_section(1, b"\x08wasmedge")));
    }

    #[test]
    fn the_memory_that_a_module_starts_with_is_read() {
        assert_eq!(initial_memory(&with_section(5, b"\x01\x00\x11")), 17 * 65_536);
        assert_eq!(initial_memory(&with_section(5, b"\x01\x01\x80\x01\x80\x02")), 128 * 65_536);
        assert_eq!(initial_memory(&with_section(5, b"\x00")), 0);
        assert_eq!(initial_memory(HEADER), 0);
    }

    #[test]
    fn memories_of_all_kinds_are_counted() {
        // Regression tests for C18: all memories count, and numbers of 64 bits are read.
        assert_eq!(initial_memory(&with_section(5, b"\x02\x01\x01\x02\x00\x20")), 33 * 65_536);
        assert_eq!(initial_memory(&with_section(5, b"\x01\x04\x80\x80\x80\x80\x80\x01")), (1 << 35) * 65_536);
        assert_eq!(initial_memory(&with_section(5, b"\x01\x04\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01")), u64::MAX);
        assert_eq!(initial_memory(HEADER), 0);
    }

    #[test]
    fn all_memories_of_a_module_count() {
        let module = with_section(5, b"\x03\x00\x01\x01\x02\x03\x05\x81\x80\x80\x80\x80\x01\xff\xff\xff\xff\xff\x02");
        assert_eq!(initial_memory(&module), (1 + 2 + 1 + (1 << 35)) * 65_536);
        assert!(has_64_bit_memory(&module));
        assert!(!has_64_bit_memory(&with_section(5, b"\x02\x00\x01\x00\x01")));
    }

    #[test]
    fn the_code_is_what_counts_of_a_module_s_size() {
        let named = [with_section(0, b"\x04name\x00"), with_section(10, b"\x01\x02\x00\x0b")[8..].to_vec()].concat();
        assert_eq!(code_size(&named), 4);
        assert_eq!(code_size(HEADER), 0);
    }

    #[test]
    fn a_64_bit_memory_is_told_from_a_32_bit_one() {
        assert!(has_64_bit_memory(&with_section(5, b"\x01\x04\x01")));
        assert!(!has_64_bit_memory(&with_section(5, b"\x01\x00\x01")));
        assert!(!has_64_bit_memory(HEADER));
    }

    #[test]
    fn a_memory_that_threads_share_is_told_from_others_wherever_it_comes_from() {
        assert!(has_shared_memory(&with_section(5, b"\x01\x03\x01\x01")));
        assert!(!has_shared_memory(&with_section(5, b"\x01\x01\x01\x01")));
        // As wasi-threads has it: after a function, a table and a global, `env.memory`.
        let imports =
            b"\x04\x01a\x01f\x00\x05\x01a\x01t\x01\x70\x00\x01\x01a\x01g\x03\x7f\x00\x03env\x06memory\x02\x03\x01\x02";
        assert!(has_shared_memory(&with_section(2, imports)));
        assert!(!has_shared_memory(&with_section(2, b"\x01\x03env\x06memory\x02\x01\x01\x02")));
        assert!(!has_shared_memory(&with_section(2, b"\x01\x03env\x06memory\x02")));
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..256)) {
            classify(&bytes);
            let module = [HEADER, &bytes].concat();
            carries_native_code(&module);
            has_64_bit_memory(&module);
            has_shared_memory(&module);
            has_shared_memory(&with_section(2, &bytes[..bytes.len().min(100)]));
            initial_memory(&module);
            code_size(&module);
        }
    }
}
