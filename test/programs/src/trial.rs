//! The same program with the same arguments, by both runtimes.

use std::{
    fs::{self, OpenOptions},
    io::Write,
    path::Path,
    time::Duration,
};

use e2e::{Finished, Kind, Scene};

use crate::{Program, contents};

/// How long a program may take. Large modules are compiled without optimization.
const DEADLINE: Duration = Duration::from_secs(180);

/// Each comparison adds a line to the file of this name, for the closing line of test/programs/run.
const COUNT: &str = "PROGRAMS_COMPARISONS";

/// A program, how it is run, and the volume `/data` that it finds.
pub struct Trial {
    program: Program,
    arguments: Vec<String>,
    flags: Vec<String>,
    input: Option<Vec<u8>>,
    prepare: Box<dyn Fn(&Path)>,
    mode: &'static str,
    same_contents: bool,
}

/// What came of it.
#[derive(Debug)]
pub struct Outcome {
    /// The program's streams and exit code.
    pub finished: Finished,
    /// What the volume held at the end, see [`contents`].
    pub contents: Vec<String>,
}

impl Trial {
    /// The program with these arguments, an empty volume and no input.
    pub(crate) fn new(program: Program, arguments: Vec<String>) -> Self {
        Self {
            program,
            arguments,
            flags: Vec::new(),
            input: None,
            prepare: Box::new(|_| ()),
            mode: "",
            same_contents: true,
        }
    }

    /// Adds flags of `docker run`.
    pub fn flags<T: Into<String>>(mut self, flags: impl IntoIterator<Item = T>) -> Self {
        self.flags.extend(flags.into_iter().map(Into::into));
        self
    }

    /// What the program finds on standard input.
    pub fn input(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.input = Some(bytes.into());
        self
    }

    /// Fills the volume.
    pub fn volume(mut self, prepare: impl Fn(&Path) + 'static) -> Self {
        self.prepare = Box::new(prepare);
        self
    }

    /// Mounts the volume read-only.
    pub fn read_only(mut self) -> Self {
        self.mode = ":ro";
        self
    }

    /// Leaves out of the comparison what the volume holds: its files have the program's version in them.
    pub fn other_contents(mut self) -> Self {
        self.same_contents = false;
        self
    }

    /// Runs the program by one runtime, with a volume of its own.
    #[track_caller]
    pub fn run(&self, scene: &Scene, kind: Kind) -> Outcome {
        let volume = scene.directory().join(scene.name());
        fs::create_dir(&volume).expect("a directory of the scene");
        (self.prepare)(&volume);
        let mount = format!("{}:/data{}", volume.display(), self.mode);
        let mut run = self.program.docker(scene, kind).flags(["-v", &mount]).flags(self.flags.clone());
        if let Some(input) = &self.input {
            run = run.input(input.clone());
        }
        let command = run.command(self.program.words(kind, self.arguments.clone()));
        Outcome { finished: command.deadline(DEADLINE).finish(), contents: contents(&volume) }
    }

    /// Runs it by both runtimes. Panics unless it prints the same and ends with the same exit code, and leaves the same in
    /// its volume; returns what came of the module.
    #[track_caller]
    pub fn same_as_under_runc(&self, scene: &Scene) -> Outcome {
        let (ours, theirs) = (self.run(scene, Kind::Wasm), self.run(scene, Kind::Runc));
        // Docker's own exit codes: two that did not even start are not the same.
        assert!(!(125..=127).contains(&theirs.finished.code), "the Linux program was not run\n{}", theirs.finished);
        compare("stdout", &ours.finished.stdout, &theirs.finished.stdout, &ours.finished);
        let (code, expected) = (ours.finished.code, theirs.finished.code);
        assert!(code == expected, "exit code {code}, under runc {expected}\n{}", ours.finished);
        if self.same_contents {
            compare("the volume", &ours.contents.join("\n"), &theirs.contents.join("\n"), &ours.finished);
        }
        self.count();
        ours
    }

    fn count(&self) {
        let Some(path) = std::env::var_os(COUNT) else { return };
        let line = format!("{} {:?}\n", self.program.module, self.arguments);
        let written = OpenOptions::new().append(true).create(true).open(&path);
        written.and_then(|mut file| file.write_all(line.as_bytes())).expect("the file that counts comparisons");
    }
}

/// Panics with the first line in which two texts differ.
#[track_caller]
fn compare(what: &str, ours: &str, theirs: &str, finished: &Finished) {
    if ours == theirs {
        return;
    }
    let (mut here, mut there) = (ours.lines(), theirs.lines());
    for number in 1.. {
        let (one, other) = (here.next(), there.next());
        assert!(
            one == other && one.is_some(),
            "not as under runc: line {number} of {what} is {one:?}, under runc {other:?}\n{finished}"
        );
    }
}
