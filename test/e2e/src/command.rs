//! Programs with a deadline.

use std::{
    fmt, fs,
    io::{Read, Write},
    os::unix::process::ExitStatusExt,
    process::{Child, ChildStdin, ExitStatus, Stdio},
    sync::mpsc::{Receiver, channel},
    thread,
    time::{Duration, Instant},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use crate::{node, patient, until, within};

const DEADLINE: Duration = Duration::from_secs(60);

/// How long a stream may stay open when its process has ended: a child of it may have been left with it.
const DRAIN: Duration = Duration::from_secs(5);

/// A program to run.
#[derive(Clone, Debug)]
pub struct Command {
    words: Vec<String>,
    input: Option<Vec<u8>>,
    input_stays_open: bool,
    user: Option<u32>,
    directory: Option<String>,
    variables: Vec<(String, String)>,
    deadline: Duration,
}

/// What came of it.
#[derive(Clone, Debug)]
pub struct Finished {
    /// The command, as one would type it.
    pub line: String,
    /// Its exit code, or 128 plus the signal that killed it.
    pub code: i32,
    /// All it wrote to standard output.
    pub stdout: String,
    /// All it wrote to standard error.
    pub stderr: String,
    /// How long it took.
    pub took: Duration,
}

/// `program`, to be given arguments and run.
pub fn command(program: &str) -> Command {
    let words = vec![program.to_owned()];
    Command {
        words,
        input: None,
        input_stays_open: false,
        user: None,
        directory: None,
        variables: Vec::new(),
        deadline: DEADLINE,
    }
}

impl Command {
    /// Adds an argument.
    pub fn arg(mut self, word: impl Into<String>) -> Self {
        self.words.push(word.into());
        self
    }

    /// Adds arguments.
    pub fn args<T: Into<String>>(mut self, words: impl IntoIterator<Item = T>) -> Self {
        self.words.extend(words.into_iter().map(Into::into));
        self
    }

    /// Lets another program start it, whose words come before its own.
    pub fn through<T: Into<String>>(mut self, words: impl IntoIterator<Item = T>) -> Self {
        self.words.splice(0..0, words.into_iter().map(Into::into));
        self
    }

    /// What the program finds on standard input, which is empty otherwise.
    pub fn input(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.input = Some(bytes.into());
        self
    }

    /// Leaves standard input open, for [`Live::write`].
    pub fn open_input(mut self) -> Self {
        self.input_stays_open = true;
        self.input(Vec::new())
    }

    /// Runs the program as another user.
    pub fn user(mut self, uid: u32) -> Self {
        self.user = Some(uid);
        self
    }

    /// The program's working directory.
    pub fn directory(mut self, path: &str) -> Self {
        self.directory = Some(path.to_owned());
        self
    }

    /// Adds an environment variable.
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.variables.push((name.to_owned(), value.to_owned()));
        self
    }

    /// How long it may take, a minute otherwise; times the [patience](patient).
    pub fn deadline(mut self, limit: Duration) -> Self {
        self.deadline = limit;
        self
    }

    /// The command, as one would type it.
    pub fn line(&self) -> String {
        let quote = |word: &String| match word.contains([' ', '\n', '\'', '"', '$', ';']) || word.is_empty() {
            true => format!("{word:?}"),
            false => word.clone(),
        };
        self.words.iter().map(quote).collect::<Vec<_>>().join(" ")
    }

    /// The program as the standard library starts it, without streams yet.
    pub(crate) fn process(&self) -> std::process::Command {
        let mut command = std::process::Command::new(&self.words[0]);
        command.args(&self.words[1..]).envs(self.variables.clone());
        if let Some(directory) = &self.directory {
            command.current_dir(directory);
        }
        if let Some(uid) = self.user {
            std::os::unix::process::CommandExt::uid(&mut command, uid);
        }
        command
    }

    /// Starts the program and leaves it running.
    #[track_caller]
    pub fn spawn(&self) -> Live {
        let mut command = self.process();
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        command.stdin(if self.input.is_some() { Stdio::piped() } else { Stdio::null() });
        let start = Instant::now();
        let mut child = command.spawn().unwrap_or_else(|error| panic!("cannot start {}: {error}", self.words[0]));
        let mut stdin = child.stdin.take();
        if !self.input_stays_open
            && let (Some(mut pipe), Some(input)) = (stdin.take(), self.input.clone())
        {
            // A program that does not read all of it is no failure.
            thread::spawn(move || pipe.write_all(&input).ok());
        }
        let (stdout, stderr) = (collect(child.stdout.take()), collect(child.stderr.take()));
        Live { line: self.line(), child, stdin, stdout, stderr, start }
    }

    /// Runs the program to its end, whatever that is. Panics, and kills it, at the deadline.
    #[track_caller]
    pub fn finish(&self) -> Finished {
        match self.try_finish() {
            Ok(finished) => finished,
            Err(finished) => {
                panic!("not finished after {:?}, killed: {}\n{finished}", patient(self.deadline), self.line())
            }
        }
    }

    /// As [`Command::finish`], but a program that was killed at the deadline is an error.
    ///
    /// # Errors
    /// The killed program, with what it had said.
    pub fn try_finish(&self) -> Result<Finished, Finished> {
        let mut live = self.spawn();
        match live.wait(self.deadline) {
            true => Ok(live.end()),
            false => Err(live.end()),
        }
    }

    /// Runs the program, which must succeed.
    #[track_caller]
    pub fn run(&self) -> Finished {
        self.finish().exits(0)
    }
}

/// A program that runs.
pub struct Live {
    line: String,
    child: Child,
    stdin: Option<ChildStdin>,
    stdout: Stream,
    stderr: Stream,
    start: Instant,
}

impl Live {
    /// Waits for the end; `false` when it does not come within `limit`.
    pub fn wait(&mut self, limit: Duration) -> bool {
        within(limit, || matches!(self.child.try_wait(), Ok(Some(_))).then_some(())).is_some()
    }

    /// What it has written to standard output so far.
    pub fn stdout(&mut self) -> &str {
        self.stdout.so_far()
    }

    /// Writes to its standard input, which was left open.
    #[track_caller]
    pub fn write(&mut self, text: &str) {
        let stdin = self.stdin.as_mut().expect("standard input was left open");
        stdin.write_all(text.as_bytes()).unwrap_or_else(|error| panic!("writing {text:?} to {}: {error}", self.line));
    }

    /// Waits until it has written `text` to standard output.
    #[track_caller]
    pub fn says(&mut self, text: &str) {
        let what = format!("{text:?} on stdout of {}", self.line);
        until(&what, || self.stdout.so_far().contains(text).then_some(()));
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.child.id().cast_signed()), signal).expect("a child that was not waited for");
    }

    /// Kills it if it still runs and returns what came of it.
    pub fn end(mut self) -> Finished {
        drop(self.stdin.take());
        // It may have ended by now.
        let _ = self.child.kill();
        let status = self.child.wait().expect("waiting for a child");
        let took = self.start.elapsed();
        Finished {
            line: std::mem::take(&mut self.line),
            code: exit_code(status),
            stdout: self.stdout.all(),
            stderr: self.stderr.all(),
            took,
        }
    }
}

/// As shells tell it: 128 plus the signal's number after a signal.
pub(crate) fn exit_code(status: ExitStatus) -> i32 {
    status.code().or(status.signal().map(|number| 128 + number)).unwrap_or(-1)
}

/// What a thread reads from a pipe.
pub(crate) struct Stream {
    pieces: Receiver<Vec<u8>>,
    bytes: Vec<u8>,
    text: String,
}

pub(crate) fn collect(pipe: Option<impl Read + Send + 'static>) -> Stream {
    let (sender, pieces) = channel();
    thread::spawn(move || {
        let Some(mut pipe) = pipe else { return };
        let mut piece = vec![0; 65_536];
        while let Ok(length @ 1..) = pipe.read(&mut piece) {
            if sender.send(piece[..length].to_vec()).is_err() {
                return;
            }
        }
    });
    Stream { pieces, bytes: Vec::new(), text: String::new() }
}

impl Stream {
    pub(crate) fn so_far(&mut self) -> &str {
        self.bytes.extend(self.pieces.try_iter().flatten());
        self.text = String::from_utf8_lossy(&self.bytes).into_owned();
        &self.text
    }

    pub(crate) fn all(mut self) -> String {
        while let Ok(piece) = self.pieces.recv_timeout(patient(DRAIN)) {
            self.bytes.extend(piece);
        }
        String::from_utf8_lossy(&self.bytes).into_owned()
    }
}

impl Finished {
    /// Panics unless the exit code is `code`.
    #[track_caller]
    pub fn exits(self, code: i32) -> Self {
        let said = self.stderr.lines().next().unwrap_or_default();
        assert!(self.code == code, "expected exit code {code}, not {}: {said}\n{self}", self.code);
        self
    }

    /// Panics unless it failed, with any code.
    #[track_caller]
    pub fn fails(self) -> Self {
        assert!(self.code != 0, "expected a failure\n{self}");
        self
    }

    /// Panics unless standard output is `text`.
    #[track_caller]
    pub fn prints(self, text: &str) -> Self {
        assert!(self.stdout == text, "expected {text:?} on stdout, not {}\n{self}", start_of(&self.stdout));
        self
    }

    /// Panics unless standard error is `text`.
    #[track_caller]
    pub fn complains(self, text: &str) -> Self {
        assert!(self.stderr == text, "expected {text:?} on stderr, not {}\n{self}", start_of(&self.stderr));
        self
    }

    /// Panics unless standard output has `part` in it.
    #[track_caller]
    pub fn says_on_stdout(self, part: &str) -> Self {
        assert!(self.stdout.contains(part), "expected {part:?} on stdout\n{self}");
        self
    }

    /// Panics unless one line of standard error has every one of `parts`: a cause that people can act on.
    #[track_caller]
    pub fn says_in_one_line(self, parts: &[&str]) -> Self {
        let found = self.stderr.lines().any(|line| parts.iter().all(|part| line.contains(part)));
        assert!(found, "expected one line on stderr with all of {parts:?}\n{self}");
        self
    }

    /// Panics unless it took less than `limit` times the [patience](patient).
    #[track_caller]
    pub fn takes_less_than(self, limit: Duration) -> Self {
        let limit = patient(limit);
        assert!(self.took < limit, "expected less than {limit:?}, not {:?}\n{self}", self.took);
        self
    }

    /// The lines of standard output.
    pub fn lines(&self) -> Vec<&str> {
        self.stdout.lines().collect()
    }

    /// The value of `key=value` on standard output.
    #[track_caller]
    pub fn value(&self, key: &str) -> &str {
        let found = self.stdout.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('='));
        found.unwrap_or_else(|| panic!("no line {key}=… on stdout\n{self}"))
    }
}

impl fmt::Display for Finished {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "  command: {}", self.line)?;
        writeln!(f, "  exit code {} after {:.2} s", self.code, self.took.as_secs_f64())?;
        writeln!(f, "  stdout: {}", shorten(&self.stdout))?;
        writeln!(f, "  stderr: {}", shorten(&self.stderr))?;
        write!(f, "  {}", node::hint())
    }
}

/// As much of a text as the first line of a failure can hold, with its control characters visible.
fn start_of(text: &str) -> String {
    format!("{:?}", &text[..text.floor_char_boundary(100)])
}

/// The beginning and the end of a long text.
fn shorten(text: &str) -> String {
    const KEPT: usize = 3000;
    let text = text.trim_end();
    let (head, tail) = (text.floor_char_boundary(KEPT), text.ceil_char_boundary(text.len().saturating_sub(KEPT)));
    let text = match head < tail {
        true => format!("{}\n[… {} bytes …]\n{}", &text[..head], tail - head, &text[tail..]),
        false => text.to_owned(),
    };
    if text.contains('\n') { format!("\n    {}", text.replace('\n', "\n    ")) } else { text }
}

/// The text of a file of the node; panics with its name where it cannot be read.
#[track_caller]
pub fn read(path: impl AsRef<std::path::Path>) -> String {
    let path = path.as_ref();
    fs::read_to_string(path).unwrap_or_else(|error| panic!("reading {}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn code_and_both_streams_come_back_and_input_goes_in() {
        let finished = command("sh").args(["-c", "cat; echo oops >&2; exit 3"]).input("hello").finish();
        finished.exits(3).prints("hello").complains("oops\n");
    }

    #[test]
    fn a_program_that_hangs_is_killed_at_the_deadline() {
        let killed = command("sh").args(["-c", "echo here; exec sleep 60"]).deadline(Duration::from_millis(300));
        let finished = killed.try_finish().unwrap_err();
        assert_eq!((finished.code, &*finished.stdout), (137, "here\n"));
    }

    #[test]
    fn a_long_text_keeps_its_ends() {
        let text = format!("{}{}{}", "a".repeat(3000), "ü".repeat(3000), "z".repeat(3000));
        let short = shorten(&text);
        assert!(short.len() < 6200 && short.contains("aaa\n") && short.contains("zzz"));
    }
}
