//! What a module sees of its container, and how it becomes what WASI's functions work on.

use std::{
    io,
    os::fd::{BorrowedFd, OwnedFd},
    path::{Path, PathBuf},
    rc::Rc,
};

use wasmedge_shim_wasi::{Descriptor, Preopen, Reach, Twin, Wasi, system::path};

/// What the guest sees of the world.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct World {
    /// Arguments; the first is the program's name.
    pub args: Vec<String>,
    /// Environment, `NAME=value`.
    pub env: Vec<String>,
    /// Directories that are open, in their order.
    pub directories: Vec<Directory>,
    /// Whether its sockets share their ports (`SO_REUSEPORT`, socket(7)).
    pub reuse_port: bool,
}

/// A file that the guest finds open behind its directories, to read it.
#[derive(Debug)]
pub struct Handed {
    /// The variable of its environment that tells the descriptor's number.
    pub variable: &'static str,
    /// The file.
    pub file: OwnedFd,
}

/// A directory that the guest finds open.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Directory {
    /// Its name for the guest.
    pub name: String,
    /// Where it is.
    pub path: PathBuf,
    /// How far paths lead from it.
    pub reach: Reach,
    /// Whether nothing can be changed through it.
    pub read_only: bool,
}

/// What WASI's functions work on, in this world and with what else is handed to the guest.
///
/// The standard streams are copies: a guest that closes its own leaves the engine's, on which the engine tells how it ended.
///
/// # Errors
/// Names a directory that cannot be opened, with the cause.
pub fn enter(world: &World, handed: Option<Handed>) -> Result<Wasi, String> {
    let bytes = |strings: &[String]| strings.iter().map(|string| until_zero(string)).collect::<Vec<_>>();
    let mut open = Vec::new();
    for (number, name) in ["standard input", "standard output", "standard error"].into_iter().enumerate() {
        // SAFETY: the process keeps its three until it ends.
        let stream = unsafe { BorrowedFd::borrow_raw(number as i32) };
        let copy = stream.try_clone_to_owned().and_then(|file| Ok(Descriptor::new(file)?));
        open.push(copy.map_err(|error| format!("{name}: {error}"))?);
    }
    let cwd = world.directories.iter().find(|directory| directory.name == "." && directory.reach == Reach::Container);
    // A directory that cannot be opened is told of below.
    let cwd = cwd.and_then(|directory| open_directory(&directory.path).ok()).map(Rc::new);
    for directory in &world.directories {
        // One of the root's that is gone meanwhile.
        let may_be_gone = directory.reach == Reach::Container && directory.name.len() > 1;
        let opened =
            preopen(directory, cwd.as_ref()).and_then(|preopen| Descriptor::of_preopen(preopen).map_err(Into::into));
        match opened {
            Err(_) if may_be_gone => {}
            opened => {
                open.push(opened.map_err(|error| format!("cannot preopen {}: {error}", directory.path.display()))?)
            }
        }
    }
    let mut env = bytes(&world.env);
    if let Some(Handed { variable, file }) = handed {
        let name = format!("{variable}=");
        // One of this name is the image's, and would be taken for ours.
        env.retain(|entry| !entry.starts_with(name.as_bytes()));
        env.push(format!("{name}{}", open.len()).into_bytes());
        // The kernel has one inode for all files of its kind, of all containers: whose times are set must not be a message.
        let descriptor = Descriptor::new(file).map_err(|error| format!("{variable}: {error}"))?;
        open.push(descriptor.read_only());
    }
    let mut state = Wasi::new(bytes(&world.args), env, open);
    state.reuse_port = world.reuse_port;
    Ok(state)
}

/// `cwd` is the working directory, where it is not the root.
fn preopen(directory: &Directory, cwd: Option<&Rc<OwnedFd>>) -> io::Result<Preopen> {
    let twin = match (&*directory.name, cwd) {
        _ if directory.reach != Reach::Container => Twin::None,
        (".", _) => Twin::Root(open_directory(Path::new("/"))?),
        ("/", _) | (_, None) => Twin::None,
        (_, Some(cwd)) => Twin::WorkingDirectory(Rc::clone(cwd)),
    };
    Ok(Preopen {
        name: directory.name.clone().into_bytes(),
        directory: open_directory(&directory.path)?,
        reach: directory.reach,
        read_only: directory.read_only,
        twin,
    })
}

/// Opens a directory of this process's root for a guest, whoever may list it.
///
/// # Errors
/// Of open(2).
pub fn open_directory(path: &Path) -> io::Result<OwnedFd> {
    Ok(path::directory(path.as_os_str().as_encoded_bytes())?)
}

/// A string with a zero inside ends there, as it would in execve(2).
fn until_zero(string: &str) -> Vec<u8> {
    string.bytes().take_while(|byte| *byte != 0).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_string_ends_at_its_first_zero() {
        assert_eq!(until_zero("A=1\0B"), b"A=1");
        assert_eq!(until_zero("A=é"), "A=é".as_bytes());
    }
}
