//! The images of the end-to-end tests.
//!
//! | image | what it has |
//! |---|---|
//! | `wasm` | every module of test/workloads as `/NAME.wasm`; `/etc/passwd` with `app` (1000), `/data`, `/links`, `/work`, `/tmp` |
//! | `hello-wasm` | `/hello.wasm` alone, as the entrypoint: the smallest image, for measurements |
//! | `hello-wasi` | the same for the platform wasi/wasm |
//! | `artifact-*` | Wasm OCI artifacts: see `artifacts` |
//! | `hello-relative` | entrypoint `hello.wasm`, working directory `/app`, where it is |
//! | `hello-path` | entrypoint `hello.wasm`, to be found through the image's `PATH` |
//! | `labelled` | what `wasm` has, and labels by which its author sets limits |
//! | `labelled-aot` | the same with a label by which no author sets anything |
//! | `busybox` | Linux: Debian's static busybox and its applets |
//! | `both` | what `wasm` and `busybox` have: for programs of the one kind beside the other's |
//! | `pause` | Linux: a program that waits for SIGTERM or SIGINT, for pods |
//! | `hostile` | files that bring native code near the engine: see `hostile` |
//! | `hostile-env` | the same files, and the environment to make them work |
//!
//! Those of the measurements are in [`bench`].

mod artifacts;
pub mod bench;
mod cargo;
mod hostile;
pub mod image;
pub mod layer;
pub mod modules;
pub mod native;

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use oci_spec::image::{Arch, Os};

use image::{Defaults, Image};
use layer::Layer;
use modules::Modules;

const PATH: &str = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Every image with its short name. Compiles the workloads first; `root` is a Debian tree to take busybox from.
/// Intermediate files go to the repository's target folder, and so does the plugin of the tests, `wasmedge_test.so`.
pub fn all(root: Option<&Path>) -> Result<Vec<(&'static str, Image)>> {
    let work = work_folder()?;
    native::plugin(&work, &Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/wasmedge/include"))?;
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let modules = modules::build(&here.join("../workloads"), &here.join("../../examples"), &work.join("workloads"))?;

    let hello = &modules["hello"];
    let mut hello_at_root = Layer::default();
    hello_at_root.file("hello.wasm", 0o755, hello.clone());
    let mut hello_in_app = Layer::default();
    hello_in_app.file("app/hello.wasm", 0o755, hello.clone());
    let hello_at_root = &[hello_at_root];
    let hello_in_app = &[hello_in_app];
    let hostile = hostile::layers(&modules, &work)?;
    let (wasm, busybox) = (wasm(&modules), busybox(native::busybox(root, &work)?));

    let mut thief = Layer::default();
    thief.file("thief", 0o755, native::static_program("thief", &work)?);

    let absolute = Defaults { entrypoint: vec!["/hello.wasm"], env: vec![PATH], ..Defaults::default() };
    let relative =
        Defaults { entrypoint: vec!["hello.wasm"], env: vec![PATH], working_dir: "/app", ..Defaults::default() };
    let by_path = Defaults { entrypoint: vec!["hello.wasm"], env: vec!["PATH=/bin:/app"], ..Defaults::default() };
    let limits =
        vec![("io.wasmedge.gas-limit", "3000000"), ("io.wasmedge.statistics", "true"), ("maintainer", "nobody")];
    let labelled = |labels| Defaults { labels, ..command("/hello.wasm") };
    let mut images = vec![
        ("labelled", linux("labelled", std::slice::from_ref(&wasm), labelled(limits))?),
        (
            "labelled-aot",
            linux("labelled-aot", std::slice::from_ref(&wasm), labelled(vec![("io.wasmedge.aot", "require")]))?,
        ),
        ("wasm", linux("wasm", std::slice::from_ref(&wasm), command("/hello.wasm"))?),
        ("hello-wasm", linux("hello-wasm", hello_at_root, absolute.clone())?),
        ("hello-wasi", Image::rootfs("hello-wasi", "wasi".into(), Arch::Wasm, hello_at_root, absolute)?),
        ("hello-relative", linux("hello-relative", hello_in_app, relative)?),
        ("hello-path", linux("hello-path", hello_in_app, by_path)?),
        ("busybox", linux("busybox", std::slice::from_ref(&busybox), command("/bin/sh"))?),
        ("both", linux("both", &[busybox, wasm.clone(), thief], command("/bin/sh"))?),
        ("pause", pause(&work)?),
        ("hostile", linux("hostile", &hostile, command("/world.wasm"))?),
        ("hostile-env", linux("hostile-env", &hostile, hostile::environment())?),
    ];
    images.extend(artifacts::all(&modules)?);
    Ok(images)
}

/// The folder for intermediate files, which is made if need be.
fn work_folder() -> Result<PathBuf> {
    let work = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/test-images");
    fs::create_dir_all(&work).with_context(|| format!("creating {}", work.display()))?;
    Ok(work.canonicalize()?)
}

fn linux(name: &str, layers: &[Layer], defaults: Defaults) -> Result<Image> {
    Image::rootfs(name, Os::Linux, Arch::Amd64, layers, defaults)
}

fn command(program: &'static str) -> Defaults {
    Defaults { cmd: vec![program], env: vec![PATH], ..Defaults::default() }
}

/// What programs expect of a root file system: users, and a place for temporary files.
fn base() -> Layer {
    let mut layer = Layer::default();
    layer
        .file("etc/passwd", 0o644, "root:x:0:0:root:/:/bin/sh\napp:x:1000:1000:app:/work:/bin/sh\n")
        .file("etc/group", 0o644, "root:x:0:\napp:x:1000:\nstaff:x:50:app\n")
        .directory("tmp", 0o1777);
    layer
}

fn wasm(modules: &Modules) -> Layer {
    let mut layer = base();
    for (name, bytes) in modules {
        layer.file(&format!("{name}.wasm"), 0o755, bytes.clone());
    }
    layer
        .file("data/greeting", 0o644, "hello from the image\n")
        .file("data/secret", 0o600, "for root alone\n")
        .symlink("links/up", "../../../..")
        .symlink("links/proc", "/proc")
        .directory("work", 0o755)
        .own("work", 1000);
    layer
}

fn busybox(busybox: native::Busybox) -> Layer {
    let mut layer = base();
    layer.file("bin/busybox", 0o755, busybox.program);
    for applet in busybox.applets {
        layer.hard_link(&format!("bin/{applet}"), "bin/busybox");
    }
    layer
}

fn pause(work: &Path) -> Result<Image> {
    let mut layer = Layer::default();
    layer.file("pause", 0o755, native::program("pause", work)?);
    linux("pause", &[layer], Defaults { entrypoint: vec!["/pause"], ..Defaults::default() })
}
