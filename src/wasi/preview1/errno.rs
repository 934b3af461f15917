//! WASI's error numbers, which are its own.

use rustix::io::Errno as KernelErrno;

/// An error number of WASI (`errno` in witx).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Errno(pub u16);

impl Errno {
    /// Success.
    pub const SUCCESS: Self = Self(0);
    /// A right is missing.
    pub const NOTCAPABLE: Self = Self(76);
}

/// What there is for the kernel's errors. What WASI has no name for is an I/O error.
const OF_KERNEL: [(KernelErrno, u16); 75] = [
    (KernelErrno::TOOBIG, 1),
    (KernelErrno::ACCESS, 2),
    (KernelErrno::ADDRINUSE, 3),
    (KernelErrno::ADDRNOTAVAIL, 4),
    (KernelErrno::AFNOSUPPORT, 5),
    (KernelErrno::AGAIN, 6),
    (KernelErrno::ALREADY, 7),
    (KernelErrno::BADF, 8),
    (KernelErrno::BADMSG, 9),
    (KernelErrno::BUSY, 10),
    (KernelErrno::CANCELED, 11),
    (KernelErrno::CHILD, 12),
    (KernelErrno::CONNABORTED, 13),
    (KernelErrno::CONNREFUSED, 14),
    (KernelErrno::CONNRESET, 15),
    (KernelErrno::DEADLK, 16),
    (KernelErrno::DESTADDRREQ, 17),
    (KernelErrno::DOM, 18),
    (KernelErrno::DQUOT, 19),
    (KernelErrno::EXIST, 20),
    (KernelErrno::FAULT, 21),
    (KernelErrno::FBIG, 22),
    (KernelErrno::HOSTUNREACH, 23),
    (KernelErrno::IDRM, 24),
    (KernelErrno::ILSEQ, 25),
    (KernelErrno::INPROGRESS, 26),
    (KernelErrno::INTR, 27),
    (KernelErrno::INVAL, 28),
    (KernelErrno::IO, 29),
    (KernelErrno::ISCONN, 30),
    (KernelErrno::ISDIR, 31),
    (KernelErrno::LOOP, 32),
    (KernelErrno::MFILE, 33),
    (KernelErrno::MLINK, 34),
    (KernelErrno::MSGSIZE, 35),
    (KernelErrno::MULTIHOP, 36),
    (KernelErrno::NAMETOOLONG, 37),
    (KernelErrno::NETDOWN, 38),
    (KernelErrno::NETRESET, 39),
    (KernelErrno::NETUNREACH, 40),
    (KernelErrno::NFILE, 41),
    (KernelErrno::NOBUFS, 42),
    (KernelErrno::NODEV, 43),
    (KernelErrno::NOENT, 44),
    (KernelErrno::NOEXEC, 45),
    (KernelErrno::NOLCK, 46),
    (KernelErrno::NOLINK, 47),
    (KernelErrno::NOMEM, 48),
    (KernelErrno::NOMSG, 49),
    (KernelErrno::NOPROTOOPT, 50),
    (KernelErrno::NOSPC, 51),
    (KernelErrno::NOSYS, 52),
    (KernelErrno::NOTCONN, 53),
    (KernelErrno::NOTDIR, 54),
    (KernelErrno::NOTEMPTY, 55),
    (KernelErrno::NOTRECOVERABLE, 56),
    (KernelErrno::NOTSOCK, 57),
    (KernelErrno::OPNOTSUPP, 58),
    (KernelErrno::NOTTY, 59),
    (KernelErrno::NXIO, 60),
    (KernelErrno::OVERFLOW, 61),
    (KernelErrno::OWNERDEAD, 62),
    (KernelErrno::PERM, 63),
    (KernelErrno::PIPE, 64),
    (KernelErrno::PROTO, 65),
    (KernelErrno::PROTONOSUPPORT, 66),
    (KernelErrno::PROTOTYPE, 67),
    (KernelErrno::RANGE, 68),
    (KernelErrno::ROFS, 69),
    (KernelErrno::SPIPE, 70),
    (KernelErrno::SRCH, 71),
    (KernelErrno::STALE, 72),
    (KernelErrno::TIMEDOUT, 73),
    (KernelErrno::TXTBSY, 74),
    (KernelErrno::XDEV, 75),
];

impl From<KernelErrno> for Errno {
    fn from(errno: KernelErrno) -> Self {
        let found = OF_KERNEL.iter().find(|(kernel, _)| *kernel == errno);
        Self(found.map_or(29, |(_, wasi)| *wasi))
    }
}

/// glibc's, which libc does not name.
const EAI_ADDRFAMILY: i32 = -9;

/// For an `EAI_…` of getaddrinfo(3): WASI has none, these are WasmEdge's.
pub fn of_look_up(code: i32) -> Errno {
    Errno(match code {
        EAI_ADDRFAMILY => 77,
        libc::EAI_AGAIN => 78,
        libc::EAI_BADFLAGS => 79,
        libc::EAI_FAMILY => 81,
        libc::EAI_MEMORY => 82,
        libc::EAI_NODATA => 83,
        libc::EAI_NONAME => 84,
        libc::EAI_SERVICE => 85,
        libc::EAI_SOCKTYPE => 86,
        libc::EAI_SYSTEM => 87,
        _ => 80,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_number_from_1_to_75_stands_for_one_of_the_kernel_s() {
        assert!(OF_KERNEL.iter().map(|(_, wasi)| *wasi).eq(1..=75));
        let mut kernel: Vec<_> = OF_KERNEL.iter().map(|(errno, _)| errno.raw_os_error()).collect();
        kernel.sort_unstable();
        kernel.dedup();
        assert_eq!(kernel.len(), 75);
    }

    #[test]
    fn what_wasi_does_not_know_is_an_io_error() {
        assert_eq!(Errno::from(KernelErrno::MEDIUMTYPE), Errno(29));
        assert_eq!(Errno::from(KernelErrno::NOENT), Errno(44));
        assert_eq!(of_look_up(libc::EAI_NONAME), Errno(84));
        assert_eq!(of_look_up(12345), Errno(80));
    }
}
