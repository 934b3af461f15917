//! The variable `HOME` of a process, which runc takes from the container's own `passwd` file (passwd(5)) where the environment
//! has none. libcontainer would ask the C library instead, which follows the image's `nsswitch.conf` into libraries of
//! the image.

use std::{
    fs::File,
    io::{self, BufRead, BufReader, Read},
    path::Path,
};

use oci_spec::runtime::Process;

const PASSWD: &str = "/etc/passwd";

/// Most bytes of the file that are looked at.
const MAX_PASSWD: u64 = 1 << 20;

/// Adds `HOME` where the environment has none. `open` opens a file of the container.
pub fn set(process: &mut Process, open: &dyn Fn(&Path) -> io::Result<File>) {
    let mut env = process.env().clone().unwrap_or_default();
    if env.iter().any(|entry| entry.starts_with("HOME=")) {
        return;
    }
    let home = match open(Path::new(PASSWD)) {
        Ok(file) => home_of(process.user().uid(), file),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => {
            log::warn!("HOME is /: the container's {PASSWD}: {error}");
            None
        }
    };
    env.push(format!("HOME={}", home.as_deref().unwrap_or("/")));
    process.set_env(Some(env));
}

/// The home directory of a user in a `passwd` file.
pub(super) fn home_of(uid: u32, passwd: impl Read) -> Option<String> {
    let uid = uid.to_string();
    let lines = BufReader::new(passwd.take(MAX_PASSWD)).split(b'\n').map_while(Result::ok);
    let homes = lines.filter_map(|line| {
        let line = String::from_utf8(line).ok()?;
        let fields: Vec<&str> = line.split(':').collect();
        (fields.get(2) == Some(&uid.as_str())).then(|| fields.get(5).map(|home| (*home).to_owned()))?
    });
    homes.into_iter().next().filter(|home| !home.is_empty() && !home.contains('\0'))
}

#[cfg(test)]
mod tests {
    use oci_spec::runtime::ProcessBuilder;

    use super::*;

    const PASSWD_FILE: &str =
        "root:x:0:0:root:/root:/bin/sh\nbad line\nuser:x:1000:1000::/home/user:/bin/sh\nnone:x:7:7:::\n";

    #[test]
    fn home_is_that_of_the_user_in_the_first_mebibyte() {
        assert_eq!(home_of(0, PASSWD_FILE.as_bytes()).as_deref(), Some("/root"));
        assert_eq!(home_of(1000, PASSWD_FILE.as_bytes()).as_deref(), Some("/home/user"));
        assert_eq!(home_of(7, PASSWD_FILE.as_bytes()), None);
        assert_eq!(home_of(1, PASSWD_FILE.as_bytes()), None);
        // Neither ends the memory nor the time.
        assert_eq!(home_of(1, io::repeat(0)), None);
        assert_eq!(home_of(1, io::repeat(b'\n')), None);
    }

    #[test]
    fn what_is_given_stays_and_needs_no_file() {
        let env = |env: &[&str], open: &dyn Fn(&Path) -> io::Result<File>| {
            let env: Vec<String> = env.iter().map(ToString::to_string).collect();
            let mut process = ProcessBuilder::default().env(env).build().unwrap();
            set(&mut process, open);
            process.env().clone().unwrap()
        };
        assert_eq!(env(&["HOME=/x"], &|_| panic!("opened")), ["HOME=/x"]);
        assert_eq!(env(&["A=b"], &|_| Err(io::ErrorKind::NotFound.into())), ["A=b", "HOME=/"]);
    }
}
