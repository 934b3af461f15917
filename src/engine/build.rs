//! libwasmedge may be newer than the build machine's libc: its own symbols are resolved where it is installed. Those
//! of guest/interpose.rs and guest/overflow.rs are for libwasmedge to find.
fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rustc-link-arg=-Wl,--allow-shlib-undefined");
    for symbol in ["epoll_wait", "mmap", "sigaction"] {
        println!("cargo:rustc-link-arg=-Wl,--export-dynamic-symbol={symbol}");
    }
}
