//! Says `waiting` and then `signal N` for each signal that it is given to read; ends with exit code 7 at SIGTERM. With
//! `poll` it waits by poll_oneoff before it reads.
//!
//! usage: signals [poll]

#[path = "../../../../examples/graceful/src/signals.rs"]
mod signals;

use std::io::Write;

use signals::{SIGTERM, Signals};

fn main() {
    let Some(mut signals) = Signals::open() else {
        println!("no signals");
        return;
    };
    say("waiting");
    let polls = std::env::args().nth(1).is_some_and(|word| word == "poll");
    loop {
        if polls {
            workloads::or_exit("poll", wait(&signals));
        }
        let number = workloads::or_exit("read", signals.wait());
        say(&format!("signal {number}"));
        if number == SIGTERM {
            std::process::exit(7);
        }
    }
}

fn say(line: &str) {
    println!("{line}");
    workloads::or_exit("stdout", std::io::stdout().flush());
}

#[cfg(target_os = "wasi")]
fn wait(signals: &Signals) -> std::io::Result<()> {
    use wasmedge_wasi_socket::poll::{Subscription, poll};
    poll(&[Subscription::io(0, signals, true, false, None)]).map(drop)
}

#[cfg(not(target_os = "wasi"))]
fn wait(_: &Signals) -> std::io::Result<()> {
    Ok(())
}
