//! The guest's view of the system: WasmEdge's `wasi_snapshot_preview1`.

use wasmedge_sys::ffi;

use super::names::{CStrings, view};

/// End of a preopen through which nothing can be changed.
const READ_ONLY: &str = ":readonly";

/// Rights of such a directory, and of what is opened through it (WASI preview 1, `rights`): to open, read, list and look
/// at. What WasmEdge 0.17.1 lets a read-only directory pass on includes to create, rename and remove.
const READ: u64 = FD_READ | FD_SEEK | FD_TELL | FD_ADVISE | FD_FILESTAT_GET | POLL | FD_FDSTAT_SET_FLAGS | LOOK;
const LOOK: u64 = PATH_OPEN | FD_READDIR | PATH_READLINK | PATH_FILESTAT_GET | FD_FILESTAT_GET;
const FD_READ: u64 = 1 << 1;
const FD_SEEK: u64 = 1 << 2;
const FD_FDSTAT_SET_FLAGS: u64 = 1 << 3;
const FD_TELL: u64 = 1 << 5;
const FD_ADVISE: u64 = 1 << 7;
const PATH_OPEN: u64 = 1 << 13;
const FD_READDIR: u64 = 1 << 14;
const PATH_READLINK: u64 = 1 << 15;
const PATH_FILESTAT_GET: u64 = 1 << 18;
const FD_FILESTAT_GET: u64 = 1 << 21;
const POLL: u64 = 1 << 27;

/// First descriptor of a preopened directory.
const FIRST_PREOPEN: i32 = 3;

/// Most instances that are made to get the preopens in order.
const ORDER_ATTEMPTS: usize = 64;

/// What the guest sees of the world, in WASI's terms.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct World {
    /// Arguments; the first is the program's name.
    pub args: Vec<String>,
    /// Environment, `NAME=value`.
    pub env: Vec<String>,
    /// Preopened directories, `guest:host` or `guest:host:readonly`. The first comes before the second for the guest, too.
    pub preopens: Vec<String>,
}

/// Owns the module instance with the WASI functions.
pub struct Wasi(*mut ffi::WasmEdge_ModuleInstanceContext);

impl Wasi {
    /// Of this world.
    ///
    /// WasmEdge 0.17.1 sorts the preopens by the addresses that its allocator happened to give them, and to wasi-libc
    /// the later of two that it cannot tell apart is the one that counts. So instances are made until one has the
    /// first two in order; those that have not keep their memory until then, lest the next gets the same.
    pub fn new(world: &World) -> Result<Self, String> {
        let mut disordered = Vec::new();
        for _ in 0..ORDER_ATTEMPTS {
            let wasi = Self::create(world)?;
            if wasi.in_order(world.preopens.len()) {
                wasi.protect(&world.preopens)?;
                return Ok(wasi);
            }
            disordered.push(wasi);
            use_up_free_pieces();
        }
        Err("WasmEdge does not keep the preopened directories in order".to_owned())
    }

    fn create(world: &World) -> Result<Self, String> {
        let (args, env) = (CStrings::new(&world.args), CStrings::new(&world.env));
        let preopens = CStrings::new(&world.preopens);
        // SAFETY: the strings are copied during the call.
        let wasi = unsafe {
            ffi::WasmEdge_ModuleInstanceCreateWASI(
                args.as_ptr(),
                args.len(),
                env.as_ptr(),
                env.len(),
                preopens.as_ptr(),
                preopens.len(),
            )
        };
        if wasi.is_null() { Err("WasmEdge could not create its WASI module".into()) } else { Ok(Self(wasi)) }
    }

    /// The instance, valid as long as `self`.
    pub fn as_ptr(&self) -> *mut ffi::WasmEdge_ModuleInstanceContext {
        self.0
    }

    /// Whether WASI has a function of this name.
    pub fn has_function(&self, name: &str) -> bool {
        // SAFETY: looks the name up during the call.
        !unsafe { ffi::WasmEdge_ModuleInstanceFindFunction(self.0, view(name)) }.is_null()
    }

    /// What the guest gave to `proc_exit`, 0 if it did not call it.
    pub fn exit_code(&self) -> u32 {
        // SAFETY: the instance is alive.
        unsafe { ffi::WasmEdge_ModuleInstanceWASIGetExitCode(self.0) }
    }

    /// Whether the first two of the preopens come in this order: they were opened one after the other, so the numbers
    /// of their native descriptors rise.
    fn in_order(&self, count: usize) -> bool {
        let natives: Vec<u64> = (FIRST_PREOPEN..).take(count).filter_map(|fd| self.native(fd)).collect();
        let mut sorted = natives.clone();
        sorted.sort_unstable();
        let [first, second, ..] = sorted.as_slice() else { return true };
        let position = |wanted| natives.iter().position(|native| *native == wanted);
        position(*first) < position(*second)
    }

    /// Takes all rights to change something from the read-only ones among `preopens`.
    fn protect(&self, preopens: &[String]) -> Result<(), String> {
        if !preopens.iter().any(|preopen| preopen.ends_with(READ_ONLY)) {
            return Ok(());
        }
        let mut open: Vec<(u64, i32)> =
            (FIRST_PREOPEN..).take(preopens.len()).filter_map(|fd| Some((self.native(fd)?, fd))).collect();
        // One that is missing would shift the rest.
        if open.len() != preopens.len() {
            return Err("not all of its preopened directories can be opened".to_owned());
        }
        open.sort_unstable();
        let protected = open.iter().zip(preopens).filter(|(_, preopen)| preopen.ends_with(READ_ONLY));
        protected.into_iter().try_for_each(|((_, fd), preopen)| {
            self.set_rights(*fd, LOOK, READ).map_err(|cause| format!("cannot make {preopen} read-only: {cause}"))
        })
    }

    /// Calls the guest's own `fd_fdstat_set_rights`, which only ever takes rights away.
    fn set_rights(&self, fd: i32, rights: u64, inheriting: u64) -> Result<(), String> {
        // SAFETY: the contexts live through the call; the function has these parameters and one result (WASI preview 1).
        unsafe {
            let executor = ffi::WasmEdge_ExecutorCreate(std::ptr::null(), std::ptr::null_mut());
            let function = ffi::WasmEdge_ModuleInstanceFindFunction(self.0, view("fd_fdstat_set_rights"));
            let args = [
                ffi::WasmEdge_ValueGenI32(fd),
                ffi::WasmEdge_ValueGenI64(rights.cast_signed()),
                ffi::WasmEdge_ValueGenI64(inheriting.cast_signed()),
            ];
            let mut errno = ffi::WasmEdge_ValueGenI32(-1);
            let result = ffi::WasmEdge_ExecutorInvoke(executor, function, args.as_ptr(), 3, &raw mut errno, 1);
            ffi::WasmEdge_ExecutorDelete(executor);
            match (ffi::WasmEdge_ResultOK(result), ffi::WasmEdge_ValueGetI32(errno)) {
                (true, 0) => Ok(()),
                (_, errno) => Err(format!("WASI error {errno}")),
            }
        }
    }

    /// The native descriptor behind the guest's `fd`.
    fn native(&self, fd: i32) -> Option<u64> {
        let mut native = 0;
        // SAFETY: writes one integer.
        let code = unsafe { ffi::WasmEdge_ModuleInstanceWASIGetNativeHandler(self.0, fd, &raw mut native) };
        (code == 0).then_some(native)
    }
}

impl Drop for Wasi {
    fn drop(&mut self) {
        // SAFETY: created in `create`, deleted once.
        unsafe { ffi::WasmEdge_ModuleInstanceDelete(self.0) }
    }
}

/// Takes small pieces of memory for good: later ones come from the heap's end, in rising order.
fn use_up_free_pieces() {
    for size in (16..=1024).step_by(16) {
        for _ in 0..8 {
            std::mem::forget(Vec::<u8>::with_capacity(size));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use nix::{
        sys::wait::{WaitStatus, waitpid},
        unistd::{ForkResult, fork},
    };

    /// Sets up a world with the heap in 100 different states; the number of those in which the order was wrong.
    fn disorders() -> i32 {
        let world = World {
            preopens: ["/:/", ".:/tmp", "/a:/etc", "/b:/usr", "/c:/var"].map(str::to_owned).to_vec(),
            ..World::default()
        };
        let ordered = |round: usize| {
            // Leaves holes of all sizes.
            let pieces: Vec<Vec<u8>> = (0..500).map(|n| Vec::with_capacity(16 + (n * (round + 7)) % 600)).collect();
            drop(pieces.into_iter().step_by(2).collect::<Vec<_>>());
            let wasi = Wasi::new(&world).unwrap();
            wasi.in_order(world.preopens.len())
        };
        (0..100).filter(|round| !ordered(*round)).count() as i32
    }

    #[test]
    fn the_first_two_preopens_keep_their_order_whatever_the_heap_looks_like() {
        // In a process of its own: descriptors that other tests open meanwhile would mix up the numbers.
        // SAFETY: the child allocates, opens files and exits.
        match unsafe { fork() }.unwrap() {
            // SAFETY: ends the child without the test harness's destructors.
            ForkResult::Child => unsafe { libc::_exit(disorders()) },
            ForkResult::Parent { child } => {
                let status = waitpid(child, None).unwrap();
                assert!(matches!(status, WaitStatus::Exited(_, 0)), "{status:?}");
            }
        }
    }
}
