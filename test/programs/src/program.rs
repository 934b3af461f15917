//! A program that is there twice.

use std::{net::TcpStream, time::Duration};

use e2e::{Finished, Kind, Scene, command, docker, patient};

use crate::Trial;

/// A program of an image, which has it as a module and as a Linux program.
#[derive(Clone, Copy, Debug)]
pub struct Program {
    /// The image's short name.
    pub image: &'static str,
    /// Path of the module in it.
    pub module: &'static str,
    /// Path of the Linux program in it.
    pub linux: &'static str,
}

impl Program {
    /// `docker run` of the program's image.
    pub fn docker(&self, scene: &Scene, kind: Kind) -> docker::Run {
        // The level at which test/programs/run has compiled it: its users get better code with time, the tests at once.
        scene.docker(kind).image(self.image).flags(["--annotation", "io.wasmedge.aot.level=O0"])
    }

    /// The command with these arguments.
    pub fn words<T: Into<String>>(&self, kind: Kind, arguments: impl IntoIterator<Item = T>) -> Vec<String> {
        let program = kind.either(self.module, self.linux).to_owned();
        [program].into_iter().chain(arguments.into_iter().map(Into::into)).collect()
    }

    /// A comparison with runc, with these arguments.
    pub fn trial<T: Into<String>>(&self, arguments: impl IntoIterator<Item = T>) -> Trial {
        Trial::new(*self, arguments.into_iter().map(Into::into).collect())
    }
}

/// `curl` of an address in the node, with more of its options.
#[track_caller]
pub fn curl<const N: usize>(url: &str, more: [&str; N]) -> Finished {
    command("curl").args(["--silent", "--show-error", "--max-time", "20"]).args(more).arg(url).run()
}

/// A TCP connection to an address in the node; what is read of it comes within ten seconds.
#[track_caller]
pub fn connect(address: &str) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap_or_else(|error| panic!("connecting to {address}: {error}"));
    stream.set_read_timeout(Some(patient(Duration::from_secs(10)))).expect("a time that is not zero");
    stream
}
