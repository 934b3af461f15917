//! What a module sees of its container: arguments, environment, directories.

use std::path::Path;

use oci_spec::runtime::Process;

use crate::wasm::World;

/// The world of a module in the container that this process is in.
pub fn world(process: &Process, args: &[String]) -> World {
    World { args: args.to_vec(), env: process.env().clone().unwrap_or_default(), preopens: preopens_for(process.cwd()) }
}

/// The directories that a guest finds open, `guest:host`.
///
/// One for `/` would do, as everything mounted below is reached through it, were it not that WASI has no working
/// directory: wasi-libc takes relative paths from `/` unless a preopen is called `.`, and since it matches names
/// after stripping `/` and `./`, that one then also catches absolute paths. So with a working directory other than
/// `/`, each directory of the root is a preopen as well: the longest name wins, and `/etc/hosts` goes to `/etc`. The
/// order matters: with `.` at the end, wasi-libc of Rust 1.95 does not find it among seven or more [measured].
fn preopens_for(cwd: &Path) -> Vec<String> {
    let mut preopens = vec!["/:/".to_owned()];
    if cwd != Path::new("/") && !cwd.as_os_str().is_empty() {
        preopens.push(format!(".:{}", cwd.display()));
        preopens.extend(root_directories().into_iter().map(|name| format!("/{name}:/{name}")));
    }
    preopens
}

/// Names of the directories in `/`, sorted. Those with a colon cannot be said in a preopen.
fn root_directories() -> Vec<String> {
    let Ok(entries) = std::fs::read_dir("/") else { return Vec::new() };
    let mut names: Vec<String> = entries
        .flatten()
        .filter(|entry| std::fs::metadata(entry.path()).is_ok_and(|meta| meta.is_dir()))
        .filter_map(|entry| entry.file_name().into_string().ok())
        .filter(|name| !name.contains(':'))
        .collect();
    names.sort();
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn in_the_root_one_preopen_is_enough() {
        assert_eq!(preopens_for(Path::new("/")), ["/:/"]);
    }

    #[test]
    fn a_working_directory_is_the_second_preopen_before_the_directories_of_the_root() {
        let preopens = preopens_for(Path::new("/usr/lib"));
        assert_eq!(preopens[..2], ["/:/", ".:/usr/lib"]);
        assert!(preopens.contains(&"/usr:/usr".to_owned()));
    }
}
