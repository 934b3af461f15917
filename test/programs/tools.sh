# shellcheck shell=bash
# What the build scripts of the programs share. They have $PROGRAMS (this folder), $WORK (a folder of their own that
# stays), $CACHE (one for downloads) and $TREE (an empty folder, the image's root); what they miss they say by `missing`.
. "$PROGRAMS/../node/common.sh"
. "$PROGRAMS/../node/host.sh"
here=$PROGRAMS/../node
. "$PROGRAMS/../node/tools.sh"

# need_packages PACKAGE…: Debian packages on this machine, of which the clients of other registries are part.
need_packages() {
    local host_packages=("$@")
    ensure_host_packages
}

# wheel NAME VERSION SHA256 FOLDER: the contents of a package of PyPI.
wheel() {
    local name=$1 version=$2 hash=$3 folder=$4
    [ -e "$folder/.$version-$hash" ] && return
    command -v pip3 >/dev/null || need_packages python3 python3-pip
    rm -rf "$folder"
    mkdir -p "$folder"
    printf '%s==%s --hash=sha256:%s\n' "$name" "$version" "$hash" >"$folder.txt"
    pip3 --quiet --disable-pip-version-check download --no-deps --only-binary :all: --dest "$folder" \
        --platform manylinux2014_x86_64 --require-hashes --requirement "$folder.txt"
    python3 -m zipfile -e "$folder"/*.whl "$folder"
    rm -f "$folder"/*.whl
    touch "$folder/.$version-$hash"
}

# zig: the path of Zig's compiler, which is one for C and C++ too, with the libraries for WASI and for Linux.
zig() {
    wheel ziglang 0.14.1 6eb9d4d759b292c83810dbee2e9e8e3fbfbf01d864e6e9811bae711fd74e1c2f "$CACHE/zig" >&2
    chmod +x "$CACHE/zig/ziglang/zig"
    printf '%s\n' "$CACHE/zig/ziglang/zig"
}

# npm_ci FOLDER: what its package-lock.json names, in $WORK/node_modules.
npm_ci() {
    command -v npm >/dev/null || need_packages nodejs npm
    cmp -s "$1/package-lock.json" "$WORK/package-lock.json" && [ -d "$WORK/node_modules" ] && return
    cp "$1/package.json" "$1/package-lock.json" "$WORK/"
    npm --prefix "$WORK" --silent --no-audit --no-fund ci
}

# debian_files PACKAGE PATH…: files of a Debian package, to the same places of the image.
debian_files() {
    local package=$1 tree=$CACHE/debian/$1 path
    shift
    debian_tree "$package"
    for path in "$@"; do
        mkdir -p "$TREE/$(dirname "$path")"
        cp -aL "$tree/$path" "$TREE/$path"
    done
}

# debian_tree PACKAGE: what is in a package, in $CACHE/debian/PACKAGE. Nothing is installed.
debian_tree() {
    local tree=$CACHE/debian/$1
    [ -d "$tree" ] && return
    rm -rf "$tree.tmp"
    mkdir -p "$tree.tmp"
    (cd "$tree.tmp" && { apt-get -qq -o APT::Sandbox::User=root download "$1" ||
        { apt-get -qq update && apt-get -qq -o APT::Sandbox::User=root download "$1"; }; } &&
        dpkg -x "$1"_*.deb . && rm "$1"_*.deb)
    mv "$tree.tmp" "$tree"
}
