//! Pages of programs and libraries that a process has mapped and does not need any more. They stay in the page cache, and
//! those that are needed again come back by a minor fault.

use crate::wasm;
use libc::{PF_W, PT_LOAD, c_int, c_void, dl_phdr_info, size_t};

/// Unmaps all pages of segments that are not writable: no such page differs from its file, since relocation is done in
/// writable ones only.
pub fn release_program_pages() {
    // SAFETY: calls the function below, which keeps to the contract.
    unsafe { libc::dl_iterate_phdr(Some(release), std::ptr::null_mut()) };
    wasm::release_native_pages();
}

unsafe extern "C" fn release(info: *mut dl_phdr_info, _: size_t, _: *mut c_void) -> c_int {
    // SAFETY: the loader passes a valid description, whose headers live as long as the library.
    let (base, headers) = unsafe {
        let info = &*info;
        (info.dlpi_addr, std::slice::from_raw_parts(info.dlpi_phdr, info.dlpi_phnum.into()))
    };
    for header in headers.iter().filter(|header| header.p_type == PT_LOAD && header.p_flags & PF_W == 0) {
        let start = base + header.p_vaddr;
        let page = start & !(wasm::page_size() - 1);
        let length = (start + header.p_memsz - page) as usize;
        // SAFETY: the pages are those of a file, unmodified: they read the same when they return. The call fails for what
        // has no file, such as the vDSO, and changes nothing then.
        unsafe { libc::madvise(page as *mut c_void, length, libc::MADV_DONTNEED) };
    }
    0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_goes_on_without_its_pages() {
        release_program_pages();
        assert_eq!(format!("{:?}", [1, 2]), "[1, 2]");
    }
}
