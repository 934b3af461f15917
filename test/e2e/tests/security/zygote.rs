//! What containers share because their processes are forks of one host. Regression tests for S10.

use std::{
    collections::HashSet,
    fs::{self, File},
    os::unix::fs::FileExt,
    time::Duration,
};

use e2e::{Kind, Scene, engine, process::Process, within};

/// Of an auxiliary vector (getauxval(3)).
const AT_RANDOM: u64 = 25;

#[test]
fn random_bytes_of_twenty_containers_differ() {
    let scene = Scene::new();
    let bytes = |_| scene.ctr(Kind::Wasm).run(["/random.wasm"]).exits(0).stdout;
    let all: HashSet<String> = (0..20).map(bytes).collect();
    assert_eq!(all.len(), 20);
    assert!(all.iter().all(|one| one.trim().len() == 32));
}

/// The random bytes that the kernel gave a program at its start.
fn at_random(process: &Process) -> [u8; 16] {
    let vector = fs::read(process.file("auxv")).unwrap();
    let numbers: Vec<u64> = vector.chunks_exact(8).map(|eight| u64::from_ne_bytes(eight.try_into().unwrap())).collect();
    let address = numbers.chunks_exact(2).find(|pair| pair[0] == AT_RANDOM).unwrap()[1];
    let mut bytes = [0; 16];
    File::open(process.file("mem")).unwrap().read_exact_at(&mut bytes, address).unwrap();
    bytes
}

#[test]
fn what_canaries_are_made_of_differs_from_container_to_container() {
    let scene = Scene::new();
    let sleepers: Vec<_> =
        (0..2).map(|_| scene.docker(Kind::Wasm).detach(Kind::Wasm.sleeper()).says("sleeping").clone()).collect();
    let [one, other] = [0, 1].map(|index: usize| at_random(&sleepers[index].init()));
    let host = at_random(&engine::running_host());
    assert!(one != other && one != host && other != host);
}

/// Where libwasmedge is in a process.
fn library(process: &Process) -> String {
    let maps = fs::read_to_string(process.file("maps")).unwrap_or_default();
    let line = maps.lines().find(|line| line.contains("libwasmedge")).unwrap_or_default();
    line.split('-').next().unwrap_or_default().to_owned()
}

#[test]
fn an_idle_host_that_begins_anew_has_another_address_layout_and_serves_on() {
    let scene = Scene::new();
    let run = scene.docker(Kind::Wasm);
    run.run(["/hello.wasm"]).exits(0);
    let (socket, before) = (engine::socket(), library(&engine::running_host()));
    assert_ne!(before, "");
    // What earlier tests have earned may still be compiled, at the lowest priority, and a host with a compiler is not idle.
    engine::quiet();
    fs::write(format!("{}/renew", engine::STATE), "").unwrap();
    let now = || engine::host().map(|host| library(&host)).filter(|now| !now.is_empty() && *now != before);
    // A host that has nothing to do looks every ten seconds.
    assert!(within(Duration::from_secs(30), now).is_some(), "the host did not begin anew");
    assert_eq!(engine::socket(), socket);
    scene.docker(Kind::Wasm).run(["/hello.wasm"]).exits(0).prints("hello from wasm\n");
}
