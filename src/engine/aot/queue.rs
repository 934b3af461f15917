//! Whose turn it is: never more compilers on the node than there are slots, and between tenants each in its turn.
//!
//! There is no server. Each builder holds a ticket, a file that it keeps locked, looks now and then whether a slot is free,
//! and takes it if it is its turn. The locks are flock(2)'s: those of a builder that is killed are gone with it.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    thread::sleep,
    time::Duration,
};

use nix::fcntl::{Flock, FlockArg};
use wasmedge_shim_protocol::ensure_private_dir;

use super::tenant::Tenant;

/// How often a waiting builder looks for a free slot.
const POLL: Duration = Duration::from_millis(20);

/// Most modules that wait, of one tenant and of all together.
const MOST: (usize, usize) = (32, 128);

/// The turns of one node.
#[derive(Debug, Clone)]
pub struct Queue {
    directory: PathBuf,
    /// How many compilers there are at most.
    slots: u32,
    /// Most bytes of the modules that wait; a tenant has half of it.
    room: u64,
}

/// A place in the queue; dropping it leaves the queue.
#[derive(Debug)]
pub struct Ticket {
    path: PathBuf,
    tenant: Tenant,
    number: u64,
    _lock: Flock<File>,
}

/// The right to compile, for as long as it lives.
pub type Slot = Flock<File>;

impl Queue {
    /// In `directory`, for `slots` compilers and as many waiting modules as have `room` bytes.
    pub fn new(directory: &Path, slots: u32, room: u64) -> Self {
        Self { directory: directory.to_owned(), slots: slots.max(1), room }
    }

    /// Joins the queue for a module of `size` bytes; `None` where too much waits already.
    pub fn join(&self, tenant: Tenant, size: u64) -> io::Result<Option<Ticket>> {
        let _order = self.order()?;
        let waiting = self.waiting()?;
        let own = || waiting.iter().filter(|one| one.tenant == tenant);
        let bytes: u64 = waiting.iter().map(|one| one.size).sum();
        let own_bytes: u64 = own().map(|one| one.size).sum();
        let no_room = own_bytes.saturating_add(size) > self.room / 2;
        let full = own().count() >= MOST.0 || waiting.len() >= MOST.1 || bytes.saturating_add(size) > self.room;
        if no_room || full {
            return Ok(None);
        }
        let number = waiting.iter().map(|one| one.number).max().map_or(0, |last| last.wrapping_add(1));
        let path = self.directory.join(format!("{number:020}-{tenant}"));
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path)?;
        write!(file, "{size}")?;
        let lock = Flock::lock(file, FlockArg::LockExclusiveNonblock).map_err(|(_, errno)| errno)?;
        Ok(Some(Ticket { path, tenant, number, _lock: lock }))
    }

    /// Waits until it is this ticket's turn and a slot is free, as long as somebody `wants` it; `None` where nobody does any more.
    pub fn wait(&self, ticket: &Ticket, wants: impl Fn() -> bool) -> io::Result<Option<Slot>> {
        while wants() {
            if let Some(slot) = self.take(ticket)? {
                return Ok(Some(slot));
            }
            sleep(POLL);
        }
        Ok(None)
    }

    /// A slot, if one is free and it is this ticket's turn.
    pub fn take(&self, ticket: &Ticket) -> io::Result<Option<Slot>> {
        // Most often there is none, which costs little to find out.
        if self.free_slot(FlockArg::LockSharedNonblock)?.is_none() {
            return Ok(None);
        }
        let _order = self.order()?;
        let waiting = self.waiting()?;
        if next(&waiting, self.last()) != Some((ticket.tenant, ticket.number)) {
            return Ok(None);
        }
        let slot = self.free_slot(FlockArg::LockExclusiveNonblock)?;
        if slot.is_some() {
            fs::write(self.directory.join("last"), ticket.tenant.to_string())?;
        }
        Ok(slot)
    }

    /// How many slots are taken, whatever the number of them was when they were, and how many modules wait.
    pub fn counts(&self) -> (usize, usize) {
        let names = fs::read_dir(&self.directory).into_iter().flatten().flatten();
        let slots = names.filter(|entry| entry.file_name().as_encoded_bytes().starts_with(b"slot-"));
        let is_taken = |file: File| Flock::lock(file, FlockArg::LockSharedNonblock).is_err();
        let taken = slots.filter(|slot| File::open(slot.path()).is_ok_and(is_taken)).count();
        (taken, self.waiting().map_or(0, |waiting| waiting.len()))
    }

    /// Who has the result decides alone.
    fn order(&self) -> io::Result<Flock<File>> {
        ensure_private_dir(&self.directory)?;
        Ok(Flock::lock(lock_file(&self.directory.join("order"))?, FlockArg::LockExclusive)
            .map_err(|(_, errno)| errno)?)
    }

    fn free_slot(&self, how: FlockArg) -> io::Result<Option<Slot>> {
        for number in 0..self.slots {
            if let Ok(slot) = Flock::lock(lock_file(&self.directory.join(format!("slot-{number}")))?, how) {
                return Ok(Some(slot));
            }
        }
        Ok(None)
    }

    /// The tenant that had the last turn.
    fn last(&self) -> Option<Tenant> {
        fs::read_to_string(self.directory.join("last")).ok()?.parse().ok()
    }

    /// Who waits, without those whose builders are dead.
    fn waiting(&self) -> io::Result<Vec<Waiting>> {
        let mut waiting = Vec::new();
        for entry in fs::read_dir(&self.directory)?.flatten() {
            let Some((number, tenant)) = entry.file_name().to_str().and_then(parse) else { continue };
            // It may be leaving at this moment.
            let Ok(file) = File::open(entry.path()) else { continue };
            let Err((file, _)) = Flock::lock(file, FlockArg::LockSharedNonblock) else {
                let _ = fs::remove_file(entry.path());
                continue;
            };
            let size = io::read_to_string(file)?.parse().unwrap_or(0);
            waiting.push(Waiting { tenant, number, size });
        }
        Ok(waiting)
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        // Left behind it is found to be dead.
        let _ = fs::remove_file(&self.path);
    }
}

#[derive(Debug, Clone, Copy)]
struct Waiting {
    tenant: Tenant,
    number: u64,
    size: u64,
}

/// Whose turn it is: after `last` the next tenant in a circle, and of its tickets the oldest.
fn next(waiting: &[Waiting], last: Option<Tenant>) -> Option<(Tenant, u64)> {
    let place = |one: &&Waiting| (last.is_some_and(|last| one.tenant <= last), one.tenant, one.number);
    waiting.iter().min_by_key(place).map(|one| (one.tenant, one.number))
}

pub(super) fn parse(name: &str) -> Option<(u64, Tenant)> {
    let (number, tenant) = name.split_once('-')?;
    Some((number.parse().ok()?, tenant.parse().ok()?))
}

fn lock_file(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROOM: u64 = 1000;

    fn scene(slots: u32) -> (tempfile::TempDir, Queue) {
        let top = tempfile::tempdir().unwrap();
        let queue = Queue::new(&top.path().join("queue"), slots, ROOM);
        (top, queue)
    }

    #[test]
    fn there_are_as_many_at_once_as_slots() {
        let (_top, queue) = scene(2);
        let tickets: Vec<Ticket> = (0..3).map(|_| queue.join(Tenant::new("a"), 1).unwrap().unwrap()).collect();
        let first = queue.take(&tickets[0]).unwrap().unwrap();
        assert!(queue.take(&tickets[2]).unwrap().is_none(), "it is another's turn");
        let mut tickets = tickets.into_iter();
        drop(tickets.next());
        let second = tickets.next().unwrap();
        let slot = queue.take(&second).unwrap().unwrap();
        drop(second);
        let third = tickets.next().unwrap();
        assert!(queue.take(&third).unwrap().is_none(), "both slots are taken");
        assert_eq!(queue.counts(), (2, 1));
        drop((first, slot));
        assert_eq!(queue.counts(), (0, 1));
        assert!(queue.take(&third).unwrap().is_some());
    }

    #[test]
    fn tenants_have_their_turns_however_many_modules_one_of_them_has() {
        let (_top, queue) = scene(1);
        let mut tickets: Vec<Ticket> = (0..4).map(|_| queue.join(Tenant::new("greedy"), 1).unwrap().unwrap()).collect();
        for name in ["modest", "humble"] {
            tickets.push(queue.join(Tenant::new(name), 1).unwrap().unwrap());
        }
        let names = ["greedy", "modest", "humble"];
        let name = |ticket: &Ticket| *names.iter().find(|name| Tenant::new(name) == ticket.tenant).unwrap();
        let mut order = Vec::new();
        while !tickets.is_empty() {
            let turn = tickets.iter().position(|ticket| queue.take(ticket).unwrap().is_some()).unwrap();
            // Who has had its turn leaves the queue.
            order.push(name(&tickets.remove(turn)));
        }
        for other in ["modest", "humble"] {
            assert!(order[..3].contains(&other), "{order:?}");
        }
        assert_eq!(order[3..], ["greedy"; 3]);
    }

    #[test]
    fn the_oldest_of_a_tenant_is_first_and_the_circle_goes_on() {
        let tenants = [Tenant::with_id([1; 8]), Tenant::with_id([2; 8]), Tenant::with_id([3; 8])];
        let waiting: Vec<Waiting> =
            tenants.iter().flat_map(|&tenant| [5, 4].map(|number| Waiting { tenant, number, size: 0 })).collect();
        assert_eq!(next(&waiting, None), Some((tenants[0], 4)));
        assert_eq!(next(&waiting, Some(tenants[0])), Some((tenants[1], 4)));
        assert_eq!(next(&waiting, Some(tenants[2])), Some((tenants[0], 4)));
        assert_eq!(next(&waiting[..2], Some(tenants[0])), Some((tenants[0], 4)), "nobody else waits");
        assert_eq!(next(&[], None), None);
    }

    #[test]
    fn what_waits_is_bounded_in_number_and_bytes_for_each_and_for_all() {
        let (_top, queue) = scene(1);
        let (one, other) = (Tenant::new("one"), Tenant::new("other"));
        let large = queue.join(one, 400).unwrap().unwrap();
        assert!(queue.join(one, 200).unwrap().is_none(), "more than half");
        assert!(queue.join(other, 600).unwrap().is_none(), "more than half, at once");
        let (half, rest) = (queue.join(other, 500).unwrap().unwrap(), Tenant::new("third"));
        assert!(queue.join(rest, 101).unwrap().is_none(), "more than all");
        drop((large, half));
        let many: Vec<Ticket> = (0..MOST.0).map(|_| queue.join(one, 0).unwrap().unwrap()).collect();
        assert!(queue.join(one, 0).unwrap().is_none());
        assert!(queue.join(other, 0).unwrap().is_some());
        drop(many);
        assert!(queue.join(one, 0).unwrap().is_some());
    }

    #[test]
    fn a_ticket_of_the_dead_is_removed() {
        let (_top, queue) = scene(1);
        queue.join(Tenant::new("a"), 1).unwrap().unwrap();
        let dead = queue.directory.join(format!("{:020}-{}", 0, Tenant::new("a")));
        fs::write(&dead, "900").unwrap();
        let living = queue.join(Tenant::new("b"), 500).unwrap().unwrap();
        assert!(!dead.exists());
        assert!(queue.take(&living).unwrap().is_some());
    }
}
