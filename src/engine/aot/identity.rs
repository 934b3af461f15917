//! What native code depends on beside the module: the engine that compiled it and links it, and the processor.

use std::{ffi::CStr, sync::OnceLock};

use sha2::{Digest, Sha256};

use crate::wasm;

/// Changes whenever this program asks the compiler for something else, or seals otherwise.
const FORMAT: &str = "2";

/// Lines of `/proc/cpuinfo` that tell which instructions there are; the compiler uses what it finds.
const PROCESSOR: [&str; 10] = [
    "vendor_id",
    "cpu family",
    "model",
    "stepping",
    "flags",
    "CPU implementer",
    "CPU architecture",
    "CPU variant",
    "CPU part",
    "Features",
];

/// Libraries that compile and run the code.
const LIBRARIES: [&str; 2] = ["libwasmedge", "libLLVM"];

/// A note that the linker leaves in each program and library (`NT_GNU_BUILD_ID`, elf(5)).
const BUILD_ID: u32 = 3;

/// Finds it out once, so that every fork of this process knows.
pub fn warm_up() {
    engine();
}

/// A name for this engine on this processor: 16 hexadecimal digits.
pub fn engine() -> &'static str {
    static ENGINE: OnceLock<String> = OnceLock::new();
    ENGINE.get_or_init(|| {
        let cpuinfo = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let mut hash = Sha256::new();
        for part in [FORMAT, env!("CARGO_PKG_VERSION"), &wasm::version(), &processor(&cpuinfo)] {
            hash.update(part.as_bytes());
            hash.update([0]);
        }
        hash.update(build_ids());
        hex(&hash.finalize()[..8])
    })
}

/// `bytes` in hexadecimal digits.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn processor(cpuinfo: &str) -> String {
    let first = cpuinfo.split("\n\n").next().unwrap_or_default();
    let tells = |line: &&str| line.split_once(':').is_some_and(|(key, _)| PROCESSOR.contains(&key.trim()));
    first.lines().filter(tells).collect::<Vec<_>>().join("\n")
}

/// The build ids of the loaded [`LIBRARIES`].
fn build_ids() -> Vec<u8> {
    unsafe extern "C" fn look(info: *mut libc::dl_phdr_info, _: libc::size_t, found: *mut libc::c_void) -> libc::c_int {
        // SAFETY: the loader passes a valid description, whose headers and name live as long as the library; `found`
        // is the vector below.
        unsafe {
            let (info, found) = (&*info, &mut *found.cast::<Vec<u8>>());
            let name = if info.dlpi_name.is_null() { c"" } else { CStr::from_ptr(info.dlpi_name) };
            let name = name.to_string_lossy();
            if LIBRARIES.iter().any(|library| name.contains(library)) {
                let headers = std::slice::from_raw_parts(info.dlpi_phdr, info.dlpi_phnum.into());
                for header in headers.iter().filter(|header| header.p_type == libc::PT_NOTE) {
                    let start = (info.dlpi_addr + header.p_vaddr) as *const u8;
                    let notes = std::slice::from_raw_parts(start, header.p_memsz as usize);
                    found.extend(build_id(notes).unwrap_or_default());
                }
            }
        }
        0
    }
    let mut found = Vec::<u8>::new();
    // SAFETY: calls `look` with the vector, which outlives the call.
    unsafe { libc::dl_iterate_phdr(Some(look), (&raw mut found).cast()) };
    found
}

/// The build id among ELF notes: each a header of three numbers, a name and a description, padded to four bytes.
pub fn build_id(notes: &[u8]) -> Option<&[u8]> {
    let number = |at: usize| Some(u32::from_ne_bytes(notes.get(at..at + 4)?.try_into().ok()?));
    let mut at = 0;
    loop {
        let (name, description, kind) = (number(at)? as usize, number(at + 4)? as usize, number(at + 8)?);
        let begin = at + 12 + name.next_multiple_of(4);
        if kind == BUILD_ID {
            return notes.get(begin..begin + description);
        }
        at = begin + description.next_multiple_of(4);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_processor_is_told_by_what_it_can_do_and_not_by_how_fast_it_is_now() {
        let cpuinfo = |mhz: &str, flags: &str| {
            format!("processor\t: 0\nmodel\t\t: 6\ncpu MHz\t\t: {mhz}\nflags\t\t: {flags}\n\nprocessor\t: 1\n")
        };
        assert_eq!(processor(&cpuinfo("2000", "avx")), processor(&cpuinfo("3000", "avx")));
        assert_ne!(processor(&cpuinfo("2000", "avx")), processor(&cpuinfo("2000", "avx avx2")));
    }

    #[test]
    fn the_libraries_have_build_ids() {
        assert!(build_ids().len() >= 20, "{:?}", build_ids());
        assert_eq!(engine().len(), 16);
    }

    #[test]
    fn a_build_id_is_found_behind_other_notes() {
        let note = |kind: u32, description: &[u8]| {
            let mut note = [4_u32, description.len() as u32, kind].map(u32::to_ne_bytes).concat();
            note.extend(b"GNU\0");
            note.extend(description);
            note.resize(note.len().next_multiple_of(4), 0);
            note
        };
        let notes = [note(5, b"other"), note(BUILD_ID, b"abcdef")].concat();
        assert_eq!(build_id(&notes), Some(&b"abcdef"[..]));
        assert_eq!(build_id(&notes[..20]), None);
    }
}
