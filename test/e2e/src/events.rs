//! Events about tasks, as containerd's clients get them.

use std::time::Duration;

use serde_json::Value;

use crate::{command::Live, ctr::ctr, until, within};

/// A topic and its message.
pub type Event = (String, Value);

/// A subscription to all events of containerd. Dropped without [`Listener::end`], it ends with the test.
pub struct Listener(Live);

impl Listener {
    /// Subscribes; what happens from now on is heard.
    #[track_caller]
    pub fn start() -> Self {
        let mut listener = ctr(["events"]).spawn();
        // A subscription has begun when it has seen an event made for the purpose.
        until("an event of our own", || {
            ctr(["namespaces", "label", "default", "e2e=listening"]).run();
            listener.stdout().contains("listening").then_some(())
        });
        ctr(["namespaces", "label", "default", "e2e="]).run();
        Self(listener)
    }

    /// Waits until an event of this topic was heard; `false` where there is none, which is sure only after a while.
    pub fn hears(&mut self, topic: &str) -> bool {
        within(Duration::from_secs(2), || self.0.stdout().contains(topic).then_some(())).is_some()
    }

    /// The events about tasks that were heard.
    pub fn end(self) -> Vec<Event> {
        let text = self.0.end().stdout;
        let events = text.lines().filter_map(|line| {
            let (head, message) = line.split_once('{')?;
            let topic = head.split_whitespace().last()?;
            let message = serde_json::from_str(&format!("{{{message}")).ok()?;
            topic.starts_with("/tasks/").then(|| (topic.to_owned(), message))
        });
        events.collect()
    }
}

/// One line an event: its topic and its fields, with ids, pids and times replaced by words, in the order in which they
/// appear, so that two runs give the same lines.
pub fn plain(events: &[Event], container: &str) -> Vec<String> {
    let mut pids: Vec<u64> = Vec::new();
    let mut line = |(topic, message): &Event| {
        let fields = message.as_object().into_iter().flatten().map(|(key, value)| match (&**key, value) {
            ("pid", Value::Number(pid)) => {
                let pid = pid.as_u64().unwrap_or_default();
                let known = pids.iter().position(|known| *known == pid);
                format!("pid=#{}", known.unwrap_or_else(|| (pids.push(pid), pids.len() - 1).1))
            }
            ("exited_at", _) => "exited_at=time".into(),
            ("bundle" | "rootfs" | "io", _) => key.clone(),
            (_, Value::String(text)) => format!("{key}={}", text.replace(container, "ID")),
            (_, value) => format!("{key}={value}"),
        });
        format!("{topic} {}", fields.collect::<Vec<_>>().join(" "))
    };
    events.iter().map(&mut line).collect()
}
