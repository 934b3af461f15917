//! For fuzzing: files of the cache, their names, and notes of the linker.

use std::{
    collections::HashSet,
    io::{Read, Seek, Write},
    path::Component,
};

use nix::sys::memfd::{MFdFlags, memfd_create};
use wasmedge_shim_protocol::{Optimization, Proposal, Proposals};

use super::{cgroup, identity, key::Key, queue, sealed};
use crate::{hierarchies::hierarchies, wasm::Features};

/// What is sealed is whole, and nothing else is; each key has a file name of its own, which stays in the cache.
pub fn cache_entries(data: &[u8]) {
    let (name, content) = data.split_at(data.len().min(8));
    let name = String::from_utf8_lossy(name);
    let file = || std::fs::File::from(memfd_create(c"fuzz", MFdFlags::MFD_CLOEXEC).unwrap());

    let mut foreign = file();
    foreign.write_all(content).unwrap();
    let trusted = sealed::check(&mut foreign, &name).is_ok();

    let mut own = file();
    sealed::write(&mut &content[..], &name, *b"somebody", &mut own).unwrap();
    sealed::check(&mut own, &name).unwrap();
    assert!(sealed::check(&mut own, &format!("{name}x")).is_err(), "the seal of another name is taken");
    if trusted {
        // A whole file is a content and its seal: nothing but `write` makes those.
        let body = &content[..content.len() - sealed::SEAL as usize];
        let mut again = file();
        sealed::write(&mut &*body, &name, sealed::owner(&foreign).unwrap(), &mut again).unwrap();
        again.rewind().unwrap();
        let mut written = Vec::new();
        again.read_to_end(&mut written).unwrap();
        assert_eq!(written, content);
    }
    identity::build_id(content);
    names(content);
}

/// A `mountinfo`, and the cgroups of this process: the compilers' cgroup is not outside of where its hierarchy is mounted.
/// A name of a ticket is one ticket.
pub fn places(mountinfo: &str, membership: &str) {
    for place in cgroup::find(&hierarchies(mountinfo), membership) {
        let below = place.directory.strip_prefix(&place.top).unwrap();
        assert!(below.components().all(|part| matches!(part, Component::Normal(_))), "{:?}", place.directory);
    }
    for name in membership.lines() {
        if let Some((number, tenant)) = queue::parse(name) {
            assert_eq!(queue::parse(&format!("{number}-{tenant}")), Some((number, tenant)), "{name:?}");
        }
    }
}

/// Names of keys with these features differ wherever the keys do.
fn names(data: &[u8]) {
    let Some(bytes) = data.first_chunk::<4>() else { return };
    let bits = u32::from_le_bytes(*bytes);
    let some = Proposal::ALL.into_iter().enumerate().filter(|(index, _)| bits & (1 << index) != 0);
    let proposals = some.fold(Proposals::NONE, |set, (_, one)| set.with(one));
    let levels =
        [Optimization::O0, Optimization::O1, Optimization::O2, Optimization::O3, Optimization::Os, Optimization::Oz];
    let mut names = HashSet::new();
    let sets = HashSet::from([proposals.to_string(), Proposals::default().to_string(), Proposals::NONE.to_string()]);
    for proposals in [proposals, Proposals::default(), Proposals::NONE] {
        for counted in [false, true] {
            let features = Features { proposals, counted };
            let key = Key { engine: "0".repeat(16), module: "f".repeat(64), features };
            for level in levels {
                let name = key.at(level);
                assert!(!name.contains(['/', '.']), "{name}");
                names.insert(name);
            }
        }
    }
    assert_eq!(names.len(), sets.len() * 2 * levels.len());
}
