//! `wasmedge-engine cache`: the node's native code, for people.

mod source;
mod warm;

use std::{process::ExitCode, time::SystemTime};

use anyhow::{Context, Result, bail};
use indicatif::{HumanBytes, HumanDuration};
use lexopt::{Arg, Parser, ValueExt};
use wasmedge_shim_protocol::{Aot, Location};

use crate::aot::{Entry, Store};

/// Parses the arguments and does what they say.
pub fn command(mut parser: Parser) -> Result<ExitCode> {
    let verb = parser.next()?;
    let store = Store::new(&Location::default(), u64::from(Aot::default().cache_mib) << 20);
    match verb {
        Some(Arg::Value(verb)) => match verb.string()?.as_str() {
            "list" => list(&store),
            "warm" => return warm::command(&store, parser),
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
        if store.evict(&entry) {
            removed += entry.size;
        }
    }
    if let Some(size) = size {
        removed += store.prune(size, None);
    }
    println!("{} removed", HumanBytes(removed));
    Ok(())
}
