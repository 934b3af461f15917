//! Addresses of sockets as WasmEdge's functions have them: a record of a pointer and a length, and what lies there. 4 bytes
//! are a host of IPv4, 16 one of IPv6; 128 are a family and its address, which is how AF_UNIX is said.

use rustix::io::Errno;

use crate::{
    memory::Guest,
    system::socket::{Address, LONGEST_PATH},
};

/// `address_family`.
const INET4: u16 = 1;
const INET6: u16 = 2;
const UNIX: u16 = 3;

/// Length of one with its family.
const WITH_FAMILY: u32 = 128;

fn buffer(guest: &Guest<'_>, record: u32) -> Result<(u32, u32), Errno> {
    guest.check(record, 8)?;
    Ok((guest.u32(record)?, guest.u32(record + 4)?))
}

/// Reads the address that a record names.
pub fn read(guest: &Guest<'_>, record: u32, port: u32) -> Result<Address, Errno> {
    let (at, length) = buffer(guest, record)?;
    // Its own type is 16 bits wide, whatever register it came in.
    let port = port as u16;
    let bytes = guest.slice(at, length)?;
    match length {
        4 => v4(bytes, port),
        16 => v6(bytes, port),
        WITH_FAMILY => {
            let address = &bytes[2..];
            match guest.u16(at)? {
                INET4 => v4(address, port),
                INET6 => v6(address, port),
                UNIX => Ok(Address::Unix(path(address).to_vec())),
                _ => Err(Errno::AFNOSUPPORT),
            }
        }
        _ => Err(Errno::INVAL),
    }
}

fn v4(bytes: &[u8], port: u16) -> Result<Address, Errno> {
    bytes.first_chunk().map(|host| Address::V4(*host, port)).ok_or(Errno::INVAL)
}

fn v6(bytes: &[u8], port: u16) -> Result<Address, Errno> {
    bytes.first_chunk().map(|host| Address::V6(*host, port)).ok_or(Errno::INVAL)
}

/// A path ends with a zero; a name without a file begins with one and goes as far as it is given, its last zeros left out.
fn path(bytes: &[u8]) -> &[u8] {
    let bytes = &bytes[..bytes.len().min(LONGEST_PATH)];
    if bytes.first() == Some(&0) {
        let end = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
        return &bytes[..end];
    }
    &bytes[..bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len())]
}

/// Writes an address where a record says that there is room for one; its port.
pub fn write(guest: &mut Guest<'_>, record: u32, address: &Address) -> Result<u16, Errno> {
    let (at, length) = buffer(guest, record)?;
    guest.check(at, length)?;
    let (family, host, port): (u16, &[u8], u16) = match address {
        Address::V4(host, port) => (INET4, host, *port),
        Address::V6(host, port) => (INET6, host, *port),
        Address::Unix(path) => (UNIX, path, 0),
    };
    match length {
        WITH_FAMILY => {
            guest.slice_mut(at, length)?.fill(0);
            guest.write(at, &family.to_le_bytes())?;
            guest.write(at + 2, &host[..host.len().min(LONGEST_PATH)])?;
        }
        4 | 16 if family != UNIX && host.len() <= length as usize => guest.write(at, host)?,
        _ => return Err(Errno::INVAL),
    }
    Ok(port)
}

/// Whether a record has room for an address of any kind, or for one of IPv4 or IPv6.
pub fn check(guest: &Guest<'_>, record: u32, lengths: &[u32]) -> Result<(), Errno> {
    let (at, length) = buffer(guest, record)?;
    guest.check(at, length)?;
    if lengths.contains(&length) { Ok(()) } else { Err(Errno::INVAL) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A record at 0 for what lies at 16.
    fn memory(length: u32, content: &[u8]) -> Vec<u8> {
        let mut memory = vec![0; 256];
        memory[0] = 16;
        memory[4..8].copy_from_slice(&length.to_le_bytes());
        memory[16..16 + content.len()].copy_from_slice(content);
        memory
    }

    fn read_of(length: u32, content: &[u8]) -> Result<Address, Errno> {
        read(&Guest::new(&mut memory(length, content)), 0, 0x1_0050)
    }

    #[test]
    fn an_address_is_what_its_length_says() {
        assert_eq!(read_of(4, &[127, 0, 0, 1]), Ok(Address::V4([127, 0, 0, 1], 80)));
        assert_eq!(read_of(16, &[1; 16]), Ok(Address::V6([1; 16], 80)));
        assert_eq!(read_of(128, &[1, 0, 10, 0, 0, 1]), Ok(Address::V4([10, 0, 0, 1], 80)));
        assert_eq!(read_of(128, &[2, 0, 9]), Ok(Address::V6([9, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0], 80)));
        assert_eq!(read_of(128, b"\x03\0/run/s\0x"), Ok(Address::Unix(b"/run/s".to_vec())));
        assert_eq!(read_of(128, b"\x03\0\0name"), Ok(Address::Unix(b"\0name".to_vec())));
        for (length, content) in [(0, &[][..]), (5, &[]), (127, &[1, 0]), (129, &[1, 0])] {
            assert_eq!(read_of(length, content), Err(Errno::INVAL), "{length}");
        }
        assert_eq!(read_of(128, &[4, 0]), Err(Errno::AFNOSUPPORT));
        assert_eq!(read_of(u32::MAX, &[]), Err(Errno::FAULT));
    }

    #[test]
    fn an_address_is_written_as_it_is_read() {
        for (length, address) in [
            (4, Address::V4([1, 2, 3, 4], 80)),
            (16, Address::V6([7; 16], 80)),
            (128, Address::V4([1, 2, 3, 4], 80)),
            (128, Address::V6([7; 16], 80)),
            (128, Address::Unix(b"/run/s".to_vec())),
            (128, Address::Unix(b"\0name".to_vec())),
            (128, Address::Unix(Vec::new())),
        ] {
            let mut memory = memory(length, &[0xff; 128]);
            let mut guest = Guest::new(&mut memory);
            let port = write(&mut guest, 0, &address).unwrap();
            assert_eq!(read(&guest, 0, port.into()), Ok(address));
        }
        let mut memory = memory(4, &[]);
        assert_eq!(write(&mut Guest::new(&mut memory), 0, &Address::V6([7; 16], 80)), Err(Errno::INVAL));
    }
}
