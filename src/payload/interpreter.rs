//! The path of the dynamic linker in the engine's file.
//!
//! The kernel takes it from where `PT_INTERP` says (elf(5)), and it must be absolute: nobody knows it before the engine is
//! unpacked. So the packer makes room for it at the end of the file.

use std::{io, os::unix::ffi::OsStrExt, path::Path};

/// The bytes at the end of the engine's file that hold the path (`PATH_MAX`, the most that the kernel reads).
pub const ROOM: u64 = 4096;

/// What those bytes are for this path. The last one is zero, as execve(2) demands.
pub fn bytes(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = path.as_os_str().as_bytes().to_vec();
    if bytes.len() as u64 >= ROOM {
        return Err(io::Error::new(io::ErrorKind::InvalidFilename, "the path is too long"));
    }
    bytes.resize(ROOM as usize, 0);
    Ok(bytes)
}
