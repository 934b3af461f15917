//! A container's stdout and stderr as containerd's clients make them: FIFOs, read while the container runs.

use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use nix::sys::stat::Mode;
use tokio::net::unix::pipe;
use tokio::task::JoinSet;

/// The folder of the containers' FIFOs.
pub const RUN: &str = "/run/wasmedge-bench";

/// How long the end of the output may come after the task's deletion.
const LATE: Duration = Duration::from_secs(10);

/// What a container has written.
#[derive(Clone, Debug, Default)]
pub struct Output {
    pub stdout: String,
    pub stderr: String,
    /// When the first bytes came to stdout.
    pub first: Option<Instant>,
}

/// All bytes of a FIFO, and when the first ones came.
type Read = (Vec<u8>, Option<Instant>);

/// Two FIFOs in a folder of their own and those who read them; both go with this.
#[derive(Debug)]
pub struct Fifos {
    folder: PathBuf,
    readers: JoinSet<io::Result<(usize, Read)>>,
}

impl Fifos {
    /// Makes the FIFOs of container `id` and starts to read.
    pub fn new(id: &str) -> Result<Self> {
        let folder = Path::new(RUN).join(id);
        fs::create_dir_all(&folder).with_context(|| format!("creating {}", folder.display()))?;
        let mut fifos = Self { folder, readers: JoinSet::new() };
        for (index, path) in [fifos.stdout(), fifos.stderr()].into_iter().enumerate() {
            let fifo = open(Path::new(&path)).with_context(|| format!("making the FIFO {path}"))?;
            fifos.readers.spawn(async move { Ok((index, read(&fifo).await?)) });
        }
        Ok(fifos)
    }

    pub fn stdout(&self) -> String {
        format!("{}/stdout", self.folder.display())
    }

    pub fn stderr(&self) -> String {
        format!("{}/stderr", self.folder.display())
    }

    /// All that was written, once nobody can write any more.
    pub async fn output(mut self) -> Result<Output> {
        let mut output = Output::default();
        let join = async {
            while let Some(done) = self.readers.join_next().await {
                let (index, (bytes, first)) = done??;
                let text = String::from_utf8_lossy(&bytes).into_owned();
                match index {
                    0 => (output.stdout, output.first) = (text, first),
                    _ => output.stderr = text,
                }
            }
            anyhow::Ok(())
        };
        tokio::time::timeout(LATE, join).await.context("somebody holds its output open after its deletion")??;
        Ok(output)
    }
}

impl Drop for Fifos {
    fn drop(&mut self) {
        // What cannot be removed now is left to the sweep at the end.
        let _ = fs::remove_dir_all(&self.folder);
    }
}

fn open(path: &Path) -> Result<pipe::Receiver> {
    nix::unistd::mkfifo(path, Mode::S_IRUSR | Mode::S_IWUSR)?;
    Ok(pipe::OpenOptions::new().open_receiver(path)?)
}

/// Reads to the end. A FIFO that nobody has opened for writing yet looks as if at its end to read(2), not to epoll: so
/// each read waits for epoll first.
async fn read(fifo: &pipe::Receiver) -> io::Result<Read> {
    let (mut bytes, mut first) = (Vec::new(), None);
    let mut part = [0; 4096];
    loop {
        fifo.readable().await?;
        match fifo.try_read(&mut part) {
            Ok(0) => return Ok((bytes, first)),
            Ok(length) => {
                first.get_or_insert_with(Instant::now);
                bytes.extend(&part[..length]);
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
}
