# shellcheck shell=bash
# The binaries for an architecture, which may be another than the machine's.

rust_target() {
    case $1 in
    amd64) printf x86_64-unknown-linux-gnu ;;
    arm64) printf aarch64-unknown-linux-gnu ;;
    *) die "there is no release for the architecture $1: amd64, arm64" ;;
    esac
}

# Where cargo puts what is built for an architecture.
binaries_dir() {
    if [ "$1" = "$(dpkg --print-architecture)" ]; then
        printf '%s/release' "$(target_dir)"
    else
        printf '%s/%s/release' "$(target_dir)" "$(rust_target "$1")"
    fi
}

# build_for ARCH: engine and shim.
build_for() {
    if [ "$1" = "$(dpkg --print-architecture)" ]; then
        build_product
    elif [ "${NODE_SKIP_BUILD:-}" = 1 ]; then
        say "build for $1: skipped (NODE_SKIP_BUILD=1)"
    else
        build_elsewhere "$1"
    fi
}

build_elsewhere() {
    local arch=$1 target
    target=$(rust_target "$arch")
    say "build for $arch: both binaries, to $(binaries_dir "$arch")"
    elsewhere "$arch" cargo build --release --locked --target "$target" --package wasmedge-engine >&2 &&
        elsewhere "$arch" cargo rustc --release --locked --target "$target" --package containerd-shim-wasmedge \
            --bin containerd-shim-wasmedge-v1 -- "${shim_flags[@]}" >&2 ||
        die "step failed: cargo build for $arch, see above"
}

# build_kubernetes ARCH: what the image has beside the one file, linked statically as that. Apart from the others, whose
# dependencies would be built with its features.
build_kubernetes() {
    local arch=$1 build=(cargo rustc --release --locked --package wasmedge-kubernetes)
    if [ "${NODE_SKIP_BUILD:-}" = 1 ]; then
        say "wasmedge-kubernetes for $arch: skipped (NODE_SKIP_BUILD=1)"
        return
    fi
    say "build for $arch: wasmedge-kubernetes"
    if [ "$arch" = "$(dpkg --print-architecture)" ]; then
        (cd "$repo" && anywhere "${build[@]}" -- -C target-feature=+crt-static) >&2
    else
        elsewhere "$arch" "${build[@]}" --target "$(rust_target "$arch")" -- -C target-feature=+crt-static >&2
    fi || die "step failed: cargo build of wasmedge-kubernetes for $arch, see above"
}

# elsewhere ARCH COMMAND…: runs cargo with Debian's cross compiler, and with the libraries of the packages that are packed too.
elsewhere() {
    local arch=$1 target triplet lib sdk variable
    shift
    target=$(rust_target "$arch")
    triplet=$(triplet "$arch")
    host_packages+=("gcc-${triplet//_/-}" "libc6-dev-$arch-cross")
    ensure_host_packages
    [ -d "$(rustc --print sysroot)/lib/rustlib/$target" ] ||
        step "$cache_dir/rustup.log" "host: rustup target add $target" rustup target add "$target"
    lib=$(packages_dir "$arch")/root/usr/lib/$triplet sdk=$repo/target/dist/sdk-$arch
    mkdir -p "$sdk"
    ln -sfn "$lib/libwasmedge.so.0" "$sdk/libwasmedge.so"
    ln -sfn "$lib/libseccomp.so.2" "$sdk/libseccomp.so"
    ln -sfn "$lib/libz.so.1" "$sdk/libz.so"
    # libbpf is linked with it, and nothing of libbpf that needs it is called.
    [ -e "$sdk/libelf.a" ] || ar rc "$sdk/libelf.a"
    variable=${target//-/_}
    with_lock "$cache_dir/sdk.lock" copy_sdk >/dev/null
    anywhere env -C "$repo" "CARGO_TARGET_${variable^^}_LINKER=$(compiler "$arch")" "CC_$variable=$(compiler "$arch")" \
        "BINDGEN_EXTRA_CLANG_ARGS_$variable=--target=$triplet" WASMEDGE_LIB_DIR="$sdk" LIBSECCOMP_LIB_PATH="$sdk" "$@"
}
