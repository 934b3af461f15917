//! `args_…`, `environ_…`, `clock_…`, `random_get`, `sched_yield`, `proc_…`.

mod program;

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use program::{FAULT, INVAL, NOTSUP, Program, SUCCESS};
use wasmedge_shim_wasi::preview1::Stop;

#[test]
fn arguments_arrive_byte_by_byte_with_zeros_between_them() {
    let mut program = Program::new();
    let (count, size) = (program.room(4), program.room(4));
    assert_eq!(program.call("args_sizes_get", &[count, size]), SUCCESS);
    assert_eq!((program.u32(count), program.u32(size)), (3, 9));
    let (list, buffer) = (program.room(12), program.room(10));
    assert_eq!(program.call("args_get", &[list, buffer]), SUCCESS);
    assert_eq!(program.bytes(buffer, 10), b"name\0\0\xff\xfe\0\xee");
    let at = |index: u64| u64::from(program.u32(list + index * 4)) - buffer;
    assert_eq!([at(0), at(1), at(2)], [0, 5, 6]);
}

#[test]
fn the_environment_arrives_as_the_arguments_do() {
    let mut program = Program::new();
    let (count, size) = (program.room(4), program.room(4));
    assert_eq!(program.call("environ_sizes_get", &[count, size]), SUCCESS);
    assert_eq!((program.u32(count), program.u32(size)), (2, 8));
    let (list, buffer) = (program.room(8), program.room(8));
    assert_eq!(program.call("environ_get", &[list, buffer]), SUCCESS);
    assert_eq!(program.bytes(buffer, 8), b"A=1\0B=\xff\0");
}

#[test]
fn without_room_for_them_arguments_are_a_fault() {
    let mut program = Program::new();
    let end = program.memory.len() as u64;
    for (list, buffer) in [(end - 8, 0), (0, end - 8), (u64::from(u32::MAX), 0), (0, u64::from(u32::MAX))] {
        assert_eq!(program.call("args_get", &[list, buffer]), FAULT);
    }
    assert_eq!(program.call("args_sizes_get", &[0, end - 3]), FAULT);
    assert_eq!(program.call("environ_sizes_get", &[end, 0]), FAULT);
    assert_eq!(program.call("environ_get", &[end, 0]), FAULT);
}

#[test]
fn the_real_time_is_that_of_the_node() {
    let mut program = Program::new();
    let to = program.room(8);
    let before = SystemTime::now();
    assert_eq!(program.call("clock_time_get", &[0, 1, to]), SUCCESS);
    let time = UNIX_EPOCH + Duration::from_nanos(program.u64(to));
    assert!((before..=SystemTime::now()).contains(&time));
}

#[test]
fn the_monotonic_clock_goes_on_and_processor_time_is_what_was_used() {
    let mut program = Program::new();
    let to = program.room(8);
    let mut time = |id| {
        assert_eq!(program.call("clock_time_get", &[id, 0, to]), SUCCESS);
        program.u64(to)
    };
    let (monotonic, process, thread) = (time(1), time(2), time(3));
    let mut sum = 0_u64;
    while time(3) < thread + 5_000_000 {
        sum = (0..10_000).fold(sum, u64::wrapping_add);
    }
    assert!(time(1) >= monotonic + 5_000_000 && time(2) >= process + 5_000_000, "{sum}");
}

#[test]
fn clocks_are_fine_enough_and_others_than_four_there_are_not() {
    let mut program = Program::new();
    let to = program.room(8);
    for id in 0..4 {
        assert_eq!(program.call("clock_res_get", &[id, to]), SUCCESS);
        assert!((1..=10_000_000).contains(&program.u64(to)));
    }
    for id in [4, 5, u64::from(u32::MAX)] {
        assert_eq!(program.call("clock_res_get", &[id, to]), INVAL);
        assert_eq!(program.call("clock_time_get", &[id, 0, to]), INVAL);
    }
    assert_eq!(program.call("clock_time_get", &[0, 0, u64::from(u32::MAX)]), FAULT);
    assert_eq!(program.call("clock_res_get", &[0, u64::from(u32::MAX)]), FAULT);
}

#[test]
fn random_bytes_fill_all_of_the_buffer_and_nothing_beside_it() {
    let mut program = Program::new();
    // More than getrandom(2) gives at once.
    program.memory = vec![0; 40 << 20];
    let (length, end) = (33 << 20, 34 << 20);
    assert_eq!(program.call("random_get", &[1024, length]), SUCCESS);
    let bytes = &program.memory[1024..][..length as usize];
    // A block of 64 zeros comes once in 2^512 blocks.
    assert!(bytes.chunks(64).all(|block| block.iter().any(|byte| *byte != 0)));
    assert!(program.memory[..1024].iter().chain(&program.memory[end..]).all(|byte| *byte == 0));
    assert_eq!(program.call("random_get", &[0, 0]), SUCCESS);
    assert_eq!(program.call("random_get", &[program.memory.len() as u64, 1]), FAULT);
    assert_eq!(program.call("random_get", &[1, u64::from(u32::MAX)]), FAULT);
}

#[test]
fn random_bytes_differ_from_call_to_call() {
    let mut program = Program::new();
    let mut seen = std::collections::HashSet::new();
    let buffer = program.room(8);
    for _ in 0..1000 {
        assert_eq!(program.call("random_get", &[buffer, 8]), SUCCESS);
        assert!(seen.insert(program.u64(buffer)));
    }
}

#[test]
fn an_exit_is_the_guest_s_end_with_its_code() {
    let mut program = Program::new();
    for code in [0, 1, 255, u32::MAX] {
        assert_eq!(program.end("proc_exit", &[code.into()]), Err(Stop::Exit(code)));
    }
}

#[test]
fn a_signal_does_what_is_its_default() {
    let mut program = Program::new();
    // HUP, ABRT, KILL, SEGV, TERM and SYS end it; none, CHLD, CONT, URG and WINCH do nothing.
    for (signal, number) in [(1, 1), (6, 6), (9, 9), (11, 11), (15, 15), (30, 31)] {
        assert_eq!(program.end("proc_raise", &[signal]), Err(Stop::Exit(128 + number)));
    }
    for signal in [0, 16, 17, 22, 27] {
        assert_eq!(program.call("proc_raise", &[signal]), SUCCESS);
    }
    for signal in 18..=21 {
        assert_eq!(program.call("proc_raise", &[signal]), NOTSUP);
    }
    for signal in [31, 64, 255, u64::from(u32::MAX)] {
        assert_eq!(program.call("proc_raise", &[signal]), INVAL);
    }
}

#[test]
fn others_may_run_first() {
    assert_eq!(Program::new().call("sched_yield", &[]), SUCCESS);
}
