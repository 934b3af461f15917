//! A trap is exit code 134 and one line that says what happened.

use e2e::{Kind, Scene};

/// Runs a module that traps, after `output`, and expects each of `causes` in the message.
fn expect_trap(words: &[&str], output: &str, causes: &[&str]) {
    let scene = Scene::new();
    // The limit protects the node from a stack that grows without bound.
    let (run, container) = scene.docker(Kind::Wasm).flags(["-m", "256m"]).keep(words.iter().copied());
    let expected: Vec<&str> = [words[0], "trapped"].iter().chain(causes).copied().collect();
    run.exits(134).prints(output).says_in_one_line(&expected);
    container.logs().prints(output).says_in_one_line(&expected);
}

#[test]
fn unreachable() {
    expect_trap(&["/trap.wasm", "unreachable"], "trapping: unreachable\n", &["unreachable"]);
}

#[test]
fn out_of_bounds() {
    expect_trap(&["/trap.wasm", "out-of-bounds"], "trapping: out-of-bounds\n", &["out of bounds memory access"]);
}

#[test]
fn stack_overflow_of_the_guest_s_own_stack() {
    expect_trap(&["/trap.wasm", "stack-overflow"], "trapping: stack-overflow\n", &[]);
}

#[test]
fn a_panic_s_message_comes_before_the_trap() {
    let scene = Scene::new();
    let run = scene.docker(Kind::Wasm).run(["/trap.wasm", "panic"]).exits(134);
    let run = run.says_in_one_line(&["panicked at"]).says_in_one_line(&["as asked"]).says_in_one_line(&["trapped"]);
    let (message, trap) = (run.stderr.find("as asked"), run.stderr.find("trapped"));
    assert!(message < trap, "{run}");
}

#[test]
fn division_by_zero() {
    expect_trap(&["/divide-by-zero.wasm"], "", &["divide by zero"]);
}

#[test]
fn endless_recursion() {
    expect_trap(&["/endless-recursion.wasm"], "", &[]);
}

#[test]
fn a_trap_before_the_first_line_of_the_program() {
    expect_trap(&["/start-traps.wasm"], "", &["unreachable"]);
}
