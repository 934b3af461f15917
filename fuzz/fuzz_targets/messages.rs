//! Messages between shim and host, in both directions, with descriptors.
#![no_main]

use std::{
    fmt::Debug,
    fs::File,
    io::IoSlice,
    os::fd::{AsRawFd, OwnedFd, RawFd},
    sync::OnceLock,
};

use libfuzzer_sys::fuzz_target;
use nix::sys::socket::{AddressFamily, ControlMessage, MsgFlags, SockFlag, SockType, sendmsg, socketpair};
use serde::{Serialize, de::DeserializeOwned};
use wasmedge_shim_protocol::{Channel, Error, FromHost, MAX_FDS, Received, ToHost};

struct Ends {
    theirs: OwnedFd,
    ours: Channel,
    null: File,
}

fn ends() -> &'static Ends {
    static ENDS: OnceLock<Ends> = OnceLock::new();
    ENDS.get_or_init(|| {
        let (theirs, ours) =
            socketpair(AddressFamily::Unix, SockType::SeqPacket, None, SockFlag::SOCK_CLOEXEC).unwrap();
        Ends { theirs, ours: ours.into(), null: File::open("/dev/null").unwrap() }
    })
}

/// The lowest descriptor that is free.
fn free() -> RawFd {
    ends().null.try_clone().unwrap().as_raw_fd()
}

/// One packet: it is a message, which is the same when it is sent on, or an error, and no descriptor is left behind.
fn receive<T: Serialize + DeserializeOwned + PartialEq + Debug>(bytes: &[u8], fds: usize) {
    let Ends { theirs, ours, null } = ends();
    let before = free();
    let raw = vec![null.as_raw_fd(); fds];
    let rights = [ControlMessage::ScmRights(&raw)];
    let control = if fds == 0 { &[][..] } else { &rights[..] };
    sendmsg::<()>(theirs.as_raw_fd(), &[IoSlice::new(bytes)], control, MsgFlags::empty(), None).unwrap();
    match ours.recv::<T>() {
        Ok(Some(Received { message, fds: received, fds_lost })) => {
            assert_eq!(fds_lost, fds > MAX_FDS);
            assert_eq!(received.len(), if fds_lost { 0 } else { fds });
            drop(received);
            let again = postcard::to_stdvec(&message).unwrap();
            assert_eq!(postcard::from_bytes::<T>(&again).unwrap(), message);
        }
        Ok(None) => panic!("a packet is taken for the end"),
        Err(error @ Error::TooLarge { .. }) => panic!("{error}"),
        Err(_) => {}
    }
    assert_eq!(free(), before, "a descriptor is left");
}

fuzz_target!(|data: &[u8]| {
    let Some((first, bytes)) = data.split_first().filter(|(_, bytes)| !bytes.is_empty()) else { return };
    let fds = usize::from(first >> 1) % (MAX_FDS + 3);
    if first & 1 == 0 { receive::<ToHost>(bytes, fds) } else { receive::<FromHost>(bytes, fds) }
});
