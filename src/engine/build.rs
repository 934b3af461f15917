//! libwasmedge may be newer than the build machine's libc: its own symbols are resolved where it is installed. Those
//! of guest/interpose.rs, guest/overflow.rs and wasm/dynamic_linker.rs are for libwasmedge to find.
fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rustc-link-arg=-Wl,--allow-shlib-undefined");
    for symbol in ["mmap", "sigaction", "dlopen", "dlsym", "dlerror", "dlclose", "open", "stat"] {
        println!("cargo:rustc-link-arg=-Wl,--export-dynamic-symbol={symbol}");
    }
}
