//! An address where metrics are.

use std::{
    fs, io,
    net::SocketAddr,
    os::{
        fd::{AsRawFd, OwnedFd},
        unix::fs::{FileTypeExt, MetadataExt},
    },
    path::Path,
};

use anyhow::{Context, Result, ensure};
use nix::sys::{
    socket::{
        AddressFamily, Backlog, SockFlag, SockType, SockaddrIn, SockaddrIn6, UnixAddr, bind, listen, setsockopt,
        socket,
        sockopt::{ReuseAddr, ReusePort},
    },
    stat::{Mode, umask},
};
use wasmedge_shim_protocol::MetricsAddress;

/// Connections that wait.
const BACKLOG: i32 = 16;

/// A listening socket.
pub struct Endpoint {
    /// Where it listens.
    pub address: MetricsAddress,
    /// The socket, for polling.
    pub socket: OwnedFd,
    /// The file of a unix socket as it was made.
    file: Option<(u64, u64)>,
}

impl Endpoint {
    /// Listens at an address.
    ///
    /// # Errors
    /// Names what is in the way.
    pub fn open(address: &MetricsAddress) -> Result<Self> {
        let (socket, file) = match address {
            MetricsAddress::Unix(path) => open_unix(path)?,
            MetricsAddress::Tcp(address) => {
                let socket = new_socket(if address.is_ipv4() { AddressFamily::Inet } else { AddressFamily::Inet6 })?;
                // Another host of the node may listen there, of another version: any of them answers for all.
                setsockopt(&socket, ReuseAddr, &true)?;
                setsockopt(&socket, ReusePort, &true)?;
                match *address {
                    SocketAddr::V4(address) => bind(socket.as_raw_fd(), &SockaddrIn::from(address))?,
                    SocketAddr::V6(address) => bind(socket.as_raw_fd(), &SockaddrIn6::from(address))?,
                }
                (socket, None)
            }
        };
        listen(&socket, Backlog::new(BACKLOG)?)?;
        Ok(Self { address: address.clone(), socket, file })
    }

    /// Removes the socket's file if it is still this one.
    pub fn withdraw(&self) {
        if let MetricsAddress::Unix(path) = &self.address
            && identity(path).ok() == self.file
        {
            let _ = fs::remove_file(path);
        }
    }
}

/// Makes a socket of root alone, in place of one that is there: that of a host that is gone, or of an older one, whose metrics
/// this one's are as well.
fn open_unix(path: &Path) -> Result<(OwnedFd, Option<(u64, u64)>)> {
    let directory = path.parent().context("it has no directory")?;
    let meta = fs::metadata(directory).with_context(|| directory.display().to_string())?;
    let own = nix::unistd::geteuid().as_raw();
    ensure!(meta.uid() == own && meta.mode() & 0o022 == 0, "others than root can write to {}", directory.display());
    if let Ok(meta) = fs::symlink_metadata(path) {
        ensure!(meta.file_type().is_socket(), "{} is there and is no socket", path.display());
    }
    let mut new = path.as_os_str().to_owned();
    new.push(format!(".{}", std::process::id()));
    let new = Path::new(&new);
    let _ = fs::remove_file(new);
    let socket = new_socket(AddressFamily::Unix)?;
    // For this one call: the process has one thread.
    let before = umask(Mode::from_bits_truncate(0o177));
    let bound = UnixAddr::new(new).and_then(|address| bind(socket.as_raw_fd(), &address));
    umask(before);
    bound?;
    listen(&socket, Backlog::new(BACKLOG)?)?;
    let placed = fs::rename(new, path).and_then(|()| identity(path));
    if placed.is_err() {
        let _ = fs::remove_file(new);
    }
    Ok((socket, Some(placed?)))
}

fn new_socket(family: AddressFamily) -> Result<OwnedFd> {
    Ok(socket(family, SockType::Stream, SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK, None)?)
}

fn identity(path: &Path) -> io::Result<(u64, u64)> {
    fs::symlink_metadata(path).map(|meta| (meta.dev(), meta.ino()))
}
