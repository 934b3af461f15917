//! What is remembered of modules and tenants to tell who has earned a compilation. All of it has a fixed size: where two
//! meet in one place the later one takes it, and the other is unknown again.

use std::{
    fs::{File, OpenOptions},
    io,
    os::unix::fs::{FileExt, OpenOptionsExt},
    path::{Path, PathBuf},
    time::Duration,
};

use nix::{
    errno::Errno,
    fcntl::{Flock, FlockArg},
};
use sha2::{Digest, Sha256};

use super::{key::Key, tenant::Tenant};

/// How many modules that were started once are remembered, in eight bytes each.
const MODULES: u64 = 8192;

/// How many tenants have an allowance of their own.
const ALLOWANCES: u64 = 256;

/// Bytes of an allowance: what is left, in millionths of a unit, and since when, in nanoseconds.
const ALLOWANCE: usize = 16;

/// Remembers, until the next reboot, in files of `directory`.
#[derive(Debug, Clone)]
pub struct History {
    directory: PathBuf,
}

impl History {
    /// In `directory`, which is there.
    pub fn new(directory: &Path) -> Self {
        Self { directory: directory.to_owned() }
    }

    /// Notes a start of the module of `key`; whether there was one before.
    pub fn started_before(&self, key: &Key) -> io::Result<bool> {
        let file = self.open("started")?;
        let sum = first_eight(key.name().as_bytes());
        let at = sum % MODULES * 8;
        let mut there = [0; 8];
        // Past its end the file has nothing of anybody.
        let known = file.read_exact_at(&mut there, at).is_ok() && there == sum.to_le_bytes();
        if !known {
            file.write_all_at(&sum.to_le_bytes(), at)?;
        }
        Ok(known)
    }

    /// Takes `cost` units from the allowance of `tenant`, which is `per_minute` and grows by as much; whether it had so many.
    pub fn afford(&self, tenant: Tenant, cost: u64, per_minute: u32) -> io::Result<bool> {
        self.afford_at(tenant, cost, per_minute, since_boot()?)
    }

    fn afford_at(&self, tenant: Tenant, cost: u64, per_minute: u32, now: Duration) -> io::Result<bool> {
        let file = Flock::lock(self.open("allowances")?, FlockArg::LockExclusive).map_err(|(_, errno)| errno)?;
        let at = u64::from_le_bytes(tenant.id()) % ALLOWANCES * ALLOWANCE as u64;
        let mut there = [0; ALLOWANCE];
        let known = file.read_exact_at(&mut there, at).is_ok() && there != [0; ALLOWANCE];
        let [left, since] =
            [0, 8].map(|begin| u64::from_le_bytes(there[begin..begin + 8].try_into().unwrap_or_default()));
        let most = u64::from(per_minute) * 1_000_000;
        let now = u64::try_from(now.as_nanos()).unwrap_or(u64::MAX);
        // A minute's nanoseconds are sixty thousand times a millionth's.
        let grown = now.saturating_sub(since) / 60_000 * u64::from(per_minute);
        let left = if known { left.saturating_add(grown).min(most) } else { most };
        let after = left.checked_sub(cost.saturating_mul(1_000_000));
        let entry = [after.unwrap_or(left).to_le_bytes(), now.to_le_bytes()].concat();
        file.write_all_at(&entry, at)?;
        Ok(after.is_some())
    }

    fn open(&self, name: &str) -> io::Result<File> {
        let path = self.directory.join(name);
        OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path)
    }
}

/// A clock that all processes share and nobody sets.
fn since_boot() -> io::Result<Duration> {
    let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: writes the structure.
    Errno::result(unsafe { libc::clock_gettime(libc::CLOCK_BOOTTIME, &raw mut now) })?;
    Ok(Duration::new(now.tv_sec.unsigned_abs(), u32::try_from(now.tv_nsec).unwrap_or_default()))
}

fn first_eight(bytes: &[u8]) -> u64 {
    let mut first = [0; 8];
    first.copy_from_slice(&Sha256::digest(bytes)[..8]);
    // 0 is what an empty place holds.
    u64::from_le_bytes(first).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wasm::Features;

    fn scene() -> (tempfile::TempDir, History) {
        let top = tempfile::tempdir().unwrap();
        let history = History::new(top.path());
        (top, history)
    }

    #[test]
    fn a_second_start_is_told_from_a_first_one_and_the_memory_has_an_end() {
        let (top, history) = scene();
        let key = |number: u64| Key::of(&number.to_le_bytes(), Features::default());
        assert!(!history.started_before(&key(0)).unwrap());
        assert!(history.started_before(&key(0)).unwrap());
        let counted = Features { counted: true, ..Features::default() };
        assert!(!history.started_before(&Key::of(&0_u64.to_le_bytes(), counted)).unwrap());
        for number in 1..2 * MODULES {
            history.started_before(&key(number)).unwrap();
        }
        assert!(std::fs::metadata(top.path().join("started")).unwrap().len() <= MODULES * 8);
        assert!(history.started_before(&key(2 * MODULES - 1)).unwrap());
    }

    #[test]
    fn an_allowance_is_used_up_grows_again_and_is_each_tenant_s_own() {
        let (_top, history) = scene();
        let (one, other) = (Tenant::new("one"), Tenant::new("other"));
        let afford = |tenant, cost, at| history.afford_at(tenant, cost, 6, Duration::from_secs(at)).unwrap();
        let first: Vec<bool> = (0..8).map(|_| afford(one, 1, 100)).collect();
        assert_eq!(first, [true, true, true, true, true, true, false, false]);
        assert!(afford(other, 6, 100) && !afford(other, 1, 100));
        assert!(!afford(one, 1, 109));
        assert!(afford(one, 1, 111), "ten seconds are one of six a minute");
        assert!(!afford(one, 1, 111));
        assert!(!afford(one, 7, 10_000), "never more than a minute's");
        assert!(afford(one, 6, 10_000));
        assert!(!history.afford_at(Tenant::new("none"), 1, 0, Duration::from_secs(1)).unwrap());
    }
}
