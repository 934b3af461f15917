//! The options of the runtime class, from a file of the node's admin.

use std::{fs, path::Path};

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use toml::{Table, Value};

use crate::options::Options;

/// Options as containerd's configuration has them for a runtime: keys, and values as TOML in one line.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClassOptions(Vec<(String, String)>);

impl ClassOptions {
    /// From a file.
    ///
    /// # Errors
    /// It cannot be read, or a shim would refuse what it holds.
    pub fn read(path: &Path) -> Result<Self> {
        let wrong = || format!("--options {}", path.display());
        let text = fs::read_to_string(path).with_context(wrong)?;
        Self::parse(&text).with_context(wrong)
    }

    /// From a TOML document.
    ///
    /// # Errors
    /// A shim would refuse it.
    pub fn parse(text: &str) -> Result<Self> {
        Options::from_toml(text)?;
        let table: Table = text.parse()?;
        Ok(Self(table.into_iter().map(|(name, value)| (key(name), value.to_string())).collect()))
    }

    /// The line of one option, if it is told.
    pub fn only(&self, option: &str) -> Option<String> {
        let (name, value) = self.0.iter().find(|(name, _)| name == option)?;
        Some(format!("{name} = {value}"))
    }

    /// Lines of the form `NAME = VALUE`, those of `defaults` first that are not told otherwise.
    pub fn with(&self, defaults: &[String]) -> Vec<String> {
        let is_told =
            |line: &&String| self.0.iter().any(|(name, _)| line.split_once(" = ").is_some_and(|(key, _)| key == name));
        let defaults = defaults.iter().filter(|line| !is_told(line)).cloned();
        defaults.chain(self.0.iter().map(|(name, value)| format!("{name} = {value}"))).collect()
    }
}

/// A key as TOML has it: in quotes where it has other than letters, digits, `_` and `-`.
fn key(name: String) -> String {
    let bare = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte));
    if bare { name } else { Value::String(name).to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sections_become_values_in_one_line_and_defaults_give_way() {
        let text =
            "SystemdCgroup = true\n[aot]\npolicy = \"off\"\n[engine]\nproposals = [\n  \"-simd\", # not here\n]\n";
        let options = ClassOptions::parse(text).unwrap();
        let lines = options.with(&["SystemdCgroup = false".into(), "annotations = \"spec\"".into()]);
        let expected = [
            "annotations = \"spec\"",
            "SystemdCgroup = true",
            "aot = { policy = \"off\" }",
            "engine = { proposals = [\"-simd\"] }",
        ];
        assert_eq!(lines, expected);
        // The shim reads the same from them.
        assert_eq!(Options::from_toml(&lines.join("\n")).unwrap().sandbox, Options::from_toml(text).unwrap().sandbox);
    }

    #[test]
    fn what_a_shim_would_refuse_is_refused_before_anything_is_written() {
        let error = |text| format!("{:#}", ClassOptions::parse(text).unwrap_err());
        assert!(error("[aot]\npolicy = \"often\"\n").contains("aot.policy"));
        assert!(error("= 1").contains("not TOML"));
        let missing = format!("{:#}", ClassOptions::read(Path::new("/nonexistent.toml")).unwrap_err());
        assert!(missing.starts_with("--options /nonexistent.toml: "), "{missing}");
    }
}
