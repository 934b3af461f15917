//! Events about tasks, as containerd's clients get them.

use e2e::{
    Finished, Kind, Scene,
    events::{Event, Listener},
};
use serde_json::Value;

/// Runs `run` while listening; the events about tasks in the meantime.
fn listen(run: impl FnOnce() -> Finished) -> (Finished, Vec<Event>) {
    let mut listener = Listener::start();
    let finished = run();
    // The last event may come after the client's end, and there is none where nothing was made.
    listener.hears("/tasks/delete");
    (finished, listener.end())
}

/// Topic and names of the fields.
fn shape(events: &[Event]) -> Vec<(String, Vec<String>)> {
    let keys = |message: &Value| message.as_object().into_iter().flatten().map(|(key, _)| key.clone()).collect();
    events.iter().map(|(topic, message)| (topic.clone(), keys(message))).collect()
}

fn expect_the_events_of_runc(words: &[(Kind, &[&str])], code: i32) {
    let scene = Scene::new();
    let expected = ["/tasks/create", "/tasks/start", "/tasks/exit", "/tasks/delete"];
    let mut shapes = Vec::new();
    for (kind, words) in words {
        let mut run = scene.ctr(*kind);
        let (mut finished, mut events) = listen(|| run.run(words.iter().copied()));
        while *kind == Kind::Runc && events.len() == 3 {
            // runc's shim may end before it has sent its last event, which shows the fields as well another time.
            run = scene.ctr(*kind);
            (finished, events) = listen(|| run.run(words.iter().copied()));
        }
        finished.exits(code);
        let topics: Vec<_> = events.iter().map(|(topic, _)| topic.as_str()).collect();
        assert_eq!(topics, expected, "{kind:?}: {events:#?}");
        let pids: Vec<_> = events.iter().map(|(_, message)| message["pid"].as_u64()).collect();
        assert!(pids[0].is_some() && pids.iter().all(|pid| *pid == pids[0]), "{kind:?}: {events:#?}");
        for (_, message) in &events {
            assert_eq!(message["container_id"], run.id(), "{kind:?}: {events:#?}");
        }
        for (_, message) in &events[2..] {
            assert_eq!(message["exit_status"].as_i64().unwrap_or(0), i64::from(code), "{kind:?}: {events:#?}");
        }
        shapes.push(shape(&events));
    }
    for shape in &shapes[1..] {
        assert_eq!(shape, &shapes[0], "left: here, right: under runc");
    }
}

#[test]
fn the_events_of_a_task_are_those_of_runc() {
    let all: [(Kind, &[&str]); 3] = [
        (Kind::Runc, &["sh", "-c", "exit 42"]),
        (Kind::Linux, &["sh", "-c", "exit 42"]),
        (Kind::Wasm, &["/exit.wasm", "42"]),
    ];
    expect_the_events_of_runc(&all, 42);
}

#[test]
fn the_events_of_a_task_that_succeeds_are_those_of_runc() {
    expect_the_events_of_runc(
        &[(Kind::Runc, &["true"]), (Kind::Linux, &["true"]), (Kind::Wasm, &["/exit.wasm", "0"])],
        0,
    );
}

#[test]
fn a_create_that_fails_has_no_start_and_no_exit() {
    let scene = Scene::new();
    let topics = |kind| {
        let (finished, events) = listen(|| scene.ctr(kind).run(["/missing.wasm"]));
        finished.fails();
        events.into_iter().map(|(topic, _)| topic).collect::<Vec<_>>()
    };
    assert_eq!(topics(Kind::Wasm), topics(Kind::Runc));
}
