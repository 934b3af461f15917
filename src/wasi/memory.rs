//! The guest's memory, and what is read from it and written to it: nothing that a guest says about it is believed.

use rustix::io::Errno;
use smallvec::SmallVec;

/// A guest's linear memory.
pub trait Memory {
    /// All of it, as it is now: it neither grows nor moves while a function of WASI runs.
    fn bytes(&mut self) -> &mut [u8];
}

impl Memory for Vec<u8> {
    fn bytes(&mut self) -> &mut [u8] {
        self
    }
}

impl Memory for [u8] {
    fn bytes(&mut self) -> &mut [u8] {
        self
    }
}

/// Most pieces of memory that the kernel reads to or writes from in one call (`UIO_MAXIOV`, readv(2)). Of more, the first
/// are taken: short reads and writes of a stream are every caller's to expect.
pub const MOST_PIECES: u32 = 1024;

/// Pieces of guest memory, as readv(2) and writev(2) take them. They may overlap, so there are no references to them.
pub type Pieces = SmallVec<[libc::iovec; 8]>;

/// The guest's memory by the guest's addresses. What lies outside is `EFAULT`.
pub struct Guest<'a>(&'a mut [u8]);

impl<'a> Guest<'a> {
    /// Of this memory.
    pub fn new(memory: &'a mut (impl Memory + ?Sized)) -> Self {
        // An address has 32 bits. One that was checked can be counted on from then: no sum of it and a field's offset overflows.
        let bytes = memory.bytes();
        let reached = bytes.len().min(1 << 32);
        Self(&mut bytes[..reached])
    }

    /// The bytes from `address` on.
    pub fn slice(&self, address: u32, length: u32) -> Result<&[u8], Errno> {
        let begin = address as usize;
        self.0.get(begin..begin.checked_add(length as usize).ok_or(Errno::FAULT)?).ok_or(Errno::FAULT)
    }

    /// The bytes from `address` on, to be written to.
    pub fn slice_mut(&mut self, address: u32, length: u32) -> Result<&mut [u8], Errno> {
        let begin = address as usize;
        self.0.get_mut(begin..begin.checked_add(length as usize).ok_or(Errno::FAULT)?).ok_or(Errno::FAULT)
    }

    fn array<const N: usize>(&self, address: u32) -> Result<[u8; N], Errno> {
        let bytes = self.0.get(address as usize..).and_then(<[u8]>::first_chunk);
        bytes.copied().ok_or(Errno::FAULT)
    }

    /// A byte.
    pub fn u8(&self, address: u32) -> Result<u8, Errno> {
        self.array(address).map(u8::from_le_bytes)
    }

    /// 16 bits. WebAssembly is little-endian, and no address needs to be aligned.
    pub fn u16(&self, address: u32) -> Result<u16, Errno> {
        self.array(address).map(u16::from_le_bytes)
    }

    /// 32 bits.
    pub fn u32(&self, address: u32) -> Result<u32, Errno> {
        self.array(address).map(u32::from_le_bytes)
    }

    /// 64 bits.
    pub fn u64(&self, address: u32) -> Result<u64, Errno> {
        self.array(address).map(u64::from_le_bytes)
    }

    /// Writes bytes to `address`.
    pub fn write(&mut self, address: u32, bytes: &[u8]) -> Result<(), Errno> {
        let length = u32::try_from(bytes.len()).map_err(|_| Errno::FAULT)?;
        self.slice_mut(address, length)?.copy_from_slice(bytes);
        Ok(())
    }

    /// Writes 32 bits.
    pub fn write_u32(&mut self, address: u32, value: u32) -> Result<(), Errno> {
        self.write(address, &value.to_le_bytes())
    }

    /// Writes 64 bits.
    pub fn write_u64(&mut self, address: u32, value: u64) -> Result<(), Errno> {
        self.write(address, &value.to_le_bytes())
    }

    /// Whether there is room for `length` bytes at `address`: what was done cannot be told where there is none, so it is
    /// asked before.
    pub fn check(&self, address: u32, length: u32) -> Result<(), Errno> {
        self.slice(address, length).map(drop)
    }

    /// The pieces that a list of addresses and lengths names (WASI's `iovec` and `ciovec`).
    pub fn pieces(&mut self, list: u32, count: u32) -> Result<Pieces, Errno> {
        self.check(list, count.checked_mul(8).ok_or(Errno::FAULT)?)?;
        let mut pieces = Pieces::new();
        for index in 0..count.min(MOST_PIECES) {
            let entry = list + index * 8;
            let (address, length) = (self.u32(entry)?, self.u32(entry + 4)?);
            self.check(address, length)?;
            pieces.push(libc::iovec {
                iov_base: std::ptr::without_provenance_mut(address as usize),
                iov_len: length as usize,
            });
        }
        // Nothing is read through a reference from here on.
        let begin = self.0.as_mut_ptr();
        for piece in &mut pieces {
            // SAFETY: checked to be within the memory.
            piece.iov_base = unsafe { begin.add(piece.iov_base.addr()) }.cast();
        }
        Ok(pieces)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_lies_outside_is_no_memory_however_it_is_said() {
        let mut bytes = vec![0; 16];
        let mut guest = Guest::new(&mut bytes);
        assert_eq!(guest.slice(16, 0), Ok(&[][..]));
        for (address, length) in [(17, 0), (16, 1), (0, 17), (u32::MAX, 1), (u32::MAX, u32::MAX), (8, u32::MAX)] {
            assert_eq!(guest.slice(address, length), Err(Errno::FAULT), "{address} {length}");
            assert_eq!(guest.slice_mut(address, length), Err(Errno::FAULT), "{address} {length}");
        }
        assert_eq!((guest.u32(12), guest.u32(13)), (Ok(0), Err(Errno::FAULT)));
        assert_eq!((guest.u64(8), guest.u64(9)), (Ok(0), Err(Errno::FAULT)));
        assert_eq!(guest.write(13, b"four"), Err(Errno::FAULT));
    }

    #[test]
    fn a_piece_that_lies_outside_makes_the_list_no_list() {
        let mut bytes = vec![0; 32];
        bytes[0..8].copy_from_slice(&[16, 0, 0, 0, 16, 0, 0, 0]);
        bytes[8..16].copy_from_slice(&[17, 0, 0, 0, 16, 0, 0, 0]);
        let mut guest = Guest::new(&mut bytes);
        assert_eq!(guest.pieces(0, 1).unwrap()[0].iov_len, 16);
        assert_eq!(guest.pieces(0, 2).unwrap_err(), Errno::FAULT);
        assert_eq!(guest.pieces(28, 1).unwrap_err(), Errno::FAULT);
        assert_eq!(guest.pieces(0, u32::MAX).unwrap_err(), Errno::FAULT);
        assert!(guest.pieces(32, 0).unwrap().is_empty());
    }

    #[test]
    fn of_too_many_pieces_the_first_are_taken() {
        let mut bytes = vec![0; 8 * 2000];
        assert_eq!(Guest::new(&mut bytes).pieces(0, 2000).unwrap().len(), 1024);
    }
}
