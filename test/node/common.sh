# shellcheck shell=bash
# Names, folders and messages shared by every part of the test node.

cache_dir=${XDG_CACHE_HOME:-${HOME:-/root}/.cache}/containerd-shim-wasmedge
# State of running nodes; /run is empty after a boot, as are the nodes.
state_base=/run/containerd-shim-wasmedge-test

state_dir() { printf '%s/%s' "$state_base" "$1"; }
node_dir() { printf '%s/nodes/%s' "$cache_dir" "$1"; }

# Progress goes to stderr: stdout belongs to what a verb answers.
say() { printf '==> %s\n' "$*" >&2; }
die() {
    printf 'node: error: %s\n' "$*" >&2
    exit 1
}

# step LOG WHAT COMMAND…: runs COMMAND with its output in LOG and says how long it took, or which step failed and why.
# COMMAND must not be a function that relies on `set -e`: the `if` here switches that off inside it.
step() {
    local log=$1 what=$2 begin=$SECONDS
    shift 2
    printf '==> %s … ' "$what" >&2
    if "$@" >>"$log" 2>&1 </dev/null; then
        printf '%ss\n' "$((SECONDS - begin))" >&2
        return 0
    fi
    printf 'failed\n' >&2
    tail -n 15 "$log" | sed 's/^/    /' >&2
    die "step failed: $what; its log: $log"
}

# with_lock FILE COMMAND…: one at a time, across checkouts. The lock is not inherited by what COMMAND leaves running
# as long as that is started with `close_lock`.
with_lock() {
    local file=$1 fd
    shift
    mkdir -p "${file%/*}"
    exec {fd}>"$file"
    flock -n "$fd" || { say "waiting for $file" && flock "$fd"; }
    lock_fds+=("$fd")
    "$@"
    unset 'lock_fds[-1]'
    exec {fd}>&-
}
lock_fds=()

close_locks() {
    local fd
    for fd in "${lock_fds[@]}"; do exec {fd}>&-; done
}

check_name() {
    [[ $1 =~ ^[a-z0-9][a-z0-9-]{0,30}$ ]] || die "bad node name '$1': lower-case letters, digits and '-', 31 at most"
}

need_root() {
    [ "$(id -u)" = 0 ] || die "needs root: it makes namespaces, mounts and cgroups"
}
