# shellcheck shell=bash
# From the checkout to the node: WasmEdge's headers and library for the build, the build, the installation.

# Two folders that hold WasmEdge and nothing else: the root's whole /usr/include and /usr/lib would shadow the host's
# libc. Copied anew only from another root, so the build does not see new files each time.
copy_sdk() {
    local root sdk=$repo/target/wasmedge lib
    root=$(root_path)
    if [ "$(cat "$sdk/.root" 2>/dev/null)" != "$root" ]; then
        lib=$(dirname "$(find "$root/usr/lib" -name libwasmedge.so -print -quit)")
        rm -rf "$sdk"
        mkdir -p "$sdk/include" "$sdk/lib"
        cp -a "$root/usr/include/wasmedge" "$sdk/include/"
        cp -a "$lib"/libwasmedge.so* "$sdk/lib/"
        printf '%s\n' "$root" >"$sdk/.root"
    fi
    printf '%s\n' "$sdk"
}

product_binaries=(containerd-shim-wasmedge-v1 wasmedge-engine)

target_dir() {
    local dir=${CARGO_TARGET_DIR:-$repo/target}
    (cd "$repo" && realpath -m "$dir") # a relative one counts from where cargo runs
}

# The shim is linked statically: containerd executes it twice for each container, and the dynamic linker would take a third
# of the time. Its relocations, which it works through at each start, are in their packed form: 260 kB less to read. The engine
# cannot be static: it loads libwasmedge. Each apart, as only the last crate's flags differ.
shim_flags=(-C target-feature=+crt-static -C link-arg=-Wl,-z,pack-relative-relocs)
cargo_build() {
    anywhere cargo build --release --locked --package wasmedge-engine &&
        anywhere cargo rustc --release --locked --package containerd-shim-wasmedge --bin containerd-shim-wasmedge-v1 \
            -- "${shim_flags[@]}"
}

# anywhere COMMAND…: runs cargo so that what it builds does not depend on where checkout, target directory and crates lie. Their
# paths stand in messages of panics, and in the order of what is linked.
anywhere() {
    local home=${CARGO_HOME:-${HOME:-/root}/.cargo} registry flags
    (cd "$repo" && cargo fetch --quiet --locked) || return 1
    # The last one that fits counts.
    flags=(--remap-path-prefix="$repo"=/checkout --remap-path-prefix="$(target_dir)"=/checkout/target)
    for registry in "$home"/registry/src/*/; do
        flags+=(--remap-path-prefix="${registry%/}"=/crates)
    done
    env CARGO_ENCODED_RUSTFLAGS="$(IFS=$'\x1f' && printf '%s' "${flags[*]}")" "$@"
}

build_product() {
    if [ "${NODE_SKIP_BUILD:-}" = 1 ]; then
        say "build: skipped (NODE_SKIP_BUILD=1)"
    elif [ ! -e "$repo/Cargo.toml" ]; then
        say "build: skipped, there is no Cargo.toml in $repo"
    else
        ensure_rust
        with_lock "$cache_dir/sdk.lock" copy_sdk >/dev/null
        say "build: both binaries, to $(target_dir)/release"
        (cd "$repo" && cargo_build) >&2 || die "step failed: cargo build, see above"
    fi
}

# What a node gets: both binaries as they are built, or, where NODE_PACKED is 1, the one file that is released, with a link to it
# by which the engine's commands are found.
product_files() {
    local packed
    if [ "${NODE_PACKED:-}" != 1 ]; then
        printf '%s\n' "${product_binaries[@]/#/$(target_dir)/release/}"
        return
    fi
    packed=$repo/target/dist/work/$(dpkg --print-architecture)/${product_binaries[0]}
    [ -e "$packed" ] || die "there is no $packed: make dist"
    printf '%s\n' "$packed"
}

# By copy and rename: what runs keeps its file, and nobody sees half a one. Through /proc, as only the node's own mounts
# may write to an overlay in use.
install_product() {
    local bin=/proc/$1/root/usr/local/bin name source
    while read -r source; do
        name=${source##*/}
        if [ ! -e "$source" ]; then
            say "install: no $source yet"
        elif [ -L "$bin/$name" ] || ! cmp -s "$source" "$bin/$name"; then
            install -m 755 "$source" "$bin/.$name.new"
            mv "$bin/.$name.new" "$bin/$name"
            say "install: $name"
        fi
    done < <(product_files)
    [ "${NODE_PACKED:-}" != 1 ] || ln -sfn "${product_binaries[0]}" "$bin/${product_binaries[1]}"
}
