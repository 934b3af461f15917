//! Which program there is none of: it may be had from elsewhere.

use std::path::PathBuf;

use oci_spec::runtime::Process;

use super::entrypoint::{Entrypoint, EntrypointError, Open, behind_init, directories, find, resolve_args};

/// The program that `process` names and that is not there, without `#function`: as it is named, and where it would be
/// found. An empty file is not there either: such a one is left where a file was mounted.
pub fn missing(process: &Process, open: Open<'_>) -> Option<(String, PathBuf)> {
    let args = process.args().as_deref().unwrap_or_default();
    let args = match resolve_args(process, args, open) {
        Ok(Entrypoint::Wasm { .. }) => return None,
        Ok(Entrypoint::Linux { .. }) => behind_init(args).unwrap_or(args),
        Err(_) => args,
    };
    let name = args.first().filter(|name| !name.is_empty())?;
    let module = name.rsplit_once('#').map(|(module, _)| module).filter(|module| !module.is_empty());
    let name = module.unwrap_or(name);
    let path = match find(process, name, open) {
        Ok((path, file)) => file.metadata().is_ok_and(|meta| meta.is_file() && meta.len() == 0).then_some(path)?,
        Err(EntrypointError::NotInPath(_) | EntrypointError::Unreadable { missing: true, .. }) => {
            let directory = if name.contains('/') { None } else { directories(process, name).pop() };
            directory.unwrap_or_else(|| process.cwd().clone()).join(name)
        }
        Err(_) => return None,
    };
    Some((name.to_owned(), path))
}

#[cfg(test)]
mod tests {
    use std::fs::File;

    use oci_spec::runtime::ProcessBuilder;

    use super::*;

    #[test]
    fn a_program_that_is_not_there_is_told_with_the_place_where_it_would_be_found() {
        let root = tempfile::tempdir().unwrap();
        for directory in ["bin", "app", "sbin"] {
            std::fs::create_dir(root.path().join(directory)).unwrap();
        }
        for (path, content) in [
            ("hello.wasm", &b"\0asm\x01\0\0\0"[..]),
            ("bin/sh", b"\x7fELF\x02\x01\x01\0"),
            ("sbin/docker-init", b"\x7fELF\x02\x01\x01\0"),
            ("text.wasm", b"not a module"),
            ("app/empty.wasm", b""),
            ("bin/empty", b""),
        ] {
            std::fs::write(root.path().join(path), content).unwrap();
        }
        let missing_in = |cwd: &str, args: &[&str]| {
            let args: Vec<String> = args.iter().map(ToString::to_string).collect();
            let env = vec!["PATH=/bin:/app".to_owned()];
            let process = ProcessBuilder::default().cwd(cwd).args(args).env(env).build().unwrap();
            missing(&process, &|path| File::open(root.path().join(path.strip_prefix("/").unwrap())))
        };
        let at = |name: &str, path: &str| Some((name.to_owned(), PathBuf::from(path)));
        assert_eq!(missing_in("/", &["/x/no.wasm#main", "a"]), at("/x/no.wasm", "/x/no.wasm"));
        assert_eq!(missing_in("/work", &["./no.wasm"]), at("./no.wasm", "/work/./no.wasm"));
        assert_eq!(missing_in("/work", &["no.wasm"]), at("no.wasm", "/work/no.wasm"));
        assert_eq!(missing_in("/", &["no"]), at("no", "/app/no"));
        assert_eq!(missing_in("/", &["#main"]), at("#main", "/app/#main"));
        assert_eq!(missing_in("/", &["/sbin/docker-init", "--", "/no.wasm"]), at("/no.wasm", "/no.wasm"));
        assert_eq!(missing_in("/app", &["empty.wasm#main"]), at("empty.wasm", "/app/empty.wasm"));
        assert_eq!(missing_in("/", &["empty"]), at("empty", "/bin/empty"));
        for there in [&["/hello.wasm"][..], &["sh"], &["/text.wasm"], &["/sbin/docker-init", "--", "sh"], &[]] {
            assert_eq!(missing_in("/", there), None, "{there:?}");
        }
    }
}
