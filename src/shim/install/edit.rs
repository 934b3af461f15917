//! Changes of containerd's configuration as text: what is not ours stays as it is, byte for byte.
//!
//! The parser only says where something is. Each change is undone by finding what would be inserted again.

use std::ops::Range;

use anyhow::{Context, Result, anyhow, bail, ensure};
use toml_edit::{Document, InlineTable, Item, Value};

use super::{
    configuration::{File, HANDLER},
    handler::{self, Handler},
};

/// What stands behind a line that is ours as a whole.
const OURS: &str = "# by containerd-shim-wasmedge-v1 install";
const BEGIN: &str = "# BEGIN containerd-shim-wasmedge-v1 install: its uninstall removes all up to END";
/// The default runtime, before the handler in a table that is written in one line.
const RUNC: &str = "runc = { runtime_type = \"io.containerd.runc.v2\" }, ";
const END: &str = "# END containerd-shim-wasmedge-v1 install";

/// `file` with one import more.
///
/// # Errors
/// Its `imports` are no list.
pub fn add_import(file: &File, import: &str) -> Result<String> {
    let entry = format!("\"{import}\"");
    let Some(item) = file.document.get("imports") else {
        let line = format!("imports = [{entry}] {OURS}{}", line_end(&file.text));
        return verified(file, insert(&file.text, import_line(file), &line));
    };
    let array = item.as_array().with_context(|| format!("{}: imports is not a list", file.path.display()))?;
    let (at, text) = match array.iter().last() {
        Some(last) => (span(last)?.end, format!(", {entry}")),
        None => (item.span().context("a value without a place")?.start + 1, entry),
    };
    verified(file, insert(&file.text, at, &text))
}

/// The text without the import; `None` if it has none.
pub fn remove_import(file: &File, import: &str) -> Option<String> {
    let text = &file.text;
    let array = file.document.get("imports")?.as_array()?;
    let range = span(array.iter().find(|value| value.as_str() == Some(import))?).ok()?;
    let line = whole_line(text, &range);
    if array.len() == 1 && text[line.clone()].trim_end().ends_with(OURS) {
        return Some(cut(text, line));
    }
    let before = &text[..range.start];
    if let Some(kept) = before.strip_suffix(", ") {
        return Some(cut(text, kept.len()..range.end));
    }
    // Others were put before it, or it was the only one.
    let after = &text[range.end..];
    let comma = after.len() - after.trim_start().strip_prefix(',').map_or(after.len(), |rest| rest.trim_start().len());
    Some(cut(text, range.start..range.end + comma))
}

/// `file` with the handler in its own text: at the end, or within a table that is written in one line.
///
/// A file without runtimes gets runc as well: for containerd 1.7 the first one that is named takes the place of that
/// default.
///
/// # Errors
/// It cannot be done without touching what is there.
pub fn add_handler(file: &File, handler: &Handler, version: i64) -> Result<String> {
    let path = handler::runtimes(version);
    let (mut item, mut depth) = (file.document.as_item(), 0);
    while item.as_inline_table().is_none() && depth < path.len() {
        let Some(next) = item.get(path[depth]) else { break };
        (item, depth) = (next, depth + 1);
    }
    let Some(table) = item.as_inline_table() else {
        let runc = if depth < path.len() { handler::runc(version) } else { String::new() };
        let block = format!("\n{BEGIN}\n{runc}{}{END}\n", handler.section(version));
        return verified(file, format!("{}{}", file.text, block.replace('\n', line_end(&file.text))));
    };
    // The rest of the way may be there in one line, too.
    let (mut item, mut table) = (item, table);
    while let Some(next) = path.get(depth).and_then(|name| item.get(name)) {
        let Some(inner) = next.as_inline_table() else { return Err(by_hand(file)) };
        (item, table, depth) = (next, inner, depth + 1);
    }
    verified(file, add_inline(&file.text, item, table, &path[depth..], handler)?)
}

fn add_inline(text: &str, item: &Item, table: &InlineTable, rest: &[&str], handler: &Handler) -> Result<String> {
    let runc = if rest.is_empty() { "" } else { RUNC };
    let mut value = format!("{runc}{HANDLER} = {}", handler.inline());
    for name in rest.iter().rev() {
        value = format!("{} = {{ {value} }}", quoted(name));
    }
    match table.iter().last() {
        Some((_, last)) => Ok(insert(text, last_span(last)?.end, &format!(", {value}"))),
        None => Ok(insert(text, item.span().context("a table without a place")?.start + 1, &format!(" {value} "))),
    }
}

/// The text without what [`add_handler`] has put there; `None` if there is nothing.
pub fn remove_handler(text: &str) -> Option<String> {
    if let Some(begin) = text.find(BEGIN) {
        let end = text[begin..].find(END).map(|at| begin + at + END.len())?;
        let end = end + line_break(&text[end..]);
        let start = begin - text[..begin].strip_suffix("\r\n").map_or_else(|| usize::from(begin > 0), |_| 2);
        return Some(cut(text, start..end));
    }
    remove_inline(text)
}

/// The part of a text that [`add_handler`] has put there: the block, or the line of the table.
pub fn part(text: &str) -> Option<&str> {
    if let Some(begin) = text.find(BEGIN) {
        return text[begin..].find(END).map(|at| &text[begin..begin + at + END.len()]);
    }
    let before = remove_inline(text)?;
    let start = text.bytes().zip(before.bytes()).take_while(|(one, other)| one == other).count();
    let end = start + text.len() - before.len();
    text.get(start..end)
}

/// Takes the innermost of the one-line tables that hold nothing but the handler away.
fn remove_inline(text: &str) -> Option<String> {
    let document = Document::parse(text).ok()?;
    let versions = [0, 2, 3];
    let mut item = document.as_item();
    let path = versions.into_iter().map(handler::runtimes).find(|path| has(document.as_item(), path))?;
    // The outermost name whose table holds nothing else, within a table that is written in one line.
    let mut found: Option<Range<usize>> = None;
    for name in path.iter().chain([&HANDLER]) {
        if let Some(table) = item.as_inline_table() {
            let (key, value) = table.get_key_value(name)?;
            let whole = key.span()?.start..value.span()?.end;
            // One that somebody else has written stays theirs.
            if !handler::is_inline(&text[whole.clone()]) {
                return None;
            }
            // With runc, if that came with it.
            let alone = table.len() == 1 || table.len() == 2 && text[..whole.start].ends_with(RUNC);
            match &mut found {
                Some(_) if alone => {}
                found => *found = Some(whole),
            }
        }
        item = item.get(name)?;
    }
    let range = found?;
    if let Some(kept) = text[..range.start].strip_suffix(", ") {
        return Some(cut(text, kept.len()..range.end));
    }
    let start = range.start - usize::from(text[..range.start].ends_with(' '));
    let after = &text[range.end..];
    let end = range.end + after.strip_prefix(", ").map_or_else(|| usize::from(after.starts_with(' ')), |_| 2);
    Some(cut(text, start..end))
}

fn has(root: &Item, path: &[&str]) -> bool {
    let found = path.iter().try_fold(root, |item, name| item.get(name));
    found.and_then(|runtimes| runtimes.get(HANDLER)).is_some()
}

/// Fails unless the new text is TOML that says all that the old one says.
fn verified(file: &File, text: String) -> Result<String> {
    let new = Document::parse(text.clone()).map_err(|_| by_hand(file))?;
    ensure!(includes(new.as_item(), file.document.as_item()), by_hand(file));
    Ok(text)
}

fn by_hand(file: &File) -> anyhow::Error {
    anyhow!("{} is written in a way that cannot be added to: add the runtime by hand", file.path.display())
}

/// Whether `new` has all that `old` has; lists may have become longer.
fn includes(new: &Item, old: &Item) -> bool {
    if let Some(old) = old.as_table_like() {
        let Some(new) = new.as_table_like() else { return false };
        return old.iter().all(|(name, old)| new.get(name).is_some_and(|new| includes(new, old)));
    }
    if let (Some(old), Some(new)) = (old.as_array(), new.as_array()) {
        return old.len() <= new.len() && old.iter().zip(new.iter()).all(|(old, new)| plain(old) == plain(new));
    }
    match (old, new) {
        (Item::Value(old), Item::Value(new)) => plain(old) == plain(new),
        (Item::ArrayOfTables(old), Item::ArrayOfTables(new)) => old.len() == new.len(),
        _ => old.is_none() && new.is_none(),
    }
}

/// A value without its form.
fn plain(value: &Value) -> String {
    match value {
        Value::String(value) => format!("{:?}", value.value()),
        Value::Integer(value) => value.value().to_string(),
        Value::Float(value) => value.value().to_string(),
        Value::Boolean(value) => value.value().to_string(),
        Value::Datetime(value) => value.value().to_string(),
        Value::Array(values) => format!("{:?}", values.iter().map(plain).collect::<Vec<_>>()),
        Value::InlineTable(table) => {
            format!("{:?}", table.iter().map(|(name, value)| (name, plain(value))).collect::<Vec<_>>())
        }
    }
}

/// Where a line of imports goes: behind that of the version, or to the beginning.
fn import_line(file: &File) -> usize {
    let text = &file.text;
    let version = file.document.get("version").and_then(Item::span);
    let behind = version.map(|range| text[range.end..].find('\n').map_or(text.len(), |at| range.end + at + 1));
    match behind {
        // A last line without an end.
        Some(end) if !text[..end].ends_with('\n') => {
            file.document.get_key_value("version").map_or(0, |(key, _)| key.span().map_or(0, |range| range.start))
        }
        Some(end) => end,
        None => text.len() - text.trim_start_matches('\u{feff}').len(),
    }
}

fn insert(text: &str, at: usize, new: &str) -> String {
    format!("{}{new}{}", &text[..at], &text[at..])
}

fn cut(text: &str, range: Range<usize>) -> String {
    format!("{}{}", &text[..range.start], &text[range.end..])
}

fn span(value: &Value) -> Result<Range<usize>> {
    value.span().context("a value without a place")
}

/// Of a value that may be a table by dotted keys, which has no place itself.
fn last_span(value: &Value) -> Result<Range<usize>> {
    match value.as_inline_table().filter(|table| table.is_dotted()) {
        Some(table) => match table.iter().last() {
            Some((_, value)) => last_span(value),
            None => bail!("a table without a place"),
        },
        None => span(value),
    }
}

/// The line around a range, with its end.
fn whole_line(text: &str, range: &Range<usize>) -> Range<usize> {
    let start = text[..range.start].rfind('\n').map_or(0, |at| at + 1);
    let end = text[range.end..].find('\n').map_or(text.len(), |at| range.end + at + 1);
    start.max(text.len() - text.trim_start_matches('\u{feff}').len())..end
}

fn line_end(text: &str) -> &'static str {
    if text.contains("\r\n") { "\r\n" } else { "\n" }
}

fn line_break(text: &str) -> usize {
    if text.starts_with("\r\n") { 2 } else { usize::from(text.starts_with('\n')) }
}

fn quoted(name: &str) -> String {
    if name.contains('.') { format!("\"{name}\"") } else { name.to_owned() }
}
