//! Programs that listen on a port together: `io.wasmedge.reuse-port`.

use std::collections::BTreeSet;

use e2e::{Finished, Kind, Scene, command, within};
use serde_json::json;

use super::{annotated, with_options};

/// Who answers, by the variable `COLOUR` of the server. Each connection has a port of its own, by which the kernel chooses.
fn colour(address: &str) -> String {
    let url = format!("http://{address}/env/COLOUR");
    let curl: Finished = command("curl").args(["--silent", "--show-error", "--max-time", "10", &url]).run();
    curl.stdout.trim().to_owned()
}

/// Asks until all of these have answered.
#[track_caller]
fn all_answer<const N: usize>(address: &str, colours: [&str; N]) {
    let mut found = BTreeSet::new();
    let expected: BTreeSet<String> = colours.map(str::to_owned).into();
    let all = within(std::time::Duration::from_secs(20), || {
        found.insert(colour(address));
        (found == expected).then_some(())
    });
    assert!(all.is_some(), "{found:?} answered, not {expected:?}");
}

#[test]
fn programs_of_a_container_accept_from_one_port() {
    let scene = Scene::new();
    let container = annotated(&scene, &["reuse-port=true"]).flags(["-e", "COLOUR=one"]).detach(["/http.wasm", "8080"]);
    container.says("listening on 8080");
    let address = format!("{}:8080", container.address());
    for colour in ["two", "three"] {
        let variable = format!("COLOUR={colour}");
        container.exec(&["-d", "-e", &variable], ["/http.wasm", "8080"]).run();
    }
    all_answer(&address, ["one", "two", "three"]);
    container.docker(["stop"]);
}

#[test]
fn containers_of_a_pod_accept_from_one_port() {
    let scene = Scene::new();
    let pod = scene.pod_with(Kind::Wasm, |pod| pod["annotations"] = json!({ "io.wasmedge.reuse-port": "true" }));
    for colour in ["one", "two"] {
        pod.container_with(Kind::Wasm, &["/http.wasm", "8080"], |container| {
            container["metadata"]["name"] = colour.into();
            container["envs"] = json!([{ "key": "COLOUR", "value": colour }]);
        });
    }
    all_answer(&format!("{}:8080", pod.address()), ["one", "two"]);
}

#[test]
fn containers_that_share_a_network_accept_from_one_port() {
    let scene = Scene::new();
    let shared = |colour: &str| annotated(&scene, &["reuse-port=true"]).flags(["-e", &format!("COLOUR={colour}")]);
    let first = shared("one").detach(["/http.wasm", "8080"]);
    let second = shared("two").flag(format!("--network=container:{}", first.name)).detach(["/http.wasm", "8080"]);
    first.says("listening on 8080");
    second.says("listening on 8080");
    let address = format!("{}:8080", first.address());
    all_answer(&address, ["one", "two"]);
    second.docker(["stop"]);
    all_answer(&address, ["one"]);
}

#[test]
fn without_the_annotation_a_port_has_one_program() {
    let scene = Scene::new();
    let container = scene.docker(Kind::Wasm).detach(["/http.wasm", "8080"]);
    container.says("listening on 8080");
    container.exec(&[], ["/http.wasm", "8080"]).finish().fails().says_in_one_line(&["Address in use"]);
}

#[test]
fn the_runtime_s_option_holds_for_all_and_an_annotation_chooses() {
    let scene = Scene::new();
    let options = "[engine]\nreuse_port = true\n";
    let task = with_options(&scene, options, &[]).start(["/http.wasm", "8080"]);
    let mut second = task.exec(&[], ["/http.wasm", "8080"]).spawn();
    second.says("listening on 8080");
    task.kill("SIGKILL");
    task.stopped();
    second.end();
    let alone = with_options(&scene, options, &["reuse-port=false"]).start(["/http.wasm", "8080"]);
    within(std::time::Duration::from_secs(10), || {
        let refused = alone.exec(&[], ["/http.wasm", "8080"]).deadline(std::time::Duration::from_secs(2)).try_finish();
        refused.is_ok_and(|refused| refused.code != 0).then_some(())
    })
    .expect("a second program is refused");
}
