//! Many containers at a time.

use std::{
    sync::atomic::{AtomicUsize, Ordering},
    thread,
};

use e2e::{Kind, Scene, engine};

/// Runs `total` containers, eight at a time, the n-th of which must exit with n modulo 256.
fn run_many(total: usize, of: impl Fn(usize) -> (Kind, Vec<String>)) {
    let scene = Scene::new();
    let runs: Vec<_> = (0..total).map(|number| (scene.ctr(of(number).0), of(number).1)).collect();
    let next = AtomicUsize::new(0);
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                while let Some((run, words)) = runs.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let number = run.run(words.clone());
                    let code = words.last().and_then(|word| word.rsplit(' ').next()?.parse::<i32>().ok());
                    number.exits(code.expect("the last word is the exit code")).complains("");
                }
            });
        }
    });
    assert_eq!(engine::shims(), []);
}

#[test]
fn two_hundred_modules_eight_at_a_time_have_the_right_exit_codes() {
    run_many(200, |number| (Kind::Wasm, vec!["/exit.wasm".into(), (number % 256).to_string()]));
}

#[test]
fn modules_and_linux_programs_run_side_by_side() {
    run_many(64, |number| match number % 2 {
        0 => (Kind::Wasm, vec!["/exit.wasm".into(), number.to_string()]),
        _ => (Kind::Linux, vec!["sh".into(), "-c".into(), format!("exit {number}")]),
    });
}
