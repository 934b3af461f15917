//! Values of options, each of the type that it has to be of.

use std::{path::PathBuf, str::FromStr};

use log::warn;
use toml::Value;

use super::OptionsError;
use Found::Unknown;

/// Whether there is an option of a name.
pub enum Found {
    Known(()),
    Unknown,
}

/// The options of a section; `set` is given each: its key, its full name for messages, its value.
pub fn section(
    name: &str,
    value: &Value,
    mut set: impl FnMut(&str, &str, &Value) -> Result<Found, OptionsError>,
) -> Result<(), OptionsError> {
    let table = value.as_table().ok_or_else(|| wrong(name, "a section", value))?;
    for (key, value) in table {
        let name = format!("{name}.{key}");
        if let Unknown = set(key, &name, value)? {
            warn!("runtime option {name} is not known and ignored");
        }
    }
    Ok(())
}

/// Gives each string of a list to `take`, which refuses by `None`.
pub fn words(
    name: &str,
    expected: &'static str,
    value: &Value,
    mut take: impl FnMut(&str) -> Option<()>,
) -> Result<(), OptionsError> {
    let list = value.as_array().ok_or_else(|| wrong(name, expected, value))?;
    list.iter().try_for_each(|word| word.as_str().and_then(&mut take).ok_or_else(|| wrong(name, expected, word)))
}

/// What a string names; `expected` says for messages what there is.
pub fn named<T: FromStr>(name: &str, expected: &'static str, value: &Value) -> Result<T, OptionsError> {
    value.as_str().and_then(|text| text.parse().ok()).ok_or_else(|| wrong(name, expected, value))
}

/// A number that fits 32 bits.
pub fn number(name: &str, value: &Value) -> Result<u32, OptionsError> {
    let number = value.as_integer().and_then(|number| u32::try_from(number).ok());
    number.ok_or_else(|| wrong(name, "a whole number of at most 4294967295", value))
}

/// A number, but 0.
pub fn positive(name: &str, value: &Value) -> Result<u64, OptionsError> {
    let number = value.as_integer().and_then(|number| u64::try_from(number).ok()).filter(|number| *number > 0);
    number.ok_or_else(|| wrong(name, "a whole number of at least 1", value))
}

/// A truth value.
pub fn boolean(name: &str, value: &Value) -> Result<bool, OptionsError> {
    value.as_bool().ok_or_else(|| wrong(name, "true or false", value))
}

/// A string, but the empty one.
pub fn string(name: &str, value: &Value) -> Result<String, OptionsError> {
    value.as_str().filter(|text| !text.is_empty()).map(str::to_owned).ok_or_else(|| wrong(name, "a string", value))
}

/// A path that begins with a slash.
pub fn absolute(name: &str, value: &Value) -> Result<PathBuf, OptionsError> {
    let path = value.as_str().filter(|path| path.starts_with('/'));
    path.map(PathBuf::from).ok_or_else(|| wrong(name, "an absolute path", value))
}

/// A level of messages.
pub fn level(name: &str, value: &Value) -> Result<log::LevelFilter, OptionsError> {
    named(name, "off, error, warn, info, debug or trace", value)
}

/// The error that names an option, what it takes and what it was given.
pub fn wrong(name: &str, expected: &'static str, value: &Value) -> OptionsError {
    OptionsError::Value { name: name.to_owned(), expected, found: describe(value) }
}

fn describe(value: &Value) -> String {
    match value {
        Value::String(text) => format!("string {text:?}"),
        Value::Integer(number) => format!("integer {number}"),
        Value::Boolean(truth) => format!("boolean {truth}"),
        other => other.type_str().to_owned(),
    }
}
