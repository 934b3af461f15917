# shellcheck shell=bash
# Running commands in a node.

# Replaces the calling shell. The command sits in the node's cgroups and namespaces, keeps stdio, terminal and
# environment (but for the variables set here), and dies with the caller: nsenter does not pass signals on.
enter() {
    local name=$1 pid
    shift
    pid=$(node_pid "$name") || die "node '$name' is not up: $0 up $name"
    cgroup_join "$name" || die "cannot enter the cgroups of node '$name'"
    # ctr of containerd 2.2 and later would warn of cgroup v1 each time, among what a container says.
    # shellcheck disable=SC2016 # for the shell inside
    exec env PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root \
        CONTAINERD_SUPPRESS_DEPRECATION_WARNINGS=1 \
        nsenter --target "$pid" --mount --net --uts --ipc --pid --cgroup -- \
        setpriv --pdeathsig KILL /bin/sh -c 'cd "$1" 2>/dev/null || cd /; shift; exec "$@"' sh "$PWD" "$@"
}

# node exec [-n NAME] CMD…
node_exec() {
    local name=$1
    shift
    if [ "${1:-}" = -n ]; then
        name=${2:?exec -n needs a name}
        shift 2
    fi
    [ "${1:-}" = -- ] && shift
    [ $# -gt 0 ] || die "exec needs a command"
    check_name "$name"
    enter "$name" "$@"
}

# node logs [NAME] [SERVICE]: one whole log, or the end of each.
node_logs() {
    local name=$1 logs
    shift
    if [ -n "${1:-}" ] && [ -d "$(node_dir "$1")" ]; then
        name=$1
        shift
    fi
    logs=$(node_dir "$name")/data/var/log
    [ -d "$logs" ] || die "there is no node '$name'"
    if [ -n "${1:-}" ]; then
        [ -e "$logs/$1.log" ] || die "no such log: $logs/$1.log"
        cat "$logs/$1.log"
    else
        tail -v -n 40 "$logs"/*.log
    fi
}
