//! Files whose end tells whether they are whole, and what they are: content, SHA-256 of content, name and owner, the owner,
//! length of the content, a magic number. The dynamic linker does not look behind what an ELF file's headers name.

use std::{
    fs::File,
    io::{self, Read, Seek, SeekFrom, Write},
    os::unix::fs::FileExt,
};

use sha2::{Digest, Sha256};

const MAGIC: &[u8; 8] = b"WEAOT\x00\x00\x02";
/// Bytes behind the content.
pub const SEAL: u64 = 32 + 8 + 8 + 8;

/// To whom a file is charged.
pub type Owner = [u8; 8];

/// Writes `content`, from where it stands, and the seal of `name`, charged to `owner`.
pub fn write(content: &mut impl Read, name: &str, owner: Owner, file: &mut File) -> io::Result<()> {
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
    hash.update(owner);
    file.write_all(&hash.finalize())?;
    file.write_all(&owner)?;
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
    let (owner, rest) = rest.split_at(8);
    if &rest[8..] != MAGIC || rest[..8] != length.to_le_bytes() {
        return Err(bad("it is cut short, or no file of this cache"));
    }
    file.rewind()?;
    let mut hash = Sha256::new();
    io::copy(&mut file.take(length), &mut Hasher(&mut hash))?;
    hash.update(name.as_bytes());
    hash.update(owner);
    if hash.finalize()[..] != *sum { Err(bad("its checksum is wrong")) } else { Ok(()) }
}

/// To whom `file` is charged, whether it is sound or not; `None` where it is too short.
pub fn owner(file: &File) -> Option<Owner> {
    let size = file.metadata().ok()?.len();
    let mut owner = Owner::default();
    file.read_exact_at(&mut owner, size.checked_sub(SEAL - 32)?).ok()?;
    Some(owner)
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
    use super::*;

    const OWNER: Owner = *b"somebody";

    fn sealed(content: &[u8]) -> File {
        let mut file = tempfile::tempfile().unwrap();
        write(&mut &*content, "name", OWNER, &mut file).unwrap();
        file
    }

    #[test]
    fn a_whole_file_is_good() {
        check(&mut sealed(b"content"), "name").unwrap();
        check(&mut sealed(b""), "name").unwrap();
        assert_eq!(owner(&sealed(b"content")), Some(OWNER));
        assert_eq!(owner(&tempfile::tempfile().unwrap()), None);
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
