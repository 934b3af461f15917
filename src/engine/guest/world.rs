//! What a module sees of its container: arguments, environment, directories.

use std::path::Path;

use oci_spec::runtime::Process;

use super::preopens::{self, Preopen};
use crate::wasm::World;

/// The world of a module in the container that this process is in. `preopens` are those that the container asks for.
///
/// # Errors
/// One of those cannot be opened.
pub fn world(process: &Process, args: &[String], preopens: Option<&[Preopen]>) -> Result<World, String> {
    let mut env = process.env().clone().unwrap_or_default();
    let cwd = process.cwd();
    if cwd != Path::new("/") && !env.iter().any(|entry| entry.starts_with("PWD=")) {
        env.push(format!("PWD={}", cwd.display()));
    }
    let usual = preopens_for(cwd);
    let preopens = match preopens {
        Some(asked) => preopens::spell(asked, &usual)?,
        None => usual,
    };
    Ok(World { args: args.to_vec(), env, preopens })
}

/// The directories that a guest finds open, `guest:host`.
///
/// One for `/` would do, as everything mounted below is reached through it, were it not that WASI has no working
/// directory: wasi-libc takes relative paths from `/` unless a preopen is called `.`, and since it matches names
/// after stripping `/` and `./`, the later of the two catches absolute paths, too. So with a working directory other
/// than `/`, `.` comes after it, and each directory of the root is a preopen as well: the longest name wins, and
/// `/etc/hosts` goes to `/etc`. Guests that know a working directory from `PWD` (Go's) find it there.
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
