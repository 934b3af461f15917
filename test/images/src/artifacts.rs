//! Wasm OCI artifacts: images with modules as layers, which no store unpacks.
//!
//! | image | configuration | layers |
//! |---|---|---|
//! | `artifact-hello` | that of Wasm artifacts | `application/wasm`: hello, without a title |
//! | `artifact-many` | an image's, command `/hello.wasm` | modules under their names, of all media types; `bin/tool`; no root file system |
//! | `artifact-rootfs` | an image's, entrypoint `/app/main.wasm`, working directory `/app` | a root file system with `/data`, and one module |
//! | `artifact-garbage` | an image's | what is no module |
//! | `artifact-component` | an image's | a component |

use anyhow::Result;

use crate::{
    PATH, base,
    image::{Defaults, Image, Module},
    layer::Layer,
    modules::Modules,
};

/// Of a Wasm artifact's layer: the registered one, the CNCF's, and one from before them.
const MEDIA_TYPES: [&str; 3] = [
    "application/wasm",
    "application/vnd.wasm.content.layer.v1+wasm",
    "application/vnd.bytecodealliance.wasm.component.layer.v0+wasm",
];

/// Programs of `artifact-many` with their titles.
const MANY: [(&str, &str); 8] = [
    ("hello", "hello.wasm"),
    ("world", "world.wasm"),
    ("sleep", "sleep.wasm"),
    ("files", "files.wasm"),
    ("exit", "exit.wasm"),
    ("exports", "lib/exports.wasm"),
    ("both", "bin/tool"),
    ("invalid", "invalid.wasm"),
];

pub fn all(modules: &Modules) -> Result<Vec<(&'static str, Image)>> {
    let module = |name: &str, title, kind: usize| {
        let media_type = MEDIA_TYPES[kind % MEDIA_TYPES.len()];
        Module { media_type, title, bytes: modules[name].clone() }
    };
    let many = MANY.iter().enumerate().map(|(number, (name, title))| module(name, Some(*title), number)).collect();
    let defaults = Defaults { cmd: vec!["/hello.wasm"], env: vec![PATH, "FROM=image"], ..Defaults::default() };
    // Nothing else tells images apart whose configurations are the same: CRI knows images by those.
    let one = |word: &'static str| Defaults { cmd: vec!["/hello.wasm", word], env: vec![PATH], ..Defaults::default() };
    let mut root: Layer = base();
    root.file("data/greeting", 0o644, "hello from the image\n");
    let main = Defaults {
        entrypoint: vec!["/app/main.wasm"],
        cmd: vec!["read", "/data/greeting"],
        env: vec![PATH],
        working_dir: "/app",
        ..Defaults::default()
    };
    Ok(vec![
        ("artifact-hello", Image::artifact("artifact-hello", module("hello", None, 0))?),
        ("artifact-many", Image::with_modules("artifact-many", &[], many, defaults)?),
        ("artifact-rootfs", Image::with_modules("artifact-rootfs", &[root], vec![module("files", None, 1)], main)?),
        ("artifact-garbage", Image::with_modules("artifact-garbage", &[], vec![module("garbage", None, 0)], one("1"))?),
        (
            "artifact-component",
            Image::with_modules("artifact-component", &[], vec![module("component", None, 2)], one("2"))?,
        ),
    ])
}
