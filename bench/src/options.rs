//! The command line.

use std::ffi::OsString;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use lexopt::prelude::*;

use crate::subject::Subject;

pub const USAGE: &str = "\
usage: bench [OPTIONS]          measure, print Markdown, write JSON
       bench floors [OPTIONS]   short: fails unless the shim's promises hold
       bench clean              delete what a killed run has left
  --runtime NAME[=IMAGE [ARG…]] again for each runtime; ratios are against the first
                                (default: io.containerd.runc.v2 and io.containerd.wasmedge.v1)
  --annotation KEY=VALUE        for the containers of the --runtime before it
  --only WHAT[,WHAT…]           latency, throughput, idle (default: all)
  --iterations N                latency: measured rounds (100; floors: 40)
  --warmup N                    rounds before them (5)
  --parallel N[,N…]             throughput: containers at a time (1,2,8)
  --rounds N                    throughput: rounds at each (3)
  --seconds S                   throughput: length of a round (2)
  --containers N[,N…]           idle: sleeping containers (1,10; floors: 1)
  --settle S                    idle: time from the start of the last one to the look (6)
  --address SOCKET              containerd's (/run/containerd/containerd.sock)
  --snapshotter NAME            (overlayfs)
  --output FOLDER               for the JSON (target/bench)
IMAGE without ARGs runs what the image says. Without IMAGE: localhost/hello-wasm where NAME has `wasm` in it, else
/bin/echo of localhost/busybox.
";

/// What to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command {
    Measure,
    Floors,
    Clean,
    Help,
}

/// The command line, with the defaults filled in.
#[derive(Clone, Debug)]
pub struct Options {
    pub command: Command,
    pub subjects: Vec<Subject>,
    pub latency: bool,
    pub throughput: bool,
    pub idle: bool,
    pub iterations: usize,
    pub warmup: usize,
    pub parallel: Vec<usize>,
    pub rounds: usize,
    pub round: Duration,
    pub containers: Vec<usize>,
    pub settle: Duration,
    pub address: PathBuf,
    pub snapshotter: String,
    pub output: PathBuf,
}

impl Options {
    fn new(command: Command) -> Self {
        let short = command == Command::Floors;
        Self {
            command,
            subjects: Vec::new(),
            latency: true,
            throughput: true,
            idle: true,
            iterations: if short { 40 } else { 100 },
            warmup: 5,
            parallel: vec![1, 2, 8],
            rounds: 3,
            round: Duration::from_secs(2),
            containers: if short { vec![1] } else { vec![1, 10] },
            settle: Duration::from_secs(6),
            address: "/run/containerd/containerd.sock".into(),
            snapshotter: "overlayfs".into(),
            output: "target/bench".into(),
        }
    }
}

/// Parses the words after the program's name. Errors name the option and what was given.
pub fn parse(words: impl Iterator<Item = OsString>) -> Result<Options> {
    let mut words: Vec<OsString> = words.collect();
    let command = match words.first().and_then(|word| word.to_str()) {
        Some("floors") => Command::Floors,
        Some("clean") => Command::Clean,
        Some("help" | "-h" | "--help") => Command::Help,
        _ => Command::Measure,
    };
    if command != Command::Measure {
        words.remove(0);
    }
    let mut options = Options::new(command);
    let mut parser = lexopt::Parser::from_args(words);
    while let Some(option) = parser.next()? {
        let Long(name) = option else { return Err(option.unexpected().into()) };
        if name == "help" {
            options.command = Command::Help;
            break;
        }
        let name = name.to_owned();
        let value = parser.value()?.string()?;
        set(&mut options, &name, &value).with_context(|| format!("--{name} {value}"))?;
    }
    if options.subjects.is_empty() {
        options.subjects = ["io.containerd.runc.v2", "io.containerd.wasmedge.v1"].map(Subject::of_runtime).into();
    }
    Ok(options)
}

fn set(options: &mut Options, name: &str, value: &str) -> Result<()> {
    match name {
        "runtime" => options.subjects.push(Subject::parse(value)?),
        "annotation" => {
            let subject = options.subjects.last_mut().context("comes after a --runtime")?;
            subject.annotate(value)?;
        }
        "only" => choose(options, value)?,
        "iterations" => options.iterations = positive(value)?,
        "warmup" => options.warmup = value.parse()?,
        "parallel" => options.parallel = list(value)?,
        "rounds" => options.rounds = positive(value)?,
        "seconds" => options.round = Duration::try_from_secs_f64(value.parse()?)?,
        "containers" => options.containers = list(value)?,
        "settle" => options.settle = Duration::try_from_secs_f64(value.parse()?)?,
        "address" => options.address = value.into(),
        "snapshotter" => options.snapshotter = value.into(),
        "output" => options.output = value.into(),
        _ => bail!("there is no such option; see bench --help"),
    }
    Ok(())
}

fn choose(options: &mut Options, value: &str) -> Result<()> {
    (options.latency, options.throughput, options.idle) = (false, false, false);
    for word in value.split(',') {
        match word {
            "latency" => options.latency = true,
            "throughput" => options.throughput = true,
            "idle" => options.idle = true,
            _ => bail!("{word} is none of latency, throughput, idle"),
        }
    }
    Ok(())
}

fn list(value: &str) -> Result<Vec<usize>> {
    value.split(',').map(positive).collect()
}

fn positive(value: &str) -> Result<usize> {
    let number = usize::from_str(value)?;
    ensure!(number > 0, "must be at least 1");
    Ok(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Result<Options> {
        parse(line.split_whitespace().map(OsString::from))
    }

    #[test]
    fn without_options_runc_is_the_first_runtime_and_ours_the_second() {
        let options = words("").unwrap();
        let names: Vec<_> = options.subjects.iter().map(|subject| subject.runtime.as_str()).collect();
        assert_eq!(names, ["io.containerd.runc.v2", "io.containerd.wasmedge.v1"]);
        assert_eq!(options.iterations, 100);
    }

    #[test]
    fn an_annotation_belongs_to_the_runtime_before_it() {
        let options = words("--runtime a --runtime b --annotation k=v").unwrap();
        assert!(options.subjects[0].annotations.is_empty());
        assert_eq!(options.subjects[1].annotations["k"], "v");
    }

    #[test]
    fn a_wrong_value_is_refused_with_its_option() {
        let error = words("--parallel 1,zero").unwrap_err();
        assert!(format!("{error:#}").starts_with("--parallel 1,zero: "), "{error:#}");
        assert!(words("--iterations 0").is_err());
        assert!(words("--only speed").is_err());
    }
}
