//! What a container's modules have of the engine's abilities, from the runtime's options and the container's annotations.
//!
//! Who writes a container's annotations is trusted less than who configures the node. So an annotation may only take away:
//! lower a limit, turn a proposal off. What it adds is what the options say that containers may have.

use std::collections::HashMap;

use anyhow::{Result, anyhow, bail};
use wasmedge_shim_protocol::{Engine, Plugins, Proposals, SandboxOptions, Signals, words};

use super::native_code;
use crate::guest::{CoreDumps, Preopen, Settings};

/// Beginning of all our annotations.
const PREFIX: &str = "io.wasmedge.";

const GAS_LIMIT: &str = "io.wasmedge.gas-limit";
const TIME_LIMIT: &str = "io.wasmedge.time-limit";
const MEMORY_PAGES: &str = "io.wasmedge.memory-pages";
const STATISTICS: &str = "io.wasmedge.statistics";
const PROPOSALS: &str = "io.wasmedge.proposals";
const PREOPENS: &str = "io.wasmedge.preopens";
const SIGNALS: &str = "io.wasmedge.signals";
const REUSE_PORT: &str = "io.wasmedge.reuse-port";
const CORE_DUMP: &str = "io.wasmedge.core-dump";
const PLUGINS: &str = "io.wasmedge.plugins";

/// What there is.
const KNOWN: [&str; 12] = [
    native_code::POLICY,
    native_code::LEVEL,
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

/// What is wanted for a container with these annotations. One that is not known is warned about.
///
/// # Errors
/// An annotation that is not understood, or asks for more than the options allow.
pub fn wanted(options: &SandboxOptions, annotations: Option<&HashMap<String, String>>) -> Result<Settings> {
    let none = HashMap::new();
    let annotations = annotations.unwrap_or(&none);
    let unknown = |name: &&String| name.starts_with(PREFIX) && !KNOWN.contains(&name.as_str());
    if let Some(one) = annotations.keys().filter(unknown).min() {
        let count = annotations.keys().filter(unknown).count();
        log::warn!("{count} annotation(s) of {PREFIX} are not known and ignored, such as {one:?}");
    }
    let SandboxOptions { engine: options, plugins, .. } = options;
    Ok(Settings {
        gas_limit: lowered(annotations, GAS_LIMIT, options.gas_limit)?,
        time_limit_millis: lowered(annotations, TIME_LIMIT, options.time_limit_millis)?,
        memory_pages: lowered(annotations, MEMORY_PAGES, options.memory_pages)?,
        statistics: boolean(annotations, STATISTICS)?.unwrap_or(options.statistics),
        proposals: proposals(annotations, options)?,
        preopens: annotations.get(PREOPENS).map(|text| preopens(text)).transpose()?,
        signals: signals(annotations)?.unwrap_or(options.signals),
        reuse_port: boolean(annotations, REUSE_PORT)?.unwrap_or(options.reuse_port),
        core_dumps: core_dumps(annotations, options)?,
        plugins: chosen(annotations, plugins)?,
    })
}

/// A limit, which may be below the runtime's.
fn lowered(annotations: &HashMap<String, String>, name: &str, limit: Option<u64>) -> Result<Option<u64>> {
    let Some(text) = annotations.get(name) else { return Ok(limit) };
    match text.parse() {
        Ok(value) if value > 0 && value <= limit.unwrap_or(u64::MAX) => Ok(Some(value)),
        _ => match limit {
            Some(limit) => {
                bail!(
                    "annotation {name}: a whole number from 1 to {limit}, the runtime's limit, is expected, not {text:?}"
                )
            }
            None => bail!("annotation {name}: a whole number of at least 1 is expected, not {text:?}"),
        },
    }
}

fn boolean(annotations: &HashMap<String, String>, name: &str) -> Result<Option<bool>> {
    let Some(text) = annotations.get(name) else { return Ok(None) };
    text.parse().map(Some).map_err(|_| anyhow!("annotation {name}: true or false is expected, not {text:?}"))
}

/// A container's programs may read what signals they like: who sends them has SIGKILL.
fn signals(annotations: &HashMap<String, String>) -> Result<Option<Signals>> {
    let Some(text) = annotations.get(SIGNALS) else { return Ok(None) };
    let list = if text == "none" { "" } else { text };
    let expected = Signals::NAMES;
    list.parse().map(Some).map_err(|_| anyhow!("annotation {SIGNALS}: none or {expected} is expected, not {text:?}"))
}

fn proposals(annotations: &HashMap<String, String>, options: &Engine) -> Result<Proposals> {
    let mut proposals = options.proposals;
    let Some(text) = annotations.get(PROPOSALS) else { return Ok(proposals) };
    for word in words(text) {
        proposals
            .change(word)
            .map_err(|_| anyhow!("annotation {PROPOSALS}: {} is expected, not {word:?}", Proposals::CHANGES))?;
    }
    let allowed = options.proposals.union(options.optional_proposals);
    match proposals.beyond(allowed).next() {
        Some(one) => bail!(
            "annotation {PROPOSALS}: {} is turned off by the runtime and not among engine.optional_proposals",
            one.name()
        ),
        None => Ok(proposals),
    }
}

/// Directories of the container, which its user can open anyway.
fn preopens(text: &str) -> Result<Vec<Preopen>> {
    Preopen::list(text)
        .map_err(|entry| anyhow!("annotation {PREOPENS}: {} is expected, not {entry:?}", Preopen::SYNTAX))
}

/// A directory of the container, and as much as the options allow.
fn core_dumps(annotations: &HashMap<String, String>, options: &Engine) -> Result<Option<CoreDumps>> {
    let directory = match annotations.get(CORE_DUMP).map(String::as_str) {
        None => options.core_dump.clone(),
        Some("none") => None,
        Some(path) if path.starts_with('/') => Some(path.into()),
        Some(other) => bail!("annotation {CORE_DUMP}: none or an absolute path is expected, not {other:?}"),
    };
    Ok(directory.map(|directory| CoreDumps { directory, most_mib: options.core_dump_mib }))
}

/// Plugins of those that the options have: all of them, or those that are named.
fn chosen(annotations: &HashMap<String, String>, plugins: &Plugins) -> Result<Plugins> {
    let Some(text) = annotations.get(PLUGINS) else { return Ok(plugins.clone()) };
    let names: Vec<String> = if text == "none" { Vec::new() } else { words(text).map(str::to_owned).collect() };
    match names.iter().find(|name| !plugins.names.contains(name)) {
        Some(name) => bail!("annotation {PLUGINS}: {name:?} is not among the runtime's plugins (plugins.load)"),
        None => Ok(Plugins { names, ..plugins.clone() }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use wasmedge_shim_protocol::{Proposal, Secret};

    fn with(engine: &Engine) -> SandboxOptions {
        SandboxOptions { engine: engine.clone(), ..SandboxOptions::default() }
    }

    fn asked(options: &Engine, name: &str, text: &str) -> Result<Settings, String> {
        asked_of(&with(options), name, text)
    }

    fn asked_of(options: &SandboxOptions, name: &str, text: &str) -> Result<Settings, String> {
        let annotations = HashMap::from([(name.to_owned(), text.to_owned())]);
        wanted(options, Some(&annotations)).map_err(|error| error.to_string())
    }

    #[test]
    fn without_annotations_the_options_count() {
        let options = Engine { gas_limit: Some(9), statistics: true, ..Engine::default() };
        let settings = wanted(&with(&options), None).unwrap();
        assert_eq!((settings.gas_limit, settings.statistics), (Some(9), true));
        assert_eq!(wanted(&with(&Engine::default()), None).unwrap(), Settings::default());
    }

    #[test]
    fn a_limit_is_lowered_and_never_raised() {
        let options = Engine {
            gas_limit: Some(1000),
            time_limit_millis: Some(1000),
            memory_pages: Some(1000),
            ..Engine::default()
        };
        for name in [GAS_LIMIT, TIME_LIMIT, MEMORY_PAGES] {
            let settings = asked(&options, name, "10").unwrap();
            let limits = [settings.gas_limit, settings.time_limit_millis, settings.memory_pages];
            assert_eq!(limits.iter().filter(|limit| **limit == Some(10)).count(), 1, "{name}");
            for text in ["1001", "0", "-1", "", "much"] {
                assert_eq!(
                    asked(&options, name, text).unwrap_err(),
                    format!(
                        "annotation {name}: a whole number from 1 to 1000, the runtime's limit, is expected, not {text:?}"
                    )
                );
            }
        }
        assert_eq!(asked(&Engine::default(), GAS_LIMIT, "7").unwrap().gas_limit, Some(7));
        assert!(asked(&Engine::default(), GAS_LIMIT, "0").unwrap_err().contains("of at least 1"));
    }

    #[test]
    fn statistics_are_the_container_s_own_affair() {
        assert!(asked(&Engine::default(), STATISTICS, "true").unwrap().statistics);
        assert!(!asked(&Engine { statistics: true, ..Engine::default() }, STATISTICS, "false").unwrap().statistics);
        assert!(asked(&Engine::default(), STATISTICS, "yes").unwrap_err().contains("true or false is expected"));
    }

    #[test]
    fn signals_and_shared_ports_are_the_container_s_own_affair() {
        let options = Engine { signals: "TERM".parse().unwrap(), reuse_port: true, ..Engine::default() };
        let numbers =
            |text| asked(&options, SIGNALS, text).map(|settings| settings.signals.numbers().collect::<Vec<_>>());
        assert_eq!(numbers("INT, SIGHUP").unwrap(), [libc::SIGHUP, libc::SIGINT]);
        assert!(numbers("none").unwrap().is_empty());
        assert!(numbers("SIGKILL").unwrap_err().contains("io.wasmedge.signals: none or a list of signals"));
        let settings = wanted(&with(&options), None).unwrap();
        assert_eq!((settings.signals, settings.reuse_port), (options.signals, true));
        assert!(!asked(&options, REUSE_PORT, "false").unwrap().reuse_port);
        assert!(asked(&options, REUSE_PORT, "1").unwrap_err().contains("true or false is expected"));
    }

    #[test]
    fn a_proposal_is_turned_off_freely_and_on_only_if_it_is_optional() {
        let options = Engine { optional_proposals: Proposals::NONE.with(Proposal::Threads), ..Engine::default() };
        let settings = asked(&options, PROPOSALS, "-simd, +threads").unwrap();
        assert!(!settings.proposals.has(Proposal::Simd) && settings.proposals.has(Proposal::Threads));
        for forbidden in ["memory64", "exception-handling"] {
            let error = asked(&options, PROPOSALS, &format!("+{forbidden}")).unwrap_err();
            assert!(error.contains(forbidden) && error.contains("engine.optional_proposals"), "{error}");
        }
        // What it builds on was turned off by the node.
        let strict = Engine { proposals: Proposals::default().without(Proposal::ReferenceTypes), ..options };
        assert!(asked(&strict, PROPOSALS, "+gc").unwrap_err().contains("turned off by the runtime"));
        assert!(asked(&Engine::default(), PROPOSALS, "simd").unwrap_err().contains("not \"simd\""));
    }

    #[test]
    fn a_core_dump_goes_where_the_container_says_and_is_as_large_as_the_runtime_says() {
        let options = Engine { core_dump: Some("/a".into()), core_dump_mib: 3, ..Engine::default() };
        let directory = |text| asked(&options, CORE_DUMP, text).map(|settings| settings.core_dumps);
        assert_eq!(directory("/b").unwrap(), Some(CoreDumps { directory: "/b".into(), most_mib: 3 }));
        assert_eq!(directory("none").unwrap(), None);
        assert_eq!(wanted(&with(&options), None).unwrap().core_dumps.unwrap().directory.to_str(), Some("/a"));
        assert!(directory("b").unwrap_err().contains("none or an absolute path"));
    }

    #[test]
    fn plugins_are_chosen_among_those_of_the_runtime() {
        let plugins = Plugins {
            directory: "/p".into(),
            names: vec!["a".into(), "b".into()],
            env: vec![("X".into(), Secret::new("1".into()))],
        };
        let options = SandboxOptions { plugins: plugins.clone(), ..SandboxOptions::default() };
        assert_eq!(wanted(&options, None).unwrap().plugins, plugins);
        let names = |text| asked_of(&options, PLUGINS, text).map(|settings| settings.plugins.names);
        assert_eq!(names("b").unwrap(), ["b"]);
        assert!(names("none").unwrap().is_empty() && names("").unwrap().is_empty());
        for other in ["c", "/p/a", "../p/a", "a.so", "b,c"] {
            assert!(names(other).unwrap_err().contains("is not among the runtime's plugins"), "{other}");
        }
    }

    #[test]
    fn an_annotation_of_a_later_version_is_tolerated() {
        assert_eq!(asked(&Engine::default(), "io.wasmedge.later", "x").unwrap(), Settings::default());
    }
}
