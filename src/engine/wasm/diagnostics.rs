//! Causes of failures. WasmEdge returns a number and tells its log what it was about; the log is taken away from the
//! process's stderr, which belongs to the guest, and kept until somebody asks.

use std::{
    ffi::CStr,
    sync::{Mutex, Once},
};

use wasmedge_sys::ffi;

/// Lines kept: a failing validation can write one per nesting level.
const MAX_LINES: usize = 16;

/// Characters kept of a line.
const MAX_LINE: usize = 160;

/// Beginning of the line that lists the frames.
const STACK: &str = "calling stack:";

static LINES: Mutex<Vec<String>> = Mutex::new(Vec::new());

/// Redirects WasmEdge's log, once per process.
pub fn install() {
    static ONCE: Once = Once::new();
    // SAFETY: the callback is a plain function that lives for ever.
    ONCE.call_once(|| unsafe {
        ffi::WasmEdge_LogSetErrorLevel();
        ffi::WasmEdge_LogSetCallback(Some(record));
    });
}

unsafe extern "C" fn record(message: *const ffi::WasmEdge_LogMessage) {
    if message.is_null() {
        return;
    }
    // SAFETY: WasmEdge passes a message that is valid during the call.
    let text = unsafe {
        let message = &*message;
        // The compiler says how far it is, too.
        if message.Message.Buf.is_null() || message.Level < ffi::WasmEdge_LogLevel_Error {
            return;
        }
        std::slice::from_raw_parts(message.Message.Buf.cast::<u8>(), message.Message.Length as usize)
    };
    if let Ok(mut lines) = LINES.lock()
        && lines.len() < MAX_LINES
    {
        lines.push(String::from_utf8_lossy(text).trim().to_owned());
    }
}

/// Forgets what was logged so far.
pub fn clear() {
    if let Ok(mut lines) = LINES.lock() {
        lines.clear();
    }
}

/// One line about the failure `result`, from what was logged since [`clear`] and the result's own message.
pub fn explain(result: ffi::WasmEdge_Result) -> String {
    // SAFETY: returns a static string.
    let fallback = unsafe { CStr::from_ptr(ffi::WasmEdge_ResultGetMessage(result)) }.to_string_lossy().into_owned();
    said().unwrap_or(fallback)
}

/// One line of what was logged since [`clear`], if anything was.
pub fn said() -> Option<String> {
    let lines = LINES.lock().map(|mut lines| std::mem::take(&mut *lines)).unwrap_or_default();
    summarize(&lines)
}

/// The functions that were running at the failure that was logged last, the innermost first; to be called before
/// [`explain`].
pub fn calling_stack() -> Vec<u32> {
    LINES.lock().map(|lines| frames(&lines)).unwrap_or_default()
}

/// From a line `calling stack:7, 22, 10`.
fn frames(lines: &[String]) -> Vec<u32> {
    let stack = lines.iter().find_map(|line| line.trim().strip_prefix(STACK));
    stack.iter().flat_map(|stack| stack.split(',')).map_while(|index| index.trim().parse().ok()).collect()
}

/// Joins WasmEdge's lines: "loading failed: magic header not detected, Code: 0x23" loses its code, the indented
/// details follow it, the trail of syntax nodes at the end is left out.
fn summarize(lines: &[String]) -> Option<String> {
    let useful: Vec<&str> = lines
        .iter()
        .map(|line| line.split(", Code: ").next().unwrap_or(line).trim())
        .filter(|line| !line.is_empty() && !line.starts_with("At AST node:"))
        .collect();
    let mut unique: Vec<&str> = Vec::new();
    for line in useful {
        if !unique.contains(&line) {
            unique.push(line);
        }
    }
    (!unique.is_empty()).then(|| unique.iter().map(|line| shorten(line)).collect::<Vec<_>>().join("; "))
}

/// Cuts a line that goes on and on, as the call stack of an endless recursion does.
fn shorten(line: &str) -> String {
    if line.chars().count() <= MAX_LINE {
        return line.to_owned();
    }
    line.chars().take(MAX_LINE).chain("…".chars()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_becomes_one_line_without_codes_and_syntax_nodes() {
        let lines = [
            "instantiation failed: unknown import, Code: 0x302".to_owned(),
            "    When linking module: \"env\" , function name: \"missing\"".to_owned(),
            "    At AST node: import description".to_owned(),
        ];
        assert_eq!(
            summarize(&lines).unwrap(),
            "instantiation failed: unknown import; When linking module: \"env\" , function name: \"missing\""
        );
        assert_eq!(summarize(&[]), None);
        assert_eq!(frames(&["x".to_owned(), " calling stack:7, 22 , 10".to_owned()]), [7, 22, 10]);
        assert!(frames(&["calling stack:".to_owned()]).is_empty());
        let endless = ["calling stack:".to_owned() + &"7, ".repeat(1000)];
        assert_eq!(summarize(&endless).unwrap().chars().count(), MAX_LINE + 1);
    }
}
