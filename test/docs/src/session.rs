//! A block's commands in one shell, and what each printed.

use std::{path::Path, time::Duration};

use e2e::command;

use crate::{expected, page::Block};

const DEADLINE: Duration = Duration::from_secs(120);

/// Ends what a command printed on standard output, on standard error, and its exit code; no program here prints it.
const END: char = '\u{1e}';

/// What became of a command.
#[derive(Default)]
struct Outcome {
    stdout: String,
    stderr: String,
    code: Option<i32>,
}

impl Outcome {
    /// Which of the two streams comes first is not the program's to say where a client copies them: either order is right.
    fn printed(&self, lines: &[String]) -> bool {
        let Self { stdout, stderr, .. } = self;
        expected::matches(lines, &format!("{stdout}{stderr}")) || expected::matches(lines, &format!("{stderr}{stdout}"))
    }

    fn text(&self) -> String {
        let code = self.code.map_or("none, the shell has ended".to_owned(), |code| code.to_string());
        format!("--- it printed, exit code {code}:\n{}{}\n", self.stdout, self.stderr)
    }
}

/// Runs `block` in `directory`, and what is marked to come before and after it. `$CHECKOUT` is this checkout's directory
/// there, `$WORKLOADS` that of the test modules.
///
/// # Errors
/// Each command that did not do what the page says, with what it did.
pub fn run(block: &Block, directory: &Path) -> Result<(), String> {
    let shown = block.commands.iter().map(|command| &command.text);
    let all: Vec<&String> = block.first.iter().chain(shown).chain(&block.last).collect();
    let mut outcomes = outcomes(&all, directory)?.into_iter();
    let mut next = || outcomes.next().unwrap_or_default();
    let mut faults = String::new();
    for hidden in &block.first {
        faults += &succeeded(hidden, &next());
    }
    for command in &block.commands {
        let outcome = next();
        if outcome.code != Some(command.code) || !outcome.printed(&command.expected) {
            let (text, wanted) = (&command.text, command.expected.join("\n"));
            faults +=
                &format!("$ {text}\n--- the page says, exit code {}:\n{wanted}\n{}", command.code, outcome.text());
        }
    }
    for hidden in &block.last {
        faults += &succeeded(hidden, &next());
    }
    if faults.is_empty() { Ok(()) } else { Err(faults) }
}

fn outcomes(commands: &[&String], directory: &Path) -> Result<Vec<Outcome>, String> {
    let checkout = std::env::current_dir().expect("a working directory");
    // The streams go to files: each is complete then, in one piece.
    let streams = tempfile::tempdir().map_err(|error| format!("a directory for what is printed: {error}"))?;
    let mut script = String::new();
    for command in commands {
        script += &format!(
            "{{\n{command}\n}} >\"$STREAMS/out\" 2>\"$STREAMS/err\" </dev/null; code=$?\n\
             cat \"$STREAMS/out\"; printf '{END}'; cat \"$STREAMS/err\"; printf '{END}%s{END}' $code\n"
        );
    }
    let finished = command("bash")
        .args(["-c", &script])
        .directory(&directory.display().to_string())
        .env("STREAMS", &streams.path().display().to_string())
        .env("CHECKOUT", &checkout.display().to_string())
        .env("WORKLOADS", &format!("{}/target/test-images/workloads/wasm32-wasip1/release", checkout.display()))
        .deadline(DEADLINE)
        .try_finish()
        .map_err(|killed| format!("not finished after {DEADLINE:?}:\n{}", killed.stdout))?;
    let pieces: Vec<&str> = finished.stdout.split(END).collect();
    let outcome = |piece: &[&str]| Outcome {
        stdout: piece[0].to_owned(),
        stderr: piece[1].to_owned(),
        code: piece[2].parse().ok(),
    };
    Ok(pieces.chunks_exact(3).map(outcome).collect())
}

fn succeeded(command: &str, outcome: &Outcome) -> String {
    if outcome.code == Some(0) { String::new() } else { format!("{command}\n{}", outcome.text()) }
}
