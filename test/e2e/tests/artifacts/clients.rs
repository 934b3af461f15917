//! What works, by each client.

use std::fs;

use e2e::{
    Kind, Scene,
    command::command,
    cri::crictl,
    ctr::ctr,
    docker::{self, docker},
    until,
};

use super::ctr_run;

/// Every image, so that there is one of each form, with what it says.
const SAYS_HELLO: [&str; 2] = ["artifact-hello", "artifact-many"];

#[test]
fn ctr_runs_a_module_that_is_a_layer() {
    let scene = Scene::new();
    let run = ctr_run(&scene, "artifact-many");
    run.run(["/hello.wasm", "one", "two words"]).exits(0).prints("hello from wasm\none\ntwo words\n").complains("");
    run.run([""; 0]).exits(0).prints("hello from wasm\n");
    run.run(["hello.wasm", "by its name"]).exits(0).prints("hello from wasm\nby its name\n");
    run.run(["/lib/exports.wasm"]).exits(0).prints("main function\n");
    run.run(["/lib/exports.wasm#other"]).exits(0).prints("other function\n");
    run.run(["/bin/tool"]).exits(0).prints("to stdout\n").complains("to stderr\n");
    run.run(["/exit.wasm", "7"]).exits(7);
}

#[test]
fn a_module_beside_a_root_file_system_sees_it() {
    let scene = Scene::new();
    let run = ctr_run(&scene, "artifact-rootfs");
    run.run([""; 0]).exits(0).prints("hello from the image\n");
    run.run(["/app/main.wasm", "list", "/app"]).exits(0).prints("main.wasm\n");
    run.run(["./other.wasm", "write", "/data/new", "text"]).exits(0);
}

#[test]
fn it_has_the_world_of_any_container() {
    let scene = Scene::new();
    let volume = scene.directory().join("volume");
    fs::create_dir(&volume).unwrap();
    fs::write(volume.join("file"), "from the volume\n").unwrap();
    let mount = format!("type=bind,src={},dst=/volume,options=rbind:ro", volume.display());
    let run = || ctr_run(&scene, "artifact-many");
    let flags = ["--env", "MINE=yes", "--cwd", "/work", "--mount", &mount];
    let world = run().flags(flags).run(["/world.wasm", "/volume/file", "/hello.wasm"]).exits(0);
    assert_eq!(world.value("arg.0"), "/world.wasm");
    assert_eq!((world.value("env.MINE"), world.value("env.FROM")), ("yes", "image"));
    assert_eq!((world.value("env.PWD"), world.value("path./volume/file")), ("/work", "file"));
    run().flags(["--mount", &mount]).run(["/files.wasm", "read", "/volume/file"]).exits(0).prints("from the volume\n");
    run().flags(["--mount", &mount]).run(["/files.wasm", "write", "/volume/file", "x"]).exits(1);
    // Its own file is the node's, which nobody may change.
    run().run(["/files.wasm", "append", "/hello.wasm", "x"]).exits(1);
    run().flags(["--read-only"]).run(["/hello.wasm"]).exits(0).prints("hello from wasm\n");
    run().flags(["--user", "1000:1000"]).run(["/hello.wasm"]).exits(0).prints("hello from wasm\n");
}

#[test]
fn every_module_of_the_image_can_be_executed() {
    let scene = Scene::new();
    let task = ctr_run(&scene, "artifact-many").start(["/sleep.wasm", "600"]);
    task.exec(&[], ["/hello.wasm", "x"]).run().prints("hello from wasm\nx\n");
    task.exec(&[], ["/lib/exports.wasm#other"]).run().prints("other function\n");
    task.exec(&[], ["/bin/tool"]).run().prints("to stdout\n");
    // Started again, its root filesystem has the places of the modules, empty.
    task.kill("KILL");
    task.stopped();
    task.delete();
    task.start();
    task.exec(&[], ["/hello.wasm", "again"]).run().prints("hello from wasm\nagain\n");
    task.exec(&[], ["/nothing.wasm"]).finish().fails().says_in_one_line(&["/nothing.wasm", "no such file"]);
}

#[test]
fn it_runs_native_code_under_the_digest_of_its_layer() {
    let scene = Scene::new();
    let required = ctr_run(&scene, "artifact-many").flags(["--annotation", "io.wasmedge.aot=require"]);
    required.run(["/hello.wasm"]).exits(0).prints("hello from wasm\n");
    let digest = super::blob("hello.wasm").file_name().unwrap().to_string_lossy().into_owned();
    let list = command("wasmedge-engine").args(["cache", "list"]).run();
    assert!(list.lines().iter().any(|line| line.starts_with(&digest[..16])), "{list}");
}

#[test]
fn another_user_namespace_sees_the_module_too() {
    let scene = Scene::new();
    let mapped = ["--uidmap", "0:100000:65536", "--gidmap", "0:100000:65536", "--remap-labels"];
    // Nobody may do anything in the root directory of an image without a root file system, under runc neither.
    ctr_run(&scene, "artifact-rootfs").flags(mapped).run([""; 0]).exits(0).prints("hello from the image\n");
}

#[test]
fn pods_run_artifacts_of_every_form() {
    let scene = Scene::new();
    let pod = scene.pod(Kind::Wasm);
    for image in SAYS_HELLO {
        let container = pod.container_with(Kind::Wasm, &["/hello.wasm", image], |config| {
            config["image"]["image"] = format!("localhost/{image}:latest").into();
            config["metadata"]["name"] = image.into();
            config["log_path"] = format!("{image}.log").into();
        });
        assert_eq!(container.wait(), 0);
        container.logs().prints(&format!("hello from wasm\n{image}\n"));
    }
}

#[test]
fn a_pod_s_artifact_answers_exec_and_stop() {
    let scene = Scene::new();
    let pod = scene.pod(Kind::Wasm);
    let sleeping = pod.container_with(Kind::Wasm, &["/sleep.wasm", "600"], |config| {
        config["image"]["image"] = "localhost/artifact-many:latest".into();
        config["envs"] = serde_json::json!([{ "key": "MINE", "value": "yes" }]);
    });
    sleeping.says("sleeping");
    crictl(["exec", &sleeping.id, "/hello.wasm"]).run().prints("hello from wasm\n");
    let world = crictl(["exec", &sleeping.id, "/world.wasm"]).run();
    assert_eq!((world.value("env.MINE"), world.value("env.FROM")), ("yes", "image"));
    crictl(["stop", "--timeout", "5", &sleeping.id]).run();
    assert_eq!(sleeping.wait(), 143);
}

#[test]
fn the_example_makes_an_artifact() {
    let scene = Scene::new();
    let pack = concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples/artifact/pack");
    let archive = scene.directory().join("app.tar").display().to_string();
    let module = super::module("hello.wasm").display().to_string();
    let (name, words) = ("localhost/e2e-packed:latest", ["/hello.wasm", "a \"quoted\" \\ word"]);
    command(pack).args([&module, name, &archive]).args(words).run();
    ctr(["images", "import", &archive]).run();
    ctr_run(&scene, "e2e-packed").run([""; 0]).exits(0).prints("hello from wasm\na \"quoted\" \\ word\n");
    ctr_run(&scene, "e2e-packed").run(["hello.wasm", "x"]).exits(0).prints("hello from wasm\nx\n");
    ctr(["images", "rm", name]).run();
}

/// Whether Docker keeps its images in containerd.
fn containerd_s_store() -> bool {
    docker(["info", "--format", "{{.DriverStatus}}"]).run().stdout.contains("io.containerd.snapshotter.v1")
}

#[test]
fn docker_runs_artifacts_where_its_store_takes_them() {
    let scene = Scene::new();
    if !containerd_s_store() {
        let archive = concat!(env!("CARGO_MANIFEST_DIR"), "/../../target/images/artifact-hello.tar");
        docker(["load", "--input", archive]).finish().fails();
        return;
    }
    let run = |image: &str| scene.docker(Kind::Wasm).image(image);
    for image in SAYS_HELLO {
        run(image).run(["/hello.wasm", "x"]).exits(0).prints("hello from wasm\nx\n");
    }
    run("artifact-many").flag("--init").run(["/hello.wasm"]).exits(0).prints("hello from wasm\n");
    run("artifact-many").flag("--read-only").run(["/hello.wasm"]).exits(0).prints("hello from wasm\n");
    run("artifact-rootfs").run([""; 0]).exits(0).prints("hello from the image\n");
    let sleeping: docker::Container = run("artifact-many").detach(["/sleep.wasm", "600"]).says("sleeping").clone();
    sleeping.exec(&[], ["/hello.wasm"]).run().prints("hello from wasm\n");
    docker(["restart", "--time", "5", &sleeping.name]).run();
    until("the second start", || (sleeping.inspect(".State.Status") == "running").then_some(()));
    run("artifact-garbage").run([""; 0]).fails().says_in_one_line(&["artifact-garbage", "not a WebAssembly module"]);
}
