//! What is measured: a runtime, with the image and the arguments it runs.

use std::collections::BTreeMap;

use anyhow::{Context, Result, ensure};
use serde::Serialize;

/// A runtime and its short task. `args` may be empty: then the image says what runs.
#[derive(Clone, Debug, Serialize)]
pub struct Subject {
    /// What stands in the tables.
    pub label: String,
    /// containerd's name, e.g. `io.containerd.runc.v2`.
    pub runtime: String,
    pub image: String,
    pub args: Vec<String>,
    pub annotations: BTreeMap<String, String>,
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

    /// The same runtime with a task that sleeps for long, in Wasm if this one is.
    pub fn sleeper(&self) -> Self {
        let wasm = self.args.first().is_some_and(|program| program.ends_with(".wasm"));
        let (image, program) =
            if wasm { ("localhost/wasm:latest", "/sleep.wasm") } else { ("localhost/busybox:latest", "/bin/sleep") };
        Self { image: image.to_owned(), args: vec![program.to_owned(), "1000".to_owned()], ..self.clone() }
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
}
