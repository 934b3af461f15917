//! What makes a module large, by the headers of its sections in a file: what is behind them is not read.

use std::{fs::File, io, os::unix::fs::FileExt};

use super::sections::{CODE, DATA, MEMORY, code_size, initial_memory, leb128, sections};

/// Bytes that WasmEdge 0.17.1's form of code has for each byte of code; measured were 30 (CPython) to 34 (Go).
const IN_MEMORY: u64 = 32;

/// How many headers are looked at: the format has thirteen, and custom ones.
const HEADERS: usize = 256;

/// How much of a module is looked at first, in bytes; small ones have their memories in it.
const START: usize = 16 << 10;

/// Longest section of memories that is looked at, in bytes.
const MOST_MEMORIES: u64 = 64 << 10;

/// Bytes of memory that it takes to read and check `module` for the interpreter, about: its own, its data once more, and its
/// code in another form.
pub fn interpreted_size(module: &[u8]) -> u64 {
    let data = sections(module).find(|(id, _)| *id == DATA).map_or(0, |(_, body)| body.len() as u64);
    interpreted(module.len() as u64, code_size(module), data)
}

/// The same of the module in `file`; too little where its code is not behind the first [`HEADERS`].
///
/// # Errors
/// Those of reading.
pub fn interpreted_size_in(file: &File) -> io::Result<u64> {
    let (mut code, mut data) = (0, 0);
    for header in headers(file) {
        match header? {
            Header { id: CODE, size, .. } => code = size,
            Header { id: DATA, size, .. } => data = size,
            _ => {}
        }
    }
    Ok(interpreted(file.metadata()?.len(), code, data))
}

/// More than [`interpreted_size`] of any module with so many bytes.
pub fn most_interpreted_size(bytes: u64) -> u64 {
    bytes.saturating_mul(IN_MEMORY + 2)
}

fn interpreted(length: u64, code: u64, data: u64) -> u64 {
    length.saturating_add(data).saturating_add(code.saturating_mul(IN_MEMORY))
}

/// [`initial_memory`] of the module in `file`; 0 where its memories are not behind the first [`HEADERS`].
///
/// # Errors
/// Those of reading.
pub fn initial_memory_in(file: &File) -> io::Result<u64> {
    let mut start = vec![0; START];
    let length = file.read_at(&mut start, 0)?;
    start.truncate(length);
    if sections(&start).any(|(id, _)| id == MEMORY) {
        return Ok(initial_memory(&start));
    }
    for header in headers(file) {
        let Header { id, at, length, size } = header?;
        if id == MEMORY && size <= MOST_MEMORIES {
            let mut module = b"\0asm\x01\0\0\0".to_vec();
            module.resize(module.len() + (length + size) as usize, 0);
            file.read_exact_at(&mut module[8..], at)?;
            return Ok(initial_memory(&module));
        }
    }
    Ok(0)
}

/// The header of a section.
struct Header {
    id: u8,
    /// Where it is.
    at: u64,
    /// Its own length, and that of what is behind it.
    length: u64,
    size: u64,
}

/// Those of the module in `file`, up to where they can be followed.
fn headers(file: &File) -> impl Iterator<Item = io::Result<Header>> {
    let mut at = 8;
    let next = move || {
        let mut bytes = [0; 6];
        let count = match file.read_at(&mut bytes, at) {
            Ok(count) => count,
            Err(error) => return Some(Err(error)),
        };
        let (id, rest) = bytes[..count].split_first()?;
        let (size, behind) = leb128(rest)?;
        let header = Header { id: *id, at, length: (count - behind.len()) as u64, size: size as u64 };
        at += header.length + header.size;
        Some(Ok(header))
    };
    std::iter::from_fn(next).take(HEADERS)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: u64 = 65_536;

    fn module(types: usize, code: usize, data: usize) -> Vec<u8> {
        let section = |id: u8, size: usize| {
            let size_bytes = [size as u8 | 0x80, (size >> 7) as u8 | 0x80, (size >> 14) as u8 & 0x7f];
            [&[id][..], &size_bytes, &vec![0; size]].concat()
        };
        let memories = vec![MEMORY, 3, 1, 0, 9];
        [b"\0asm\x01\0\0\0".to_vec(), section(1, types), memories, section(CODE, code), section(DATA, data)].concat()
    }

    fn written(module: &[u8]) -> File {
        let file = tempfile::tempfile().unwrap();
        file.write_all_at(module, 0).unwrap();
        file
    }

    #[test]
    fn what_interpreting_takes_is_told_by_the_code_and_bounded_by_the_length() {
        for (code, data) in [(100, 0), (0, 100), (3000, 20_000)] {
            let module = module(50, code, data);
            let expected = (module.len() + data + 32 * code) as u64;
            assert_eq!(interpreted_size(&module), expected);
            assert_eq!(interpreted_size_in(&written(&module)).unwrap(), expected);
            assert!(expected < most_interpreted_size(module.len() as u64));
        }
    }

    #[test]
    fn memories_are_found_near_the_start_and_far_behind() {
        for types in [50, 2 * START] {
            let whole = module(types, 100, 100);
            assert_eq!(initial_memory(&whole), 9 * PAGE);
            assert_eq!(initial_memory_in(&written(&whole)).unwrap(), 9 * PAGE);
        }
    }

    #[test]
    fn what_is_cut_short_has_no_memories_and_no_end_is_missed() {
        let whole = module(50, 100, 100);
        for length in 0..whole.len() {
            let file = written(&whole[..length]);
            let initial = initial_memory_in(&file);
            assert!(initial.is_err() || [0, 9 * PAGE].contains(&initial.unwrap()), "{length}");
            assert!(interpreted_size_in(&file).unwrap() <= most_interpreted_size(whole.len() as u64));
        }
    }
}
