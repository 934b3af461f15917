//! libwasmedge may be newer than the build machine's libc, as in the engine's own build.rs. What runs native code exports the
//! symbols of the engine's program.
fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rustc-link-arg-bins=-Wl,--allow-shlib-undefined");
    for symbol in ["epoll_wait", "mmap", "sigaction", "dlopen", "dlsym", "dlerror", "dlclose", "open", "stat"] {
        println!("cargo:rustc-link-arg-bin=differential=-Wl,--export-dynamic-symbol={symbol}");
    }
}
