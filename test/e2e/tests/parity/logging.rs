//! Where output goes: log URIs, Docker's drivers, and readers that are slow, late or gone.

use std::{
    fs::{self, File},
    io::Read,
    os::unix::fs::PermissionsExt,
    path::PathBuf,
    thread::sleep,
    time::Duration,
};

use e2e::{Kind, Scene, command::read, fifos::Fifos, for_kinds, until};

for_kinds! {
    a_file_gets_both_streams;
    a_file_is_appended_to;
    a_logger_gets_both_streams_and_knows_the_container;
    a_logger_gets_long_output_to_the_end;
    a_logger_that_is_missing_stops_the_start;
    the_log_driver_json_file_keeps_the_output;
    the_log_driver_local_keeps_the_output;
    the_log_driver_none_keeps_nothing;
    a_task_ends_though_nobody_reads_any_more;
    a_task_that_writes_much_is_killed_though_nobody_reads_any_more;
    a_slow_reader_gets_every_line;
    a_reader_that_goes_and_comes_back_gets_the_rest;
    output_of_a_terminal_goes_to_a_fifo_too;
}

fn both(kind: Kind) -> Vec<&'static str> {
    kind.either(vec!["/both.wasm"], vec!["sh", "-c", "echo to stdout; echo to stderr >&2"])
}

/// Words of a program that writes numbers from 1, a line each.
fn numbers(kind: Kind, count: usize) -> Vec<String> {
    vec![kind.either("/spew.wasm", "seq").into(), count.to_string()]
}

/// Panics unless these are the lines that [`numbers`] gives.
#[track_caller]
fn expect_numbers(text: &str, count: u32) {
    let found: Vec<u32> = text.lines().filter_map(|line| line.split([' ', '\r']).next()?.parse().ok()).collect();
    let wrong = found.iter().zip(1..).find(|(found, expected)| **found != *expected);
    assert!(found.len() == count as usize && wrong.is_none(), "{} of {count} lines, wrong: {wrong:?}", found.len());
}

fn a_file_gets_both_streams(scene: &Scene, kind: Kind) {
    let log = scene.directory().join("log");
    let task = scene.ctr(kind).create(both(kind));
    task.start_with_log(&log);
    task.stopped();
    task.delete();
    let text = until("both lines in the log", || Some(read(&log)).filter(|text| text.lines().count() == 2));
    assert!(text.contains("to stdout\n") && text.contains("to stderr\n"), "{text:?}");
}

fn a_file_is_appended_to(scene: &Scene, kind: Kind) {
    let log = scene.directory().join("log");
    fs::write(&log, "before\n").unwrap();
    let task = scene.ctr(kind).create(numbers(kind, 1));
    task.start_with_log(&log);
    task.stopped();
    task.delete();
    let text = until("a line in the log", || Some(read(&log)).filter(|text| text.lines().count() > 1));
    assert!(text.starts_with("before\n"), "{text:?}");
}

/// A logger as containerd runs them: output on descriptors 3 and 4, closing 5 says that it is ready, and SIGTERM comes
/// with the end of the output, which a logger must still read.
fn logger(scene: &Scene) -> PathBuf {
    let path = scene.directory().join("logger");
    let folder = scene.directory().display();
    let script = format!(
        "#!/bin/bash\n\
         echo \"$CONTAINER_ID $CONTAINER_NAMESPACE $*\" >{folder}/known\n\
         trap '' TERM\n\
         exec 5>&-\n\
         cat <&3 >{folder}/stdout &\n\
         cat <&4 >{folder}/stderr &\n\
         exec 3<&- 4<&-\n\
         wait\n\
         echo ended >{folder}/ended\n"
    );
    fs::write(&path, script).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    path
}

/// Runs `words` with the logger to its own end and the logger's; the container's id.
fn run_logged(scene: &Scene, kind: Kind, words: Vec<String>) -> String {
    let uri = format!("binary://{}?key=value", logger(scene).display());
    let run = scene.ctr(kind).flags(["--log-uri", &uri]);
    run.run(words).exits(0);
    until("the logger's end", || scene.directory().join("ended").exists().then_some(()));
    run.id().to_owned()
}

fn a_logger_gets_both_streams_and_knows_the_container(scene: &Scene, kind: Kind) {
    let id = run_logged(scene, kind, both(kind).into_iter().map(String::from).collect());
    let file = |name: &str| read(scene.directory().join(name));
    assert_eq!((&*file("stdout"), &*file("stderr")), ("to stdout\n", "to stderr\n"));
    assert_eq!(file("known"), format!("{id} default key value\n"));
}

fn a_logger_gets_long_output_to_the_end(scene: &Scene, kind: Kind) {
    run_logged(scene, kind, numbers(kind, 50_000));
    expect_numbers(&read(scene.directory().join("stdout")), 50_000);
}

fn a_logger_that_is_missing_stops_the_start(scene: &Scene, kind: Kind) {
    let run = scene.ctr(kind).flags(["--log-uri", "binary:///no/such/logger"]);
    run.run(both(kind)).fails().says_in_one_line(&["/no/such/logger"]);
}

fn the_log_driver_json_file_keeps_the_output(scene: &Scene, kind: Kind) {
    let (run, container) = scene.docker(kind).flag("--log-driver=json-file").keep(both(kind));
    run.exits(0);
    container.logs().prints("to stdout\n").complains("to stderr\n");
}

fn the_log_driver_local_keeps_the_output(scene: &Scene, kind: Kind) {
    let (run, container) = scene.docker(kind).flag("--log-driver=local").keep(both(kind));
    run.exits(0);
    container.logs().prints("to stdout\n").complains("to stderr\n");
}

fn the_log_driver_none_keeps_nothing(scene: &Scene, kind: Kind) {
    let (run, container) = scene.docker(kind).flag("--log-driver=none").keep(both(kind));
    run.exits(0).prints("to stdout\n").complains("to stderr\n");
    e2e::docker::docker(["logs", &container.name]).finish().fails().says_in_one_line(&["logging driver"]);
}

fn words(words: &[String]) -> Vec<&str> {
    words.iter().map(String::as_str).collect()
}

fn a_task_ends_though_nobody_reads_any_more(scene: &Scene, kind: Kind) {
    let shim = scene.bundle(kind, &both(kind)).start();
    let fifos = Fifos::new(scene, "task");
    let readers = fifos.open();
    shim.create_on(&fifos.output()).unwrap();
    drop(readers);
    shim.start().unwrap();
    assert_eq!(shim.wait().unwrap(), 0);
    shim.delete().unwrap();
}

fn a_task_that_writes_much_is_killed_though_nobody_reads_any_more(scene: &Scene, kind: Kind) {
    let shim = scene.bundle(kind, &words(&numbers(kind, 10_000_000))).start();
    let fifos = Fifos::new(scene, "task");
    let readers = fifos.open();
    shim.create_on(&fifos.output()).unwrap();
    drop(readers);
    shim.start().unwrap();
    shim.kill(9).unwrap();
    assert_eq!(shim.wait().unwrap(), 137);
    shim.delete().unwrap();
}

/// What is read of a FIFO until its end, with a pause after each piece.
fn read_slowly(mut file: File, pause: Duration) -> String {
    let (mut text, mut piece) = (Vec::new(), vec![0; 16_384]);
    while let Ok(length @ 1..) = file.read(&mut piece) {
        text.extend_from_slice(&piece[..length]);
        sleep(pause);
    }
    String::from_utf8(text).unwrap()
}

fn a_slow_reader_gets_every_line(scene: &Scene, kind: Kind) {
    let shim = scene.bundle(kind, &words(&numbers(kind, 20_000))).start();
    let fifos = Fifos::new(scene, "task");
    let (stdout, [_, _stderr]) = (fifos.stdout.clone(), fifos.open());
    let reader = std::thread::spawn(move || read_slowly(File::open(stdout).unwrap(), Duration::from_millis(3)));
    shim.create_on(&fifos.output()).unwrap();
    shim.start().unwrap();
    assert_eq!(shim.wait().unwrap(), 0);
    shim.delete().unwrap();
    expect_numbers(&reader.join().unwrap(), 20_000);
}

fn a_reader_that_goes_and_comes_back_gets_the_rest(scene: &Scene, kind: Kind) {
    let shim = scene.bundle(kind, &words(&numbers(kind, 50_000))).start();
    let fifos = Fifos::new(scene, "task");
    let (stdout, [_, _stderr]) = (fifos.stdout.clone(), fifos.open());
    let reader = std::thread::spawn(move || {
        let mut first = vec![0; 4096];
        File::open(&stdout).unwrap().read_exact(&mut first).unwrap();
        String::from_utf8(first).unwrap() + &read_slowly(File::open(&stdout).unwrap(), Duration::ZERO)
    });
    shim.create_on(&fifos.output()).unwrap();
    shim.start().unwrap();
    assert_eq!(shim.wait().unwrap(), 0);
    shim.delete().unwrap();
    expect_numbers(&reader.join().unwrap(), 50_000);
}

fn output_of_a_terminal_goes_to_a_fifo_too(scene: &Scene, kind: Kind) {
    let bundle = scene.bundle(kind, &words(&numbers(kind, 2000)));
    bundle.configure(|spec| spec["process"]["terminal"] = true.into());
    let shim = bundle.start();
    let (fifos, reader) = Fifos::with_reader(scene, "task");
    let streams = e2e::shim::Streams { stderr: String::new(), terminal: true, ..fifos.output() };
    shim.create_on(&streams).unwrap();
    shim.resize("", 10, 20).unwrap();
    shim.start().unwrap();
    assert_eq!(shim.wait().unwrap(), 0);
    shim.delete().unwrap();
    let text = reader.end();
    assert!(text.lines().count() == 2000 && text.ends_with("\r\n"), "{} lines", text.lines().count());
    expect_numbers(&text, 2000);
}
