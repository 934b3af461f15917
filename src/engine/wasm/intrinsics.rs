//! The table of functions that native code calls for what it cannot do itself.
//!
//! The loader names it to native code (`Executable::Intrinsics` in `include/common/executable.h` of WasmEdge). It is
//! WasmEdge's own affair, so entries are replaced for the one version that it was read in; a test fails when that changes.

use std::sync::atomic::{AtomicUsize, Ordering};

use super::{dynamic_linker, version};

/// The version with this table.
pub const VERSION: &str = "0.17.1";

/// Entries of the table (`kIntrinsicMax`).
const ENTRIES: usize = 38;

/// What an entry does, by its place.
#[derive(Clone, Copy)]
pub enum Entry {
    /// `kCall`: calls a function by its index.
    Call = 1,
    /// `kTableSet`
    TableSet = 21,
    /// `kTableInit`
    TableInit = 22,
    /// `kTableCopy`
    TableCopy = 24,
    /// `kTableGrow`
    TableGrow = 25,
    /// `kTableFill`
    TableFill = 27,
    /// `kMemCopy`
    MemoryCopy = 32,
    /// `kMemFill`
    MemoryFill = 33,
    /// `kTableGetFuncSymbol`: the code of the function at a place of a table, if it has the type that the caller expects.
    TableGetFuncSymbol = 36,
}

/// An entry of ours, and where the address of WasmEdge's goes.
pub type Replacement = (Entry, *const (), &'static AtomicUsize);

/// Puts these entries into the table of the native code that was loaded last. Whether it did: not for another version of
/// WasmEdge. It may be done again for the same code.
///
/// # Safety
/// Each entry must do what WasmEdge's does. None of the code may run yet.
pub unsafe fn replace(replacements: &[Replacement]) -> bool {
    let Some(table) = dynamic_linker::intrinsics().filter(|_| version() == VERSION) else { return false };
    // SAFETY: the address is that of the library's variable, into which WasmEdge has put its table when it loaded the library.
    unsafe {
        let of_wasmedge: *const [usize; ENTRIES] = (*table).cast();
        if of_wasmedge.is_null() {
            return false;
        }
        let mut entries = *of_wasmedge;
        for (entry, ours, of_wasmedge) in replacements {
            let place = &mut entries[*entry as usize];
            of_wasmedge.store(*place, Ordering::Relaxed);
            *place = ours.addr();
        }
        // For as long as the process lives, which runs one module.
        *table = Box::into_raw(Box::new(entries)).cast_const().cast();
    }
    true
}
