//! The end of standard input, and what comes before it.

use std::{fs::OpenOptions, io::Write};

use e2e::{Kind, Scene, docker::docker, fifos::Fifos, for_kinds, until};

for_kinds! {
    docker_run_passes_input_on_to_its_end;
    input_comes_line_by_line;
    without_input_there_is_nothing_to_read;
    a_container_reads_input_each_time_it_is_started;
    an_attached_client_writes_to_a_container_that_runs;
    ctr_run_passes_input_on;
    the_input_of_a_task_ends_with_close_io;
    the_input_of_an_exec_ends_with_close_io;
    a_checkpoint_is_refused_and_the_task_goes_on;
}

fn docker_run_passes_input_on_to_its_end(scene: &Scene, kind: Kind) {
    let lines: String = (1..=20_000).map(|number| format!("{number}\n")).collect();
    let run = scene.docker(kind).input(lines.clone()).run(kind.echoer()).exits(0);
    assert!(run.stdout == format!("ready\n{lines}"), "{} bytes came back of {}", run.stdout.len(), lines.len());
}

fn input_comes_line_by_line(scene: &Scene, kind: Kind) {
    let mut live = scene.docker(kind).flag("-i").command(kind.echoer()).open_input().spawn();
    live.says("ready\n");
    for line in ["one\n", "two\n", "three\n"] {
        live.write(line);
        live.says(line);
    }
}

fn without_input_there_is_nothing_to_read(scene: &Scene, kind: Kind) {
    scene.docker(kind).run(kind.echoer()).exits(0).prints("ready\n");
}

fn a_container_reads_input_each_time_it_is_started(scene: &Scene, kind: Kind) {
    let container = scene.docker(kind).flag("-i").create(kind.echoer());
    for line in ["one\n", "two\n"] {
        let start = docker(["start", "-ai", &container.name]).input(line).run();
        start.prints(&format!("ready\n{line}"));
    }
}

fn an_attached_client_writes_to_a_container_that_runs(scene: &Scene, kind: Kind) {
    let container = scene.docker(kind).flag("-i").create(kind.echoer());
    container.docker(["start"]);
    container.says("ready");
    docker(["attach", &container.name]).input("typed\n").run().prints("typed\n");
    assert_eq!(container.wait(), 0);
}

fn ctr_run_passes_input_on(scene: &Scene, kind: Kind) {
    // It does not pass the end on, under no runtime.
    let mut live = scene.ctr(kind).command(kind.echoer()).open_input().spawn();
    live.says("ready\n");
    live.write("typed\n");
    live.says("ready\ntyped\n");
}

fn the_input_of_a_task_ends_with_close_io(scene: &Scene, kind: Kind) {
    let shim = scene.bundle(kind, &kind.echoer()).start();
    let (fifos, mut reader) = Fifos::with_reader(scene, "task");
    shim.create_on(&fifos.streams()).unwrap();
    shim.start().unwrap();
    let mut writer = OpenOptions::new().write(true).open(&fifos.stdin).unwrap();
    writer.write_all(b"typed\n").unwrap();
    reader.says("ready\ntyped\n");
    drop(writer);
    // Another client may come to write: the end is what CloseIO says.
    assert_eq!(shim.state().unwrap().1, 2);
    OpenOptions::new().write(true).open(&fifos.stdin).unwrap().write_all(b"more\n").unwrap();
    reader.says("ready\ntyped\nmore\n");
    shim.close_stdin("").unwrap();
    assert_eq!(shim.wait().unwrap(), 0);
    shim.delete().unwrap();
    reader.end();
}

fn the_input_of_an_exec_ends_with_close_io(scene: &Scene, kind: Kind) {
    let shim = super::exec_api::sleeping(scene, kind);
    let (fifos, mut reader) = Fifos::with_reader(scene, "exec");
    shim.exec("one", &shim.bundle().process(&kind.echoer()), &fifos.streams()).unwrap();
    shim.start_exec("one").unwrap();
    let mut writer = OpenOptions::new().write(true).open(&fifos.stdin).unwrap();
    writer.write_all(b"typed\n").unwrap();
    reader.says("ready\ntyped\n");
    shim.close_stdin("one").unwrap();
    drop(writer);
    assert_eq!(shim.wait_for_exec("one").unwrap(), 0);
    shim.delete_exec("one").unwrap();
    reader.end();
    super::exec_api::end(&shim);
}

fn a_checkpoint_is_refused_and_the_task_goes_on(scene: &Scene, kind: Kind) {
    let shim = super::exec_api::sleeping(scene, kind);
    let (_, message) = shim.checkpoint(&scene.directory().join("checkpoint")).unwrap_err();
    assert!(!message.is_empty(), "the error says nothing");
    until("the task runs", || (shim.state().ok()?.1 == 2).then_some(()));
    super::exec_api::end(&shim);
}
