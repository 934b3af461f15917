//! Pods with one container, through CRI: what making one takes and what one costs in memory, with a container of the pod's own
//! (pause) and without, side by side with runc.

mod cri;

use std::{
    io::Write,
    time::{Duration, Instant},
};

use anyhow::Result;
use cri::Cri;
use tokio::time::sleep;

use crate::{options::Options, proc, stats};

/// A kind of pod: what it is called, containerd's handler, the container's image and command.
struct Kind {
    name: &'static str,
    handler: &'static str,
    image: &'static str,
    words: &'static [&'static str],
}

const LINUX: &[&str] = &["sleep", "3600"];
const WASM: &[&str] = &["/sleep.wasm", "3600"];
const BUSYBOX: &str = "localhost/busybox:latest";
const MODULES: &str = "localhost/wasm:latest";

/// The first is what the others are compared with.
const KINDS: [Kind; 5] = [
    Kind { name: "Linux, runc, pause", handler: "runc", image: BUSYBOX, words: LINUX },
    Kind { name: "Linux, pause", handler: "wasmedge", image: BUSYBOX, words: LINUX },
    Kind { name: "Linux, held by the shim", handler: "wasmedge-sandbox", image: BUSYBOX, words: LINUX },
    Kind { name: "Wasm, pause", handler: "wasmedge", image: MODULES, words: WASM },
    Kind { name: "Wasm, held by the shim", handler: "wasmedge-sandbox", image: MODULES, words: WASM },
];

/// What the steps of one pod took, in milliseconds.
#[derive(Default)]
struct Samples {
    run: Vec<f64>,
    container: Vec<f64>,
    total: Vec<f64>,
    removal: Vec<f64>,
}

/// Measures and prints a table.
pub async fn measure(options: &Options) -> Result<()> {
    let mut cri = Cri::connect(&options.address).await?;
    let mut samples: Vec<Samples> = KINDS.iter().map(|_| Samples::default()).collect();
    for round in 0..options.warmup + options.iterations {
        for turn in 0..KINDS.len() {
            // Each round begins with another.
            let kind = (round + turn) % KINDS.len();
            let one = pod(&mut cri, &KINDS[kind], &format!("bench-{round}-{kind}")).await?;
            if round >= options.warmup {
                samples[kind].add(&one);
            }
        }
    }
    let mut lines = Vec::new();
    for (kind, samples) in KINDS.iter().zip(&samples) {
        let memory = memory(&mut cri, kind, options).await?;
        lines.push(line(kind.name, samples, memory));
    }
    let reference = &samples[0].total;
    println!(
        "| Pod | RunPodSandbox | container | to running | ratio (95 %) | removal | memory |\n|---|--:|--:|--:|--:|--:|--:|"
    );
    for (line, samples) in lines.iter().zip(&samples) {
        let stats::Ratio { ratio, low, high } = stats::ratio(&samples.total, reference);
        println!("{}", line.replace("RATIO", &format!("{ratio:.2} ({low:.2}–{high:.2})")));
    }
    std::io::stdout().flush()?;
    Ok(())
}

impl Samples {
    fn add(&mut self, times: &[Duration; 3]) {
        let [run, container, removal] = times.map(|time| time.as_secs_f64() * 1e3);
        self.run.push(run);
        self.container.push(container);
        self.total.push(run + container);
        self.removal.push(removal);
    }
}

fn line(name: &str, samples: &Samples, memory: f64) -> String {
    let ms = |samples: &[f64]| format!("{:.1} ms", stats::percentile(samples, 50.0));
    let Samples { run, container, total, removal } = samples;
    let (run, container, total, removal) = (ms(run), ms(container), ms(total), ms(removal));
    format!("| {name} | {run} | {container} | {total} | RATIO | {removal} | {memory:.2} MB |")
}

/// Makes a pod with a container that runs, and removes both.
async fn pod(cri: &mut Cri, kind: &Kind, name: &str) -> Result<[Duration; 3]> {
    let config = cri::pod(name);
    let begin = Instant::now();
    let pod = cri.run_pod(&config, kind.handler).await?;
    let run = begin.elapsed();
    let outcome = start(cri, kind, &pod, &config).await;
    let running = begin.elapsed();
    let begin = Instant::now();
    cri.remove_pod(&pod).await?;
    outcome?;
    Ok([run, running - run, begin.elapsed()])
}

async fn start(cri: &mut Cri, kind: &Kind, pod: &str, config: &cri::PodConfig) -> Result<()> {
    let container = cri.create(pod, config, kind.image, kind.words).await?;
    cri.start(&container).await
}

/// Memory of one pod in MB: what all processes of the node but containerd have more (PSS), with so many pods of the kind that
/// what they share counts for little.
async fn memory(cri: &mut Cri, kind: &Kind, options: &Options) -> Result<f64> {
    let count = options.pods.first().copied().unwrap_or(10);
    // One stays meanwhile, so that the engine host and what all pods share is there before.
    let mut pods = vec![keep(cri, kind, 0).await?];
    sleep(options.settle).await;
    let before = proc::all_but("containerd")?;
    for number in 1..=count {
        pods.push(keep(cri, kind, number).await?);
    }
    sleep(options.settle).await;
    let after = proc::all_but("containerd")?;
    for pod in pods {
        cri.remove_pod(&pod).await?;
    }
    Ok((after as f64 - before as f64) / count as f64 / 1e6)
}

async fn keep(cri: &mut Cri, kind: &Kind, number: usize) -> Result<String> {
    let config = cri::pod(&format!("bench-kept-{number}"));
    let pod = cri.run_pod(&config, kind.handler).await?;
    start(cri, kind, &pod, &config).await?;
    Ok(pod)
}
