//! Files by which an image could bring native code into the process that runs its module. Each of the shared objects
//! creates a file named after its way in when it is loaded, so that a test can tell:
//!
//! | way in | files | mark |
//! |---|---|---|
//! | an ELF named as the module | `/elf.wasm` | `/elf-was-here` |
//! | a module with precompiled code (the engine must not take it) | `/aot.wasm` | none: the code is bogus |
//! | glibc's name service, at a lookup of the guest | `/etc/nsswitch.conf`, `libnss_evil.so.2` | `/nss-was-here` |
//! | glibc's character sets | `/usr/lib/x86_64-linux-gnu/gconv/` | `/gconv-was-here` |
//! | WasmEdge's plugins | `/plugin/`, `WASMEDGE_PLUGIN_PATH` | `/plugin-was-here` |
//! | the dynamic linker | `/preload.so`, `LD_PRELOAD` | `/preload-was-here` |
//!
//! Beside them are the modules to make the attempts with: hello, world, resolve and tcp-get.

use std::path::Path;

use anyhow::Result;

use crate::base;
use crate::image::Defaults;
use crate::layer::Layer;
use crate::modules::Modules;
use crate::native::trap_library;

const LIBRARIES: [&str; 2] = ["lib/x86_64-linux-gnu", "usr/lib/x86_64-linux-gnu"];
const NSSWITCH: &str = "passwd: evil files\ngroup: evil files\nhosts: evil files dns\nservices: evil files\n";
const GCONV_MODULES: &str = "\
module UTF-8// INTERNAL EVIL 1
module INTERNAL UTF-8// EVIL 1
module UTF-16// INTERNAL EVIL 1
module INTERNAL UTF-16// EVIL 1
module ISO-8859-1// INTERNAL EVIL 1
module INTERNAL ISO-8859-1// EVIL 1
";

pub fn layers(modules: &Modules, work: &Path) -> Result<Vec<Layer>> {
    let library = |mark| trap_library("mark", mark, work);
    let mut layer = base();
    for name in ["hello", "world", "resolve", "tcp-get"] {
        layer.file(&format!("{name}.wasm"), 0o755, modules[name].clone());
    }
    layer
        .file("aot.wasm", 0o755, modules["precompiled"].clone())
        .file("elf.wasm", 0o755, library("/elf-was-here")?)
        .file("preload.so", 0o755, library("/preload-was-here")?)
        .file("plugin/libwasmedgePluginEvil.so", 0o755, library("/plugin-was-here")?)
        .file("etc/nsswitch.conf", 0o644, NSSWITCH);
    for folder in LIBRARIES {
        layer.file(&format!("{folder}/libnss_evil.so.2"), 0o755, library("/nss-was-here")?);
    }
    let gconv = "usr/lib/x86_64-linux-gnu/gconv";
    layer.file(&format!("{gconv}/EVIL.so"), 0o755, library("/gconv-was-here")?).file(
        &format!("{gconv}/gconv-modules"),
        0o644,
        GCONV_MODULES,
    );
    Ok(vec![layer])
}

/// The variables by which an image would make its files work, and a `PATH` of its own.
pub fn environment() -> Defaults {
    Defaults {
        cmd: vec!["/world.wasm"],
        env: vec![
            "PATH=/evil:/bin",
            "LD_PRELOAD=/preload.so",
            "LD_LIBRARY_PATH=/lib/x86_64-linux-gnu",
            "GCONV_PATH=/usr/lib/x86_64-linux-gnu/gconv",
            "WASMEDGE_PLUGIN_PATH=/plugin",
            "CHARSET=EVIL",
            "RUST_LOG=trace",
        ],
        ..Defaults::default()
    }
}
