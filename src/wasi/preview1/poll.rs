//! `poll_oneoff`.

use rustix::{
    event::{PollFd, PollFlags},
    io::Errno,
};

use super::{Errno as WasiErrno, Outcome, layout::Version, process::clock_id};
use crate::{
    Wasi,
    memory::Guest,
    system::poll::{Deadline, wait},
};

/// Most subscriptions of one call: more than a process can have descriptors (`fs.nr_open`).
const MOST: u32 = 1 << 20;

/// Size of an `event`, in bytes.
const EVENT: u32 = 32;

/// `eventtype`.
const CLOCK: u8 = 0;
const READ: u8 = 1;
const WRITE: u8 = 2;

/// `eventrwflags`: the peer is gone.
const HANGUP: u16 = 1;

/// `subclockflags`: the time is one of the clock, not from now on.
const ABSOLUTE: u16 = 1;

/// What one subscription waits for.
enum Subject {
    /// A time, by its place in the list of deadlines.
    Time(usize),
    /// A file, by its place in the list of files.
    File(usize),
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
    let (mut files, mut deadlines) = (Vec::with_capacity(count as usize), Vec::new());
    let mut subscriptions = Vec::with_capacity(count as usize);
    for index in 0..count {
        subscriptions.push(read(wasi, guest, list, index, version, (&mut files, &mut deadlines))?);
    }
    // What cannot come is told at once, with what has come already.
    if subscriptions.iter().any(|one| matches!(one.subject, Subject::Nothing(_))) {
        let past = Deadline::after(rustix::time::ClockId::Monotonic, 0)?;
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

/// Reads the subscription with this number.
fn read<'a>(
    wasi: &'a Wasi,
    guest: &Guest<'_>,
    list: u32,
    index: u32,
    version: Version,
    (files, deadlines): (&mut Vec<PollFd<'a>>, &mut Vec<Deadline>),
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
                    deadlines.push(deadline);
                    Subject::Time(deadlines.len() - 1)
                }
                Err(errno) => Subject::Nothing(errno),
            }
        }
        READ | WRITE => match wasi.table.get(guest.u32(at + 16)?) {
            Ok(descriptor) => {
                let flags = if kind == READ { PollFlags::IN | PollFlags::RDHUP } else { PollFlags::OUT };
                files.push(PollFd::new(descriptor, flags));
                Subject::File(files.len() - 1)
            }
            Err(errno) => Subject::Nothing(errno),
        },
        _ => return Err(Errno::INVAL),
    };
    Ok(Subscription { userdata, kind, subject })
}

fn deadline(id: u32, time: u64, flags: u16) -> Result<Deadline, Errno> {
    let clock = clock_id(id)?;
    match flags {
        0 => Deadline::after(clock, time),
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
        Subject::File(index) if !files[index].revents().is_empty() => {
            let gone = files[index].revents().intersects(PollFlags::HUP | PollFlags::RDHUP);
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
