//! Files whose end tells whether they are whole, and what they are: content, SHA-256 of content and name, length of the
//! content, a magic number. The dynamic linker does not look behind what an ELF file's headers name.

use std::{
    fs::File,
    io::{self, Read, Seek, SeekFrom, Write},
};

use sha2::{Digest, Sha256};

const MAGIC: &[u8; 8] = b"WEAOT\x00\x00\x01";
/// Bytes behind the content.
pub const SEAL: u64 = 32 + 8 + 8;

/// Writes `content`, from where it stands, and the seal of `name`.
pub fn write(content: &mut impl Read, name: &str, file: &mut File) -> io::Result<()> {
    let mut hash = Sha256::new();
    let mut length = 0_u64;
    let mut buffer = vec![0; 256 * 1024];
    loop {
        let count = content.read(&mut buffer)?;
        if count == 0 {
            break;
        }
        file.write_all(&buffer[..count])?;
        hash.update(&buffer[..count]);
        length += count as u64;
    }
    hash.update(name.as_bytes());
    file.write_all(&hash.finalize())?;
    file.write_all(&length.to_le_bytes())?;
    file.write_all(MAGIC)
}

/// Whether `file` is what [`write`] wrote for `name`.
///
/// # Errors
/// `InvalidData` where it is not.
pub fn check(file: &mut File, name: &str) -> io::Result<()> {
    let bad = |what: &str| io::Error::new(io::ErrorKind::InvalidData, what.to_owned());
    let size = file.metadata()?.len();
    let length = size.checked_sub(SEAL).ok_or_else(|| bad("it is too short"))?;
    let mut seal = [0; SEAL as usize];
    file.seek(SeekFrom::Start(length))?;
    file.read_exact(&mut seal)?;
    let (sum, rest) = seal.split_at(32);
    if &rest[8..] != MAGIC || rest[..8] != length.to_le_bytes() {
        return Err(bad("it is cut short, or no file of this cache"));
    }
    file.rewind()?;
    let mut hash = Sha256::new();
    io::copy(&mut file.take(length), &mut Hasher(&mut hash))?;
    hash.update(name.as_bytes());
    if hash.finalize()[..] != *sum { Err(bad("its checksum is wrong")) } else { Ok(()) }
}

struct Hasher<'a>(&'a mut Sha256);

impl Write for Hasher<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::FileExt;

    use super::*;

    fn sealed(content: &[u8]) -> File {
        let mut file = tempfile::tempfile().unwrap();
        write(&mut &*content, "name", &mut file).unwrap();
        file
    }

    #[test]
    fn a_whole_file_is_good() {
        check(&mut sealed(b"content"), "name").unwrap();
        check(&mut sealed(b""), "name").unwrap();
    }

    #[test]
    fn another_name_a_changed_byte_and_a_missing_one_are_noticed() {
        assert!(check(&mut sealed(b"content"), "other").is_err());
        for at in 0..sealed(b"content").metadata().unwrap().len() {
            let mut file = sealed(b"content");
            let mut byte = [0];
            file.read_exact_at(&mut byte, at).unwrap();
            file.write_all_at(&[byte[0] ^ 1], at).unwrap();
            assert!(check(&mut file, "name").is_err(), "byte {at}");
            file = sealed(b"content");
            file.set_len(at).unwrap();
            assert!(check(&mut file, "name").is_err(), "cut at {at}");
        }
    }
}
