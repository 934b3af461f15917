# shellcheck shell=bash
# What the host needs: Debian packages for the base root and the build, Rust, the Wasm target.

host_packages=(
    debootstrap debian-archive-keyring ca-certificates mount util-linux iproute2 procps   # the node
    gcc g++ libc6-dev make clang libclang-dev pkg-config protobuf-compiler                # the build
    libseccomp-dev libelf-dev zlib1g-dev                                                  # libcontainer, its eBPF
)

ensure_host_packages() {
    local missing
    mapfile -t missing < <(missing_packages "${host_packages[@]}")
    [ ${#missing[@]} = 0 ] && return
    command -v apt-get >/dev/null || die "these packages are missing, and there is no apt-get here: ${missing[*]}"
    mkdir -p "$cache_dir"
    local log=$cache_dir/host-packages.log
    : >"$log"
    step "$log" "host: apt-get update" apt-get update
    step "$log" "host: installing ${missing[*]}" \
        env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends "${missing[@]}"
}

# dpkg-query alone answers in milliseconds, so a complete host costs no call of apt.
missing_packages() {
    local installed package
    # shellcheck disable=SC2016 # dpkg-query's own variables
    installed=$(dpkg-query -W -f '${Package} ${db:Status-Status}\n' "$@" 2>/dev/null || true)
    for package in "$@"; do
        grep -qxF "$package installed" <<<"$installed" || printf '%s\n' "$package"
    done
}

ensure_rust() {
    if ! command -v cargo >/dev/null && [ -x "${HOME:-/root}/.cargo/bin/cargo" ]; then
        PATH=${HOME:-/root}/.cargo/bin:$PATH
    fi
    command -v cargo >/dev/null ||
        die "cargo is missing: install Rust with rustup (https://rustup.rs), or put cargo on PATH"
    local target=wasm32-wasip1 sysroot
    sysroot=$(cd "$repo" && rustc --print sysroot)
    [ -d "$sysroot/lib/rustlib/$target" ] && return
    command -v rustup >/dev/null ||
        die "Rust's target $target is missing, and there is no rustup to add it: install it as this Rust was installed"
    mkdir -p "$cache_dir"
    (cd "$repo" && step "$cache_dir/rustup.log" "host: rustup target add $target" rustup target add "$target")
}
