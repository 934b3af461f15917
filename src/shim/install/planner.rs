//! Collects the changes of an installation.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Result, bail};

use super::{
    class::ClassOptions,
    handler::MADE,
    plan::{Change, Plan},
    record::{Record, STATE},
    root::Root,
    target::Target,
};

/// Mode of a configuration file.
const FILE: u32 = 0o644;
/// Mode of what only root has to read.
const PRIVATE: u32 = 0o600;

/// The changes so far.
pub struct Planner<'a> {
    root: &'a Root,
    found: Record,
    record: Record,
    plan: Plan,
}

impl<'a> Planner<'a> {
    /// Nothing yet. The options of the class are those of the installation before, unless they are given.
    ///
    /// # Errors
    /// The record of an earlier installation is damaged.
    pub fn new(root: &'a Root, class: Option<&ClassOptions>) -> Result<Self> {
        let found = Record::read(root)?;
        let mut record = found.clone();
        if let Some(class) = class {
            record.class = class.clone();
        }
        Ok(Self { root, record, found, plan: Plan::default() })
    }

    /// The options of the runtime class.
    pub fn class(&self) -> &ClassOptions {
        &self.record.class
    }

    /// The system that is worked on.
    pub fn root(&self) -> &'a Root {
        self.root
    }

    /// How many changes there are.
    pub fn count(&self) -> usize {
        self.plan.changes.len()
    }

    /// What people are to be told.
    pub fn note(&mut self, text: impl Into<String>) {
        let text = text.into();
        if !self.plan.notes.contains(&text) {
            self.plan.notes.push(text);
        }
    }

    /// Notes what is configured.
    pub fn target(&mut self, target: &Target) {
        self.record.targets.insert(target.config.clone(), target.kind.name().to_owned());
    }

    /// Copies the program at `from`, unless it is there.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn copy(&mut self, from: &Path, path: &Path) -> Result<()> {
        let there = self.root.at(path)?;
        if from.canonicalize()? == there.canonicalize().unwrap_or_default() || same(from, &there)? {
            return Ok(());
        }
        self.directories(path);
        self.made(path);
        self.plan.changes.push(Change::Copy { from: from.to_owned(), path: path.to_owned() });
        Ok(())
    }

    /// Makes a link to the program `target` beside it, unless it is there.
    ///
    /// # Errors
    /// The links on the way go round in circles.
    pub fn link(&mut self, target: &'static str, path: &Path) -> Result<()> {
        if fs::read_link(self.root.entry(path)?).is_ok_and(|there| there == Path::new(target)) {
            return Ok(());
        }
        self.directories(path);
        self.made(path);
        self.plan.changes.push(Change::Link { path: path.to_owned(), target });
        Ok(())
    }

    /// Writes a file that is ours alone. One that somebody has changed is kept.
    ///
    /// # Errors
    /// Something else is at that place.
    pub fn own_file(&mut self, path: &Path, text: &str) -> Result<()> {
        let before = self.root.text(path)?;
        match &before {
            Some(before) if before == text => {}
            Some(before) if self.found.wrote(path, before) => {}
            Some(before) if before.starts_with(MADE) => {
                let path = path.display();
                self.note(format!("{path} was changed by hand and stays: remove it to have it made anew"));
                return Ok(());
            }
            Some(_) => bail!("{} is there and was not made by install: remove or rename it", path.display()),
            None => self.made(path),
        }
        self.record.written.entry(path.to_owned()).or_default().insert(text.to_owned());
        self.write(path, text);
        Ok(())
    }

    /// Gives a file of others a new text.
    pub fn edit(&mut self, path: &Path, text: &str) {
        self.write(path, text);
    }

    /// Remembers what a file has now, to be able to give it back.
    pub fn keep_original(&mut self, path: &Path, text: &str) {
        self.record.originals.insert(path.to_owned(), text.to_owned());
    }

    /// Whether a part of a file is one that was written there before, or else was changed by somebody.
    pub fn wrote(&self, path: &Path, part: &str) -> bool {
        self.found.wrote(path, part)
    }

    /// Whether anything was written to a file.
    pub fn has_written(&self, path: &Path) -> bool {
        self.found.written.contains_key(path)
    }

    /// Notes a part of a file as ours.
    pub fn own_part(&mut self, path: &Path, part: &str) {
        self.record.written.entry(path.to_owned()).or_default().insert(part.to_owned());
    }

    /// Remembers that `path` was not there before, if it is not.
    pub fn made(&mut self, path: &Path) {
        if !self.root.has(path) {
            self.record.made.insert(path.to_owned());
        }
    }

    fn write(&mut self, path: &Path, text: &str) {
        let before = self.root.read(path).ok().flatten();
        if before.as_deref() == Some(text.as_bytes()) {
            return;
        }
        self.directories(path);
        let (path, after) = (path.to_owned(), text.as_bytes().to_vec());
        self.plan.changes.push(Change::Write { path, before, after, mode: FILE });
    }

    /// Makes the directories above `path` that are not there.
    fn directories(&mut self, path: &Path) {
        let missing: Vec<PathBuf> =
            path.ancestors().skip(1).take_while(|directory| !self.root.has(directory)).map(Path::to_owned).collect();
        for directory in missing.into_iter().rev() {
            self.made(&directory);
            let change = Change::MakeDirectory(directory);
            if !self.plan.changes.contains(&change) {
                self.plan.changes.push(change);
            }
        }
    }

    /// The plan, with the record of it at its beginning.
    pub fn finish(mut self) -> Plan {
        if self.plan.changes.is_empty() && self.record == self.found {
            return self.plan;
        }
        let changes = std::mem::take(&mut self.plan.changes);
        self.directories(&Record::path());
        let text = self.record.to_text();
        let before = self.root.read(&Record::path()).ok().flatten();
        if before.as_deref() != Some(text.as_bytes()) {
            let (path, after) = (Record::path(), text.into_bytes());
            self.plan.changes.push(Change::Write { path, before, after, mode: PRIVATE });
        }
        self.plan.changes.extend(changes);
        self.plan
    }
}

/// Whether two files hold the same.
fn same(one: &Path, other: &Path) -> Result<bool> {
    let Ok(meta) = fs::metadata(other) else { return Ok(false) };
    Ok(meta.len() == fs::metadata(one)?.len() && fs::read(one)? == fs::read(other)?)
}

/// Whether a directory is only for root to enter.
pub fn is_private(path: &Path) -> bool {
    path.starts_with(STATE)
}
