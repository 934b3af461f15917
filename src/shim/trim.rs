//! Giving memory back while nothing happens: a shim waits for hours, and there is one for each pod.
//!
//! Its start-up and the creation of a container run through most of the binary once. The kernel keeps those pages
//! mapped, and counts them to this process, although they are never used again.
//!
//! A page that is needed comes back with the 15 around it (`do_fault_around` in the kernel's mm/memory.c), so what runs between a
//! trim and the next wait costs some 64 kB a function: it is done last of all before the thread waits.

use std::{
    fs,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::{sync::Notify, time::sleep};

/// How long nothing must have happened.
const QUIET: Duration = Duration::from_secs(2);

/// More mappings than a program has that is linked statically.
const MOST: usize = 16;

/// Whether [`when_due`] is to trim.
static DUE: AtomicBool = AtomicBool::new(false);

/// Where what a container's life needs is noted; what containerd asks every few seconds is not worth a trim.
#[derive(Debug, Clone, Default)]
pub struct Activity(Arc<(Notify, AtomicU64)>);

impl Activity {
    /// Something happens.
    pub fn note(&self) {
        let (notify, count) = &*self.0;
        count.fetch_add(1, Ordering::Relaxed);
        notify.notify_one();
    }

    /// Has [`when_due`] trim after every period of activity, for ever.
    pub async fn trim_when_quiet(self) {
        let (notify, count) = &*self.0;
        loop {
            notify.notified().await;
            let mut seen = None;
            while seen != Some(count.load(Ordering::Relaxed)) {
                seen = Some(count.load(Ordering::Relaxed));
                sleep(QUIET).await;
            }
            DUE.store(true, Ordering::Relaxed);
        }
    }
}

/// For the runtime to call whenever its thread is about to wait.
pub fn when_due() {
    if DUE.swap(false, Ordering::Relaxed) {
        trim();
    }
}

/// Returns free heap to the kernel and unmaps the pages of the program's files. They stay in the page cache; those
/// that are needed again come back by a minor fault.
fn trim() {
    // What is freed must be freed before the pages go.
    let mut mappings = [(0, 0); MOST];
    let found = clean_file_mappings(&fs::read_to_string("/proc/self/smaps").unwrap_or_default());
    mappings.iter_mut().zip(found).for_each(|(mapping, found)| *mapping = found);
    // SAFETY: only touches free memory of the allocator.
    unsafe { libc::malloc_trim(0) };
    for (start, length) in mappings.into_iter().take_while(|(_, length)| *length > 0) {
        // SAFETY: the pages are those of a file, unmodified and not writable: they read the same when they return.
        unsafe { libc::madvise(start as *mut libc::c_void, length, libc::MADV_DONTNEED) };
    }
}

/// Start and length of the mappings of files that are not writable and of which no page was modified: not those that
/// the dynamic linker has relocated.
fn clean_file_mappings(smaps: &str) -> Vec<(usize, usize)> {
    let mut found = Vec::new();
    let mut current = None;
    for line in smaps.lines() {
        if let Some(range) = header(line) {
            current = range;
        } else if let Some(anonymous) = line.strip_prefix("Anonymous:")
            && anonymous.trim() == "0 kB"
        {
            found.extend(current.take());
        }
    }
    found
}

/// Parses `START-END PERMISSIONS OFFSET DEVICE INODE PATH`: `None` if the line is no header, `Some(None)` if the
/// mapping is not one to unmap.
fn header(line: &str) -> Option<Option<(usize, usize)>> {
    let mut fields = line.split_whitespace();
    let (start, end) = fields.next()?.split_once('-')?;
    let start = usize::from_str_radix(start, 16).ok()?;
    let length = usize::from_str_radix(end, 16).ok()?.checked_sub(start)?;
    let permissions = fields.next()?;
    let path = fields.nth(3).unwrap_or_default();
    let clean = path.starts_with('/') && permissions.starts_with('r') && !permissions.contains('w');
    Some((clean && permissions.ends_with('p')).then_some((start, length)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SMAPS: &str = "\
1000-3000 r-xp 00000000 fe:00 42 /usr/local/bin/shim
Rss: 8 kB
Anonymous:             0 kB
3000-4000 r--p 00003000 fe:00 42 /usr/local/bin/shim
Anonymous:             4 kB
4000-5000 rw-p 00004000 fe:00 42 /usr/local/bin/shim
Anonymous:             0 kB
5000-6000 rw-p 00000000 00:00 0 [heap]
Anonymous:             0 kB
7000-8000 r--p 00000000 00:00 0 [vvar]
Anonymous:             0 kB
";

    #[test]
    fn only_unmodified_read_only_file_pages_are_let_go() {
        assert_eq!(clean_file_mappings(SMAPS), [(0x1000, 0x2000)]);
    }

    #[test]
    fn a_trimmed_process_goes_on() {
        trim();
        assert_eq!(clean_file_mappings(SMAPS).len(), 1);
    }
}
