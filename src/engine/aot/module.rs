//! The bytes of a module that is to be compiled, which whoever compiles it reads, and nobody else.

use std::{
    fs::File,
    io::{self, Read, Seek},
    os::fd::{AsRawFd, RawFd},
};

/// Where they are.
#[derive(Debug, Clone, Copy)]
pub enum Module<'a> {
    /// In a file, from its start.
    File(&'a File),
    /// Here.
    Bytes(&'a [u8]),
}

impl Module<'_> {
    /// How many there are.
    pub fn size(self) -> io::Result<u64> {
        match self {
            Self::File(file) => Ok(file.metadata()?.len()),
            Self::Bytes(bytes) => Ok(bytes.len() as u64),
        }
    }

    /// All of them.
    ///
    /// # Errors
    /// Also where there are more than `most`.
    pub fn read(self, most: u64) -> io::Result<Vec<u8>> {
        let too_large = || io::Error::other(format!("it is larger than {} MiB", most >> 20));
        if self.size()? > most {
            return Err(too_large());
        }
        match self {
            Self::File(mut file) => {
                let mut bytes = Vec::new();
                file.rewind()?;
                // It may grow meanwhile.
                file.take(most + 1).read_to_end(&mut bytes)?;
                if bytes.len() as u64 > most { Err(too_large()) } else { Ok(bytes) }
            }
            Self::Bytes(bytes) => Ok(bytes.to_vec()),
        }
    }

    /// The descriptor that [`Self::read`] needs.
    pub fn descriptor(self) -> Option<RawFd> {
        match self {
            Self::File(file) => Some(file.as_raw_fd()),
            Self::Bytes(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn a_module_is_read_whole_or_not_at_all() {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(b"12345").unwrap();
        for module in [Module::File(&file), Module::Bytes(b"12345")] {
            assert_eq!(module.read(5).unwrap(), b"12345");
            assert_eq!(module.read(4).unwrap_err().to_string(), "it is larger than 0 MiB");
        }
        // It takes no time to find out.
        file.set_len(1 << 40).unwrap();
        assert!(Module::File(&file).read(1 << 30).is_err());
    }
}
