//! Runs the console blocks of README.md and docs/ in the test node. What a page shows is what happens, or the page says
//! in its source why it is not run; the closing line counts both.

mod expected;
mod page;
mod session;

use std::{
    collections::BTreeMap,
    fs,
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
    process::ExitCode,
};

use e2e::{Scene, command};

use page::Block;

#[derive(Default)]
struct Tally {
    blocks: usize,
    run: usize,
    not_run: BTreeMap<String, usize>,
    failed: usize,
}

fn main() -> ExitCode {
    let chosen: Vec<String> = std::env::args().skip(1).collect();
    let mut tally = Tally::default();
    for path in pages().iter().filter(|path| chosen.is_empty() || chosen.iter().any(|name| path.ends_with(name))) {
        if let Err(fault) = run(path, &mut tally) {
            println!("{}:{fault}", path.display());
            tally.failed += 1;
        }
    }
    println!("{}", closing_line(&tally));
    if tally.failed == 0 && tally.run > 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// README.md and all of docs/.
fn pages() -> Vec<PathBuf> {
    let mut pages = vec![PathBuf::from("README.md")];
    let docs = fs::read_dir("docs").expect("the directory docs of the checkout");
    pages.extend(
        docs.flatten().map(|entry| entry.path()).filter(|path| path.extension().is_some_and(|kind| kind == "md")),
    );
    pages.sort();
    pages
}

/// Runs a page's blocks in one directory. What they leave in the node is removed, and anything else is a fault.
fn run(path: &Path, tally: &mut Tally) -> Result<(), String> {
    let text = fs::read_to_string(path).map_err(|error| format!(" {error}"))?;
    let blocks = page::blocks(&text)?;
    tally.blocks += blocks.len();
    let (to_run, not_run): (Vec<Block>, Vec<Block>) = blocks.into_iter().partition(|block| block.not_run.is_none());
    for block in not_run {
        *tally.not_run.entry(block.not_run.unwrap_or_default()).or_default() += block.commands.len();
    }
    if to_run.is_empty() {
        return Ok(());
    }
    tally.run += to_run.iter().map(|block| block.commands.len()).sum::<usize>();
    println!("{}: {} blocks", path.display(), to_run.len());
    let mut faults = Vec::new();
    let clean = catch_unwind(AssertUnwindSafe(|| {
        let scene = Scene::new();
        let before = containers();
        for block in &to_run {
            if let Err(fault) = session::run(block, scene.directory()) {
                faults.push(format!("{}: the block is not as it is:\n{fault}", block.line));
            }
        }
        for container in containers().iter().filter(|id| !before.contains(id)) {
            command("docker").args(["rm", "--force", "--volumes", container]).run();
        }
    }));
    if clean.is_err() {
        faults.push(" something is left in the node, or it does not answer; see above".to_owned());
    }
    if faults.is_empty() { Ok(()) } else { Err(faults.join(&format!("\n{}:", path.display()))) }
}

/// Docker's containers, by id.
fn containers() -> Vec<String> {
    let listed = command("docker").args(["ps", "--all", "--quiet"]).run();
    listed.stdout.lines().map(String::from).collect()
}

fn closing_line(tally: &Tally) -> String {
    let Tally { blocks, run, not_run, failed } = tally;
    let reasons: Vec<String> = not_run.iter().map(|(reason, count)| format!("{count}: {reason}")).collect();
    let reasons = if reasons.is_empty() { String::new() } else { format!(" ({})", reasons.join("; ")) };
    let left_out: usize = not_run.values().sum();
    let failed = if *failed == 0 { String::new() } else { format!("; FAILED: {failed} pages") };
    format!("make docs-test: {blocks} blocks, {run} commands run, {left_out} not run{reasons}{failed}")
}
