//! Strings and lists across the C API.

use std::ffi::{CString, c_char};

use wasmedge_sys::ffi;

/// A view of `text` for the duration of a call.
pub fn view(text: &str) -> ffi::WasmEdge_String {
    // SAFETY: wraps pointer and length; the callers use it while `text` lives.
    unsafe { ffi::WasmEdge_StringWrap(text.as_ptr().cast(), u32::try_from(text.len()).unwrap_or(u32::MAX)) }
}

/// The text of a string that WasmEdge owns.
///
/// # Safety
/// `string` must point into a context that is still alive.
pub unsafe fn text<'a>(string: ffi::WasmEdge_String) -> std::borrow::Cow<'a, str> {
    if string.Buf.is_null() {
        return "".into();
    }
    // SAFETY: the caller's promise.
    String::from_utf8_lossy(unsafe { std::slice::from_raw_parts(string.Buf.cast::<u8>(), string.Length as usize) })
}

/// NUL-terminated copies of `strings` and the pointers to them; a string with a NUL inside ends there, as it would
/// in execve(2).
pub struct CStrings {
    _owned: Vec<CString>,
    pointers: Vec<*const c_char>,
}

impl CStrings {
    /// Copies.
    pub fn new(strings: &[String]) -> Self {
        let owned: Vec<CString> = strings
            .iter()
            .map(|string| {
                let bytes = string.as_bytes();
                let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
                CString::new(&bytes[..end]).unwrap_or_default()
            })
            .collect();
        let pointers = owned.iter().map(|string| string.as_ptr()).collect();
        Self { _owned: owned, pointers }
    }

    /// Pointer to the first pointer.
    pub fn as_ptr(&self) -> *const *const c_char {
        self.pointers.as_ptr()
    }

    /// Number of strings.
    pub fn len(&self) -> u32 {
        u32::try_from(self.pointers.len()).unwrap_or(u32::MAX)
    }
}
