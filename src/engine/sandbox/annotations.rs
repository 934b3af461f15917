//! What is asked for a container's modules, and by whom: the one place that says who comes before whom, and who may not ask
//! for what.
//!
//! The node's admin comes first: the runtime's options say how much there is, and nobody raises that ([`super::settings`],
//! [`super::native_code`]). Within it the pod's author chooses, by annotations of the pod, and by those of a container where a
//! client of CRI has them, which come before the pod's. Last and least trusted is the image's author, whose labels are what
//! holds where nobody else says anything. An image takes away from its own modules, and says how they deal with signals and
//! ports. It does not choose what costs the node (native code), what loads code of the node (plugins), what puts its memory
//! where others may read it (core dumps), and turns no proposal on.

use std::{
    collections::{BTreeMap, HashMap},
    fmt,
};

use anyhow::{Result, bail};

/// Beginning of all our annotations and labels.
pub const PREFIX: &str = "io.wasmedge.";

/// Something that is asked for by an annotation, or by a label of the same name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Setting {
    /// The annotation's name, and the label's.
    pub name: &'static str,
    by_image: bool,
}

const fn of_all(name: &'static str) -> Setting {
    Setting { name, by_image: true }
}

const fn of_pods(name: &'static str) -> Setting {
    Setting { name, by_image: false }
}

pub const POLICY: Setting = of_pods("io.wasmedge.aot");
pub const LEVEL: Setting = of_pods("io.wasmedge.aot.level");
pub const GAS_LIMIT: Setting = of_all("io.wasmedge.gas-limit");
pub const TIME_LIMIT: Setting = of_all("io.wasmedge.time-limit");
pub const MEMORY_PAGES: Setting = of_all("io.wasmedge.memory-pages");
pub const STATISTICS: Setting = of_all("io.wasmedge.statistics");
/// An image turns proposals off only.
pub const PROPOSALS: Setting = of_all("io.wasmedge.proposals");
pub const PREOPENS: Setting = of_all("io.wasmedge.preopens");
pub const SIGNALS: Setting = of_all("io.wasmedge.signals");
pub const REUSE_PORT: Setting = of_all("io.wasmedge.reuse-port");
pub const CORE_DUMP: Setting = of_pods("io.wasmedge.core-dump");
pub const PLUGINS: Setting = of_pods("io.wasmedge.plugins");

/// What there is.
pub const KNOWN: [Setting; 12] = [
    POLICY,
    LEVEL,
    GAS_LIMIT,
    TIME_LIMIT,
    MEMORY_PAGES,
    STATISTICS,
    PROPOSALS,
    PREOPENS,
    SIGNALS,
    REUSE_PORT,
    CORE_DUMP,
    PLUGINS,
];

/// Who asks, the least trusted first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Author {
    /// By labels in the image's configuration.
    Image,
    /// By annotations of the pod or the container.
    Pod,
}

/// What is asked for one setting. Shown, it is what messages begin with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ask<'a> {
    setting: Setting,
    /// Who asks.
    pub author: Author,
    /// For what.
    pub text: &'a str,
}

impl fmt::Display for Ask<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.author, self.setting.name)
    }
}

impl fmt::Display for Author {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Image => "the image's label",
            Self::Pod => "annotation",
        })
    }
}

/// All that is asked for a container.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Asked(BTreeMap<String, (Author, String)>);

impl Asked {
    /// What a spec's annotations ask for, those that are ours. One that is not known is warned about.
    pub fn by_spec(annotations: Option<&HashMap<String, String>>) -> Self {
        let mut asked = Self::default();
        let ours = annotations.into_iter().flatten().filter(|(name, _)| name.starts_with(PREFIX));
        asked.add(Author::Pod, ours.map(|(name, text)| (name.clone(), text.clone())));
        asked
    }

    /// Whether nobody asks for anything.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Adds what annotations ask for that come after those that were added before.
    pub fn add_annotations(&mut self, annotations: BTreeMap<String, String>) {
        self.add(Author::Pod, annotations.into_iter());
    }

    /// Adds what labels of the image ask for that nobody has asked for yet.
    ///
    /// # Errors
    /// A label by which an image asks for what is not its to choose.
    pub fn add_labels(&mut self, labels: BTreeMap<String, String>) -> Result<()> {
        self.add(Author::Image, labels.into_iter());
        for setting in KNOWN.iter().filter(|setting| !setting.by_image) {
            if let Some(ask) = self.get(*setting).filter(|ask| ask.author == Author::Image) {
                bail!("{ask}: an image may not say so, an annotation of the pod may");
            }
        }
        Ok(())
    }

    fn add(&mut self, author: Author, entries: impl Iterator<Item = (String, String)>) {
        let mut unknown = Vec::new();
        for (name, text) in entries {
            if !KNOWN.iter().any(|setting| setting.name == name) {
                unknown.push(name.clone());
            }
            self.0.entry(name).or_insert((author, text));
        }
        if let Some(one) = unknown.iter().min() {
            let (count, what) = (unknown.len(), if author == Author::Pod { "annotation" } else { "label" });
            log::warn!("{count} {what}(s) of {PREFIX} are not known and ignored, such as {one:?}");
        }
    }

    /// What is asked for a setting, by whoever comes first.
    pub fn get(&self, setting: Setting) -> Option<Ask<'_>> {
        self.0.get(setting.name).map(|(author, text)| Ask { setting, author: *author, text })
    }
}

#[cfg(test)]
impl Asked {
    /// One annotation, or one label.
    pub fn one(author: Author, setting: Setting, text: &str) -> Result<Self> {
        let mut asked = Self::default();
        let one = BTreeMap::from([(setting.name.to_owned(), text.to_owned())]);
        match author {
            Author::Pod => asked.add_annotations(one),
            Author::Image => asked.add_labels(one)?,
        }
        Ok(asked)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entries(list: &[(Setting, &str)]) -> BTreeMap<String, String> {
        list.iter().map(|(setting, text)| (setting.name.to_owned(), (*text).to_owned())).collect()
    }

    fn texts(asked: &Asked) -> Vec<(Author, &str)> {
        [GAS_LIMIT, TIME_LIMIT, MEMORY_PAGES, SIGNALS]
            .into_iter()
            .filter_map(|setting| asked.get(setting).map(|ask| (ask.author, ask.text)))
            .collect()
    }

    #[test]
    fn who_is_trusted_more_comes_first() {
        let spec = HashMap::from([(GAS_LIMIT.name.to_owned(), "1".to_owned()), ("other".into(), "x".into())]);
        let mut asked = Asked::by_spec(Some(&spec));
        asked.add_annotations(entries(&[(GAS_LIMIT, "2"), (TIME_LIMIT, "2")]));
        asked.add_annotations(entries(&[(GAS_LIMIT, "3"), (TIME_LIMIT, "3"), (MEMORY_PAGES, "3")]));
        let all = [(GAS_LIMIT, "4"), (TIME_LIMIT, "4"), (MEMORY_PAGES, "4"), (SIGNALS, "TERM")];
        asked.add_labels(entries(&all)).unwrap();
        let pod = Author::Pod;
        assert_eq!(texts(&asked), [(pod, "1"), (pod, "2"), (pod, "3"), (Author::Image, "TERM")]);
        assert!(Author::Image < Author::Pod);
        assert_eq!(asked.0.len(), 4, "only ours are kept");
    }

    /// The table of docs/security.md.
    #[test]
    fn an_image_chooses_what_concerns_its_modules_and_nothing_else() {
        let chosen = KNOWN.map(|setting| (setting.name, Asked::one(Author::Image, setting, "x").is_ok()));
        let expected = [
            ("io.wasmedge.aot", false),
            ("io.wasmedge.aot.level", false),
            ("io.wasmedge.gas-limit", true),
            ("io.wasmedge.time-limit", true),
            ("io.wasmedge.memory-pages", true),
            ("io.wasmedge.statistics", true),
            ("io.wasmedge.proposals", true),
            ("io.wasmedge.preopens", true),
            ("io.wasmedge.signals", true),
            ("io.wasmedge.reuse-port", true),
            ("io.wasmedge.core-dump", false),
            ("io.wasmedge.plugins", false),
        ];
        assert_eq!(chosen, expected);
        for (setting, (_, by_image)) in KNOWN.into_iter().zip(expected) {
            assert!(Asked::one(Author::Pod, setting, "x").is_ok());
            if !by_image {
                assert_eq!(
                    Asked::one(Author::Image, setting, "x").unwrap_err().to_string(),
                    format!(
                        "the image's label {}: an image may not say so, an annotation of the pod may",
                        setting.name
                    )
                );
            }
        }
    }

    #[test]
    fn a_label_that_an_annotation_replaces_is_no_matter() {
        let mut asked = Asked::one(Author::Pod, POLICY, "off").unwrap();
        asked.add_labels(entries(&[(POLICY, "require")])).unwrap();
        assert_eq!(asked.get(POLICY).map(|ask| (ask.author, ask.text)), Some((Author::Pod, "off")));
    }

    #[test]
    fn a_setting_of_a_later_version_is_tolerated() {
        let mut asked = Asked::by_spec(Some(&HashMap::from([("io.wasmedge.later".to_owned(), "x".to_owned())])));
        assert!(!asked.is_empty());
        asked.add_labels(BTreeMap::from([("io.wasmedge.later.still".to_owned(), String::new())])).unwrap();
        assert!(KNOWN.into_iter().all(|setting| asked.get(setting).is_none()));
    }
}
