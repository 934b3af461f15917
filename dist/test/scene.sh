# shellcheck shell=bash
# A root that a release is tried in: mounted for a while, with a containerd in it.

address=/run/containerd/containerd.sock

# check WHAT COMMAND…: a line that says whether it succeeded, and what it said if not.
check() {
    local what=$1 said
    shift
    if said=$("$@" 2>&1); then
        printf 'ok %s: %s\n' "$name" "$what"
    else
        printf 'FAILED %s: %s\n%s\n' "$name" "$what" "$(sed 's/^/    /' <<<"$said")"
    fi
}

begin_scene() {
    mkdir -p "$work"
    mount -t tmpfs -o size=2G dist-test "$work"
    mkdir -p "$work"/{upper,work,root}
    mount -t overlay -o "lowerdir=$base,upperdir=$work/upper,workdir=$work/work" dist-test "$r"
    mkdir -p "$r"/{proc,sys,dev,run,tmp,images,var/lib/containerd,etc/containerd,opt}
    mount -t proc proc "$r/proc"
    mount --rbind /sys "$r/sys"
    mount --rbind /dev "$r/dev"
    mount -t tmpfs run "$r/run"
    # No overlay lies on another.
    mount -t tmpfs -o size=1G containerd "$r/var/lib/containerd"
    mount --bind -o ro "$images" "$r/images"
    # What is mounted there later comes to containerd, too.
    mount --make-rshared "$work"
    if ! [ -x "$r/usr/bin/containerd" ]; then
        mkdir -p "$r/usr/local/bin"
        cp "$containerd"/{containerd,ctr} "$r/usr/local/bin/"
    fi
    printf 'version = 2\ndisabled_plugins = ["io.containerd.grpc.v1.cri", "io.containerd.cri.v1.runtime", "io.containerd.cri.v1.images"]\n' \
        >"$r/etc/containerd/config.toml"
}

end_scene() {
    stop_containerd
    umount --recursive --lazy "$work"
    rmdir "$work"
}

inside() { chroot "$r" /usr/bin/env -i PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin "$@"; }
# An empty root has no /usr/bin/env.
[ -x "$base/usr/bin/env" ] || inside() { chroot "$r" /bin/busybox env -i PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin "$@"; }

ctr() { inside ctr --address "$address" "$@"; }

# In a mount namespace whose root this is: where the root is but a chroot, who joins a container's namespace finds itself in the
# node's root, under runc as well.
start_containerd() {
    # shellcheck disable=SC2016 # the shells inside
    unshare --mount --propagation slave bash -c 'mkdir -p "$1/old" && cd "$1" && busybox pivot_root . old && exec chroot . \
        /bin/sh -c "umount -l /old; rmdir /old; PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin exec containerd"' \
        bash "$r" >"$work/containerd.log" 2>&1 &
    for _ in $(seq 300); do
        ctr version >/dev/null 2>&1 && break
        sleep 0.1
    done
    for image in hello-path busybox hello-wasm; do
        [ ! -e "$r/images/$image.tar" ] || check "the image $image is imported" ctr images import "/images/$image.tar"
    done
}

# Everything that runs in the root: containerd, shims, the engine host.
residents() {
    local process own
    own=$(stat -c %d:%i "$r")
    for process in /proc/[0-9]*; do
        [ "$(stat -L -c %d:%i "$process/root" 2>/dev/null)" != "$own" ] || basename "$process"
    done
}

stop_containerd() {
    local pids
    for _ in $(seq 50); do
        mapfile -t pids < <(residents)
        [ ${#pids[@]} -gt 0 ] || return 0
        kill -KILL "${pids[@]}" 2>/dev/null
        sleep 0.1
    done
}

containers=0
run_container() {
    local image=$1
    shift
    containers=$((containers + 1))
    ctr run --rm ${options[@]+"${options[@]}"} --runtime io.containerd.wasmedge.v1 "localhost/$image:latest" "dist-$BASHPID-$containers" "$@"
}
options=()

# prints TEXT COMMAND…: that and nothing else.
prints() {
    local text=$1 said
    shift
    said=$("$@") || { printf '%s\n' "$said"; return 1; }
    [ "$said" = "$text" ] || { printf '%s\n' "$said"; return 1; }
}

# The package, where there is dpkg; else the archive.
install_release() {
    if [ -x "$r/usr/bin/dpkg" ]; then
        cp "$product"/containerd-shim-wasmedge_*_"$arch.deb" "$r/tmp/shim.deb"
        inside dpkg --install /tmp/shim.deb
    else
        tar --extract --gzip --no-same-owner --file "$product/$shim-linux-$arch.tar.gz" --directory "$r/usr/local/bin"
    fi
}
# Where it is then.
bin=/usr/local/bin
[ ! -x "$base/usr/bin/dpkg" ] || bin=/usr/bin

remove_release() {
    if [ -x "$r/usr/bin/dpkg" ]; then
        inside dpkg --purge containerd-shim-wasmedge
    else
        rm "$r/usr/local/bin/$shim"
    fi
}

nothing_is_needed() {
    local file=$r$bin/$shim
    ! readelf -lW "$file" | grep -w INTERP && ! readelf -dW "$file" | grep NEEDED
}

native_code_runs() {
    local options=(--annotation io.wasmedge.aot=require)
    local list
    prints "hello from wasm" run_container hello-path || return 1
    list=$(inside "$shim" engine cache list)
    grep -q ' this ' <<<"$list" || { printf '%s\n' "$list"; return 1; }
}

# The process ids of the engine host, and of what it has forked to compile.
host() {
    local pid
    for pid in $(residents); do
        ! tr '\0' ' ' <"/proc/$pid/cmdline" 2>/dev/null | grep -q 'wasmedge-engine host' || printf '%s ' "$pid"
    done
}

# Ends the engine host, so that the next container starts one.
end_host() {
    local pid
    pid=$(host)
    [ -n "$pid" ] || return 0
    # shellcheck disable=SC2086 # a host and its builders
    kill -KILL $pid 2>/dev/null
    pid=${pid%% *}
    for _ in $(seq 100); do
        [ -d "/proc/$pid" ] || return 0
        sleep 0.05
    done
}

# What there is, without what containerd and the node keep.
files() {
    (cd "$r" && find . -xdev \( -path ./var/lib/containerd -o -path ./tmp -o -path ./images -o -path './var/lib/dpkg' -o -path ./var/log \) -prune -o -printf '%p %M %U %G %l ' \
        \( -type f -exec sha256sum {} \; -o -printf '\n' \) | sort)
}

# With a configuration of its own, as that of the running containerd has no CRI.
configured() {
    local config=/etc/containerd/cri.toml before
    local words=(--runtime containerd --config "$config")
    printf '# The CRI is on.\nversion = 2\n' >"$r$config"
    before=$(sha256sum <"$r$config")
    inside "$bin/$shim" install "${words[@]}" --prefix "$bin" || return 1
    has_handler "$config" || return 1
    inside "$bin/$shim" install "${words[@]}" --prefix "$bin" || return 1
    inside "$bin/$shim" uninstall "${words[@]}" || return 1
    [ "$(sha256sum <"$r$config")" = "$before" ] && [ -x "$r$bin/$shim" ] || return 1
    ! has_handler "$config" && rm "$r$config"
}

has_handler() {
    local dump
    dump=$(inside containerd --config "$1" config dump) && grep -q 'runtimes.wasmedge' <<<"$dump"
}
