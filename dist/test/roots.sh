# shellcheck shell=bash
# The roots that releases are tried in.

# A busybox and nothing else; the same with musl for its C library; Debian's releases.
roots=(empty musl bullseye bookworm trixie forky)
roots_recipe=1

# In the checkout, which the node sees.
test_root_path() { printf '%s/target/dist-test/%s-%s' "$repo" "$1" "$roots_recipe"; }

ensure_test_root() {
    [ -d "$(test_root_path "$1")" ] || with_lock "$repo/target/dist-test.lock" make_test_root "$1"
}

# Made beside its place and renamed when complete.
make_test_root() {
    local root=$1 out tmp log suite=$1 include=(--include=ca-certificates)
    out=$(test_root_path "$root")
    tmp=$out.tmp log=$out.log
    [ -d "$out" ] && return
    mkdir -p "${out%/*}"
    rm -rf --one-file-system "$tmp"
    : >"$log"
    case $root in
    empty) bare_root "$tmp" ;;
    musl)
        bare_root "$tmp"
        step "$log" "root musl: its package" musl_package "$tmp"
        ;;
    trixie | forky) include=(--include=containerd) ;;& # 1.7 and 2.1
    bullseye | bookworm | trixie | forky)
        step "$log" "root $root: debootstrap" unshare --mount --propagation private debootstrap --variant=minbase \
            "${include[@]}" "$suite" "$tmp" "$(debian_mirror)" /usr/share/debootstrap/scripts/sid
        rm -rf "$tmp"/var/cache/apt "$tmp"/var/lib/apt/lists
        ;;
    *) die "there is no root $root: ${roots[*]}" ;;
    esac
    mv "$tmp" "$out"
}

bare_root() {
    local busybox
    busybox=$(root_path)/usr/bin/busybox
    mkdir -p "$1"/{bin,dev,etc,proc,root,run,sys,tmp,usr/local/bin,var/lib}
    cp "$busybox" "$1/bin/busybox"
    "$busybox" --list | while read -r name; do [ "$name" = busybox ] || ln -s busybox "$1/bin/$name"; done
    printf 'root:x:0:0::/root:/bin/sh\n' >"$1/etc/passwd"
}

musl_package() {
    local dir
    dir=$(mktemp -d)
    (cd "$dir" && apt-get download musl && dpkg-deb -x musl_*.deb "$1")
    rm -rf "$dir"
}
