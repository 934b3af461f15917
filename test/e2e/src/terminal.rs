//! Programs on a terminal of their own: what a person at a keyboard does.

use std::{
    fs::File,
    io::Write,
    os::fd::{AsFd, AsRawFd},
    process::{Child, Stdio},
    time::{Duration, Instant},
};

use nix::{
    libc,
    pty::{Winsize, openpty},
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use crate::{
    Command, Finished,
    command::{Stream, collect, exit_code},
    patient, within,
};

nix::ioctl_write_ptr_bad!(set_window_size, libc::TIOCSWINSZ, Winsize);

const LIMIT: Duration = Duration::from_secs(10);

/// A program that has a terminal as its three standard streams. Dropped, it is killed.
pub struct Terminal {
    line: String,
    child: Child,
    screen: Stream,
    keyboard: File,
    start: Instant,
    /// How much of the screen earlier expectations have read.
    seen: usize,
}

impl Command {
    /// Starts the program on a new terminal of 24 rows and 80 columns.
    #[track_caller]
    pub fn on_terminal(&self) -> Terminal {
        let pair = openpty(&size(24, 80), None).expect("a new terminal");
        let slave = || Stdio::from(pair.slave.try_clone().expect("another descriptor of the terminal"));
        let child = self.process().stdin(slave()).stdout(slave()).stderr(slave()).spawn();
        let child = child.unwrap_or_else(|error| panic!("cannot start {}: {error}", self.line()));
        let keyboard = File::from(pair.master);
        let screen = collect(Some(keyboard.try_clone().expect("another descriptor of the terminal")));
        Terminal { line: self.line(), child, screen, keyboard, start: Instant::now(), seen: 0 }
    }
}

impl Terminal {
    /// Types `text`.
    #[track_caller]
    pub fn write(&mut self, text: &str) {
        self.keyboard.write_all(text.as_bytes()).unwrap_or_else(|error| panic!("typing {text:?}: {error}"));
    }

    /// Waits until `text` is on the screen, after what was expected before.
    #[track_caller]
    pub fn expect(&mut self, text: &str) {
        let Self { screen, seen, .. } = self;
        let found = within(LIMIT, || screen.so_far()[*seen..].find(text));
        let found = found.unwrap_or_else(|| {
            let shown = self.screen.so_far()[self.seen..].to_owned();
            panic!("waited for {text:?} on the terminal, which shows {shown:?}\n  command: {}", self.line)
        });
        self.seen += found + text.len();
    }

    /// Gives the terminal another size and waits until `answer` is on the screen. As the program may not listen yet
    /// when it starts, it is told of the size again and again.
    #[track_caller]
    pub fn resize(&mut self, rows: u16, columns: u16, answer: &str) {
        // SAFETY: the descriptor is open and the structure lives until the call is over.
        let result = unsafe { set_window_size(self.keyboard.as_fd().as_raw_fd(), &size(rows, columns)) };
        result.expect("a new size for the terminal");
        let pid = Pid::from_raw(self.child.id().cast_signed());
        within(LIMIT, || {
            kill(pid, Signal::SIGWINCH).expect("a child that was not waited for");
            self.screen.so_far()[self.seen..].contains(answer).then_some(())
        });
        self.expect(answer);
    }

    /// Waits for the program's end: its exit code, and all that was on the screen as standard output.
    #[track_caller]
    pub fn end(mut self) -> Finished {
        let ended = within(LIMIT, || self.child.try_wait().expect("waiting for a child"));
        let Some(status) = ended else {
            let shown = self.screen.so_far().to_owned();
            panic!("no end after {:?} on the terminal, which shows {shown:?}\n  command: {}", patient(LIMIT), self.line)
        };
        let stdout = std::mem::replace(&mut self.screen, collect(None::<File>)).all();
        Finished {
            line: self.line.clone(),
            code: exit_code(status),
            stdout,
            stderr: String::new(),
            took: self.start.elapsed(),
        }
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // It may have ended by now.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn size(rows: u16, columns: u16) -> Winsize {
    Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command;

    #[test]
    fn a_program_reads_and_writes_and_sees_the_size() {
        let script = "trap 'stty size' WINCH; trap 'exit 3' TERM; stty size; read line; echo \"<$line>\"; \
                      while :; do sleep 0.1; done";
        let mut terminal = command("bash").args(["-c", script]).on_terminal();
        terminal.expect("24 80\r\n");
        terminal.write("typed\n");
        terminal.expect("typed\r\n<typed>\r\n");
        terminal.resize(10, 20, "10 20\r\n");
        kill(Pid::from_raw(terminal.child.id().cast_signed()), Signal::SIGTERM).unwrap();
        terminal.end().exits(3);
    }
}
