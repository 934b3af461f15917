//! What is measured: a runtime, with the image and the arguments it runs.

use std::collections::BTreeMap;

use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Serialize};

/// A runtime and its short task. `args` may be empty: then the image says what runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Subject {
    /// What stands in the tables.
    pub label: String,
    /// containerd's name, e.g. `io.containerd.runc.v2`.
    pub runtime: String,
    pub image: String,
    pub args: Vec<String>,
    pub annotations: BTreeMap<String, String>,
    /// Whether its containers are in the node's network.
    #[serde(default)]
    pub host_network: bool,
    /// Whether its containers have a seccomp profile, as Docker's and a kubelet's have: each system call costs a little more.
    #[serde(default)]
    pub seccomp: bool,
}

impl Subject {
    /// The default task of a runtime: a static native `echo`, or a Wasm hello.
    pub fn of_runtime(runtime: &str) -> Self {
        let (image, args) = if runtime.contains("wasm") {
            ("localhost/hello-wasm:latest", vec![])
        } else {
            ("localhost/busybox:latest", vec!["/bin/echo".to_owned(), "hello from Linux".to_owned()])
        };
        Self {
            label: runtime.to_owned(),
            runtime: runtime.to_owned(),
            image: image.to_owned(),
            args,
            annotations: BTreeMap::new(),
            host_network: false,
            seccomp: false,
        }
    }

    /// `NAME` or `NAME=IMAGE [ARG…]`; an image without a tag is `:latest`.
    pub fn parse(text: &str) -> Result<Self> {
        let (runtime, task) = text.split_once('=').unwrap_or((text, ""));
        ensure!(!runtime.is_empty(), "names no runtime");
        let mut subject = Self::of_runtime(runtime);
        let mut words = task.split_whitespace().map(String::from);
        if let Some(image) = words.next() {
            let name = image.rsplit('/').next().unwrap_or_default();
            subject.image = if name.contains([':', '@']) { image } else { image + ":latest" };
            subject.args = words.collect();
            subject.label = text.to_owned();
        }
        Ok(subject)
    }

    /// Adds the annotation `KEY=VALUE` to its containers, and to its label.
    pub fn annotate(&mut self, text: &str) -> Result<()> {
        let (key, value) = text.split_once('=').context("is not KEY=VALUE")?;
        self.annotations.insert(key.to_owned(), value.to_owned());
        self.label += &format!(" {text}");
        Ok(())
    }

    /// The label without what all names of runtimes have: `NAME` of `io.containerd.NAME.VERSION`.
    pub fn short_name(&self) -> String {
        let shortened = self.label.strip_prefix("io.containerd.").unwrap_or(&self.label);
        let (runtime, rest) = shortened.split_at(shortened.find([' ', '=']).unwrap_or(shortened.len()));
        let runtime = runtime.rsplit_once(".v").map_or(runtime, |(name, _)| name);
        format!("{runtime}{rest}")
    }

    /// What the tasks known here print; for others the first one's output is the measure of the rest.
    pub fn expected_output(&self) -> Option<String> {
        let (program, rest) = self.args.split_first()?;
        match program.as_str() {
            "/bin/echo" => Some(rest.join(" ") + "\n"),
            "/hello.wasm" => {
                Some(format!("hello from wasm\n{}", rest.iter().map(|word| format!("{word}\n")).collect::<String>()))
            }
            _ => None,
        }
    }

    /// Whether it runs a module, as far as one can tell by the name of its program.
    pub fn is_wasm(&self) -> bool {
        self.args.first().is_some_and(|program| program.ends_with(".wasm"))
    }

    /// Whether it compiles modules as annotations tell it to.
    pub fn compiles(&self) -> bool {
        self.is_wasm() && self.runtime.contains("wasmedge")
    }

    /// The same runtime with another task.
    pub fn with_task<S: Into<String>>(&self, image: &str, args: impl IntoIterator<Item = S>) -> Self {
        let image = format!("localhost/{image}:latest");
        Self { image, args: args.into_iter().map(Into::into).collect(), ..self.clone() }
    }

    /// The same with an annotation more, which the label does not tell.
    pub fn with_annotation(&self, key: &str, value: &str) -> Self {
        let mut subject = self.clone();
        subject.annotations.insert(key.to_owned(), value.to_owned());
        subject
    }

    /// The same runtime with a task that sleeps for long, in Wasm if this one is.
    pub fn sleeper(&self) -> Self {
        if self.is_wasm() {
            self.with_task("wasm", ["/sleep.wasm", "1000"])
        } else {
            self.with_task("busybox", ["/bin/sleep", "1000"])
        }
    }

    /// What a sleeping container of [`Subject::sleeper`] can run besides.
    pub fn greeting(&self) -> Vec<String> {
        let words: &[&str] = if self.is_wasm() { &["/hello.wasm"] } else { &["/bin/echo", "hello"] };
        words.iter().copied().map(String::from).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_runtime_may_bring_an_image_and_arguments() {
        let subject = Subject::parse("io.containerd.wasmedge.v1=localhost/busybox /bin/echo a").unwrap();
        assert_eq!(subject.runtime, "io.containerd.wasmedge.v1");
        assert_eq!(subject.image, "localhost/busybox:latest");
        assert_eq!(subject.args, ["/bin/echo", "a"]);
    }

    #[test]
    fn a_tag_or_a_port_in_the_name_of_the_image_is_kept() {
        assert_eq!(Subject::parse("r=host:5000/name").unwrap().image, "host:5000/name:latest");
        assert_eq!(Subject::parse("r=host/name:1").unwrap().image, "host/name:1");
    }

    #[test]
    fn short_names_keep_what_tells_them_apart() {
        let name = |label: &str| Subject { label: label.into(), ..Subject::of_runtime("r") }.short_name();
        assert_eq!(name("io.containerd.wasmedge.v1"), "wasmedge");
        assert_eq!(name("io.containerd.wasmedge.v1 a.v1=b"), "wasmedge a.v1=b");
        assert_eq!(name("/opt/shim"), "/opt/shim");
    }
}
