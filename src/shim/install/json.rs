//! Changes of Docker's configuration as text: what is not ours stays as it is, byte for byte.

use std::{collections::BTreeMap, fmt, ops::Range};

use anyhow::{Context, Result, anyhow};
use serde::{
    Deserialize, Deserializer,
    de::{Error, MapAccess, Visitor},
};
use serde_json::value::RawValue;

use super::configuration::HANDLER;

/// The member with the runtimes.
const RUNTIMES: &str = "runtimes";

/// An object's members in their order, each with its text.
struct Members<'a>(Vec<(String, &'a RawValue)>);

impl<'a> Deserialize<'a> for Members<'a> {
    fn deserialize<D: Deserializer<'a>>(deserializer: D) -> Result<Self, D::Error> {
        struct InOrder;
        impl<'a> Visitor<'a> for InOrder {
            type Value = Members<'a>;

            fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<M: MapAccess<'a>>(self, mut map: M) -> Result<Self::Value, M::Error> {
                let mut members: Vec<(String, &'a RawValue)> = Vec::new();
                while let Some((name, value)) = map.next_entry::<String, &'a RawValue>()? {
                    if members.iter().any(|(known, _)| *known == name) {
                        return Err(M::Error::custom(format!("\"{name}\" is there twice")));
                    }
                    members.push((name, value));
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(InOrder)
    }
}

impl<'a> Members<'a> {
    fn get(&self, name: &str) -> Option<&'a str> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, value)| value.get())
    }
}

fn members(text: &str) -> Result<Members<'_>> {
    serde_json::from_str(text).map_err(|error| anyhow!("{error}"))
}

/// The text with the runtime handler, whose value is `value`.
///
/// # Errors
/// It is no JSON, or the runtimes are no object.
pub fn add(text: &str, value: &str) -> Result<String> {
    let object = text.strip_prefix('\u{feff}').unwrap_or(text);
    let outer = members(object)?;
    let new = match outer.get(RUNTIMES) {
        Some(runtimes) => member(text, runtimes, HANDLER, value).with_context(|| RUNTIMES.to_owned()),
        None => {
            let end = line_end(text);
            let indent = indent(text, object, &outer).unwrap_or_else(|| "  ".into());
            let inner = value.replace('\n', &format!("{end}{indent}{indent}"));
            let runtimes = format!("{{{end}{indent}{indent}\"{HANDLER}\": {inner}{end}{indent}}}");
            member(text, object, RUNTIMES, &runtimes)
        }
    }?;
    // What was there is there, and nothing else but the handler.
    let (old, mut found) = (values(object)?, values(new.strip_prefix('\u{feff}').unwrap_or(&new))?);
    if let Some(runtimes) = found.get_mut(RUNTIMES).and_then(serde_json::Value::as_object_mut) {
        runtimes.remove(HANDLER);
        if runtimes.is_empty() && !old.contains_key(RUNTIMES) {
            found.remove(RUNTIMES);
        }
    }
    if old != found {
        return Err(anyhow!("it is written in a way that cannot be added to"));
    }
    Ok(new)
}

/// Whether two texts say the same.
pub fn same(one: &str, other: &str) -> bool {
    let values = |text: &str| values(text.strip_prefix('\u{feff}').unwrap_or(text)).ok();
    values(one).is_some_and(|one| Some(one) == values(other))
}

fn values(text: &str) -> Result<BTreeMap<String, serde_json::Value>> {
    Ok(serde_json::from_str(text)?)
}

/// `text` with one member more in the object `object`, which is a part of it.
fn member(text: &str, object: &str, name: &str, value: &str) -> Result<String> {
    let inside = members(object)?;
    let start = place(text, object).start;
    let end = line_end(text);
    let (at, new) = match inside.0.last() {
        Some((_, last)) => {
            let last = place(text, last.get());
            let indent = indent(text, object, &inside);
            let separator = indent.as_ref().map_or_else(|| " ".to_owned(), |indent| format!("{end}{indent}"));
            // The lines of the value go in as deep as the member, or become one.
            let value = match (&indent, name) {
                (Some(indent), HANDLER) => value.replace('\n', &format!("{end}{indent}")),
                (None, _) => value.lines().map(str::trim).collect::<Vec<_>>().join(" "),
                (Some(_), _) => value.to_owned(),
            };
            (last.end, format!(",{separator}\"{name}\": {value}"))
        }
        None => {
            let outer = indent_of_line(text, start);
            let value =
                if name == HANDLER { value.replace('\n', &format!("{end}{outer}  ")) } else { value.to_owned() };
            (start + 1, format!("{end}{outer}  \"{name}\": {value}{end}{outer}"))
        }
    };
    Ok(format!("{}{new}{}", &text[..at], &text[at..]))
}

/// The text without the handler, and without the runtimes if there is no other; `None` if it is not there.
pub fn remove(text: &str) -> Option<String> {
    let object = text.strip_prefix('\u{feff}').unwrap_or(text);
    let outer = members(object).ok()?;
    let runtimes = outer.get(RUNTIMES)?;
    let inner = members(runtimes).ok()?;
    inner.get(HANDLER)?;
    match inner.0.len() {
        1 => Some(without(text, object, &outer, RUNTIMES)),
        _ => Some(without(text, runtimes, &inner, HANDLER)),
    }
}

/// Cuts a member out, with the comma on one side of it.
fn without(text: &str, object: &str, members: &Members, name: &str) -> String {
    let index = members.0.iter().position(|(known, _)| known == name).unwrap_or_default();
    let value = place(text, members.0[index].1.get());
    let start = match index.checked_sub(1) {
        Some(before) => place(text, members.0[before].1.get()).end,
        None => place(text, object).start + 1,
    };
    let end = match (index, members.0.len()) {
        // The last one, but not the only one: the comma before it goes.
        (1.., length) if index + 1 == length => value.end,
        // In the middle: the comma before it stays and the one behind it goes, by the same length.
        (1.., _) => value.end,
        (0, 1) => value.end + text[value.end..].find('}').unwrap_or_default(),
        (0, _) => value.end + text[value.end..].find(',').map_or(0, |at| at + 1),
    };
    format!("{}{}", &text[..start], &text[end..])
}

/// Where a part of a text is.
fn place(text: &str, part: &str) -> Range<usize> {
    let start = part.as_ptr() as usize - text.as_ptr() as usize;
    start..start + part.len()
}

/// The white space before the members of an object that has them a line each.
fn indent(text: &str, object: &str, members: &Members) -> Option<String> {
    let inside = place(text, object).start + 1;
    let rest = &text[inside..];
    let space = &rest[..rest.len() - rest.trim_start().len()];
    let lines = space.contains('\n') && !members.0.is_empty();
    lines.then(|| space.rsplit('\n').next().unwrap_or_default().to_owned())
}

/// The white space at the beginning of a line.
fn indent_of_line(text: &str, at: usize) -> &str {
    let line = &text[text[..at].rfind('\n').map_or(0, |at| at + 1)..];
    &line[..line.len() - line.trim_start_matches([' ', '\t']).len()]
}

fn line_end(text: &str) -> &'static str {
    if text.contains("\r\n") { "\r\n" } else { "\n" }
}

#[cfg(test)]
mod tests {
    use super::*;

    const VALUE: &str = "{\n  \"runtimeType\": \"io.containerd.wasmedge.v1\"\n}";

    #[test]
    fn the_handler_goes_in_as_the_file_is_written_and_comes_out_again() {
        for text in [
            "{}",
            "{ }\n",
            "{\n}\n",
            "{\"debug\": true}",
            "{\n    \"debug\": true,\n    \"dns\": [\"10.0.0.1\"]\n}\n",
            "{\n\t\"runtimes\": {\n\t\t\"runsc\": {\n\t\t\t\"path\": \"/usr/bin/runsc\"\n\t\t}\n\t},\n\t\"debug\": false\n}",
            "{\"runtimes\": {\"a\": {\"path\": \"a\"}}, \"debug\": true}\n",
            "{\r\n  \"debug\": true\r\n}\r\n",
            "\u{feff}{\n  \"debug\": true\n}\n",
        ] {
            let added = add(text, VALUE).unwrap();
            let object = added.trim_start_matches('\u{feff}');
            let parsed: serde_json::Value = serde_json::from_str(object).unwrap();
            assert_eq!(parsed["runtimes"]["wasmedge"]["runtimeType"], "io.containerd.wasmedge.v1", "{added}");
            let removed = remove(&added).unwrap();
            if text.trim_start_matches('\u{feff}').trim().len() > 3 {
                assert_eq!(removed, text);
            }
            assert_eq!(
                values(removed.trim_start_matches('\u{feff}')).unwrap(),
                values(text.trim_start_matches('\u{feff}')).unwrap()
            );
        }
    }

    #[test]
    fn it_comes_out_wherever_somebody_has_put_it() {
        let json = |text: &str| serde_json::from_str::<serde_json::Value>(text).unwrap();
        for (text, left) in [
            ("{\"runtimes\": {\"wasmedge\": {}, \"b\": {}}}", "{\"runtimes\": {\"b\": {}}}"),
            ("{\"runtimes\": {\"a\": {}, \"wasmedge\": {}, \"b\": {}}}", "{\"runtimes\": {\"a\": {}, \"b\": {}}}"),
            ("{\"runtimes\": {\"wasmedge\": {}}, \"debug\": true}", "{\"debug\": true}"),
            ("{\"a\": 1, \"runtimes\": {\"wasmedge\": {}}, \"debug\": true}", "{\"a\": 1, \"debug\": true}"),
        ] {
            assert_eq!(json(&remove(text).unwrap()), json(left), "{text}");
        }
        assert_eq!(remove("{\"debug\": true}"), None);
    }

    #[test]
    fn what_is_no_configuration_is_refused() {
        let error = |text| format!("{:#}", add(text, VALUE).unwrap_err());
        assert!(error("[]").contains("expected an object"));
        assert!(error("{\"runtimes\": []}").contains("runtimes: "));
        assert!(error("{\"a\": 1, \"a\": 2}").contains("\"a\" is there twice"));
        assert!(error("{\"a\": 1,}").contains("trailing comma"));
    }
}
