//! The functions by their names.

use super::{Outcome, descriptors, files, names, paths, poll, process, sockets};
use crate::{Wasi, memory::Guest};

/// The type of a parameter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Type {
    /// `i32`.
    I32,
    /// `i64`.
    I64,
}

/// A function that a guest can import.
pub struct Function {
    /// Its name.
    pub name: &'static str,
    /// Its parameters.
    pub params: &'static [Type],
    /// Whether it returns an `errno`, an `i32`. What does not return at all has none.
    pub returns: bool,
    pub(super) run: fn(&mut Wasi, &mut Guest<'_>, &[u64]) -> Outcome,
}

impl std::fmt::Debug for Function {
    fn fmt(&self, to: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(to, "{}{:?}", self.name, self.params)
    }
}

/// An argument, as it lies in 64 bits.
trait Argument {
    fn of(bits: Option<&u64>) -> Self;
}

impl Argument for u32 {
    fn of(bits: Option<&u64>) -> Self {
        // The upper half is nobody's.
        bits.map_or(0, |bits| *bits as u32)
    }
}

impl Argument for u64 {
    fn of(bits: Option<&u64>) -> Self {
        bits.map_or(0, |bits| *bits)
    }
}

macro_rules! of_type {
    (i32) => {
        Type::I32
    };
    (i64) => {
        Type::I64
    };
    (value i32) => {
        u32
    };
    (value i64) => {
        u64
    };
}

/// What does not return at all is marked so.
macro_rules! returns {
    () => {
        true
    };
    (never) => {
        false
    };
}

macro_rules! functions {
    ($($($never:ident)? $name:literal ($($type:ident)*) $function:path;)*) => {
        [$(Function {
            name: $name,
            params: &[$(of_type!($type)),*],
            returns: returns!($($never)?),
            run: |wasi, guest, args| {
                // A function without parameters takes none.
                #[allow(unused_mut, unused_variables)]
                let mut args = args.iter();
                $function(wasi, guest, $(<of_type!(value $type) as Argument>::of(args.next())),*)
            },
        }),*]
    };
}

/// All functions of preview 1 and WasmEdge's. Some names are there twice, with different parameters.
pub static FUNCTIONS: [Function; 61] = functions! {
        "args_get" (i32 i32) process::args_get;
        "args_sizes_get" (i32 i32) process::args_sizes_get;
        "environ_get" (i32 i32) process::environ_get;
        "environ_sizes_get" (i32 i32) process::environ_sizes_get;
        "clock_res_get" (i32 i32) process::clock_res_get;
        "clock_time_get" (i32 i64 i32) process::clock_time_get;
        "fd_advise" (i32 i64 i64 i32) descriptors::fd_advise;
        "fd_allocate" (i32 i64 i64) descriptors::fd_allocate;
        "fd_close" (i32) descriptors::fd_close;
        "fd_datasync" (i32) descriptors::fd_datasync;
        "fd_fdstat_get" (i32 i32) descriptors::fd_fdstat_get;
        "fd_fdstat_set_flags" (i32 i32) descriptors::fd_fdstat_set_flags;
        "fd_fdstat_set_rights" (i32 i64 i64) descriptors::fd_fdstat_set_rights;
        "fd_filestat_get" (i32 i32) descriptors::fd_filestat_get;
        "fd_filestat_set_size" (i32 i64) descriptors::fd_filestat_set_size;
        "fd_filestat_set_times" (i32 i64 i64 i32) descriptors::fd_filestat_set_times;
        "fd_pread" (i32 i32 i32 i64 i32) files::fd_pread;
        "fd_prestat_get" (i32 i32) descriptors::fd_prestat_get;
        "fd_prestat_dir_name" (i32 i32 i32) descriptors::fd_prestat_dir_name;
        "fd_pwrite" (i32 i32 i32 i64 i32) files::fd_pwrite;
        "fd_read" (i32 i32 i32 i32) files::fd_read;
        "fd_readdir" (i32 i32 i32 i64 i32) files::fd_readdir;
        "fd_renumber" (i32 i32) descriptors::fd_renumber;
        "fd_seek" (i32 i64 i32 i32) files::fd_seek;
        "fd_sync" (i32) descriptors::fd_sync;
        "fd_tell" (i32 i32) files::fd_tell;
        "fd_write" (i32 i32 i32 i32) files::fd_write;
        "path_create_directory" (i32 i32 i32) paths::path_create_directory;
        "path_filestat_get" (i32 i32 i32 i32 i32) paths::path_filestat_get;
        "path_filestat_set_times" (i32 i32 i32 i32 i64 i64 i32) paths::path_filestat_set_times;
        "path_link" (i32 i32 i32 i32 i32 i32 i32) paths::path_link;
        "path_open" (i32 i32 i32 i32 i32 i64 i64 i32 i32) paths::path_open;
        "path_readlink" (i32 i32 i32 i32 i32 i32) paths::path_readlink;
        "path_remove_directory" (i32 i32 i32) paths::path_remove_directory;
        "path_rename" (i32 i32 i32 i32 i32 i32) paths::path_rename;
        "path_symlink" (i32 i32 i32 i32 i32) paths::path_symlink;
        "path_unlink_file" (i32 i32 i32) paths::path_unlink_file;
        "poll_oneoff" (i32 i32 i32 i32) poll::poll_oneoff;
        never "proc_exit" (i32) process::proc_exit;
        "proc_raise" (i32) process::proc_raise;
        "random_get" (i32 i32) process::random_get;
        "sched_yield" () process::sched_yield;
        "sock_accept" (i32 i32 i32) sockets::sock_accept;
        "sock_recv" (i32 i32 i32 i32 i32 i32) sockets::sock_recv;
        "sock_send" (i32 i32 i32 i32 i32) sockets::sock_send;
        "sock_shutdown" (i32 i32) sockets::sock_shutdown;
        "sock_accept" (i32 i32) sockets::sock_accept_v1;
        "sock_bind" (i32 i32 i32) sockets::sock_bind;
        "sock_connect" (i32 i32 i32) sockets::sock_connect;
        "sock_getaddrinfo" (i32 i32 i32 i32 i32 i32 i32 i32) names::sock_getaddrinfo;
        "sock_getlocaladdr" (i32 i32 i32) sockets::sock_getlocaladdr;
        "sock_getlocaladdr" (i32 i32 i32 i32) sockets::sock_getlocaladdr_v1;
        "sock_getpeeraddr" (i32 i32 i32) sockets::sock_getpeeraddr;
        "sock_getpeeraddr" (i32 i32 i32 i32) sockets::sock_getpeeraddr_v1;
        "sock_getsockopt" (i32 i32 i32 i32 i32) sockets::sock_getsockopt;
        "sock_listen" (i32 i32) sockets::sock_listen;
        "sock_open" (i32 i32 i32) sockets::sock_open;
        "sock_recv_from" (i32 i32 i32 i32 i32 i32 i32 i32) sockets::sock_recv_from;
        "sock_recv_from" (i32 i32 i32 i32 i32 i32 i32) sockets::sock_recv_from_v1;
        "sock_send_to" (i32 i32 i32 i32 i32 i32 i32) sockets::sock_send_to;
        "sock_setsockopt" (i32 i32 i32 i32 i32) sockets::sock_setsockopt;
};

/// Those of `wasi_unstable` that are not the same there.
static UNSTABLE: [Function; 4] = functions! {
    "fd_filestat_get" (i32 i32) descriptors::fd_filestat_get_unstable;
    "fd_seek" (i32 i64 i32 i32) files::fd_seek_unstable;
    "path_filestat_get" (i32 i32 i32 i32 i32) paths::path_filestat_get_unstable;
    "poll_oneoff" (i32 i32 i32 i32) poll::poll_oneoff_unstable;
};

/// The one that a module gets which imports this name with these parameters and this result from one of `wasi_unstable` and
/// `wasi_snapshot_preview1`.
pub fn find(module: &str, name: &str, params: &[Type], returns: bool) -> Option<&'static Function> {
    let unstable: &[Function] = match module {
        "wasi_unstable" => &UNSTABLE,
        "wasi_snapshot_preview1" => &[],
        _ => return None,
    };
    let is_it =
        |function: &&Function| function.name == name && function.params == params && function.returns == returns;
    unstable.iter().chain(&FUNCTIONS).find(is_it)
}

/// Whether there is a function of this name at all.
pub fn has(module: &str, name: &str) -> bool {
    matches!(module, "wasi_unstable" | "wasi_snapshot_preview1") && FUNCTIONS.iter().any(|one| one.name == name)
}
