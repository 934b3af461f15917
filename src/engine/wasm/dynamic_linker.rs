//! The dynamic linker as libwasmedge finds it: `dlopen` and what belongs to it, which know one library more than libc's.
//!
//! WasmEdge 0.17.1 loads native code by a path alone (`WasmEdge_LoaderParseFromFile`): it looks at the file's size and first
//! bytes, then calls `dlopen` and `dlsym`. While a descriptor is offered here, [`PATH`] means it in each of these calls. There
//! is no such file, in no container. All other calls are libc's.

use std::{
    ffi::{CStr, CString, c_char, c_int, c_void},
    os::fd::{AsRawFd, BorrowedFd, RawFd},
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicI32, AtomicUsize, Ordering},
    },
};

use super::native_library::NativeLibrary;

/// What libwasmedge is told to load.
pub const PATH: &CStr = c"/native code, by descriptor";

/// The descriptor that [`PATH`] means; -1 for none.
static OFFERED: AtomicI32 = AtomicI32::new(-1);
/// What `dlopen` made of it; there is one module in a process.
static LIBRARY: Mutex<Option<NativeLibrary>> = Mutex::new(None);
/// Why it made nothing.
static CAUSE: Mutex<Option<CString>> = Mutex::new(None);
/// The address of its variable of that name; 0 without a library.
static INTRINSICS: AtomicUsize = AtomicUsize::new(0);
/// Its address is the handle of [`LIBRARY`].
static HANDLE: u8 = 0;
/// libc's `dlsym`, once it is known.
static LIBC_DLSYM: AtomicUsize = AtomicUsize::new(0);

/// Calls `load` while [`PATH`] means the file behind `file`.
pub fn with_library<T>(file: BorrowedFd<'_>, load: impl FnOnce() -> T) -> T {
    OFFERED.store(file.as_raw_fd(), Ordering::Relaxed);
    let loaded = load();
    OFFERED.store(-1, Ordering::Relaxed);
    if let Some(library) = &mut *locked(&LIBRARY) {
        INTRINSICS.store(library.find(b"intrinsics").unwrap_or_default(), Ordering::Relaxed);
        library.forget_symbols();
    }
    loaded
}

/// Where the library that was loaded has the address of the table of what it calls, which WasmEdge has put there.
pub fn intrinsics() -> Option<*mut *const c_void> {
    let address = INTRINSICS.load(Ordering::Relaxed);
    (address != 0).then_some(address as *mut *const c_void)
}

/// Lets go of the pages of native code that are not needed at the moment.
pub fn release_native_pages() {
    if let Some(library) = &*locked(&LIBRARY) {
        library.release_pages();
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The offered descriptor, if `path` means it.
unsafe fn offered(path: *const c_char) -> Option<RawFd> {
    let fd = OFFERED.load(Ordering::Relaxed);
    // SAFETY: the caller's promise: a NUL-terminated string.
    (fd >= 0 && !path.is_null() && unsafe { CStr::from_ptr(path) } == PATH).then_some(fd)
}

/// The address of libc's function behind ours, which is looked up once.
macro_rules! of_libc {
    ($name:literal) => {{
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        if NEXT.load(Ordering::Relaxed) == 0 {
            NEXT.store(find_in_libc($name), Ordering::Relaxed);
        }
        NEXT.load(Ordering::Relaxed)
    }};
}

/// The address of libc's function `name`. Not by `dlsym`, which is ours; the versions are those of glibc since it holds
/// libdl, and before, for x86 and arm64.
fn find_in_libc(name: &CStr) -> usize {
    [c"GLIBC_2.34", c"GLIBC_2.33", c"GLIBC_2.17", c"GLIBC_2.2.5"]
        .into_iter()
        // SAFETY: looks a name up.
        .map(|version| unsafe { dlvsym(libc::RTLD_NEXT, name.as_ptr(), version.as_ptr()) }.addr())
        .find(|address| *address != 0)
        .unwrap_or_else(|| std::process::abort())
}

unsafe extern "C" {
    fn dlvsym(handle: *mut c_void, symbol: *const c_char, version: *const c_char) -> *mut c_void;
}

type Dlerror = unsafe extern "C" fn() -> *mut c_char;

/// libc's `dlerror`. Looked up before anything can fail: `dlvsym` forgets what failed before it.
fn dlerror_of_libc() -> Dlerror {
    // SAFETY: libc's function has this type.
    unsafe { std::mem::transmute::<usize, Dlerror>(of_libc!(c"dlerror")) }
}

extern "C" fn find_dlsym() -> usize {
    dlerror_of_libc();
    let found = find_in_libc(c"dlsym");
    LIBC_DLSYM.store(found, Ordering::Relaxed);
    found
}

extern "C" fn symbol_of_library(_: *mut c_void, name: *const c_char) -> *mut c_void {
    // SAFETY: the caller of `dlsym` passes a NUL-terminated string.
    let name = unsafe { CStr::from_ptr(name) };
    let address = locked(&LIBRARY).as_ref().and_then(|library| library.find(name.to_bytes()));
    address.map_or(std::ptr::null_mut(), |address| address as *mut c_void)
}

/// `dlopen`(3).
///
/// # Safety
/// As libc's.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dlopen(path: *const c_char, flags: c_int) -> *mut c_void {
    // SAFETY: the caller's arguments.
    let Some(fd) = (unsafe { offered(path) }) else {
        type Function = unsafe extern "C" fn(*const c_char, c_int) -> *mut c_void;
        dlerror_of_libc();
        // SAFETY: libc's function has this type; the caller's arguments, as they came.
        return unsafe { std::mem::transmute::<usize, Function>(of_libc!(c"dlopen"))(path, flags) };
    };
    // SAFETY: open for as long as it is offered.
    match NativeLibrary::map(unsafe { BorrowedFd::borrow_raw(fd) }) {
        Ok(library) => {
            locked(&LIBRARY).replace(library);
            (&raw const HANDLE).cast_mut().cast()
        }
        Err(cause) => {
            *locked(&CAUSE) = CString::new(cause).ok();
            std::ptr::null_mut()
        }
    }
}

/// `dlerror`(3).
///
/// # Safety
/// As libc's.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dlerror() -> *mut c_char {
    match locked(&CAUSE).take() {
        // The caller may read it until its next call, which may never come.
        Some(cause) => cause.into_raw(),
        // SAFETY: as libc's.
        None => unsafe { dlerror_of_libc()() },
    }
}

/// `dlclose`(3). The one library stays, as its process does not outlive it.
///
/// # Safety
/// As libc's.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dlclose(handle: *mut c_void) -> c_int {
    if std::ptr::eq(handle.cast(), &raw const HANDLE) {
        return 0;
    }
    // SAFETY: libc's function has this type; the caller's argument, as it came.
    unsafe { std::mem::transmute::<usize, unsafe extern "C" fn(*mut c_void) -> c_int>(of_libc!(c"dlclose"))(handle) }
}

/// `dlsym`(3). libc's tells by the return address which library asks (`RTLD_NEXT`), so it is jumped to, not called.
///
/// # Safety
/// As libc's.
#[cfg(target_arch = "x86_64")]
#[unsafe(no_mangle)]
#[unsafe(naked)]
pub unsafe extern "C" fn dlsym(handle: *mut c_void, name: *const c_char) -> *mut c_void {
    std::arch::naked_asm!(
        "lea rax, [rip + {handle}]",
        "cmp rdi, rax",
        "je {ours}",
        "mov rax, [rip + {libc}]",
        "test rax, rax",
        "jnz 2f",
        "push rdi",
        "push rsi",
        "sub rsp, 8",
        "call {find}",
        "add rsp, 8",
        "pop rsi",
        "pop rdi",
        "2:",
        "jmp rax",
        handle = sym HANDLE,
        ours = sym symbol_of_library,
        libc = sym LIBC_DLSYM,
        find = sym find_dlsym,
    )
}

/// `dlsym`(3). libc's tells by the return address which library asks (`RTLD_NEXT`), so it is jumped to, not called.
///
/// # Safety
/// As libc's.
#[cfg(target_arch = "aarch64")]
#[unsafe(no_mangle)]
#[unsafe(naked)]
pub unsafe extern "C" fn dlsym(handle: *mut c_void, name: *const c_char) -> *mut c_void {
    std::arch::naked_asm!(
        "adrp x16, {handle}",
        "add x16, x16, :lo12:{handle}",
        "cmp x0, x16",
        "b.ne 2f",
        "b {ours}",
        "2:",
        "adrp x16, {libc}",
        "ldr x16, [x16, :lo12:{libc}]",
        "cbnz x16, 3f",
        "stp x0, x1, [sp, #-32]!",
        "str x30, [sp, #16]",
        "bl {find}",
        "mov x16, x0",
        "ldr x30, [sp, #16]",
        "ldp x0, x1, [sp], #32",
        "3:",
        "br x16",
        handle = sym HANDLE,
        ours = sym symbol_of_library,
        libc = sym LIBC_DLSYM,
        find = sym find_dlsym,
    )
}

/// `open`(2).
///
/// # Safety
/// As libc's.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn open(path: *const c_char, flags: c_int, mode: libc::mode_t) -> c_int {
    // SAFETY: the caller's arguments.
    match unsafe { offered(path) } {
        // SAFETY: makes a descriptor.
        Some(fd) => unsafe { libc::fcntl(fd, libc::F_DUPFD_CLOEXEC, 3) },
        // SAFETY: the caller's arguments, as they came; without O_CREAT the third is not looked at.
        None => unsafe { libc::openat(libc::AT_FDCWD, path, flags, mode) },
    }
}

/// `stat`(2).
///
/// # Safety
/// As libc's.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn stat(path: *const c_char, buffer: *mut libc::stat) -> c_int {
    // SAFETY: the caller's arguments, as they came.
    unsafe {
        match offered(path) {
            Some(fd) => libc::fstat(fd, buffer),
            None => libc::fstatat(libc::AT_FDCWD, path, buffer, 0),
        }
    }
}
