//! What a module sees of its container: arguments, environment, directories.

use std::path::Path;

use oci_spec::runtime::Process;

use super::{preopens, settings::Settings};
use crate::wasm::{Directory, Reach, World};

/// The world of a module in the container that this process is in, with the `settings` of that container.
///
/// # Errors
/// A directory that they name cannot be opened.
pub fn world(process: &Process, args: &[String], settings: &Settings) -> Result<World, String> {
    let mut env = process.env().clone().unwrap_or_default();
    let cwd = process.cwd();
    if cwd != Path::new("/") && !env.iter().any(|entry| entry.starts_with("PWD=")) {
        env.push(format!("PWD={}", cwd.display()));
    }
    let usual = usual(cwd);
    let directories = match &settings.preopens {
        Some(asked) => preopens::directories(asked, &usual)?,
        None => usual,
    };
    let directories = preopens::in_order(directories);
    Ok(World { args: args.to_vec(), env, directories, reuse_port: settings.reuse_port })
}

/// The directories that a guest finds open.
///
/// One for `/` would do, as everything mounted below is reached through it, were it not that WASI has no working
/// directory: wasi-libc takes relative paths from `/` unless a preopen is called `.`, which then catches absolute paths,
/// too. So with a working directory other than `/` each directory of the root is a preopen as well: the longest name
/// wins, and `/etc/hosts` goes to `/etc`. Guests that know a working directory from `PWD` (Go's) find it there.
fn usual(cwd: &Path) -> Vec<Directory> {
    let directory = |name: &str, path: &Path| Directory {
        name: name.to_owned(),
        path: path.to_owned(),
        reach: Reach::Container,
        read_only: false,
    };
    let mut directories = vec![directory("/", Path::new("/"))];
    if cwd != Path::new("/") && !cwd.as_os_str().is_empty() {
        directories.push(directory(".", cwd));
        directories.extend(root_directories().iter().map(|path| directory(path, Path::new(path))));
    }
    directories
}

/// Paths of the directories in `/`, sorted.
fn root_directories() -> Vec<String> {
    let Ok(entries) = std::fs::read_dir("/") else { return Vec::new() };
    let mut paths: Vec<String> = entries
        .flatten()
        .filter(|entry| std::fs::metadata(entry.path()).is_ok_and(|meta| meta.is_dir()))
        .filter_map(|entry| Some(format!("/{}", entry.file_name().into_string().ok()?)))
        .collect();
    paths.sort();
    paths
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(cwd: &str) -> Vec<String> {
        usual(Path::new(cwd)).into_iter().map(|directory| directory.name).collect()
    }

    #[test]
    fn in_the_root_one_directory_is_enough() {
        assert_eq!(names("/"), ["/"]);
    }

    #[test]
    fn a_working_directory_comes_with_the_directories_of_the_root() {
        let names = names("/usr/lib");
        assert_eq!(names[..2], ["/", "."]);
        assert!(names.contains(&"/usr".to_owned()));
    }
}
