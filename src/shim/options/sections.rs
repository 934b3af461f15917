//! The sections `aot`, `engine` and `plugins`: what modules have. Each function sets one option; its name without the section,
//! with it, and its value.

use toml::Value;
use wasmedge_shim_protocol::{Aot, AotPolicy, Engine, Optimization, Plugins, Preopen, Proposals, Secret, Signals};

use super::{
    OptionsError,
    values::{
        Found::{self, Known, Unknown},
        absolute, boolean, named, number, positive, section, words, wrong,
    },
};

/// The options of `aot`, all together: what containers may ask for depends on what else is set.
pub fn aot(aot: &mut Aot, name: &str, value: &Value) -> Result<(), OptionsError> {
    let (mut policy, mut most_policy, mut most_level) = (None, None, None);
    section(name, value, |key, name, value| {
        match key {
            "policy" => policy = Some(named(name, AotPolicy::NAMES, value)?),
            "most_policy" => most_policy = Some(named(name, AotPolicy::NAMES, value)?),
            "level" => aot.level = named(name, Optimization::NAMES, value)?,
            "most_level" => most_level = Some(named(name, Optimization::NAMES, value)?),
            "wait_ms" => aot.wait_millis = number(name, value)?,
            "cache_mib" => aot.cache_mib = number(name, value)?,
            "compilers" => aot.compilers = number(name, value)?,
            "compilers_mib" => aot.compilers_mib = number(name, value)?,
            "new_per_minute" => aot.new_per_minute = number(name, value)?,
            _ => return Ok(Unknown),
        }
        Ok(Known(()))
    })?;
    aot.policy = policy.unwrap_or(aot.policy);
    *aot = std::mem::take(aot).with_most(policy, most_policy, most_level);
    Ok(())
}

/// An option of `engine`, but for the path of its binary.
pub fn engine(engine: &mut Engine, key: &str, name: &str, value: &Value) -> Result<Found, OptionsError> {
    match key {
        "gas_limit" => engine.gas_limit = Some(positive(name, value)?),
        "time_limit_ms" => engine.time_limit_millis = Some(positive(name, value)?),
        "memory_pages" => engine.memory_pages = Some(positive(name, value)?),
        "statistics" => engine.statistics = boolean(name, value)?,
        "proposals" => words(name, Proposals::CHANGES, value, |word| engine.proposals.change(word).ok())?,
        "optional_proposals" => words(name, "a list of proposals' names", value, |word| {
            engine.optional_proposals = engine.optional_proposals.with(word.parse().ok()?);
            Some(())
        })?,
        "signals" => words(name, Signals::NAMES, value, |word| engine.signals.add(word).ok())?,
        "reuse_port" => engine.reuse_port = boolean(name, value)?,
        "core_dump" => engine.core_dump = Some(absolute(name, value)?),
        "core_dump_mib" => engine.core_dump_mib = number(name, value)?,
        _ => return Ok(Unknown),
    }
    Ok(Known(()))
}

/// `engine.preopens`.
pub fn preopens(preopens: &mut Option<Vec<Preopen>>, name: &str, value: &Value) -> Result<(), OptionsError> {
    let list = preopens.insert(Vec::new());
    words(name, Preopen::ENTRIES, value, |word| Preopen::parse(word).map(|preopen| list.push(preopen)))
}

/// An option of `plugins`.
pub fn plugins(plugins: &mut Plugins, key: &str, name: &str, value: &Value) -> Result<Found, OptionsError> {
    match key {
        "dir" => plugins.directory = absolute(name, value)?,
        "load" => words(name, "a list of plugins' file names, without a directory and .so", value, |word| {
            let sound = !word.is_empty() && !word.starts_with('.') && !word.contains(['/', '\0', ',', ' ']);
            sound.then(|| plugins.names.push(word.to_owned()))
        })?,
        "env" => section(name, value, |key, name, value| {
            let sound = !key.is_empty() && !key.contains(['=', '\0']);
            let text = value.as_str().filter(|text| sound && !text.contains('\0'));
            let text = text.ok_or_else(|| wrong(name, "NAME = \"VALUE\"", value))?;
            plugins.env.push((key.to_owned(), Secret::new(text.to_owned())));
            Ok(Known(()))
        })?,
        _ => return Ok(Unknown),
    }
    Ok(Known(()))
}
