//! A whole run: what was measured, where, when, with every raw sample.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use crate::aot::{self, Starts};
use crate::container::Recipe;
use crate::containerd::Containerd;
use crate::http::{self, Http};
use crate::idle::{self, Idle};
use crate::kernels::{self, Kernel, Program};
use crate::latency::{self, Latency};
use crate::machine::{self, Machine};
use crate::options::{Options, Part};
use crate::throughput::{self, Throughput};

/// What the JSON file holds. Times in milliseconds where nothing else is said, memory in bytes.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Record {
    /// RFC 3339, UTC.
    pub date: String,
    pub command: Vec<String>,
    pub machine: Machine,
    pub versions: BTreeMap<String, String>,
    /// Load averages of the minutes before the run and at its end: the run itself makes about 1 to the number of CPUs.
    pub load: [f64; 2],
    #[serde(default)]
    pub latency: Vec<Latency>,
    #[serde(default)]
    pub throughput: Vec<Throughput>,
    #[serde(default)]
    pub idle: Vec<Idle>,
    #[serde(default)]
    pub aot: Vec<Starts>,
    #[serde(default)]
    pub kernels: Vec<Kernel>,
    #[serde(default)]
    pub files: Vec<Kernel>,
    #[serde(default)]
    pub http: Vec<Http>,
}

impl Record {
    /// One with nothing measured yet.
    pub async fn new(containerd: &Containerd, options: &Options) -> Result<Self> {
        let load = machine::load()?;
        Ok(Self {
            date: jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
            command: std::env::args().collect(),
            machine: Machine::new()?,
            versions: machine::versions(containerd, &options.subjects).await?,
            load: [load, load],
            latency: vec![],
            throughput: vec![],
            idle: vec![],
            aot: vec![],
            kernels: vec![],
            files: vec![],
            http: vec![],
        })
    }

    /// Measures what the options ask for. What comes before a part that fails is kept.
    pub async fn measure(&mut self, containerd: &Containerd, options: &Options) -> Result<()> {
        let mut recipes = Vec::new();
        for subject in &options.subjects {
            recipes.push(Recipe::new(containerd, subject.clone()).await?);
        }
        for part in &options.parts {
            self.measure_part(*part, containerd, &recipes, options).await?;
        }
        self.load[1] = machine::load()?;
        Ok(())
    }

    async fn measure_part(
        &mut self,
        part: Part,
        containerd: &Containerd,
        recipes: &[Recipe],
        options: &Options,
    ) -> Result<()> {
        match part {
            Part::Latency => {
                eprintln!("bench: latency, {} rounds", options.warmup + options.iterations);
                self.latency = latency::measure(containerd, recipes, options).await?;
            }
            Part::Throughput => {
                eprintln!("bench: throughput at {:?}", options.parallel);
                self.throughput = throughput::measure(containerd, recipes, options).await?;
            }
            Part::Idle => {
                eprintln!("bench: idle containers, {:?}, in a pod {:?}", options.containers, options.pods);
                self.idle = idle::measure(containerd, recipes, options).await?;
            }
            Part::Aot => {
                eprintln!("bench: first output with and without native code");
                self.aot = aot::measure(containerd, recipes, options).await?;
            }
            Part::Kernels => {
                eprintln!("bench: kernels, {} rounds", options.rounds);
                self.kernels = kernels::measure(containerd, recipes, options, Program::Kernels).await?;
            }
            Part::Files => {
                eprintln!("bench: files, {} rounds", options.rounds);
                self.files = kernels::measure(containerd, recipes, options, Program::Files).await?;
            }
            Part::Http => {
                eprintln!("bench: HTTP with {:?} connections", options.connections);
                self.http = http::measure(containerd, recipes, options).await?;
            }
        }
        Ok(())
    }

    /// Writes the JSON file into `folder`, named by the date; returns its path.
    pub fn write(&self, folder: &Path) -> Result<PathBuf> {
        fs::create_dir_all(folder).with_context(|| format!("creating {}", folder.display()))?;
        let path = folder.join(format!("{}.json", self.stem()));
        fs::write(&path, serde_json::to_vec_pretty(self)?).with_context(|| format!("writing {}", path.display()))?;
        Ok(path)
    }

    /// The date, as part of a file's name.
    pub fn stem(&self) -> String {
        self.date.replace(':', "")
    }

    /// What the files hold together: of each part, the last that has been measured.
    pub fn read(files: &[PathBuf]) -> Result<Self> {
        let mut records = files.iter().map(|path| {
            let bytes = fs::read(path).with_context(|| format!("reading {}", path.display()))?;
            serde_json::from_slice::<Self>(&bytes).with_context(|| format!("{} is no record of a run", path.display()))
        });
        let first = records.next().context("there is no file")??;
        records.try_fold(first, |all, next| Ok(all.replaced_by(next?)))
    }

    fn replaced_by(self, mut later: Self) -> Self {
        fn keep<T>(later: &mut Vec<T>, earlier: Vec<T>) {
            if later.is_empty() {
                *later = earlier;
            }
        }
        keep(&mut later.latency, self.latency);
        keep(&mut later.throughput, self.throughput);
        keep(&mut later.idle, self.idle);
        keep(&mut later.aot, self.aot);
        keep(&mut later.kernels, self.kernels);
        keep(&mut later.files, self.files);
        keep(&mut later.http, self.http);
        later
    }
}

#[cfg(test)]
pub mod tests {
    use super::*;
    use crate::subject::Subject;
    use crate::throughput::Round;

    /// A record with nothing measured.
    pub fn empty() -> Record {
        let machine = Machine { hostname: "h".into(), kernel: "6".into(), cpu: "c".into(), cpus: 2, memory: 8 << 30 };
        Record {
            date: "2026-01-02T03:04:05Z".into(),
            command: vec![],
            machine,
            versions: BTreeMap::new(),
            load: [0.0; 2],
            latency: vec![],
            throughput: vec![],
            idle: vec![],
            aot: vec![],
            kernels: vec![],
            files: vec![],
            http: vec![],
        }
    }

    fn with_rate(tasks: usize) -> Record {
        let rounds = vec![Round { tasks, seconds: 1.0 }];
        Record { throughput: vec![Throughput { subject: Subject::of_runtime("r"), parallel: 1, rounds }], ..empty() }
    }

    #[test]
    fn of_each_part_the_last_measured_counts() {
        let folder = std::env::temp_dir().join(format!("bench-records-{}", std::process::id()));
        let write = |record: Record, second: u32| {
            Record { date: format!("2026-01-02T03:04:0{second}Z"), ..record }.write(&folder).unwrap()
        };
        let files = [write(with_rate(1), 1), write(with_rate(2), 2), write(empty(), 3)];
        let all = Record::read(&files).unwrap();
        assert_eq!((all.throughput[0].rounds[0].tasks, all.date.as_str()), (2, "2026-01-02T03:04:03Z"));
        fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn a_file_that_is_none_is_named() {
        let path = PathBuf::from("/no/such.json");
        assert!(format!("{:#}", Record::read(&[path]).unwrap_err()).starts_with("reading /no/such.json: "));
    }
}
