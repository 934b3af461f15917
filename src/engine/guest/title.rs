//! The name and the command line by which `ps` and `docker top` show a module's process, which no execve has named.

use std::{ffi::CString, fs, io, path::Path, sync::OnceLock};

/// Where the parts of this program's memory are; forks have them at the same places.
static MAP: OnceLock<MemoryMap> = OnceLock::new();

/// Shows `path`'s file name as the process's name, in the 15 bytes that the kernel has for it.
pub fn set_name(path: &Path) {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    if let Ok(name) = CString::new(&*name) {
        // SAFETY: a NUL-terminated string.
        unsafe { libc::prctl(libc::PR_SET_NAME, name.as_ptr()) };
    }
}

/// Remembers what [`set_command_line`] needs to know, for processes that are forked from this one and have no `/proc`.
pub fn prepare() -> io::Result<()> {
    // Set once: a second call would find the same.
    let _ = MAP.set(current_map()?);
    Ok(())
}

/// Shows `args` as the process's command line instead of the host's.
///
/// # Errors
/// Where the kernel was built without `CONFIG_CHECKPOINT_RESTORE` (prctl(2), `PR_SET_MM_MAP`).
pub fn set_command_line(args: &[String]) -> io::Result<()> {
    let mut map = MAP.get().cloned().ok_or(io::ErrorKind::Unsupported)?;
    // SAFETY: asks for the end of the heap.
    map.brk = unsafe { libc::sbrk(0) } as u64;
    let line = args.join("\0").into_bytes();
    // Stays where it is for the life of the process.
    let line: &'static [u8] = Box::leak([line, vec![0]].concat().into_boxed_slice());
    map.arg_start = line.as_ptr() as u64;
    map.arg_end = map.arg_start + line.len() as u64;
    // The host's environment is nobody's business; the module's own is known to the module.
    map.env_start = map.arg_end;
    map.env_end = map.arg_end;
    let (option, size) = (libc::PR_SET_MM_MAP as libc::c_ulong, size_of::<MemoryMap>() as libc::c_ulong);
    // SAFETY: the kernel reads `size` bytes of the structure.
    match unsafe { libc::prctl(libc::PR_SET_MM, option, &raw const map, size, 0) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// `struct prctl_mm_map` (linux/prctl.h).
#[repr(C)]
#[derive(Clone)]
struct MemoryMap {
    start_code: u64,
    end_code: u64,
    start_data: u64,
    end_data: u64,
    start_brk: u64,
    brk: u64,
    start_stack: u64,
    arg_start: u64,
    arg_end: u64,
    env_start: u64,
    env_end: u64,
    /// Not given: a null pointer.
    auxv: u64,
    auxv_size: u32,
    exe_fd: u32,
}

/// The process's own map, all of which the kernel wants to be told again (proc_pid_stat(5)).
fn current_map() -> io::Result<MemoryMap> {
    let stat = fs::read_to_string("/proc/self/stat")?;
    // The name, in parentheses, may hold anything; the field after it is the third.
    let fields: Vec<&str> = stat.rsplit_once(')').map_or("", |(_, fields)| fields).split_whitespace().collect();
    let field = |number: usize| {
        let found = fields.get(number - 3).and_then(|field| field.parse::<u64>().ok());
        found.ok_or_else(|| io::Error::other(format!("no field {number} in /proc/self/stat")))
    };
    Ok(MemoryMap {
        start_code: field(26)?,
        end_code: field(27)?,
        start_data: field(45)?,
        end_data: field(46)?,
        start_brk: field(47)?,
        brk: 0,
        start_stack: field(28)?,
        arg_start: field(48)?,
        arg_end: field(49)?,
        env_start: field(50)?,
        env_end: field(51)?,
        auxv: 0,
        auxv_size: 0,
        exe_fd: u32::MAX,
    })
}
