//! Whatever a guest says, a function returns.

mod program;

use std::collections::HashMap;

use program::{Program, exists};
use wasmedge_shim_wasi::{
    Reach,
    preview1::{FUNCTIONS, Stop, Type, find, has},
};

/// Numbers at which something may go wrong.
const EDGES: [u64; 14] = [
    0,
    1,
    3,
    4,
    1024,
    0xf_fff8,
    0xf_ffff,
    0x10_0000,
    0x10_0001,
    0x7fff_ffff,
    0x8000_0000,
    0xffff_fff8,
    0xffff_ffff,
    u64::MAX,
];

/// The next of a row of numbers that look random (xorshift).
fn random(state: &mut u64) -> u64 {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    *state
}

/// Those that would wait for somebody who never comes.
const WAITS: [&str; 1] = ["sock_accept"];

#[test]
fn no_arguments_make_a_function_panic_or_lead_out_of_the_directory() {
    let mut state = 0x9e37_79b9_7f4a_7c15;
    let mut ended: HashMap<&str, [u32; 2]> = HashMap::new();
    for _ in 0..300 {
        let mut program = Program::with(Reach::Beneath, false);
        let outside = program.directory.path().join("../escaped-here");
        let path = program.put("../escaped-here");
        for number in 0..400 {
            let function = &FUNCTIONS[random(&mut state) as usize % FUNCTIONS.len()];
            if WAITS.contains(&function.name) {
                continue;
            }
            let mut args = Vec::new();
            for param in function.params {
                let value = match random(&mut state) % 4 {
                    0 => EDGES[random(&mut state) as usize % EDGES.len()],
                    1 => random(&mut state) % 8,
                    2 => path + random(&mut state) % 16,
                    _ => random(&mut state) % 64,
                };
                args.push(if *param == Type::I32 { value & 0xffff_ffff } else { value });
            }
            let counts = ended.entry(function.name).or_default();
            match program.end(function.name, &args) {
                Ok(()) | Err(Stop::Exit(_)) => counts[0] += 1,
                Err(Stop::Errno(_)) => counts[1] += 1,
            }
            assert!(!exists(&outside), "{} {args:x?} in call {number}", function.name);
            // What was written there may be told to wait for hours.
            program.memory[..1024].fill(0);
        }
    }
    assert_eq!(
        ended.len() + WAITS.len(),
        FUNCTIONS.iter().map(|one| one.name).collect::<std::collections::HashSet<_>>().len()
    );
}

#[test]
fn each_function_says_a_fault_where_there_is_no_memory_at_all() {
    let takes_no_memory = |name: &str| {
        ["fd_close", "fd_renumber", "fd_advise", "fd_allocate", "fd_sync", "fd_datasync", "sched_yield", "proc_"]
            .iter()
            .any(|without| name.starts_with(without))
            || name.contains("_set_")
            || ["sock_shutdown", "sock_listen"].contains(&name)
    };
    for function in FUNCTIONS.iter().filter(|function| !takes_no_memory(function.name)) {
        let mut program = Program::new();
        program.memory = Vec::new();
        let args = vec![1; function.params.len()];
        assert!(program.end(function.name, &args).is_err(), "{}", function.name);
    }
}

#[test]
fn a_function_is_found_by_its_module_name_and_type() {
    use Type::{I32, I64};
    assert!(find("wasi_snapshot_preview1", "fd_close", &[I32], true).is_some());
    assert!(find("wasi_unstable", "fd_close", &[I32], true).is_some());
    assert!(find("wasi_snapshot_preview1", "fd_close", &[I64], true).is_none());
    assert!(find("wasi_snapshot_preview1", "fd_close", &[I32], false).is_none());
    assert!(find("wasi_snapshot_preview1", "proc_exit", &[I32], false).is_some());
    assert!(find("env", "fd_close", &[I32], true).is_none());
    assert!(has("wasi_unstable", "sock_open") && !has("env", "sock_open") && !has("wasi_unstable", "nothing"));
    for params in [2, 3] {
        let accept = find("wasi_snapshot_preview1", "sock_accept", &[I32; 3][..params], true).unwrap();
        assert_eq!(accept.params.len(), params);
    }
}

#[test]
fn all_of_preview_1_is_there_once() {
    // witx/wasi_snapshot_preview1.witx of github.com/WebAssembly/WASI.
    const NAMES: [&str; 46] = [
        "args_get",
        "args_sizes_get",
        "clock_res_get",
        "clock_time_get",
        "environ_get",
        "environ_sizes_get",
        "fd_advise",
        "fd_allocate",
        "fd_close",
        "fd_datasync",
        "fd_fdstat_get",
        "fd_fdstat_set_flags",
        "fd_fdstat_set_rights",
        "fd_filestat_get",
        "fd_filestat_set_size",
        "fd_filestat_set_times",
        "fd_pread",
        "fd_prestat_dir_name",
        "fd_prestat_get",
        "fd_pwrite",
        "fd_read",
        "fd_readdir",
        "fd_renumber",
        "fd_seek",
        "fd_sync",
        "fd_tell",
        "fd_write",
        "path_create_directory",
        "path_filestat_get",
        "path_filestat_set_times",
        "path_link",
        "path_open",
        "path_readlink",
        "path_remove_directory",
        "path_rename",
        "path_symlink",
        "path_unlink_file",
        "poll_oneoff",
        "proc_exit",
        "proc_raise",
        "random_get",
        "sched_yield",
        "sock_accept",
        "sock_recv",
        "sock_send",
        "sock_shutdown",
    ];
    for name in NAMES {
        let count = FUNCTIONS.iter().filter(|function| function.name == name).count();
        assert_eq!(count, if name == "sock_accept" { 2 } else { 1 }, "{name}");
    }
}
