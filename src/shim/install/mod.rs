//! `install`, `uninstall` and `check`: what people call, and containerd never does.
//!
//! A plan is made of all that is to be done, shown (`--dry-run`) or done. Files are only added, or added to; what was
//! there stays as it is, byte for byte, and comes back by `uninstall`.

mod apply;
mod check;
mod class;
mod configuration;
mod containerd;
mod docker;
mod edit;
#[cfg(test)]
mod golden;
mod handler;
mod json;
mod kind;
mod options;
mod plan;
mod planner;
mod process;
mod programs;
mod record;
mod restart;
mod root;
mod running;
mod stale;
mod target;
#[cfg(test)]
mod tests;
mod uninstall;
mod version;

use std::{ffi::OsString, process::ExitCode};

use anyhow::{Context, Result};

use kind::Kind;
use options::{HELP, Options, Verb};
use plan::{Change, Plan};
use planner::Planner;
use programs::Source;
use root::Root;

/// Does what the command line says; `None` if it is none of these commands.
pub fn command(words: &[OsString]) -> Option<ExitCode> {
    let verb = Verb::named(words.first()?.to_str()?)?;
    Some(run(verb, &words[1..]).unwrap_or_else(|error| {
        eprintln!("{}: {error:#}", programs::SHIM);
        ExitCode::FAILURE
    }))
}

fn run(verb: Verb, words: &[OsString]) -> Result<ExitCode> {
    let options = Options::parse(verb, words.iter().cloned()).context("see --help")?;
    if options.help {
        print!("{HELP}");
        return Ok(ExitCode::SUCCESS);
    }
    let root = Root::new(&options.root)?;
    let plan = match verb {
        Verb::Check => return check::command(&options, &root),
        Verb::Install => install(&options, &root, &programs::own()?)?,
        Verb::Uninstall => uninstall::plan(&options, &root)?,
    };
    match options.dry_run {
        true => print!("{plan}"),
        false => carry_out(&root, &plan)?,
    }
    Ok(ExitCode::SUCCESS)
}

/// What an installation of these programs, by their names, has to do.
fn install(options: &Options, root: &Root, programs: &[(&str, Source)]) -> Result<Plan> {
    let targets = target::chosen(options, root)?;
    let mut planner = Planner::new(root, options.class.as_ref())?;
    for (name, source) in programs {
        match source {
            Source::File(file) => planner.copy(file, &options.prefix.join(name))?,
            Source::Link(target) => planner.link(target, &options.prefix.join(name))?,
        }
    }
    let mut touched = Vec::new();
    for target in &targets {
        let before = planner.count();
        planner.target(target);
        match target.kind {
            Kind::Docker => docker::plan(&mut planner, target, options)?,
            _ => containerd::plan(&mut planner, target, options)?,
        }
        // One that was killed may have written it, and not restarted what reads it.
        let ours: Vec<_> = stale::files(target, root).into_iter().filter(|file| planner.has_written(file)).collect();
        if planner.count() > before || stale::changed_since_start(target, root, &ours).is_some() {
            touched.push(target);
        }
    }
    let mut units = Vec::new();
    for target in touched.into_iter().filter(|target| target.process.is_some()) {
        match options.restart {
            true => units.extend(restart::unit(target)?.map(Change::Restart)),
            false => planner.note(format!("to take effect: {}", restart::advice(target))),
        }
    }
    let mut plan = planner.finish();
    plan.changes.extend(units);
    Ok(plan)
}

/// Does what is planned, and says so.
fn carry_out(root: &Root, plan: &Plan) -> Result<()> {
    if plan.changes.is_empty() {
        print!("{plan}");
        return Ok(());
    }
    let _lock = apply::lock(root)?;
    for change in &plan.changes {
        apply::apply(root, change)?;
        println!("{}", change.done());
    }
    plan.notes.iter().for_each(|note| println!("note: {note}"));
    Ok(())
}
