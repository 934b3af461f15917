//! The engine's file: room for the path of its dynamic linker.
//!
//! The kernel reads that path from the offset that `PT_INTERP` has (elf(5), `load_elf_binary`); the dynamic linker reads its own
//! name from the address that it has, which stays as it is.

use anyhow::{Context, Result, ensure};
use wasmedge_shim_payload::ROOM;

/// Where the fields of an ELF header of 64 bits are that are needed here: the offset of the program headers, their size and
/// their number.
const HEADERS: (usize, usize, usize) = (32, 54, 56);

/// Program header of the dynamic linker's path.
const PT_INTERP: u32 = 3;

/// Lets the path be read from [`ROOM`] bytes at the end, which are zero.
pub fn make_room_for_linker(engine: &mut Vec<u8>) -> Result<()> {
    ensure!(engine.starts_with(b"\x7fELF\x02\x01"), "it is no ELF file of 64 bits");
    let short = |at: usize| Some(u16::from_le_bytes(engine.get(at..at + 2)?.try_into().ok()?) as usize);
    let offset = engine.get(HEADERS.0..HEADERS.0 + 8).context("it is cut short")?;
    let offset = u64::from_le_bytes(offset.try_into()?) as usize;
    let (size, count) = short(HEADERS.1).zip(short(HEADERS.2)).context("it is cut short")?;
    let kind = |at: usize| engine.get(at..at + 4) == Some(&PT_INTERP.to_le_bytes()[..]);
    let header = (0..count).map(|index| offset + index * size).find(|at| kind(*at)).context("it names no linker")?;
    let end = (engine.len() as u64).next_multiple_of(ROOM);
    engine.resize((end + ROOM) as usize, 0);
    // `p_offset` and `p_filesz`.
    engine[header + 8..header + 16].copy_from_slice(&end.to_le_bytes());
    engine[header + 32..header + 40].copy_from_slice(&ROOM.to_le_bytes());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_path_is_read_from_the_end() {
        let mut engine = std::fs::read("/proc/self/exe").unwrap();
        let before = engine.len();
        make_room_for_linker(&mut engine).unwrap();
        assert!(engine.len() >= before + ROOM as usize && engine[before..].iter().all(|byte| *byte == 0));
        let path = (engine.len() - ROOM as usize) as u64;
        let number = |at: usize| u64::from_le_bytes(engine[at..at + 8].try_into().unwrap());
        let headers = number(32) as usize;
        let header =
            (0..64).map(|index| headers + 56 * index).find(|at| engine[*at..*at + 4] == 3_u32.to_le_bytes()).unwrap();
        assert_eq!((number(header + 8), number(header + 32)), (path, ROOM));
    }

    #[test]
    fn what_names_no_linker_is_refused() {
        for (bytes, cause) in [
            (&b"text"[..], "no ELF"),
            (b"\x7fELF\x02\x01", "cut short"),
            (&[b"\x7fELF\x02\x01", &[0; 58][..]].concat(), "no linker"),
        ] {
            let error = make_room_for_linker(&mut bytes.to_vec()).unwrap_err().to_string();
            assert!(error.contains(cause), "{error}");
        }
    }
}
