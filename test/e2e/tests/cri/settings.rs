//! Settings of pods where containerd's configuration passes none of their annotations on, as k3s and others write it.

use std::fs;

use e2e::{
    Kind, Scene,
    cri::{Container, Pod, crictl},
};
use serde_json::{Value, json};

/// Handlers of the node's configuration: without `pod_annotations`, the second with the options in this file.
const FOUND: &str = "wasmedge-found";
const WITH_OPTIONS: &str = "wasmedge-options";
const OPTIONS: &str = "/etc/containerd/wasmedge-options.toml";

/// The options of the second, which are taken away again.
pub(super) struct Options;

impl Options {
    pub(super) fn new(text: &str) -> Self {
        fs::write(OPTIONS, text).unwrap();
        Self
    }
}

impl Drop for Options {
    fn drop(&mut self) {
        let _ = fs::remove_file(OPTIONS);
    }
}

/// Annotations or labels of ours, such as `gas-limit=1000`.
fn ours(list: &[&str]) -> Value {
    let pairs = list.iter().map(|one| one.split_once('=').unwrap());
    pairs.map(|(name, text)| (format!("io.wasmedge.{name}"), json!(text))).collect::<serde_json::Map<_, _>>().into()
}

fn pod(scene: &Scene, handler: &str, annotations: &[&str]) -> Pod {
    scene.pod_under(handler, |pod| pod["annotations"] = ours(annotations))
}

/// One more container of a pod, from an image of the tests.
fn from_image(pod: &Pod, image: &str, words: &[&str], change: impl FnOnce(&mut Value)) -> Result<Container, String> {
    let started = pod.try_container_with(Kind::Wasm, words, |container| {
        container["image"]["image"] = json!(format!("localhost/{image}:latest"));
        change(container);
    });
    started.map_err(|refused| refused.stderr)
}

fn start(pod: &Pod, words: &[&str]) -> Result<Container, String> {
    from_image(pod, "wasm", words, |_| ())
}

/// A container that was refused in one line with all of these.
#[track_caller]
fn refused(started: Result<Container, String>, parts: &[&str]) {
    let text = started.map(|container| container.logs().to_string()).expect_err("it should be refused");
    assert!(text.lines().any(|line| parts.iter().all(|part| line.contains(part))), "{parts:?} in {text}");
}

/// A module that trapped, for this reason.
#[track_caller]
fn trapped(container: Result<Container, String>, parts: &[&str]) {
    let container = container.unwrap();
    assert_eq!(container.wait(), 134, "{}", container.logs());
    container.logs().says_in_one_line(parts);
}

#[test]
fn a_pod_s_annotations_take_effect_where_containerd_passes_none_on() {
    let scene = Scene::new();
    trapped(start(&pod(&scene, FOUND, &["gas-limit=3000000"]), &["/busy.wasm"]), &["gas", "the limit is 3000000"]);
    let both = pod(&scene, FOUND, &["time-limit=700", "statistics=true"]);
    trapped(start(&both, &["/sleep.wasm", "60"]), &["time limit of 700 ms"]);
    let enough = pod(&scene, FOUND, &["statistics=true"]).container(Kind::Wasm, &["/hello.wasm"]);
    assert_eq!(enough.wait(), 0);
    enough.logs().prints("hello from wasm\n").says_in_one_line(&["/hello.wasm", "instructions"]);
}

#[test]
fn they_hold_for_other_modules_that_are_run_in_the_container() {
    let scene = Scene::new();
    let pod = pod(&scene, FOUND, &["memory-pages=100"]);
    let container = pod.container(Kind::Wasm, &["/sleep.wasm", "600"]);
    container.says("sleeping");
    let refused = crictl(["exec", &container.id, "/memory.wasm", "80"]).finish();
    assert_ne!(refused.code, 0, "{refused}");
    assert!(format!("{refused}").contains("memory.grow failed"), "{refused}");
}

#[test]
fn a_container_s_annotations_come_before_its_pod_s() {
    let scene = Scene::new();
    let pod = pod(&scene, FOUND, &["gas-limit=1", "time-limit=60000"]);
    let own = |container: &mut Value| container["annotations"] = ours(&["gas-limit=3000000"]);
    trapped(from_image(&pod, "wasm", &["/busy.wasm"], own), &["gas", "the limit is 3000000"]);
}

#[test]
fn a_wrong_value_fails_the_container_that_runs_a_module_and_says_why() {
    let scene = Scene::new();
    let pod = pod(&scene, FOUND, &["gas-limit=much"]);
    let parts = ["annotation io.wasmedge.gas-limit: a whole number of at least 1 is expected, not", "much"];
    refused(start(&pod, &["/hello.wasm"]), &parts);
    assert_eq!(pod.container(Kind::Linux, &["true"]).wait(), 0, "what runs no module asks for nothing");
}

#[test]
fn what_the_options_forbid_stays_forbidden_whichever_way_it_is_asked_for() {
    let _options = Options::new(
        "annotations = \"image\"\n[engine]\ngas_limit = 2000000\ntime_limit_ms = 60000\nproposals = [\"-simd\"]\n\
         [aot]\npolicy = \"off\"\n",
    );
    let scene = Scene::new();
    let cases = [
        ("gas-limit=3000000", "a whole number from 1 to 2000000, the runtime's limit, is expected"),
        ("time-limit=60001", "a whole number from 1 to 60000, the runtime's limit, is expected"),
        ("proposals=+simd", "simd is turned off by the runtime and not among engine.optional_proposals"),
        ("proposals=+memory64", "memory64 is turned off by the runtime and not among engine.optional_proposals"),
    ];
    let never = [
        ("aot=require", "more than the runtime's option aot.most_policy allows"),
        ("aot.level=O3", "more than the runtime's option aot.most_level allows"),
        ("plugins=wasmedge_test", "is not among the runtime's plugins (plugins.load)"),
    ];
    for (ask, cause) in cases.into_iter().chain(never) {
        let (name, _) = ask.split_once('=').unwrap();
        let of_pod = pod(&scene, WITH_OPTIONS, &[ask]);
        refused(start(&of_pod, &["/hello.wasm"]), &[&format!("annotation io.wasmedge.{name}: "), cause]);
        let plain = pod(&scene, WITH_OPTIONS, &[]);
        let own = |container: &mut Value| container["annotations"] = ours(&[ask]);
        refused(
            from_image(&plain, "wasm", &["/hello.wasm"], own),
            &[&format!("annotation io.wasmedge.{name}: "), cause],
        );
        let label = |container: &mut Value| {
            container["labels"] = ours(&[ask]);
            container["metadata"]["attempt"] = json!(1);
        };
        let cause = if never.contains(&(ask, cause)) { "an image may not say so" } else { cause };
        refused(
            from_image(&plain, "wasm", &["/hello.wasm"], label),
            &[&format!("the image's label io.wasmedge.{name}: "), cause],
        );
    }
    // What is left of the limit where nobody asks.
    trapped(start(&pod(&scene, WITH_OPTIONS, &[]), &["/busy.wasm"]), &["gas", "the limit is 2000000"]);
}

#[test]
fn a_runtime_class_of_its_own_does_without_annotations() {
    let scene = Scene::new();
    let pod = pod(&scene, "wasmedge-limited", &["gas-limit=1", "aot=require"]);
    trapped(start(&pod, &["/busy.wasm"]), &["gas", "the limit is 100000000"]);
}

#[test]
fn the_spec_alone_counts_where_an_option_says_so() {
    let _options = Options::new("annotations = \"spec\"\n");
    let scene = Scene::new();
    let container = pod(&scene, WITH_OPTIONS, &["gas-limit=1"]).container(Kind::Wasm, &["/hello.wasm"]);
    assert_eq!(container.wait(), 0, "{}", container.logs());
}

#[test]
fn what_containerd_passes_on_is_all_that_counts() {
    let scene = Scene::new();
    let pod = scene.pod_with(Kind::Wasm, |pod| pod["annotations"] = ours(&["gas-limit=3000000"]));
    trapped(start(&pod, &["/busy.wasm"]), &["gas", "the limit is 3000000"]);
}

#[test]
fn an_image_s_labels_hold_where_an_option_says_so_and_nobody_else_says_anything() {
    let options = Options::new("annotations = \"image\"\n[engine]\ngas_limit = 5000000\n");
    let scene = Scene::new();
    let plain = pod(&scene, WITH_OPTIONS, &[]);
    trapped(from_image(&plain, "labelled", &["/busy.wasm"], |_| ()), &["gas", "the limit is 3000000"]);
    let pod_s = pod(&scene, WITH_OPTIONS, &["gas-limit=4000000"]);
    trapped(from_image(&pod_s, "labelled", &["/busy.wasm"], |_| ()), &["gas", "the limit is 4000000"]);
    drop(options);
    let _options = Options::new("[engine]\ngas_limit = 5000000\n");
    let unheeded = pod(&scene, WITH_OPTIONS, &[]);
    trapped(from_image(&unheeded, "labelled", &["/busy.wasm"], |_| ()), &["gas", "the limit is 5000000"]);
}

#[test]
fn an_image_that_asks_for_what_is_not_its_to_choose_is_refused_unless_an_annotation_chooses() {
    let _options = Options::new("annotations = \"image\"\n");
    let scene = Scene::new();
    let parts = ["the image's label io.wasmedge.aot: an image may not say so, an annotation of the pod may"];
    refused(from_image(&pod(&scene, WITH_OPTIONS, &[]), "labelled-aot", &["/hello.wasm"], |_| ()), &parts);
    let chosen = pod(&scene, WITH_OPTIONS, &["aot=off"]);
    assert_eq!(from_image(&chosen, "labelled-aot", &["/hello.wasm"], |_| ()).unwrap().wait(), 0);
    // The usual runtime takes no notice.
    assert_eq!(from_image(&pod(&scene, FOUND, &[]), "labelled-aot", &["/hello.wasm"], |_| ()).unwrap().wait(), 0);
}
