//! Terminals: `docker run -t` and its relatives.

use e2e::{Kind, Scene, Terminal, docker::docker, for_kinds, until};

for_kinds! {
    what_is_typed_comes_back_and_reaches_the_program;
    output_without_a_keyboard_has_a_terminal_s_line_ends;
    both_streams_come_by_the_terminal;
    the_three_streams_are_terminals;
    the_three_streams_are_no_terminals_otherwise;
    the_program_knows_the_terminal_s_name: Linux Runc;
    the_terminal_is_the_controlling_one: Linux Runc;
    the_terminal_belongs_to_the_user: Linux Runc;
    the_window_has_its_size_from_the_start: Linux Runc;
    a_new_size_of_the_window_reaches_the_program: Linux Runc;
    ctrl_c_ends_the_program;
    ctrl_d_ends_the_input;
    detached_and_attached_again_it_goes_on;
    the_exit_code_is_passed_on;
    long_output_is_complete;
    the_log_has_what_was_on_the_terminal;
    ctr_run_gives_a_terminal;
    an_exec_gets_a_terminal;
    an_exec_s_window_has_its_size;
    a_new_size_of_the_window_reaches_an_exec;
    ctrl_c_ends_an_exec_alone;
    a_pod_s_container_gets_a_terminal;
    an_exec_by_cri_gets_a_terminal;
}

/// A program of `kind` that says `ready` and copies what is typed, on a terminal.
fn echoer(scene: &Scene, kind: Kind) -> Terminal {
    let mut terminal = scene.docker(kind).image("both").flag("-it").command(kind.echoer()).on_terminal();
    terminal.expect("ready\r\n");
    terminal
}

fn what_is_typed_comes_back_and_reaches_the_program(scene: &Scene, kind: Kind) {
    let mut terminal = echoer(scene, kind);
    for line in ["first", "second line", "third"] {
        terminal.write(&format!("{line}\n"));
        terminal.expect(&format!("{line}\r\n{line}\r\n"));
    }
}

fn output_without_a_keyboard_has_a_terminal_s_line_ends(scene: &Scene, kind: Kind) {
    let words = kind.either(vec!["/hello.wasm", "word"], vec!["sh", "-c", "echo hello from wasm; echo word"]);
    scene.docker(kind).flag("-t").run(words).exits(0).prints("hello from wasm\r\nword\r\n");
}

fn both_streams_come_by_the_terminal(scene: &Scene, kind: Kind) {
    let words = kind.either(vec!["/both.wasm"], vec!["sh", "-c", "echo to stdout; echo to stderr >&2"]);
    scene.docker(kind).flag("-t").run(words).exits(0).prints("to stdout\r\nto stderr\r\n").complains("");
}

/// Words that tell which streams are terminals.
fn teller(kind: Kind) -> Vec<&'static str> {
    let script = "for fd in 0 1 2; do test -t $fd && echo $fd=true || echo $fd=false; done";
    kind.either(vec!["/terminal.wasm"], vec!["sh", "-c", script])
}

#[track_caller]
fn expect_three(told: &e2e::Finished, answer: &str) {
    assert!(told.stdout.matches(answer).count() == 3, "expected {answer:?} for each: {:?}\n{told}", told.lines());
}

fn the_three_streams_are_terminals(scene: &Scene, kind: Kind) {
    let told = scene.docker(kind).flag("-t").run(teller(kind)).exits(0);
    expect_three(&told, "=true");
}

fn the_three_streams_are_no_terminals_otherwise(scene: &Scene, kind: Kind) {
    let told = scene.docker(kind).run(teller(kind)).exits(0);
    expect_three(&told, "=false");
}

fn the_program_knows_the_terminal_s_name(scene: &Scene, kind: Kind) {
    scene.docker(kind).flag("-t").run(["tty"]).exits(0).prints("/dev/pts/0\r\n");
}

fn the_terminal_is_the_controlling_one(scene: &Scene, kind: Kind) {
    let script = "echo by name >/dev/tty; echo by console >/dev/console; cut -d ' ' -f 6,7,8 /proc/self/stat";
    e2e::expect_as_under_runc(kind, |kind| {
        let run = scene.docker(kind).flag("-t").run(["sh", "-c", script]).exits(0);
        assert!(run.stdout.starts_with("by name\r\nby console\r\n"), "{run}");
        // The session, the terminal's number without its device's minor, the process group in the foreground.
        run.lines().iter().map(ToString::to_string).collect()
    });
}

fn the_terminal_belongs_to_the_user(scene: &Scene, kind: Kind) {
    let script = "stat -c '%u %a' $(tty); echo open >$(tty)";
    e2e::expect_as_under_runc(kind, |kind| {
        let run = scene.docker(kind).flags(["-t", "-u", "app"]).run(["sh", "-c", script]).exits(0);
        run.lines().iter().map(ToString::to_string).collect()
    });
}

/// A script that tells the size of its window at the start and whenever it changes.
const SIZES: &str = "trap 'echo size $(stty size)' WINCH; echo size $(stty size); while :; do sleep 0.05; done";

fn the_window_has_its_size_from_the_start(scene: &Scene, kind: Kind) {
    let words = ["sh", "-c", "stty size"];
    let terminal = scene.docker(kind).flag("-it").command(words).on_terminal();
    let finished = terminal.end().exits(0);
    assert_eq!(finished.stdout, "24 80\r\n", "{finished}");
}

fn a_new_size_of_the_window_reaches_the_program(scene: &Scene, kind: Kind) {
    let mut terminal = scene.docker(kind).flag("-it").command(["sh", "-c", SIZES]).on_terminal();
    terminal.expect("size 24 80\r\n");
    terminal.resize(30, 100, "size 30 100\r\n");
    terminal.resize(10, 20, "size 10 20\r\n");
}

/// A program that says `ready` and goes on until it is interrupted. As the first process of a pid namespace a Linux
/// program has to ask for the signal.
fn interruptible(kind: Kind) -> Vec<&'static str> {
    let script = "trap 'exit 130' INT; echo ready; while :; do sleep 0.1; done";
    kind.either(vec!["/cat.wasm", "ready"], vec!["sh", "-c", script])
}

fn ctrl_c_ends_the_program(scene: &Scene, kind: Kind) {
    let mut terminal = scene.docker(kind).flag("-it").command(interruptible(kind)).on_terminal();
    terminal.expect("ready\r\n");
    terminal.write("\x03");
    terminal.end().exits(130);
}

fn ctrl_d_ends_the_input(scene: &Scene, kind: Kind) {
    let mut terminal = echoer(scene, kind);
    terminal.write("last\n");
    terminal.expect("last\r\nlast\r\n");
    terminal.write("\x04");
    terminal.end().exits(0);
}

fn detached_and_attached_again_it_goes_on(scene: &Scene, kind: Kind) {
    let container = scene.docker(kind).image("both").flag("-it").create(kind.echoer());
    let mut terminal = docker(["start", "-ai", &container.name]).on_terminal();
    terminal.expect("ready\r\n");
    terminal.write("one\n");
    terminal.expect("one\r\none\r\n");
    terminal.write("\x10\x11");
    terminal.end();
    assert_eq!(container.inspect(".State.Running"), "true");
    let mut terminal = docker(["attach", &container.name]).on_terminal();
    // Typed before the client has made its terminal raw, a line would come back from there too.
    until("a terminal that is attached", || {
        terminal.write("two\n");
        std::thread::sleep(std::time::Duration::from_millis(50));
        container.logs().stdout.contains("two\r\ntwo\r\n").then_some(())
    });
    terminal.expect("two\r\n");
    terminal.write("\x04");
    terminal.end().exits(0);
}

fn the_exit_code_is_passed_on(scene: &Scene, kind: Kind) {
    for code in [0, 7, 255] {
        scene.docker(kind).flag("-it").command(kind.exiter(code)).on_terminal().end().exits(code);
    }
}

fn long_output_is_complete(scene: &Scene, kind: Kind) {
    let words = kind.either(["/spew.wasm", "20000"], ["seq", "20000"]);
    let run = scene.docker(kind).flag("-t").run(words).exits(0);
    let number = |line: &str| line.split([' ', '\r']).next()?.parse::<u32>().ok();
    assert!(run.stdout.ends_with("\r\n"), "the end is missing");
    assert!(run.lines().into_iter().map(number).eq((1..=20_000).map(Some)), "{} lines came", run.lines().len());
}

fn the_log_has_what_was_on_the_terminal(scene: &Scene, kind: Kind) {
    let words = kind.either(vec!["/both.wasm"], vec!["sh", "-c", "echo to stdout; echo to stderr >&2"]);
    let (run, container) = scene.docker(kind).flag("-t").keep(words);
    run.exits(0);
    container.logs().prints("to stdout\r\nto stderr\r\n").complains("");
}

fn ctr_run_gives_a_terminal(scene: &Scene, kind: Kind) {
    let mut terminal = scene.ctr(kind).image("both").flags(["-t"]).command(kind.echoer()).on_terminal();
    // ctr lets its own terminal add a carriage return to the container's.
    terminal.expect("ready\r\r\n");
    terminal.write("typed\n");
    terminal.expect("typed\r\r\ntyped\r\r\n");
    terminal.write("\x04");
    terminal.end().exits(0);
}

fn an_exec_gets_a_terminal(scene: &Scene, kind: Kind) {
    let container = super::exec::container(scene, kind);
    let told = container.exec(&["-it"], teller(kind)).on_terminal().end().exits(0);
    expect_three(&told, "=true\r\n");
    let mut terminal = container.exec(&["-it"], kind.echoer()).on_terminal();
    terminal.expect("ready\r\n");
    terminal.write("typed\n");
    terminal.expect("typed\r\ntyped\r\n");
    terminal.write("\x04");
    terminal.end().exits(0);
    container.exec(&["-it"], kind.exiter(7)).on_terminal().end().exits(7);
}

fn an_exec_s_window_has_its_size(scene: &Scene, kind: Kind) {
    let container = super::exec::container(scene, kind);
    let finished = container.exec(&["-it"], ["stty", "size"]).on_terminal().end().exits(0);
    assert_eq!(finished.stdout, "24 80\r\n", "{finished}");
}

fn a_new_size_of_the_window_reaches_an_exec(scene: &Scene, kind: Kind) {
    let container = super::exec::container(scene, kind);
    let mut terminal = container.exec(&["-it"], ["sh", "-c", SIZES]).on_terminal();
    terminal.expect("size 24 80\r\n");
    terminal.resize(30, 100, "size 30 100\r\n");
    terminal.write("\x03");
    terminal.end().exits(130);
}

fn ctrl_c_ends_an_exec_alone(scene: &Scene, kind: Kind) {
    let container = super::exec::container(scene, kind);
    let mut terminal = container.exec(&["-it"], interruptible(kind)).on_terminal();
    terminal.expect("ready\r\n");
    terminal.write("\x03");
    terminal.end().exits(130);
    assert!(container.init().lives());
}

fn a_pod_s_container_gets_a_terminal(scene: &Scene, kind: Kind) {
    let pod = scene.pod(kind);
    let container = pod.container_with(kind, &kind.echoer(), |config| {
        config["tty"] = true.into();
        config["stdin"] = true.into();
    });
    container.says("ready");
    let mut terminal = e2e::cri::crictl(["attach", "-it", &container.id]).on_terminal();
    until("a terminal that is attached", || {
        terminal.write("typed\n");
        std::thread::sleep(std::time::Duration::from_millis(50));
        // The log of a pod's container has the lines, without their ends.
        container.logs().stdout.contains("typed\ntyped\n").then_some(())
    });
    terminal.expect("typed\r\n");
    terminal.write("\x04");
    assert_eq!(container.wait(), 0);
}

fn an_exec_by_cri_gets_a_terminal(scene: &Scene, kind: Kind) {
    let pod = scene.pod(kind);
    let container = pod.container(kind, &kind.sleeper());
    container.says("sleeping");
    let words = kind.either(vec!["/terminal.wasm"], teller(kind));
    let told = e2e::cri::crictl(["exec", "-it", &container.id]).args(words).on_terminal().end().exits(0);
    expect_three(&told, "=true\r\n");
}
