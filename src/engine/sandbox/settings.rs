//! What a container's modules have of the engine's abilities, from the runtime's options and what is asked for the container.
//!
//! Who asks is trusted less than who configures the node ([`super::annotations`]). So an annotation may only take away: lower a
//! limit, turn a proposal off. What it adds is what the options say that containers may have.

use anyhow::{Result, anyhow, bail, ensure};
use wasmedge_shim_protocol::{Engine, FurtherOptions, Plugins, Preopen, Proposals, SandboxOptions, Signals, words};

use super::annotations::{
    Ask, Asked, Author, CORE_DUMP, GAS_LIMIT, MEMORY_PAGES, PLUGINS, PREOPENS, PROPOSALS, REUSE_PORT, SIGNALS,
    STATISTICS, TIME_LIMIT,
};
use crate::guest::{CoreDumps, Settings};

/// What is wanted for a container that asks for this.
///
/// # Errors
/// What is asked for is not understood, or more than the options allow.
pub fn wanted(options: &SandboxOptions, further: &FurtherOptions, asked: &Asked) -> Result<Settings> {
    let SandboxOptions { engine: options, plugins, .. } = options;
    Ok(Settings {
        gas_limit: lowered(asked.get(GAS_LIMIT), options.gas_limit)?,
        time_limit_millis: lowered(asked.get(TIME_LIMIT), options.time_limit_millis)?,
        memory_pages: lowered(asked.get(MEMORY_PAGES), options.memory_pages)?,
        statistics: boolean(asked.get(STATISTICS))?.unwrap_or(options.statistics),
        proposals: proposals(asked.get(PROPOSALS), options)?,
        preopens: preopens(asked.get(PREOPENS), further)?,
        signals: signals(asked.get(SIGNALS))?.unwrap_or(options.signals),
        reuse_port: boolean(asked.get(REUSE_PORT))?.unwrap_or(options.reuse_port),
        core_dumps: core_dumps(asked.get(CORE_DUMP), options)?,
        plugins: chosen(asked.get(PLUGINS), plugins)?,
    })
}

/// A limit, which may be below the runtime's.
fn lowered(ask: Option<Ask<'_>>, limit: Option<u64>) -> Result<Option<u64>> {
    let Some(ask) = ask else { return Ok(limit) };
    match ask.text.parse() {
        Ok(value) if value > 0 && value <= limit.unwrap_or(u64::MAX) => Ok(Some(value)),
        _ => match limit {
            Some(limit) => {
                bail!("{ask}: a whole number from 1 to {limit}, the runtime's limit, is expected, not {:?}", ask.text)
            }
            None => bail!("{ask}: a whole number of at least 1 is expected, not {:?}", ask.text),
        },
    }
}

fn boolean(ask: Option<Ask<'_>>) -> Result<Option<bool>> {
    let Some(ask) = ask else { return Ok(None) };
    ask.text.parse().map(Some).map_err(|_| anyhow!("{ask}: true or false is expected, not {:?}", ask.text))
}

/// A container's programs may read what signals they like: who sends them has SIGKILL.
fn signals(ask: Option<Ask<'_>>) -> Result<Option<Signals>> {
    let Some(ask) = ask else { return Ok(None) };
    let list = if ask.text == "none" { "" } else { ask.text };
    let expected = Signals::NAMES;
    list.parse().map(Some).map_err(|_| anyhow!("{ask}: none or {expected} is expected, not {:?}", ask.text))
}

fn proposals(ask: Option<Ask<'_>>, options: &Engine) -> Result<Proposals> {
    let mut proposals = options.proposals;
    let Some(ask) = ask else { return Ok(proposals) };
    for word in words(ask.text) {
        proposals.change(word).map_err(|_| anyhow!("{ask}: {} is expected, not {word:?}", Proposals::CHANGES))?;
    }
    let allowed = options.proposals.union(options.optional_proposals);
    if let Some(one) = proposals.beyond(allowed).next() {
        bail!("{ask}: {} is turned off by the runtime and not among engine.optional_proposals", one.name());
    }
    if let Some(one) = proposals.beyond(options.proposals).next() {
        ensure!(ask.author > Author::Image, "{ask}: an image may not turn {} on, an annotation may", one.name());
    }
    Ok(proposals)
}

/// Directories of the container, which its user can open anyway.
fn preopens(ask: Option<Ask<'_>>, further: &FurtherOptions) -> Result<Option<Vec<Preopen>>> {
    let Some(ask) = ask else { return Ok(further.preopens.clone()) };
    let list = Preopen::list(ask.text);
    list.map(Some).map_err(|entry| anyhow!("{ask}: {} is expected, not {entry:?}", Preopen::SYNTAX))
}

/// A directory of the container, and as much as the options allow.
fn core_dumps(ask: Option<Ask<'_>>, options: &Engine) -> Result<Option<CoreDumps>> {
    let directory = match ask.map(|ask| (ask, ask.text)) {
        None => options.core_dump.clone(),
        Some((_, "none")) => None,
        Some((_, path)) if path.starts_with('/') => Some(path.into()),
        Some((ask, other)) => bail!("{ask}: none or an absolute path is expected, not {other:?}"),
    };
    Ok(directory.map(|directory| CoreDumps { directory, most_mib: options.core_dump_mib }))
}

/// Plugins of those that the options have: all of them, or those that are named.
fn chosen(ask: Option<Ask<'_>>, plugins: &Plugins) -> Result<Plugins> {
    let Some(ask) = ask else { return Ok(plugins.clone()) };
    let names: Vec<String> = if ask.text == "none" { Vec::new() } else { words(ask.text).map(str::to_owned).collect() };
    match names.iter().find(|name| !plugins.names.contains(name)) {
        Some(name) => bail!("{ask}: {name:?} is not among the runtime's plugins (plugins.load)"),
        None => Ok(Plugins { names, ..plugins.clone() }),
    }
}

#[cfg(test)]
mod tests {
    use super::{super::annotations::Setting, *};
    use wasmedge_shim_protocol::{Proposal, Secret};

    fn with(engine: &Engine) -> SandboxOptions {
        SandboxOptions { engine: engine.clone(), ..SandboxOptions::default() }
    }

    fn asked(options: &Engine, setting: Setting, text: &str) -> Result<Settings, String> {
        asked_of(&with(options), Author::Pod, setting, text)
    }

    fn asked_by_image(options: &Engine, setting: Setting, text: &str) -> Result<Settings, String> {
        asked_of(&with(options), Author::Image, setting, text)
    }

    fn asked_of(options: &SandboxOptions, author: Author, setting: Setting, text: &str) -> Result<Settings, String> {
        let asked = Asked::one(author, setting, text);
        let settings = asked.and_then(|asked| wanted(options, &FurtherOptions::default(), &asked));
        settings.map_err(|error| error.to_string())
    }

    fn unasked(options: &SandboxOptions) -> Settings {
        wanted(options, &FurtherOptions::default(), &Asked::default()).unwrap()
    }

    #[test]
    fn without_annotations_the_options_count() {
        let options = Engine { gas_limit: Some(9), statistics: true, ..Engine::default() };
        let settings = unasked(&with(&options));
        assert_eq!((settings.gas_limit, settings.statistics), (Some(9), true));
        assert_eq!(unasked(&with(&Engine::default())), Settings::default());
    }

    #[test]
    fn a_limit_is_lowered_and_never_raised() {
        let options = Engine {
            gas_limit: Some(1000),
            time_limit_millis: Some(1000),
            memory_pages: Some(1000),
            ..Engine::default()
        };
        for setting in [GAS_LIMIT, TIME_LIMIT, MEMORY_PAGES] {
            let settings = asked(&options, setting, "10").unwrap();
            let limits = [settings.gas_limit, settings.time_limit_millis, settings.memory_pages];
            assert_eq!(limits.iter().filter(|limit| **limit == Some(10)).count(), 1, "{setting:?}");
            for text in ["1001", "0", "-1", "", "much"] {
                assert_eq!(
                    asked(&options, setting, text).unwrap_err(),
                    format!(
                        "annotation {}: a whole number from 1 to 1000, the runtime's limit, is expected, not {text:?}",
                        setting.name
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
        let settings = unasked(&with(&options));
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
        assert_eq!(unasked(&with(&options)).core_dumps.unwrap().directory.to_str(), Some("/a"));
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
        assert_eq!(unasked(&options).plugins, plugins);
        let names = |text| asked_of(&options, Author::Pod, PLUGINS, text).map(|settings| settings.plugins.names);
        assert_eq!(names("b").unwrap(), ["b"]);
        assert!(names("none").unwrap().is_empty() && names("").unwrap().is_empty());
        for other in ["c", "/p/a", "../p/a", "a.so", "b,c"] {
            assert!(names(other).unwrap_err().contains("is not among the runtime's plugins"), "{other}");
        }
    }

    #[test]
    fn an_image_asks_within_the_options_and_is_named() {
        let options = Engine { gas_limit: Some(1000), signals: "INT".parse().unwrap(), ..Engine::default() };
        assert_eq!(asked_by_image(&options, GAS_LIMIT, "10").unwrap().gas_limit, Some(10));
        assert_eq!(
            asked_by_image(&options, GAS_LIMIT, "1001").unwrap_err(),
            "the image's label io.wasmedge.gas-limit: a whole number from 1 to 1000, the runtime's limit, is expected, not \
             \"1001\""
        );
        let signals = asked_by_image(&options, SIGNALS, "TERM").unwrap().signals;
        assert_eq!(signals.numbers().collect::<Vec<_>>(), [libc::SIGTERM]);
        assert!(asked_by_image(&options, REUSE_PORT, "true").unwrap().reuse_port);
    }

    #[test]
    fn an_image_turns_no_proposal_on() {
        let options = Engine { optional_proposals: Proposals::NONE.with(Proposal::Threads), ..Engine::default() };
        assert!(asked(&options, PROPOSALS, "+threads").unwrap().proposals.has(Proposal::Threads));
        assert_eq!(
            asked_by_image(&options, PROPOSALS, "+threads").unwrap_err(),
            "the image's label io.wasmedge.proposals: an image may not turn threads on, an annotation may"
        );
        assert!(asked_by_image(&options, PROPOSALS, "+memory64").unwrap_err().contains("engine.optional_proposals"));
        let proposals = asked_by_image(&options, PROPOSALS, "-simd,+tail-call").unwrap().proposals;
        assert!(!proposals.has(Proposal::Simd), "what is on anyway may be named");
    }

    #[test]
    fn directories_are_the_container_s_own_affair() {
        let further =
            FurtherOptions { preopens: Some(Preopen::list("/in:/data:ro").unwrap()), ..FurtherOptions::default() };
        let of = |asked: &Asked| wanted(&SandboxOptions::default(), &further, asked).unwrap().preopens;
        assert_eq!(of(&Asked::default()), further.preopens);
        assert_eq!(of(&Asked::one(Author::Pod, PREOPENS, "none").unwrap()), Some(Vec::new()));
        assert_eq!(unasked(&SandboxOptions::default()).preopens, None);
    }
}
