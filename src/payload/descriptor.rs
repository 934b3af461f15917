//! Where in the program's file its payload is.

use std::{
    fs::File,
    io::{Read, Seek, SeekFrom},
    path::Path,
    ptr::read_volatile,
};

use sha2::{Digest, Sha256};

use crate::{Error, Manifest, Result, error::failed};

/// What the descriptor begins with in the program's file, where it is there once.
pub const MAGIC: [u8; 16] = *b"\x7fWASMEDGE-ENGINE";

/// This program's file.
const OWN: &str = "/proc/self/exe";

/// Most bytes of a manifest.
const MOST: u64 = 1 << 20;

/// What the packer writes into the program: it is mapped with the program, so that to look at it costs nothing. Numbers are
/// little-endian.
#[repr(C)]
pub struct Descriptor {
    /// [`MAGIC`].
    pub magic: [u8; 16],
    /// Where the manifest begins in the file, 0 for no payload.
    pub offset: [u8; 8],
    /// The length of the manifest. The compressed part is behind it.
    pub manifest: [u8; 8],
    /// The length of the compressed part.
    pub compressed: [u8; 8],
    /// The SHA-256 of the manifest, which has those of the files.
    pub digest: [u8; 32],
}

#[used]
static DESCRIPTOR: Descriptor =
    Descriptor { magic: MAGIC, offset: [0; 8], manifest: [0; 8], compressed: [0; 8], digest: [0; 32] };

/// A payload in a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Payload {
    /// Where its manifest begins.
    pub offset: u64,
    /// The length of the manifest.
    pub manifest: u64,
    /// The length of the compressed part.
    pub compressed: u64,
    /// The SHA-256 of the manifest.
    pub digest: [u8; 32],
}

impl Payload {
    /// This program's own, if it was packed.
    pub fn own() -> Option<Self> {
        // SAFETY: it is there; the compiler is not to believe what it sees, as the packer writes other bytes.
        let Descriptor { offset, manifest, compressed, digest, .. } = unsafe { read_volatile(&raw const DESCRIPTOR) };
        let [offset, manifest, compressed] = [offset, manifest, compressed].map(u64::from_le_bytes);
        (offset != 0).then_some(Self { offset, manifest, compressed, digest })
    }

    /// A name for it: 32 hexadecimal digits.
    pub fn name(&self) -> String {
        self.digest[..16].iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// This program's file: the one that runs, whatever is in its place now.
    ///
    /// # Errors
    /// Of open(2).
    pub fn file(&self) -> Result<File> {
        File::open(OWN).map_err(failed("open", Path::new(OWN)))
    }

    /// The manifest, and the compressed part, from the file that has this payload.
    ///
    /// # Errors
    /// The file cannot be read, or is not what was packed.
    pub fn open(&self, mut file: File) -> Result<(Manifest, impl Read + use<>)> {
        let damaged = || Error::Damaged("its payload is not what was packed".to_owned());
        let mut bytes = Vec::new();
        let length = self.manifest.min(MOST);
        file.seek(SeekFrom::Start(self.offset))
            .and_then(|_| file.by_ref().take(length).read_to_end(&mut bytes))
            .map_err(failed("read", Path::new(OWN)))?;
        if Sha256::digest(&bytes)[..] != self.digest {
            return Err(damaged());
        }
        let manifest = postcard::from_bytes(&bytes).map_err(|_| damaged())?;
        Ok((manifest, file.take(self.compressed)))
    }
}
