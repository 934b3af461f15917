//! Random modules, interpreted and as native code of each level: what can be seen of them must be the same.
//!
//! `differential [--from N] [--count N] [--keep DIRECTORY]`; `differential --module FILE`; `differential
//! --show N` prints what is seen of module N. Module N is always the same.
//! Each way is a process of its own, as a crash is something to be seen, too. To be run where libwasmedge is.

use std::{
    fs,
    io::{Read, Write},
    path::{Path, PathBuf},
    process::ExitCode,
    time::Instant,
};

use nix::{
    sys::{
        resource::{Resource, setrlimit},
        wait::{WaitStatus, waitpid},
    },
    unistd::{ForkResult, alarm, fork},
};
use wasm_smith::{Config, Module};
use wasmedge_engine::fuzz::{interpreted, native};
use wasmedge_shim_protocol::Optimization;

const LEVELS: [Optimization; 6] =
    [Optimization::O0, Optimization::O1, Optimization::O2, Optimization::O3, Optimization::Os, Optimization::Oz];

/// Heads of loops and functions that a module may pass.
const FUEL: u32 = 10_000;
/// Longest that one way may take, in seconds.
const PATIENCE: u32 = 60;
/// Most bytes that it may allocate, as a container may: an array may be asked for that the whole machine could not hold.
const MEMORY: u64 = 1 << 30;

#[derive(Default)]
struct Tally {
    modules: u64,
    refused: u64,
    differences: u64,
}

fn main() -> ExitCode {
    let (mut from, mut count, mut keep, mut module) = (0, 100, PathBuf::from("."), None::<PathBuf>);
    let mut args = std::env::args().skip(1);
    while let (Some(name), Some(value)) = (args.next(), args.next()) {
        match name.as_str() {
            "--from" => from = value.parse().expect("a number"),
            "--count" => count = value.parse().expect("a number"),
            "--keep" => keep = value.into(),
            "--module" => module = Some(value.into()),
            "--show" => {
                let module = make(value.parse().expect("a number"));
                print!("{}", apart(MEMORY, || interpreted(&module)));
                return ExitCode::SUCCESS;
            }
            other => panic!("there is no option {other}"),
        }
    }
    let begin = Instant::now();
    let directory = std::env::temp_dir().join(format!("differential-{}", std::process::id()));
    fs::create_dir_all(&directory).expect("a directory for native code");
    let mut tally = Tally::default();
    if let Some(path) = module {
        look(&path.display().to_string(), &fs::read(&path).expect("the module"), &directory, &mut tally);
    } else {
        for number in from..from + count {
            let module = make(number);
            if !look(&format!("module {number}"), &module, &directory, &mut tally) {
                fs::create_dir_all(&keep)
                    .and_then(|()| fs::write(keep.join(format!("{number}.wasm")), &module))
                    .unwrap();
            }
        }
    }
    fs::remove_dir_all(&directory).unwrap();
    let Tally { modules, refused, differences } = tally;
    println!(
        "make fuzz-differential: {modules} modules from {from} on, {refused} of them not accepted, interpreted and at {} \
         levels: {differences} differences, {} s",
        LEVELS.len(),
        begin.elapsed().as_secs()
    );
    if differences == 0 && refused * 20 <= modules { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Runs `module` in all ways; whether they are the same.
fn look(name: &str, module: &[u8], directory: &Path, tally: &mut Tally) -> bool {
    tally.modules += 1;
    let wanted = apart(MEMORY, || interpreted(module));
    if wanted.starts_with(REFUSED) {
        tally.refused += 1;
        println!("{name}: {wanted}");
        return true;
    }
    let mut same = true;
    for level in LEVELS {
        let run = |memory| apart(memory, || native(module, level, directory));
        let (mut wanted, mut seen) = (wanted.clone(), run(MEMORY));
        // An array that just has room in one way has none in another, whose process has compiled before. With more room
        // for both that is no difference, and any other stays.
        if seen != wanted {
            (wanted, seen) = (apart(4 * MEMORY, || interpreted(module)), run(4 * MEMORY));
        }
        if seen != wanted {
            tally.differences += 1;
            same = false;
            tell(&format!("{name} at {level}"), &wanted, &seen);
        }
    }
    same
}

/// The first lines that differ.
fn tell(name: &str, wanted: &str, seen: &str) {
    println!("{name} differs:");
    let pairs = wanted.lines().map(Some).chain(std::iter::repeat(None));
    let theirs = seen.lines().map(Some).chain(std::iter::repeat(None));
    let pairs = pairs.zip(theirs).take_while(|(one, other)| one.is_some() || other.is_some());
    for (one, other) in pairs.filter(|(one, other)| one != other).take(4) {
        println!("  interpreted: {}\n  native:      {}", one.unwrap_or_default(), other.unwrap_or_default());
    }
}

const REFUSED: &str = "not accepted: ";

/// What `look` sees, in a process of its own that may allocate so many bytes; or how that ends.
fn apart(memory: u64, look: impl FnOnce() -> Result<String, String>) -> String {
    let (mut reader, mut writer) = std::io::pipe().expect("a pipe");
    // SAFETY: the process has one thread.
    match unsafe { fork() }.expect("a process") {
        ForkResult::Child => {
            drop(reader);
            alarm::set(PATIENCE);
            let _ = setrlimit(Resource::RLIMIT_CORE, 0, 0);
            setrlimit(Resource::RLIMIT_DATA, memory, memory).expect("a bound on memory");
            let seen = look().unwrap_or_else(|cause| format!("{REFUSED}{cause}"));
            let _ = writer.write_all(seen.as_bytes());
            // SAFETY: ends the process without WasmEdge's destructors.
            unsafe { libc::_exit(0) }
        }
        ForkResult::Parent { child } => {
            drop(writer);
            let mut seen = String::new();
            reader.read_to_string(&mut seen).expect("what was seen");
            match waitpid(child, None).expect("an end") {
                WaitStatus::Exited(_, 0) => seen,
                other => format!("{seen}ended: {other:?}").replace(&child.to_string(), "it"),
            }
        }
    }
}

/// Module `number`: of the proposals that are on by default, and such that it ends.
fn make(number: u64) -> Vec<u8> {
    let mut bytes = vec![0; 4096];
    let mut state = number.wrapping_mul(0x9e37_79b9_7f4a_7c15).wrapping_add(1);
    for chunk in bytes.chunks_mut(8) {
        // xorshift64*
        state ^= state >> 12;
        state ^= state << 25;
        state ^= state >> 27;
        chunk.copy_from_slice(&state.wrapping_mul(0x2545_f491_4f6c_dd1d).to_le_bytes());
    }
    let mut module = Module::new(config(number), &mut arbitrary::Unstructured::new(&bytes)).expect("a module");
    module.ensure_termination(FUEL).expect("a module that ends");
    module.to_bytes()
}

fn config(number: u64) -> Config {
    Config {
        // Off by default here, or not known to WasmEdge.
        exceptions_enabled: false,
        memory64_enabled: false,
        threads_enabled: false,
        wide_arithmetic_enabled: false,
        compact_imports_enabled: false,
        custom_page_sizes_enabled: false,
        // Two ways may give two results, as the proposal has it.
        relaxed_simd_enabled: false,
        canonicalize_nans: true,
        gc_enabled: number % 2 == 0,
        max_imports: 0,
        min_funcs: 1,
        max_funcs: 6,
        max_instructions: 150,
        min_memories: 1,
        max_memories: 2,
        max_memory32_bytes: 4 * 65_536,
        memory_max_size_required: true,
        max_tables: 2,
        max_table_elements: 100,
        table_max_size_required: true,
        export_everything: true,
        ..Config::default()
    }
}
