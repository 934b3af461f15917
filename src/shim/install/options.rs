//! The command lines of `install`, `uninstall` and `check`.

use std::{
    ffi::OsString,
    path::{Path, PathBuf},
};

use anyhow::{Result, bail};
use lexopt::{Arg, Parser, ValueExt};

use super::{class::ClassOptions, kind::Kind, version::Version};

/// The text of `--help`.
pub const HELP: &str = "\
Installs this runtime into containerd, Docker and the Kubernetes distributions that bring a containerd of their own.

Usage:
  containerd-shim-wasmedge-v1 install   [OPTION]...   copies this program and configures the runtime handler wasmedge
  containerd-shim-wasmedge-v1 uninstall [OPTION]...   takes all of that back
  containerd-shim-wasmedge-v1 check     [OPTION]...   looks for what keeps containers from running, and says what to do

Options:
  --runtime NAME            containerd, docker, k3s, rke2, k0s or microk8s; what runs or is installed if it is not given
  --config FILE             the configuration of containerd or Docker, where it is not at its usual place
  --root DIR                another system than the running one, mounted at DIR
  --json                    with check: findings as JSON
  --help                    this text
With install:
  --prefix DIR              where the programs go (/usr/local/bin)
  --containerd-version V    what containerd is, such as 2.1, where it cannot be asked
  --options FILE            options of the runtime, as TOML; without, those of the installation before
With install and uninstall:
  --dry-run                 changes nothing, and shows what would change
  --restart                 restarts what has read the configuration, by systemctl
With uninstall:
  --force                   even while containers of this runtime run
  --purge                   native code, unpacked engines and state, too
";

/// Where the programs go.
const PREFIX: &str = "/usr/local/bin";

/// What is to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verb {
    /// Copy the programs and configure.
    Install,
    /// Take that back.
    Uninstall,
    /// Look only.
    Check,
}

impl Verb {
    /// The verb of this name.
    pub fn named(name: &str) -> Option<Self> {
        match name {
            "install" => Some(Self::Install),
            "uninstall" => Some(Self::Uninstall),
            "check" => Some(Self::Check),
            _ => None,
        }
    }
}

/// A command line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// What is to be done.
    pub verb: Verb,
    /// The text of `--help` is asked for.
    pub help: bool,
    /// What is named by `--runtime`.
    pub runtimes: Vec<Kind>,
    /// The configuration that is named.
    pub config: Option<PathBuf>,
    /// The system that is worked on.
    pub root: PathBuf,
    /// Where the programs go.
    pub prefix: PathBuf,
    /// containerd's version, where it is told.
    pub containerd: Option<Version>,
    /// Options of the runtime class, where they are given.
    pub class: Option<ClassOptions>,
    /// Change nothing.
    pub dry_run: bool,
    /// Restart what has read the configuration.
    pub restart: bool,
    /// Even while containers run.
    pub force: bool,
    /// What containers have left on the node goes, too.
    pub purge: bool,
    /// Findings as JSON.
    pub json: bool,
}

impl Options {
    /// What `verb` does without options.
    pub fn new(verb: Verb) -> Self {
        Self {
            verb,
            help: false,
            runtimes: Vec::new(),
            config: None,
            root: "/".into(),
            prefix: PREFIX.into(),
            containerd: None,
            class: None,
            dry_run: false,
            restart: false,
            force: false,
            purge: false,
            json: false,
        }
    }

    /// From the words after the verb.
    ///
    /// # Errors
    /// A word that is no option of this verb, or one whose value cannot be.
    pub fn parse(verb: Verb, words: impl IntoIterator<Item = OsString>) -> Result<Self> {
        let (mut options, mut parser) = (Self::new(verb), Parser::from_args(words));
        while let Some(arg) = parser.next()? {
            match (arg, verb) {
                (Arg::Short('h') | Arg::Long("help"), _) => options.help = true,
                (Arg::Long("runtime"), _) => {
                    for name in parser.value()?.string()?.split(',') {
                        options.runtimes.push(Kind::named(name)?);
                    }
                }
                (Arg::Long("config"), _) => options.config = Some(absolute("--config", parser.value()?)?),
                (Arg::Long("root"), _) => options.root = parser.value()?.into(),
                (Arg::Long("prefix"), Verb::Install) => options.prefix = absolute("--prefix", parser.value()?)?,
                (Arg::Long("containerd-version"), Verb::Install) => {
                    options.containerd = Some(parser.value()?.string()?.parse()?);
                }
                (Arg::Long("dry-run"), Verb::Install | Verb::Uninstall) => options.dry_run = true,
                (Arg::Long("restart"), Verb::Install | Verb::Uninstall) => options.restart = true,
                (Arg::Long("options"), Verb::Install) => {
                    options.class = Some(ClassOptions::read(Path::new(&parser.value()?))?);
                }
                (Arg::Long("force"), Verb::Uninstall) => options.force = true,
                (Arg::Long("purge"), Verb::Uninstall) => options.purge = true,
                (Arg::Long("json"), Verb::Check) => options.json = true,
                (other, _) => return Err(other.unexpected().into()),
            }
        }
        if options.config.is_some() && options.runtimes.len() > 1 {
            bail!("--config is the configuration of one runtime: name one with --runtime");
        }
        Ok(options)
    }
}

fn absolute(option: &str, value: OsString) -> Result<PathBuf> {
    let path = PathBuf::from(value);
    match path.is_absolute() {
        true => Ok(path.components().collect()),
        false => bail!("{option} needs an absolute path, not {}", Path::new(&path).display()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(verb: Verb, words: &[&str]) -> Result<Options> {
        Options::parse(verb, words.iter().map(OsString::from))
    }

    #[test]
    fn options_are_read() {
        let words = ["--runtime=docker,k3s", "--prefix", "/opt/bin/", "--containerd-version=2.1", "--dry-run"];
        let options = parse(Verb::Install, &words).unwrap();
        assert_eq!(options.runtimes, [Kind::Docker, Kind::K3s]);
        assert_eq!(options.prefix.as_os_str(), "/opt/bin");
        assert!(options.dry_run && !options.restart);
    }

    #[test]
    fn what_is_no_option_of_the_verb_is_refused() {
        let error = |verb, words: &[&str]| parse(verb, words).unwrap_err().to_string();
        assert_eq!(error(Verb::Check, &["--restart"]), "invalid option '--restart'");
        assert_eq!(error(Verb::Install, &["--force"]), "invalid option '--force'");
        assert_eq!(error(Verb::Install, &["--purge"]), "invalid option '--purge'");
        assert_eq!(error(Verb::Install, &["--prefix", "bin"]), "--prefix needs an absolute path, not bin");
        assert!(error(Verb::Install, &["--runtime", "podman"]).contains("containerd, docker, k3s"));
        assert!(error(Verb::Install, &["--runtime", "crio"]).contains("CRI-O"));
    }
}
