# shellcheck shell=bash
# What happens to the unpacked engine.

engines=/var/lib/containerd-shim-wasmedge/engine

try_faults() {
    check "two and more unpack at once" many_at_once
    check "who is killed while unpacking leaves nothing" killed_while_unpacking
    check "what is damaged is unpacked again" damaged_files
    check "a full disk is told and leaves nothing" full_disk
    check "an option names another place" elsewhere
    check "a read-only /usr is no matter" read_only_usr
    check "a host that begins anew never lets go of its engine" held_while_beginning_anew
}

forget_engine() {
    end_host
    rm -rf "${r:?}$engines"
}

# One directory with an engine, and a lock.
is_tidy() {
    [ "$(find "$r$engines" -mindepth 1 -maxdepth 1 | wc -l)" = 2 ] || { find "$r$engines" -mindepth 1 -maxdepth 1; return 1; }
}

many_at_once() {
    local pids=() pid index
    forget_engine
    for index in 1 2 3 4 5 6; do
        (containers=$index && prints "hello from wasm" run_container hello-path) &
        pids+=($!)
    done
    for pid in "${pids[@]}"; do wait "$pid" || return 1; done
    is_tidy && [ -n "$(host)" ]
}

killed_while_unpacking() {
    local turn pid
    for turn in $(seq 40); do
        forget_engine
        chroot "$r" "$bin/$shim" engine --version >/dev/null 2>&1 &
        pid=$!
        sleep "0.$(printf '%03d' "$((turn * 15))")"
        kill -KILL "$pid" 2>/dev/null
        wait "$pid" 2>/dev/null
        inside "$shim" engine --version | grep -q '^wasmedge-engine ' || return 1
        is_tidy || return 1
    done
}

damaged_files() {
    local file size files
    mapfile -t files < <(cd "$r$engines"/????* && ls)
    [ ${#files[@]} -gt 10 ] || { printf '%s\n' "${files[@]}"; return 1; }
    for file in "${files[@]}"; do
        end_host
        size=$(stat -c %s "$r$engines"/????*/"$file")
        printf '\x5a' | dd of="$(echo "$r$engines"/????*/"$file")" bs=1 seek="$((size / 2))" conv=notrunc status=none
        prints "hello from wasm" run_container hello-path || { echo "$file"; return 1; }
        end_host
        rm "$r$engines"/????*/"$file"
        prints "hello from wasm" run_container hello-path || { echo "without $file"; return 1; }
    done
    is_tidy
}

full_disk() {
    local said
    forget_engine
    mkdir -p "$r$engines"
    mount -t tmpfs -o size=20M full "$r$engines"
    said=$(run_container hello-path 2>&1) && return 1
    echo "$said"
    grep -q 'cannot unpack the engine to .*No space left on device.*engine.directory' <<<"$said" &&
        [ "$(find "$r$engines" -mindepth 1 | wc -l)" = 1 ]
    local code=$?
    ctr containers ls -q | xargs -r -n 1 chroot "$r" /usr/local/bin/ctr --address "$address" containers rm
    umount "$r$engines"
    return $code
}

elsewhere() {
    local options=(--runtime-config-path /etc/options.toml) code
    forget_engine
    printf '[engine]\ndirectory = "/opt/engines"\n' >"$r/etc/options.toml"
    prints "hello from wasm" run_container hello-path
    code=$?
    [ ! -e "$r$engines" ] && ls "$r"/opt/engines/*/wasmedge-engine || code=1
    end_host
    rm -rf "${r:?}/opt/engines" "$r/etc/options.toml"
    return $code
}

read_only_usr() {
    local code
    forget_engine
    mount --bind "$r/usr" "$r/usr" && mount -o remount,bind,ro "$r/usr"
    ! touch "$r/usr/local/bin/x" 2>/dev/null && prints "hello from wasm" run_container hello-path
    code=$?
    umount --lazy "$r/usr"
    return $code
}

# It opens the lock again if it has let go of it.
held_while_beginning_anew() {
    local pid tracer trace=$work/trace
    prints "hello from wasm" run_container hello-path || return 1
    sleep 1
    pid=$(host)
    pid=${pid%% *}
    : >"$trace"
    strace -qq -e trace=openat,execve -o "$trace" -p "$pid" &
    tracer=$!
    for _ in $(seq 50); do
        grep -q '^TracerPid:[[:space:]]*[1-9]' "/proc/$pid/status" && break
        sleep 0.1
    done
    : >"$r/run/containerd-shim-wasmedge/renew"
    # It looks for that when it is asked for something, and when that is over.
    prints "hello from wasm" run_container hello-path || return 1
    for _ in $(seq 400); do
        grep -q '^execve("/proc/self/exe".* = 0' "$trace" && break
        sleep 0.1
    done
    # Then it leaves a child behind, and the tracer ends with it.
    grep -q '^execve("/proc/self/exe".* = 0' "$trace" || kill -INT "$tracer"
    wait "$tracer"
    prints "hello from wasm" run_container hello-path || return 1
    grep '^execve("/proc/self/exe".* = 0' "$trace" && ! grep '/\.lock"' "$trace"
}
