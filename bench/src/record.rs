//! A whole run: what was measured, where, when, with every raw sample.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde::Serialize;

use crate::container::Recipe;
use crate::containerd::Containerd;
use crate::idle::{self, Idle};
use crate::latency::{self, Latency};
use crate::machine::{self, Machine};
use crate::options::Options;
use crate::throughput::{self, Throughput};

/// What the JSON file holds. Times in milliseconds, memory in bytes.
#[derive(Clone, Debug, Serialize)]
pub struct Record {
    /// RFC 3339, UTC.
    pub date: String,
    pub command: Vec<String>,
    pub machine: Machine,
    pub versions: BTreeMap<String, String>,
    /// Load averages of the minutes before the run and at its end: the run itself makes about 1 to the number of CPUs.
    pub load: [f64; 2],
    pub latency: Vec<Latency>,
    pub throughput: Vec<Throughput>,
    pub idle: Vec<Idle>,
}

/// Measures what the options ask for.
pub async fn measure(containerd: &Containerd, options: &Options) -> Result<Record> {
    let load = machine::load()?;
    let mut record = Record {
        date: jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
        command: std::env::args().collect(),
        machine: Machine::new()?,
        versions: machine::versions(containerd, &options.subjects).await?,
        load: [load, load],
        latency: vec![],
        throughput: vec![],
        idle: vec![],
    };
    let mut recipes = Vec::new();
    for subject in &options.subjects {
        recipes.push(Recipe::new(containerd, subject.clone()).await?);
    }
    if options.latency {
        eprintln!("bench: latency, {} rounds", options.warmup + options.iterations);
        record.latency = latency::measure(containerd, &recipes, options).await?;
    }
    if options.throughput {
        eprintln!("bench: throughput at {:?}", options.parallel);
        record.throughput = throughput::measure(containerd, &recipes, options).await?;
    }
    if options.idle {
        eprintln!("bench: idle containers, {:?}", options.containers);
        record.idle = idle::measure(containerd, &recipes, options).await?;
    }
    record.load[1] = machine::load()?;
    Ok(record)
}

impl Record {
    /// Writes the JSON file into `folder`, named by the date; returns its path.
    pub fn write(&self, folder: &Path) -> Result<PathBuf> {
        fs::create_dir_all(folder).with_context(|| format!("creating {}", folder.display()))?;
        let path = folder.join(format!("{}.json", self.date.replace(':', "")));
        fs::write(&path, serde_json::to_vec_pretty(self)?).with_context(|| format!("writing {}", path.display()))?;
        Ok(path)
    }
}
