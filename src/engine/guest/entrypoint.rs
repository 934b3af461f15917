//! Which program `process.args` names, and whether it is WebAssembly or Linux.

use std::{
    fs::File,
    io::{self, Read},
    path::{Path, PathBuf},
};

use oci_spec::runtime::Process;

use crate::wasm::{Kind, classify};

/// Where Docker and Podman put the init that `--init` asks for. It would exec the module, which the kernel cannot;
/// a module needs no init, as it has no children.
const INITS: [&str; 3] = ["/sbin/docker-init", "/dev/init", "/run/podman-init"];

/// The entry function of a WASI command.
const DEFAULT_FUNCTION: &str = "_start";

/// The search path of a process that has none (execvp(3)).
const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// A program to run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Entrypoint {
    /// A module, to be run in WasmEdge.
    Wasm {
        /// Absolute path in the container.
        path: PathBuf,
        /// Exported function to call.
        function: String,
        /// Arguments, the first is the program's name.
        args: Vec<String>,
    },
    /// Anything else, to be executed by the kernel.
    Linux {
        /// Absolute path in the container.
        path: PathBuf,
        /// Arguments, the first is the program's name.
        args: Vec<String>,
    },
}

/// Why there is no program to run. The texts are those of runc, from which Docker derives the exit codes 126 and 127.
#[derive(Debug, thiserror::Error)]
pub enum EntrypointError {
    /// `process.args` is empty.
    #[error("process.args must not be empty")]
    NoArgs,
    /// A bare name that is in no directory of `PATH`.
    #[error("exec: {0:?}: executable file not found in $PATH")]
    NotInPath(String),
    /// A path that cannot be opened.
    #[error("exec: {name:?}: stat {path}: {cause}")]
    Unreadable {
        /// As it stands in `process.args`.
        name: String,
        /// Where it was looked for.
        path: String,
        /// Why it cannot be read.
        cause: String,
        /// Whether there simply is no such file.
        missing: bool,
    },
    /// A name that claims to be a module and is none.
    #[error("exec: {0:?}: {1}")]
    NotAModule(String, String),
}

/// Opens a file of the container by its absolute path; a seam, since the container's root is looked at from outside
/// first and from inside later.
pub type Open<'a> = &'a dyn Fn(&Path) -> io::Result<File>;

/// Finds the program that `process` names.
///
/// A module may carry `#function`; a bare name is searched in `PATH`, a module also in the working directory.
pub fn resolve(process: &Process, open: Open<'_>) -> Result<Entrypoint, EntrypointError> {
    let args = process.args().as_deref().unwrap_or_default();
    let found = resolve_args(process, args, open)?;
    if let Entrypoint::Linux { .. } = found
        && let Some(inner) = behind_init(args)
        && let Ok(module @ Entrypoint::Wasm { .. }) = resolve_args(process, inner, open)
    {
        return Ok(module);
    }
    Ok(found)
}

/// Whether a container engine's init was put in front of these arguments.
pub fn has_init(args: &[String]) -> bool {
    behind_init(args).is_some()
}

/// The command that a container engine's init was put in front of.
pub(super) fn behind_init(args: &[String]) -> Option<&[String]> {
    let (first, rest) = args.split_first()?;
    let rest = rest.strip_prefix(&["--".to_owned()])?;
    (INITS.contains(&first.as_str()) && !rest.is_empty()).then_some(rest)
}

pub(super) fn resolve_args(process: &Process, args: &[String], open: Open<'_>) -> Result<Entrypoint, EntrypointError> {
    let name = args.first().filter(|name| !name.is_empty()).ok_or(EntrypointError::NoArgs)?;
    match find(process, name, open) {
        Ok((path, file)) => describe(name, name, DEFAULT_FUNCTION, path, file, args),
        Err(error) => {
            let Some((module, function)) = name.rsplit_once('#').filter(|(module, _)| !module.is_empty()) else {
                return Err(error);
            };
            let (path, file) = find(process, module, open)?;
            match describe(name, module, function, path, file, args)? {
                wasm @ Entrypoint::Wasm { .. } => Ok(wasm),
                Entrypoint::Linux { .. } => Err(error),
            }
        }
    }
}

fn describe(
    name: &str,
    program: &str,
    function: &str,
    path: PathBuf,
    mut file: File,
    args: &[String],
) -> Result<Entrypoint, EntrypointError> {
    let unreadable = |error: io::Error| EntrypointError::Unreadable {
        name: name.to_owned(),
        path: path.display().to_string(),
        cause: describe_io(&error),
        missing: is_missing(&error),
    };
    if file.metadata().map_err(unreadable)?.is_dir() {
        return Err(unreadable(io::Error::from_raw_os_error(libc::EISDIR)));
    }
    let mut head = Vec::new();
    file.by_ref().take(8).read_to_end(&mut head).map_err(unreadable)?;
    let function = if function.is_empty() { DEFAULT_FUNCTION } else { function };
    match classify(&head) {
        Kind::Module | Kind::Component | Kind::UnknownVersion(_) => {
            let mut args = args.to_vec();
            args[0] = program.to_owned();
            Ok(Entrypoint::Wasm { path, function: function.to_owned(), args })
        }
        Kind::Other if program.ends_with(".wasm") => {
            Err(EntrypointError::NotAModule(name.to_owned(), "it is not a WebAssembly module".to_owned()))
        }
        Kind::Other => Ok(Entrypoint::Linux { path, args: args.to_vec() }),
    }
}

pub(super) fn find(process: &Process, name: &str, open: Open<'_>) -> Result<(PathBuf, File), EntrypointError> {
    if name.contains('/') {
        let path = process.cwd().join(name);
        return open(&path).map(|file| (path.clone(), file)).map_err(|error| EntrypointError::Unreadable {
            name: name.to_owned(),
            path: path.display().to_string(),
            cause: describe_io(&error),
            missing: is_missing(&error),
        });
    }
    for directory in directories(process, name) {
        let path = directory.join(name);
        if let Ok(file) = open(&path)
            && file.metadata().is_ok_and(|meta| meta.is_file())
        {
            return Ok((path, file));
        }
    }
    Err(EntrypointError::NotInPath(name.to_owned()))
}

/// Where a bare name is looked for.
pub(super) fn directories(process: &Process, name: &str) -> Vec<PathBuf> {
    let env = process.env().as_deref().unwrap_or_default();
    let search = env.iter().rev().find_map(|entry| entry.strip_prefix("PATH=")).unwrap_or(DEFAULT_PATH);
    let mut directories: Vec<PathBuf> = search.split(':').map(|directory| process.cwd().join(directory)).collect();
    if name.ends_with(".wasm") {
        directories.push(process.cwd().clone());
    }
    directories
}

fn is_missing(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

/// The kernel's words as Go prints them, since Docker looks for "no such file or directory" in small letters.
fn describe_io(error: &io::Error) -> String {
    match error.raw_os_error() {
        Some(libc::ENOENT) => "no such file or directory".to_owned(),
        Some(libc::EACCES) => "permission denied".to_owned(),
        Some(libc::EISDIR) => "is a directory: permission denied".to_owned(),
        Some(libc::ENOTDIR) => "not a directory".to_owned(),
        _ => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use oci_spec::runtime::ProcessBuilder;

    const MODULE: &[u8] = b"\0asm\x01\0\0\0";

    /// A root filesystem with modules, a Linux program and things that are neither.
    fn root() -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        for directory in ["bin", "app", "sbin"] {
            std::fs::create_dir(root.path().join(directory)).unwrap();
        }
        for (path, content) in [
            ("hello.wasm", MODULE),
            ("app/app.wasm", MODULE),
            ("bin/tool", MODULE),
            ("bin/sh", b"\x7fELF\x02\x01\x01\0"),
            ("sbin/docker-init", b"\x7fELF\x02\x01\x01\0"),
            ("text.wasm", b"not a module"),
            ("odd#name.wasm", MODULE),
        ] {
            std::fs::write(root.path().join(path), content).unwrap();
        }
        root
    }

    fn resolve_in(root: &tempfile::TempDir, cwd: &str, args: &[&str]) -> Result<Entrypoint, EntrypointError> {
        let process = ProcessBuilder::default()
            .cwd(cwd)
            .args(args.iter().map(ToString::to_string).collect::<Vec<_>>())
            .env(vec!["PATH=/bin:/nowhere".to_owned()])
            .build()
            .unwrap();
        resolve(&process, &|path| File::open(root.path().join(path.strip_prefix("/").unwrap())))
    }

    fn wasm(path: &str, function: &str, args: &[&str]) -> Entrypoint {
        let args = args.iter().map(ToString::to_string).collect();
        Entrypoint::Wasm { path: path.into(), function: function.into(), args }
    }

    #[test]
    fn a_module_is_found_by_absolute_relative_and_bare_name() {
        let root = root();
        assert_eq!(
            resolve_in(&root, "/", &["/hello.wasm", "a"]).unwrap(),
            wasm("/hello.wasm", "_start", &["/hello.wasm", "a"])
        );
        assert_eq!(
            resolve_in(&root, "/app", &["./app.wasm"]).unwrap(),
            wasm("/app/./app.wasm", "_start", &["./app.wasm"])
        );
        assert_eq!(resolve_in(&root, "/app", &["app.wasm"]).unwrap(), wasm("/app/app.wasm", "_start", &["app.wasm"]));
        assert_eq!(resolve_in(&root, "/", &["tool"]).unwrap(), wasm("/bin/tool", "_start", &["tool"]));
    }

    #[test]
    fn a_function_is_named_behind_a_hash_unless_a_file_is_called_so() {
        let root = root();
        assert_eq!(
            resolve_in(&root, "/", &["hello.wasm#other", "a"]).unwrap(),
            wasm("/hello.wasm", "other", &["hello.wasm", "a"])
        );
        assert_eq!(
            resolve_in(&root, "/", &["/odd#name.wasm"]).unwrap(),
            wasm("/odd#name.wasm", "_start", &["/odd#name.wasm"])
        );
    }

    #[test]
    fn everything_else_is_for_the_kernel() {
        let root = root();
        let shell = Entrypoint::Linux { path: "/bin/sh".into(), args: vec!["sh".into(), "-c".into()] };
        assert_eq!(resolve_in(&root, "/", &["sh", "-c"]).unwrap(), shell);
    }

    #[test]
    fn an_init_is_taken_away_from_modules_only() {
        let root = root();
        assert_eq!(
            resolve_in(&root, "/", &["/sbin/docker-init", "--", "/hello.wasm", "a"]).unwrap(),
            wasm("/hello.wasm", "_start", &["/hello.wasm", "a"])
        );
        assert!(matches!(
            resolve_in(&root, "/", &["/sbin/docker-init", "--", "sh"]).unwrap(),
            Entrypoint::Linux { path, .. } if path == Path::new("/sbin/docker-init")
        ));
    }

    #[test]
    fn what_cannot_be_run_is_named_with_the_cause() {
        let root = root();
        let error = |cwd, args: &[&str]| resolve_in(&root, cwd, args).unwrap_err().to_string();
        assert_eq!(error("/", &["missing.wasm"]), "exec: \"missing.wasm\": executable file not found in $PATH");
        assert_eq!(error("/", &["/no.wasm"]), "exec: \"/no.wasm\": stat /no.wasm: no such file or directory");
        assert_eq!(error("/", &["/text.wasm"]), "exec: \"/text.wasm\": it is not a WebAssembly module");
        assert_eq!(error("/", &["/bin"]), "exec: \"/bin\": stat /bin: is a directory: permission denied");
        assert_eq!(error("/", &[]), "process.args must not be empty");
    }
}
