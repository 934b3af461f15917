//! Tells what the guest sees of its world, one `key=value` a line; a backslash or newline in a value is escaped.
//! Keys: `arg.N`, `env.NAME` (sorted), `cwd`, `entry` (one for each name in `.`, sorted) and, for each PATH given,
//! `path.PATH` with the value `file`, `directory`, `other` or the error.
//!
//! usage: world [PATH...]

use std::{env, fs};

fn main() {
    for (index, word) in env::args().enumerate() {
        say(&format!("arg.{index}"), &word);
    }
    let mut variables: Vec<_> = env::vars_os().collect();
    variables.sort();
    for (name, value) in variables {
        say(
            &format!("env.{}", name.to_string_lossy()),
            &value.to_string_lossy(),
        );
    }
    match env::current_dir() {
        Ok(path) => say("cwd", &path.to_string_lossy()),
        Err(error) => say("cwd", &error.to_string()),
    }
    for name in names_in(".") {
        say("entry", &name);
    }
    for path in env::args().skip(1) {
        say(&format!("path.{path}"), &kind(&path));
    }
}

fn names_in(path: &str) -> Vec<String> {
    let Ok(entries) = fs::read_dir(path) else {
        return Vec::new();
    };
    let mut names: Vec<_> = entries
        .flatten()
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}

fn kind(path: &str) -> String {
    match fs::metadata(path) {
        Ok(found) if found.is_dir() => "directory".into(),
        Ok(found) if found.is_file() => "file".into(),
        Ok(_) => "other".into(),
        Err(error) => error.to_string(),
    }
}

fn say(key: &str, value: &str) {
    println!("{key}={}", value.replace('\\', "\\\\").replace('\n', "\\n"));
}
