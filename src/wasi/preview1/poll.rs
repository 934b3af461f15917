//! `poll_oneoff`.

use rustix::{
    event::{PollFd, PollFlags},
    io::Errno,
    time::ClockId,
};
use smallvec::SmallVec;

use super::{Errno as WasiErrno, Outcome, layout::Version, process::clock_id};
use crate::{
    Wasi,
    memory::Guest,
    system::poll::{Deadline, wait},
};

/// Most subscriptions of one call: as many as a process can have descriptors (`fs.nr_open`), and more than any has.
const MOST: u32 = 1 << 20;

/// A list that takes no allocation for what most programs wait for.
type List<T> = SmallVec<[T; 8]>;

/// Size of an `event`, in bytes.
const EVENT: u32 = 32;

/// `eventtype`.
const CLOCK: u8 = 0;
const READ: u8 = 1;
const WRITE: u8 = 2;

/// What is told whatever was asked for (poll(2)). A descriptor that is open for its paths alone is ready as any directory is,
/// but to the kernel it is none that can be polled.
const ALWAYS: PollFlags = PollFlags::HUP.union(PollFlags::ERR).union(PollFlags::NVAL);

/// `eventrwflags`: the peer is gone.
const HANGUP: u16 = 1;

/// `subclockflags`: the time is one of the clock, not from now on.
const ABSOLUTE: u16 = 1;

/// What one subscription waits for.
enum Subject {
    /// A time, by its place in the list of deadlines.
    Time(usize),
    /// A file, by its place in the list of files, and what is to be told of it.
    File(usize, PollFlags),
    /// Nothing that could come.
    Nothing(Errno),
}

struct Subscription {
    userdata: u64,
    kind: u8,
    subject: Subject,
}

pub fn poll_oneoff(wasi: &mut Wasi, guest: &mut Guest<'_>, list: u32, events: u32, count: u32, to: u32) -> Outcome {
    poll(wasi, guest, (list, events), count, to, Version::Preview1)
}

pub fn poll_oneoff_unstable(
    wasi: &mut Wasi,
    guest: &mut Guest<'_>,
    list: u32,
    events: u32,
    count: u32,
    to: u32,
) -> Outcome {
    poll(wasi, guest, (list, events), count, to, Version::Unstable)
}

fn poll(
    wasi: &Wasi,
    guest: &mut Guest<'_>,
    (list, events): (u32, u32),
    count: u32,
    to: u32,
    version: Version,
) -> Outcome {
    if count == 0 || count > MOST {
        return Err(Errno::INVAL.into());
    }
    guest.check(to, 4)?;
    guest.check(events, count * EVENT)?;
    let (mut wanted, mut subscriptions) = (Wanted::default(), List::new());
    // There may be no memory for it left, which is no reason to end.
    subscriptions.try_reserve_exact(count as usize).map_err(|_| Errno::NOMEM)?;
    for index in 0..count {
        subscriptions.push(read(wasi, guest, list, index, version, &mut wanted)?);
    }
    let Wanted { files, deadlines, .. } = wanted;
    let open = |(fd, flags): (u32, PollFlags)| Ok(PollFd::new(wasi.table.get(fd)?, flags));
    let mut files = files.into_iter().map(open).collect::<Result<List<_>, Errno>>()?;
    // What cannot come is told at once, with what has come already.
    if subscriptions.iter().any(|one| matches!(one.subject, Subject::Nothing(_))) {
        let past = Deadline::after(ClockId::Monotonic, 0)?;
        wait(&mut files, &[past])?;
    } else {
        wait(&mut files, &deadlines)?;
    }
    let mut told = 0;
    for subscription in &subscriptions {
        if let Some(event) = event(subscription, &files, &deadlines)? {
            guest.write(events + told * EVENT, &event)?;
            told += 1;
        }
    }
    Ok(guest.write_u32(to, told)?)
}

/// What is waited for by all subscriptions.
#[derive(Default)]
struct Wanted {
    /// Each file once, with all that is waited for: the kernel takes no more of them than there can be descriptors.
    files: List<(u32, PollFlags)>,
    /// Where in that list the file with a number is, by the number.
    places: SmallVec<[Option<usize>; 16]>,
    deadlines: SmallVec<[Deadline; 2]>,
}

impl Wanted {
    /// Waits for this of an open file; its place.
    fn add(&mut self, fd: u32, flags: PollFlags) -> usize {
        if self.places.len() <= fd as usize {
            self.places.resize(fd as usize + 1, None);
        }
        let place = *self.places[fd as usize].get_or_insert_with(|| {
            self.files.push((fd, PollFlags::empty()));
            self.files.len() - 1
        });
        self.files[place].1 |= flags;
        place
    }
}

/// Reads the subscription with this number.
fn read(
    wasi: &Wasi,
    guest: &Guest<'_>,
    list: u32,
    index: u32,
    version: Version,
    wanted: &mut Wanted,
) -> Result<Subscription, Errno> {
    // A clock's had an identifier of its own before preview 1.
    let (size, clock) = if version == Version::Unstable { (56, 24) } else { (48, 16) };
    let at = index.checked_mul(size).and_then(|offset| list.checked_add(offset)).ok_or(Errno::FAULT)?;
    guest.check(at, size)?;
    let (userdata, kind) = (guest.u64(at)?, guest.u8(at + 8)?);
    let subject = match kind {
        CLOCK => {
            let (id, time, flags) = (guest.u32(at + clock)?, guest.u64(at + clock + 8)?, guest.u16(at + clock + 24)?);
            match deadline(id, time, flags) {
                Ok(deadline) => {
                    wanted.deadlines.try_reserve(1).map_err(|_| Errno::NOMEM)?;
                    wanted.deadlines.push(deadline);
                    Subject::Time(wanted.deadlines.len() - 1)
                }
                Err(errno) => Subject::Nothing(errno),
            }
        }
        READ | WRITE => {
            let fd = guest.u32(at + 16)?;
            let flags = if kind == READ { PollFlags::IN } else { PollFlags::OUT };
            match wasi.table.get(fd) {
                Ok(_) => Subject::File(wanted.add(fd, flags), flags),
                Err(errno) => Subject::Nothing(errno),
            }
        }
        _ => return Err(Errno::INVAL),
    };
    Ok(Subscription { userdata, kind, subject })
}

/// The time of a processor does not go on while it is waited for, so it is no clock for that (clock_nanosleep(2) refuses
/// the thread's). A time from now on is the same whatever the real one is set to meanwhile.
fn deadline(id: u32, time: u64, flags: u16) -> Result<Deadline, Errno> {
    let clock = clock_id(id).ok().filter(|clock| matches!(clock, ClockId::Realtime | ClockId::Monotonic));
    let clock = clock.ok_or(Errno::INVAL)?;
    match flags {
        0 => Deadline::after(ClockId::Monotonic, time),
        ABSOLUTE => Ok(Deadline { clock, at: time }),
        _ => Err(Errno::INVAL),
    }
}

/// The event of a subscription, if it has come. How many bytes there are is not counted, which would be a system call for
/// each: at least one, or the end (what wasmtime tells, too).
fn event(
    subscription: &Subscription,
    files: &[PollFd<'_>],
    deadlines: &[Deadline],
) -> Result<Option<[u8; EVENT as usize]>, Errno> {
    let (errno, bytes, flags) = match subscription.subject {
        Subject::Nothing(errno) => (WasiErrno::from(errno), 0_u8, 0_u16),
        Subject::Time(index) if deadlines[index].left()? == 0 => (WasiErrno::SUCCESS, 0, 0),
        Subject::File(index, flags) if files[index].revents().intersects(flags | ALWAYS) => {
            let gone = files[index].revents().contains(PollFlags::HUP);
            (WasiErrno::SUCCESS, 1, if gone { HANGUP } else { 0 })
        }
        _ => return Ok(None),
    };
    let mut record = [0; EVENT as usize];
    record[..8].copy_from_slice(&subscription.userdata.to_le_bytes());
    record[8..10].copy_from_slice(&errno.0.to_le_bytes());
    record[10] = subscription.kind;
    record[16..24].copy_from_slice(&u64::from(bytes).to_le_bytes());
    record[24..26].copy_from_slice(&flags.to_le_bytes());
    Ok(Some(record))
}
