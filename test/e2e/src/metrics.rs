//! The engine host's metrics, as Prometheus fetches them.

use std::path::{Path, PathBuf};

use openmetrics_parser::openmetrics::parse_openmetrics;

use crate::{Command, Scene, command, engine, until};

/// A socket where a host's metrics are, and the option that asks for it.
pub struct Metrics {
    socket: PathBuf,
}

impl Metrics {
    /// In the test's own directory. Dropping it ends the hosts, which hold it open otherwise.
    pub fn new(scene: &Scene) -> Self {
        Self { socket: scene.directory().join("metrics.sock") }
    }

    /// The runtime's options, as TOML.
    pub fn options(&self) -> String {
        format!("[metrics]\naddress = \"unix://{}\"\n", self.socket.display())
    }

    /// The socket.
    pub fn socket(&self) -> &Path {
        &self.socket
    }

    /// A request for metrics.
    pub fn request(&self) -> Command {
        let socket = self.socket.display().to_string();
        command("curl").args([
            "--silent",
            "--show-error",
            "--fail",
            "--unix-socket",
            &socket,
            "http://localhost/metrics",
        ])
    }

    /// The metrics now, which are in the format.
    #[track_caller]
    pub fn fetch(&self) -> Samples {
        Samples::parse(self.request().run().stdout)
    }

    /// Waits until a sample that begins so has a value that `is` what it should be.
    #[track_caller]
    pub fn wait(&self, sample: &str, is: impl Fn(f64) -> bool) -> f64 {
        until(&format!("metric {sample}"), || self.fetch().find(sample).filter(|value| is(*value)))
    }
}

impl Drop for Metrics {
    fn drop(&mut self) {
        engine::kill_hosts();
    }
}

/// Metrics at one moment.
pub struct Samples(String);

impl Samples {
    /// Panics where the text is not in OpenMetrics' format.
    #[track_caller]
    pub fn parse(text: String) -> Self {
        if let Err(error) = parse_openmetrics(&text) {
            panic!("{error}\n{text}");
        }
        Self(text)
    }

    /// The value of the one sample that begins so: its name, and its first labels but for `host`.
    pub fn find(&self, sample: &str) -> Option<f64> {
        let (name, labels) = sample.split_once('{').unwrap_or((sample, ""));
        let found = self.0.lines().filter_map(|line| {
            let (what, value) = line.rsplit_once(' ')?;
            let (own, own_labels) = what.split_once('{').unwrap_or((what, ""));
            let own_labels = match own_labels.strip_prefix("host=\"") {
                Some(rest) => rest.split_once("\",").map_or("", |(_, rest)| rest),
                None => own_labels,
            };
            (own == name && own_labels.starts_with(labels.trim_end_matches('}'))).then(|| value.parse::<f64>().ok())?
        });
        found.reduce(|one, other| one + other)
    }

    /// As [`Self::find`], of a sample that must be there.
    #[track_caller]
    pub fn value(&self, sample: &str) -> f64 {
        self.find(sample).unwrap_or_else(|| panic!("there is no {sample} in\n{}", self.0))
    }

    /// The text.
    pub fn text(&self) -> &str {
        &self.0
    }
}
