//! Native code: when a module has it, and what happens when it cannot be had.

mod bounds;
mod large;
mod permission;
mod sharing;

use std::{
    fs,
    os::unix::{
        fs::{MetadataExt, PermissionsExt},
        process::ExitStatusExt,
    },
    path::{Path, PathBuf},
    thread,
};

use e2e::{
    Kind, Scene,
    command::command,
    ctr,
    docker::{Container, Run},
    engine,
    process::Process,
    until,
};
use nix::{
    mount::{MntFlags, MsFlags, mount, umount2},
    sys::signal::Signal,
};

/// What a disk may do to a file's content.
type Damage = fn(&mut Vec<u8>);

const CACHE: &str = "/var/lib/containerd-shim-wasmedge/aot";

/// A module that no container of this node has run before.
struct Fresh {
    directory: PathBuf,
    digest: String,
}

impl Fresh {
    /// The module `name` of the test images, with a custom section of its own.
    fn new(scene: &Scene, name: &str) -> Self {
        let built = "../../target/test-images/workloads/wasm32-wasip1/release";
        Self::of(scene, fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join(built).join(name)).unwrap())
    }

    /// The module `bytes`, likewise.
    fn of(scene: &Scene, mut bytes: Vec<u8>) -> Self {
        let mut number = [0; 16];
        let mut random = fs::File::open("/dev/urandom").unwrap();
        std::io::Read::read_exact(&mut random, &mut number).unwrap();
        // A section's id, its length, its name, its content (WebAssembly core specification, custom sections).
        bytes.extend([0, 20, 3, b'e', b'2', b'e']);
        bytes.extend(number);
        let directory = scene.directory().join(scene.name());
        fs::create_dir(&directory).unwrap();
        let path = directory.join("module.wasm");
        fs::write(&path, bytes).unwrap();
        let sum = command("sha256sum").arg(path.display().to_string()).run().stdout;
        Self { directory, digest: sum.split(' ').next().unwrap().to_owned() }
    }

    /// `ctr run` of it, in the namespace `default`, under the runtime's own policy.
    fn ctr(&self, scene: &Scene) -> ctr::Run {
        let mount = format!("--mount=type=bind,src={},dst=/fresh,options=rbind:ro", self.directory.display());
        scene.ctr(Kind::Wasm).flags([mount])
    }

    fn docker(&self, scene: &Scene, policy: &str) -> Run {
        let volume = format!("{}:/fresh:ro", self.directory.display());
        scene.docker(Kind::Wasm).flags(["-v", &volume, "--annotation", &format!("io.wasmedge.aot={policy}")])
    }

    /// Native code of it in the cache, at a level such as `O2`.
    fn native(&self, level: &str) -> Option<PathBuf> {
        let name = format!("{}-{level}.so", self.digest);
        let engines = fs::read_dir(CACHE).into_iter().flatten().flatten();
        engines.map(|engine| engine.path().join(&name)).find(|path| path.exists())
    }

    fn wait_for_native(&self, level: &str) -> PathBuf {
        until(&format!("native code at {level}"), || self.native(level))
    }

    /// How often it was compiled, as the engine's log tells.
    fn compilations(&self, level: &str) -> usize {
        let line = format!("module {} was compiled at {level} ", self.digest);
        engine::log().lines().filter(|text| text.contains(&line)).count()
    }
}

/// The levels of `module`'s native code that a process has mapped, which is at no path of the container any more.
fn mapped(process: &Process, module: &Fresh) -> Vec<&'static str> {
    let maps = fs::read_to_string(process.file("maps")).unwrap();
    // Address, permissions, offset, device, inode, path (proc_pid_maps(5)).
    let inodes: Vec<&str> = maps.lines().filter_map(|line| line.split_whitespace().nth(4)).collect();
    let inode = |level: &str| module.native(level).map(|path| fs::metadata(path).unwrap().ino().to_string());
    ["O0", "O2"].into_iter().filter(|level| inode(level).is_some_and(|inode| inodes.contains(&&*inode))).collect()
}

fn sleeper(module: &Fresh, scene: &Scene, policy: &str) -> Container {
    module.docker(scene, policy).detach(["/fresh/module.wasm", "600"]).says("sleeping").clone()
}

#[test]
fn a_first_start_runs_what_is_soon_compiled_and_a_later_one_what_is_optimized() {
    let scene = Scene::new();
    let module = Fresh::new(&scene, "sleep.wasm");
    assert_eq!(mapped(&sleeper(&module, &scene, "tiered").init(), &module), ["O0"]);
    module.wait_for_native("O2");
    assert_eq!(mapped(&sleeper(&module, &scene, "tiered").init(), &module), ["O2"]);
    assert_eq!((module.compilations("O0"), module.compilations("O2")), (1, 1));
}

#[test]
fn a_container_says_whether_it_wants_native_code() {
    let scene = Scene::new();
    let module = Fresh::new(&scene, "sleep.wasm");
    assert!(mapped(&sleeper(&module, &scene, "off").init(), &module).is_empty());
    assert!(module.native("O0").or(module.native("O2")).is_none(), "off compiles nothing");
    assert_eq!(mapped(&sleeper(&module, &scene, "wait").init(), &module), ["O2"]);
    assert_eq!(mapped(&sleeper(&module, &scene, "require").init(), &module), ["O2"]);
    let refused = module.docker(&scene, "always").run(["/fresh/module.wasm", "1"]);
    refused.fails().says_in_one_line(&["io.wasmedge.aot", "off, tiered, wait or require", "always"]);
}

#[test]
fn a_container_says_how_much_its_native_code_is_optimized() {
    let scene = Scene::new();
    let module = Fresh::new(&scene, "sleep.wasm");
    let at = |level: &str| {
        let annotation = format!("io.wasmedge.aot.level={level}");
        module.docker(&scene, "require").flags(["--annotation", &annotation])
    };
    let container = at("O0").detach(["/fresh/module.wasm", "600"]).says("sleeping").clone();
    assert_eq!(mapped(&container.init(), &module), ["O0"]);
    assert!(module.native("O2").is_none(), "nobody asked for more");
    let refused = at("4").run(["/fresh/module.wasm", "1"]);
    refused.fails().says_in_one_line(&["io.wasmedge.aot.level", "O0, O1, O2, O3, Os or Oz", "4"]);
}

#[test]
fn another_program_in_a_container_runs_native_code_too() {
    let scene = Scene::new();
    let module = Fresh::new(&scene, "sleep.wasm");
    let container = sleeper(&module, &scene, "wait");
    container.exec(&["-d"], ["/fresh/module.wasm", "599"]).run();
    let other = container.process("/fresh/module.wasm 599");
    assert_eq!(mapped(&other, &module), ["O2"]);
}

#[test]
fn many_containers_at_once_need_one_compilation() {
    let scene = Scene::new();
    let module = Fresh::new(&scene, "hello.wasm");
    let runs: Vec<Run> = (0..8).map(|_| module.docker(&scene, "wait")).collect();
    thread::scope(|scope| {
        for run in &runs {
            scope.spawn(move || run.run(["/fresh/module.wasm"]).exits(0));
        }
    });
    assert_eq!(module.compilations("O2"), 1);
}

#[test]
fn a_module_runs_though_its_compiler_is_killed() {
    let scene = Scene::new();
    let module = Fresh::new(&scene, "http.wasm");
    let run = module.docker(&scene, "tiered");
    thread::scope(|scope| {
        let killer = scope.spawn(|| {
            let compilers = || Some(Process::named("wasmedge-aot")).filter(|all| all.len() >= 2);
            until("a compiler", compilers).iter().for_each(Process::kill);
        });
        let container = run.detach(["/fresh/module.wasm", "8080"]);
        killer.join().unwrap();
        assert!(mapped(&container.init(), &module).is_empty(), "interpreted");
    });
    // Whoever insists, gets it.
    let container = module.docker(&scene, "require").detach(["/fresh/module.wasm", "8080"]);
    assert_eq!(mapped(&container.init(), &module), ["O2"]);
}

#[test]
fn what_is_damaged_never_runs_and_is_made_anew() {
    let scene = Scene::new();
    let module = Fresh::new(&scene, "hello.wasm");
    let hello = || module.docker(&scene, "wait").run(["/fresh/module.wasm"]).exits(0).prints("hello from wasm\n");
    hello();
    let native = module.wait_for_native("O2");
    let whole = fs::read(&native).unwrap();
    let damages: [Damage; 3] = [|bytes| bytes.truncate(bytes.len() / 2), |bytes| bytes[4000] ^= 1, Vec::clear];
    for (index, damage) in damages.iter().enumerate() {
        let mut bytes = whole.clone();
        damage(&mut bytes);
        // In place: the same file with other content.
        fs::write(&native, &bytes).unwrap();
        hello();
        assert_eq!(module.compilations("O2"), index + 2);
        assert_eq!(fs::metadata(&native).unwrap().len(), whole.len() as u64);
    }
    // Somebody else may write to it.
    fs::set_permissions(&native, fs::Permissions::from_mode(0o666)).unwrap();
    hello();
    assert_eq!(module.compilations("O2"), damages.len() + 2);
}

#[test]
fn without_room_for_native_code_a_module_is_interpreted_unless_it_is_required() {
    let scene = Scene::new();
    fs::create_dir_all(CACHE).unwrap();
    for (flags, data) in [(MsFlags::MS_RDONLY, "size=1m"), (MsFlags::empty(), "size=32k")] {
        let module = Fresh::new(&scene, "hello.wasm");
        mount(Some("tmpfs"), CACHE, Some("tmpfs"), flags, Some(data)).unwrap();
        let tiered = module.docker(&scene, "tiered").run(["/fresh/module.wasm"]);
        let required = module.docker(&scene, "require").run(["/fresh/module.wasm"]);
        let left =
            fs::read_dir(CACHE).unwrap().flatten().flat_map(|engine| fs::read_dir(engine.path()).unwrap()).count();
        umount2(CACHE, MntFlags::MNT_DETACH).unwrap();
        tiered.exits(0).prints("hello from wasm\n");
        required.fails().says_in_one_line(&["no native code, which is required"]);
        assert_eq!(left, 0, "files of a compilation that failed");
    }
}

#[test]
fn people_warm_list_verify_and_prune_the_cache() {
    let scene = Scene::new();
    let module = Fresh::new(&scene, "hello.wasm");
    let cache = |words: &[&str]| command("wasmedge-engine").arg("cache").args(words.iter().copied());
    let path = module.directory.join("module.wasm").display().to_string();
    let listed = || cache(&["list"]).run().lines().iter().any(|line| line.starts_with(&module.digest[..16]));
    assert!(!listed());
    assert!(cache(&["warm", &path]).run().stdout.contains("compiled in"));
    assert!(cache(&["warm", &path]).run().stdout.contains("is in the cache"));
    assert!(listed());
    let sleeping = Fresh::new(&scene, "sleep.wasm");
    cache(&["warm", "-O", "0", &sleeping.directory.join("module.wasm").display().to_string()]).run();
    assert_eq!(mapped(&sleeper(&sleeping, &scene, "tiered").init(), &sleeping), ["O0"]);
    cache(&["verify"]).run();
    fs::write(module.native("O2").unwrap(), "x").unwrap();
    cache(&["verify"]).finish().fails();
    assert!(!listed());
    cache(&["warm", &path]).run();
    cache(&["prune"]).run();
    assert!(listed(), "what this engine made stays");
    cache(&["prune", "--to", "0"]).run();
    assert!(!listed());
    cache(&["warm", "/bin/busybox"]).finish().fails().says_in_one_line(&["/bin/busybox", "not a WebAssembly module"]);
}

#[test]
fn a_list_ends_with_whoever_reads_it() {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let mut list = std::process::Command::new("wasmedge-engine");
    let output = list.args(["cache", "list"]).stdout(writer).output().unwrap();
    assert_eq!(output.status.signal(), Some(Signal::SIGPIPE as i32), "{output:?}");
    assert!(output.stderr.is_empty(), "{output:?}");
}
