//! FIFOs as containerd makes them for the standard streams of a process.

use std::{
    fs::{File, OpenOptions},
    os::unix::fs::OpenOptionsExt,
    path::PathBuf,
    time::Duration,
};

use crate::{Scene, command, command::Live, shim::Streams};

/// Three FIFOs in a scene's directory.
#[derive(Clone, Debug)]
pub struct Fifos {
    /// What the process reads.
    pub stdin: PathBuf,
    /// What it writes.
    pub stdout: PathBuf,
    /// What it writes besides.
    pub stderr: PathBuf,
}

/// Reads standard output; standard error is read too.
pub struct Reader {
    stdout: Live,
    _stderr: Live,
}

impl Fifos {
    /// FIFOs that nobody has opened.
    #[track_caller]
    pub fn new(scene: &Scene, name: &str) -> Self {
        let [stdin, stdout, stderr] = ["stdin", "stdout", "stderr"].map(|stream| {
            let path = scene.directory().join(format!("{name}-{stream}"));
            command("mkfifo").arg(path.display().to_string()).run();
            path
        });
        Self { stdin, stdout, stderr }
    }

    /// FIFOs whose output is read.
    #[track_caller]
    pub fn with_reader(scene: &Scene, name: &str) -> (Self, Reader) {
        let fifos = Self::new(scene, name);
        let read = |path: &PathBuf| command("cat").arg(path.display().to_string()).spawn();
        let reader = Reader { stdout: read(&fifos.stdout), _stderr: read(&fifos.stderr) };
        (fifos, reader)
    }

    /// Opens both outputs without reading. A shim may wait for this before it makes anything.
    #[track_caller]
    pub fn open(&self) -> [File; 2] {
        let open = |path: &PathBuf| OpenOptions::new().read(true).custom_flags(nix::libc::O_NONBLOCK).open(path);
        [&self.stdout, &self.stderr].map(|path| open(path).expect("opening a FIFO"))
    }

    /// The FIFOs as a request has them.
    pub fn streams(&self) -> Streams {
        let text = |path: &PathBuf| path.display().to_string();
        Streams { stdin: text(&self.stdin), stdout: text(&self.stdout), stderr: text(&self.stderr), terminal: false }
    }

    /// As [`Fifos::streams`], without input.
    pub fn output(&self) -> Streams {
        Streams { stdin: String::new(), ..self.streams() }
    }
}

impl Reader {
    /// Waits until standard output holds `text`.
    #[track_caller]
    pub fn says(&mut self, text: &str) {
        self.stdout.says(text);
    }

    /// Waits for the end of standard output: all of it.
    #[track_caller]
    pub fn end(mut self) -> String {
        assert!(self.stdout.wait(Duration::from_secs(10)), "standard output does not end");
        self.stdout.end().stdout
    }
}
