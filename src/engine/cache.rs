//! `wasmedge-engine cache`: the node's native code, for people.

use std::{
    fs,
    path::PathBuf,
    process::ExitCode,
    thread::sleep,
    time::{Duration, Instant, SystemTime},
};

use anyhow::{Context, Result, anyhow, bail};
use indicatif::{HumanBytes, HumanDuration, ProgressBar, ProgressStyle};
use lexopt::{Arg, Parser, ValueExt};
use wasmedge_shim_protocol::{Aot, AotPolicy, Location, Optimization};

use crate::{
    aot::{Entry, Key, Store, compiling, obtain_in_background},
    compile::optimization_of,
    wasm::Features,
};

/// What the optimizing compiler gets through, in bytes a second: for the bar only.
const PACE: u64 = 500_000;

/// How many steps the bar has.
const STEPS: u64 = 1000;

/// Parses the arguments and does what they say.
pub fn command(mut parser: Parser) -> Result<ExitCode> {
    let verb = parser.next()?;
    let store = Store::new(&Location::default(), u64::from(Aot::default().cache_mib) << 20);
    match verb {
        Some(Arg::Value(verb)) => match verb.string()?.as_str() {
            "list" => list(&store),
            "warm" => return warm(&store, parser),
            "verify" => return Ok(verify(&store)),
            "prune" => prune(&store, parser)?,
            other => bail!("there is no command \"cache {other}\"; see wasmedge-engine --help"),
        },
        Some(other) => return Err(other.unexpected().into()),
        None => bail!("cache needs list, warm, verify or prune"),
    }
    Ok(ExitCode::SUCCESS)
}

fn list(store: &Store) {
    let entries = store.entries();
    println!("{:<16} {:<16} {:<5} {:>10} {:>14}", "MODULE", "ENGINE", "LEVEL", "SIZE", "LAST USED");
    for entry in entries.iter().rev() {
        let (module, level) = entry.name.split_once('-').unwrap_or((&entry.name, ""));
        let age = SystemTime::now().duration_since(entry.used).unwrap_or_default();
        let age = format!("{} ago", HumanDuration(age));
        let engine = if entry.is_current() { "this" } else { &entry.engine };
        let (module, size) = (module.get(..16).unwrap_or(module), HumanBytes(entry.size).to_string());
        println!("{module:<16} {engine:<16} {level:<5} {size:>10} {age:>14}");
    }
    let total = entries.iter().map(|entry| entry.size).sum();
    println!("{} entries, {}", entries.len(), HumanBytes(total));
}

fn verify(store: &Store) -> ExitCode {
    let (mut good, mut bad) = (0, 0);
    for entry in store.entries() {
        match store.verify(&entry) {
            Ok(()) => good += 1,
            Err(error) => {
                store.remove(&entry);
                println!("{}/{}: {error}; removed", entry.engine, entry.name);
                bad += 1;
            }
        }
    }
    println!("{good} good, {bad} bad");
    if bad == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn prune(store: &Store, mut parser: Parser) -> Result<()> {
    let (mut all, mut size) = (false, None);
    while let Some(arg) = parser.next()? {
        match arg {
            Arg::Long("all") => all = true,
            Arg::Long("to") => size = Some(parser.value()?.parse::<u64>().context("--to: MiB are expected")? << 20),
            other => return Err(other.unexpected().into()),
        }
    }
    let mut removed: u64 = 0;
    for entry in store.entries().into_iter().filter(|entry: &Entry| all || !entry.is_current()) {
        store.remove(&entry);
        removed += entry.size;
    }
    if let Some(size) = size {
        removed += store.prune(size, None);
    }
    println!("{} removed", HumanBytes(removed));
    Ok(())
}

fn warm(store: &Store, mut parser: Parser) -> Result<ExitCode> {
    let (mut level, mut files) = (Optimization::O2, Vec::new());
    while let Some(arg) = parser.next()? {
        match arg {
            Arg::Short('O') => level = optimization_of(&mut parser)?,
            Arg::Value(file) => files.push(PathBuf::from(file)),
            other => return Err(other.unexpected().into()),
        }
    }
    if files.is_empty() {
        bail!("cache warm needs a module");
    }
    let mut code = ExitCode::SUCCESS;
    for file in files {
        let name = file.display().to_string();
        let module = fs::read(&file).with_context(|| format!("cannot read {name}"))?;
        match warm_one(store, &name, &module, level) {
            Ok(took) => println!("{name}: {took}"),
            Err(error) => {
                eprintln!("wasmedge-engine: {name}: {error:#}");
                code = ExitCode::FAILURE;
            }
        }
    }
    Ok(code)
}

/// Compiles in the background, where it goes on if this command is interrupted, and shows how it goes.
fn warm_one(store: &Store, name: &str, module: &[u8], level: Optimization) -> Result<String> {
    let (key, begin) = (Key::of(module, Features::default()), Instant::now());
    if store.get(&key, level).is_some() {
        return Ok("is in the cache".to_owned());
    }
    let wanted = Aot { policy: AotPolicy::Require, level, ..Aot::default() };
    obtain_in_background(store, &wanted, &key, module).map_err(|cause| anyhow!(cause))?;
    let bar = ProgressBar::new(STEPS).with_style(ProgressStyle::with_template("{msg} [{bar:30}] {elapsed}")?);
    bar.set_message(name.to_owned());
    let expected = module.len() as u64 / PACE + 1;
    while compiling(store, &key) {
        // It slows down towards the end, which nobody knows: 1 - e^(-t/T).
        let share = 1.0 - (-begin.elapsed().as_secs_f64() / expected as f64).exp();
        bar.set_position((share * STEPS as f64) as u64);
        sleep(Duration::from_millis(50));
    }
    bar.finish_and_clear();
    match (store.get(&key, level), store.failure(&key)) {
        (Some(_), _) => Ok(format!("compiled in {:.1} s", begin.elapsed().as_secs_f64())),
        (None, Some(cause)) => bail!(cause),
        (None, None) => bail!("its compiler was killed"),
    }
}
