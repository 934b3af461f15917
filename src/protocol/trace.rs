//! Traces that requests are parts of (W3C Trace Context; OpenTelemetry).

use serde::{Deserialize, Serialize};

use crate::{ContainerKey, Secret};

/// The span that a request is a part of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct TraceParent {
    /// The trace.
    pub trace: [u8; 16],
    /// The span in it.
    pub span: [u8; 8],
}

impl TraceParent {
    /// The value of a `traceparent`; `None` where it is none, or where nobody records the trace.
    pub fn recorded(text: &str) -> Option<Self> {
        let mut parts = text.split('-');
        let (version, trace, span, flags) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
        let [version] = bytes(version)?;
        // Later versions may have more parts, this one has not; the last one is none at all.
        if version == 0xff || version == 0 && parts.next().is_some() {
            return None;
        }
        let [flags] = bytes(flags)?;
        let parent = Self { trace: bytes(trace)?, span: bytes(span)? };
        let is_valid = parent.trace != [0; 16] && parent.span != [0; 8];
        (is_valid && flags & 1 == 1).then_some(parent)
    }
}

/// As many bytes as the lower-case hexadecimal digits say.
fn bytes<const N: usize>(digits: &str) -> Option<[u8; N]> {
    let sound = digits.len() == 2 * N && digits.bytes().all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f'));
    let mut bytes = [0; N];
    for (place, byte) in bytes.iter_mut().enumerate().take_while(|_| sound) {
        *byte = u8::from_str_radix(&digits[2 * place..2 * place + 2], 16).ok()?;
    }
    sound.then_some(bytes)
}

/// A span that a shim has recorded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Span {
    /// What it is a part of.
    pub parent: TraceParent,
    /// Its own id.
    pub id: [u8; 8],
    /// When it was begun and when it ended, in nanoseconds since the Unix epoch.
    pub times: (u64, u64),
    /// What went wrong; empty for nothing.
    pub error: String,
}

/// Which verb a span is of, and with it which of the host's belong to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Verb {
    /// Creating a container.
    Create,
    /// Starting one.
    Start,
}

/// A span that is to be sent to whoever collects them, with those that the host knows of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Export {
    /// Where they are sent to: a URL of OTLP over HTTP.
    pub url: String,
    /// Headers of the request, which may hold keys.
    pub headers: Vec<(String, Secret)>,
    /// Attributes of what they come from.
    pub resource: Vec<(String, String)>,
    /// The container.
    pub key: ContainerKey,
    /// The verb.
    pub verb: Verb,
    /// The shim's own span.
    pub span: Span,
}

/// An id for a span, which nobody else has; not 0, which is none.
pub fn new_span_id() -> [u8; 8] {
    let mut bytes = [0; 8];
    // SAFETY: writes as many bytes as there are.
    unsafe { libc::getrandom(bytes.as_mut_ptr().cast(), bytes.len(), libc::GRND_NONBLOCK) };
    bytes[7] |= 1;
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trace_that_is_recorded_is_gone_on_with() {
        let text = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        let parent = TraceParent::recorded(text).unwrap();
        assert_eq!((parent.trace[0], parent.trace[15], parent.span[1]), (0x4b, 0x36, 0xf0));
        assert!(TraceParent::recorded(&format!("cc{}-more", &text[2..])).is_some(), "a later version");
    }

    #[test]
    fn what_is_not_recorded_or_no_parent_is_left_alone() {
        let trace = "4bf92f3577b34da6a3ce929d0e0e4736";
        for text in [
            "",
            "00",
            &format!("00-{trace}-00f067aa0ba902b7-00"),
            &format!("00-{trace}-00f067aa0ba902b7-01-more"),
            &format!("ff-{trace}-00f067aa0ba902b7-01"),
            &format!("00-{trace}-0000000000000000-01"),
            &format!("00-{}-00f067aa0ba902b7-01", "0".repeat(32)),
            &format!("00-{}-00f067aa0ba902b7-01", trace.to_uppercase()),
            &format!("00-{trace}-+0f067aa0ba902b7-01"),
            &format!("00-{trace}é-00f067aa0ba902b7-01"),
        ] {
            assert_eq!(TraceParent::recorded(text), None, "{text}");
        }
    }
}
