//! The command line.

use std::{ffi::OsString, path::PathBuf, time::Duration};

use anyhow::{Context, Result, bail};
use lexopt::{Arg, Parser, ValueExt};

use crate::{
    leave::{Leave, WhilePodsRun},
    watch::Watch,
};

/// The text of `--help`.
pub const HELP: &str = "\
What the pods of an installation in a Kubernetes cluster run beside the installer.

Usage:
  wasmedge-kubernetes watch  [OPTION]...   keeps the nodes' label containerd-shim-wasmedge/ready as they report the handler
  wasmedge-kubernetes leave  [OPTION]...   takes the nodes out of service, and waits until they are uninstalled
  wasmedge-kubernetes forget               takes the label from all nodes
  wasmedge-kubernetes purge  DIRECTORY...  removes directories
  wasmedge-kubernetes hold                 waits for SIGTERM

Options of watch:
  --selector LABELS          looks at these nodes only
  --startup-taint KEY        takes this taint from a node that gets ready; several times for several
Options of leave:
  --runtime-class NAME       its pods are waited for; several times for several
  --while-pods-run WHAT      refuse, wait or force (refuse)
  --namespace NAME           where the pods are that uninstall
  --uninstaller LABELS       which ones they are
  --timeout SECONDS          for pods, and again for nodes (300)
";

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// Print [`HELP`].
    Help,
    /// See [`crate::watch`].
    Watch(Watch),
    /// See [`crate::leave`].
    Leave(Leave),
    /// See [`crate::leave::forget`].
    Forget,
    /// Remove directories.
    Purge(Vec<PathBuf>),
    /// Wait for SIGTERM, so that a pod whose init containers did something stays ready.
    Hold,
}

/// From the words of the command line.
///
/// # Errors
/// A word that means nothing, or a value that cannot be.
pub fn parse(words: impl IntoIterator<Item = OsString>) -> Result<Command> {
    let mut parser = Parser::from_args(words);
    let verb = match parser.next()? {
        Some(Arg::Value(verb)) => verb.string()?,
        Some(Arg::Long("help") | Arg::Short('h')) => return Ok(Command::Help),
        Some(other) => return Err(other.unexpected().into()),
        None => bail!("say what to do; see --help"),
    };
    match verb.as_str() {
        "watch" => watch(parser),
        "leave" => leave(parser),
        "forget" => end(parser, Command::Forget),
        "hold" => end(parser, Command::Hold),
        "purge" => purge(parser),
        other => bail!("there is no command {other}; see --help"),
    }
}

fn end(mut parser: Parser, command: Command) -> Result<Command> {
    parser.next()?.map_or(Ok(command), |arg| Err(arg.unexpected().into()))
}

fn watch(mut parser: Parser) -> Result<Command> {
    let mut watch = Watch::default();
    while let Some(arg) = parser.next()? {
        match arg {
            Arg::Long("selector") => watch.selector = parser.value()?.string()?,
            Arg::Long("startup-taint") => watch.startup_taints.push(parser.value()?.string()?),
            other => return Err(other.unexpected().into()),
        }
    }
    Ok(Command::Watch(watch))
}

fn leave(mut parser: Parser) -> Result<Command> {
    let mut leave = Leave {
        runtime_classes: Vec::new(),
        while_pods_run: WhilePodsRun::Refuse,
        namespace: String::new(),
        uninstaller: String::new(),
        timeout: Duration::from_secs(300),
        interval: Duration::from_secs(2),
    };
    while let Some(arg) = parser.next()? {
        match arg {
            Arg::Long("runtime-class") => leave.runtime_classes.push(parser.value()?.string()?),
            Arg::Long("while-pods-run") => leave.while_pods_run = while_pods_run(&parser.value()?.string()?)?,
            Arg::Long("namespace") => leave.namespace = parser.value()?.string()?,
            Arg::Long("uninstaller") => leave.uninstaller = parser.value()?.string()?,
            Arg::Long("timeout") => leave.timeout = Duration::from_secs(parser.value()?.parse().context("--timeout")?),
            other => return Err(other.unexpected().into()),
        }
    }
    if leave.namespace.is_empty() || leave.uninstaller.is_empty() {
        bail!("leave needs --namespace and --uninstaller");
    }
    Ok(Command::Leave(leave))
}

fn while_pods_run(word: &str) -> Result<WhilePodsRun> {
    match word {
        "refuse" => Ok(WhilePodsRun::Refuse),
        "wait" => Ok(WhilePodsRun::Wait),
        "force" => Ok(WhilePodsRun::Force),
        other => bail!("--while-pods-run is refuse, wait or force, not {other}"),
    }
}

fn purge(mut parser: Parser) -> Result<Command> {
    let mut directories = Vec::new();
    while let Some(arg) = parser.next()? {
        match arg {
            Arg::Value(value) => directories.push(value.into()),
            other => return Err(other.unexpected().into()),
        }
    }
    Ok(Command::Purge(directories))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &str) -> Result<Command> {
        parse(line.split_whitespace().map(OsString::from))
    }

    #[test]
    fn options_are_read() {
        let watch = Watch { selector: "a=b".into(), startup_taints: vec!["x".into(), "y".into()] };
        assert_eq!(parsed("watch --selector=a=b --startup-taint x --startup-taint y").unwrap(), Command::Watch(watch));
        let line = "leave --runtime-class a --while-pods-run wait --namespace n --uninstaller c=u --timeout 7";
        let Command::Leave(leave) = parsed(line).unwrap() else { panic!("not leave") };
        assert_eq!((leave.while_pods_run, leave.timeout), (WhilePodsRun::Wait, Duration::from_secs(7)));
        assert_eq!(parsed("purge /a /b").unwrap(), Command::Purge(vec!["/a".into(), "/b".into()]));
    }

    #[test]
    fn what_means_nothing_is_refused() {
        for (line, cause) in [
            ("", "say what to do"),
            ("label", "no command label"),
            ("leave --while-pods-run never", "refuse, wait or force, not never"),
            ("leave --namespace a", "needs --namespace and --uninstaller"),
            ("forget now", "unexpected argument"),
            ("watch --timeout 3", "invalid option '--timeout'"),
        ] {
            let error = format!("{:#}", parsed(line).unwrap_err());
            assert!(error.contains(cause), "{line}: {error}");
        }
    }
}
