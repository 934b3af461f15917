//! The command line.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use lexopt::prelude::*;

use crate::subject::Subject;

pub const USAGE: &str = "\
usage: bench [OPTIONS]            measure, print Markdown, write JSON and plots
       bench floors [OPTIONS]     short: fails unless the shim's promises hold
       bench pods [OPTIONS]       pods through CRI, with pause and without: --iterations, --warmup, --pods, --settle
       bench plot FILE.json…      the plots of earlier runs, a later file's before an earlier one's
       bench cost FILE.json…      the short tables of docs/performance.md, of the same
       bench clean                delete what a killed run has left
  --runtime NAME[=IMAGE [ARG…]]   again for each runtime; ratios are against the first
                                  (default: io.containerd.runc.v2 and io.containerd.wasmedge.v1)
  --annotation KEY=VALUE          for the containers of the --runtime before it
  --only WHAT[,WHAT…]             latency, throughput, idle, aot, kernels, files, http (default: all)
  --iterations N                  latency: measured rounds (100; floors: 40)
  --warmup N                      rounds before them (5)
  --rounds N                      all others: rounds (5)
  --seconds S                     throughput, http: length of a round (2)
  --parallel N[,N…]               throughput: containers at a time (1,2,8,32)
  --containers N[,N…]             idle: sleeping containers (1,10,100,500; floors: 1)
  --pods N[,N…]                   idle: sleeping containers in one pod (10; floors: none)
  --settle S                      idle: time from the start of the last one to the look (6)
  --connections N[,N…]            http: connections at a time (1,16,256,1024)
  --address SOCKET                containerd's (/run/containerd/containerd.sock)
  --snapshotter NAME              (overlayfs)
  --output FOLDER                 for JSON and plots (target/bench)
IMAGE without ARGs runs what the image says. Without IMAGE: localhost/hello-wasm where NAME has `wasm` in it, else
/bin/echo of localhost/busybox.
";

/// What to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command {
    Measure,
    Floors,
    Pods,
    Plot,
    Cost,
    Clean,
    Help,
}

/// What to measure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Part {
    Latency,
    Throughput,
    Idle,
    Aot,
    Kernels,
    Files,
    Http,
}

impl Part {
    const ALL: [(&str, Self); 7] = [
        ("latency", Self::Latency),
        ("throughput", Self::Throughput),
        ("idle", Self::Idle),
        ("aot", Self::Aot),
        ("kernels", Self::Kernels),
        ("files", Self::Files),
        ("http", Self::Http),
    ];
}

/// The command line, with the defaults filled in.
#[derive(Clone, Debug)]
pub struct Options {
    pub command: Command,
    pub subjects: Vec<Subject>,
    pub parts: BTreeSet<Part>,
    pub iterations: usize,
    pub warmup: usize,
    pub rounds: usize,
    pub round: Duration,
    pub parallel: Vec<usize>,
    pub containers: Vec<usize>,
    pub pods: Vec<usize>,
    pub settle: Duration,
    pub connections: Vec<usize>,
    /// Whether aot starts a large module too.
    pub large: bool,
    /// Whether kernels are interpreted and compiled without optimization too.
    pub interpreted: bool,
    pub address: PathBuf,
    pub snapshotter: String,
    pub output: PathBuf,
    /// What earlier runs have written.
    pub files: Vec<PathBuf>,
}

impl Options {
    fn new(command: Command) -> Self {
        let short = command == Command::Floors;
        let parts = if short {
            vec![Part::Latency, Part::Idle, Part::Aot, Part::Kernels]
        } else {
            Part::ALL.map(|(_, part)| part).into()
        };
        Self {
            command,
            subjects: Vec::new(),
            parts: parts.into_iter().collect(),
            iterations: if short { 40 } else { 100 },
            warmup: 5,
            rounds: 5,
            round: Duration::from_secs(2),
            parallel: vec![1, 2, 8, 32],
            containers: if short { vec![1] } else { vec![1, 10, 100, 500] },
            pods: if short { vec![] } else { vec![10] },
            settle: Duration::from_secs(6),
            connections: vec![1, 16, 256, 1024],
            large: !short,
            interpreted: !short,
            address: "/run/containerd/containerd.sock".into(),
            snapshotter: "overlayfs".into(),
            output: "target/bench".into(),
            files: Vec::new(),
        }
    }
}

/// Parses the words after the program's name. Errors name the option and what was given.
pub fn parse(words: impl Iterator<Item = OsString>) -> Result<Options> {
    let mut words: Vec<OsString> = words.collect();
    let command = match words.first().and_then(|word| word.to_str()) {
        Some("floors") => Command::Floors,
        Some("pods") => Command::Pods,
        Some("plot") => Command::Plot,
        Some("cost") => Command::Cost,
        Some("clean") => Command::Clean,
        Some("help" | "-h" | "--help") => Command::Help,
        _ => Command::Measure,
    };
    if command != Command::Measure {
        words.remove(0);
    }
    let mut options = Options::new(command);
    let reads_files = matches!(command, Command::Plot | Command::Cost);
    let mut parser = lexopt::Parser::from_args(words);
    while let Some(option) = parser.next()? {
        let name = match option {
            Value(file) if reads_files => {
                options.files.push(file.into());
                continue;
            }
            Long("help") => {
                options.command = Command::Help;
                break;
            }
            Long(name) => name.to_owned(),
            other => return Err(other.unexpected().into()),
        };
        let value = parser.value()?.string()?;
        set(&mut options, &name, &value).with_context(|| format!("--{name} {value}"))?;
    }
    ensure!(options.command != command || !reads_files || !options.files.is_empty(), "there is no FILE.json");
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
        "only" => options.parts = value.split(',').map(part).collect::<Result<_>>()?,
        "iterations" => options.iterations = positive(value)?,
        "warmup" => options.warmup = value.parse()?,
        "rounds" => options.rounds = positive(value)?,
        "seconds" => options.round = Duration::try_from_secs_f64(value.parse()?)?,
        "parallel" => options.parallel = list(value)?,
        "containers" => options.containers = list(value)?,
        "pods" => options.pods = list(value)?,
        "settle" => options.settle = Duration::try_from_secs_f64(value.parse()?)?,
        "connections" => options.connections = list(value)?,
        "address" => options.address = value.into(),
        "snapshotter" => options.snapshotter = value.into(),
        "output" => options.output = value.into(),
        _ => bail!("there is no such option; see bench --help"),
    }
    Ok(())
}

fn part(word: &str) -> Result<Part> {
    let found = Part::ALL.iter().find(|(name, _)| *name == word);
    let names = Part::ALL.map(|(name, _)| name).join(", ");
    found.map(|(_, part)| *part).with_context(|| format!("{word} is none of {names}"))
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
        assert_eq!((options.iterations, options.parts.len()), (100, 7));
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
        assert!(words("file.json").is_err());
    }

    #[test]
    fn parts_are_chosen_by_their_names() {
        assert_eq!(words("--only http,aot").unwrap().parts, BTreeSet::from([Part::Aot, Part::Http]));
    }

    #[test]
    fn plots_are_made_of_files() {
        let options = words("plot a.json b.json --output docs").unwrap();
        assert_eq!(options.files, [PathBuf::from("a.json"), PathBuf::from("b.json")]);
        assert!(words("plot --output docs").is_err());
        assert_eq!(words("cost --help").unwrap().command, Command::Help);
    }
}
