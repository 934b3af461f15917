//! `wasmedge-engine cache warm`: native code before the first container needs it.

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
    thread::sleep,
    time::{Duration, Instant},
};

use anyhow::{Result, anyhow, bail};
use indicatif::{ProgressBar, ProgressStyle};
use lexopt::{Arg, Parser, ValueExt};
use wasmedge_shim_protocol::{Aot, AotPolicy, Location, Optimization};

use super::source::{self, Source};
use crate::{
    aot::{Key, Module, Store, Tenant, compiling, obtain_in_background},
    compile::optimization_of,
    containerd::Client,
    wasm::{Features, Kind, classify},
};

/// What the optimizing compiler gets through, in bytes a second: for the bar only.
const PACE: u64 = 500_000;

/// How many steps the bar has.
const STEPS: u64 = 1000;

/// Parses the arguments and compiles.
pub fn command(store: &Store, mut parser: Parser) -> Result<ExitCode> {
    let (mut level, mut names) = (Optimization::O2, Vec::new());
    let mut namespace = "default".to_owned();
    let mut address = PathBuf::from("/run/containerd/containerd.sock");
    while let Some(arg) = parser.next()? {
        match arg {
            Arg::Short('O') => level = optimization_of(&mut parser)?,
            Arg::Short('n') | Arg::Long("namespace") => namespace = parser.value()?.string()?,
            Arg::Short('a') | Arg::Long("address") => address = parser.value()?.into(),
            Arg::Value(name) => names.push(PathBuf::from(name)),
            other => return Err(other.unexpected().into()),
        }
    }
    if names.is_empty() {
        bail!("cache warm needs a module or an image");
    }
    let mut all_well = true;
    for name in names {
        // The connection ends before anything is compiled.
        let sources = match name.exists() {
            true => source::of_file(&name),
            false => of_image(&address, &namespace, &name),
        };
        match sources {
            Ok(sources) => {
                all_well &= sources.iter().map(|one| warm(store, one, level)).fold(true, |all, one| all & one)
            }
            Err(error) => {
                eprintln!("wasmedge-engine: {}: {error:#}", name.display());
                all_well = false;
            }
        }
    }
    Ok(if all_well { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn of_image(address: &Path, namespace: &str, name: &Path) -> Result<Vec<Source>> {
    let mut client = Client::connect(address, namespace)?;
    source::of_image(&Location::default(), &mut client, &name.to_string_lossy())
}

/// Compiles one module and says how it went; `false` where that is a failure of what was asked for.
fn warm(store: &Store, source: &Source, level: Optimization) -> bool {
    let name = &source.name;
    if !source.main && classify(&source.module) != Kind::Module {
        println!("{name}: skipped, it is no module");
        return true;
    }
    match warm_one(store, name, &source.module, level) {
        Ok(took) => {
            println!("{name}: {took}");
            true
        }
        Err(error) => {
            eprintln!("wasmedge-engine: {name}: {error:#}");
            !source.main
        }
    }
}

/// Compiles in the background, where it goes on if this command is interrupted, and shows how it goes.
fn warm_one(store: &Store, name: &str, module: &[u8], level: Optimization) -> Result<String> {
    let (key, begin) = (Key::of(module, Features::default()), Instant::now());
    if store.get(&key, level).is_some() {
        return Ok("is in the cache".to_owned());
    }
    let wanted = Aot { policy: AotPolicy::Require, level, ..Aot::default() };
    // The first time, a container's compilation to another level may have been under way.
    for _ in 0..2 {
        obtain_in_background(store, &wanted, &key, Module::Bytes(module)).map_err(|cause| anyhow!(cause))?;
        show_progress(store, &key, name, module.len() as u64)?;
        if store.get(&key, level).is_some() {
            return Ok(format!("compiled in {:.1} s", begin.elapsed().as_secs_f64()));
        }
        if let Some(cause) = store.failures().get(&key) {
            bail!(cause);
        }
    }
    bail!("its compiler was killed")
}

/// Returns when nobody compiles the module any more, which has `size` bytes.
fn show_progress(store: &Store, key: &Key, name: &str, size: u64) -> Result<()> {
    let bar = ProgressBar::new(STEPS).with_style(ProgressStyle::with_template("{msg} [{bar:30}] {elapsed}")?);
    bar.set_message(name.to_owned());
    let (begin, expected) = (Instant::now(), size / PACE + 1);
    while compiling(store, key, Tenant::ADMIN) {
        // It slows down towards the end, which nobody knows: 1 - e^(-t/T).
        let share = 1.0 - (-begin.elapsed().as_secs_f64() / expected as f64).exp();
        bar.set_position((share * STEPS as f64) as u64);
        sleep(Duration::from_millis(50));
    }
    bar.finish_and_clear();
    Ok(())
}
